"""An app whose processes share topics and feeds through a broker; tests let everything around it fail.

The environment names the process and its broker, and shortens the times after which a failure is noticed.
"""

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI

from tests.waiting import NEVER
from wirespeed import Live, Receipt, Settings, Topic
from wirespeed.brokers.redis import broker as redis_broker
from wirespeed.brokers.redis import node
from wirespeed.errors import BacklogFull
from wirespeed.hub import staleness

WORKER = os.environ["WORKER"]

for module, name in (
    (redis_broker, "TICK"), (node, "SILENCE"), (node, "PATIENCE"), (staleness, "TICK"), (staleness, "STALE_AFTER"),
):  # fmt: skip
    if name in os.environ:
        setattr(module, name, float(os.environ[name]))

app = FastAPI()
live = Live(
    app,
    broker_required="BROKER_REQUIRED" in os.environ,
    settings=Settings(
        max_publish_backlog_bytes=64 * 1024,
        stall_timeout=NEVER,
        lease_timeout=float(os.environ["LEASE"]),
    ),
)


@dataclass
class Row:
    """One of three rows: the number modulo 3 is its key."""

    id: int
    number: int


@live.topic("/numbers/{name}", int, keep=1000)
def numbers(name: str) -> None:
    """Numbers, of which all are retained that a test publishes."""


@live.topic("/few/{name}", int, keep=5, on_lag="skip")
def few(name: str) -> None:
    """Numbers, of which only the last five are retained."""


@live.topic("/newest/{name}", int, keep="latest")
def newest(name: str) -> None:
    """The newest number."""


@live.topic("/rows/{name}", Row, keep="latest", by="id")
def rows(name: str) -> None:
    """Three rows."""


topics: dict[str, Topic[..., Any]] = {"numbers": numbers, "few": few, "newest": newest, "rows": rows}
receipts: dict[str, list[tuple[int, Receipt]]] = {}


@app.post("/publish/{topic}/{name}")
async def publish(topic: Literal["numbers", "few", "newest", "rows"], name: str, first: int, count: int) -> list[int]:
    """Publish consecutive numbers, and return those that were accepted."""
    taken = receipts.setdefault(f"{topic}/{name}", [])
    accepted = []
    for number in range(first, first + count):
        try:
            receipt = topics[topic].publish(Row(number % 3, number) if topic == "rows" else number, name=name)
        except BacklogFull:
            break
        taken.append((number, receipt))
        accepted.append(number)
    return accepted


@app.get("/receipts/{topic}/{name}")
async def results(topic: str, name: str) -> list[tuple[int, str | None, str | None]]:
    """Return each number that was accepted, with its position or the name of its error, once it has one."""
    return [(number, *await _result(receipt)) for number, receipt in receipts.get(f"{topic}/{name}", ())]


async def _result(receipt: Receipt) -> tuple[str | None, str | None]:
    if not receipt.done():
        return None, None
    try:
        return str(await receipt), None
    except Exception as error:
        return None, type(error).__name__


@dataclass
class Tick:
    """A number that one run of a generator has counted to."""

    run: str
    number: int


PROCESS = secrets.token_hex(4)
runs: dict[str, list[str]] = {}


async def counting(path: str) -> AsyncGenerator[Tick, None]:
    """Count, under the name of this run."""
    events = runs.setdefault(path, [])
    run = f"{WORKER}-{PROCESS}-{len(events)}"
    events.append("began")
    try:
        for number in itertools.count(1):
            yield Tick(run, number)
            await asyncio.sleep(0.02)
    finally:
        events.append("ended")


@live.feed("/ticks/{name}", keep=1000, linger=0.2)
async def ticks(name: str) -> AsyncIterator[Tick]:
    """Count; all numbers are retained that a test waits for."""
    async with aclosing(counting(f"ticks/{name}")) as numbers:
        async for tick in numbers:
            yield tick


@live.feed("/gauge/{name}", linger=0.2)
async def gauge(name: str) -> AsyncIterator[Tick]:
    """Count; only the newest number is retained."""
    async with aclosing(counting(f"gauge/{name}")) as numbers:
        async for tick in numbers:
            yield tick


@app.get("/runs/{feed}/{name}")
async def runs_of(feed: str, name: str) -> list[str]:
    """Return how runs of a feed's generator have begun and ended in this process."""
    return runs.get(f"{feed}/{name}", [])


@app.get("/health")
async def health() -> str:
    """Return the state of the connection to the broker."""
    return live.health().state


@app.post("/clock")
async def step_clock(seconds: float) -> None:
    """Set the clock of this process forward or back."""
    now = time.time
    time.time = lambda: now() + seconds
