"""The heartbeat: keeps quiet responses alive, which proxies would give up."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from ..isolation import for_each, log_error
from ..lanes.lane import Lane
from .clock import SLICE

_BATCH = 32


class Heartbeat:
    """Writes a few bytes that mean nothing to the client onto each lane, once per interval. One timer serves all lanes.

    Args:
        interval: Seconds between two beats of a lane. The first one comes after at least half of that: until then, a
            response that has not started can still become an error.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._loop = loop
        self._interval = interval
        # The timer fires twice per interval. The groups take turns, and a lane joins the group that has just had its
        # turn.
        self._resting: dict[Lane, bytes] = {}
        self._next: dict[Lane, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._left: list[Lane] = []

    @contextmanager
    def of(self, lane: Lane, beat: bytes) -> Iterator[None]:
        """Keep a lane alive for as long as this is entered."""
        if not beat:
            yield
            return
        self._resting[lane] = beat
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval / 2, self._beat)
        try:
            yield
        finally:
            self._forget(lane)
            if not (self._resting or self._next) and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _forget(self, lane: Lane) -> None:
        self._resting.pop(lane, None)
        self._next.pop(lane, None)

    def _beat(self) -> None:
        self._timer = self._loop.call_later(self._interval / 2, self._beat)
        self._resting, self._next = self._next, self._resting
        is_busy, self._left = bool(self._left), [*self._left, *self._resting]
        if not is_busy:
            self._continue()

    def _continue(self) -> None:
        end = perf_counter() + SLICE
        while self._left and perf_counter() < end:
            some, self._left = self._left[-_BATCH:], self._left[:-_BATCH]
            for_each(some, self._write, self._give_up)
        if self._left:
            self._loop.call_soon(self._continue)

    def _write(self, lane: Lane) -> None:
        beat = self._resting.get(lane) or self._next.get(lane)
        if beat is not None and lane.writable():
            lane.write(beat, 0)

    def _give_up(self, lane: Lane, error: Exception) -> None:
        log_error(error, "A response was given up because it could not be written to.")
        self._forget(lane)
        lane.on_lost()
