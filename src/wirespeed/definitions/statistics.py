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


LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the buckets for latencies and ages, in seconds."""

DURATIONS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 3600.0)
"""Upper bounds of the buckets for the durations of runs, in seconds."""


class Histogram(NamedTuple):
    """Numbers of observations by their sizes."""

    bounds: tuple[float, ...]
    """Upper bounds of the buckets in seconds, each included, in ascending order; the last bucket has no bound."""
    counts: tuple[int, ...]
    """Number of observations in each bucket: one more than bounds."""
    total: float
    """Sum of all observations in seconds."""

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> "Histogram":
        """Return a histogram without observations."""
        return cls(bounds, (0,) * (len(bounds) + 1), 0.0)


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
    latency: Histogram = Histogram.empty(LATENCIES)
    """Seconds from the publication of a value to its write, see the reference; one observation for each write of news
    to a watcher."""
    painted: Histogram = Histogram.empty(LATENCIES)
    """Seconds from the publication of a value until a page has acknowledged that it was painted; one observation for
    each acknowledgement."""


class RunStatistics(NamedTuple):
    """Figures of one stream or call in this process; totals count from the start of the process."""

    active: int = 0
    """Runs in progress."""
    completed: int = 0
    """Runs that ended by themselves."""
    refused: int = 0
    """Runs that refused their client, by an ``HTTPException`` or another exception that means a refusal."""
    failed: int = 0
    """Runs that ended in any other way, such as by an exception."""
    cancelled: int = 0
    """Runs that were cancelled: the client left, a newer message replaced theirs, or the app stopped."""
    messages: int = 0
    """Values written by runs, those of runs in progress included."""
    durations: Histogram = Histogram.empty(DURATIONS)
    """Seconds from the beginning of a run to its end; one observation for each run that has ended."""


class LoopLag(NamedTuple):
    """Lateness of the event loop's timers in the last ten seconds, in seconds; 0 if the app does not run.

    A timer is checked twice a second. While other code blocks the loop, everything else waits as long.
    """

    mean: float = 0.0
    """Mean lateness."""
    worst: float = 0.0
    """Largest lateness."""
