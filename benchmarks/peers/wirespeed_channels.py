"""Wirespeed with many channels: 200 routes, a guarded topic, running feeds, a call, and a topic with history."""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import HTTPConnection

from benchmarks.values import pace, stamped
from wirespeed import BacklogFull, Live, Receipt

ROUTES = 200

app = FastAPI()
live = Live(app)


async def current_user(connection: HTTPConnection) -> str:
    return connection.headers.get("x-user", "anonymous")


async def own_item(number: int, user: Annotated[str, Depends(current_user)]) -> None:
    if number < 0 or not user:
        raise HTTPException(403)


async def read(name: str) -> str:
    return name


for each in range(ROUTES):
    app.get(f"/route{each}/{{name}}")(read)


@live.topic("/item/{number}", str, dependencies=[Depends(own_item)])
def item(number: int) -> None:
    """One of many topics that only some users may watch."""


@live.feed("/feed/{number}")
async def feed(number: int) -> AsyncIterator[str]:
    """Runs while it is watched, and yields one value."""
    yield f"up {number}"
    await asyncio.Event().wait()


@live.topic("/many/{number}", str)
def many(number: int) -> None:
    """One of many topics with news in the same turn."""


@live.call("/add")
async def add(numbers: list[int]) -> int:
    return sum(numbers)


@app.get("/spread")
async def spread(topics: int, rate: float, seconds: float) -> dict[str, float]:
    """Publish to one topic after the other; wait whenever too many publications wait for the broker."""
    numbers = itertools.cycle(range(topics))

    async def publish(value: str) -> None:
        number = next(numbers)
        while True:
            try:
                many.publish(value, number=number)
            except BacklogFull:
                await asyncio.sleep(0.01)
            else:
                return

    return await pace(rate, seconds, publish)


storm = live.topic("/storm", str, keep=1000)
publishing: set[asyncio.Task[dict[str, float]]] = set()
newest: deque[Receipt] = deque(maxlen=1)


@app.get("/clients")
async def clients() -> int:
    return live.statistics().connections


@app.get("/watchers")
async def watchers() -> dict[str, int]:
    return {
        "item": item.statistics().watchers,
        "feed": feed.statistics().watchers,
        "storm": storm.statistics().watchers,
    }


@app.get("/turns")
async def turns(topics: int, count: int, pause: float) -> dict[str, float]:
    """Publish to each of the topics in one turn of the loop, `count` times."""
    begun = time.perf_counter()
    for number in range(count):
        value = stamped(number + 1)
        for topic in range(topics):
            many.publish(value, number=topic)
        await asyncio.sleep(pause)
    return {"seconds": time.perf_counter() - begun}


@app.get("/storm-begin")
async def begin_storm(rate: float) -> None:
    """Start publishing."""

    def publish(value: str) -> None:
        newest.append(storm.publish(value))

    publishing.add(asyncio.create_task(pace(rate, 600, publish)))


@app.get("/storm-end")
async def end_storm() -> int:
    """Stop publishing; return the offset of the last value, which is the number of values published."""
    while publishing:
        task = publishing.pop()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return (await newest[0]).offset
