"""A real uvicorn in the test's own loop, and the seat of the app that serves one of its clients."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from tests.waiting import PATIENCE


@dataclass
class Seat:
    """The app's side of a client that it has not accepted yet."""

    receive: Callable[[], Awaitable[Any]]
    send: Callable[[Any], Awaitable[None]]
    handshake: asyncio.Task[ClientConnection]

    async def accept(self) -> ClientConnection:
        """Accept the client, and return it."""
        await self.send({"type": "websocket.accept"})
        return await self.handshake


@asynccontextmanager
async def seated(**options: Any) -> AsyncIterator[Seat]:
    """Take the place of an app on uvicorn, from before the accept of one client to its end.

    Args:
        options: Options of the client of `websockets`. By default, it offers compression.
    """
    arrived: asyncio.Future[tuple[Any, Any]] = asyncio.get_running_loop().create_future()
    leaving = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        arrived.set_result((receive, send))
        await leaving.wait()

    config = uvicorn.Config(app, lifespan="off", log_config=None, ws_ping_interval=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup([listening])
        handshake = asyncio.create_task(_handshake(listening.getsockname()[1], options))
        try:
            async with asyncio.timeout(PATIENCE):
                receive, send = await arrived
            yield Seat(receive, send, handshake)
        finally:
            leaving.set()
            await _leave(handshake)
            await server.shutdown([listening])


async def _handshake(port: int, options: dict[str, Any]) -> ClientConnection:
    address = f"ws://127.0.0.1:{port}"
    return await connect(address, proxy=None, ping_interval=None, open_timeout=PATIENCE, close_timeout=0, **options)


async def _leave(handshake: asyncio.Task[ClientConnection]) -> None:
    handshake.cancel()
    await asyncio.wait([handshake])
    if not handshake.cancelled():
        handshake.result().transport.abort()
        await handshake.result().wait_closed()
