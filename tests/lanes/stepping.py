"""A loop whose clock is the test's."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest


class SteppedLoop:
    """A loop whose time passes when it is told to: its timers, and nothing else of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        """The time of this loop."""
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> object:
        """Sets a timer; they are set in the order in which they are due."""
        self.timers.append((self.now + delay, callback))
        return self.timers[-1]

    def pass_time(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Lets time pass, and something happen before each timer that is due in it."""
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            meanwhile()
            self.now, callback = self.timers.pop(0)
            callback()
        self.now = until


def step_sweeps(monkeypatch: pytest.MonkeyPatch) -> SteppedLoop:
    """The loop whose time it is for all sweeps of this test."""
    loop = SteppedLoop()
    monkeypatch.setattr("wirespeed.lanes.sweep.asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    return loop
