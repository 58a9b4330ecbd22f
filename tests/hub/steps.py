"""A loop whose time and timers the test controls."""

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
        """Cancel the timer."""
        self.cancelled = True


class SteppedLoop:
    """A loop whose time passes only when the test says so; it counts how often its time was read."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.set: list[Timer] = []

    @property
    def timers(self) -> list[Timer]:
        """Return the pending timers."""
        return sorted(timer for timer in self.set if not timer.cancelled)

    def time(self) -> float:
        """Return the time of this loop."""
        self.asked += 1
        return self.now

    def call_at(self, at: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        """Set a timer."""
        heapq.heappush(self.set, timer := Timer(at, lambda: callback(*arguments)))
        return timer

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with everything that becomes due."""
        until = self.now + seconds
        while self.set and self.set[0].at <= until:
            timer = heapq.heappop(self.set)
            if not timer.cancelled:
                self.now = max(self.now, timer.at)
                timer.callback()
        self.now = until
