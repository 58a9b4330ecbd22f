"""Everything that waits for a client has a bound: every kind of command, on every transport, in a real server.

One client sends commands and reads nothing, another one reads little. The documented number is of
docs/topics/backpressure.md: one MiB, and four of the app's largest answers.
"""

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from itertools import repeat
from select import select
from typing import Any, Self
from urllib.parse import quote

import pytest

from tests.apps.bounds import LARGE
from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE, Fields, Side
from tests.servers import Server, serve
from tests.waiting import NEVER, PATIENCE, wait_until
from wirespeed.frames import BINARY, TEXT

BOUND = 1024 * 1024 + 4 * LARGE
VOLUME = 3_000_000
"""Bytes of commands that a client sends, if the server accepts them: their answers are larger than the bound."""
FILTERS = 600_000
"""The same for filters, which are larger when they are stored."""
FRAME = 40_000

Kind = Callable[[int], list[Fields]]


def one(**command: Any) -> Kind:
    """Yield the same command repeatedly."""
    return lambda id_: [{"id": id_, **command}]


def recovering(epoch: str) -> Kind:
    """Yield a subscription that recovers 64 kB, and its end, so that the next one may follow."""
    log = {"channel": "log/1", "recover": True, "epoch": epoch, "offset": 1}
    return lambda id_: [{"id": id_, "subscribe": log}, {"id": id_, "unsubscribe": {"channel": "log/1"}}]


def filtering(_: str) -> Kind:
    """Yield a subscription with a filter of 4 kB; those beyond the limit are refused."""
    filter_ = {"key": "k", "cmp": "in", "vals": [str(each) for each in range(400)]}
    return lambda id_: [{"id": id_, "subscribe": {"channel": f"log/3?{id_}", "tf": filter_}}]


KINDS: dict[str, Callable[[str], Kind]] = {
    "rpc": lambda _: one(rpc={"method": "large"}),
    "recover": recovering,
    "filter": filtering,
    "history": lambda _: one(history={"channel": "log/2", "limit": 100}),
    "presence": lambda _: one(presence={"channel": "log/2"}),
    "presence_stats": lambda _: one(presence_stats={"channel": "log/2"}),
    "publish": lambda _: one(publish={"channel": "log/2", "data": "x"}),
    "publish that is refused": lambda _: one(publish={"channel": "log/2", "data": 1}),
    "subscribe to nothing": lambda _: one(subscribe={"channel": "none"}),
    "unsubscribe": lambda _: one(unsubscribe={"channel": "log/3"}),
    "refresh": lambda _: one(refresh={"token": "x"}),
    "sub_refresh": lambda _: one(sub_refresh={"channel": "log/2", "token": "x"}),
}


def frame_of(side: Side, kind: Kind, number: int = 0) -> bytes:
    """Return a message of many commands, with the ids of the message of that number."""
    commands: list[Fields] = [{"id": 1, "subscribe": {"channel": "log/2"}}]
    count = max(FRAME // len(str(kind(1))), 1)
    commands += [command for id_ in range(2 + number * count, 2 + (number + 1) * count) for command in kind(id_)]
    return bytes_of(side.frame(commands))


def bytes_of(frame: str | bytes) -> bytes:
    """Return a message as it is sent on the wire."""
    return frame.encode() if isinstance(frame, str) else frame


class Greedy:
    """A client that sends commands and reads few or no answers.

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
        """Send the request that becomes the connection."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.server.port}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + body)

    def read(self) -> None:
        """Read up to 4 kB."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            assert self.socket.recv(4096), "the connection was cut"

    def push(self, payload: bytes) -> bool:
        """Send commands in one message; return False if the server accepts no more."""
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
        self.push(bytes_of(side.frame([{"id": 1, "connect": {}}])))
        self.socket.setblocking(True)
        self.socket.recv(1000)

    def push(self, payload: bytes) -> bool:
        if not self._left:
            opcode = BINARY if self.side is PROTOBUF_SIDE else TEXT
            # A mask of zeros leaves the payload as it is.
            size = bytes([0x80 | 127]) + len(payload).to_bytes(8, "big")
            self._left = bytes([0x80 | opcode]) + size + bytes(4) + payload
        self.socket.setblocking(False)
        while self._left and select([], [self.socket], [], 0.05)[1]:
            self._left = self._left[self.socket.send(self._left) :]
        return not self._left


class OverHttp(Greedy):
    """A client whose commands are posted beside the response."""

    def __init__(self, server: Server, side: Side) -> None:
        super().__init__(server, side)
        self.begin([{"id": 1, "connect": {}}])
        heard = b""
        while b'"node"' not in heard:
            heard += self.socket.recv(1000)
        self.emulated = self.address(heard)

    def begin(self, commands: list[Fields]) -> None:
        """Send the first request."""
        body = bytes_of(self.side.frame(commands))
        self.request("POST", "/live/http_stream", f"Content-Length: {len(body)}", body=body)

    def address(self, heard: bytes) -> Fields:
        """Return the address for commands, from the first reply."""
        text = heard[heard.index(b'{"id":1') :]
        connected = json.loads(text[: text.index(b"\n")])["connect"]
        return {"session": connected["session"], "node": connected["node"]}

    def push(self, payload: bytes) -> bool:
        body = json.dumps({**self.emulated, "data": payload.decode()})
        with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)) as connection:
            connection.request("POST", "/live/emulation", body)
            status = connection.getresponse().status
        assert status in (204, 429)
        return status == 204


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


SERVERS = ["asyncio auto", "uvloop auto", "asyncio portable"]
CELLS = [
    *((SERVERS[0], name, transport) for name in KINDS for transport in TRANSPORTS if transport != "sse"),
    *((SERVERS[0], name, "sse") for name in ("rpc", "recover", "history", "unsubscribe")),
    *((each, name, "websocket") for each in SERVERS[1:] for name in ("rpc", "recover", "unsubscribe")),
]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Serve large logs, and count the memory that the process has allocated."""
    loop, lane = request.param.split()
    options = ["--loop", loop, "--log-level", "error"]
    env = {"LANE": lane, "STALL_TIMEOUT": str(NEVER)}  # clients read nothing for as long as the machine takes
    with serve("tests.apps.bounds:app", options=options, env=env) as started:
        asked(started, "POST", "/fill")
        for kind in KINDS.values():  # modules that are loaded once should not count
            with OverWebSocket(started, JSON_SIDE) as client:
                client.push(frame_of(JSON_SIDE, kind("")))
                stand_still(started)
        yield started


def asked(server: Server, method: str, path: str) -> Any:
    """Return the app's answer."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:
        connection.request(method, path)
        return json.loads(connection.getresponse().read())


def epoch_of(server: Server) -> str:
    """Return the epoch of a log, which a recovering client needs."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/log/1")
        return str(connection.getresponse().headers["ETag"]).strip('"').partition(":")[0]


def stand_still(server: Server) -> None:
    """Return when nothing changes any more."""
    seen: list[Any] = []

    def stands_still() -> bool:
        seen.append(asked(server, "GET", "/moved"))
        return seen[-3:] == [seen[-1]] * 3

    wait_until(stands_still)


def is_alone(server: Server) -> bool:
    """Return True if no client is connected."""
    return bool(asked(server, "GET", "/moved")[2] == 0)


def messages(side: Side, name: str, kind: Kind) -> Iterable[bytes]:
    """Return what a client sends: the same message, which takes long to make, unless its channels have to be new."""
    if name == "filter":
        return (frame_of(side, kind, number) for number in range(FILTERS // FRAME))
    return repeat(frame_of(side, kind), VOLUME // FRAME)


def flood(server: Server, client: Greedy, frames: Iterable[bytes]) -> None:
    """Send commands, as many as the server accepts."""
    for frame in frames:
        if not client.push(frame):
            stand_still(server)
            if not client.push(frame):
                return


@pytest.mark.parametrize(("server", "name", "transport"), CELLS, indirect=["server"], scope="module")
def test_commands(server: Server, transport: str, name: str) -> None:
    """Whatever a client asks for, and however little it reads, it costs no more than documented."""
    make, side = TRANSPORTS[transport]
    kind = KINDS[name](epoch_of(server))
    wait_until(lambda: is_alone(server))  # the client before costs nothing any more
    before = asked(server, "GET", "/memory")
    with make(server, side) as client:
        flood(server, client, messages(side, name, kind))
        deaf = asked(server, "GET", "/memory") - before
        for _ in range(3):  # a slow reader reads 4 kB whenever the server has done all it can
            client.read()
            stand_still(server)
        slow = asked(server, "GET", "/memory") - before
    assert max(deaf, slow) < BOUND
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("server", SERVERS, indirect=True, scope="module")
def test_messages_of_the_app(server: Server) -> None:
    """A client that does not read the app's messages is disconnected before many of them wait."""
    with OverWebSocket(server, JSON_SIDE):
        asked(server, "POST", "/trace")
        for _ in range(3):
            asked(server, "POST", "/tell/1000")
        wait_until(lambda: is_alone(server))
        assert asked(server, "GET", "/peak") < BOUND
