"""An app for pages with the browser client; tests control it by POST, and GET /state returns what happened."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Header, HTTPException
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, JsonValue

from wirespeed import Live, Message, Settings, SourceError, Topic

PAGE = Path(__file__).resolve().parents[1] / "e2e" / "browser_page"
CHANGES = 10_000

app = FastAPI()
live = Live(app, settings=Settings(max_subscriptions=400))


class Row(BaseModel):
    """A row of a table."""

    symbol: str
    price: float


class Hello(BaseModel):
    """The start of a count."""

    message: str


class Tick(BaseModel):
    """A step of a count."""

    message: str
    number: int


class Moment(BaseModel):
    """The time when a value was made, in milliseconds since 1970."""

    number: int
    at: float


class Sum(BaseModel):
    """Two numbers."""

    a: int
    b: int


# Feeds


async def moments() -> AsyncIterator[Moment]:
    """Change 10,000 times per second."""
    began = time.monotonic()
    for number in count(1):
        yield Moment(number=number, at=time.time() * 1000)
        if (ahead := number / CHANGES - (time.monotonic() - began)) > 0.001:
            await asyncio.sleep(ahead)


@live.feed("/clock", linger=0)
async def clock() -> AsyncIterator[Moment]:
    """Yield the time, for pages that acknowledge."""
    async for moment in moments():
        yield moment


@live.feed("/clock-plain", linger=0)
async def clock_plain() -> AsyncIterator[Moment]:
    """Yield the time, for pages that do not acknowledge."""
    async for moment in moments():
        yield moment


@live.feed("/number/{number}", linger=0)
async def number_feed(number: int, times: int = 1) -> AsyncIterator[int]:
    """Yield the key."""
    yield number * times
    await asyncio.Event().wait()


failed: list[str] = []


@live.feed("/unsteady", keep=10, replay=10, linger=0)
async def unsteady() -> AsyncIterator[int]:
    """Fail once, with a reason; then yield two values and end."""
    if not failed:
        failed.append("unsteady")
        raise SourceError("The exchange is closed.")
    yield 1
    for _ in range(20):  # its watchers learn that it is live before it ends
        await asyncio.sleep(0)
    yield 2


@live.feed("/short", keep=100, replay=100, linger=0)
async def short() -> AsyncIterator[int]:
    """Complete after three values."""
    for number in range(3):
        yield number


@live.topic("/price/{name}", JsonValue, keep="latest")
def price(name: str) -> None:
    """Keep the newest value."""


@live.topic("/note/{name}", JsonValue, keep=10_000)
def note(name: str) -> None:
    """Keep many values."""


@live.topic("/few/{name}", JsonValue, keep=5)
def few(name: str) -> None:
    """Keep few values."""


@live.topic("/skips/{name}", JsonValue, keep=5, on_lag="skip")
def skips(name: str) -> None:
    """Keep few values, and report how many were lost."""


@live.topic("/table/{name}", Row, keep="latest", by="symbol")
def table(name: str) -> None:
    """Keep the newest of each row."""


@live.topic("/answer/{name}", str, grows=True)
def answer(name: str) -> None:
    """A text that grows."""


class Said(BaseModel):
    """A row with a text that grows."""

    id: int
    text: str = ""


@live.topic("/chat/{name}", Said, by="id", grows="text")
def chat(name: str) -> None:
    """Rows with a text that grows."""


@live.topic("/room/{name}", JsonValue, keep=100, presence=True, join_leave=True)
def room(name: str) -> None:
    """Accept messages from any client."""


@room.on_message
async def say(name: str, message: dict[str, JsonValue]) -> None:
    """Publish a message to all watchers."""
    if "refuse" in message:
        raise HTTPException(403, "Not that.")
    room.publish(message, name=name)


async def member(authorization: Annotated[str, Header()] = "") -> None:
    """Refuse every client."""
    raise HTTPException(403 if authorization else 401, "Members only.")


@live.topic("/guarded", JsonValue, dependencies=[Depends(member)])
def guarded() -> None:
    """Hold values for members."""


# Streams

ended: list[str] = []
made: dict[str, int] = {}


@live.stream("/count")
async def count_up(hello: Hello, to: int = 10_000) -> AsyncIterator[Tick]:
    """Count without suspending."""
    for number in range(1, to + 1):
        yield Tick(message=f"{hello.message} - {number}", number=number)


@live.stream("/endless/{name}")
async def endless(name: str, pause: float = 0, wait: float = 0) -> AsyncIterator[int]:
    """Count, and record how far it has come."""
    try:
        await asyncio.sleep(wait)
        for number in count(1):
            made[name] = number
            yield number
            await asyncio.sleep(pause)
    finally:
        ended.append(name)


@live.stream("/answers")
async def answers(messages: AsyncIterator[JsonValue]) -> AsyncIterator[JsonValue]:
    """Repeat each message."""
    async for message in messages:
        yield message


@live.stream("/talk")
async def talk(text: Annotated[str, Message()]) -> AsyncIterator[str]:
    """Repeat messages in capitals."""
    for word in text.split():
        yield word.upper()


@live.stream("/fails")
async def fails() -> AsyncIterator[int]:
    """Fail."""
    yield 1
    raise RuntimeError("a secret")


@live.stream("/refuses")
async def refuses() -> AsyncIterator[int]:
    """End with a refusal."""
    yield 1
    raise HTTPException(409, "No more.")


@live.stream("/members", dependencies=[Depends(member)])
async def members() -> AsyncIterator[int]:
    """Yield values for members."""
    yield 1


@live.call("/add")
async def add(numbers: Sum) -> int:
    """Add."""
    if numbers.a == 418:
        raise HTTPException(418, "I am a teapot.")
    return numbers.a + numbers.b


# Control by tests


class Publication(BaseModel):
    """Values to publish."""

    channel: str
    values: list[Any]
    pause: float = 0


TOPICS: dict[str, Topic[..., Any]] = {
    "price": price,
    "note": note,
    "few": few,
    "skips": skips,
    "table": table,
    "answer": answer,
    "chat": chat,
}


@app.post("/app/publish")
async def publish(publication: Publication) -> None:
    """Publish all values, at once or one after the other."""
    kind, _, name = publication.channel.partition("/")
    for value in publication.values:
        TOPICS[kind].publish(Row(**value) if kind == "table" else value, name=name)
        if publication.pause:
            await asyncio.sleep(publication.pause)


@app.post("/app/append")
async def append(publication: Publication) -> None:
    """Append all values to a text, or in a table, each ``[row, text]`` to its row."""
    kind, _, name = publication.channel.partition("/")
    for value in publication.values:
        TOPICS[kind].append(*(value if isinstance(value, list) else [value]), name=name)
        await asyncio.sleep(publication.pause)


@app.post("/app/remove")
async def remove(name: str, symbol: str) -> None:
    """Remove a row of a table."""
    table.remove(symbol, name=name)


@app.post("/app/disconnect")
async def disconnect(code: int, reason: str) -> None:
    """Disconnect all clients."""
    for client in live.clients():
        client.disconnect(code, reason)


@app.post("/app/send")
async def send(message: Annotated[JsonValue, Body()]) -> None:
    """Send a message to all clients, and subscribe them to a channel."""
    for client in live.clients():
        client.subscribe("note/given")
        client.send(message)


@app.get("/state")
async def state() -> dict[str, Any]:
    """Return the current state and past events."""
    watching = live.watching()
    return {
        "ended": ended,
        "made": made,
        "watchers": {path: each.watchers for path, each in watching.items() if each.watchers},
        "delivered": {path: each.delivered for path, each in watching.items()},
        **live.statistics()._asdict(),
    }


@app.get("/page")
async def page() -> FileResponse:
    """Return a page with the client, which connects."""
    return FileResponse(PAGE / "page.html")


@app.get("/react")
async def react() -> FileResponse:
    """Return a page with components; the test provides its script."""
    return FileResponse(PAGE / "react.html")


@app.get("/elsewhere")
async def elsewhere() -> HTMLResponse:
    """Return an empty page."""
    return HTMLResponse('<!DOCTYPE html><link rel="icon" href="data:,"><title>Elsewhere</title><p>Nothing to see.</p>')


app.mount("/files", StaticFiles(directory=PAGE))
