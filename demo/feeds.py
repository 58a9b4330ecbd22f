"""The demo's live data: prices, a table, a chat, and the server itself.

Each feed runs once for all who watch it, and only while somebody does. The prices are made up.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import psutil
from pydantic import BaseModel, StringConstraints
from typing_extensions import TypedDict

from wirespeed import Feed, LiveRouter, Topic

CHANGES_PER_SECOND = 1_000
MOVES_PER_SECOND = 25

# Shorter than by default: the page stops watching before a race, which measures this process, and waits this long.
LINGER = 0.5

router = LiveRouter()


class Walk:
    """A price that wanders around its start; it stays where it was while nobody watches."""

    def __init__(self, start: float, swing: float) -> None:
        self._start = start
        self._swing = swing
        self._away = 0.0
        self.steps = 0

    def step(self) -> float:
        """The next price."""
        self.steps += 1
        self._away = self._away * 0.99998 + random.gauss(0, self._swing)
        return self.price

    @property
    def price(self) -> float:
        return round(self._start * math.exp(self._away), 2)

    @property
    def change(self) -> float:
        """How far it is from its start, in percent."""
        return round(100 * math.expm1(self._away), 2)


# Prices


class Quote(TypedDict):
    price: float
    number: int
    """Which change of this price it is, so that the page can tell how many it was not sent."""


Symbol = Literal["BTC", "ETH", "SOL", "LTC"]

WALKS: dict[Symbol, Walk] = {
    "BTC": Walk(64_000, 0.00006),
    "ETH": Walk(3_200, 0.00008),
    "SOL": Walk(150, 0.0001),
    "LTC": Walk(80, 0.0001),
}


@router.feed("/price/{symbol}", linger=LINGER)
async def price(symbol: Symbol) -> AsyncIterator[Quote]:
    """A price that changes 1,000 times per second; a watcher that takes fewer gets the newest."""
    walk = WALKS[symbol]
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        yield {"price": walk.step(), "number": walk.steps}
        # A sleep is never as short as it should be; what became due meanwhile follows at once.
        due = max(due + 1 / CHANGES_PER_SECOND, clock() - 0.1)
        if (pause := due - clock()) > 0:
            await asyncio.sleep(pause)


# A table


class Instrument(TypedDict):
    symbol: str
    name: str
    price: float
    change: float


NAMES = {
    "GOLD": "Gold", "SILV": "Silver", "PLAT": "Platinum", "PALL": "Palladium", "COPP": "Copper", "ALUM": "Aluminium",
    "ZINC": "Zinc", "NICK": "Nickel", "LEAD": "Lead", "TINN": "Tin", "IRON": "Iron ore", "COAL": "Coal",
    "CRUD": "Crude oil", "NGAS": "Natural gas", "WHEA": "Wheat", "CORN": "Corn", "OATS": "Oats", "RICE": "Rice",
    "SOYA": "Soybeans", "SUGR": "Sugar", "COFF": "Coffee", "COCO": "Cocoa", "TEAS": "Tea", "COTN": "Cotton",
    "WOOL": "Wool", "RUBB": "Rubber", "LUMB": "Lumber", "MILK": "Milk", "BUTT": "Butter", "HONY": "Honey",
}  # fmt: skip

INSTRUMENTS = {symbol: Walk(random.uniform(20, 900), 0.0015) for symbol in NAMES}


@router.feed("/market", by="symbol", linger=LINGER)
async def market() -> AsyncIterator[Instrument]:
    """Thirty instruments, of which one moves every now and then: all rows first, then the rows that change."""
    for symbol in NAMES:
        yield row_of(symbol)
    while True:
        await asyncio.sleep(random.expovariate(MOVES_PER_SECOND))
        symbol = random.choice(list(NAMES))
        INSTRUMENTS[symbol].step()
        yield row_of(symbol)


def row_of(symbol: str) -> Instrument:
    walk = INSTRUMENTS[symbol]
    return {"symbol": symbol, "name": NAMES[symbol], "price": walk.price, "change": walk.change}


# A chat


class Say(BaseModel):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Said(BaseModel):
    name: str
    text: str
    at: float
    """When, in seconds since 1970."""


chat = router.topic("/chat", Said, keep=100, replay=20)


@chat.on_message
def say(message: Say) -> None:
    chat.publish(Said(name=message.name, text=message.text, at=time.time()))


# The server


class Traffic(TypedDict):
    path: str
    watchers: int
    published: float
    """Values that came, per second."""
    delivered: float
    """Values written to watchers, per second."""


class Load(TypedDict):
    cpu: float
    """Percent of one core."""
    memory: float
    """MiB of memory that this process holds."""
    feeds: list[Traffic]


@router.feed("/server", linger=LINGER)
async def server() -> AsyncIterator[Load]:
    """What this process needs, and who watches what, once per second."""
    process = psutil.Process()
    process.cpu_percent()  # it measures from one call to the next
    meters = [Meter(each) for each in (price, market, chat, server)]
    await asyncio.sleep(0.2)  # the first figures come soon
    while True:
        memory = process.memory_info().rss / 2**20
        yield {"cpu": process.cpu_percent(), "memory": round(memory, 1), "feeds": [each.read() for each in meters]}
        await asyncio.sleep(1)


class Meter:
    """What a feed or topic has done since it was last asked."""

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
