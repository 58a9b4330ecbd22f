"""A loop whose time and timers are the test's."""

import heapq
from collections.abc import Callable
from typing import Any


class Timer:
    """One timer of the loop."""

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def __lt__(self, other: "Timer") -> bool:
        return self.at < other.at

    def cancel(self) -> None:
        """It is not wanted any more."""
        self.cancelled = True


class SteppedLoop:
    """A loop whose time passes when it is told to; it counts how often it was asked for the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.set: list[Timer] = []

    @property
    def timers(self) -> list[Timer]:
        """The timers that are still to come."""
        return sorted(timer for timer in self.set if not timer.cancelled)

    def time(self) -> float:
        """The time of this loop."""
        self.asked += 1
        return self.now

    def call_at(self, at: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        """Sets a timer."""
        heapq.heappush(self.set, timer := Timer(at, lambda: callback(*arguments)))
        return timer

    def pass_time(self, seconds: float) -> None:
        """Lets time pass, with all that is due in it."""
        until = self.now + seconds
        while self.set and self.set[0].at <= until:
            timer = heapq.heappop(self.set)
            if not timer.cancelled:
                self.now = max(self.now, timer.at)
                timer.callback()
        self.now = until
