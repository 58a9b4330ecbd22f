"""A real event loop whose clock the test controls."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from tests.lanes.turns import turns

BACKEND = ("asyncio", {"loop_factory": lambda: SteppedLoop()})
"""Value of the fixture ``anyio_backend`` for tests that run on this loop."""


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when the test says so; everything else is asyncio's."""

    stands = True

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[asyncio.TimerHandle] = []
        self._waiting: list[asyncio.TimerHandle] = []
        self.woken = 0
        self._ready: deque[asyncio.Handle]  # of asyncio's own loop: what wants to run
        self.cpu = 0.0
        super().__init__()

    def time(self) -> float:
        """Return the time of this loop."""
        return self.now

    def call_at(  # type: ignore[override]  # its arguments are not looked at here
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer."""
        timer = super().call_at(when, callback, *args, context=context)
        self.timers.append(timer)
        heapq.heappush(self._waiting, timer)
        return timer

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Count how often the loop is woken."""
        self.woken += 1
        return super().call_soon_threadsafe(callback, *args, context=context)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, with everything that becomes due."""
        await self._settle()
        until = self.now + seconds
        while (due := self._next()) is not None and due <= until:
            self.now = due
            await self._settle()
        self.now = max(self.now, until)
        await self._settle()

    def _next(self) -> float | None:
        """Return the time of the next timer; forget those that are over or cancelled."""
        while self._waiting and (self._waiting[0].cancelled() or self._waiting[0].when() <= self.now):
            heapq.heappop(self._waiting)
        return self._waiting[0].when() if self._waiting else None

    async def _settle(self) -> None:
        """Give everything else on the loop ten turns, or fewer if nothing else wants one.

        Timers that are due come in the first, so that it always takes two.
        """
        await turns(2)
        for _ in range(8):
            if not self._ready:
                return
            await asyncio.sleep(0)

    def work(self, seconds: float) -> None:
        """Let time pass, and count it as CPU time."""
        self.now += seconds
        self.cpu += seconds

    async def stall(self, seconds: float) -> None:
        """Let time pass while the loop does nothing."""
        self.now += seconds
        await self._settle()


def running() -> SteppedLoop:
    """Return the loop of the running test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    return loop
