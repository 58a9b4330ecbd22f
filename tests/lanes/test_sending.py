"""What the lanes over ASGI's ``send`` have in common, for both of them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.lanes.turns import turns
from wirespeed.frames import TEXT, frame
from wirespeed.lanes.asgi import AsgiLane
from wirespeed.lanes.http import HttpLane
from wirespeed.lanes.lane import Traffic
from wirespeed.lanes.sending import SendingLane

pytestmark = pytest.mark.anyio

HALF = frame(TEXT, b"x" * 48)
"""A frame of half the limit."""

Make = Callable[..., SendingLane]


@pytest.fixture(params=[AsgiLane, HttpLane])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a lane of each kind."""

    def make(send: Any, **options: Any) -> SendingLane:
        lane: SendingLane = request.param(send, Traffic(), limit=100, **{"stall_timeout": 60, **options})
        return lane

    return make


class Guard:
    """Keeps count of what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_closing = False

    def wrote(self) -> None:
        """Something was written."""
        self.calls.append("wrote")

    def closing(self) -> bool:
        """Whether nothing more may be written."""
        return self.is_closing

    def finish(self) -> None:
        """It is over."""
        self.calls.append("finish")


async def never(message: Any) -> None:
    """A client that takes nothing."""
    await asyncio.Event().wait()


async def test_room_is_limited(make: Make) -> None:
    """A lane is writable up to its limit, however slow the server, and again when that has taken what waited."""
    gate = asyncio.Event()

    async def send(message: Any) -> None:
        await gate.wait()

    lane = make(send)
    for expected in (True, False):
        lane.write(HALF, 1)
        assert lane.writable() is expected
    draining = asyncio.create_task(lane.drained())
    await turns(5)
    assert not draining.done()
    gate.set()
    await draining
    assert lane.writable()


async def test_client_that_takes_nothing_is_given_up(make: Make) -> None:
    """After the timeout the lane is closing, waits for nobody, and tells who wants to know."""
    lane = make(never, stall_timeout=0.01)
    lost = asyncio.Event()
    lane.on_lost = lost.set
    lane.write(HALF * 2, 2)
    async with asyncio.timeout(5):
        await lane.drained()
        await lost.wait()
    assert lane.closing()


async def test_finish_leaves_no_task(make: Make) -> None:
    """What is held is given up with its task."""
    before = asyncio.all_tasks()
    lane = make(never)
    lane.write(HALF, 1)
    await turns(5)
    assert asyncio.all_tasks() > before
    await lane.finish()
    assert asyncio.all_tasks() == before
    assert lane.closing()


async def test_guard_is_asked_and_told(make: Make) -> None:
    """A guard hears of each piece and of the end; when it says so, nothing more is taken."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard()
    lane = make(send, guard=guard)
    lane.write(HALF, 1)
    await turns(5)
    guard.is_closing = True
    count = len(sent)
    lane.write(HALF, 1)
    await turns(5)
    await lane.finish()
    assert (guard.calls, len(sent), lane.closing()) == (["wrote", "finish"], count, True)
