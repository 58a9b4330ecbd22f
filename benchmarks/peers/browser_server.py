"""What a page can be given: 10,000 values in every way, 20 feeds in two ways, and the page itself."""

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
PAGE = PEERS.parent / "browser" / "page"
FEEDS = 20
_PAUSE = 0.001

app = FastAPI()
live = Live(app)


class Price(TypedDict):
    """A value that knows when it was made: milliseconds since 1970, as a page's `Date.now()` has them."""

    at: float
    number: int


# 10,000 values


@app.get("/value/{number}")
async def value(number: int) -> dict[str, Any]:
    """One of the values, for those who ask for each."""
    return {"message": f"hello - {number}", "number": number}


@app.websocket("/plain")
async def plain(websocket: WebSocket) -> None:
    """The loop that everybody writes today."""
    await websocket.accept()
    async for data in websocket.iter_json():
        hello = Hello.model_validate(data)
        for number in range(1, COUNT + 1):
            await websocket.send_json({"message": f"{hello.message} - {number}", "number": number})


@live.stream("/values")
async def values(hello: Hello) -> AsyncIterator[dict[str, Any]]:
    """The same, with Wirespeed."""
    for number in range(1, COUNT + 1):
        yield {"message": f"{hello.message} - {number}", "number": number}


# Feeds


@live.topic("/newest/{name}", Price, keep="latest")
def newest(name: int) -> None:
    """For those who want the newest value."""


@live.topic("/all/{name}", Price, keep=10_000)
def every(name: int) -> None:
    """The same, for those who get every value: so many that a page that was blocked misses none."""


publishing: set[asyncio.Task[None]] = set()


@app.get("/begin")
async def begin(kind: str, rate: float) -> None:
    """From now on, publish so many values per second to all feeds together, of one kind."""
    publishing.add(asyncio.create_task(_publish(newest if kind == "newest" else every, rate)))


@app.get("/end")
async def end() -> int:
    """Publish no more; answers with how many were published so far."""
    while publishing:
        task = publishing.pop()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return newest.statistics().published + every.statistics().published


@app.get("/published")
async def published() -> int:
    """How many were published so far."""
    return newest.statistics().published + every.statistics().published


async def _publish(topic: Any, rate: float) -> None:
    """Each millisecond what is due by then, to one feed after the other."""
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
    """The page that measures."""
    return FileResponse(PAGE / "index.html")


app.mount("/page", StaticFiles(directory=PAGE))
app.mount("/sdk", StaticFiles(directory=PEERS / "node_modules" / "centrifuge" / "dist", check_dir=False))
