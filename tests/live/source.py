"""A generator that the test controls, and short ways to see what a client of a feed or topic receives."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from wirespeed.testing import Closed, HandshakeRefused, WebSocketClient, connect


class End:
    """Asks a generator to end."""


class Source:
    """Controls generators with one queue for each key, and records which have started and ended."""

    def __init__(self) -> None:
        self.began: list[Any] = []
        self.ended: list[Any] = []
        self._queues: defaultdict[Any, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    def put(self, *values: Any, key: Any = None) -> None:
        """Make the generator of a key yield values; an exception is raised, and ``End`` ends it."""
        for value in values:
            self._queues[key].put_nowait(value)

    async def values(self, key: Any = None) -> AsyncIterator[Any]:
        """Yield the values of a key."""
        self.began.append(key)
        try:
            while (value := await self._queues[key].get()) is not End:
                if isinstance(value, Exception):
                    raise value
                yield value
        finally:
            self.ended.append(key)


async def refusal(app: FastAPI, path: str, **headers: str) -> HandshakeRefused:
    """Return the app's refusal of a WebSocket."""
    with pytest.raises(HandshakeRefused) as caught:
        async with connect(app, path, headers=headers):
            pass
    return caught.value


async def farewell(client: WebSocketClient) -> Closed:
    """Return the app's close, if nothing precedes it."""
    with pytest.raises(Closed) as caught:
        await client.receive()
    return caught.value


async def texts(client: WebSocketClient, count: int) -> list[str]:
    """Return the next text messages."""
    return [await client.receive_text() for _ in range(count)]
