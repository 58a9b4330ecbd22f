"""Stopping a server whose clients stay: a stop ends long before the server's own timeout."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from itertools import product
from urllib.parse import quote

import pytest

from tests.clients import RawClient, eventually, get
from tests.e2e.test_churn import CONNECT, EVENTS, request
from tests.servers import Server, serve
from tests.waiting import PATIENCE, wait_until


def wait_for_clients(server: Server, count: int) -> None:
    """Return when this many clients are connected."""
    eventually(server, lambda seen: seen["connections"] == count)


def test_multiplexed_client_that_ignores_the_close() -> None:
    """It gets the close code for reconnecting, and is aborted after 2 s; uvicorn alone waits for 10 s."""
    with ExitStack() as stack:  # the servers wait at the same time
        servers = [
            stack.enter_context(serve("tests.apps.churn:app", options=["--loop", loop], env={"LANE": lane}))
            for loop, lane in product(("asyncio", "uvloop"), ("auto", "portable"))
        ]
        clients = [stack.enter_context(RawClient(server, "/live/websocket")) for server in servers]
        for server in servers:
            wait_for_clients(server, 1)
        for server in servers:
            server.process.terminate()
        for client in clients:
            assert client.frame() == (0x88, (3001).to_bytes(2, "big") + b"shutdown")
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda server: server.stop(timeout=8), servers))
        assert not [server for server in servers if "Traceback" in server.output()]


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", "/feed/1", b"", EVENTS),
        request("POST", "/stream", b""),
        request("POST", "/live/http_stream", CONNECT.encode()),
        request("GET", f"/live/sse?cf_connect={quote(CONNECT)}", b"", EVENTS),
    ],
    ids=["events", "stream", "http_stream", "sse"],
)
def test_responses_behind_a_middleware_that_waits_for_them(sent: bytes) -> None:
    """They end with the server's timeout, although a middleware waits for them."""
    with (
        serve("tests.apps.stopping:app", options=["--timeout-graceful-shutdown", "1"]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(sent)
        wait_for_clients(server, 1)
        server.stop(timeout=5.5)


def wait_for_request(server: Server) -> None:
    """Return when a request has come."""
    wait_until(lambda: "a request has come" in server.output(), server.output)


def is_closed(server: Server) -> bool:
    """Return True if a server accepts no connection any more."""
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE).close()
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("GET", "/guarded", b"", EVENTS), 200),
        (request("GET", "/loaded", b"", EVENTS), 200),
        (request("POST", "/stream", b""), 503),
        (request("POST", "/call", b""), 200),
    ],
    ids=["guard", "loader", "stream", "call"],
)
def test_responses_that_begin_after_the_stop(sent: bytes, status: int, http: str) -> None:
    """They end as they begin: uvicorn, which would wait for them without end, says only once that it stops."""
    with (
        serve("tests.apps.stopped:app", options=["--http", http]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(sent)
        wait_for_request(server)
        server.stop()
        assert client.recv(1000).startswith(b"HTTP/1.1 %d " % status)
        assert "Traceback" not in server.output()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_commands_that_arrive_after_the_stop(http: str) -> None:
    """A multiplexed connection over HTTP whose first commands are complete after the stop ends as it begins."""
    sent = request("POST", "/live/http_stream", CONNECT.encode())
    with (
        serve("tests.apps.stopped:app", options=["--http", http]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(sent[:-1])
        wait_for_request(server)
        server.process.terminate()
        wait_until(lambda: is_closed(server), server.output)
        client.sendall(sent[-1:])
        server.stop()
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert "Traceback" not in server.output()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_stop_after_a_response_that_middleware_holds_up(http: str) -> None:
    """The next request on its connection learns of the stop, although the one before ends only after it has come."""
    with (
        serve("tests.apps.stopped:app", options=["--http", http]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(request("POST", "/short", b""))
        with client.makefile("rb") as answer:
            assert b"0\r\n" in answer  # the last chunk
        client.sendall(request("POST", "/stream", b""))
        wait_until(lambda: "/short is over" in server.output(), server.output)
        server.stop()
        assert "Traceback" not in server.output()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_stop_after_a_client_has_left_early(http: str) -> None:
    """A run that may be resumed is not kept if its client leaves, and the server stops, before it begins."""
    with serve("tests.apps.stopped:app", options=["--http", http]) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(request("POST", "/kept?resume=1", b""))
            wait_for_request(server)
        wait_until(lambda: "the client has left" in server.output(), server.output)
        server.stop()
        assert "Traceback" not in server.output()


def test_requests_count_once() -> None:
    """A call that takes long is one connection for uvicorn's limit, so that another request has room."""
    with (
        serve("tests.apps.stopped:app", options=["--limit-concurrency", "3"]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(request("POST", "/call", b""))
        wait_for_request(server)
        assert get(server, "/openapi.json")


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_requests_behind_a_response_that_goes_on(http: str) -> None:
    """They do not begin when the server ends the response before them, and their client does not keep it."""
    with (
        serve("tests.apps.churn:app", options=["--http", http]) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(request("GET", "/feed/1", b"", EVENTS) * 3)
        wait_for_clients(server, 1)
        server.stop()
        assert server.output().count('"GET /feed/1') == 1


SUBSCRIBED = f"{CONNECT}\n" + '{"id":2,"subscribe":{"channel":"grouped"}}'


@pytest.mark.parametrize(
    "sent",
    [
        request("POST", "/grouped", b""),
        request("POST", "/live/http_stream", SUBSCRIBED.encode()),
    ],
    ids=["stream", "http_stream"],
)
def test_responses_that_are_not_read(sent: bytes) -> None:
    """Their clients are aborted after 2 s; without that, the server would wait for them."""
    with serve("tests.apps.patience:app", options=["--loop", "uvloop"]) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(sent)
        eventually(server, lambda seen: seen["bytes"] > 64 * 1024)
        server.stop()
        assert "Traceback" not in server.output()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_large_body_that_is_not_read(loop: str) -> None:
    """A client that does not read a large table is aborted when the server stops."""
    with (
        serve("tests.apps.bounds:app", options=["--loop", loop], env={"STALL_TIMEOUT": "1"}) as server,
        socket.socket() as client,
    ):
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as filling:
            filling.request("POST", "/fill")
            filling.getresponse().read()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(request("GET", "/table", b""))
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        server.stop()
        assert "Traceback" not in server.output()


@pytest.mark.parametrize(("loop", "http"), [("asyncio", "httptools"), ("uvloop", "h11")])
def test_clients_that_leave_when_they_have_a_large_body(loop: str, http: str) -> None:
    """They know its end by its length, and leave before the server ends it, without any error."""
    options = ["--loop", loop, "--http", http, "--log-level", "warning"]
    with serve("tests.apps.bounds:app", options=options) as server:
        for number, (method, path) in enumerate([("POST", "/fill"), *[("GET", "/table")] * 20]):
            with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as client:
                client.request(method, path)
                assert bool(number) is (len(client.getresponse().read()) > 1_000_000)
        server.stop()
        assert server.output() == ""


@pytest.mark.parametrize("lane", ["fast", "portable"])
def test_runs_whose_clients_are_away(lane: str) -> None:
    """Runs that wait for their clients to return end as soon as the server stops, and are not waited for."""
    env = {"PORTABLE": "1"} if lane == "portable" else {}
    with serve("tests.apps.patience:app", env=env) as server:
        with RawClient(server, "/lasting?resume=1") as raw:
            raw.frame()
            assert raw.frame() == (0x81, b"1")
            raw.reset()
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(request("POST", "/lasting?resume=1", b""))
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        eventually(server, lambda seen: (seen["connections"], seen["runs"]) == (0, 2))
        server.stop()
        assert server.output().count("lasting has ended") == 2
        assert "Traceback" not in server.output()
