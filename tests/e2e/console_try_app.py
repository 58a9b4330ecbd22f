"""The app whose definitions `test_console_try` tries in the console: one of every kind, some with hostile values."""

import asyncio
from collections.abc import AsyncIterator
from enum import Enum
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from wirespeed import Live, Message

app = FastAPI(debug=True, title="Tried")
live = Live(app)

ended: list[str] = []


class Hello(BaseModel):
    message: str
    to: int = Field(default=10_000, ge=1)


class Tick(BaseModel):
    number: int
    message: str


@live.stream("/count")
async def count(hello: Hello) -> AsyncIterator[Tick]:
    """Count as fast as possible."""
    for number in range(1, hello.to + 1):
        yield Tick(number=number, message=f"{hello.message} - {number}")


@live.stream("/ticks")
async def ticks() -> AsyncIterator[Tick]:
    """Count without end, slowly."""
    number = 0
    try:
        while True:
            number += 1
            yield Tick(number=number, message="tick")
            await asyncio.sleep(0.01)
    finally:
        ended.append("ticks")


@app.get("/ended")
async def read_ended() -> list[str]:
    """Return the names of the runs that have ended."""
    return ended


class Unit(Enum):
    DOLLAR = "dollar"
    EURO = "euro"


class Price(BaseModel):
    symbol: str
    price: float
    unit: Unit


@live.feed("/price/{symbol}")
async def price(symbol: str, unit: Unit = Unit.DOLLAR) -> AsyncIterator[Price]:
    """The price of a symbol."""
    number = 0
    while True:
        number += 1
        yield Price(symbol=symbol, price=100 + number % 50 / 10, unit=unit)
        await asyncio.sleep(0.02)


@live.feed("/steps", keep=10, replay=10)
async def steps() -> AsyncIterator[int]:
    """Count to three."""
    for number in (1, 2, 3):
        yield number


class Quote(BaseModel):
    symbol: str
    price: float


quotes = live.topic("/quotes", Quote, by="symbol")


@app.post("/quotes")
async def put_quote(quote: Quote) -> None:
    """Set a row."""
    quotes.publish(quote)


@app.delete("/quotes/{symbol}")
async def delete_quote(symbol: str) -> None:
    """Remove a row."""
    quotes.remove(symbol)


class Seat(BaseModel):
    row: int = Field(ge=1)
    letter: Literal["A", "B", "C"] = "A"


class Person(BaseModel):
    kind: Literal["person"]
    name: str


class Company(BaseModel):
    kind: Literal["company"]
    number: int


class Booking(BaseModel):
    seats: list[Seat] = Field(min_length=1)
    buyer: Person | Company = Field(discriminator="kind")
    note: str | None = None
    weight: float = Field(default=0.0, description="Weight of the luggage in kilograms.")
    is_gift: bool = False


@live.call("/book")
async def book(booking: Booking) -> dict[str, int]:
    """Book seats."""
    if booking.note == "taken":
        detail = [{"loc": ["body", "seats", 0, "row"], "msg": "This seat is taken.", "type": "value_error"}]
        raise HTTPException(422, detail)
    if booking.note == "late":
        raise HTTPException(409, "It is too late.")
    return {"seats": len(booking.seats)}


class Say(BaseModel):
    text: str


@live.stream("/echo")
async def echo(messages: AsyncIterator[Say]) -> AsyncIterator[str]:
    """Repeat each text."""
    async for message in messages:
        yield message.text.upper()


@live.topic("/chat/{room}", Say, keep=100)
def chat(room: str) -> None:
    """The messages of a room."""


def member(name: Annotated[str, Query(min_length=1)] = "guest") -> str:
    """Return the name of the client."""
    return name


@chat.on_message
def take(message: Say, room: str, name: Annotated[str, Depends(member)]) -> None:
    """Publish a message."""
    if not message.text:
        raise HTTPException(400, "Say something.")
    chat.publish(Say(text=f"{name}: {message.text}"), room=room)


@live.feed("/secret", dependencies=[Depends(HTTPBearer())])
async def secret() -> AsyncIterator[int]:
    """Count for clients with a token."""
    number = 0
    while True:
        number += 1
        yield number
        await asyncio.sleep(0.02)


class Mirrored(BaseModel):
    text: str
    more: dict[str, str] = Field(default_factory=dict)


class Mirror(BaseModel):
    name: str
    q: str
    text: str


@live.call("/mirror/{name}")
async def mirror(name: str, said: Mirrored, q: str = "") -> Mirror:
    """Return the inputs."""
    return Mirror(name=name, q=q, text=said.text)


@live.stream("/mirrored/{name}")
async def mirrored(name: str, text: Annotated[str, Message()], q: str = "") -> AsyncIterator[str]:
    """Yield the inputs."""
    for each in (name, q, text):
        yield each


@live.feed("/reflection/{name}")
async def reflection(name: str, q: str = "") -> AsyncIterator[Mirror]:
    """Yield the inputs."""
    yield Mirror(name=name, q=q, text="")


@live.stream("/blob")
async def blob(data: Annotated[bytes, Message()]) -> AsyncIterator[bytes]:
    """Return the bytes, reversed."""
    yield data[::-1]
