"""The app that `test_console_page` looks at: feeds, a topic, a stream and a call, with the console on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from wirespeed import Console, Live

app = FastAPI(debug=True, title="Exchange", version="1.4.0")
live = Live(app, console=Console(disconnect=True))


class Level(BaseModel):
    price: float = Field(gt=0)
    size: int = Field(description="Number of contracts.")


class Quote(BaseModel):
    symbol: str
    price: float
    bids: list[Level] = []


@live.feed("/price/{symbol}", tags=["market"])
async def price(
    symbol: Literal["BTC", "ETH"], unit: Annotated[str, Query(max_length=3)] = "USD"
) -> AsyncIterator[Quote]:
    """The newest price of a symbol.

    Changes ten times per second, in any `unit`.
    """
    number = 0
    while True:
        number += 1
        yield Quote(symbol=symbol, price=number)
        await asyncio.sleep(0.1)


@live.feed("/broken")
async def broken() -> AsyncIterator[int]:
    """Fails again and again."""
    yield 1
    raise ValueError("the exchange <b>refused</b>")


class Said(BaseModel):
    text: str


@live.topic("/chat/{room}", Said, keep=100)
def chat(room: str) -> None:
    """Everything said in a room."""


@app.post("/chat/{room}")
async def say(room: str, said: Said) -> None:
    """Publish to a room."""
    chat.publish(said, room=room)


@live.stream("/count", deprecated=True)
async def count() -> AsyncIterator[int]:
    """Count to three."""
    for number in (1, 2, 3):
        yield number


@live.call("/add")
def add(numbers: list[int]) -> int:
    """Add numbers."""
    return sum(numbers)
