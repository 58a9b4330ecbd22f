"""The fake clock: time passes only when the test says so.

::

    async with lifespan(app), clock() as time, multiplexed(app) as client:
        await client.subscribe("price/BTC")
        await time.advance(10)

It works in the loop that is running already, so it does not depend on a plugin of pytest.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from math import isfinite
from time import monotonic, sleep
from typing import Any, Final

from anyio.to_thread import current_default_thread_limiter

from ..hub.clock import FRAME_RATE, Clock, Pace

MOST_TURNS: Final = 100_000
"""Turns of the loop at one moment, after which something is taken to never wait."""

QUIET_TURNS: Final = 2
"""Turns in which nothing happens, after which nothing is left to do."""

PATIENCE: Final = 30.0
"""Real seconds to wait for worker threads."""

LOOK: Final = 0.0005
"""Real seconds between two looks at worker threads."""

NEARLY: Final = 1e-6
"""Seconds before its time at which a timer rings: sums of seconds are rounded."""


class FakeClock:
    """A clock that stands still. :func:`clock` makes it.

    Attributes:
        is_running: True from the beginning to the end of its block.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_running = False
        self._loop: Any = loop
        if not (hasattr(loop, "_scheduled") and hasattr(loop, "_ready")):
            raise RuntimeError(
                f"the fake clock works with the event loops of asyncio, not with {type(loop).__module__}; "
                "run this test without uvloop"
            )
        before = loop.time
        owner = getattr(before, "__self__", None)
        # Of two clocks, one would end with the other's `time.time()` in place, which then stands still for good.
        for other in (owner, getattr(time.time, "__self__", None)):
            if isinstance(other, FakeClock) and other.is_running:
                raise RuntimeError("a fake clock is running already in this process, which has one at a time")
        # An earlier clock of the loop has gone ahead of the real time, and the loop's time never goes back.
        self._real: Callable[[], float] = owner._real if isinstance(owner, FakeClock) else before
        self._ahead: float = owner._ahead if isinstance(owner, FakeClock) else 0.0
        self._call_at: Callable[..., asyncio.TimerHandle] = loop.call_at
        self._began = self._now = loop.time()
        self._unix = time.time()
        self._real_unix = time.time
        self._advancing = asyncio.Lock()
        """Held by the one task that lets time pass: two of them would each take the other for work left to do."""

    def _start(self) -> None:
        """Stop the time of the loop, and ``time.time()``."""
        self.is_running = True
        self._loop.time = self.time
        self._loop.call_at = self._set_timer
        time.time = self.unix

    def _stop(self) -> None:
        """Let time go on by itself again, from where it is."""
        self.is_running = False
        self._ahead = self._now - self._real()
        self._loop.call_at = self._call_at
        time.time = self._real_unix

    def time(self) -> float:
        """Return the time of the event loop, in seconds."""
        return self._now if self.is_running else self._real() + self._ahead

    def unix(self) -> float:
        """Return the time since 1970 that ``time.time()`` returns while the clock is running."""
        return self._unix + self._now - self._began

    @property
    def passed(self) -> float:
        """Seconds that have passed on this clock, to the microsecond: the loop's times have rounding errors."""
        return round(self._now - self._began, 6)

    def _set_timer(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer. The pauses between rounds of deliveries, at most 50 ms, take no time here."""
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, Clock) or (isinstance(owner, Pace) and owner.rate == FRAME_RATE):
            when = self._now
        return self._call_at(when, callback, *args, context=context)

    async def advance(self, seconds: float) -> None:
        """Let time pass. Each timer that becomes due rings at its own time, with everything that follows from it.

        Args:
            seconds: Number of seconds; with 0, only what is due now is done.

        Raises:
            ValueError: The number is negative or not finite.
            RuntimeError: Something keeps the loop busy without waiting for time to pass.
            TimeoutError: A worker thread did not finish within 30 real seconds.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        if not isfinite(seconds):
            raise ValueError(f"time cannot pass for {seconds} seconds")
        async with self._advancing:
            until = self._now + seconds
            await self._pass(lambda: False, until)
            self._now = max(self._now, until)
            await self._settle()

    async def advance_until(self, holds: Callable[[], object], within: float) -> bool:
        """Let time pass, from timer to timer, until something holds. Raise as :meth:`advance` does.

        Args:
            holds: The condition.
            within: Number of seconds to let pass at most.

        Returns:
            True if it holds; False if the time has passed, or no timer is left, and it does not.
        """
        async with self._advancing:
            await self._pass(holds, self._now + within)
        return bool(holds())

    async def settle(self) -> None:
        """Do everything that is due now, until nothing is left to do. Raise as :meth:`advance` does."""
        async with self._advancing:
            await self._settle()

    async def _pass(self, holds: Callable[[], object], until: float) -> None:
        """Go from timer to timer, until something holds or the next timer is later than a time."""
        await self._settle()
        while not holds() and (due := self._next_timer()) is not None and due <= until + NEARLY:
            self._now = max(self._now, due)
            await self._settle()

    def _next_timer(self) -> float | None:
        """Return the time of the next timer; None if there is none."""
        return min((each.when() for each in self._loop._scheduled if not each.cancelled()), default=None)

    async def _settle(self) -> None:
        deadline = monotonic() + PATIENCE
        quiet = turns = 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            quiet, turns = (0, turns + 1) if self._is_busy() else (quiet + 1, turns)
            if turns > MOST_TURNS:
                raise RuntimeError(
                    f"something has kept the loop busy for {MOST_TURNS} turns without waiting for time to pass, such "
                    "as a generator that yields without an await, or with asyncio.sleep(0)"
                )
            if quiet and current_default_thread_limiter().borrowed_tokens:
                if monotonic() > deadline:
                    raise TimeoutError(f"a worker thread did not finish within {PATIENCE:g} s")
                sleep(LOOK)  # noqa: ASYNC251 - gives the thread the interpreter; nothing else has anything to do
                quiet = 0

    def _is_busy(self) -> bool:
        due = self._next_timer()
        return bool(self._loop._ready) or (due is not None and due <= self._now)


def fake_clock_of(loop: asyncio.AbstractEventLoop) -> FakeClock | None:
    """Return the fake clock of an event loop; None if its time passes by itself."""
    owner = getattr(loop.time, "__self__", None)
    return owner if isinstance(owner, FakeClock) and owner.is_running else None


@asynccontextmanager
async def clock() -> AsyncIterator[FakeClock]:
    """Make time stand still until the block ends, for the event loop and for ``time.time()``.

    Raises:
        RuntimeError: The event loop is not one of asyncio's, or the process has a fake clock already.
    """
    fake = FakeClock(asyncio.get_running_loop())
    fake._start()
    try:
        yield fake
    finally:
        fake._stop()
