"""Opens WebSockets by the hundred: connections that are worth counting, not a client library."""

import base64
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.client import BINARY, FINAL, HOST, MASKED, TEXT, ProtocolError

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


@dataclass(frozen=True)
class Target:
    """Where to connect. `say` goes out after the handshake; the connection is ready when `until` has come back.

    A `{number}` in the path is the connection's. `as_browser` adds what Chromium sends. Where `is_binary`, the
    characters of `say` and `until` are bytes.
    """

    port: int
    path: str
    say: str = ""
    until: str = ""
    as_browser: bool = False
    is_binary: bool = False

    @property
    def encoding(self) -> str:
        return "latin-1" if self.is_binary else "utf-8"


def connect(target: Target, numbers: Sequence[int]) -> Iterator[tuple[socket.socket, bytes]]:
    """Each connection with the bytes that came behind its handshake; so many are under way that nobody waits for us."""
    for start in range(0, len(numbers), _AT_ONCE):
        opening = [_open(target, number) for number in numbers[start : start + _AT_ONCE]]
        for connection in opening:
            yield connection, _finish(target, connection)


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame; the mask is zeros, which changes nothing and is allowed."""
    if len(payload) < 126:
        return bytes((FINAL | opcode, MASKED | len(payload))) + bytes(4) + payload
    return bytes((FINAL | opcode, MASKED | 126)) + struct.pack("!H", len(payload)) + bytes(4) + payload


def _open(target: Target, number: int) -> socket.socket:
    connection = socket.create_connection((HOST, target.port), timeout=_PATIENCE_SECONDS)
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _PATIENCE_SECONDS, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(request(target, number))
    return connection


def request(target: Target, number: int) -> bytes:
    """The handshake's first half."""
    lines = [
        f"GET {target.path.format(number=number)} HTTP/1.1",
        f"Host: {HOST}:{target.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    ]
    if target.as_browser:
        lines += (f"Origin: http://{HOST}:{target.port}", *_BROWSER)
    return "\r\n".join((*lines, "", "")).encode()


def _finish(target: Target, connection: socket.socket) -> bytes:
    answer = _receive(connection, b"", b"\r\n\r\n")
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode(errors="replace")
    if not status.startswith("HTTP/1.1 101"):
        raise ProtocolError(f"the handshake for {target.path} was refused: {status}")
    if target.say:
        opcode = BINARY if target.is_binary else TEXT
        connection.sendall(client_frame(target.say.encode(target.encoding), opcode))
        _receive(connection, rest, target.until.encode(target.encoding))
        return b""
    return rest


def _receive(connection: socket.socket, received: bytes, until: bytes) -> bytes:
    while until not in received:
        try:
            more = connection.recv(1 << 16)
        except BlockingIOError:
            raise ProtocolError(f"waited too long for {until!r}") from None
        if not more:
            raise ProtocolError(f"the connection was closed before {until!r} came")
        received += more
    return received
