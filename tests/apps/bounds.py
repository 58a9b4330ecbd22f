"""An app with large answers, which reports how much memory it takes."""

import gc
import os
import tracemalloc
from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel

from tests.allocated import allocated
from tests.waiting import NEVER
from wirespeed import Live, Message, Settings

LARGE = 100_000

app = FastAPI()
lane: Literal["auto", "portable"] = "portable" if os.environ.get("LANE") == "portable" else "auto"
stall_timeout = float(os.environ.get("STALL_TIMEOUT", "10"))
settings = Settings(
    max_messages_per_second=1e6,
    lane=lane,
    stall_timeout=stall_timeout,
    ping_interval=NEVER,  # the clients answer no pings, and may be connected for long
)
live = Live(app, settings=settings)
calls = 0


@live.call("/large")
async def large() -> str:
    """Return a large answer to a small question."""
    global calls
    calls += 1
    return "x" * LARGE


@live.topic("/log/{number}", str, keep=100, presence=True)
def log(number: int) -> None:
    """Hold 200 kB for clients that recover or ask."""


@log.on_message
async def take(number: int, text: Annotated[str, Message()]) -> None:
    """Accept a message."""


class Row(BaseModel):
    """A row of a table."""

    id: int
    text: str


table = live.topic("/table", Row, by="id")


@app.post("/fill")
def fill() -> None:
    """Publish the values that are requested later."""
    for number in range(4):
        for _ in range(50):
            log.publish("y" * 2000, number=number)
    for number in range(2000):
        table.publish(Row(id=number, text="z" * 2000))


@app.get("/memory")
async def memory() -> int:
    """Return the bytes that the process has allocated."""
    gc.collect()
    return allocated()


@app.post("/trace")
def trace() -> None:
    """Record each allocation from now on, which makes everything several times slower."""
    tracemalloc.start()


@app.get("/peak")
def peak() -> int:
    """Return the most bytes that allocations took at once since they are recorded, and record no more."""
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@app.get("/moved")
def moved() -> list[int]:
    """Return figures that stop changing when all work is done."""
    figures = live.statistics()
    return [calls, figures.bytes, figures.connections]


@app.post("/tell/{size}")
async def tell(size: int) -> None:
    """Send messages of the app to every client, from the loop, because messages from threads would wait for it."""
    for client in live.clients():
        for _ in range(size):
            client.send("z" * 1000)
