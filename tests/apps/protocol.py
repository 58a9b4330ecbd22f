"""An app with every feature of the multiplexed connection; tests control it by POST."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, JsonValue
from starlette.requests import HTTPConnection

from tests.apps.tokens import SECRET
from wirespeed import (
    Grant,
    Identity,
    Live,
    Message,
    RawJSON,
    Sender,
    Settings,
    SourceError,
    Tagged,
    Topic,
    current_identity,
    current_sender,
    required_grant,
)
from wirespeed.tokens import JWT

SDK = Path(__file__).resolve().parents[1] / "sdk"


class Users(JWT):
    """Identifies users by tokens, and greets them. With ``stay``, a token expires that many seconds after arrival."""

    async def connect(self, token: str, connection: HTTPConnection) -> Identity | None:
        identity = await super().connect(token, connection)
        if identity is None:
            return None
        return replace(identity, data={"hello": identity.user}, **limits(token))

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        return replace(await super().grant(token, channel, identity), **limits(token))


def limits(token: str) -> dict[str, Any]:
    """Return the time when a token with ``stay`` expires."""
    claims = jwt.decode(token, options={"verify_signature": False}) if token else {}
    return {"expires_at": time.time() + claims["stay"]} if "stay" in claims else {}


app = FastAPI()
live = Live(
    app,
    authenticate=Users(SECRET, anonymous=True),
    settings=Settings(
        ping_interval=float(os.environ.get("PING", "25")),
        pong_timeout=float(os.environ.get("PONG", "8")),
        connect_timeout=float(os.environ.get("CONNECT_TIMEOUT", "15")),
        refresh_timeout=3.0,
    ),
)

Who = Annotated[Identity, Depends(current_identity)]


class Row(BaseModel):
    """A row of a table."""

    symbol: str
    price: float


class Add(BaseModel):
    """Two numbers."""

    a: int
    b: int


class Repeat(BaseModel):
    """A text, and the number of repetitions."""

    text: str
    times: int = 3


# Definitions for clients; each test uses its own keys.


@live.topic("/room/{name}", JsonValue, keep=1000, presence=True, join_leave=True)
def room(name: str) -> None:
    """Accept messages from any client."""


@room.on_message
async def say(name: str, message: dict[str, JsonValue], sender: Annotated[Sender, Depends(current_sender)]) -> None:
    """Publish a message to all watchers."""
    if "refuse" in message:
        raise HTTPException(409, "Not that.")
    room.publish_as(sender, message, name=name)


@live.topic("/relay/{name}", RawJSON, keep=10, replay=10)
def relay(name: str) -> None:
    """Pass on what clients send."""


@relay.on_message
async def pass_on(name: str, message: RawJSON) -> None:
    """Publish a message as it is."""
    relay.publish(message, name=name)


@live.topic("/note/{name}", JsonValue, keep=10_000, deltas=True)
def note(name: str) -> None:
    """Hold values of the app."""


@live.topic("/few/{name}", JsonValue, keep=5)
def few(name: str) -> None:
    """Keep few values."""


@live.topic("/resumed/{name}", JsonValue, keep=5, history="resume")
def resumed(name: str) -> None:
    """Show few values, and only to clients that return."""


@live.topic("/withheld/{name}", JsonValue, keep=5, history=False)
def withheld(name: str) -> None:
    """Keep few values, and show none of them."""


@live.topic("/price/{name}", JsonValue, keep="latest")
def price(name: str) -> None:
    """Keep the newest value."""


@live.topic("/table/{name}", Row, keep="latest", by="symbol")
def table(name: str) -> None:
    """Keep the newest of each row."""


@live.topic("/stored/{name}", Row, by="symbol", order_by="-price")
def stored(name: str) -> None:
    """Begin with stored rows."""


@stored.load
async def stored_rows(name: str) -> list[Row]:
    """Return the rows, or refuse a name."""
    if name == "missing":
        raise HTTPException(404, {"nothing": name})
    return [Row(symbol=symbol, price=price) for symbol, price in (("A", 1), ("B", 3), ("C", 2))]


@live.topic("/text/{name}", str, keep=100)
def text(name: str) -> None:
    """Hold plain text."""


@live.topic("/blob/{name}", bytes, keep=100)
def blob(name: str) -> None:
    """Hold bytes."""


@live.topic("/number/{number}", JsonValue, keep=100)
def number(number: int) -> None:
    """Take a number as the key."""


async def member(authorization: Annotated[str, Header()] = "") -> str:
    """Admit members."""
    if not authorization:
        raise HTTPException(401)
    claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, ["HS256"])
    if not claims["sub"].startswith("member"):
        raise HTTPException(403)
    return str(claims["sub"])


@live.topic("/guarded/{name}", JsonValue, keep=100, dependencies=[Depends(member)])
def guarded(name: str) -> None:
    """Hold values for members."""


@live.topic("/ticket/{name}", JsonValue, keep=100, presence=True, dependencies=[Depends(required_grant)])
def ticket(name: str) -> None:
    """Hold values for clients with a token for it."""


@live.feed("/ticks/{name}", keep=1000, linger=1)
async def ticks(name: str, pause: float = 0.01) -> AsyncIterator[int]:
    """Count."""
    for each in count(1):
        yield each
        await asyncio.sleep(pause)


failed: set[str] = set()


@live.feed("/unsteady/{name}", keep=10, replay=10)
async def unsteady(name: str) -> AsyncIterator[int]:
    """Fail once, with a reason; then count to two and end, or refuse."""
    if name not in failed:
        failed.add(name)
        raise SourceError("closed for maintenance")
    yield 1
    for _ in range(20):  # its watchers learn that it is live before it ends
        await asyncio.sleep(0)
    if "refuses" in name:
        raise HTTPException(410, {"left": name}, {"retry-after": "600"})
    yield 2


# Streams

ended: list[str] = []


@live.stream("/repeat")
async def repeat(message: Repeat) -> AsyncIterator[str]:
    """Repeat a text as often as the message says."""
    for each in range(message.times):
        yield f"{message.text} {each + 1}"


@live.stream("/lasting", resume=60)
async def lasting() -> AsyncIterator[int]:
    """Count, for longer than the connection that has begun it."""
    for number in range(100):
        yield number
        await asyncio.sleep(0.01)


@live.stream("/talk/{name}")
async def talk(name: str, messages: AsyncIterator[Repeat], who: Who) -> AsyncIterator[JsonValue]:
    """Answer each message until the client asks to stop."""
    try:
        async for message in messages:
            if message.text == "stop":
                return
            yield {"user": who.user, "text": message.text.upper()}
    finally:
        ended.append(name)


@live.stream("/refuses")
async def refuses() -> AsyncIterator[int]:
    """End with a refusal."""
    yield 1
    raise HTTPException(409, "No more.")


@live.stream("/fails")
async def fails() -> AsyncIterator[int]:
    """Fail."""
    yield 1
    raise RuntimeError("a secret")


@live.stream("/sleeps")
async def sleeps(data: Annotated[str, Message()]) -> AsyncIterator[str]:
    """Yield nothing."""
    await asyncio.Event().wait()
    yield ""


@live.stream("/octets")
async def octets(data: Annotated[bytes, Message()]) -> AsyncIterator[bytes]:
    """Return bytes."""
    yield data[::-1]


# Calls


@live.call("/add")
async def add(numbers: Add) -> int:
    """Add."""
    if numbers.a == 418:
        raise HTTPException(418, "I am a teapot.")
    return numbers.a + numbers.b


@live.call("/whoami")
async def whoami(who: Who) -> JsonValue:
    """Return the caller."""
    return {"user": who.user, "info": who.info}


# Control by tests


class Publication(BaseModel):
    """Values to publish."""

    channel: str
    values: list[Any]
    tags: dict[str, str] | None = None
    pause: float = 0


@live.topic("/answer/{name}", str, grows=True)
def answer(name: str) -> None:
    """A text that grows."""


class Said(BaseModel):
    """A row with a text that grows."""

    id: int
    text: str


@live.topic("/chat/{name}", Said, by="id", grows="text")
def chat(name: str) -> None:
    """Rows with a text that grows."""


TOPICS: dict[str, Topic[..., Any]] = {
    "room": room,
    "note": note,
    "few": few,
    "resumed": resumed,
    "withheld": withheld,
    "price": price,
    "table": table,
    "stored": stored,
    "text": text,
    "blob": blob,
    "guarded": guarded,
    "ticket": ticket,
    "answer": answer,
    "chat": chat,
}


@app.post("/app/publish")
async def publish(publication: Publication) -> None:
    """Publish all values, at once or one after the other; return when they are stored."""
    kind, _, name = publication.channel.partition("/")
    receipts = []
    for value in publication.values:
        made = bytes(value) if kind == "blob" else value
        tagged = made if publication.tags is None else Tagged(made, publication.tags)
        receipts.append(TOPICS[kind].publish(tagged, name=name))
        if publication.pause:
            await asyncio.sleep(publication.pause)
    for receipt in receipts:
        await receipt


@app.post("/app/append")
async def append(publication: Publication) -> None:
    """Append all values to a text, or in a table, each ``[row, text]`` to its row."""
    kind, _, name = publication.channel.partition("/")
    for value in publication.values:
        await TOPICS[kind].append(*(value if isinstance(value, list) else [value]), name=name)


@app.post("/app/remove/{name}/{symbol}")
async def remove(name: str, symbol: str) -> None:
    """Remove a row of a table."""
    await table.remove(symbol, name=name)


class Reach(BaseModel):
    """Actions on the clients of a user."""

    user: str
    does: str
    given: dict[str, JsonValue] = {}


@app.post("/app/clients")
async def reach(what: Reach) -> int:
    """Do something to each client of a user; return their number."""
    if "WIRESPEED_BROKER" in os.environ:
        group = live.all_clients(what.user)
        count = len(await group.list())
        getattr(group, what.does)(**what.given)
        return count
    clients = list(live.clients(user=what.user))
    for client in clients:
        getattr(client, what.does)(**what.given)
    return len(clients)


@app.get("/state")
async def state() -> dict[str, Any]:
    """Return past events."""
    return {"ended": ended, **live.statistics()._asdict()}


@app.get("/page")
async def page() -> HTMLResponse:
    """Return a page with the driver."""
    return HTMLResponse(
        '<!DOCTYPE html><link rel="icon" href="data:,"><title>SDK</title>'
        '<script type="module" src="/sdk/page.mjs"></script>'
    )


app.mount("/sdk", StaticFiles(directory=SDK, follow_symlink=True))  # packages may be linked into a checkout
