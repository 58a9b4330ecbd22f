"""The figures of a feed or topic, counted as things happen."""

from collections.abc import Mapping

from ..definitions import WatchStatistics


class Figures:
    """The figures of one feed or topic so far, counted as things happen."""

    __slots__ = ("bytes", "delivered", "failed", "flush_time", "flushes", "lost", "published", "restarts", "skipped")

    def __init__(self) -> None:
        self.published = self.delivered = self.skipped = self.lost = self.bytes = self.flushes = 0
        self.restarts = self.failed = 0
        self.flush_time = 0.0

    def statistics(self, keys: int, watchers: int, producers: Mapping[str, int], failing: int) -> WatchStatistics:
        """Return the figures, with what is true at this moment."""
        counted = {name: getattr(self, name) for name in self.__slots__}
        return WatchStatistics(keys=keys, watchers=watchers, producers=producers, failing=failing, **counted)
