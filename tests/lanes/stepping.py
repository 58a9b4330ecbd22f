"""An event loop whose clock is controlled by the test."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest


class SteppedLoop:
    """A loop of timers only. Its time passes when the test calls for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """Return the time of this loop."""
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> object:
        """Set a timer. Timers must be set in the order in which they are due."""
        self.timers.append((self.now + delay, callback))
        return self.timers[-1]

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call a function before anything else, in the next turn."""
        self.timers.insert(0, (self.now, callback))

    def pass_time(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Let time pass, and call ``meanwhile`` before each timer that becomes due."""
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            meanwhile()
            self.now, callback = self.timers.pop(0)
            callback()
        self.now = until


def step_sweeps(monkeypatch: pytest.MonkeyPatch) -> SteppedLoop:
    """Return the loop that controls the time of all sweeps of this test."""
    loop = SteppedLoop()
    monkeypatch.setattr("wirespeed.lanes.sweep.asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    return loop
