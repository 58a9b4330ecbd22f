"""The demo's live data: prices, a clock, a table, a chat, and the server itself.

Each feed runs once, shared by all its watchers, and only while it is being watched. The prices are invented.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import psutil
from fastapi import HTTPException
from pydantic import BaseModel, BeforeValidator, Field, StringConstraints
from typing_extensions import TypedDict

from wirespeed import Feed, LiveRouter, Topic

CLOCK_PER_SECOND = 30
"""Values of the clock."""

MOST_WATCHERS = 1_000
"""Watchers that all pages together may add."""

AT_ONCE = 100
"""Values that one of these watchers takes before another one gets its turn."""

MOVES_PER_SECOND = 3_000
"""Changes of all rows of the table together."""

# The shortest sleep that is reliable; values that became due meanwhile follow at once.
TURN = 0.004

# Shorter than by default: before a race, which measures this process, the page stops watching and waits this long.
LINGER = 0.5

router = LiveRouter()


class Course:
    """A price computed from the time alone, so that it is the same for every client and after a restart.

    It is Weierstrass's function: each wave is half as long as the one before, which makes the curve rough at any scale.
    """

    def __init__(self, name: str, start: float, swing: float) -> None:
        chance = random.Random(name)
        self._start = start
        self._waves = [
            (swing * 2 ** (-each / 2), 2**each * 2 * math.pi / 600, chance.uniform(0, 2 * math.pi))
            for each in range(14)
        ]

    def change(self, at: float) -> float:
        """Return the change from the start, as a share, at a time in seconds since 1970."""
        return sum(size * math.sin(speed * at + shift) for size, speed, shift in self._waves)

    def price(self, at: float) -> float:
        return round(self._start * (1 + self.change(at)), 2)


# Prices


class Quote(TypedDict):
    price: float
    number: int
    """Number of this change, by which the page counts the changes that it did not get."""
    at: float
    """Time in seconds since 1970."""


Symbol = Literal["BTC", "ETH", "SOL", "LTC"]

COURSES: dict[Symbol, Course] = {
    "BTC": Course("BTC", 64_000, 0.006),
    "ETH": Course("ETH", 3_200, 0.008),
    "SOL": Course("SOL", 150, 0.01),
    "LTC": Course("LTC", 80, 0.01),
}


# Each price at each rate is a generator that any visitor can start, so only the rates of the page's slider exist.
Rate = Literal[10, 100, 1_000, 10_000, 25_000, 50_000]
"""Changes of a price per second."""

# Values of an address are text, and a Literal of numbers admits no text.
RateParameter = Annotated[Rate, BeforeValidator(int)]


@router.feed("/price/{symbol}", linger=LINGER)
async def price(symbol: Symbol, rate: RateParameter = 10_000) -> AsyncIterator[Quote]:
    """A price that changes 10,000 times per second; a slow watcher gets the newest value."""
    async for quote in quotes(symbol, rate):
        yield quote


@router.feed("/ticks/{symbol}", keep=40_000, on_lag="skip", linger=LINGER)
async def ticks(symbol: Symbol, rate: RateParameter = 10_000) -> AsyncIterator[Quote]:
    """Every change of the same price; a slow watcher gets the changes that it has missed, as long as they are kept."""
    async for quote in quotes(symbol, rate):
        yield quote


async def quotes(symbol: Symbol, rate: int) -> AsyncIterator[Quote]:
    number = last = int(time.time() * rate)
    while True:
        await asyncio.sleep(max(TURN, 1 / rate))
        newest = int(time.time() * rate)
        # After a pause of the whole machine, only the changes of the last second follow. Those before were never made,
        # so they have no number.
        for tick in range(max(last, newest - rate) + 1, newest + 1):
            number += 1
            at = tick / rate
            yield {"price": COURSES[symbol].price(at), "number": number, "at": at}
        last = newest


class Wanted(BaseModel):
    """More watchers of a price."""

    symbol: Symbol
    rate: Rate
    count: Annotated[int, Field(ge=0, le=MOST_WATCHERS)]


class Crowd:
    """The watchers that pages have added, in this process."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def grown(self, count: int) -> Iterator[None]:
        """Add watchers within a block, if there is room for them."""
        if self.count + count > MOST_WATCHERS:
            raise HTTPException(503, f"All pages together can add {MOST_WATCHERS:,} watchers.")
        self.count += count
        try:
            yield
        finally:
            self.count -= count


added = Crowd()


@router.stream("/crowd")
async def crowd(wanted: Wanted) -> AsyncIterator[int]:
    """Watch a price many times, in this process, until the page leaves; yield the values of each last second."""
    received = 0
    turn = asyncio.Lock()

    async def watch() -> None:
        nonlocal received
        own = 0
        async for _ in ticks.watch(wanted.symbol, wanted.rate):
            received += 1
            own += 1
            if own % AT_ONCE == 0:
                # A loop whose next value is there does not wait. A thousand of them would leave no time for anything
                # else, so only one goes on in each turn of the event loop.
                async with turn:
                    await asyncio.sleep(0)

    with added.grown(wanted.count):
        tasks = [asyncio.create_task(watch()) for _ in range(wanted.count)]
        try:
            while True:
                await asyncio.sleep(1)
                received, last = 0, received
                yield last
        finally:
            for task in tasks:
                task.cancel()


# A clock


class Moment(TypedDict):
    at: float
    """Time in seconds since 1970."""


@router.feed("/now", linger=LINGER)
async def now() -> AsyncIterator[Moment]:
    """The server's time, 30 times per second; a slow watcher gets the newest value."""
    while True:
        yield {"at": time.time()}
        await asyncio.sleep(1 / CLOCK_PER_SECOND)


# A table


class Contract(TypedDict):
    symbol: str
    name: str
    price: float
    change: float
    """Change from the start, in percent."""


GOODS = {
    "GOLD": "Gold", "SILV": "Silver", "PLAT": "Platinum", "PALL": "Palladium", "COPP": "Copper", "ALUM": "Aluminium",
    "ZINC": "Zinc", "NICK": "Nickel", "LEAD": "Lead", "TINN": "Tin", "IRON": "Iron ore", "COAL": "Coal",
    "CRUD": "Crude oil", "NGAS": "Natural gas", "HEAT": "Heating oil", "GASO": "Gasoline", "ETHA": "Ethanol",
    "URAN": "Uranium", "COBA": "Cobalt", "LITH": "Lithium", "WHEA": "Wheat", "CORN": "Corn", "OATS": "Oats",
    "RICE": "Rice", "SOYA": "Soybeans", "SUGR": "Sugar", "COFF": "Coffee", "COCO": "Cocoa", "TEAS": "Tea",
    "COTN": "Cotton", "WOOL": "Wool", "RUBB": "Rubber", "LUMB": "Lumber", "MILK": "Milk", "BUTT": "Butter",
    "HONY": "Honey", "ORAN": "Orange juice", "CATT": "Cattle", "PEPP": "Pepper", "SALM": "Salmon",
}  # fmt: skip

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

# Forty goods, for delivery in one of 25 months: 1,000 rows.
NAMES = {
    f"{good}-{27 + month // 12}-{month % 12 + 1:02}": f"{name} {MONTHS[month % 12]} {27 + month // 12}"
    for good, name in GOODS.items()
    for month in range(25)
}

CONTRACTS = {symbol: Course(symbol, 20 + len(symbol) * random.Random(symbol).uniform(1, 90), 0.03) for symbol in NAMES}


@router.feed("/market", by="symbol", linger=LINGER)
async def market() -> AsyncIterator[Contract]:
    """A thousand contracts: first all rows, then each row that changes, 3,000 changes per second."""
    for symbol in NAMES:
        yield row_of(symbol)
    symbols, clock = list(NAMES), asyncio.get_running_loop().time
    moved = clock()
    while True:
        await asyncio.sleep(TURN)
        due = min(int((clock() - moved) * MOVES_PER_SECOND), len(symbols))
        moved = clock()
        for symbol in random.sample(symbols, due):
            yield row_of(symbol)


def row_of(symbol: str) -> Contract:
    course, now = CONTRACTS[symbol], time.time()
    change = round(100 * course.change(now), 2)
    return {"symbol": symbol, "name": NAMES[symbol], "price": course.price(now), "change": change}


# A chat


class Say(BaseModel):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Said(BaseModel):
    name: str
    text: str
    at: float
    """Time in seconds since 1970."""


chat = router.topic("/chat", Said, keep=100, replay=20)


@chat.on_message
def say(message: Say) -> None:
    chat.publish(Said(name=message.name, text=message.text, at=time.time()))


# The server


class Traffic(TypedDict):
    path: str
    watchers: int
    published: float
    """Values published per second."""
    delivered: float
    """Values written to watchers per second."""


class Load(TypedDict):
    cpu: float
    """CPU, in percent of one core."""
    memory: float
    """Resident memory of this process, in MiB."""
    feeds: list[Traffic]


@router.feed("/server", linger=LINGER)
async def server() -> AsyncIterator[Load]:
    """The load of this process and the watchers of each feed, once per second."""
    process = psutil.Process()
    process.cpu_percent()  # it measures from one call to the next
    meters = [Meter(each) for each in (ticks, now, market, chat, server)]
    await asyncio.sleep(0.2)  # the first figures come soon
    while True:
        memory = process.memory_info().rss / 2**20
        yield {"cpu": process.cpu_percent(), "memory": round(memory, 1), "feeds": [each.read() for each in meters]}
        await asyncio.sleep(1)


class Meter:
    """Measures a feed or topic from one reading to the next."""

    def __init__(self, watched: Feed[..., Any] | Topic[..., Any]) -> None:
        self._watched = watched
        self._then = watched.statistics()
        self._at = time.perf_counter()

    def read(self) -> Traffic:
        now, at = self._watched.statistics(), time.perf_counter()
        then, seconds = self._then, at - self._at
        self._then, self._at = now, at
        return {
            "path": self._watched.path,
            "watchers": now.watchers,
            "published": round((now.published - then.published) / seconds, 1),
            "delivered": round((now.delivered - then.delivered) / seconds, 1),
        }
