"""Connections to Redis: commands are sent without waiting for each other, and each gets its own reply."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

try:
    import hiredis
    import redis.asyncio
    import redis.exceptions
except ImportError as error:
    raise ImportError('A broker at a URL needs redis and hiredis: pip install "wirespeed[redis]"') from error

ReplyError = redis.exceptions.ResponseError
NoScript = redis.exceptions.NoScriptError
LOST = (redis.exceptions.RedisError, OSError, TimeoutError, asyncio.IncompleteReadError)
"""Errors after which a connection cannot be used any more."""


class Address:
    """The server of a URL.

    Args:
        url: A URL with the scheme ``redis``, ``rediss``, ``valkey``, ``valkeys`` or ``unix``.

    Raises:
        ValueError: The URL has another scheme, or an invalid option.
    """

    def __init__(self, url: str) -> None:
        scheme, colon, rest = url.partition("://")
        scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
        if not colon or scheme not in ("redis", "rediss", "unix"):
            raise ValueError(
                f"not a URL of Redis or Valkey: {scheme!r}; write redis://, rediss://, valkey:// or unix://"
            )
        self._pool = redis.asyncio.ConnectionPool.from_url(
            f"{scheme}://{rest}", protocol=2, socket_timeout=None, socket_connect_timeout=5.0
        )
        self.database = int(self._pool.connection_kwargs.get("db") or 0)

    def connection(self) -> Any:
        """Return a new connection, which is not open."""
        return self._pool.make_connection()


class RedisLink:
    """One connection. Everything that is sent in one turn of the loop leaves together.

    Args:
        connection: The connection, which is not open.
        received: Called with each reply; an error of a command is an exception object.
        lost: Called once if the connection breaks, with this link and the error.
    """

    def __init__(
        self, connection: Any, received: Callable[[Any], None], lost: Callable[["RedisLink", Exception], None]
    ) -> None:
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
        except LOST as error:
            self._lost(self, error)

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
