"""What waits for a client has a bound: every kind of command, on every transport, in a real server.

One client sends commands and reads nothing, another one reads little. The documented number is of
docs/topics/backpressure.md: one MiB, and four of the app's largest answers.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import quote

import pytest

from tests.apps.bounds import LARGE
from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE, Fields, Side
from tests.servers import Server, serve
from tests.waiting import PATIENCE, wait_until
from wirespeed.frames import BINARY, TEXT

BOUND = 1024 * 1024 + 4 * LARGE
CLIENTS = 3
FRAMES = 3
COMMANDS = 50
"""In each frame; of calls, these are five megabytes of answers."""

KINDS: dict[str, Callable[[int], Fields]] = {
    "rpc": lambda id_: {"rpc": {"method": "large"}},
    "subscribe": lambda id_: {
        "subscribe": {"channel": f"log/{id_ % 128}", "recover": True, "epoch": "", "offset": 0},
    },
    "history": lambda id_: {"history": {"channel": f"log/{id_ % 128}", "limit": 100}},
    "presence": lambda id_: {"presence": {"channel": f"log/{id_ % 128}"}},
    "presence_stats": lambda id_: {"presence_stats": {"channel": f"log/{id_ % 128}"}},
    "publish": lambda id_: {"publish": {"channel": f"log/{id_ % 128}", "data": "x" * 1000}},
    "publish that is refused": lambda id_: {"publish": {"channel": f"log/{id_ % 128}", "data": {"no": "text"}}},
    "subscribe to nothing": lambda id_: {"subscribe": {"channel": f"none/{id_}"}},
    "unsubscribe": lambda id_: {"unsubscribe": {"channel": "log/1"}},
    "refresh": lambda id_: {"refresh": {"token": "x"}},
    "sub_refresh": lambda id_: {"sub_refresh": {"channel": "log/1", "token": "x"}},
    "filter": lambda id_: {
        "subscribe": {
            "channel": f"log/{id_ % 128}?{id_}",
            "tf": {"key": "k", "cmp": "in", "vals": [str(each) for each in range(400)]},
        }
    },
}


class Greedy:
    """A client that sends commands and does not read answers, or few.

    Args:
        server: The server.
        side: Its format.
    """

    def __init__(self, server: Server, side: Side) -> None:
        self.server = server
        self.side = side
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", server.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(self, method: str, path: str, *headers: str, body: bytes = b"") -> None:
        """Sends the request that becomes the connection."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.server.port}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + body)

    def read(self) -> None:
        """Reads 4 kB, if they are there."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            assert self.socket.recv(4096), "the connection was cut"

    def push(self, commands: list[Fields]) -> bool:
        """Sends commands in one message; False if the server takes none any more."""
        raise NotImplementedError


class OverWebSocket(Greedy):
    """A client on a WebSocket."""

    def __init__(self, server: Server, side: Side) -> None:
        super().__init__(server, side)
        query = "?format=protobuf" if side is PROTOBUF_SIDE else ""
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        self.request("GET", f"/live/websocket{query}", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        self.socket.recv(1000)
        self._left = b""
        self.push([{"id": 1, "connect": {}}])
        self.socket.setblocking(True)
        self.socket.recv(1000)

    def push(self, commands: list[Fields]) -> bool:
        if not self._left:
            frame = self.side.frame(commands)
            payload = frame.encode() if isinstance(frame, str) else frame
            opcode = TEXT if isinstance(frame, str) else BINARY
            # A mask of zeros leaves the payload as it is.
            size = bytes([0x80 | 127]) + len(payload).to_bytes(8, "big")
            self._left = bytes([0x80 | opcode]) + size + bytes(4) + payload
        self.socket.setblocking(False)
        try:
            self._left = self._left[self.socket.send(self._left) :]
        except BlockingIOError:
            return False
        return not self._left


class OverHttp(Greedy):
    """A client whose commands are posted beside the response."""

    def __init__(self, server: Server, side: Side) -> None:
        super().__init__(server, side)
        self.begin([{"id": 1, "connect": {}}])
        told = b""
        while b'"node"' not in told:
            told += self.socket.recv(1000)
        self.commands = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self.emulated = self.address(told)

    def __exit__(self, *error: object) -> None:
        self.commands.close()
        super().__exit__(*error)

    def begin(self, commands: list[Fields]) -> None:
        """Sends the first request."""
        frame = self.side.frame(commands)
        body = frame.encode() if isinstance(frame, str) else frame
        self.request("POST", "/live/http_stream", f"Content-Length: {len(body)}", body=body)

    def address(self, told: bytes) -> Fields:
        """Where commands go, by the first reply."""
        text = told[told.index(b'{"id":1') :]
        connected = json.loads(text[: text.index(b"\n")])["connect"]
        return {"session": connected["session"], "node": connected["node"]}

    def push(self, commands: list[Fields]) -> bool:
        body = json.dumps({**self.emulated, "data": self.side.frame(commands)})
        self.commands.request("POST", "/live/emulation", body)
        response = self.commands.getresponse()
        response.read()
        assert response.status in (204, 429)
        return response.status == 204


class OverSse(OverHttp):
    """A client with Server-Sent Events."""

    def begin(self, commands: list[Fields]) -> None:
        self.request("GET", f"/live/sse?cf_connect={quote(str(self.side.frame(commands)))}")


TRANSPORTS: dict[str, tuple[type[Greedy], Side]] = {
    "websocket": (OverWebSocket, JSON_SIDE),
    "websocket, Protobuf": (OverWebSocket, PROTOBUF_SIDE),
    "http_stream": (OverHttp, JSON_SIDE),
    "sse": (OverSse, JSON_SIDE),
}


CELLS = [
    *(("asyncio auto", transport) for transport in TRANSPORTS),
    *(("uvloop auto", transport) for transport in ("websocket", "http_stream")),
    ("asyncio portable", "websocket"),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Server]]:
    """Servers with large logs, by loop and lane; each is started once."""
    with ExitStack() as stack:

        @cache
        def server(kind_of_server: str) -> Server:
            loop, lane = kind_of_server.split()
            options = ["--loop", loop, "--log-level", "error"]
            started = stack.enter_context(serve("tests.apps.bounds:app", options=options, env={"LANE": lane}))
            asked(started, "POST", "/fill")
            with OverWebSocket(started, JSON_SIDE) as client:  # what is loaded once is not to count
                client.push([{"id": id_, **kind(id_)} for id_, kind in enumerate(KINDS.values(), 2)])
                settle(started, [client])
            return started

        yield server


def asked(server: Server, method: str, path: str) -> Any:
    """What the app answers."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request(method, path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def settle(server: Server, slow: list[Greedy]) -> None:
    """Waits until nothing moves any more, after some clients have read 4 kB ten times."""
    for _ in range(10):
        for client in slow:
            client.read()
        asked(server, "GET", "/moved")
    seen: list[Any] = []

    def stands_still() -> bool:
        seen.append(asked(server, "GET", "/moved"))
        return len(seen) > 5 and seen[-5:] == [seen[-1]] * 5

    wait_until(stands_still)


def flood(client: Greedy, kind: Callable[[int], Fields]) -> None:
    """Sends commands, as many as the server takes."""
    for first in range(2, 2 + FRAMES * COMMANDS, COMMANDS):
        ids = range(first, first + max(min(COMMANDS, 25_000 // len(str(kind(1)))), 1))
        if not client.push([{"id": id_, **kind(id_)} for id_ in ids]):
            return


@pytest.mark.parametrize(("kind_of_server", "transport"), CELLS)
def test_commands(servers: Callable[[str], Server], kind_of_server: str, transport: str) -> None:
    """Whatever clients ask for, and however little they read, the process grows by no more than is documented."""
    server, (make, side) = servers(kind_of_server), TRANSPORTS[transport]
    grown: dict[str, int] = {}
    for name, kind in KINDS.items():
        before = asked(server, "GET", "/memory")
        with ExitStack() as stack:
            clients = [stack.enter_context(make(server, side)) for _ in range(CLIENTS)]
            for client in clients:
                flood(client, kind)
            settle(server, clients[1::2])
            grown[name] = (asked(server, "GET", "/memory") - before) // CLIENTS
    assert {name: size for name, size in grown.items() if size > BOUND} == {}
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("kind_of_server", ["asyncio auto", "uvloop auto", "asyncio portable"])
def test_messages_of_the_app(servers: Callable[[str], Server], kind_of_server: str) -> None:
    """A client that does not read what the app sends is disconnected, before much waits for it."""
    server = servers(kind_of_server)
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(OverWebSocket(server, JSON_SIDE))
        before = asked(server, "GET", "/memory")
        for _ in range(10):
            asked(server, "POST", "/tell/1000")
        wait_until(lambda: asked(server, "GET", "/moved")[2] == 0)
        assert asked(server, "GET", "/memory") - before < CLIENTS * BOUND
