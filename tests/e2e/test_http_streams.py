"""Streams by POST on real servers: the same answers, and departures are noticed."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

import pytest

from tests.clients import eventually, get, state
from tests.servers import Server, ServerName, serve
from tests.waiting import PATIENCE

APP = "tests.apps.engine:app"


@dataclass
class Way:
    """One way to serve the app."""

    server: ServerName
    options: list[str] = field(default_factory=list)


WAYS = {
    "uvicorn-h11": Way("uvicorn", ["--http", "h11", "--loop", "asyncio"]),
    "uvicorn-httptools": Way("uvicorn", ["--http", "httptools", "--loop", "asyncio"]),
    "uvicorn-uvloop": Way("uvicorn", ["--http", "httptools", "--loop", "uvloop"]),
    "hypercorn": Way("hypercorn", ["--graceful-timeout", "1"]),
    "granian": Way("granian"),
}
UVICORN = [name for name in WAYS if name.startswith("uvicorn")]


class Post:
    """A POST over a plain socket, whose client controls when it reads."""

    def __init__(self, server: Server, path: str, body: bytes = b"", accept: str = "*/*") -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {accept}\r\ncontent-length: {len(body)}\r\n"
        self.socket.sendall(head.encode() + b"content-type: application/json\r\n\r\n" + body)
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline() != b"\r\n":
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def part(self) -> bytes:
        """Return the next chunk; empty at the end of the body."""
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        self.file.readline()
        return data

    def rest(self) -> bytes:
        """Return the rest of the body."""
        return b"".join(iter(self.part, b""))

    def leave(self) -> None:
        """Close the client."""
        self.file.close()
        self.socket.close()


@pytest.fixture(scope="module", params=WAYS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start a server of each kind."""
    way = WAYS[request.param]
    with serve(APP, server=way.server, options=way.options) as running:
        yield running


def test_values(server: Server) -> None:
    """10,000 values arrive in order, as lines, and as events; the connection may be used again."""
    with Post(server, "/json", b'{"message": "hi"}') as post:
        lines = post.rest().splitlines()
        assert [json.loads(line)["number"] for line in lines] == list(range(1, 10_001))
        post.socket.sendall(b"GET /state HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in post.file.readline()
    with Post(server, "/json", b'{"message": "hi"}', "text/event-stream") as post:
        events = post.rest().split(b"\n\n")
    assert len(events) == 10_002
    assert events[0] == b'data: {"message":"hi - 1","number":1}'
    assert events[-2:] == [b"event: complete\ndata:", b""]


@pytest.mark.parametrize("path", ["/gated", "/gated-thread"])
def test_a_value_does_not_wait_for_the_next(server: Server, path: str) -> None:
    """A value arrives while its generator is suspended."""
    with Post(server, path, b'"hi"') as post:
        assert post.part() == b'"before"\n'
        get(server, "/open")
        assert post.rest() == b'"after"\n'


def test_failures(server: Server) -> None:
    """A failing run ends with an error line; an invalid message and a guard are a status."""
    with Post(server, "/fails", b'"hi"') as post:
        assert post.rest() == b'1\n{"error":{"code":500,"message":"The stream failed."}}\n'
    eventually(server, lambda _: "RuntimeError: a secret" in server.output())
    for path, status in (("/json", 422), ("/members", 401), ("/echo", 404)):
        with Post(server, path, b"{}") as post:
            assert post.status == status


@pytest.mark.parametrize("path", ["/sleep", "/endless", "/endless-thread", "/drip"])
def test_leaving_cancels_the_run(server: Server, path: str) -> None:
    """A client that leaves in the middle ends its run, wherever it waits, and its `finally` runs."""
    ended = f"{path[1:]} ended"
    before = state(server)["events"].count(ended)
    with Post(server, path) as post:
        assert post.part()
        post.leave()
    eventually(server, lambda seen: seen["events"].count(ended) == before + 1 and seen["runs"] == 0)


def test_lane(server: Server) -> None:
    """The statistics include responses."""
    with Post(server, "/sleep"):
        eventually(server, lambda seen: seen["lanes"] == {"http": 1})
    eventually(server, lambda seen: seen["connections"] == 0)


@pytest.mark.parametrize("way", UVICORN)
def test_sigterm(way: str) -> None:
    """A stopping server ends runs of all kinds, reports it, and does not wait for their clients."""
    with serve(APP, server="uvicorn", options=WAYS[way].options) as server:
        with ExitStack() as stack:
            paths = ("/sleep", "/drip", "/endless", "/endless-thread")
            posts = [stack.enter_context(Post(server, path)) for path in paths]
            assert all(post.part() for post in posts)
            server.process.send_signal(signal.SIGTERM)
            for post in posts:
                assert post.rest().endswith(b'{"error":{"code":503,"message":"The server is restarting."}}\n')
            server.stop()
        output = server.output()
    for trace in ("never retrieved", "Warning", "was destroyed", "Traceback"):
        assert trace not in output


def test_sigterm_with_a_client_that_does_not_read() -> None:
    """The server stops, although no stall timeout disconnects the client."""
    with serve(APP, options=["--http", "httptools"]) as server, Post(server, "/endless?size=100000") as post:
        assert post.status == 200
        server.process.send_signal(signal.SIGTERM)
        server.stop()
