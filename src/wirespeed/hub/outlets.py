"""Outlets with something to write. They share one turn of the clock, after all others and not too often."""

import asyncio

from ..isolation import for_each
from ..lanes.outlet import Outlet
from .clock import FRAME_RATE, Clock

INTERVAL = 0.75 / FRAME_RATE
"""Seconds between two turns, at least. Whatever is due in between, at another rate, waits for the next turn."""

BATCH = 32


class Outlets:
    """Flushes outlets after everything with news has written to them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._ready: list[Outlet] = []
        self._pending: list[Outlet] = []
        self._at = 0
        self._next = 0.0
        self._is_due = False

    def ready(self, outlet: Outlet) -> None:
        """Note that an outlet has something to write."""
        self._ready.append(outlet)
        if not self._is_due:
            self._is_due = True
            if self._next <= self._loop.time():
                self._clock.wake_last(self)
            else:
                self._loop.call_at(self._next, self._clock.wake_last, self)

    def flush(self) -> None:
        """Write everything, now."""
        self.begin()
        while self.step():
            pass

    # Called by the clock, which calls only step() of a turn that comes last; the first step of a turn begins it.

    def begin(self) -> None:
        """Begin a turn; outlets that become ready later belong to the next one."""
        self._pending = [*self._pending[self._at :], *self._ready]
        self._ready = []
        self._at = 0
        self._is_due = False
        self._next = self._loop.time() + INTERVAL

    def step(self) -> bool:
        """Flush some outlets; return True if there are more."""
        if self._at >= len(self._pending):
            self.begin()
        at, self._at = self._at, self._at + BATCH
        for_each(self._pending[at : self._at], Outlet.flush, Outlet.failed)
        if self._at < len(self._pending):
            return True
        self._pending = []
        self._at = 0
        return False
