"""An app whose streams show the behaviour of the engine, and report their ends: GET /state."""

import asyncio
import itertools
import os
import sys
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from tests.waiting import NEVER
from wirespeed import Live, Message, Settings

app = FastAPI()
app.add_middleware(GZipMiddleware)
app.add_middleware(CORSMiddleware, allow_origins=["*"])
live = Live(
    app,
    settings=Settings(
        lane="portable" if "PORTABLE" in os.environ else "auto",
        stall_timeout=NEVER,  # a client that has left must be noticed by other means
    ),
)

events: list[str] = []
gate = asyncio.Event()


def warn(message: Warning | str, *args: object, **kwargs: object) -> None:
    events.append(f"warning: {message}")


warnings.showwarning = warn


class Hello(BaseModel):
    message: str


@dataclass
class Tick:
    message: str
    number: int


Text = Annotated[str, Message()]


@app.get("/state")
async def state() -> dict[str, Any]:
    """Return past events."""
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    return {"events": events, "tasks": len(tasks), **live.statistics()._asdict()}


@app.get("/open")
async def open_gate() -> None:
    """Let /gated continue."""
    gate.set()


@live.stream("/count")
async def count(text: Text) -> AsyncIterator[str]:
    """Count to 10,000 without suspending."""
    for number in range(1, 10_001):
        yield str(number)


@live.stream("/json")
async def count_json(hello: Hello) -> AsyncIterator[Tick]:
    """Count to 10,000 in JSON."""
    for number in range(1, 10_001):
        yield Tick(f"{hello.message} - {number}", number)


@live.call("/add")
async def add(numbers: list[int]) -> int:
    """Add."""
    return sum(numbers)


@live.call("/louder")
def louder(text: Text) -> str:
    """Repeat text in capitals, from a thread; refuse some."""
    if text == "no":
        raise HTTPException(409, "No.")
    return text.upper()


@live.call("/asleep")
async def asleep(text: Text) -> str:
    """Never answer."""
    events.append("asleep began")
    try:
        await asyncio.Event().wait()
    finally:
        events.append("asleep ended")
    return text


@live.stream("/shout")
async def shout(text: Text) -> AsyncIterator[str]:
    """Repeat text in capitals."""
    yield text.upper()


@live.stream("/thread")
def count_in_thread(text: Text) -> Iterator[int]:
    """Count to 10,000 in a worker thread."""
    yield from range(1, 10_001)


@live.stream("/gated")
async def gated(text: Text) -> AsyncIterator[str]:
    """Yield one value, suspend, and yield another."""
    gate.clear()
    yield "before"
    await gate.wait()
    yield "after"


@live.stream("/gated-thread")
def gated_thread(text: Text) -> Iterator[str]:
    """Yield one value, block the thread, and yield another."""
    gate.clear()
    yield "before"
    while not gate.is_set():
        time.sleep(0.01)
    yield "after"


@live.stream("/endless")
async def endless(size: int = 100) -> AsyncIterator[str]:
    """Never suspend."""
    events.append("endless began")
    try:
        while True:
            yield "x" * size
    finally:
        events.append("endless ended")


@live.stream("/endless-thread")
def endless_thread(size: int = 100) -> Iterator[str]:
    """Never suspend, in a thread."""
    events.append("endless-thread began")
    try:
        while True:
            yield "x" * size
    finally:
        events.append("endless-thread ended")


@live.stream("/drip")
async def drip() -> AsyncIterator[str]:
    """Suspend at each value."""
    events.append("drip began")
    try:
        while True:
            yield "x" * 1000
            await asyncio.sleep(0)
    finally:
        events.append("drip ended")


@live.stream("/sleep")
async def sleep() -> AsyncIterator[str]:
    """Sleep for an hour after the first value."""
    try:
        yield "asleep"
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        events.append("sleep ended")


@live.stream("/slow-values")
async def slow_values() -> AsyncIterator[str]:
    """Use CPU for each value, and never suspend until the gate is open."""
    gate.clear()
    for number in itertools.count():
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        if gate.is_set():
            break
        yield str(number)
    yield "open"


@live.stream("/echo")
async def echo(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return each binary message."""
    events.append("echo began")
    try:
        async for message in messages:
            yield message
    finally:
        events.append("echo ended")


@live.stream("/stuck")
async def stuck(text: Text) -> AsyncIterator[str]:
    """Never yield."""
    await asyncio.sleep(3600)
    yield ""


@live.stream("/latest", overlap="replace")
async def latest(text: Text) -> AsyncIterator[str]:
    """Run until the next message takes over."""
    try:
        yield f"{text} began"
        await asyncio.sleep(3600)
    finally:
        events.append(f"{text} ended")


@live.stream("/fails")
async def fails(text: Text) -> AsyncIterator[int]:
    """Fail after the first value."""
    yield 1
    raise RuntimeError("a secret")


@live.stream("/exits")
async def exits(text: Text) -> AsyncIterator[int]:
    """Exit the process."""
    yield 1
    sys.exit(3)


@live.stream("/exits-thread")
def exits_thread(text: Text) -> Iterator[int]:
    """Exit the process from a thread."""
    yield 1
    sys.exit(3)


def member(token: Annotated[str | None, Header()] = None) -> str:
    """Refuse clients without a token."""
    if token is None:
        raise HTTPException(401, "Members only.", headers={"X-Why": "token"})
    return token


@live.stream("/members", dependencies=[Depends(member)])
async def members() -> AsyncIterator[int]:
    """Yield values for members."""
    yield 1


@live.stream("/room/{number}")
async def room(number: int) -> AsyncIterator[int]:
    """Take a parameter that may be invalid."""
    yield number
