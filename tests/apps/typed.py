"""An app whose definitions a client imports: keys, rows, messages and values of many types."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path, Query
from pydantic import BaseModel, Field

from wirespeed import Live, LiveRouter, Message

app = FastAPI()
live = Live(app)
router = LiveRouter(prefix="/v1")
unserved = LiveRouter()


class Side(Enum):
    BUY = "buy"
    SELL = "sell"


class Quote(BaseModel):
    symbol: str
    price: Decimal
    day: date


class Stock(BaseModel):
    id: int
    item_count: int = Field(serialization_alias="itemCount")


class Filter(BaseModel):
    low: int = 0
    high: int = 9


class Order(BaseModel):
    item: str = Field(alias="articleName")
    count: int = 1


class Shop:
    """A shop whose method is a call."""

    async def open(self, day: date) -> bool:
        return day.isoweekday() < 6


def user() -> str:
    return "ada"


@router.feed("/price/{symbol}")
async def price(
    symbol: str, side: Side = Side.BUY, tags: Annotated[list[str] | None, Query(alias="tag")] = None, limit: int = 5
) -> AsyncIterator[Quote]:
    yield Quote(symbol=f"{symbol} {side.name} {tags} {limit}", price=Decimal("1.10"), day=date(2026, 1, 2))


@router.feed("/quotes/{day}", by="symbol")
async def quotes(day: date) -> AsyncIterator[Quote]:
    yield Quote(symbol="A", price=Decimal(1), day=day)
    yield Quote(symbol="B", price=Decimal(2), day=day)
    await asyncio.Event().wait()


@live.feed("/stock")
async def stock() -> AsyncIterator[Stock]:
    yield Stock(id=1, item_count=7)


@live.feed("/stocks", by="id")
async def stocks() -> AsyncIterator[Stock]:
    yield Stock(id=1, item_count=7)
    await asyncio.Event().wait()


@live.call("/stock-of")
async def stock_of(number: Annotated[int, Message()]) -> list[Stock]:
    return [Stock(id=number, item_count=7)]


@router.feed("/files/{name:path}")
async def files(name: Annotated[str, Path()], path: bool = False) -> AsyncIterator[str]:
    yield f"{name} {path}"


@live.topic("/chat/{room}", str, keep=10, presence=True)
def chat(room: str) -> None: ...


@chat.on_message
async def take(message: Order, room: str) -> None:
    await chat.publish(f"{message.count} {message.item}", room=room)


notices = live.topic("/notices", str)


@router.stream("/count/{start}")
async def count(order: Order, start: int, who: Annotated[str, Depends(user)] = "") -> AsyncIterator[Quote]:
    for number in range(start, start + order.count):
        yield Quote(symbol=f"{order.item} {number} {who}", price=Decimal(number), day=date(2026, 1, 2))


@router.stream("/echo")
async def echo(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    async for text in texts:
        yield text
        if text == "end":
            return


@live.stream("/ticks")
def ticks() -> Iterator[int]:
    yield from (1, 2, 3)


@router.call("/add")
async def add(numbers: list[Decimal], start: Decimal = Decimal(0)) -> Decimal:
    return start + sum(numbers)


@router.call("/greet/{name}")
def greet(name: str, text: Annotated[str, Message()], only: Annotated[Filter, Query()]) -> dict[str, int]:
    if name == "eve":
        raise HTTPException(404, {"missing": name})
    return {f"{text} {name}": only.high - only.low}


@router.call("/reverse")
def reverse(data: Annotated[bytes, Message()]) -> bytes:
    return data[::-1]


shop = Shop()
live.call("/open")(shop.open)


@unserved.feed("/unserved")
async def lonely() -> AsyncIterator[int]:
    yield 1


twice = LiveRouter()


@twice.feed("/twice")
async def double() -> AsyncIterator[int]:
    yield 1


app.include_router(router, prefix="/api")
app.include_router(twice, prefix="/a")
app.include_router(twice, prefix="/b")
