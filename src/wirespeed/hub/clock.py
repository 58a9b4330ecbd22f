"""The clock: decides when news is written. There is one for all feeds of an event loop, and no timer per watcher.

The first news after a quiet time is written in the loop's next turn. While there is much, news gathers: the next round
begins no sooner than one time what the last one has cost after its end, so that at most half of the loop's time goes
into writing; and one and a half times where each write carries many values already, or stands for them, so that it is
two fifths. A round is done in slices, between which requests are served, and each of those with news gets a part of a
slice in turn.

What a round has cost is counted in CPU time: on a busy machine a slice takes longer than it works.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Protocol

from ..isolation import failure, isolated, log_error

MANY = 8
"""Values per write, skipped ones included, above which waiting for more costs little and saves much."""
_MOST_FAILURES = 1000
"""Steps that may fail in a round; after that, a turn that fails loses the rest of its work."""
SLICE = 0.002
"""Seconds that a round continues without letting other code run."""


class Turn(Protocol):
    """Something that has news for a group of watchers."""

    def begin(self) -> None:
        """Begin a turn; later news belongs to the next one."""

    def step(self) -> bool:
        """Serve some watchers; return True if there are more. After an error, the next step continues behind them."""


class Clock:
    """Gives everything that has news its turn.

    Args:
        shortest: Seconds between two rounds, even if the last one has cost less.
        longest: Seconds between two rounds, even if the last one has cost more: news is not delayed further.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shortest: float = 0.004, longest: float = 0.05) -> None:
        self._loop = loop
        self._shortest = shortest
        self._longest = longest
        # Turns for the next round; those of this round before their first step, and after it; those that come last.
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
        self._after: list[Callable[[], None]] = []
        self.frames: Pace | None = None
        """The rate of clients of many channels; None if it is not used."""
        self.published: float | None = None
        """Time at which the publications were made that are being taken, in seconds of ``perf_counter``; None if they
        are being made at this moment."""

    def after_round(self, callback: Callable[[], None]) -> None:
        """Call a function when the news of this moment was written: after the round that writes it, or at once.

        News for pages waits for their next frame. Lower rates do not count.
        """
        if self.frames is not None and self.frames.waits(callback):
            return
        if self._handle is None:
            callback()
        else:
            self._after.append(callback)

    def publish_since(self, since: float | None) -> None:
        """Note when the publications were made that follow, in seconds of ``perf_counter``; None if they are new."""
        self.published = since

    def note(self, writes: int, values: int) -> None:
        """Count the writes of a turn, and the values that were written or skipped by them."""
        self._writes += writes
        self._values += values

    def wake(self, turn: Turn) -> None:
        """Note that something has news; called once until its turn begins."""
        self._due.append(turn)
        if self._handle is None:
            self._schedule()

    def wake_last(self, turn: Turn) -> None:
        """Give something its turn after all others: in the current round if there is one, otherwise in the next.

        Only :meth:`Turn.step` is called, because it also has to serve what becomes ready during the round.
        """
        self._last.append(turn)
        if self._handle is None:
            self._schedule()

    def flush(self) -> None:
        """Write all news to the watchers that have room, now."""
        if self._handle is not None:
            self._handle.cancel()
        try:
            while self._due or self._is_going_on():
                self._begin_all()
                while self._is_going_on():
                    self._step()
        finally:
            self._continue()

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
        try:
            while self._is_going_on() and now - begun < SLICE:
                self._step()
                now = perf_counter()
        finally:
            self._cost += thread_time() - cost
            self._continue()

    def _continue(self) -> None:
        """Arrange the next slice of the round, or the time until the next round; however the slice has ended."""
        if self._is_going_on():
            self._handle = self._loop.call_soon(self._go_on)
        else:
            self._rest()

    def _step(self) -> None:
        # Everything gets its first step before anything gets a second one.
        is_fresh, waiting = bool(self._fresh), self._round if self._fresh or self._round else self._last
        turn = (self._fresh or waiting).popleft()
        try:
            if is_fresh:
                turn.begin()
            if turn.step():
                waiting.append(turn)
        except BaseException as error:
            self._failures += 1
            if self._failures <= _MOST_FAILURES:
                waiting.append(turn)
            log_error(failure(error), "News could not be written.")

    def _rest(self) -> None:
        self._handle = None
        self._failures = 0
        has_many = self._writes > 0 and self._values >= MANY * self._writes
        gap = 1.5 * self._cost if has_many else self._cost
        self._next = self._loop.time() + min(max(gap, self._shortest), self._longest)
        if self._due:
            self._schedule()
        if self._after:
            self._call_after()

    def _call_after(self) -> None:
        after, self._after = self._after, []
        for callback in after:
            with isolated("What follows a round failed."):
                callback()


RATES = (1, 2, 5, 10, 20, 30, 60)
"""Writes per second of watchers with a limited rate: classes, of which each in use has one timer."""

FRAME_RATE = 125
"""Writes per second to a client of many channels: a page pays for each frame, and paints 60 times per second. Newest
values are conflated to this rate."""


def rate_class(per_second: float | None) -> int | None:
    """Return the class for a rate: the highest that is not above it; None for no limit.

    Raises:
        ValueError: The rate is below the lowest class.
    """
    if per_second is None:
        return None
    fitting = [rate for rate in RATES if rate <= per_second]
    if not fitting:
        raise ValueError(f"a rate must be at least {RATES[0]} per second, not {per_second:g}")
    return fitting[-1]


class Pace:
    """A class of rates: hands everything with news to the clock, at a fixed number of times per second.

    Attributes:
        rate: Number of times per second.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, rate: int) -> None:
        self._loop = loop
        self._clock = clock
        self.rate = rate
        self._interval = 1 / rate
        self._due: list[Turn] = []
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._after: list[Callable[[], None]] = []
        if rate == FRAME_RATE:
            clock.frames = self

    def waits(self, callback: Callable[[], None]) -> bool:
        """Return True if something waits for the next tick; the function is called after the round that follows it."""
        if self._timer is not None:
            self._after.append(callback)
        return self._timer is not None

    def wake(self, turn: Turn) -> None:
        """Note that something has news; called once until its turn begins."""
        self._due.append(turn)
        if self._timer is None:
            # After a quiet time, tick at once. Two ticks are never closer than half an interval, even after a late one.
            self._next = max(self._next, self._loop.time())
            self._timer = self._loop.call_at(self._next, self._tick)

    def _tick(self) -> None:
        due, self._due = self._due, []
        self._timer = None
        for turn in due:
            self._clock.wake(turn)
        after, self._after = self._after, []
        for callback in after:
            self._clock.after_round(callback)
        self._next = max(self._next + self._interval, self._loop.time() + self._interval / 2)

    def flush(self) -> None:
        """Hand over everything that waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._tick()
