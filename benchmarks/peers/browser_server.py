"""The server of the page: 10,000 values in several ways, 20 feeds in two ways, and the page itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from typing_extensions import TypedDict

from benchmarks.peers.shapes import COUNT, Hello
from wirespeed import Live

PEERS = Path(__file__).parent
PAGE = PEERS.parent / "page"
FEEDS = 20
_PAUSE = 0.001

app = FastAPI()
live = Live(app)


class Price(TypedDict):
    """A value with the time at which it was made: milliseconds since 1970, like a page's `Date.now()`."""

    at: float
    number: int


# 10,000 values


@app.get("/value/{number}")
async def value(number: int) -> dict[str, Any]:
    """Return one of the values, for a page that requests each."""
    return {"message": f"hello - {number}", "number": number}


@app.websocket("/plain")
async def plain(websocket: WebSocket) -> None:
    """The usual loop."""
    await websocket.accept()
    async for data in websocket.iter_json():
        hello = Hello.model_validate(data)
        for number in range(1, COUNT + 1):
            await websocket.send_json({"message": f"{hello.message} - {number}", "number": number})


@live.stream("/values")
async def values(hello: Hello) -> AsyncIterator[dict[str, Any]]:
    """The same values, with Wirespeed."""
    for number in range(1, COUNT + 1):
        yield {"message": f"{hello.message} - {number}", "number": number}


# Feeds


@live.topic("/newest/{name}", Price, keep="latest")
def newest(name: int) -> None:
    """A feed for pages that want the newest value."""


@live.topic("/all/{name}", Price, keep=10_000)
def every(name: int) -> None:
    """The same for pages that get every value; it keeps enough that a page that was blocked misses none."""


publishing: set[asyncio.Task[None]] = set()


@app.get("/begin")
async def begin(kind: str, rate: float) -> None:
    """Start publishing at a rate per second, to all feeds of one kind together."""
    publishing.add(asyncio.create_task(_publish(newest if kind == "newest" else every, rate)))


@app.get("/end")
async def end() -> int:
    """Stop publishing; return the number of values published so far."""
    while publishing:
        task = publishing.pop()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return newest.statistics().published + every.statistics().published


@app.get("/published")
async def published() -> int:
    """Return the number of values published so far."""
    return newest.statistics().published + every.statistics().published


async def _publish(topic: Any, rate: float) -> None:
    """Publish each millisecond what is due by then, to one feed after the other."""
    begun = time.perf_counter()
    number = 0
    while True:
        due = int((time.perf_counter() - begun) * rate)
        while number < due:
            number += 1
            topic.publish({"at": time.time() * 1000, "number": number}, name=number % FEEDS)
        await asyncio.sleep(_PAUSE)


# The page


@app.get("/")
async def page() -> FileResponse:
    """Return the page that measures."""
    return FileResponse(PAGE / "index.html")


app.mount("/page", StaticFiles(directory=PAGE))
app.mount("/sdk", StaticFiles(directory=PEERS / "node_modules" / "centrifuge" / "dist", check_dir=False))
