"""Additions of `make cluster` to the demo: a counter that any of its workers runs, and a way to kill a worker.

Only `python -m demo.cluster` names its workers, and only an app with a name has this.
"""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from typing_extensions import TypedDict

from wirespeed import LiveRouter

WORKER = "WIRESPEED_DEMO_WORKER"
"""Environment variable with the number of this worker."""

START = "WIRESPEED_DEMO_START"
"""Environment variable with the number of times that this worker has been started."""

NUMBER = int(os.environ.get(WORKER, "0"))
"""Number of this worker; 0 if the demo is one process."""

PAUSE = 0.02


class Count(TypedDict):
    number: int
    mark: str
    """Random text, by which two pages can be seen to get the same values."""
    worker: int
    """Number of the worker that runs the feed."""
    at: float
    """Time in seconds since 1970."""


class Member(TypedDict):
    number: int
    process: int
    starts: int


MYSELF: Member = {"number": NUMBER, "process": os.getpid(), "starts": int(os.environ.get(START, "1"))}


def console_at(host: str) -> dict[str, str]:
    """Return the environment variable that turns the console on, if only this machine can reach the server."""
    return {"WIRESPEED_CONSOLE": "1"} if host in ("127.0.0.1", "localhost", "::1") else {}


router = LiveRouter()


@router.feed("/counter", keep=10_000)
async def counter() -> AsyncIterator[Count]:
    """Count without a gap, whichever worker runs it: it goes on from the last number that is stored."""
    last = await counter.latest()
    number = last["number"] if last else 0
    while True:
        number += 1
        yield {"number": number, "mark": secrets.token_hex(2), "worker": NUMBER, "at": time.time()}
        await asyncio.sleep(PAUSE)


workers = router.topic("/workers", Member, by="number")


@router.call("/worker")
async def worker() -> Member:
    """Return the worker at the other end of the client's connection."""
    return MYSELF


@router.call("/kill", http=False)
async def kill() -> bool:
    """Kill the worker at the other end of the client's connection, which gets no answer."""
    os.kill(os.getpid(), signal.SIGKILL)
    return True


@asynccontextmanager
async def introduce(app: FastAPI) -> AsyncIterator[None]:
    workers.publish(MYSELF)
    yield


router.include_router(APIRouter(lifespan=introduce))
