"""A generator in the test's hand, and short ways to see what a client of a feed or topic sees."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from wirespeed.testing import Closed, HandshakeRefused, WebSocketClient, connect


class End:
    """Tells a generator to end."""


class Source:
    """What generators yield, one queue for each key; and which of them have begun and ended."""

    def __init__(self) -> None:
        self.began: list[Any] = []
        self.ended: list[Any] = []
        self._queues: defaultdict[Any, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    def put(self, *values: Any, key: Any = None) -> None:
        """Has the generator of a key yield values; an exception is raised, and ``End`` ends it."""
        for value in values:
            self._queues[key].put_nowait(value)

    async def values(self, key: Any = None) -> AsyncIterator[Any]:
        """What a generator yields."""
        self.began.append(key)
        try:
            while (value := await self._queues[key].get()) is not End:
                if isinstance(value, Exception):
                    raise value
                yield value
        finally:
            self.ended.append(key)


async def refusal(app: FastAPI, path: str, **headers: str) -> HandshakeRefused:
    """How the app refuses a WebSocket."""
    with pytest.raises(HandshakeRefused) as caught:
        async with connect(app, path, headers=headers):
            pass
    return caught.value


async def farewell(client: WebSocketClient) -> Closed:
    """How the app closes, when nothing comes before."""
    with pytest.raises(Closed) as caught:
        await client.receive()
    return caught.value


async def texts(client: WebSocketClient, count: int) -> list[str]:
    """The next text messages."""
    return [await client.receive_text() for _ in range(count)]
