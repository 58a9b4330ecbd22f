"""Thousands of clients that leave at any moment, in any way, on each surface, leave nothing behind."""

import asyncio
import json
import random
import socket
import struct
from contextlib import ExitStack, suppress
from itertools import product
from urllib.parse import quote

import pytest

from tests.clients import eventually, trusting
from tests.e2e.test_servers import certificate  # noqa: F401 - a fixture
from tests.servers import Server, serve
from tests.waiting import PATIENCE

APP = "tests.apps.churn:app"
CLIENTS = 1000
AT_ONCE = 50


def frame(text: str) -> bytes:
    """Return a masked text frame."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
    return b"\x81" + size + bytes(4) + data


def upgrade(path: str) -> bytes:
    """Return the handshake of a WebSocket."""
    return request("GET", path, b"", "Connection: Upgrade", "Upgrade: websocket", KEY, "Sec-WebSocket-Version: 13")


def request(method: str, path: str, body: bytes, *headers: str) -> bytes:
    """Return one request over HTTP."""
    size = [f"Content-Length: {len(body)}"] if method == "POST" else []
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *size, *headers, "", ""]
    return "\r\n".join(lines).encode() + body


KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
EVENTS = "Accept: text/event-stream"
CONNECT = json.dumps({"id": 1, "connect": {}})
SUBSCRIBES = "\n".join(
    [CONNECT]
    + [
        json.dumps({"id": id_, "subscribe": {"channel": channel}})
        for id_, channel in enumerate(["feed/1", "feed/2", "topic", "stream"], start=2)
    ]
    + [json.dumps({"id": 9, "rpc": {"method": "call", "data": 1}})]
)

STEPS = [
    [upgrade("/feed/1"), b""],
    [upgrade("/topic"), frame('"hi"') * 3, b"\x89\x80" + bytes(4)],
    [upgrade("/stream"), b""],
    [upgrade("/call"), frame("1") * 5],
    [upgrade("/live/websocket"), frame(SUBSCRIBES), b"\x88\x80" + bytes(4)],
    [upgrade("/live/websocket"), frame(CONNECT), frame(SUBSCRIBES)[:50]],
    [request("GET", "/feed/3", b"")],
    [request("GET", "/feed/4", b"", EVENTS), b""],
    [request("GET", "/topic", b"", EVENTS)],
    [request("POST", "/stream", b""), b""],
    [request("POST", "/call", b"1", "Content-Type: application/json")],
    [request("POST", "/live/http_stream", SUBSCRIBES.encode()), b""],
    [request("GET", f"/live/sse?cf_connect={quote(CONNECT)}", b"", EVENTS), b""],
    *([request("POST", path, b"1" * 100)[:-50], b"1"] for path in ("/call", "/live/http_stream", "/live/emulation")),
]
"""Bytes that the clients of each surface send, in parts."""


async def be_rude(port: int, chance: random.Random) -> None:
    """Send a part of a client's bytes, read some or no answers, and leave in some way."""
    steps = chance.choice(STEPS)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    try:
        for step in steps[: chance.randint(1, len(steps))]:
            writer.write(step)
            if chance.random() < 0.7:
                await asyncio.wait_for(reader.read(1000), chance.choice([0.001, 0.02]))
            await asyncio.sleep(chance.choice([0, 0.005, 0.015]))
        if chance.random() < 0.3:
            writer.write_eof()
            await asyncio.wait_for(reader.read(1000), 0.01)
    except (OSError, TimeoutError):
        pass
    finally:
        leave(writer, chance)


def leave(writer: asyncio.StreamWriter, chance: random.Random) -> None:
    """Leave with a FIN, or with a reset."""
    if chance.random() < 0.5:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


async def churn(port: int, seed: int) -> None:
    """Run some of the clients, one after the other."""
    chance = random.Random(seed)
    for _ in range(CLIENTS // AT_ONCE):
        await be_rude(port, chance)


async def churn_at_once(port: int) -> None:
    """Run all of the clients."""
    await asyncio.gather(*[churn(port, seed) for seed in range(AT_ONCE)])


def is_clean(server: Server) -> None:
    """Return when the clients have left nothing behind."""
    eventually(server, lambda seen: not any(seen[name] for name in GONE))


GONE = ("connections", "runs", "watchers", "keys", "clients")


@pytest.mark.parametrize(
    ("loop", "http", "lane"),
    [("asyncio", "h11", "auto"), ("uvloop", "httptools", "auto"), ("uvloop", "h11", "portable")],
)
def test_rude_clients(loop: str, http: str, lane: str) -> None:
    """All figures are back at zero, no run has failed, and the log is empty."""
    options = ["--loop", loop, "--http", http, "--log-level", "warning"]
    with serve(APP, options=options, env={"LANE": lane}) as server:
        asyncio.run(churn_at_once(server.port))
        is_clean(server)
        assert server.output() == ""


STREAMED = [
    request("GET", "/feed/5", b"", EVENTS),
    request("POST", "/stream", b""),
    request("POST", "/live/http_stream", CONNECT.encode()),
    request("GET", f"/live/sse?cf_connect={quote(CONNECT)}", b"", EVENTS),
]
BEHIND = [
    request("GET", "/feed/6", b""),
    request("GET", "/feed/6", b"", EVENTS) * 3,
    upgrade("/feed/6"),
    request("GET", "/feed/6", b"") + b"\0\r\n\r\n",
]
"""Bytes that a client may send behind a request whose response goes on."""


@pytest.mark.parametrize(("loop", "http"), [("asyncio", "httptools"), ("uvloop", "httptools"), ("asyncio", "h11")])
@pytest.mark.parametrize("at_once", [True, False])
def test_requests_behind_a_response_that_goes_on(loop: str, http: str, at_once: bool) -> None:
    """Nothing stays of clients that have sent another request before they leave, and the server stops."""
    options = ["--loop", loop, "--http", http, "--log-level", "warning"]
    with serve(APP, options=options, env={"PING": "1"}) as server:  # multiplexed connections notice it by a ping
        for first, behind in product(STREAMED, BEHIND):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client, suppress(ConnectionError):
                client.sendall(first + behind if at_once else first)
                client.recv(1)
                client.sendall(b"" if at_once else behind)
        is_clean(server)
        server.stop()
        assert server.output().replace("WARNING:  Invalid HTTP request received.\n", "") == ""


@pytest.mark.parametrize(("loop", "http"), [("asyncio", "httptools"), ("uvloop", "h11")])
@pytest.mark.parametrize("tls", [False, True])
def test_fin_behind_another_request(loop: str, http: str, tls: bool, certificate: list[str]) -> None:  # noqa: F811
    """A client that closes its side is gone, although the server does not read while its next request waits."""
    options = ["--loop", loop, "--http", http, *(certificate if tls else [])]
    with serve(APP, options=options, tls=tls) as server, ExitStack() as stack:
        plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        client = stack.enter_context(trusting().wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain)
        client.sendall(STREAMED[0])
        client.recv(1)
        client.sendall(BEHIND[0])  # only now, because uvicorn reads on when the app begins to wait for the end
        client.shutdown(socket.SHUT_WR)
        is_clean(server)
