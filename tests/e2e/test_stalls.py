"""Clients that stop reading, vanish, flood or stop halfway, on uvicorn."""

import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any

import pytest

from tests.clients import CUT, PING, PONG, RawClient, eventually, state
from tests.e2e.test_servers import certificate  # noqa: F401 - a fixture
from tests.servers import Server, serve
from tests.waiting import NEVER, PATIENCE

APP = "tests.apps.engine:app"
WAYS = ["asyncio", "uvloop", "tls-asyncio", "tls-uvloop", "portable-asyncio", "portable-uvloop"]
SMALL = 4096
BINARY = 0x82


def serving(way: str, certificate: list[str]) -> AbstractContextManager[Server]:  # noqa: F811
    """Start uvicorn in one of WAYS."""
    options = ["--loop", way.rpartition("-")[2], *(certificate if way.startswith("tls") else [])]
    env = {"PORTABLE": "1"} if way.startswith("portable") else {}
    return serve(APP, options=options, tls=way.startswith("tls"), env=env)


@pytest.fixture(params=WAYS, scope="module")
def server(request: pytest.FixtureRequest, certificate: list[str]) -> Iterator[Server]:  # noqa: F811
    """Start uvicorn, on each loop, with and without TLS, and on the portable lane."""
    with serving(request.param, certificate) as running:
        yield running


def wait_for_the_end(server: Server, name: str = "endless") -> None:
    """Return when every run has ended, and its connection with it. No stall timeout does that here."""

    def over(seen: dict[str, Any]) -> bool:
        events = seen["events"]
        return events.count(f"{name} began") == events.count(f"{name} ended") and not seen["connections"]

    eventually(server, over)


def stalled(server: Server, path: str = "/endless") -> RawClient:
    """Return a client that does not read, and whose run waits for that."""
    begun = before = state(server)["bytes"]
    client = RawClient(server, path, receive_buffer=SMALL)

    def rests(seen: dict[str, int]) -> bool:
        nonlocal before
        same, before = seen["bytes"] == before, seen["bytes"]
        return bool(same and before > begun)

    eventually(server, rests)
    return client


@pytest.mark.parametrize("path", ["/endless", "/drip", "/endless-thread", "/endless?size=200000"])
def test_a_client_that_does_not_read_stops_the_generator(server: Server, path: str) -> None:
    """Bytes that wait for a stalled client are bounded, and the app keeps working."""
    before = state(server)["bytes"]
    with stalled(server, path) as client:
        seen = state(server)
        assert seen["runs"] == 1
        assert seen["bytes"] - before < 1_000_000
        client.frame()
    wait_for_the_end(server)


def test_fin_with_bytes_unsent(server: Server) -> None:
    """A stalled client that half-closes is gone, its run with it."""
    with stalled(server) as client:
        plain = client.socket.detach() if not server.tls else client.socket.fileno()
        with socket.socket(fileno=socket.dup(plain) if server.tls else plain) as bare:
            bare.shutdown(socket.SHUT_WR)
            wait_for_the_end(server)


def test_close_frame_with_bytes_unsent(server: Server) -> None:
    """A stalled client that sends a close frame and reads nothing is gone."""
    with stalled(server) as client:
        client.send(b"\x03\xe8", first=0x88)
        wait_for_the_end(server)


def test_reset_with_bytes_unsent(server: Server) -> None:
    """A stalled client that resets is gone."""
    client = stalled(server)
    client.reset()
    wait_for_the_end(server)


@pytest.mark.parametrize("way", WAYS)
def test_sigterm_with_stalled_clients(way: str, certificate: list[str]) -> None:  # noqa: F811
    """SIGTERM ends a server whose clients do not read, without a trace."""
    with serving(way, certificate) as server:
        with stalled(server), stalled(server, "/endless-thread"):
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        for trace in ("Traceback", "never retrieved", "Warning", "was destroyed"):
            assert trace not in server.output()


def test_a_client_that_never_reads_its_errors() -> None:
    """A client that floods with bad messages and reads no answer is slowed, then aborted; others continue."""
    bad = b"[" + b"1," * 20 + b"1]"
    burst = bytes([0x81, 0x80 | len(bad), 0, 0, 0, 0, *bad]) * 1000
    with serve("tests.apps.impatient:app") as server, RawClient(server, "/shout") as other:
        eventually(server, lambda seen: seen["connections"] == 1)
        with RawClient(server, "/json", receive_buffer=SMALL) as client, suppress(*CUT):
            eventually(server, lambda seen: seen["connections"] == 2)
            while state(server)["connections"] == 2:
                client.socket.sendall(burst)
        assert state(server)["bytes"] < 1_000_000
        other.send(b"hi")
        assert other.frame() == (0x81, b"HI")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x89\x80\0\0\0\0", id="pings"),
        pytest.param(b"\x8a\x80\0\0\0\0", id="pongs"),
        pytest.param(b"\x00\x80\0\0\0\0", id="empty fragments"),
    ],
)
def test_frames_that_are_no_messages_are_limited(server: Server, frame: bytes) -> None:
    """A client that floods with control frames is closed, and nothing accumulates for it."""
    with RawClient(server, "/echo", receive_buffer=SMALL) as client, suppress(*CUT):
        client.send(b"begun", first=0x02)
        while state(server)["connections"]:
            client.socket.sendall(frame * 1000)
    wait_for_the_end(server, "echo")


@pytest.mark.parametrize("path", ["/exits", "/exits-thread"])
def test_no_exception_ends_the_server(server: Server, path: str) -> None:
    """SystemExit in a generator is a failure of that run: its connection stays open."""
    with RawClient(server, path) as client:
        for _ in range(2):
            client.send(b"hi")
            assert client.frame() == (0x81, b"1")
            assert client.frame() == (0x81, b'{"error":{"code":500,"message":"The stream failed."}}')


def test_cut_in_the_middle_of_a_frame(server: Server) -> None:
    """A connection cut in the middle of a frame ends its session."""
    with RawClient(server, "/echo") as client:
        eventually(server, lambda seen: seen["connections"] == 1)
        client.socket.sendall(b"\x82\xfe")
    eventually(server, lambda seen: seen["connections"] == 0 and seen["events"][-1] == "echo ended")


def test_broken_frames(server: Server) -> None:
    """Bytes that are not a frame are answered with 1002, and the session ends."""
    with RawClient(server, "/echo") as client:
        client.socket.sendall(b"\xff\x80\0\0\0\0")
        assert client.close_code() == 1002
    eventually(server, lambda seen: seen["connections"] == 0)


def test_stall_timeout() -> None:
    """A client that accepts nothing for the stall timeout is aborted."""
    with serve("tests.apps.impatient:app") as server, stalled(server) as client:
        eventually(server, lambda seen: seen["connections"] == 0)
        with suppress(*CUT):
            while True:
                client.frame()


@pytest.mark.parametrize("way", ["asyncio", "uvloop", "portable"])
@pytest.mark.parametrize("transport", ["websocket", "post"])
def test_client_that_was_cut_off_is_named(way: str, transport: str) -> None:
    """A client that stalls is counted, and a line names its path and address."""
    options = ["--loop", "asyncio" if way == "portable" else way]
    with (
        serve(
            "tests.apps.impatient:app", options=options, env={"PORTABLE": "1"} if way == "portable" else {}
        ) as server,
        ExitStack() as stack,
    ):
        if transport == "websocket":
            client = stack.enter_context(stalled(server)).socket
        else:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"POST /endless HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        eventually(server, lambda seen: seen["refused"] == {"stalled": 1})
        address = f"127.0.0.1:{client.getsockname()[1]}"
        line = f"'/endless': refused: stalled: the client at {address} ({transport}) accepted no data for 1 s"
        assert line in server.output()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_pings_of_the_server(loop: str) -> None:
    """A client that answers the server's pings stays and gets its values; one that does not is cut off."""
    options = ["--loop", loop, "--ws-ping-interval", "0.1", "--ws-ping-timeout"]
    with serve(APP, options=[*options, str(NEVER)]) as server, RawClient(server, "/echo") as client:
        for number in range(3):
            first, payload = client.any_frame()
            assert first == PING
            client.send(payload, PONG)
            client.send(b"%d" % number, BINARY)
            assert client.frame() == (BINARY, b"%d" % number)
    with serve(APP, options=[*options, "0.1"]) as server, RawClient(server, "/echo") as client:
        with suppress(*CUT):
            while client.any_frame()[0] == PING:
                pass
        eventually(server, lambda seen: seen["connections"] == 0)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_wrapped_receive_is_named(loop: str) -> None:
    """Middleware that keeps connections off the fast lane is named in one warning, not one per connection."""
    with serve("tests.apps.wrapped:app", options=["--loop", loop]) as server:
        for _ in range(3):
            with RawClient(server, "/endless") as client:
                client.frame()
        assert server.output().count("Connections take the portable lane, which is slower") == 1
        assert "tests.apps.wrapped.Wrapping" in server.output()
