"""Slices of work for many clients."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.lanes.turns import until
from wirespeed.hub import slices
from wirespeed.hub.slices import Slices

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that passes a second with each step."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def steps(self, name: str, count: int) -> Iterator[None]:
        """Do some steps of work."""
        for _ in range(count):
            self.done.append(name)
            self.now += 1
            yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the slices, each of which has three and a half seconds."""
    clock = Clock()
    monkeypatch.setattr(slices, "SLICE", 3.5)
    monkeypatch.setattr(slices, "perf_counter", lambda: clock.now)
    return clock


async def test_all_that_begin_in_one_turn_share_a_slice(clock: Clock) -> None:
    """However many begin, a turn takes no longer; the rest follows in order."""
    work = Slices()
    for name in "abcdef":
        work.begin(clock.steps(name, 2))
    assert clock.done == ["a", "a", "b", "b"]
    await asyncio.sleep(0)
    assert clock.done == ["a", "a", "b", "b", "c", "c", "d", "d"]
    work.begin(clock.steps("g", 1))
    await until(lambda: len(clock.done) == 13)
    assert "".join(clock.done) == "aabbccddeeffg"


async def test_what_is_added_waits_for_the_next_turn(clock: Clock) -> None:
    """Work that is added is not begun at once, and what begins later comes behind it."""
    work = Slices()
    work.add(clock.steps("a", 1))
    work.begin(clock.steps("b", 1))
    assert clock.done == []
    await asyncio.sleep(0)
    assert clock.done == ["a", "b"]


async def test_first_step_is_taken_at_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that begins in a turn without other work has a step at least, and each turn takes another one."""
    monkeypatch.setattr(slices, "SLICE", -1.0)
    work = Slices()
    work.begin(clock.steps("a", 2))
    work.begin(clock.steps("b", 1))
    assert clock.done == ["a"]
    await until(lambda: clock.done == ["a", "a", "b"])


async def test_failure_ends_its_own_work_only(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Work that raises is logged and ends, and what is behind it goes on in the same slice."""

    def failing() -> Iterator[None]:
        yield from clock.steps("a", 1)
        raise ValueError("no")

    work = Slices("It went wrong.")
    work.begin(failing())
    work.begin(clock.steps("b", 1))
    assert clock.done == ["a", "b"]
    assert "It went wrong." in caplog.text


def test_loop_that_ends_early(clock: Clock) -> None:
    """Work that is left of a loop that has ended goes on with the next work in another one."""
    work = Slices()

    async def begin(name: str) -> None:
        work.begin(clock.steps(name, 20))

    for name in "ab":
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin(name))
        if name == "b":
            loop.run_until_complete(until(lambda: len(clock.done) == 40))
        loop.close()
    assert "".join(clock.done) == 20 * "a" + 20 * "b"
