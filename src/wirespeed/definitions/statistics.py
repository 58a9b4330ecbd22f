"""Figures of a feed or topic, of a stream or call, of the event loop, and of the broker."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple


class BrokerHealth(NamedTuple):
    """State of the broker, as this process sees it."""

    state: Literal["none", "ok", "stale", "down"]
    """``"none"``: the app has no broker, or has not started. ``"stale"``: the broker is reachable again, but some logs
    are not up to date yet. ``"down"``: it cannot be reached."""
    seconds: float = 0.0
    """Seconds for which it has been ``"stale"`` or ``"down"``."""
    problem: str = ""
    """Reason for which it cannot be reached; may name its address."""
    waiting: int = 0
    """Bytes of publications that wait for it."""


class WatchStatistics(NamedTuple):
    """Figures of one feed or topic in this process, for all of its keys together; totals count from the app's start."""

    keys: int = 0
    """Keys that are live now."""
    watchers: int = 0
    """Watchers of all keys now."""
    published: int = 0
    """Values that were yielded or published."""
    delivered: int = 0
    """Values written, counted for each watcher."""
    skipped: int = 0
    """Values that watchers did not receive because a newer one replaced them."""
    lost: int = 0
    """Values that a log dropped before a watcher had read them."""
    bytes: int = 0
    """Bytes written."""
    flushes: int = 0
    """Writes to a connection; each may carry many values."""
    flush_time: float = 0.0
    """Seconds spent on writing."""
    restarts: int = 0
    """Number of times that a generator raised and was scheduled to start again."""
    failed: int = 0
    """Values that could not be serialised, publications that failed, and loads that failed."""
    failing: int = 0
    """Keys whose generator runs in this process and keeps failing."""
    producers: Mapping[str, int] = MappingProxyType({})
    """Generators by state: ``"running"``, ``"waiting"`` to start again, ``"stopping"``; empty for topics."""


class RunStatistics(NamedTuple):
    """Figures of one stream or call in this process; totals count from the start of the process."""

    active: int = 0
    """Runs in progress."""
    completed: int = 0
    """Runs that ended by themselves."""
    refused: int = 0
    """Runs that refused their client, by an ``HTTPException`` or a ``WebSocketException``."""
    failed: int = 0
    """Runs that ended in any other way, such as by an exception."""
    cancelled: int = 0
    """Runs that were cancelled: the client left, a newer message replaced theirs, or the app stopped."""
    messages: int = 0
    """Values written by runs, those of runs in progress included."""


class LoopLag(NamedTuple):
    """Lateness of the event loop's timers in the last ten seconds, in seconds; 0 if the app does not run.

    A timer is checked twice a second. While other code blocks the loop, everything else waits as long.
    """

    mean: float = 0.0
    """Mean lateness."""
    worst: float = 0.0
    """Largest lateness."""
