"""An app with faulty producers, publishers and watchers, for tests of the engine: GET /state."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tests.waiting import NEVER, PATIENCE
from wirespeed import BacklogFull, InvalidValue, Live, Settings, Stopped


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Publish after everything has stopped."""
    yield
    for where, publish in (("loop", numbers.publish(1)), ("thread", await asyncio.to_thread(numbers.publish, 1))):
        try:
            await publish
        except Stopped as error:
            print(f"{where}: {error}", flush=True)


app = FastAPI(lifespan=lifespan)
live = Live(
    app,
    settings=Settings(
        max_publish_backlog_bytes=10_000 * 513,
        lane="portable" if "PORTABLE" in os.environ else "auto",
        max_keys=int(os.environ.get("KEYS", "1000")),
        stall_timeout=float(os.environ.get("STALL_TIMEOUT", NEVER)),
    ),
)

events: list[str] = []


@live.feed("/ticks", linger=0)
async def ticks() -> AsyncIterator[int]:
    """Count, as fast as the loop turns."""
    events.append("ticks began")
    number = 0
    try:
        while True:
            yield (number := number + 1)
            await asyncio.sleep(0.001)
    finally:
        events.append("ticks ended")


@live.feed("/key/{number}", linger=0)
async def key(number: int) -> AsyncIterator[int]:
    """Yield the key."""
    yield number
    await asyncio.Event().wait()


@live.feed("/short", keep=100, replay=100)
async def short() -> AsyncIterator[int]:
    """End after three values."""
    for number in range(3):
        yield number


@live.feed("/raises", linger=0)
async def raises() -> AsyncIterator[int]:
    """Raise at once, each time."""
    yield int("at once")


@live.feed("/raises-later", keep=100, linger=0)
async def raises_later() -> AsyncIterator[str]:
    """Raise after a value, each time."""
    yield "before"
    raise RuntimeError("later")


@live.feed("/raises-while-closed", linger=0)
async def raises_while_closed() -> AsyncIterator[int]:
    """Raise while being closed."""
    try:
        yield 1
        await asyncio.Event().wait()
    finally:
        events.append("raises-while-closed ended")
        raise RuntimeError("while closed")


@live.feed("/silent", linger=0)
async def silent() -> AsyncIterator[int]:
    """Never yield."""
    events.append("silent began")
    try:
        await asyncio.Event().wait()
        yield 0
    finally:
        events.append("silent ended")


@live.feed("/endless", linger=0)
async def endless() -> AsyncIterator[int]:
    """Never suspend."""
    number = 0
    while True:
        yield (number := number + 1)


@live.feed("/endless-thread", linger=0)
def endless_thread() -> Iterator[int]:
    """Never suspend, in a thread."""
    number = 0
    while True:
        yield (number := number + 1)


@live.feed("/blob", keep=100, linger=0)
async def blob() -> AsyncIterator[bytes]:
    """Yield more than can be sent to a client that does not read."""
    while True:
        yield bytes(100_000)
        await asyncio.sleep(0.005)


@live.feed("/newest-blob", linger=0)
async def newest_blob() -> AsyncIterator[bytes]:
    """The same, keeping only the newest value."""
    while True:
        yield bytes(100_000)
        await asyncio.sleep(0.005)


numbers = live.topic("/numbers", int, keep=10_000)
small = live.topic("/small", str, keep=64)
notes = live.topic("/notes", str, keep=1000, replay=1000)


def watched() -> dict[str, Any]:
    """Return the figures of each definition."""
    return {path: each._asdict() for path, each in live.watching().items()}


@app.get("/state")
async def state() -> dict[str, Any]:
    """Return past events."""
    return {"events": events, "watched": watched(), "pid": os.getpid(), **live.statistics()._asdict()}


@app.get("/publish/{first}/{last}")
async def publish(first: int, last: int) -> None:
    """Publish numbers without suspending; return when they are stored."""
    for receipt in [numbers.publish(number) for number in range(first, last)]:
        await receipt


@app.get("/burst/{count}")
async def burst(count: int) -> None:
    """Publish far more than the log holds, without suspending."""
    for number in range(count):
        small.publish(f"{number:020}")


@app.get("/note/{text}")
def note(text: str) -> str:
    """Publish one note in a worker thread; return its position."""
    return str(notes.publish(text).result(PATIENCE))


@app.get("/threads/{count}")
async def publish_in_threads(count: int) -> None:
    """Publish from four threads at the same time."""

    def publish_many(first: int) -> None:
        for number in range(first, first + count):
            numbers.publish(number)

    await asyncio.gather(*(asyncio.to_thread(publish_many, thread * count) for thread in range(4)))


@app.get("/wrong")
async def wrong() -> str:
    """Publish a value of the wrong type."""
    anything: Any = numbers
    try:
        anything.publish("not a number")
    except InvalidValue as error:
        return str(error)
    return "published"


@app.get("/flood")
def flood() -> str:
    """Publish from a thread faster than the loop accepts, until it is refused."""
    started, stop = threading.Event(), threading.Event()

    async def hold() -> None:
        started.set()
        stop.wait(PATIENCE)

    asyncio.run_coroutine_threadsafe(hold(), loop[0])
    started.wait(PATIENCE)
    try:
        while True:
            numbers.publish(0)
    except BacklogFull as error:
        return str(error)
    finally:
        stop.set()


loop: list[asyncio.AbstractEventLoop] = []


@app.get("/loop")
async def remember_loop() -> None:
    """Remember the loop for /flood."""
    loop[:] = [asyncio.get_running_loop()]


@app.get("/page")
async def page(path: str) -> HTMLResponse:
    """Return a page with an EventSource."""
    return HTMLResponse(PAGE.replace("PATH", path))


PAGE = """<!DOCTYPE html>
<html><head><link rel="icon" href="data:,"><title>Events</title></head><body><script>
var received = [], lost = [], opened = 0, complete = 0;
var source = new EventSource("PATH");
source.onopen = () => { opened += 1; };
source.onmessage = (event) => { received.push(event.data); };
source.addEventListener("lost", (event) => { lost.push(event.data); });
source.addEventListener("complete", () => { complete += 1; });
</script></body></html>
"""
