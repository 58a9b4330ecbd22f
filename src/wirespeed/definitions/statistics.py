"""Figures of a feed or topic, and of the broker."""

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
