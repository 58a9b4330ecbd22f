"""The properties of all lanes over ASGI's ``send``."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from tests.lanes.turns import counting_turns, turns, until
from tests.waiting import PATIENCE
from wirespeed.frames import TEXT, frame
from wirespeed.lanes import sending
from wirespeed.lanes.asgi import AsgiLane
from wirespeed.lanes.http import HttpLane
from wirespeed.lanes.lane import Traffic
from wirespeed.lanes.sending import SendingLane
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio

HALF = frame(TEXT, b"x" * 48)
"""A frame of half the limit."""

Make = Callable[..., SendingLane]


@pytest.fixture(params=[AsgiLane, HttpLane])
def make(request: pytest.FixtureRequest) -> Make:
    """Return a function that makes a lane; the test runs once for each kind."""

    def make(send: Any, stall_timeout: float = 60, **options: Any) -> SendingLane:
        settings = Settings(max_waiting_bytes=100, stall_timeout=stall_timeout)
        lane: SendingLane = request.param(send, Traffic(), settings, **options)
        return lane

    return make


class Guard:
    """A guard that records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.is_closing = False

    def wrote(self) -> None:
        """Record a write."""
        self.calls.append("wrote")

    def closing(self) -> bool:
        """Return True if nothing may be written any more."""
        return self.is_closing

    def finish(self) -> None:
        """Record the end."""
        self.calls.append("finish")

    async def left(self) -> None:
        """Return at once: the server knows already."""


async def test_sends_in_the_context_of_the_connection(make: Make) -> None:
    """Middleware sees the variables of the connection when a message is sent that another client has published."""
    user: ContextVar[str] = ContextVar("user")
    seen = list[str]()

    async def send(message: Any) -> None:
        seen.append(user.get())

    user.set("ada")
    lane = make(send)
    for name in ("bob", "carol"):
        user.set(name)
        lane.write(HALF, 1)
        await turns(5)
    assert set(seen) == {"ada"}


async def never(message: Any) -> None:
    """Stand for a client that accepts nothing."""
    await asyncio.Event().wait()


async def test_others_have_their_turns(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work of the loop runs while much is sent, though a send with room does not suspend."""
    monkeypatch.setattr(sending, "SLICE", 0.0)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    lane = make(send)
    async with counting_turns() as had:
        for _ in range(100):
            lane.write(HALF, 1)
        await until(lambda: lane.waiting() == 0)
        assert had() >= len(sent) > 0
    await lane.finish()


async def test_room_is_limited(make: Make) -> None:
    """A lane is writable up to its limit, and again when the server has accepted what was waiting."""
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
    """After the timeout, the lane is closing, its waiters continue, and the session is notified."""
    lane = make(never, stall_timeout=0.01)
    lost = asyncio.Event()
    lane.on_lost = lost.set
    lane.write(HALF * 2, 2)
    async with asyncio.timeout(PATIENCE):
        await lane.drained()
        await lost.wait()
    assert lane.closing()


async def test_finish_leaves_no_task(make: Make) -> None:
    """An end drops what is waiting, with its task."""
    before = asyncio.all_tasks()
    lane = make(never)
    lane.write(HALF, 1)
    await turns(5)
    assert asyncio.all_tasks() > before
    await lane.finish()
    assert asyncio.all_tasks() == before
    assert lane.closing()


async def test_guard_is_asked_and_told(make: Make) -> None:
    """A guard is notified of each piece and of the end. When it is closing, nothing more is accepted."""
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


async def three(lane: SendingLane) -> "list[asyncio.Task[None]]":
    """Start three waiters for room, one of them later than the others."""
    waiting = [asyncio.create_task(lane.drained()) for _ in range(2)]
    await turns(3)
    waiting.append(asyncio.create_task(lane.drained()))
    await turns(3)
    assert not any(task.done() for task in waiting)
    return waiting


async def all_of(waiting: "list[asyncio.Task[None]]") -> None:
    """Return when all of them have continued; raise TimeoutError if one has not."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*waiting)


async def test_all_that_wait_go_on(make: Make) -> None:
    """When there is room, all waiters continue."""
    gate = asyncio.Event()

    async def send(message: Any) -> None:
        await gate.wait()

    lane = make(send)
    lane.write(HALF * 2, 2)
    waiting = await three(lane)
    gate.set()
    await all_of(waiting)


async def fails(lane: SendingLane, gate: asyncio.Event) -> None:
    """Make the server's ``send`` raise."""
    gate.set()


async def finishes(lane: SendingLane, gate: asyncio.Event) -> None:
    """End the session."""
    await lane.finish()


async def finishes_at_once(lane: SendingLane, gate: asyncio.Event) -> None:
    """End the session before the task that sends has run."""
    assert lane._sender is not None
    lane._sender.cancel()
    await asyncio.wait([lane._sender])
    lane.write(HALF, 1)
    await lane.finish()


@pytest.mark.parametrize("error", [OSError("gone"), asyncio.CancelledError()], ids=["error", "cancelled"])
@pytest.mark.parametrize("end", [fails, finishes, finishes_at_once])
async def test_all_that_wait_go_on_at_the_end(make: Make, end: Any, error: BaseException) -> None:
    """However a lane ends, its waiters continue."""
    gate = asyncio.Event()

    async def send(message: Any) -> None:
        await gate.wait()
        raise error

    lane = make(send)
    lane.write(HALF * 2, 2)
    waiting = await three(lane)
    await end(lane, gate)
    await all_of(waiting)
    assert lane.closing()


async def test_a_piece_that_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are not UTF-8 cannot be sent as text: the connection is given up with one line in the log."""

    async def send(message: Any) -> None:
        pass

    lost = asyncio.Event()
    lane = AsgiLane(send, Traffic(), Settings(max_waiting_bytes=100, stall_timeout=60))
    lane.on_lost = lost.set
    lane.write(frame(TEXT, b"\xff" * 100), 1)
    waiting = await three_at_once(lane)
    await all_of(waiting)
    assert lost.is_set()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def three_at_once(lane: SendingLane) -> "list[asyncio.Task[None]]":
    """Three tasks that wait for room, or have continued."""
    return [asyncio.create_task(lane.drained()) for _ in range(3)]
