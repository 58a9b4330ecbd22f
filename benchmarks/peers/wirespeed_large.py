"""A large app in development: 500 definitions, and keys that the app's own code watches."""

import asyncio
import os
import time

os.environ["WIRESPEED_CONSOLE"] = "1"

from fastapi import FastAPI
from pydantic import BaseModel

from wirespeed import Live

DEFINITIONS = 500

app = FastAPI()
live = Live(app)


class Reading(BaseModel):
    """A value of each topic."""

    at: float
    name: str
    values: list[float]


@live.topic("/sensor/{number}", str, keep="latest")
def sensor(number: int) -> None:
    """One of many keys."""


for each in range(DEFINITIONS - 1):
    live.topic(f"/area/{each}/readings", Reading)

tasks: set[asyncio.Future[str]] = set()


@app.get("/clients")
async def clients() -> int:
    return live.statistics().connections


@app.get("/fill")
async def fill(keys: int) -> int:
    """Watch some keys, and publish a value to each."""
    for number in range(len(tasks), keys):
        tasks.add(asyncio.ensure_future(anext(aiter(sensor.watch(number)))))
        if number % 100 == 99:
            await asyncio.sleep(0)
    while len(sensor.keys()) < keys:  # noqa: ASYNC110 - the watches begin one by one
        await asyncio.sleep(0.01)
    return len(sensor.keys())


@app.get("/gap")
async def gap(seconds: float) -> dict[str, float]:
    """Return the longest gap of a 1 ms ticker, in ms, within some seconds."""
    end, last, longest = time.perf_counter() + seconds, time.perf_counter(), 0.0
    while last < end:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        last, longest = now, max(longest, now - last)
    return {"longest": 1000 * longest}
