"""The portable lane: ordinary ASGI messages, one for each value. Works on every server."""

import asyncio
from typing import ClassVar

from ..frames import TEXT, messages
from .lane import Lane, Send, Traffic


class AsgiLane(Lane):
    """A lane over ASGI's ``send``. A task sends what was written, and lives only while there is something to send.

    Args:
        send: ASGI's ``send`` of the connection.
        traffic: Where the lane counts what it has taken.
        limit: How many bytes may wait before the lane stops being writable.
    """

    name: ClassVar[str] = "asgi"

    def __init__(self, send: Send, traffic: Traffic, *, limit: int) -> None:
        super().__init__(send, traffic)
        self._limit = limit
        self._waiting: list[bytes] = []
        self._size = 0
        self._room = asyncio.Event()
        self._room.set()
        self._gone = False
        self._sender: asyncio.Task[None] | None = None

    def _write(self, frames: bytes) -> None:
        self._waiting.append(frames)
        self._size += len(frames)
        if self._size >= self._limit:
            self._room.clear()
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._waiting and not self._gone:
                waiting, self._waiting = self._waiting, []
                for frames in waiting:
                    await self._send_frames(frames)
        finally:
            self._sender = None
            self._room.set()

    async def _send_frames(self, frames: bytes) -> None:
        for opcode, payload in messages(frames):
            content = {"text": payload.decode()} if opcode == TEXT else {"bytes": payload}
            if self._gone or not await self._deliver({"type": "websocket.send", **content}):
                self._gone = True
                return
        self._size -= len(frames)
        if self._size < self._limit:
            self._room.set()

    def writable(self) -> bool:
        return self._size < self._limit

    def closing(self) -> bool:
        return self._gone

    async def drained(self) -> None:
        await self._room.wait()

    async def _flushed(self) -> None:
        if self._sender is not None:
            await asyncio.wait([self._sender])

    async def close(self, code: int, reason: str = "") -> None:
        await super().close(code, reason)
        self._gone = True

    async def finish(self) -> None:
        self._gone = True
        self._waiting.clear()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
