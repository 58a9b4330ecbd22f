"""Messages that are not values: the app really sends those that its AsyncAPI document describes, in that form."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from tests.conforming import Conforming
from wirespeed import Live, SourceError
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    id: int
    text: str = ""


async def test_errors(app: FastAPI, live: Live) -> None:
    """Errors of messages and of runs have the form of the message ``error``, with and without details."""

    @live.call("/add")
    def add(numbers: list[int]) -> int:
        raise HTTPException(418, {"why": "I am a teapot"} if numbers else "No numbers.")

    client = Conforming(app)
    async with lifespan(app), client.opened("/add") as socket:
        for message, code in (([1], 418), ([], 418)):
            await socket.send(message)
            name, content = await socket.receive()
            assert (name, content["error"]["code"]) == ("error", code)
        await socket.client.send_json("text")
        name, content = await socket.receive()
        assert (name, content["error"]["detail"][0]["loc"]) == ("error", ["body"])


async def test_table(app: FastAPI, live: Live) -> None:
    """A table sends removals, and a reset before the whole table, beside its rows."""
    rows = live.topic("/rows", Row, by="id")
    client = Conforming(app)
    async with lifespan(app), client.opened("/rows") as socket:
        await rows.publish(Row(id=1))
        await socket.values(1)
        await rows.remove(1)
        assert await socket.receive() == ("removed", {"key": 1, "removed": True})
        await rows.clear()
        assert await socket.receive() == ("reset", {"reset": True})


async def test_health(app: FastAPI, live: Live) -> None:
    """A table whose source fails sends its status."""

    @live.feed("/rows", by="id")
    async def rows() -> AsyncIterator[Row]:
        yield Row(id=1)
        raise SourceError("closed")

    client = Conforming(app)
    async with lifespan(app), client.opened("/rows") as socket:
        await socket.values(1)
        name, content = await socket.receive()
    assert (name, content["status"]["state"], content["status"]["reason"]) == ("status", "failing", "closed")


async def test_loss(app: FastAPI, live: Live) -> None:
    """A watcher that was too slow for a log that skips gets the number of values that it has lost."""
    numbers = live.topic("/numbers", int, keep=5, on_lag="skip")
    client = Conforming(app)
    async with lifespan(app), client.opened("/numbers") as socket:
        for number in range(10_000):
            numbers.publish(number)
        await numbers.publish(10_000)
        found: list[tuple[str, Any]] = []
        while ("value", 10_000) not in found:
            found.append(await socket.receive())
    assert any(name == "lost" and content["lost"] > 0 for name, content in found)
