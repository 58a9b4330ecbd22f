"""Ages: when the entries arrived that the watchers of an audience have not read.

Nothing is noted for an entry or a watcher. The time of the first news of each turn is enough: the entries that follow
before the turn are written together with it.
"""

from bisect import bisect_right

_MOST = 64
"""Turns whose times are known while a watcher lags behind. Beyond that, they are thinned out."""


class Ages:
    """The times of arrival of entries, in seconds of ``perf_counter``.

    Attributes:
        reach: The newest entry when the turn began, if it serves all watchers; None if it does not.
        is_behind: True if a watcher had no room in this turn.
    """

    __slots__ = ("_heads", "_times", "is_behind", "reach")

    def __init__(self) -> None:
        self._heads: list[int] = []
        self._times: list[float] = []
        self.reach: int | None = None
        self.is_behind = False

    def news(self, head: int, time: float) -> None:
        """Note the time of the first news of a turn, whose newest entry is ``head``."""
        if len(self._heads) >= _MOST:
            self._thin_out(time)
        self._heads.append(head)
        self._times.append(time)

    def _thin_out(self, now: float) -> None:
        """Drop times. An entry whose time was dropped gets an earlier one, by which it seems at most twice as old."""
        heads, times = self._heads, self._times
        kept = [0]
        for at in range(1, len(times) - 1):
            if now - times[kept[-1]] > 2 * (now - times[at + 1]):
                kept.append(at)
        kept = [*kept, len(times) - 1][-_MOST + 8 :]
        self._heads, self._times = [heads[at] for at in kept], [times[at] for at in kept]

    def since(self, cursor: int) -> float | None:
        """Return the time at which the entry after a cursor arrived, or shortly before that; None if unknown."""
        heads = self._heads
        if not heads:
            return None
        if heads[-1] <= cursor + 1:
            return self._times[-1]
        return self._times[max(bisect_right(heads, cursor + 1) - 1, 0)]

    def begin(self, reach: int | None) -> None:
        """Begin a turn."""
        self.reach = reach
        self.is_behind = False

    def finish(self) -> None:
        """End a turn. If it has served all watchers, the times of what they have read are not needed any more."""
        if self.reach is not None and not self.is_behind:
            read = bisect_right(self._heads, self.reach)
            del self._heads[:read], self._times[:read]
