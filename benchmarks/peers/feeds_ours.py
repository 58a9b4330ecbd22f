"""Wirespeed, as its users write it: topics that the server publishes to, and feeds."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI

from benchmarks.feeds.values import SIZE, pace, stamped
from wirespeed import Live, Settings


class Gate:
    """Lets a feed run on from outside: a request says how much, and hears when it is done."""

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


app = FastAPI()
live = Live(app)
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
    """So many changes per second for a while; the last one says that it is the last."""
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


def publish(value: str) -> None:
    fan.publish(value)


@app.get("/run")
async def run(rate: float, seconds: float) -> dict[str, float]:
    return await pace(rate, seconds, publish)


@app.get("/clients")
async def clients() -> int:
    return live.statistics().connections


@app.get("/price-run")
async def run_price(rate: float, seconds: float) -> dict[str, Any]:
    return await price_gate.run(rate, seconds)


@app.get("/flood-run")
async def run_flood(count: int) -> dict[str, Any]:
    return await flood_gate.run(0, count)


@app.get("/history-run")
async def run_history(count: int) -> dict[str, int]:
    """Values as fast as they can be published, with a turn of the loop after each hundred."""
    for number in range(count):
        history.publish(stamped(number))
        if number % 100 == 99:
            await asyncio.sleep(0)
    statistics = history.statistics()
    return {"delivered": statistics.delivered, "lost": statistics.lost}


@app.get("/burst")
async def burst(topics: int) -> dict[str, float]:
    """Publish to many topics in one turn: how long that takes, and the longest gap of a 1 ms ticker after it."""
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


# Clients that stop reading stay here until they vanish; anywhere else they are cut off after ten seconds.
patient = FastAPI()
patient_live = Live(patient, settings=Settings(stall_timeout=3600))
slow = patient_live.topic("/slow", str, keep=1000, on_lag="skip")


def publish_slow(value: str) -> None:
    slow.publish(value)


@patient.get("/run")
async def run_slow(rate: float, seconds: float) -> dict[str, float]:
    return await pace(rate, seconds, publish_slow)


@patient.get("/clients")
async def slow_clients() -> int:
    return patient_live.statistics().connections


@patient.get("/watchers")
async def slow_watchers() -> int:
    return slow.statistics().watchers
