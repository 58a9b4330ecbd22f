"""What a feed or topic tells of itself."""

from collections.abc import Mapping
from typing import NamedTuple


class WatchStatistics(NamedTuple):
    """What one feed or topic does in this process, all of its keys together, and has done since its start."""

    keys: int
    """Keys that are live now."""
    watchers: int
    """Watchers of all of them now."""
    published: int
    """Values that came: yielded, or published."""
    delivered: int
    """Values written, to each watcher for itself."""
    skipped: int
    """Values that watchers were not sent, because a newer one stands for them."""
    lost: int
    """Values that fell off a log before a watcher had read them."""
    bytes: int
    """Bytes written."""
    flushes: int
    """Writes to a connection: one for many values, where many have gathered."""
    flush_time: float
    """Seconds spent on writing."""
    restarts: int
    """Times that a generator was started again after it had raised."""
    failed: int
    """Values that could not be encoded, and publications that failed."""
    producers: Mapping[str, int]
    """Generators by what they do: ``"running"``, ``"waiting"`` to be started again, ``"stopping"``; none for topics."""

    @classmethod
    def nothing(cls) -> "WatchStatistics":
        """Of what has not begun."""
        return cls(0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, 0, {})
