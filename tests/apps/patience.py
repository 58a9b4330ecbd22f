"""An app whose generators have a task group or a timeout around their ``yield``: GET /state reports how they ended."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI

from tests.waiting import NEVER
from wirespeed import Live, Settings

app = FastAPI()
live = Live(
    app,
    settings=Settings(lane="portable" if "PORTABLE" in os.environ else "auto", stall_timeout=NEVER),
)
events: list[str] = []
VALUE = "x" * 10_000


@app.get("/state")
async def state() -> dict[str, Any]:
    """Return past events."""
    return {"events": events, **live.statistics()._asdict()}


@live.stream("/grouped")
async def grouped() -> AsyncIterator[str]:
    """Run an endless loop in a task group."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            while True:
                yield VALUE
    except BaseException as error:
        events.append(f"grouped: {type(error).__name__}")
        raise


@live.stream("/lasting", resume=NEVER)
async def lasting() -> AsyncIterator[int]:
    """Yield once, and then wait forever."""
    try:
        yield 1
        await asyncio.Event().wait()
    finally:
        print("lasting has ended", flush=True)


@live.stream("/timed")
async def timed() -> AsyncIterator[str]:
    """Run an endless loop in a timeout, and end when it expires."""
    try:
        async with asyncio.timeout(0.1):
            while True:
                yield VALUE
                await asyncio.sleep(0)
    except BaseException as error:
        events.append(f"timed: {type(error).__name__}")
        if not isinstance(error, TimeoutError):
            raise
