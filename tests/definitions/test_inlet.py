"""The inlet: what threads want of a loop is made in order and in slices, and waits within a bound."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.definitions import Inlet
from wirespeed.definitions import inlet as module
from wirespeed.definitions.inlet import BESIDE
from wirespeed.errors import BacklogFull

pytestmark = pytest.mark.anyio

MOST = 10 * BESIDE
WHAT = "An action"


def in_thread(work: Callable[[], object]) -> None:
    """Do something in another thread, to its end, while the loop is blocked."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def numbers(inlet: Inlet, made: list[int], count: int) -> Callable[[], None]:
    """Return work that lets the running loop add some numbers to a list."""
    loop = asyncio.get_running_loop()

    def work() -> None:
        for number in range(count):
            inlet.call(loop, WHAT, made.append, number)

    return work


async def test_thread_of_the_loop_does_not_wait() -> None:
    """In its loop, a call is made at once, whatever waits."""
    inlet, made, loop = Inlet(MOST), list[str](), asyncio.get_running_loop()
    in_thread(lambda: inlet.call(loop, WHAT, made.append, "x" * 2 * MOST))
    inlet.call(loop, WHAT, made.append, "now")
    assert made == ["now"]
    await until(lambda: len(made) == 2)


async def test_calls_are_bounded() -> None:
    """One call more than may wait is refused, by the bytes of their texts; once they are made, there is room again."""
    inlet, made, loop = Inlet(MOST), list[str](), asyncio.get_running_loop()
    text, refused = "x" * BESIDE, list[BacklogFull]()

    def send() -> None:
        for _ in range(100):
            try:
                inlet.call(loop, WHAT, made.append, text)
            except BacklogFull as full:
                refused.append(full)

    for number in (1, 2):
        in_thread(send)
        assert len(refused) == number * 95
        assert (refused[-1].what, refused[-1].waiting) == (WHAT, MOST)
        await until(lambda number=number: made == [text] * 5 * number)  # type: ignore[misc]


async def test_one_call_may_always_wait() -> None:
    """A call that is larger than the bound waits if no other does."""
    inlet, made, loop = Inlet(MOST), list[bytes](), asyncio.get_running_loop()
    in_thread(lambda: inlet.call(loop, WHAT, made.append, b"x" * 2 * MOST))
    await until(lambda: made == [b"x" * 2 * MOST])


async def test_calls_are_made_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work runs between calls that take long; all are made in their order."""
    monkeypatch.setattr(module, "_SLICE", 0.0)
    inlet, made = Inlet(), list[int]()
    in_thread(numbers(inlet, made, 10))
    seen = set()
    while len(made) < 10:
        seen.add(len(made))
        await turns(1)
    assert len(seen) == 10
    assert made == [*range(10)]


async def test_all_calls_are_made_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the app stops, everything that waits is made at once."""
    monkeypatch.setattr(module, "_SLICE", 0.0)
    inlet, made, loop = Inlet(), list[int](), asyncio.get_running_loop()
    in_thread(numbers(inlet, made, 10))
    inlet.empty(loop)
    assert made == [*range(10)]
    in_thread(lambda: inlet.call(loop, WHAT, made.append, 10))
    await until(lambda: len(made) == 11)


async def test_call_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a call is logged, and the next one is made."""
    inlet, made, loop = Inlet(), list[int](), asyncio.get_running_loop()

    def fail() -> None:
        raise ValueError("it fails")

    in_thread(lambda: inlet.call(loop, WHAT, fail))
    in_thread(numbers(inlet, made, 1))
    await until(lambda: made == [0])
    assert "it fails" in caplog.text


def test_calls_of_a_closed_loop_are_forgotten() -> None:
    """Calls that wait for a loop that is closed are forgotten, and count no longer."""

    class Thing:
        """Something that a call holds."""

    inlet, thing = Inlet(MOST), Thing()
    held = weakref.ref(thing)
    closed = asyncio.new_event_loop()
    inlet.call(closed, WHAT, lambda *_: None, thing, "x" * MOST)
    closed.close()
    del thing
    loop, made = asyncio.new_event_loop(), list[str]()
    inlet.call(loop, WHAT, made.append, "next")
    gc.collect()
    assert held() is None
    loop.run_until_complete(turns(2))
    loop.close()
    inlet.call(loop, WHAT, partial(made.append, "late"))
    assert made == ["next"]
