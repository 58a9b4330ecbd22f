"""An app whose requests wait for the server's stop before their responses begin: in a guard, in a loader, in a call."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.waiting import PAUSE
from wirespeed import Live


class Announcing:
    """Middleware that announces each request before it is served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        print("a request has come", flush=True)

        async def sending(message: Message) -> None:
            await send(message)
            if scope["path"] == "/short" and not message.get("more_body", True):
                await has_come.wait()

        await self._app(scope, receive, sending)
        print(f"{scope['path']} is over", flush=True)


app = FastAPI()
live = Live(app)
app.add_middleware(Announcing)
ports: list[int] = []
has_come = asyncio.Event()
"""A request has come whose server's port is noted."""


def note_port(connection: HTTPConnection) -> None:
    """Note the server's port."""
    has_come.set()
    ports.append(connection.scope["server"][1])


async def stopped() -> None:
    """Return when the server has stopped: it accepts no connection any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        except OSError:
            return
        writer.close()
        await asyncio.sleep(PAUSE)


async def left(request: HTTPConnection) -> None:
    """Return when the client has left."""
    assert isinstance(request, Request)
    while not await request.is_disconnected():  # noqa: ASYNC110 - Starlette has no event for it
        await asyncio.sleep(PAUSE)
    print("the client has left", flush=True)


@live.stream("/kept", resume=3600, dependencies=[Depends(note_port), Depends(left), Depends(stopped)])
async def kept() -> AsyncIterator[int]:
    """Yield one value, and wait."""
    yield 1
    await asyncio.Event().wait()


@live.stream("/short")
async def short() -> AsyncIterator[int]:
    """Yield one value. The middleware waits after it for another request."""
    yield 1


@live.feed("/guarded", dependencies=[Depends(note_port), Depends(stopped)])
async def guarded() -> AsyncIterator[int]:
    """Yield one value, and wait."""
    yield 1
    await asyncio.Event().wait()


@live.stream("/stream", dependencies=[Depends(note_port), Depends(stopped)])
async def stream() -> AsyncIterator[int]:
    """Yield one value, and wait."""
    yield 1
    await asyncio.Event().wait()


loaded = live.topic("/loaded", int, keep=10, dependencies=[Depends(note_port)])


@loaded.load
async def load() -> list[int]:
    """Return one value, late."""
    await stopped()
    return [1]


@live.call("/call", dependencies=[Depends(note_port), Depends(stopped)])
async def call() -> str:
    """Return a text, late."""
    return "late"
