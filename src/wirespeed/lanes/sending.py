"""The base of all lanes over ASGI's ``send``: a task sends what was written."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterator
from contextvars import copy_context
from time import perf_counter
from typing import Any

from ..isolation import log_error
from ..settings import Settings
from .guard import Guard
from .lane import Lane, Send, Traffic
from .reading import SLICE


class SendingLane(Lane):
    """A lane over ASGI's ``send``. A task sends what was written; it exists only while there is something to send."""

    def __init__(self, send: Send, traffic: Traffic, settings: Settings, guard: Guard | None = None) -> None:
        super().__init__(send, traffic)
        self._settings = settings
        self._guard = guard
        self._waiting: list[bytes] = []
        self._size = 0
        self._room: asyncio.Event | None = None
        self._gone = False
        self._stalled = False
        self._sender: asyncio.Task[None] | None = None
        self._context = copy_context()  # of the connection: what is written may be another client's publication

    def _write(self, frames: bytes) -> None:
        self._waiting.append(frames)
        self._size += len(frames)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), context=self._context)

    async def _send_all(self) -> None:
        until = perf_counter() + SLICE
        try:
            while self._waiting and not self._gone:
                until = await self._send_piece(self._next(), until)
        except Exception as error:
            log_error(error, "A connection was given up because it could not be written to.")
            self._give_up()
        except BaseException:  # a server that cancels its own send: without a sender, the rest would wait forever
            self._give_up()
            raise
        finally:
            self._make_room()

    def _next(self) -> bytes:
        """Remove and return the next piece to send."""
        return self._waiting.pop(0)

    async def _send_piece(self, piece: bytes, until: float) -> float:
        """Send a piece, in slices of time; return the end of the current one."""
        for event in self._events(piece):
            if perf_counter() > until:  # a send that has room does not suspend, and each message needs one
                await asyncio.sleep(0)
                until = perf_counter() + SLICE
            if self._gone or not await self._deliver(event):
                self._give_up()
                return until
        was_full = not self.writable()
        # Only now: what the server's send still holds counts as waiting, so a slow send keeps the lane full.
        self._size -= len(piece)
        if self._guard is not None:
            self._guard.wrote()
        self._make_room()
        if was_full and self.writable() and self.on_writable is not None:
            self.on_writable()
        return until

    @abstractmethod
    def _events(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Yield the ASGI messages that carry a piece of what was written."""

    async def _deliver(self, message: dict[str, object]) -> bool:
        try:
            async with asyncio.timeout(self._settings.stall_timeout):
                return await super()._deliver(message)
        except TimeoutError:
            self._stalled = True
            return False

    def _give_up(self) -> None:
        if not self._gone:
            self._gone = True
            self.on_lost()

    def _make_room(self) -> None:
        if self._room is not None and (self._gone or self.writable()):
            self._room.set()
            self._room = None

    @property
    def stalled(self) -> bool:
        return self._stalled or (self._guard is not None and self._guard.stalled)

    def writable(self) -> bool:
        return self._size < self._settings.max_waiting_bytes

    def waiting(self) -> int:
        return self._size

    def closing(self) -> bool:
        return self._gone or (self._guard is not None and self._guard.closing())

    async def drained(self) -> None:
        while not (self.writable() or self.closing()):
            self._room = self._room or asyncio.Event()  # shared, so that setting it wakes every waiter
            await self._room.wait()

    async def _flushed(self) -> None:
        while self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender])

    def _close_begins(self) -> None:
        self._gone = True
        self._make_room()

    async def finish(self) -> None:
        self._gone = True
        self._waiting.clear()
        if self._sender is not None and not self._sender.done():
            self._sender.cancel()
            await asyncio.wait([self._sender])
        self._make_room()  # a sender that is cancelled before its first step does not run its finally block
        if self._guard is not None:
            self._guard.finish()
