"""Every server, every loop: the same app, the same answers."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus

import wirespeed
from tests.clients import Client, RawClient, eventually, get, state
from tests.servers import ROOT, Server, ServerName, serve

APP = "tests.apps.engine:app"
OURS = str(Path(wirespeed.__file__).parent)
"""The folder of the library, wherever it is installed."""


KINDS = ["/sleep", "/endless?size=20000", "/endless-thread?size=20000", "/echo"]
"""Streams of all kinds. Few messages wait for a client when the server stops, and cost it little CPU time: the server
gives it two seconds to read them."""


@dataclass
class Way:
    """One way to serve the app."""

    server: ServerName
    lane: str
    options: list[str] = field(default_factory=list)
    tls: bool = False


WAYS = {
    "uvicorn-asyncio": Way("uvicorn", "uvicorn", ["--loop", "asyncio"]),
    "uvicorn-uvloop": Way("uvicorn", "uvicorn", ["--loop", "uvloop"]),
    "uvicorn-tls-asyncio": Way("uvicorn", "uvicorn", ["--loop", "asyncio"], tls=True),
    "uvicorn-tls-uvloop": Way("uvicorn", "uvicorn", ["--loop", "uvloop"], tls=True),
    "uvicorn-wsproto": Way("uvicorn", "asgi", ["--ws", "wsproto"]),
    "hypercorn": Way("hypercorn", "asgi", ["--graceful-timeout", "1"]),
    "granian": Way("granian", "asgi"),
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return options that make uvicorn serve TLS."""
    folder = tmp_path_factory.mktemp("tls")
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for part in issued.cert_chain_pems:
        part.write_to_path(folder / "cert.pem", append=True)
    return [f"--ssl-keyfile={folder / 'key.pem'}", f"--ssl-certfile={folder / 'cert.pem'}"]


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Return each way in turn."""
    return WAYS[request.param]


@pytest.fixture(scope="module")
def server(way: Way, certificate: list[str]) -> Iterator[Server]:
    """Start a server of that kind."""
    options = [*way.options, *(certificate if way.tls else [])]
    with serve(APP, server=way.server, options=options, tls=way.tls) as running:
        yield running


def test_text(server: Server) -> None:
    """10,000 text values arrive, one per frame, in order."""
    with Client(server, "/count") as client:
        client.send("hi")
        assert client.take(10_000) == [str(number) for number in range(1, 10_001)]


# A client that parses only the frames it is sent needs a tenth of the CPU.


def test_text_again(server: Server) -> None:
    """They arrive again at the next message."""
    with RawClient(server, "/count") as client:
        for message in (b"hi", b"again"):
            client.send(message)
            assert frames(client) == [(0x81, b"%d" % number) for number in range(1, 10_001)]


def test_json(server: Server) -> None:
    """10,000 JSON values arrive, compact, in order."""
    with RawClient(server, "/json") as client:
        client.send(b'{"message": "hello"}')
        values = frames(client)
    assert values == [(0x81, b'{"message":"hello - %d","number":%d}' % (number, number)) for number in range(1, 10_001)]


def test_thread(server: Server) -> None:
    """The values of a sync generator arrive in order as well."""
    with RawClient(server, "/thread") as client:
        client.send(b"hi")
        assert frames(client) == [(0x81, b"%d" % number) for number in range(1, 10_001)]


def frames(client: RawClient) -> list[tuple[int, bytes]]:
    """Return the next 10,000 frames."""
    return [client.frame() for _ in range(10_000)]


@pytest.mark.parametrize("path", ["/gated", "/gated-thread"])
def test_a_value_does_not_wait_for_the_next(server: Server, path: str) -> None:
    """A value arrives while its generator is suspended."""
    with Client(server, path) as client:
        client.send("hi")
        assert client.recv() == "before"
        get(server, "/open")
        assert client.recv() == "after"


def test_a_generator_that_never_suspends_lets_others_run(server: Server) -> None:
    """Values that cost CPU arrive one by one, and requests are answered meanwhile."""
    with Client(server, "/slow-values") as client:
        assert client.recv() == "0"
        assert state(server)["runs"] == 1
        get(server, "/open")
        while (last := client.recv()) != "open":
            assert isinstance(last, str)
            assert last.isdecimal()
        assert client.close_code() == 1000


def test_lane(server: Server, way: Way) -> None:
    """The statistics show which lane a connection has."""
    with Client(server, "/stuck"):
        eventually(server, lambda seen: seen["lanes"] == {way.lane: 1})
    eventually(server, lambda seen: seen["connections"] == 0)


@pytest.mark.parametrize("path", ["/sleep", "/endless", "/endless-thread", "/drip"])
def test_a_close_cancels_the_run(server: Server, path: str) -> None:
    """A client that closes in the middle ends its run, wherever it waits, and its `finally` runs."""
    ended = f"{path[1:]} ended"
    before = state(server)["events"].count(ended)
    with Client(server, path) as client:
        client.recv()
        client.vanish()
    eventually(server, lambda seen: seen["events"].count(ended) == before + 1 and seen["runs"] == 0)


def test_an_exception_is_told_without_internals(server: Server) -> None:
    """A failing run gets an error frame, its traceback is logged, and the connection stays open."""
    with Client(server, "/fails") as client:
        for _ in range(2):
            client.send("hi")
            assert client.recv() == "1"
            assert client.error() == {"code": 500, "message": "The stream failed."}
    assert "RuntimeError: a secret" in server.output()


@pytest.mark.parametrize(
    ("path", "message", "said"),
    [
        ("/json", "not JSON", "Invalid JSON"),
        ("/json", "[]", "should be an object"),
        ("/json", '{"message": 1}', "message: Input should be a valid string"),
        ("/json", "{}", "message: Field required"),
        ("/json", b"{}", "a JSON text message"),
        ("/count", b"hi", "a text message, got a binary one"),
        ("/echo", "hi", "a binary message, got a text one"),
        ("/sleep", "hi", "takes no messages"),
    ],
)
def test_bad_messages(server: Server, path: str, message: str | bytes, said: str) -> None:
    """An invalid message gets one error frame, and the connection stays open."""
    with Client(server, path) as client:
        if path == "/sleep":
            client.recv()
        client.send(message)
        error = client.error()
        assert error["code"] == 422
        assert said in error["message"]
        client.send(message)
        assert client.error() == error


def test_a_message_over_the_limit(server: Server) -> None:
    """A message of more than 64 KiB closes with 1009; another connection is not affected."""
    with Client(server, "/shout") as other, Client(server, "/echo") as client:
        client.send(b"x" * 65_536)
        assert len(client.recv()) == 65_536
        client.send(b"x" * 65_537)
        assert client.close_code() == 1009
        other.send("hi")
        assert other.recv() == "HI"


def test_a_flood(server: Server, way: Way) -> None:
    """More messages than may wait get one error frame, then 1008."""
    with Client(server, "/stuck") as client:
        with suppress(ConnectionClosed):
            client.send(*["hi"] * 5_000)
        code = client.close_code()
    # granian closes its socket while messages of the client are unread, which resets the connection. So does hypercorn
    # if reading them takes longer than a client has after the close frame, as it may on a slow machine.
    assert code == 1008 or (way.server in ("granian", "hypercorn") and code == 1006)
    eventually(server, lambda seen: seen["refused"]["inbox full"] and seen["runs"] == 0)


def test_replace(server: Server) -> None:
    """With `overlap="replace"` a message ends the previous run."""
    with Client(server, "/latest") as client:
        for text in ("a", "b"):
            client.send(text)
            assert client.recv() == f"{text} began"
        eventually(server, lambda seen: "a ended" in seen["events"] and "b ended" not in seen["events"])
    eventually(server, lambda seen: "b ended" in seen["events"])


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        ("/nowhere", {}, 403, ""),
        ("/members", {}, 401, '{"detail":"Members only."}'),
        ("/room/seven", {}, 422, '"loc":["path","number"]'),
        ("/count", {"Origin": "https://evil.example"}, 403, "origin 'https://evil.example' may not connect"),
        ("/count", {"Origin": "null"}, 403, "origin 'null' may not connect"),
    ],
)
def test_refusals(server: Server, way: Way, path: str, headers: dict[str, str], status: int, said: str) -> None:
    """A client that is refused before accept gets an HTTP answer with the reason."""
    with pytest.raises(InvalidStatus) as refused:
        Client(server, path, headers)
    response = refused.value.response
    seen = (response.body or b"").decode()
    if "wsproto" in way.options and response.status_code == 403 and status == 403:
        return
    assert response.status_code == status
    assert said in seen


def test_loopback_names_are_one_host(server: Server) -> None:
    """A page from one loopback name may connect to another, on any port."""
    with Client(server, "/room/7", headers={"Origin": "http://localhost:5173"}) as client:
        assert client.recv() == "7"


def test_compression_is_declined(server: Server, way: Way) -> None:
    """On the fast lane permessage-deflate is not negotiated with any client."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    with RawClient(server, "/count", headers=offer) as client:
        if way.lane == "uvicorn":
            assert "sec-websocket-extensions" not in client.head.lower()


def test_sigterm(way: Way, certificate: list[str]) -> None:
    """A server that is stopped during runs of all kinds ends them, notifies their clients, and logs no traceback."""
    process = ["--workers", "1"] if way.server == "hypercorn" else []  # it stops a worker process in another way
    options = [*way.options, *process, *(certificate if way.tls else [])]
    with serve(APP, server=way.server, options=options, tls=way.tls) as server:
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(server, path)) for path in KINDS]
            clients[-1].send(b"hi")
            for client in clients:
                client.recv()
            server.process.send_signal(signal.SIGTERM)
            with ThreadPoolExecutor() as readers:  # a client that does not read is aborted
                codes = list(readers.map(Client.close_code, clients))
        server.stop()
        output = server.output()
    assert way.lane == "asgi" or codes == [1012] * len(KINDS)
    # hypercorn logs a traceback for each connection that it cancels; it must not contain our code.
    for trace in ("never retrieved", "Warning", "was destroyed", "Traceback" if way.lane == "uvicorn" else OURS):
        assert trace not in output


@pytest.mark.parametrize("name", ["fastapi-dev", "fastapi-run"])
def test_fastapi_cli(name: ServerName) -> None:
    """`fastapi dev` and `fastapi run` use the fast lane without an option; the first one turns the console on."""
    with serve(ROOT / "tests/apps/engine.py", server=name) as server, Client(server, "/shout") as client:
        client.send("hi")
        assert client.recv() == "HI"
        assert state(server)["lanes"] == {"uvicorn": 1}
        assert ("The console is on at /live/" in server.output()) is (name == "fastapi-dev")
