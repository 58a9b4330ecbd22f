"""Clients for tests against real servers: a well-behaved one, a bare socket, and access to a server's figures."""

import asyncio
import base64
import json
import os
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, reduce
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.servers import Server
from tests.waiting import PATIENCE, PAUSE

PING, PONG = 0x89, 0x8A
"""First bytes of control frames."""


class Client:
    """A well-behaved client: the one of `websockets`, for tests that are not asynchronous."""

    def __init__(self, server: Server, path: str, headers: Mapping[str, str] | None = None) -> None:
        self._runner = asyncio.Runner()
        try:
            self._connection = self._runner.run(self._connect(server, path, headers))
        except BaseException:
            self._runner.close()
            raise

    async def _connect(self, server: Server, path: str, headers: Mapping[str, str] | None) -> ClientConnection:
        context = trusting() if server.tls else None
        options: dict[str, Any] = {"max_size": None, "proxy": None, "ping_interval": None, "close_timeout": 2}
        address = server.ws + path
        return await connect(address, ssl=context, additional_headers=headers, open_timeout=PATIENCE, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._runner:
            self._runner.run(self._connection.close())

    def send(self, *messages: str | bytes) -> None:
        """Send messages at once."""

        async def send_all() -> None:
            for message in messages:
                await self._connection.send(message)

        self._runner.run(send_all())

    def take(self, count: int) -> list[str | bytes]:
        """Return the next messages."""

        async def take_all() -> list[str | bytes]:
            async with asyncio.timeout(PATIENCE):
                return [await self._connection.recv() for _ in range(count)]

        return self._runner.run(take_all())

    def recv(self) -> str | bytes:
        """Return the next message."""
        return self.take(1)[0]

    def error(self) -> dict[str, Any]:
        """Return the next message, an error frame."""
        error: dict[str, Any] = json.loads(self.recv())["error"]
        return error

    def close_code(self) -> int:
        """Read to the end; return the close code, 1006 for none."""

        async def read_all() -> None:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self._connection.recv()

        try:
            self._runner.run(read_all())  # one run: a server that stops does not wait long for a client that is slow
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        raise AssertionError("the connection is still open")

    def vanish(self) -> None:
        """Drop the connection without a close frame."""
        self._connection.transport.abort()


@cache
def trusting() -> ssl.SSLContext:
    """Return a TLS context that accepts any certificate, and needs none of the system's, which take long to load."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


CUT = (EOFError, ConnectionError, ssl.SSLError)
"""Errors of a client whose connection the server has cut; over TLS, a write then fails as a protocol error."""


class RawClient:
    """A WebSocket client that reads and closes nothing by itself, and answers no pings but those that `frame` meets."""

    def __init__(self, server: Server, path: str, *, headers: str = "", receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", server.port))
        if server.tls:
            self.socket = trusting().wrap_socket(self.socket)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
        )
        self.head, self._rest = self._read_head()

    def _read_head(self) -> tuple[str, bytearray]:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._some()
        head, _, rest = received.partition(b"\r\n\r\n")
        return head.decode("latin-1"), bytearray(rest)

    def _some(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def exactly(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        while len(self._rest) < size:
            self._rest += self._some()
        data = bytes(self._rest[:size])
        del self._rest[:size]
        return data

    def frame(self) -> tuple[int, bytes]:
        """Return the next frame that is not a ping: its first byte and its payload.

        On a slow machine, any test may last longer than the interval of a server's pings.
        """
        while (frame := self.any_frame())[0] == PING:
            with suppress(OSError):  # the server may be closing
                self.send(frame[1], PONG)
        return frame

    def any_frame(self) -> tuple[int, bytes]:
        """Return the next frame, of whatever kind."""
        first, length = self.exactly(2)
        if length >= 126:
            length = int.from_bytes(self.exactly(2 if length == 126 else 8))
        return first, self.exactly(length)

    def close_code(self) -> int:
        """Read up to the server's close frame."""
        while True:
            first, payload = self.frame()
            if first == 0x88:
                return int.from_bytes(payload[:2])

    def send(self, payload: bytes, first: int = 0x81) -> None:
        """Send one frame, masked with zeros."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
        if size >= 1 << 16:
            length = b"\xff" + size.to_bytes(8)
        self.socket.sendall(bytes([first]) + length + bytes(4) + payload)

    def reset(self) -> None:
        """Vanish with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()


def state(server: Server) -> dict[str, Any]:
    """Return the app's state: of several workers, the sum of their figures and the events of all."""
    seen: dict[int, dict[str, Any]] = {}
    while len(seen) < server.workers:  # a new connection reaches any of them
        one = json.loads(get(server, "/state"))
        seen[one["pid"] if server.workers > 1 else 0] = one
    total: dict[str, Any] = reduce(_added, seen.values())
    return total


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {
            name: _added(one[name], other[name]) if name in one and name in other else {**one, **other}[name]
            for name in {**one, **other}
        }
    return one if one is None else one + other


def get(server: Server, path: str) -> bytes:
    """Return the body of one GET."""
    context = trusting() if server.tls else None
    with urllib.request.urlopen(server.url + path, timeout=PATIENCE, context=context) as response:
        body: bytes = response.read()
    return body


def eventually(server: Server, holds: Callable[[dict[str, Any]], object], within: float = PATIENCE) -> float:
    """Wait until the app's state is as expected; return the seconds that it took."""
    begun = time.monotonic()
    while True:
        seen = state(server)
        if holds(seen):
            return time.monotonic() - begun
        if time.monotonic() - begun > within:
            raise AssertionError(f"not within {within} s: {seen}\n{server.output()[-2000:]}")
        time.sleep(PAUSE)
