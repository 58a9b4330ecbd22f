"""WebSocket clients that do next to nothing, so that the server is measured and not a client library."""

import base64
import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
TEXT, BINARY, FINAL, MASKED = 0x1, 0x2, 0x80, 0x80
_AT_ONCE = 64
_PATIENCE_SECONDS = 30
_BROWSER = (
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-US,en;q=0.9",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)


class ProtocolError(Exception):
    """A server did not do what RFC 6455, or the benchmark, expects of it."""


@dataclass(frozen=True)
class Endpoint:
    """The address of a connection. `say` is sent after the handshake; the connection is ready when `until` has arrived.

    A `{number}` in the path is the number of the connection. `as_browser` adds the headers of Chromium. If `is_binary`,
    the characters of `say` and `until` are bytes.
    """

    port: int
    path: str
    say: str = ""
    until: str = ""
    as_browser: bool = False
    is_binary: bool = False

    def request(self, number: int = 0) -> bytes:
        """Return the client's half of the handshake."""
        lines = [
            f"GET {self.path.format(number=number)} HTTP/1.1",
            f"Host: {HOST}:{self.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if self.as_browser:
            lines += (f"Origin: http://{HOST}:{self.port}", *_BROWSER)
        return "\r\n".join((*lines, "", "")).encode()


def connect(endpoint: Endpoint, numbers: Sequence[int]) -> Iterator[tuple[socket.socket, bytes]]:
    """Open connections, 64 at a time so that the server never waits for us; yield each with the bytes that followed
    its handshake."""
    for start in range(0, len(numbers), _AT_ONCE):
        opening = [_open(endpoint, number) for number in numbers[start : start + _AT_ONCE]]
        for connection in opening:
            yield connection, _finish(endpoint, connection)


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a client's frame; the mask is zeros, which changes nothing and is allowed."""
    if len(payload) < 126:
        return bytes((FINAL | opcode, MASKED | len(payload))) + bytes(4) + payload
    return bytes((FINAL | opcode, MASKED | 126)) + struct.pack("!H", len(payload)) + bytes(4) + payload


def payloads(received: bytes) -> Iterator[bytes]:
    """Yield the payload of each frame that is complete."""
    at = 0
    while (header := _header(received, at)) and at + sum(header) <= len(received):
        size, length = header
        yield received[at + size : at + size + length]
        at += size + length


def _header(received: bytes, at: int) -> tuple[int, int] | None:
    """Return the sizes of a server frame's header and payload; None if the header is not complete."""
    if len(received) < at + 2:
        return None
    short = received[at + 1]
    size = {126: 4, 127: 10}.get(short, 2)
    if len(received) < at + size:
        return None
    return size, short if size == 2 else int.from_bytes(received[at + 2 : at + size], "big")


def _open(endpoint: Endpoint, number: int) -> socket.socket:
    connection = socket.create_connection((HOST, endpoint.port), timeout=_PATIENCE_SECONDS)
    # A timeout of Python's own would make the socket non-blocking: two system calls for each read.
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _PATIENCE_SECONDS, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(endpoint.request(number))
    return connection


def _finish(endpoint: Endpoint, connection: socket.socket) -> bytes:
    head, _, rest = _receive(connection, b"", b"\r\n\r\n").partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode(errors="replace")
    if not status.startswith("HTTP/1.1 101"):
        raise ProtocolError(f"the handshake for {endpoint.path} was refused: {status}")
    if endpoint.say:
        encoding, opcode = ("latin-1", BINARY) if endpoint.is_binary else ("utf-8", TEXT)
        connection.sendall(client_frame(endpoint.say.encode(encoding), opcode))
        _receive(connection, rest, endpoint.until.encode(encoding))
        return b""
    return rest


def _receive(connection: socket.socket, received: bytes, until: bytes) -> bytes:
    while until not in received:
        received = _receive_more(connection, received)
    return received


def _receive_more(connection: socket.socket, received: bytes) -> bytes:
    with _translated_timeout():
        more = connection.recv(1 << 16)
    if not more:
        raise ProtocolError("the server closed the connection too early")
    return received + more


@contextlib.contextmanager
def _translated_timeout() -> Iterator[None]:
    """Replace EAGAIN, which the kernel raises when its patience ends, by an error that explains it."""
    try:
        yield
    except BlockingIOError:
        raise ProtocolError("the server sent nothing for too long") from None


class RawClient:
    """One blocking connection.

    In a timed run it does not look at the frames: it reads until exactly as many bytes have arrived as a checked run
    has counted before.
    """

    def __init__(self, port: int, path: str) -> None:
        self._buffer = memoryview(bytearray(1 << 20))
        self._socket, self._pending = next(connect(Endpoint(port, path), [0]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def say(self, text: str) -> None:
        """Send one short text message, masked as real clients mask it."""
        payload, mask = text.encode(), os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._socket.sendall(bytes((FINAL | TEXT, MASKED | len(payload))) + mask + masked)

    def frames(self) -> Iterator[tuple[bytes, int]]:
        """Yield the payload of each text frame as it arrives, with the size of the whole frame in bytes."""
        while True:
            while (header := _header(self._pending, 0)) is None or sum(header) > len(self._pending):
                self._pending = _receive_more(self._socket, self._pending)
            if self._pending[0] != FINAL | TEXT:
                raise ProtocolError(f"expected an unfragmented text frame, but the first byte is {self._pending[0]:#x}")
            (size, length), whole = header, sum(header)
            payload, self._pending = self._pending[size:whole], self._pending[whole:]
            yield payload, size + length

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
        """Raise an error if anything has arrived that no run accounts for."""
        self._refuse_leftovers()
        try:
            extra = self._socket.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        raise ProtocolError(f"after the last run the server sent or closed something: {extra!r}")

    def _refuse_leftovers(self) -> None:
        if self._pending:
            raise ProtocolError(f"{len(self._pending)} bytes came after the last value")
