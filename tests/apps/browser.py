"""An app for pages with the browser client; tests tell it by POST what to do, and GET /state says what happened."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, JsonValue

from wirespeed import Live, Message, Settings, Topic

PAGE = Path(__file__).resolve().parents[1] / "e2e" / "browser_page"
CHANGES = 10_000

app = FastAPI()
live = Live(app, settings=Settings(max_subscriptions=400))


class Row(BaseModel):
    """A row of a table."""

    symbol: str
    price: float


class Hello(BaseModel):
    """How a count begins."""

    message: str


class Tick(BaseModel):
    """A step of a count."""

    message: str
    number: int


class Moment(BaseModel):
    """When a value was made, in milliseconds since 1970."""

    number: int
    at: float


class Sum(BaseModel):
    """Two numbers."""

    a: int
    b: int


# Feeds


async def moments() -> AsyncIterator[Moment]:
    """Changes 10,000 times per second."""
    began = time.monotonic()
    for number in count(1):
        yield Moment(number=number, at=time.time() * 1000)
        if (ahead := number / CHANGES - (time.monotonic() - began)) > 0.001:
            await asyncio.sleep(ahead)


@live.feed("/clock", linger=0)
async def clock() -> AsyncIterator[Moment]:
    """The time, for pages that acknowledge."""
    async for moment in moments():
        yield moment


@live.feed("/clock-plain", linger=0)
async def clock_plain() -> AsyncIterator[Moment]:
    """The same, for pages that do not."""
    async for moment in moments():
        yield moment


@live.feed("/number/{number}", linger=0)
async def number_feed(number: int, times: int = 1) -> AsyncIterator[int]:
    """Its own number."""
    yield number * times
    await asyncio.Event().wait()


@live.feed("/short", keep=100, replay=100, linger=0)
async def short() -> AsyncIterator[int]:
    """Is complete after three values."""
    for number in range(3):
        yield number


@live.topic("/price/{name}", JsonValue, keep="latest")
def price(name: str) -> None:
    """Only the newest counts."""


@live.topic("/note/{name}", JsonValue, keep=10_000)
def note(name: str) -> None:
    """Nothing is lost."""


@live.topic("/few/{name}", JsonValue, keep=5)
def few(name: str) -> None:
    """Remembers little."""


@live.topic("/skips/{name}", JsonValue, keep=5, on_lag="skip")
def skips(name: str) -> None:
    """Remembers little, and says how much was lost."""


@live.topic("/table/{name}", Row, keep="latest", by="symbol")
def table(name: str) -> None:
    """The newest of each row."""


@live.topic("/room/{name}", JsonValue, keep=100)
def room(name: str) -> None:
    """Who comes may talk."""


@room.on_message
async def say(name: str, message: dict[str, JsonValue]) -> None:
    """Everybody hears it."""
    if "refuse" in message:
        raise HTTPException(403, "Not that.")
    room.publish(message, name=name)


async def member(authorization: Annotated[str, Header()] = "") -> None:
    """Lets nobody in."""
    raise HTTPException(403 if authorization else 401, "Members only.")


@live.topic("/guarded", JsonValue, dependencies=[Depends(member)])
def guarded() -> None:
    """For members."""


# Streams

ended: list[str] = []
made: dict[str, int] = {}


@live.stream("/count")
async def count_up(hello: Hello, to: int = 10_000) -> AsyncIterator[Tick]:
    """Counts without suspending."""
    for number in range(1, to + 1):
        yield Tick(message=f"{hello.message} - {number}", number=number)


@live.stream("/endless/{name}")
async def endless(name: str, pause: float = 0, wait: float = 0) -> AsyncIterator[int]:
    """Counts, and says how far it has come."""
    try:
        await asyncio.sleep(wait)
        for number in count(1):
            made[name] = number
            yield number
            await asyncio.sleep(pause)
    finally:
        ended.append(name)


@live.stream("/talk")
async def talk(text: Annotated[str, Message()]) -> AsyncIterator[str]:
    """Says it louder."""
    for word in text.split():
        yield word.upper()


@live.stream("/fails")
async def fails() -> AsyncIterator[int]:
    """Fails."""
    yield 1
    raise RuntimeError("a secret")


@live.stream("/refuses")
async def refuses() -> AsyncIterator[int]:
    """Ends with a refusal."""
    yield 1
    raise HTTPException(409, "No more.")


@live.stream("/members", dependencies=[Depends(member)])
async def members() -> AsyncIterator[int]:
    """For members."""
    yield 1


@live.call("/add")
async def add(numbers: Sum) -> int:
    """Adds."""
    if numbers.a == 418:
        raise HTTPException(418, "I am a teapot.")
    return numbers.a + numbers.b


# What tests tell the app


class Publication(BaseModel):
    """What to publish."""

    channel: str
    values: list[Any]
    pause: float = 0


TOPICS: dict[str, Topic[..., Any]] = {
    "price": price,
    "note": note,
    "few": few,
    "skips": skips,
    "table": table,
}


@app.post("/app/publish")
async def publish(publication: Publication) -> None:
    """Publishes all values, at once or one after the other."""
    kind, _, name = publication.channel.partition("/")
    for value in publication.values:
        TOPICS[kind].publish(Row(**value) if kind == "table" else value, name=name)
        if publication.pause:
            await asyncio.sleep(publication.pause)


@app.post("/app/remove")
async def remove(name: str, symbol: str) -> None:
    """Removes a row of a table."""
    table.remove(symbol, name=name)


@app.post("/app/disconnect")
async def disconnect(code: int, reason: str) -> None:
    """Sends all clients away."""
    for client in live.clients():
        client.disconnect(code, reason)


@app.get("/state")
async def state() -> dict[str, Any]:
    """What happens, and what happened so far."""
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
    """A page with the client, that connects."""
    return FileResponse(PAGE / "page.html")


@app.get("/react")
async def react() -> FileResponse:
    """A page with components; the test brings its script."""
    return FileResponse(PAGE / "react.html")


@app.get("/elsewhere")
async def elsewhere() -> HTMLResponse:
    """A page without anything."""
    return HTMLResponse("<!DOCTYPE html><title>Elsewhere</title><p>Nothing to see.</p>")


@app.get("/favicon.ico", status_code=204)
async def icon() -> None:
    """Browsers ask for it."""


app.mount("/files", StaticFiles(directory=PAGE))
