"""Wirespeed with what earlier versions did not have: an older checkout, to compare with, has none of it."""

import asyncio
import itertools
import time
from typing import Literal

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from wirespeed import Identity, Live, identify

app = FastAPI()
live = Live(app)

visitors = itertools.count()


def visit(connection: HTTPConnection) -> None:
    """Give each client a user and a session of its own."""
    number = next(visitors)
    identify(connection, Identity(user=f"user {number}", session=f"session {number}"))


live.topic("/guarded", str, keep=1000, dependencies=[Depends(visit)])


@app.get("/revoke")
async def revoke(sessions: int, scans: int) -> dict[str, float]:
    """End some sessions, by revocations or by looking at all connections; return the seconds until they are gone."""
    last, begun = next(visitors), time.perf_counter()
    first = last - len(live.connections())
    if scans:
        for number in range(first, first + sessions):
            for each in live.connections():
                if each.user == f"user {number}":
                    each.close()
        asked = time.perf_counter() - begun
    else:
        revocations = [live.revoke(session=f"session {number}") for number in range(first, first + sessions)]
        asked = time.perf_counter() - begun
        assert sum([await each for each in revocations]) == sessions
    while len(live.connections()) > last - first - sessions:  # noqa: ASYNC110 - a connection has no event for its end
        await asyncio.sleep(0.001)
    return {"asked": asked, "seconds": time.perf_counter() - begun}


text_that_grows = live.topic("/growing", str, grows=True)
text_as_whole = live.topic("/whole", str, keep="latest")


class StoredRow(BaseModel):
    """One row of a table that is loaded."""

    id: int
    name: str
    price: float


STORED = [StoredRow(id=number, name=f"row {number}", price=number / 4) for number in range(100)]


@live.topic("/loaded/{key}", StoredRow, by="id")
def loaded(key: int) -> None:
    """A table that begins with stored rows."""


@loaded.load
async def stored(key: int) -> list[StoredRow]:
    return STORED


@live.topic("/filled/{key}", StoredRow, by="id")
def filled(key: int) -> None:
    """A table to which stored rows are published."""


@app.get("/clients")
async def clients() -> int:
    return live.statistics().connections


@app.get("/grow")
async def grow(topic: Literal["growing", "whole"], rate: int, pieces: int) -> dict[str, float]:
    """Begin a text, and let it grow by pieces of five bytes."""
    text, made = "", 0
    grown = text_that_grows if topic == "growing" else text_as_whole
    grown.publish("")
    before, begun = grown.statistics().flushes, time.perf_counter()
    while made < pieces:
        due = min(pieces, int((time.perf_counter() - begun) * rate) + 1)
        while made < due:
            made += 1
            if topic == "growing":
                text_that_grows.append("word ")
            else:
                text += "word "
                text_as_whole.publish(text)
        await asyncio.sleep(0.001)
    seconds = time.perf_counter() - begun
    await asyncio.sleep(0.2)
    return {"seconds": seconds, "writes": grown.statistics().flushes - before}


@app.get("/load")
async def load(how: Literal["loaded", "filled"], keys: int) -> dict[str, float]:
    """Bring stored rows into tables, 100 tables at a time; return how long that takes."""
    begun = time.perf_counter()
    for first in range(0, keys, 100):
        some = range(first, min(first + 100, keys))
        if how == "loaded":
            await asyncio.gather(*map(loaded.latest, some))
        else:
            for key in some:
                for row in STORED:
                    filled.publish(row, key)
            await asyncio.gather(*map(filled.latest, some))
    return {"seconds": time.perf_counter() - begun}
