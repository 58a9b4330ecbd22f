"""The clock: when news is written. One for all feeds of an event loop; there is no timer per watcher.

The first news after a quiet time is written in the loop's next turn. While there is much, news gathers: the next round
begins no sooner than one time what the last one has cost after its end, so that at most half of the loop's time goes
into writing; and one and a half times where each write carries many values already, or stands for them, so that it is
two fifths. A round is done in slices, between which requests are served, and each of those with news gets a part of a
slice in turn.

What a round has cost is counted in CPU time: on a busy machine a slice takes longer than it works.
"""

import asyncio
from collections import deque
from time import perf_counter, thread_time
from typing import Protocol

from ..isolation import log_error

MANY = 8
"""Values per write, those it stands for counted, above which waiting for more costs little and saves much."""
_MOST_FAILURES = 1000
"""Steps that may fail in a round, before a turn that fails loses what is left of it."""
SLICE = 0.002
"""Seconds for which a round goes on at once."""


class Turn(Protocol):
    """Something that has news, and those whom it is told to."""

    def begin(self) -> None:
        """Its turn begins; news from now on is for the next one."""

    def step(self) -> bool:
        """Tells some; whether there are more. If it raises, it goes on behind those that it could not tell."""


class Clock:
    """Gives everything with news its turn.

    Args:
        loop: The event loop.
        shortest: Seconds between two rounds, at least.
        longest: Seconds between two rounds, at most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shortest: float = 0.004, longest: float = 0.05) -> None:
        self._loop = loop
        self._shortest = shortest
        self._longest = longest
        self._due: list[Turn] = []
        self._fresh: deque[Turn] = deque()
        self._round: deque[Turn] = deque()
        self._last: deque[Turn] = deque()
        self._handle: asyncio.Handle | None = None
        self._next = 0.0
        self._cost = 0.0
        self._writes = 0
        self._values = 0
        self._failures = 0

    def note(self, writes: int, values: int) -> None:
        """Counts what a turn has written, and how many values went or were passed over with it."""
        self._writes += writes
        self._values += values

    def wake(self, turn: Turn) -> None:
        """Something has news; it calls this once until its turn begins."""
        self._due.append(turn)
        if self._handle is None:
            self._schedule()

    def wake_last(self, turn: Turn) -> None:
        """Something is due when all others have had their turn: in this round if one goes on, or else in the next."""
        self._last.append(turn)
        if self._handle is None:
            self._schedule()

    def flush(self) -> None:
        """Tells everything that there is to those who can take it, now."""
        if self._handle is not None:
            self._handle.cancel()
        while self._due or self._is_going_on():
            self._begin_all()
            while self._is_going_on():
                self._step()
        self._rest()

    def _is_going_on(self) -> bool:
        return bool(self._fresh or self._round or self._last)

    def _schedule(self) -> None:
        if self._next <= self._loop.time():
            self._handle = self._loop.call_soon(self._begin)
        else:
            self._handle = self._loop.call_at(self._next, self._begin)

    def _begin(self) -> None:
        self._cost = 0.0
        self._writes = self._values = 0
        self._begin_all()
        self._go_on()

    def _begin_all(self) -> None:
        self._fresh.extend(self._due)
        self._due.clear()

    def _go_on(self) -> None:
        begun = now = perf_counter()
        cost = thread_time()
        while self._is_going_on() and now - begun < SLICE:
            self._step()
            now = perf_counter()
        self._cost += thread_time() - cost
        if self._is_going_on():
            self._handle = self._loop.call_soon(self._go_on)
        else:
            self._rest()

    def _step(self) -> None:
        # Each has its first part before any has a second one.
        is_fresh, waiting = bool(self._fresh), self._round if self._fresh or self._round else self._last
        turn = (self._fresh or waiting).popleft()
        try:
            if is_fresh:
                turn.begin()
            if turn.step():
                waiting.append(turn)
        except Exception as error:
            self._failures += 1
            if self._failures <= _MOST_FAILURES:
                waiting.append(turn)
            log_error(error, "News could not be written.")

    def _rest(self) -> None:
        self._handle = None
        self._failures = 0
        has_many = self._writes > 0 and self._values >= MANY * self._writes
        gap = 1.5 * self._cost if has_many else self._cost
        self._next = self._loop.time() + min(max(gap, self._shortest), self._longest)
        if self._due:
            self._schedule()


RATES = (1, 2, 5, 10, 20, 30, 60)
"""How often per second watchers can be told, where not at once: classes, of which each in use has one timer."""

FRAME_RATE = 125
"""How often per second a client of many channels is written to: a page pays for each frame, and paints 60 times. What
is conflated is conflated to this."""


def rate_class(per_second: float | None) -> int | None:
    """The class for a rate: the highest that is not above it; None for as soon as there is news.

    Raises:
        ValueError: The rate is below the lowest class.
    """
    if per_second is None:
        return None
    fitting = [rate for rate in RATES if rate <= per_second]
    if not fitting:
        raise ValueError(f"a rate is at least {RATES[0]} per second, not {per_second:g}")
    return fitting[-1]


class Pace:
    """A class of rates: hands what has news to the clock, so many times per second.

    Args:
        loop: The event loop.
        clock: The clock.
        rate: How many times per second.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, rate: int) -> None:
        self._loop = loop
        self._clock = clock
        self._interval = 1 / rate
        self._due: list[Turn] = []
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def wake(self, turn: Turn) -> None:
        """Something has news; it calls this once until its turn begins."""
        self._due.append(turn)
        if self._timer is None:
            # At once after a quiet time; two ticks are never nearer than half an interval, even after a late one.
            self._next = max(self._next, self._loop.time())
            self._timer = self._loop.call_at(self._next, self._tick)

    def _tick(self) -> None:
        due, self._due = self._due, []
        self._timer = None
        for turn in due:
            self._clock.wake(turn)
        self._next = max(self._next + self._interval, self._loop.time() + self._interval / 2)

    def flush(self) -> None:
        """Hands over what waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._tick()
