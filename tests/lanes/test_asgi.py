"""The portable lane sends everything in order through ASGI's ``send``, however that behaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from tests.lanes.turns import turns
from tests.waiting import PATIENCE
from wirespeed.frames import BINARY, TEXT, frame
from wirespeed.lanes.asgi import AsgiLane
from wirespeed.lanes.lane import Traffic
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio

LIMIT = 100
HALF = frame(TEXT, b"x" * 48)
"""A frame of half the limit."""


class Server:
    """A server's ``send``: it accepts messages while it is open, and may fail."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: BaseException | None = None
        self.closes_after = 0

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's ``send``."""
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.taken.append(message)
        if len(self.taken) == self.closes_after:
            self.open.clear()


@pytest.fixture
def server() -> Server:
    """A server."""
    return Server()


@pytest.fixture
async def lane(server: Server) -> AsyncIterator[AsgiLane]:
    """A lane to the server."""
    yield (lane := AsgiLane(server.send, Traffic(), Settings(max_waiting_bytes=LIMIT, stall_timeout=60)))
    await lane.finish()


def text(value: str) -> dict[str, Any]:
    """Return the ASGI message of one text value."""
    return {"type": "websocket.send", "text": value}


async def test_frames_are_messages_in_order(server: Server, lane: AsgiLane) -> None:
    """Each frame of each write becomes one message: text stays text, and bytes stay bytes."""
    for number in range(10):
        lane.write(frame(TEXT, f"{number} é".encode()) + frame(BINARY, b"\xff"), 2)
        if number % 3 == 0:
            await turns(number)
    await turns(5)
    assert server.taken[::2] == [text(f"{number} é") for number in range(10)]
    assert server.taken[1::2] == [{"type": "websocket.send", "bytes": b"\xff"}] * 10


async def test_task_lives_while_there_is_something_to_send(lane: AsgiLane) -> None:
    """An idle lane has no task."""
    before = len(asyncio.all_tasks())
    lane.write(HALF, 1)
    assert len(asyncio.all_tasks()) == before + 1
    await turns(5)
    assert len(asyncio.all_tasks()) == before


async def test_traffic_is_counted(server: Server) -> None:
    """Only what the lane accepts is counted."""
    traffic = Traffic()
    lane = AsgiLane(server.send, traffic, Settings(max_waiting_bytes=LIMIT, stall_timeout=60))
    lane.write(HALF + HALF, 2)
    lane.write(b"", 0)
    await lane.close(1000)
    lane.write(HALF, 1)
    assert (traffic.messages, traffic.bytes) == (2, 2 * len(HALF))


async def test_room_is_limited(server: Server, lane: AsgiLane) -> None:
    """The lane is writable up to its limit, and again when the server has accepted enough."""
    server.open.clear()
    lane.write(HALF, 1)
    assert lane.writable()
    lane.write(HALF, 1)
    assert not lane.writable()
    draining = asyncio.create_task(lane.drained())
    await turns(5)
    assert not draining.done()
    server.open.set()
    await draining
    assert lane.writable()
    await lane.drained()


async def test_room_comes_back_bit_by_bit(server: Server, lane: AsgiLane) -> None:
    """A waiter continues as soon as there is room; it does not wait until everything is sent."""
    server.closes_after = 2
    for _ in range(3):
        lane.write(HALF, 1)
    assert not lane.writable()
    async with asyncio.timeout(PATIENCE):
        await lane.drained()
    assert lane.writable()
    assert len(server.taken) == 2


async def test_waiting_for_room_can_be_cancelled(server: Server, lane: AsgiLane) -> None:
    """Cancelling the wait has no effect on what was written."""
    server.open.clear()
    lane.write(HALF * 2, 2)
    draining = asyncio.create_task(lane.drained())
    await turns(5)
    draining.cancel()
    await asyncio.wait([draining])
    server.open.set()
    await lane.drained()
    await turns(5)
    assert len(server.taken) == 2


async def test_close_comes_after_what_was_written(server: Server, lane: AsgiLane) -> None:
    """Closing waits until the server has accepted everything. A second close does nothing."""
    server.open.clear()
    lane.write(HALF, 1)
    closing = asyncio.create_task(lane.close(4000, "Enough."))
    await turns(5)
    assert not closing.done()
    server.open.set()
    await closing
    assert lane.closing()
    await lane.close(1000)
    assert server.taken[1:] == [{"type": "websocket.close", "code": 4000, "reason": "Enough."}]


async def test_nothing_is_sent_after_the_close(server: Server, lane: AsgiLane) -> None:
    """Frames that are written while the close is in progress are not sent after it."""
    server.open.clear()
    closing = asyncio.create_task(lane.close(1000))
    await turns(5)
    lane.write(HALF, 1)
    await turns(5)
    server.open.set()
    await closing
    await turns(5)
    assert [message["type"] for message in server.taken] == ["websocket.close"]


@pytest.mark.parametrize(
    ("reason", "received"),
    [
        ("", ""),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 100, "é" * 61),
        ("🎉" * 100, "🎉" * 30),
        ("\ud800", "?"),
    ],
    ids=["none", "just fits", "one too long", "two bytes each", "four bytes each", "surrogate"],
)
async def test_reason_is_cut(server: Server, lane: AsgiLane, reason: str, received: str) -> None:
    """A reason is cut to the size of a close frame, between two characters."""
    await lane.close(1000, reason)
    assert server.taken == [{"type": "websocket.close", "code": 1000, "reason": received}]


ERRORS = [OSError("gone"), RuntimeError("after close"), ConnectionResetError(), WebSocketDisconnect(1006)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_error_of_the_server_is_the_end(server: Server, lane: AsgiLane, error: BaseException) -> None:
    """However a server reports that the client is gone: the lane is closing, waiters continue, nothing is raised."""
    server.open.clear()
    server.error = error
    lane.write(HALF * 3, 3)
    draining = asyncio.create_task(lane.drained())
    await turns(5)
    server.open.set()
    await draining
    assert lane.closing()
    lane.write(HALF, 1)
    await lane.close(1000)
    assert server.taken == []


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_error_at_the_close_is_none(server: Server, lane: AsgiLane, error: BaseException) -> None:
    """A client that is gone gets no close frame."""
    server.error = error
    await lane.close(1000)
    assert lane.closing()


@pytest.mark.parametrize("error", [None, OSError("gone")])
async def test_lost_client_is_told_of(server: Server, error: BaseException | None) -> None:
    """A client that accepts nothing for too long is given up, and the session is notified."""
    lane = AsgiLane(server.send, Traffic(), Settings(max_waiting_bytes=LIMIT, stall_timeout=0.01))
    lost = asyncio.Event()
    lane.on_lost = lost.set
    server.error = error
    if error is None:
        server.open.clear()
    lane.write(HALF * 2, 2)
    async with asyncio.timeout(PATIENCE):
        await lane.drained()
        await lost.wait()
    assert lane.closing()


async def finish_while_sending(lane: AsgiLane) -> None:
    """End the lane while the server has not accepted what was written."""
    lane.write(HALF * 3, 3)
    await turns(5)
    await lane.finish()


async def finish_before_sending(lane: AsgiLane) -> None:
    """End the lane before its task has run."""
    lane.write(HALF * 3, 3)
    await lane.finish()


async def finish_twice(lane: AsgiLane) -> None:
    """End the lane twice."""
    await lane.finish()
    await lane.finish()


@pytest.mark.parametrize("finish", [finish_while_sending, finish_before_sending, finish_twice])
async def test_finish_leaves_nothing(server: Server, lane: AsgiLane, finish: Callable[[AsgiLane], Any]) -> None:
    """An end drops what is waiting, with its task. Waiters continue, and nothing is accepted any more."""
    server.open.clear()
    before = asyncio.all_tasks()
    await finish(lane)
    assert asyncio.all_tasks() == before
    assert lane.closing()
    async with asyncio.timeout(PATIENCE):
        await lane.drained()
    server.open.set()
    lane.write(HALF, 1)
    await turns(5)
    assert server.taken == []
