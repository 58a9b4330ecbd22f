"""Many deadlines with one timer; most of them are postponed before they come."""

import asyncio
import heapq
import math
from collections.abc import Callable

from ..isolation import isolated

_FEW = 64


class Deadlines:
    """Calls a function when the deadline of a name has come; postponing a deadline costs nothing here.

    Args:
        deadline: Returns the current deadline of a name, in the loop's time; None if it has none any more. It is asked
            again when the deadline that was known before has come, so that moving a deadline postpones it.
        due: Called with a name whose deadline has come.
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
        """Time of the timer. It is kept here, because not every handle of uvloop knows it."""

    def __len__(self) -> int:
        return len(self._heap)

    def watch(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """Watch a name until its deadline has come, or it has none; an infinite deadline is never watched."""
        if name in self._watched:
            return
        self._put(name)
        self._arm(loop)

    def clear(self) -> None:
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
        """Forget names without a deadline, so that they never outnumber the others."""
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
