"""The app of these tests: one definition of each kind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

from tests.waiting import NEVER
from wirespeed import Live, Message

app = FastAPI(title="Shop")
live = Live(app)


class Order(BaseModel):
    item: str
    count: int = 1


class Room(BaseModel):
    name: str
    degrees: float


def admit(authorization: Annotated[str, Header()] = "") -> None:
    if authorization != "Bearer secret":
        raise HTTPException(403, "The vault is closed.")


@live.feed("/price/{symbol}")
async def price(symbol: Literal["BTC", "ETH"], currency: str = "EUR") -> AsyncIterator[float]:
    """The price of a symbol.

    It changes a hundred times per second.
    """
    value = 100.0
    while True:
        yield value
        value += 0.25
        await asyncio.sleep(0.01)


@live.feed("/rooms", by="name")
async def rooms() -> AsyncIterator[Room]:
    """The temperatures of all rooms."""
    yield Room(name="Attic", degrees=19.5)
    yield Room(name="Hall", degrees=21.25)


@live.feed("/large")
async def large() -> AsyncIterator[str]:
    """Yield values of which few fill a pipe."""
    while True:
        yield "x" * 10_000
        await asyncio.sleep(0.01)


@live.feed("/texts", keep=10, replay=10)
async def texts() -> AsyncIterator[str]:
    """Texts that could harm a terminal."""
    yield "plain"
    yield "\x1b[2Jred\x9b31m\u202e"


@live.feed("/bytes", keep=10, replay=10)
async def data() -> AsyncIterator[bytes]:
    yield b"\x00\xff"


@live.feed("/vault", dependencies=[Depends(admit)])
async def vault() -> AsyncIterator[int]:
    yield 1


@live.stream("/count")
async def count(order: Order) -> AsyncIterator[str]:
    """Count an order."""
    for number in range(order.count):
        yield f"{order.item} {number + 1}"


@live.stream("/echo")
async def echo(messages: AsyncIterator[Order]) -> AsyncIterator[Order]:
    async for message in messages:
        yield message


@live.stream("/shout")
async def shout(text: Annotated[str, Message()]) -> AsyncIterator[str]:
    yield text.upper()


@live.call("/total")
async def total(order: Order) -> float:
    """The price of an order."""
    return 2.5 * order.count


@live.call("/whoami", dependencies=[Depends(admit)])
async def whoami() -> str:
    return "admin"


@live.call("/slow")
async def slow() -> None:
    await asyncio.sleep(NEVER)


orders = live.topic("/orders", Order, keep=100, replay=100)


@orders.on_message
async def take(order: Order) -> None:
    if order.count > 100:
        raise HTTPException(409, "There are not that many.")
    orders.publish(order)
