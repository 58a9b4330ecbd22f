"""The lag of an event loop: how late its timers are."""

import asyncio
from collections import deque
from time import monotonic

from ..definitions import LoopLag

INTERVAL = 0.5
"""Seconds between two measurements. An idle process wakes up for nothing else."""

_MEASUREMENTS = 20
"""Measurements that count: those of the last ten seconds."""


class LagMeter:
    """Measures how late one timer of an event loop is, again and again, from :meth:`start` to :meth:`stop`."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=_MEASUREMENTS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wait(loop)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._loop = self._handle = None
        self._lags.clear()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        # Not the loop's own clock: uvloop's stands still while code blocks the loop.
        self._due = monotonic() + INTERVAL
        self._handle = loop.call_later(INTERVAL, self._measure)

    def _measure(self) -> None:
        self._lags.append(max(monotonic() - self._due, 0.0))
        if self._loop is not None:
            self._wait(self._loop)

    def lag(self) -> LoopLag:
        """Return the lag in the last ten seconds; from any thread."""
        lags = self._lags.copy()
        if not lags or self._loop is None or self._loop.is_closed():
            return LoopLag()
        return LoopLag(sum(lags) / len(lags), max(lags))
