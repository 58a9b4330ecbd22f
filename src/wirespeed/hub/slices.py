"""Slices: work for many clients at the same moment, which must not hold up the event loop."""

import asyncio
from collections import deque
from collections.abc import Iterator
from math import inf
from time import perf_counter

from ..isolation import isolated
from .clock import SLICE


class Slices:
    """Runs iterators to their end, one after the other, for one slice of time in each turn of the loop.

    Args:
        problem: Sentence for the log if a step raises; it ends its iterator only.
    """

    def __init__(self, problem: str = "A client could not be notified of the health of its source.") -> None:
        self._problem = problem
        self._waiting: deque[Iterator[None]] = deque()
        self._going: asyncio.AbstractEventLoop | None = None
        """The loop in which work is going on."""
        self._until = 0.0
        """End of this turn's slice, while work is going on."""

    def add(self, steps: Iterator[None]) -> None:
        """Run an iterator behind those that were added before, from the next turn on."""
        self._waiting.append(steps)
        loop = asyncio.get_running_loop()
        if self._going is not loop:  # nothing goes on in a loop that has ended
            self._going = loop
            self._until = perf_counter() + SLICE
            loop.call_soon(self._go_on)

    def begin(self, steps: Iterator[None]) -> None:
        """Run an iterator as :meth:`add` does, but begin it now, unless others are not at their end.

        All that begin in one turn of the loop share one slice.
        """
        is_next = not self._waiting and (self._going is None or perf_counter() < self._until)
        self.add(steps)
        if is_next:
            self._run(self._until)

    def finish(self) -> None:
        """Run everything to its end, now."""
        self._run(inf)

    def clear(self) -> None:
        """Forget everything that has not been run."""
        self._waiting.clear()

    def _go_on(self) -> None:
        self._going = asyncio.get_running_loop() if self._waiting else None
        if self._going is not None:
            self._going.call_soon(self._go_on)
            self._until = perf_counter() + SLICE
            self._run(self._until)

    def _run(self, until: float) -> None:
        while self._waiting:
            steps, is_over = self._waiting[0], True
            with isolated(self._problem):
                is_over = next(steps, self) is self
            if is_over and self._waiting and self._waiting[0] is steps:
                self._waiting.popleft()
            if perf_counter() > until:
                break
