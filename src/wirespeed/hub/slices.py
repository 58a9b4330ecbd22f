"""Slices: work for many watchers at the same moment, which must not hold up the event loop."""

import asyncio
from collections import deque
from collections.abc import Iterator
from time import perf_counter

from ..isolation import isolated
from .clock import SLICE


class Slices:
    """Runs iterators to their end, one after the other, for one slice of time in each turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Iterator[None]] = deque()
        self._is_going = False

    def add(self, steps: Iterator[None]) -> None:
        """Run an iterator behind those that were added before, from the next turn on."""
        self._waiting.append(steps)
        if not self._is_going:
            self._is_going = True
            self._loop.call_soon(self._go_on)

    def clear(self) -> None:
        """Forget everything that has not been run."""
        self._waiting.clear()

    def _go_on(self) -> None:
        until = perf_counter() + SLICE
        while self._waiting and perf_counter() < until:
            steps = self._waiting[0]
            with isolated("A client could not be notified of the health of its source."):
                if next(steps, self) is not self:
                    continue
            if self._waiting and self._waiting[0] is steps:
                self._waiting.popleft()
        self._is_going = bool(self._waiting)
        if self._is_going:
            self._loop.call_soon(self._go_on)
