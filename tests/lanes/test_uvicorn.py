"""The fast lane on a real uvicorn: finding its WebSocket, guarding it, and writing past ``send``."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
import uvloop
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import ClientConnection

from tests.lanes.serving import Seat, seated
from tests.lanes.stepping import SteppedLoop, step_sweeps
from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.frames import BINARY, TEXT, frame
from wirespeed.lanes.lane import Traffic
from wirespeed.lanes.reading import Readings
from wirespeed.lanes.sweep import Sweep
from wirespeed.lanes.uvicorn import UvicornWebSocket, WebSocketGuard, compresses, find, hold
from wirespeed.lanes.uvicorn_lane import UvicornLane
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio

LIMIT = 16 * 1024
MAX_MESSAGE_SIZE = 1000
STALL_TIMEOUT = 10.0
FRAMES_PER_SECOND = 5
MEGABYTE = frame(BINARY, bytes(1 << 20))
OP_CONTINUATION, OP_TEXT, OP_CLOSE = 0, 1, 8
ROOM = 16
"""Megabytes to write: more than all buffers between the server and a client hold."""


@pytest.fixture
async def seat() -> AsyncIterator[Seat]:
    """A client that waits to be accepted."""
    async with seated(max_queue=1) as seat:
        yield seat


def guarded(
    connection: UvicornWebSocket, *, compression: bool = False, refused: Callable[[str], None] = lambda _: None
) -> WebSocketGuard:
    """Return a guard with the limits of these tests."""
    settings = Settings(
        max_message_bytes=MAX_MESSAGE_SIZE,
        max_waiting_bytes=LIMIT,
        max_messages_per_second=FRAMES_PER_SECOND,
        compression=compression,
    )
    return WebSocketGuard(connection, Sweep(STALL_TIMEOUT), Readings(), settings, refused)


@dataclass
class Fast:
    """A connection on the fast lane. The test controls the time of its sweep."""

    guard: WebSocketGuard
    lane: UvicornLane
    client: ClientConnection
    receive: Callable[[], Any]
    loop: SteppedLoop
    traffic: Traffic
    refused: list[str]


@pytest.fixture
async def fast(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> Fast:
    """An accepted client on the fast lane."""
    connection = find(seat.receive)
    assert connection is not None
    loop, traffic, refused = step_sweeps(monkeypatch), Traffic(), list[str]()
    guard = guarded(connection, refused=refused.append)
    lane = UvicornLane(connection, guard, seat.send, traffic)
    return Fast(guard, lane, await seat.accept(), seat.receive, loop, traffic, refused)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return our warnings."""
    records = [record for record in caplog.records if record.name == "wirespeed"]
    return [record.getMessage() for record in records if record.levelno >= logging.WARNING]


def masked(opcode: int, data: bytes, *, is_final: bool = True) -> bytes:
    """Return a short frame of a client, whose mask changes nothing."""
    return bytes([opcode | (0x80 if is_final else 0), 0x80 | len(data)]) + bytes(4) + data


# Finding it


async def test_uvicorn_is_found_behind_its_receive(seat: Seat, caplog: pytest.LogCaptureFixture) -> None:
    """A ``receive`` that is not wrapped leads to uvicorn's protocol object."""
    assert isinstance(find(seat.receive), WebSocketsSansIOProtocol)
    assert warnings_in(caplog) == []


async def test_wrapped_receive_is_not_found(seat: Seat, caplog: pytest.LogCaptureFixture) -> None:
    """Middleware that wraps ``receive`` has to see everything, so the connection does not use the fast lane."""

    async def wrapper() -> Any:
        return await seat.receive()

    for receive in (wrapper, partial(seat.receive), lambda: seat.receive()):
        assert find(receive) is None
    assert warnings_in(caplog) == []


@pytest.mark.parametrize(
    "receive", [print, [].append, asyncio.Queue[Any]().get, partial(int), WebSocketsSansIOProtocol]
)
def test_other_servers_are_not_uvicorn(receive: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Any other callable belongs to another server. That causes no warning."""
    assert find(receive) is None
    assert warnings_in(caplog) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("writable", True),
        ("disconnected", None),
        ("close_sent", 0),
        ("transport", None),
        ("conn", None),
        ("response", None),
        ("read_paused", None),
        ("frames", ()),
        ("curr_msg_data_type", None),
        ("send_receive_event_to_app", None),
        ("handle_parser_exception", None),
    ],
)
async def test_changed_uvicorn_is_left_alone(
    seat: Seat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    """If uvicorn is built differently, the portable lane is used. One warning states the cost."""
    with monkeypatch.context() as patch:
        patch.setattr(find(seat.receive), name, value)
        assert find(seat.receive) is None
    [warning] = warnings_in(caplog)
    assert "this version of uvicorn is not supported" in warning
    assert "slower" in warning


def test_uvicorn_without_its_parts_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A missing part is not an error either."""
    bare = WebSocketsSansIOProtocol.__new__(WebSocketsSansIOProtocol)
    assert find(bare.receive) is None
    assert len(warnings_in(caplog)) == 1


def test_uvicorn_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the protocol class, nothing is found."""
    bare = WebSocketsSansIOProtocol.__new__(WebSocketsSansIOProtocol)
    monkeypatch.setattr("wirespeed.lanes.uvicorn.WebSocketsSansIOProtocol", None)
    assert find(bare.receive) is None


async def test_accepted_connection_is_not_found(seat: Seat, caplog: pytest.LogCaptureFixture) -> None:
    """If other code has accepted already, it is too late for the fast lane. That causes no warning."""
    await seat.accept()
    assert find(seat.receive) is None
    assert warnings_in(caplog) == []


# Guarding it


@pytest.mark.parametrize("offered", ["deflate", None])
@pytest.mark.parametrize("wanted", [False, True])
async def test_compression_is_on_where_both_want_it(offered: str | None, wanted: bool) -> None:
    """Neither the handshake nor the parser uses an extension that the settings exclude."""
    async with seated(compression=offered) as seat:
        connection = find(seat.receive)
        assert connection is not None
        guarded(connection, compression=wanted)
        client = await seat.accept()
        agreed = wanted and offered is not None
        assert compresses(connection) is agreed
        assert bool(client.protocol.extensions) is agreed
        await client.send("hi")
        assert (await seat.receive())["text"] == "hi"


async def test_message_size_is_limited(fast: Fast) -> None:
    """A message as large as the limit passes. The parser answers a larger one with 1009."""
    await fast.client.send("x" * MAX_MESSAGE_SIZE)
    assert len((await fast.receive())["text"]) == MAX_MESSAGE_SIZE
    await fast.client.send("x" * (MAX_MESSAGE_SIZE + 1))
    await fast.client.wait_closed()
    assert fast.client.close_code == 1009


async def test_buffers_are_bounded(fast: Fast, seat: Seat) -> None:
    """The limit holds in the transport and, where the system supports it, in the kernel."""
    transport = seat.receive.__self__.transport  # type: ignore[attr-defined]
    assert transport.get_write_buffer_limits()[1] == LIMIT
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        option = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert transport.get_extra_info("socket").getsockopt(*option) == LIMIT


async def ping(client: ClientConnection) -> None:
    """Send a control frame."""
    await client.ping()


async def fragments(client: ClientConnection) -> None:
    """Send a message in three frames; the last two continue the first."""
    await client.send(["a", "b"])


@pytest.mark.parametrize(("send", "times"), [(ping, FRAMES_PER_SECOND + 1), (fragments, FRAMES_PER_SECOND // 2 + 1)])
async def test_frames_are_limited(fast: Fast, send: Callable[[ClientConnection], Any], times: int) -> None:
    """Control frames and fragments are counted: one more than the limit is answered with 1008."""
    for _ in range(times):
        await send(fast.client)
    await (await fast.client.ping())
    await fast.client.wait_closed()
    assert fast.client.close_code == 1008


async def test_empty_fragments_take_no_memory(fast: Fast) -> None:
    """Fragments without data are not kept, and what surrounds them is one message."""
    empty = masked(OP_CONTINUATION, b"", is_final=False)
    fast.client.transport.write(masked(OP_TEXT, b"a", is_final=False) + empty * (FRAMES_PER_SECOND - 2))
    await (await fast.client.ping())
    assert fast.lane._connection.frames == [b"a"]
    fast.client.transport.write(masked(OP_CONTINUATION, b"b"))
    assert (await fast.receive())["text"] == "ab"


async def test_fragments_of_a_message_are_limited(fast: Fast, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is too big if its fragments take more memory than its data may."""
    monkeypatch.setattr("wirespeed.lanes.uvicorn.FRAGMENT", MAX_MESSAGE_SIZE // 2)
    await fast.client.send(["a", "b"])
    assert (await fast.receive())["text"] == "ab"
    more = masked(OP_CONTINUATION, b"b", is_final=False)
    fast.client.transport.write(masked(OP_TEXT, b"a", is_final=False) + more * 3)
    await fast.client.wait_closed()
    assert (fast.client.close_code, (await fast.receive())["code"]) == (1009, 1009)


@pytest.mark.parametrize("count", [2, 5])
async def test_many_fragments_before_a_close(fast: Fast, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A message of too many fragments is refused as a whole, and the close frame in the same segment is answered."""
    monkeypatch.setattr("wirespeed.lanes.uvicorn.FRAGMENT", MAX_MESSAGE_SIZE // 2)
    more = masked(OP_CONTINUATION, b"b", is_final=False)
    end = masked(OP_CONTINUATION, b"b") + masked(OP_CLOSE, b"\x03\xe8")
    fast.client.transport.write(masked(OP_TEXT, b"a", is_final=False) + more * count + end)
    await fast.client.wait_closed()
    assert ((await fast.receive())["code"], fast.refused) == (1000, ["size"])


# Writing


async def test_frames_arrive_in_order(fast: Fast) -> None:
    """Frames of many writes arrive as messages, in order with what uvicorn sends, and are counted."""
    fast.lane.write(frame(TEXT, b"a") + frame(BINARY, b"b"), 2)
    await fast.lane._deliver({"type": "websocket.send", "text": "c"})
    fast.lane.write(frame(TEXT, b"d"), 1)
    assert [await fast.client.recv() for _ in range(4)] == ["a", b"b", "c", "d"]
    assert (fast.traffic.messages, fast.traffic.bytes) == (3, 9)


async def test_idle_lane_is_not_watched(fast: Fast) -> None:
    """A write that the system accepts at once needs no sweep."""
    fast.lane.write(frame(TEXT, b"a"), 1)
    assert fast.lane.writable()
    assert fast.loop.timers == []


async def test_lane_drains_as_the_client_reads(fast: Fast) -> None:
    """A client that does not read leaves no room. When it reads, there is room again."""
    for _ in range(ROOM):
        fast.lane.write(MEGABYTE, 1)
    assert not fast.lane.writable()
    draining = [asyncio.create_task(fast.lane.drained()) for _ in range(3)]
    await turns(20)
    assert not any(task.done() for task in draining)
    for _ in range(ROOM):
        assert len(await fast.client.recv()) == 1 << 20
    await asyncio.gather(*draining)
    assert fast.lane.writable()
    assert not fast.lane.closing()


# What the client sends


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Run the test on both event loops."""
    return uvloop.new_event_loop if request.param == "uvloop" else None


async def read_ahead(compression: str | None, messages: int, size: int) -> tuple[int, int]:
    """Return how many messages of one read wait although the app has not asked for them, and how many come in all."""
    async with seated(compression=compression) as seat:
        connection = cast("Any", find(seat.receive))
        guarded(connection, compression=compression is not None)
        client = await seat.accept()
        for _ in range(messages):
            await client.send("x" * size)
        assert (await seat.receive())["type"] == "websocket.receive"
        await turns(200)
        waiting = connection.queue.qsize()
        for _ in range(messages - 1):
            async with asyncio.timeout(PATIENCE):
                assert (await seat.receive())["text"] == "x" * size
        return waiting, messages


@pytest.mark.parametrize(
    ("compression", "messages", "size", "most"), [(None, 5000, 0, 170), ("deflate", 500, MAX_MESSAGE_SIZE, 40)]
)
def test_messages_read_ahead_are_bounded(
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    compression: str | None,
    messages: int,
    size: int,
    most: int,
) -> None:
    """However many tiny frames one read brings, and however large they inflate: none is lost, and few of them wait."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        waiting, _ = runner.run(read_ahead(compression, messages, size))
    assert waiting <= most


async def test_compressed_message_that_is_too_big() -> None:
    """A message counts with its inflated size."""
    async with seated(compression="deflate") as seat:
        connection = find(seat.receive)
        assert connection is not None
        guarded(connection, compression=True)
        client = await seat.accept()
        await client.send("x" * (MAX_MESSAGE_SIZE + 1))
        await client.wait_closed()
        assert client.close_code == 1009
        assert (await seat.receive())["code"] == 1009


async def test_text_that_is_not_utf8(fast: Fast, caplog: pytest.LogCaptureFixture) -> None:
    """Text that is not UTF-8 is refused with its close code, and uvicorn logs no traceback."""
    await fast.client.send("gr\u00fc\u00df")
    assert (await fast.receive())["text"] == "gr\u00fc\u00df"
    await fast.client.send([b"\xc3", b"\xc3"], text=True)
    await fast.client.wait_closed()
    assert (fast.client.close_code, (await fast.receive())["code"]) == (1007, 1007)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_text_that_is_not_utf8_before_a_close(fast: Fast) -> None:
    """Text that is not UTF-8 is refused, and the close frame in the same segment is answered."""
    fast.client.transport.write(masked(OP_TEXT, b"\xff") + masked(OP_CLOSE, b"\x03\xe8"))
    await fast.client.wait_closed()
    assert ((await fast.receive())["code"], fast.refused) == (1000, ["invalid message"])


async def test_last_bytes_that_cannot_be_parsed(fast: Fast, caplog: pytest.LogCaptureFixture) -> None:
    """A lost connection is over, even if its last bytes cannot be parsed."""

    def fail(data: bytes) -> None:
        raise RuntimeError("bug")

    connection = fast.lane._connection
    fast.guard._reading._parse = fail
    fast.guard._reading._is_paused = True
    fast.guard._reading.data_received(b"x")
    fast.client.transport.abort()
    fast.guard.transport.abort()
    await until(lambda: connection.disconnected)
    assert [record.levelname for record in caplog.records if record.name == "wirespeed"] == ["ERROR"]


async def test_nothing_is_read_before_the_app_looks(seat: Seat) -> None:
    """A connection is not read before its app has received the connect event."""
    connection = cast("Any", find(seat.receive))
    connection.queue.put_nowait({"type": "websocket.connect"})
    hold(seat.receive)
    assert not connection.transport.is_reading()
    await seat.receive()
    assert connection.transport.is_reading()
    hold(print)


# The end


async def test_close_tells_the_client(fast: Fast) -> None:
    """The close comes after everything that was written. Then the lane accepts nothing any more."""
    fast.lane.write(frame(TEXT, b"a"), 1)
    await fast.lane.close(4000, "Enough.")
    assert fast.lane.closing()
    fast.lane.write(frame(TEXT, b"b"), 1)
    assert await fast.client.recv() == "a"
    await fast.client.wait_closed()
    assert (fast.client.close_code, fast.client.close_reason) == (4000, "Enough.")
    assert fast.traffic.messages == 1


async def leave(client: ClientConnection) -> None:
    """Close the connection properly."""
    await client.close()


async def vanish(client: ClientConnection) -> None:
    """Drop the connection."""
    client.transport.abort()


async def half_close(client: ClientConnection) -> None:
    """Send no more; the client might still read."""
    client.transport.write_eof()


async def test_server_stops_while_a_client_closes(fast: Fast) -> None:
    """A client that has closed, but does not read, does not keep the server from closing the others."""
    for _ in range(ROOM):
        fast.lane.write(MEGABYTE, 1)
    fast.client.transport.write(masked(OP_CLOSE, b"\x03\xe8"))
    await until(fast.guard.transport.is_closing)
    assert fast.guard.backlog()
    cast("Any", fast.lane._connection).shutdown()


@pytest.mark.parametrize("go", [leave, vanish, half_close])
@pytest.mark.parametrize("stalled", [False, True])
async def test_client_that_leaves_closes_the_lane(
    fast: Fast, go: Callable[[ClientConnection], Any], stalled: bool
) -> None:
    """However a client leaves, and whatever still waits for it: the sweep ends everything within a second."""
    for _ in range(ROOM * stalled):
        fast.lane.write(MEGABYTE, 1)
    leaving = asyncio.ensure_future(go(fast.client))
    await until(lambda: fast.guard.ending() or fast.guard.settled())
    await fast.lane.finish()
    fast.loop.pass_time(1)
    await until(fast.guard.settled)
    assert fast.lane.closing()
    await fast.lane.drained()
    await leaving
    fast.loop.pass_time(1)
    assert fast.loop.timers == []


async def test_client_that_takes_nothing_is_cut(fast: Fast, caplog: pytest.LogCaptureFixture) -> None:
    """After the stall timeout, the connection is aborted, the log says so, and waiters continue."""
    caplog.set_level(logging.INFO, "wirespeed")
    for _ in range(ROOM):
        fast.lane.write(MEGABYTE, 1)
    draining = asyncio.create_task(fast.lane.drained())
    fast.loop.pass_time(STALL_TIMEOUT - 1)
    assert not fast.lane.closing()
    fast.loop.pass_time(2)
    assert fast.lane.closing()
    await draining
    await until(fast.guard.settled)
    assert [record.getMessage() for record in caplog.records if record.name == "wirespeed"] == [
        "A connection was aborted: its client accepted none of the bytes that waited for it."
    ]


async def test_finished_lane_is_watched_until_it_is_gone(fast: Fast) -> None:
    """A connection that is over is watched until its transport is closed, and left alone while it does no harm."""
    await fast.lane.finish()
    fast.loop.pass_time(STALL_TIMEOUT / 2)
    assert fast.loop.timers != []
    await fast.client.close()
    await until(fast.guard.settled)
    fast.loop.pass_time(1)
    assert fast.loop.timers == []
