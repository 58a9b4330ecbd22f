"""An app with many definitions, and requests for its documents without a server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field, create_model

from wirespeed import Live

LATER = 20
"""Later requests that are made."""


class Item(BaseModel):
    """The fields of a value."""

    id: int
    name: str
    tags: list[str] = []
    price: Annotated[float, Field(ge=0)] = 1


class Order(BaseModel):
    """The fields of a message."""

    amount: int = 1
    note: str | None = None


def made(definitions: int) -> FastAPI:
    """Return an app with a number of definitions, each fourth of the same kind."""
    app = FastAPI()
    live = Live(app)
    for number in range(definitions // 4):
        _add(live, number)
    return app


def _add(live: Live, number: int) -> None:
    item: Any = create_model(f"Item{number}", __base__=Item)
    order: Any = create_model(f"Order{number}", __base__=Order, item=(item, ...))

    async def feed(symbol: Literal["BTC", "ETH"], unit: str = "usd") -> AsyncIterator[item]:
        yield item

    async def stream(order: order, limit: Annotated[int, Query(le=5)] = 3) -> AsyncIterator[list[item]]:
        yield item

    async def call(order: order) -> item: ...

    live.feed(f"/price{number}/{{symbol}}", tags=["market"])(feed)
    live.topic(f"/table{number}", item, by="id")
    live.stream(f"/stream{number}")(stream)
    live.call(f"/call{number}")(call)


def request(path: str, definitions: int) -> dict[str, float]:
    """Return the cost of the first request for a document, and of later ones."""
    return asyncio.run(_request(made(definitions), path))


async def _request(app: FastAPI, path: str) -> dict[str, float]:
    with suppress(Exception):
        await _get(app, "/nowhere")  # starts the app's middleware
    pauses: list[float] = []
    ticking = asyncio.create_task(_tick(pauses))
    await asyncio.sleep(0.01)
    began = time.process_time()
    size = await _get(app, path)
    first = time.process_time() - began
    await asyncio.sleep(0.01)
    ticking.cancel()
    began = time.process_time()
    for _ in range(LATER):
        await _get(app, path)
    later = (time.process_time() - began) / LATER
    return {"cpu": first * 1000, "pause": max(pauses) * 1000, "again": later * 1000, "size": size / 1024}


async def _tick(pauses: list[float]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        pauses.append(now - last)
        last = now


async def _get(app: FastAPI, path: str) -> int:
    """Return the size of an answer."""
    size = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal size
        size += len(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": ("localhost", 1),
    }
    await app(scope, receive, send)
    return size
