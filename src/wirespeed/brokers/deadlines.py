"""Many deadlines, most of which are put off before they come, with one timer."""

import asyncio
import heapq
import math
from collections.abc import Callable

from ..isolation import isolated

_FEW = 64


class Deadlines:
    """Tells when the deadline of a name has come; putting one off costs nothing here.

    Args:
        deadline: When the deadline of a name is by now, in the loop's time; ``None`` if it has none any more. It is
            asked again when the time has come that was known before, so that a deadline is put off by moving it.
        due: Told of a name whose deadline has come.
    """

    def __init__(self, deadline: Callable[[str], float | None], due: Callable[[str], None]) -> None:
        self._deadline = deadline
        self._due = due
        # One place in the heap for each name that is watched, at the deadline that was known when it was put there.
        self._heap: list[tuple[float, str]] = []
        self._watched: set[str] = set()
        self._many = _FEW
        self._timer: asyncio.TimerHandle | None = None
        self._at = math.inf
        """When the timer rings. It is kept here, because not every handle of uvloop knows."""

    def __len__(self) -> int:
        return len(self._heap)

    def watch(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """Looks after a name until its deadline has come, or it has none; never for a deadline that is infinite."""
        if name in self._watched:
            return
        self._put(name)
        self._arm(loop)

    def clear(self) -> None:
        """Forgets all names."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()
        self._watched.clear()

    def _put(self, name: str) -> None:
        deadline = self._deadline(name)
        if deadline is None or math.isinf(deadline):
            return
        heapq.heappush(self._heap, (deadline, name))
        self._watched.add(name)
        if len(self._heap) > self._many:
            self._rebuild()

    def _rebuild(self) -> None:
        """Forgets names that have no deadline any more, so that they never are more than the others."""
        names, self._heap, self._watched, self._many = self._watched, [], set(), 2 * len(self._heap)
        for name in names:
            self._put(name)
        self._many = max(_FEW, 2 * len(self._heap))

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None and (not self._heap or self._heap[0][0] < self._at):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and self._heap:
            self._at = self._heap[0][0]
            self._timer = loop.call_at(self._at, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._heap and self._heap[0][0] <= now:
            _, name = heapq.heappop(self._heap)
            self._watched.discard(name)
            with isolated("A deadline could not be kept."):
                self._look(name, now)
        self._arm(loop)

    def _look(self, name: str, now: float) -> None:
        deadline = self._deadline(name)
        if deadline is not None and deadline <= now:
            self._due(name)
        else:
            self._put(name)
