"""An app whose requests wait for the server's stop before their responses begin: in a guard, in a loader, in a call."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.waiting import PAUSE
from wirespeed import Live


class Announcing:
    """Middleware that announces each request before it is served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            print("a request has come", flush=True)
        await self._app(scope, receive, send)


app = FastAPI()
live = Live(app)
app.add_middleware(Announcing)
ports: list[int] = []


def note_port(connection: HTTPConnection) -> None:
    """Note the server's port."""
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
