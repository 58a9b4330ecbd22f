"""Generators with a task group or a timeout around their ``yield``, and clients that read slowly, on uvicorn."""

import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients import RawClient, eventually, state
from tests.servers import Server, serve
from tests.waiting import PATIENCE

APP = "tests.apps.patience:app"
SMALL = 4096


@pytest.fixture(params=[*itertools.product(["asyncio", "uvloop"], ["auto", "portable"])], ids="-".join, scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start uvicorn, on each loop and lane."""
    loop, lane = request.param
    env = {"PORTABLE": "1"} if lane == "portable" else {}
    with serve(APP, options=["--loop", loop], env=env) as running:
        yield running


def connected(server: Server, surface: str, name: str) -> socket.socket:
    """Return a client that has started a stream and reads nothing more."""
    if surface == "websocket":
        return RawClient(server, f"/{name}", receive_buffer=SMALL).socket
    if surface == "multiplexed":
        client = RawClient(server, "/live/websocket", receive_buffer=SMALL)
        commands = [{"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": name}}]
        client.send("\n".join(map(json.dumps, commands)).encode())
        return client.socket
    accept = {"jsonl": "application/jsonl", "sse": "text/event-stream"}[surface]
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    bare.settimeout(PATIENCE)
    bare.connect(("127.0.0.1", server.port))
    head = f"Host: 127.0.0.1:{server.port}\r\nAccept: {accept}\r\nContent-Length: 0"
    bare.sendall(f"POST /{name} HTTP/1.1\r\n{head}\r\n\r\n".encode())
    return bare


def read(client: socket.socket) -> None:
    """Read some of the bytes."""
    for _ in range(20):
        assert client.recv(65536)


def stall(server: Server) -> None:
    """Return when nothing more is written, because the run waits for its client."""
    before = -1

    def rests(seen: dict[str, Any]) -> bool:
        nonlocal before
        same, before = seen["bytes"] == before and seen["runs"], seen["bytes"]
        return bool(same)

    eventually(server, rests)


surfaces = pytest.mark.parametrize("surface", ["websocket", "multiplexed", "jsonl", "sse"])


@surfaces
@pytest.mark.parametrize("pace", ["fast", "slow"])
def test_client_that_leaves(server: Server, surface: str, pace: str) -> None:
    """The generator is cancelled; nothing has failed, and nothing is logged."""
    before = state(server)["events"]
    client = connected(server, surface, "grouped")
    if pace == "fast":
        read(client)
    else:
        stall(server)
    client.close()
    eventually(server, lambda seen: not seen["runs"] and not seen["connections"])
    seen = state(server)
    assert seen["events"][len(before) :] == ["grouped: CancelledError"]
    assert seen["failed"] == 0
    assert "ERROR" not in server.output()


@surfaces
def test_timeout(server: Server, surface: str) -> None:
    """It expires while the client is slow, as it would for a fast one; the generator ends as it likes."""
    before = state(server)["events"]
    with connected(server, surface, "timed"):
        eventually(server, lambda seen: len(seen["events"]) > len(before))
        seen = state(server)
    eventually(server, lambda seen: not seen["runs"] and not seen["connections"])
    assert seen["events"][len(before) :] == ["timed: TimeoutError"]
    assert state(server)["failed"] == 0
    assert "ERROR" not in server.output()
