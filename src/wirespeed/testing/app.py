"""The app under test: its startup and its shutdown."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from .waiting import wait

Event = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]
"""An ASGI application."""

TIMEOUT = 30.0
"""Seconds that a client waits by default."""


@asynccontextmanager
async def lifespan(app: App, *, timeout: float = TIMEOUT) -> AsyncIterator[dict[str, Any]]:
    """Run an app's startup, and its shutdown when the block ends. Return the state for :func:`connect`.

    Args:
        app: The ASGI app.
        timeout: Seconds that the startup may take, and the shutdown.

    Raises:
        RuntimeError: The app failed to start or to stop.
        TimeoutError: Starting or stopping took too long.
    """
    inbound: asyncio.Queue[Event] = asyncio.Queue()
    outbound: asyncio.Queue[Event] = asyncio.Queue()
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task = asyncio.ensure_future(app(scope, inbound.get, outbound.put))

    async def step(name: str) -> None:
        inbound.put_nowait({"type": f"lifespan.{name}"})
        get = asyncio.ensure_future(outbound.get())
        await wait([get, task], timeout, lets_time_pass=True)
        if not get.done() and not task.done():
            get.cancel()
            raise TimeoutError(f"the app's {name} took more than {timeout} s")
        if not get.done():
            get.cancel()
            error = None if task.cancelled() else task.exception()
            raise RuntimeError(f"the app's {name} failed: {error!r}") from error
        if (event := get.result())["type"] != f"lifespan.{name}.complete":
            raise RuntimeError(f"the app's {name} failed:\n{event.get('message', '')}")

    try:
        await step("startup")
        try:
            yield state
        finally:
            await step("shutdown")
    finally:
        task.cancel()
        await asyncio.wait([task])
