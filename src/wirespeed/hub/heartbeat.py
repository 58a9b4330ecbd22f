"""The heartbeat: proxies give up responses that are quiet for long."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from ..isolation import for_each, log_error
from ..lanes.lane import Lane
from .clock import SLICE

_COMMENT = b":\n\n"
_BATCH = 32


class Heartbeat:
    """Writes a comment onto all lanes of Server-Sent Events every now and then; one timer for all.

    Args:
        loop: The event loop.
        interval: Seconds between two.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._loop = loop
        self._interval = interval
        self._lanes: set[Lane] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._left: list[Lane] = []

    @contextmanager
    def of(self, lane: Lane) -> Iterator[None]:
        """A lane is kept alive for as long as this is entered."""
        self._lanes.add(lane)
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._beat)
        try:
            yield
        finally:
            self._lanes.discard(lane)
            if not self._lanes and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _beat(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._beat)
        is_going_on, self._left = bool(self._left), list(self._lanes)
        if not is_going_on:
            self._go_on()

    def _go_on(self) -> None:
        end = perf_counter() + SLICE
        while self._left and perf_counter() < end:
            some, self._left = self._left[-_BATCH:], self._left[:-_BATCH]
            for_each(some, self._comment, self._give_up)
        if self._left:
            self._loop.call_soon(self._go_on)

    def _comment(self, lane: Lane) -> None:
        if lane in self._lanes and lane.writable():
            lane.write(_COMMENT, 0)

    def _give_up(self, lane: Lane, error: Exception) -> None:
        log_error(error, "A response was given up: it could not be written to.")
        self._lanes.discard(lane)
        lane.on_lost()
