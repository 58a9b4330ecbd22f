"""The guard of uvicorn's responses, on a real uvicorn."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from tests.lanes.stepping import step_sweeps
from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.lanes.sweep import Sweep
from wirespeed.lanes.uvicorn_http import ResponseGuard, find

pytestmark = pytest.mark.anyio

LIMIT = 16 * 1024
REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
INSIDES = ("flow", "transport", "disconnected", "response_complete", "keep_alive", "on_response", "message_event")
START = {"type": "http.response.start", "status": 200, "headers": []}


@dataclass
class Seat:
    """The app's side of a request that it has not answered yet."""

    receive: Callable[[], Awaitable[Any]]
    send: Callable[[Any], Awaitable[None]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, size: int, *, more: bool = True) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": b"x" * size, "more_body": more})


@pytest.fixture(params=["h11", "httptools"])
def http(request: pytest.FixtureRequest) -> str:
    """Run the test on each HTTP server of uvicorn."""
    return str(request.param)


@asynccontextmanager
async def seated(http: Any) -> AsyncIterator[Seat]:
    """Take the place of an app on uvicorn, from the request of one client to its end."""
    arrived: asyncio.Future[tuple[Any, Any]] = asyncio.get_running_loop().create_future()
    leaving = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not arrived.done():
            arrived.set_result((receive, send))
        await leaving.wait()

    config = uvicorn.Config(app, http=http, lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup([listening])
        reader, writer = await asyncio.open_connection(*listening.getsockname(), limit=1024)
        try:
            writer.write(REQUEST)
            async with asyncio.timeout(PATIENCE):
                yield Seat(*await arrived, reader, writer)
        finally:
            leaving.set()
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            await server.shutdown([listening])


def guarding(seat: Seat, on_shutdown: Callable[[], None] = lambda: None) -> tuple[Any, ResponseGuard]:
    """Return the exchange and its guard."""
    exchange = find(seat.receive)
    assert exchange is not None
    return exchange, ResponseGuard(exchange, Sweep(10), max_waiting_bytes=LIMIT, on_shutdown=on_shutdown)


async def test_only_uvicorn_is_known(http: str) -> None:
    """A ``receive`` that is wrapped or belongs to another server is not recognised."""
    async with seated(http) as seat:
        assert find(seat.receive) is not None
        assert find(lambda: seat.receive()) is None
        assert find(turns) is None


async def test_unexpected_insides_are_left_alone(http: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If uvicorn is built differently, the response has no guard."""
    async with seated(http) as seat:
        exchange: Any = find(seat.receive)
        for name in (
            "flow",
            "transport",
            "disconnected",
            "response_complete",
            "on_response",
            "message_event",
            "keep_alive",
        ):
            with monkeypatch.context() as patch:
                patch.setattr(exchange, name, None)
                assert find(seat.receive) is None


async def test_server_knows_of_a_client_that_has_left(http: str) -> None:
    """A transport that closes notifies the server one turn later; ``left`` waits for that."""
    async with seated(http) as seat:
        exchange, guard = guarding(seat)
        await seat.send(START)
        await guard.left()  # at once, while the transport is open
        exchange.transport.abort()
        assert (exchange.transport.is_closing(), exchange.disconnected) == (True, False)
        await guard.left()
        assert exchange.disconnected


@pytest.mark.parametrize("guarded", [True, False])
async def test_client_with_further_requests_leaves(http: str, guarded: bool) -> None:
    """The exchange that is served learns that its client has left, however many requests wait behind it."""
    async with seated(http) as seat:
        assert (await seat.receive())["type"] == "http.request"
        exchange: Any = find(seat.receive)
        guard = guarding(seat)[1] if guarded else None
        seat.writer.write(REQUEST * 3)
        await until(lambda: exchange.flow.read_paused)
        exchange.transport.abort()
        if guard is not None:
            guard.finish()
            await guard.left()
            assert "connection_lost" not in vars(exchange.on_response.__self__)
        else:
            assert find(seat.receive) is None  # and a response that begins now has no one to wait for
        assert await seat.receive() == {"type": "http.disconnect"}


async def test_connection_does_not_become_a_websocket(http: str) -> None:
    """A client that asks for a WebSocket behind its request does not keep the exchange that is served."""
    async with seated(http) as seat:
        exchange, guard = guarding(seat)
        await seat.send(START)
        seat.writer.write(UPGRADE)
        await until(lambda: exchange.flow.read_paused or exchange.disconnected)
        exchange.transport.abort()
        await guard.left()
        assert exchange.disconnected


async def test_connection_becomes_a_websocket_afterwards() -> None:
    """A request for a WebSocket that waits behind a response is served in the moment of its completion."""
    async with seated("h11") as seat:
        exchange, guard = guarding(seat)
        await seat.send(START)
        seat.writer.write(UPGRADE)
        await until(lambda: exchange.flow.read_paused)
        await seat.write(1, more=False)
        guard.finish()
        assert exchange.transport.get_protocol() is not exchange.on_response.__self__


async def test_websocket_behind_a_request_without_a_guard(http: str) -> None:
    """A connection that has become a WebSocket is left to that, and the request before it is over."""
    async with seated(http) as seat:
        assert (await seat.receive())["type"] == "http.request"
        exchange: Any = find(seat.receive)
        protocol = exchange.on_response.__self__
        seat.writer.write(UPGRADE)
        await until(lambda: exchange.flow.read_paused or exchange.transport.get_protocol() is not protocol)
        if http == "httptools":  # with h11, uvicorn reads one request after the other
            assert find(seat.receive) is None
            assert await seat.receive() == {"type": "http.disconnect"}
        else:
            assert find(seat.receive) is exchange


async def test_waiting_bytes_are_bounded(http: str) -> None:
    """For a client that does not read, the kernel keeps little, and the transport little more."""
    async with seated(http) as seat:
        exchange, guard = guarding(seat)
        option = exchange.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert option == LIMIT
        seat.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await seat.send(START)
        sending = asyncio.create_task(keep_writing(seat))
        await until(lambda: not guard.writable())
        assert 0 < guard.backlog() <= LIMIT + 1100
        sending.cancel()
        await asyncio.wait([sending])


async def keep_writing(seat: Seat) -> None:
    """Send more than all buffers hold."""
    while True:
        await seat.write(1024)


async def test_server_tells_that_it_stops(http: str) -> None:
    """The hook is called when the server closes its connections, before uvicorn's own part."""
    told: list[bool] = []
    async with seated(http) as seat:
        exchange, guard = guarding(seat, lambda: told.append(True))
        protocol = exchange.on_response.__self__
        protocol.shutdown()
        await seat.send(START)
        await seat.write(0, more=False)
        guard.finish()
        await seat.reader.read()
    assert told == [True]


async def test_connection_serves_others_afterwards(http: str) -> None:
    """At its end, a guard undoes its changes to a connection that may serve other requests."""
    told: list[bool] = []
    async with seated(http) as seat:
        exchange, guard = guarding(seat, lambda: told.append(True))
        protocol = exchange.on_response.__self__
        await seat.send(START)
        await seat.write(1, more=False)
        guard.finish()
        guard.finish()
        assert not guard.closing()
        protocol.shutdown()
    assert told == []


async def test_client_that_leaves_is_noticed(http: str) -> None:
    """A connection that is gone accepts nothing, and the sweep does not watch it."""
    async with seated(http) as seat:
        _, guard = guarding(seat)
        await seat.send(START)
        seat.writer.transport.abort()
        await until(guard.closing)
        await until(guard.settled)


@pytest.mark.parametrize("complete", [True, False])
async def test_stalled_client_is_cut_off(http: str, monkeypatch: pytest.MonkeyPatch, complete: bool) -> None:
    """A client that accepts nothing for the timeout is disconnected, even if its response is complete."""
    loop = step_sweeps(monkeypatch)
    async with seated(http) as seat:
        exchange, guard = guarding(seat)
        seat.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await seat.send(START)
        while guard.writable():
            await seat.write(64 * 1024)
            guard.wrote()
            await turns(1)
        if complete:
            guard.finish()
        loop.pass_time(9.5)
        assert not exchange.transport.is_closing()
        loop.pass_time(1)
        assert exchange.transport.is_closing()
        await until(lambda: exchange.disconnected)
