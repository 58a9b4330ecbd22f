"""The figures of a feed or topic, counted as things happen."""

from collections.abc import Mapping, Sequence
from time import perf_counter

from ..definitions import LATENCIES, WatchStatistics
from .buckets import Buckets

_NUMBERS = ("bytes", "delivered", "failed", "flush_time", "flushes", "lost", "published", "restarts", "skipped")


class Figures:
    """The figures of one feed or topic so far, counted as things happen.

    Attributes:
        since: Time at which the oldest entry arrived that is being written, in seconds of ``perf_counter``; None for
            entries that are older than the watch.
    """

    __slots__ = (*_NUMBERS, "latency", "painted", "since")

    def __init__(self) -> None:
        self.published = self.delivered = self.skipped = self.lost = self.bytes = self.flushes = 0
        self.restarts = self.failed = 0
        self.flush_time = 0.0
        self.latency, self.painted = Buckets(LATENCIES), Buckets(LATENCIES)
        self.since: float | None = None

    def wrote(
        self, groups: Sequence[tuple[float | None, int]], flushes: int, delivered: int, skipped: int, size: int
    ) -> None:
        """Count the writes of one step.

        Args:
            groups: The groups of watchers that read the same, in order: the time at which the oldest entry arrived, or
                None if it does not count, and the number of writes before theirs.
        """
        self.flushes += flushes
        self.delivered += delivered
        self.skipped += skipped
        self.bytes += size
        now = perf_counter()
        for since, before in reversed(groups):
            if since is not None and flushes > before:
                self.latency.add(now - since, flushes - before)
            flushes = before

    def statistics(self, keys: int, watchers: int, producers: Mapping[str, int], failing: int) -> WatchStatistics:
        """Return the figures, with what is true at this moment."""
        return WatchStatistics(
            keys=keys,
            watchers=watchers,
            producers=producers,
            failing=failing,
            latency=self.latency.histogram(),
            painted=self.painted.histogram(),
            **{name: getattr(self, name) for name in _NUMBERS},
        )
