"""The demo: two counters, a race and live data, at http://localhost:8000 (`make run`).

The first part is everything that the counters need. The second part has the other lanes of the race: a loop with
FastAPI alone, and HTTP polling. The live data is in `feeds.py`, what `make cluster` adds in `workers.py`, and the pages
are in `web/demo`.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

from demo import feeds, workers
from wirespeed import Live, Message, Settings

VALUES = 10_000

PAGE = Path(__file__).parent / "page"
"""The folder into which npm builds the page."""

GUIDE = Path(os.environ.get("WIRESPEED_DEMO_GUIDE", Path(__file__).parents[1] / "build" / "docs"))
"""The folder into which `make docs` builds the documentation, whose pages show parts of this demo live."""

RESTARTS = "WIRESPEED_DEMO_RESTARTS"
"""Environment variable set by `python -m demo`, which starts this process again when it ends."""

app = FastAPI(title="Wirespeed demo")

# A page that was opened from a file sends `Origin: null`. Wirespeed refuses that by default, because a sandboxed frame
# in a page of any other site sends it, too. The demo of one process holds nothing worth protecting; workers that a page
# can kill admit their own pages only.
live = Live(app, allowed_origins=[] if workers.NUMBER else ["null"], settings=Settings(lease_timeout=1.0))


class Hello(BaseModel):
    message: str


class Tick(TypedDict):
    message: str
    number: int


@app.get("/test")
def hello_world() -> dict[str, str]:
    return {"message": "hello world"}


@live.stream("/test")
async def count(text: Annotated[str, Message()]) -> AsyncIterator[str]:
    """Answer any text with the numbers from 1 to 10000, one per frame."""
    for number in range(1, VALUES + 1):
        yield str(number)


@live.stream("/test/json")
async def count_json(hello: Hello) -> AsyncIterator[Tick]:
    """Answer a hello with 10000 ticks."""
    for number in range(1, VALUES + 1):
        yield {"message": f"{hello.message} - {number}", "number": number}


# The other lanes of the race: the same values on the wire, without Wirespeed.


@app.websocket("/plain/text")
async def plain_text(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()
            for number in range(1, VALUES + 1):
                await websocket.send_text(str(number))


@app.websocket("/plain/json")
async def plain_json(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            hello = await websocket.receive_json()
            for number in range(1, VALUES + 1):
                await websocket.send_json({"message": f"{hello['message']} - {number}", "number": number})


@app.get("/poll/{number}")
async def poll(number: int) -> int:
    return number


@app.get("/poll/json/{number}")
async def poll_json(number: int, message: str = "hello") -> Tick:
    return {"message": f"{message} - {number}", "number": number}


@app.get("/race/cpu")
async def cpu() -> dict[str, float]:
    """Return this process and the CPU time that it has used; the page takes the difference over a lane."""
    if workers.NUMBER:
        raise HTTPException(409, "It measures a single process, which make run starts.")
    return {"process": os.getpid(), "seconds": time.process_time()}


# For the two clocks: the page estimates the server's time, and watches it in a plain loop, too.


@app.get("/clock")
async def clock() -> float:
    """Return the server's time, in seconds since 1970."""
    return time.time()


@app.websocket("/plain/clock")
async def plain_clock(websocket: WebSocket) -> None:
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_json({"at": time.time()})
            await asyncio.sleep(1 / feeds.CLOCK_PER_SECOND)


@app.post("/restart", status_code=202)
async def restart(x_restart: Annotated[str, Header()]) -> None:
    """End this process, which `python -m demo` starts again. No page of another site can send that header."""
    if RESTARTS not in os.environ:
        raise HTTPException(409, "Only a server that was started by `make run` or `python -m demo` can restart.")
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)


@app.get("/source", response_class=PlainTextResponse)
def source() -> str:
    """Return this file, to which the page links."""
    return Path(__file__).read_text()


class Zipped:
    """Compresses the page's scripts and styles. Everything else passes as it is: a live response must not wait."""

    def __init__(self, app: ASGIApp) -> None:
        self.plain = app
        self.zipped = GZipMiddleware(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_file = scope["type"] == "http" and scope["path"].startswith("/assets/")
        await (self.zipped if is_file else self.plain)(scope, receive, send)


app.add_middleware(Zipped)
app.include_router(feeds.router)

if workers.NUMBER:
    app.include_router(workers.router)

if GUIDE.is_dir():
    app.mount("/guide", StaticFiles(directory=GUIDE, html=True))
else:

    @app.get("/guide/", response_class=PlainTextResponse)
    def no_guide() -> str:
        return (
            "The documentation is not built. Run `make docs` and start the demo again, or begin with docs/README.md.\n"
        )


if PAGE.is_dir():
    app.frontend("/", directory=PAGE, fallback=None)
else:

    @app.get("/", response_class=PlainTextResponse)
    def not_built() -> str:
        return "The page is not built. With Node.js 20 or newer: cd web && npm ci && npm run build:demo\n"
