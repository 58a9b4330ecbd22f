"""Figures of a feed or topic."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


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
    """Values that could not be serialised, and publications that failed."""
    producers: Mapping[str, int] = MappingProxyType({})
    """Generators by state: ``"running"``, ``"waiting"`` to start again, ``"stopping"``; empty for topics."""
