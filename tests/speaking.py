"""The multiplexed connection's protocol in process, over :mod:`wirespeed.testing`, as an SDK speaks it."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from wirespeed.testing import Closed, WebSocketClient, connect

Answer = dict[str, Any]


class Refused(Exception):
    """A command was answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code


class Speaker:
    """A client that speaks the protocol as an SDK does.

    Args:
        client: Its connection.
    """

    def __init__(self, client: WebSocketClient) -> None:
        self.client = client
        self.connected: Answer = {}
        self._id = 0
        self._pushes: deque[Answer] = deque()

    async def do(self, command: str, **given: Any) -> Answer:
        """Send a command and return its answer; pushes before it wait for :meth:`push`."""
        self._id += 1
        await self.client.send_json({"id": self._id, command: given})
        answer: Answer | None = None
        while answer is None:
            for told in await self._frame():
                if told.get("id") == self._id:
                    answer = told
                else:
                    self._pushes.append(told["push"])
        if "error" in answer:
            raise Refused(answer["error"]["code"], answer["error"]["message"])
        return dict(answer[command])

    async def _frame(self) -> list[Answer]:
        return [json.loads(line) for line in (await self.client.receive_text()).splitlines()]

    async def push(self, kind: str, channel: str = "") -> Answer:
        """Return the next push of a kind and channel; others before it are dropped."""
        while True:
            while self._pushes:
                told = self._pushes.popleft()
                if kind in told and channel in ("", told.get("channel")):
                    return dict(told[kind])
            self._pushes.extend(each["push"] for each in await self._frame())

    async def subscribe(self, channel: str, **given: Any) -> Answer:
        """Subscribe; return the answer."""
        return await self.do("subscribe", channel=channel, **given)

    async def values(self, channel: str, count: int) -> list[Any]:
        """Return the next publications of a channel."""
        return [(await self.push("pub", channel))["data"] for _ in range(count)]

    async def code(self, command: str, **given: Any) -> int:
        """Return the error with which a command is refused."""
        with pytest.raises(Refused) as refused:
            await self.do(command, **given)
        return refused.value.code

    async def close_code(self) -> int:
        """Return the code with which the connection is closed."""
        async for _ in self.client:
            pass
        with pytest.raises(Closed) as closed:
            await self.client.receive()
        return closed.value.code


@asynccontextmanager
async def speaking(app: Any, token: str = "", path: str = "/live/websocket", **headers: str) -> AsyncIterator[Speaker]:
    """Return a connected client."""
    async with connect(app, path, headers=headers) as client:
        speaker = Speaker(client)
        speaker.connected = await speaker.do("connect", **({"token": token} if token else {}))
        yield speaker
