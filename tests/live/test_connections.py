"""Connections as an operator sees them: listed, described and closed, on every surface."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI

from tests.exchanges import Exchange, events_of
from tests.lanes.turns import until
from tests.live.multiplexing import speaking
from wirespeed import Identity, Live
from wirespeed.testing import Closed, WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio


async def ada(token: str, connection: Any) -> Identity:
    return Identity(user="ada")


async def endless() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


@pytest.fixture
def live(app: FastAPI) -> Live:
    """A ``Live`` with a stream and a topic."""
    live = Live(app, authenticate=ada)
    live.stream("/stream")(endless)
    live.topic("/topic", str)
    return live


async def test_every_surface_is_listed(app: FastAPI, live: Live) -> None:
    """Raw WebSockets, responses and multiplexed connections are listed while they are open."""
    async with lifespan(app):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(connect(app, "/stream"))
            await stack.enter_async_context(connect(app, "/topic"))
            await stack.enter_async_context(events_of(app, "/topic"))
            await stack.enter_async_context(Exchange(app, "/stream", method="POST"))
            speaker = await stack.enter_async_context(speaking(app))
            assert await speaker.subscribed("topic") is not None
            seen = [(each.path, each.transport, each.user, each.lane) for each in live.connections()]
            assert sorted(seen) == [
                ("/live/websocket", "websocket", "ada", "asgi"),
                ("/stream", "post", "", "http"),
                ("/stream", "websocket", "", "asgi"),
                ("/topic", "sse", "", "http"),
                ("/topic", "websocket", "", "asgi"),
            ]
            assert all(each.age >= 0 and each.waiting >= 0 for each in live.connections())
            websockets = [each for each in live.connections() if each.transport == "websocket"]
            assert all(each.address.startswith("testclient:") for each in websockets)
        await until(lambda: live.connections() == [])


async def test_client_says_how_it_is_connected(app: FastAPI, live: Live) -> None:
    """A client of the multiplexed connection has the address, the transport, the lane and the rest."""
    async with lifespan(app), speaking(app):
        [client] = live.clients("ada")
        assert client.address.startswith("testclient:")
        assert (client.transport, client.lane, client.waiting) == ("websocket", "asgi", 0)
        assert client.age >= 0
        assert client.info is None


async def read_all(client: WebSocketClient) -> None:
    """Read until the connection closes."""
    while True:
        await client.receive()


@pytest.mark.parametrize("path", ["/stream", "/topic", "/live/websocket"])
async def test_closing_a_websocket(app: FastAPI, live: Live, path: str) -> None:
    """Every kind of WebSocket closes with the code and the reason."""
    async with lifespan(app), connect(app, path) as client:
        [connection] = live.connections()
        await asyncio.to_thread(connection.close, 4001, "Enough.")
        with pytest.raises(Closed) as caught:
            await read_all(client)
        assert (caught.value.code, caught.value.reason) == (4001, "Enough.")
        await until(lambda: live.connections() == [])
        connection.close()  # the connection has ended, so nothing happens


async def test_closing_again_and_again(app: FastAPI, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first close of a connection waits for the event loop, and it counts."""
    async with lifespan(app), connect(app, "/topic") as client:
        [connection] = live.connections()
        waiting, loop = list[object](), asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def call(*arguments: Any) -> None:
            waiting.append(arguments)
            wake(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_soon_threadsafe", call)
            for number in range(900):
                connection.close(4001 + number, "Enough.")
        assert len(waiting) == 1
        with pytest.raises(Closed) as caught:
            await read_all(client)
        assert caught.value.code == 4001


async def test_closing_a_response(app: FastAPI, live: Live) -> None:
    """Server-Sent Events end."""
    async with lifespan(app), events_of(app, "/topic") as exchange:
        [connection] = live.connections()
        connection.close()
        with pytest.raises(EOFError):
            await exchange.event()
        await until(lambda: live.connections() == [])


async def test_code_that_is_none(app: FastAPI, live: Live) -> None:
    """Codes that a close must not carry are refused at once."""
    async with lifespan(app), connect(app, "/topic"):
        with pytest.raises(ValueError, match="from 3000 to 4999, not 1000"):
            live.connections()[0].close(1000)


async def test_log_tells_the_lane_of_all(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """A debug line names each connection's lane, whatever the surface."""
    caplog.set_level(logging.DEBUG, "wirespeed")
    async with lifespan(app), connect(app, "/topic"), events_of(app, "/topic"), speaking(app):
        pass
    lines = [each for each in caplog.messages if each.endswith("lane")]
    assert [line.partition(" is on the ")[2] for line in lines] == ["asgi lane", "http lane", "asgi lane"]
    assert "topic '/topic'" in lines[0]
    assert "/topic" in lines[1]
    assert lines[2].startswith("multiplexed connection: ")
