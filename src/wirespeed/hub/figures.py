"""The figures of a feed or topic, counted as things happen."""

from collections import Counter
from collections.abc import Sequence
from time import perf_counter

from ..definitions import LATENCIES, WatchStatistics
from .buckets import Buckets

_NUMBERS = (
    "bytes", "delivered", "failed", "failing", "flush_time", "flushes", "lost", "published", "restarts", "skipped",
    "watchers",
)  # fmt: skip


class Figures:
    """The figures of one feed or topic so far, counted as things happen.

    Attributes:
        watchers: Number of watchers of all keys now.
        failing: Number of keys now whose generator runs in this process and keeps failing.
        producers: Number of generators by state.
        since: Time at which the oldest entry arrived that is being written, in seconds of ``perf_counter``; None for
            entries that are older than the watch.
    """

    __slots__ = (*_NUMBERS, "latency", "painted", "producers", "since")

    def __init__(self) -> None:
        self.published = self.delivered = self.skipped = self.lost = self.bytes = self.flushes = 0
        self.restarts = self.failed = self.failing = self.watchers = 0
        self.producers = Counter[str]()
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

    def statistics(self, keys: int) -> WatchStatistics:
        """Return the figures, from any thread, with the number of keys at this moment."""
        return WatchStatistics(
            keys=keys,
            producers={state: count for state, count in list(self.producers.items()) if count},
            latency=self.latency.histogram(),
            painted=self.painted.histogram(),
            **{name: getattr(self, name) for name in _NUMBERS},
        )
