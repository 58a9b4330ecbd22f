"""One connection to Redis: commands are sent without waiting for each other, and each gets its own reply."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hiredis
import redis.exceptions

ReplyError = redis.exceptions.ResponseError
"""The error of one command; the connection goes on."""

LOST = (redis.exceptions.RedisError, OSError, TimeoutError, asyncio.IncompleteReadError)
"""Errors after which a connection cannot be used any more."""


class RedisLink:
    """One connection. Everything that is sent in one turn of the loop leaves together.

    Args:
        connection: The connection, which is not open.
        received: Called with each reply; an error of a command is an exception object.
        lost: Called once if the connection breaks, with the error.
    """

    def __init__(self, connection: Any, received: Callable[[Any], None], lost: Callable[[Exception], None]) -> None:
        self._connection = connection
        self._received = received
        self._lost = lost
        self._out: list[bytes] = []
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect.

        Raises:
            Exception: One of ``LOST``.
        """
        await self._connection.connect()
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in (self._read, self._write)]

    def send(self, *arguments: Any) -> None:
        """Send a command; it never waits."""
        self._out.append(hiredis.pack_command(arguments))  # redis does it in Python, at six times the cost
        self._wake.set()

    async def close(self) -> None:
        """Disconnect; it may be called again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(*LOST):
            await self._connection.disconnect(nowait=True)

    async def _guarded(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except Exception as error:  # whatever it is: replies do not arrive in order any more
            self._lost(error)

    async def _read(self) -> None:
        while True:
            try:
                reply = await self._connection.read_response(
                    disable_decoding=True, timeout=math.inf, disconnect_on_error=False
                )
            except ReplyError as error:
                reply = error
            self._received(reply)

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            out, self._out = self._out, []
            await self._connection.send_packed_command(out, check_health=False)
