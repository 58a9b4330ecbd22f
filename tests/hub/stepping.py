"""A real event loop whose clock the test controls."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from tests.lanes.turns import turns

BACKEND = ("asyncio", {"loop_factory": lambda: SteppedLoop()})
"""Value of the fixture ``anyio_backend`` for tests that run on this loop."""


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when the test says so; everything else is asyncio's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[asyncio.TimerHandle] = []
        self.woken = 0
        self.cpu = 0.0
        super().__init__()

    def time(self) -> float:
        """Return the time of this loop."""
        return self.now

    def call_at(  # type: ignore[override]  # its arguments are not looked at here
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer."""
        self.timers.append(super().call_at(when, callback, *args, context=context))
        return self.timers[-1]

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Count how often the loop is woken."""
        self.woken += 1
        return super().call_soon_threadsafe(callback, *args, context=context)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, with everything that becomes due."""
        await turns(10)
        until = self.now + seconds
        while due := [each.when() for each in self.timers if not each.cancelled() and self.now < each.when() <= until]:
            self.now = min(due)
            await turns(10)
        self.now = max(self.now, until)
        await turns(10)

    def work(self, seconds: float) -> None:
        """Let time pass, and count it as CPU time."""
        self.now += seconds
        self.cpu += seconds

    async def stall(self, seconds: float) -> None:
        """Let time pass while the loop does nothing."""
        self.now += seconds
        await turns(10)


def running() -> SteppedLoop:
    """Return the loop of the running test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    return loop
