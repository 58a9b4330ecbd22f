"""A WebSocket client that does next to nothing, so that what is measured is the server.

It offers no extensions, masks what it sends (a client must), and in a timed run it does not look at the
frames at all: it reads until exactly as many bytes have arrived as a checked run has counted before.
"""

import base64
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
TEXT = 0x1
BINARY = 0x2
FINAL = 0x80
MASKED = 0x80


class ProtocolError(Exception):
    """The server did not do what RFC 6455, or the benchmark, expects of it."""


class RawClient:
    """One blocking connection. A read that takes longer than `patience` seconds raises `ProtocolError`."""

    def __init__(self, port: int, path: str, *, patience: int = 30) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=patience)
        self._buffer = memoryview(bytearray(1 << 20))
        try:
            self._configure(patience)
            self._pending = self._handshake(port, path)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def say(self, text: str) -> None:
        """Send one short text message."""
        payload = text.encode()
        if len(payload) > 125:
            raise ValueError("a message to start a run with is at most 125 bytes long")
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._socket.sendall(bytes((FINAL | TEXT, MASKED | len(payload))) + mask + masked)

    def frames(self) -> Iterator[tuple[bytes, int]]:
        """The payload of each frame as it arrives, with the number of bytes that the whole frame took."""
        while True:
            opcode, length = self._take(2)
            header = 2
            if opcode != FINAL | TEXT:
                raise ProtocolError(f"expected an unfragmented text frame, but the first byte is {opcode:#x}")
            if length == 126:
                (length,) = struct.unpack("!H", self._take(2))
                header = 4
            elif length == 127:
                (length,) = struct.unpack("!Q", self._take(8))
                header = 10
            yield self._take(length), header + length

    def drain(self, count: int) -> None:
        """Read exactly `count` bytes as fast as they come, and forget them."""
        self._refuse_leftovers()
        receive_into, buffer = self._socket.recv_into, self._buffer
        with _translated_timeout():
            while count > 0:
                received = receive_into(buffer, min(count, len(buffer)))
                if received == 0:
                    raise ProtocolError(f"the server closed the connection {count} bytes before the end")
                count -= received

    def expect_silence(self) -> None:
        """Raise if anything has arrived that no run accounts for."""
        self._refuse_leftovers()
        try:
            extra = self._socket.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        raise ProtocolError(f"after the last run the server sent or closed something: {extra!r}")

    def _configure(self, patience: int) -> None:
        # A timeout of Python's own would make the socket non-blocking: two system calls for each read.
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", patience, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _handshake(self, port: int, path: str) -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {HOST}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        self._socket.sendall("\r\n".join((*lines, "", "")).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = self._receive()
            if not received:
                break
            answer += received
        head, _, rest = answer.partition(b"\r\n\r\n")
        status = head.partition(b"\r\n")[0].decode(errors="replace")
        if not status.startswith("HTTP/1.1 101"):
            raise ProtocolError(f"the handshake for {path} was refused: {status or 'connection closed'}")
        return rest

    def _receive(self) -> bytes:
        with _translated_timeout():
            return self._socket.recv(1 << 16)

    def _take(self, count: int) -> bytes:
        while len(self._pending) < count:
            received = self._receive()
            if not received:
                raise ProtocolError("the server closed the connection in the middle of a frame")
            self._pending += received
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken

    def _refuse_leftovers(self) -> None:
        if self._pending:
            raise ProtocolError(f"{len(self._pending)} bytes came after the last value")


@contextlib.contextmanager
def _translated_timeout() -> Iterator[None]:
    """The kernel says EAGAIN when its patience ends; say what that means."""
    try:
        yield
    except BlockingIOError:
        raise ProtocolError("the server sent nothing for too long") from None
