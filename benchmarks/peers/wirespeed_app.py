"""Wirespeed, as its users write it: streams, topics that the server publishes to, and feeds."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI

from benchmarks.peers.shapes import COUNT, ENDLESS_VALUE, Hello, TickDataclass, TickModel, TickTypedDict
from benchmarks.values import SIZE, WORKER, pace, stamped
from wirespeed import Live, Message

app = FastAPI()
live = Live(app)


# Streams


@live.stream("/text")
async def text(message: Annotated[str, Message()]) -> AsyncIterator[str]:
    for number in range(1, COUNT + 1):
        yield str(number)


@live.stream("/dict")
async def as_dict(hello: Hello) -> AsyncIterator[dict[str, Any]]:
    for number in range(1, COUNT + 1):
        yield {"message": f"{hello.message} - {number}", "number": number}


@live.stream("/dataclass")
async def as_dataclass(hello: Hello) -> AsyncIterator[TickDataclass]:
    for number in range(1, COUNT + 1):
        yield TickDataclass(message=f"{hello.message} - {number}", number=number)


@live.stream("/typeddict")
async def as_typeddict(hello: Hello) -> AsyncIterator[TickTypedDict]:
    for number in range(1, COUNT + 1):
        yield {"message": f"{hello.message} - {number}", "number": number}


@live.stream("/model")
async def as_model(hello: Hello) -> AsyncIterator[TickModel]:
    for number in range(1, COUNT + 1):
        yield TickModel(message=f"{hello.message} - {number}", number=number)


@live.stream("/endless")
async def endless(message: Annotated[str, Message()]) -> AsyncIterator[str]:
    while True:
        yield ENDLESS_VALUE


# Feeds and topics


class Gate:
    """Lets a request start a feed's values and wait for their end."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[tuple[float, float]] = asyncio.Queue()
        self._done: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run(self, rate: float, amount: float) -> dict[str, Any]:
        self._asked.put_nowait((rate, amount))
        return await self._done.get()

    async def asked(self) -> tuple[float, float]:
        return await self._asked.get()

    def done(self, **figures: Any) -> None:
        self._done.put_nowait(figures)


price_gate, flood_gate = Gate(), Gate()

fan = live.topic("/fan", str, keep=1000)
history = live.topic("/history", str, keep=1000, on_lag="skip")


@live.topic("/many/{number}", str)
def many(number: int) -> None:
    """One of many topics."""


@live.feed("/small/{number}")
async def small(number: int) -> AsyncIterator[str]:
    value = 0
    while True:
        value += 1
        yield stamped(value)
        await asyncio.sleep(1)


@live.feed("/price", keep="latest", max_rate=60)
async def price() -> AsyncIterator[str]:
    """Changes at a rate for some seconds; the gate returns the last value."""
    value = 0
    while True:
        rate, seconds = await price_gate.asked()
        begun = time.perf_counter()
        first = value
        while (passed := time.perf_counter() - begun) < seconds:
            due = first + int(passed * rate)
            while value < due:
                value += 1
                yield f"{value:0{SIZE}d}"
            await asyncio.sleep(0.001)
        value += 1
        last = f"{value:0{SIZE}d}"
        yield last
        price_gate.done(published=value - first, seconds=time.perf_counter() - begun, last=last)


@live.feed("/flood", keep="latest")
async def flood() -> AsyncIterator[str]:
    """Values without a pause."""
    while True:
        _, amount = await flood_gate.asked()
        for number in range(int(amount)):
            yield stamped(number)
        flood_gate.done()


@live.feed("/idle")
async def idle() -> AsyncIterator[str]:
    yield "up"
    await asyncio.Event().wait()


beating: set[int] = set()
"""The number of this worker, while it runs the generator below."""


@live.feed("/beat", keep=1000)
async def beat() -> AsyncIterator[str]:
    """A value every 10 ms, with a number that shows which worker runs this."""
    worker = int(os.environ.get(WORKER, "0"))
    beating.add(worker)
    try:
        for number in range(1_000_000 * worker, 1_000_000 * (worker + 1)):
            yield stamped(number)
            await asyncio.sleep(0.01)
    finally:
        beating.discard(worker)


def publish(value: str) -> None:
    fan.publish(value)


def ignore(value: str) -> None:
    pass


@app.get("/run")
async def run(rate: float, seconds: float) -> dict[str, float]:
    return await pace(rate, seconds, publish)


@app.get("/clients")
async def clients() -> int:
    return live.statistics().connections


@app.get("/pace")
async def only_pace(rate: float, seconds: float) -> dict[str, float]:
    """Do everything for publishing but publish."""
    return await pace(rate, seconds, ignore)


@app.get("/beats")
async def beats() -> bool:
    return bool(beating)


@app.get("/price-run")
async def run_price(rate: float, seconds: float) -> dict[str, Any]:
    return await price_gate.run(rate, seconds)


@app.get("/flood-run")
async def run_flood(count: int) -> dict[str, Any]:
    return await flood_gate.run(0, count)


@app.get("/history-run")
async def run_history(count: int) -> dict[str, int]:
    """Publish as fast as possible, with a turn of the loop after each hundred values."""
    for number in range(count):
        history.publish(stamped(number))
        if number % 100 == 99:
            await asyncio.sleep(0)
    statistics = history.statistics()
    return {"delivered": statistics.delivered, "lost": statistics.lost}


@app.get("/burst")
async def burst(topics: int) -> dict[str, float]:
    """Publish to many topics in one turn; return how long that takes, and the longest gap of a 1 ms ticker after it."""
    begun = time.perf_counter()
    for number in range(topics):
        many.publish(stamped(1), number=number)
    published = before = time.perf_counter()
    longest = 0.0
    while before - published < 0.5:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest = max(longest, now - before)
        before = now
    return {"turn": (published - begun) * 1000, "longest": longest * 1000}
