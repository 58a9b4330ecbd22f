"""Feeds and topics on real servers, and their failures on uvicorn."""

import asyncio
import http.client
import json
import resource
import signal
import socket
import threading
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.brokers.valkey import broker
from tests.clients import CUT, Client, RawClient, eventually, get, state
from tests.servers import Server, ServerName, serve
from tests.waiting import PATIENCE, wait_until

APP = "tests.apps.feeds:app"
SMALL = 4096
TRACES = ("Traceback", "never retrieved", "Warning", "was destroyed")


@dataclass
class Way:
    """One way to serve the app."""

    server: ServerName
    options: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    workers: int = 1

    @contextmanager
    def serve(self) -> Iterator[Server]:
        """Serve the app; several workers are joined by Valkey."""
        with ExitStack() as stack:
            env = self.env | (stack.enter_context(broker()) if self.workers > 1 else {})
            running = serve(APP, server=self.server, options=self.options, env=env, workers=self.workers)
            yield stack.enter_context(running)


WAYS = {
    "uvicorn-h11": Way("uvicorn", ["--http", "h11", "--loop", "asyncio"]),
    "uvicorn-httptools-uvloop": Way("uvicorn", ["--http", "httptools", "--loop", "uvloop"]),
    "uvicorn-portable": Way("uvicorn", env={"PORTABLE": "1"}),
    "granian": Way("granian"),
    "hypercorn": Way("hypercorn", ["--graceful-timeout", "1"]),
    "uvicorn-2-workers": Way("uvicorn", workers=2),
    "gunicorn-2-workers": Way("gunicorn", workers=2),
}


@pytest.fixture(scope="module", params=WAYS)
def each(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start each server in turn; where it has two workers, a client may be at either, and so may a publisher."""
    with WAYS[request.param].serve() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start uvicorn with its defaults."""
    with serve(APP) as running:
        yield running


class Events:
    """A client of Server-Sent Events that reads line by line."""

    def __init__(self, server: Server, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._connection.request("GET", path, headers={"Accept": "text/event-stream", **headers})
        self.response = self._connection.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.response.close()
        self._connection.close()

    def next(self) -> dict[str, str]:
        """Return the fields of the next event; raise EOFError at the end of the response."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name and not name.startswith(":"):
                fields[name] = value
            elif not line.strip() and fields:
                return fields
        raise EOFError


def seen(server: Server, path: str) -> dict[str, Any]:
    """Return the figures of one feed or topic."""
    figures: dict[str, Any] = state(server)["watched"][path]
    return figures


def has(server: Server, path: str, **expected: Any) -> None:
    """Return when a feed or topic has these figures."""
    eventually(server, lambda now: expected.items() <= now["watched"][path].items())


# On every server


def test_topic_reaches_all(each: Server) -> None:
    """Values published without suspending reach each watcher once, in order, with and without a fast lane."""
    with Client(each, "/numbers") as one, Client(each, "/numbers") as other:
        get(each, "/publish/0/2000")
        for client in (one, other):
            assert client.take(2000) == [str(number) for number in range(2000)]


def test_feed_is_one_run(each: Server) -> None:
    """All watchers share a run, which ends after the last of them."""
    before = state(each)["events"].count("ticks ended")
    with Client(each, "/ticks") as one, Client(each, "/ticks") as other:
        for client in (one, other):
            numbers = [int(text) for text in client.take(50)]
            assert numbers == sorted(set(numbers))
        now = state(each)
        assert now["watched"]["/ticks"]["producers"] == {"running": 1}
        assert now["events"].count("ticks began") == before + 1
    eventually(each, lambda now: now["events"].count("ticks ended") == before + 1)


def test_get(each: Server) -> None:
    """GET returns the newest value, for a validated key."""
    assert get(each, "/key/007") == b"7"
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(each, "/key/seven")
    assert refused.value.code == 422
    refused.value.close()


def test_refusals_before_accept(each: Server) -> None:
    """A key that does not validate gets an HTTP answer to the handshake."""
    with pytest.raises(InvalidStatus) as refused:
        Client(each, "/key/seven")
    assert refused.value.response.status_code == 422
    assert json.loads(refused.value.response.body)["detail"][0]["loc"] == ["path", "number"]


def test_events(each: Server) -> None:
    """Server-Sent Events arrive as they are published, and resume by their id."""
    with Events(each, "/numbers") as events:
        get(each, "/publish/0/100")
        received = [events.next() for _ in range(100)]
        assert [event["data"] for event in received] == [str(number) for number in range(100)]
    with Events(each, "/numbers", **{"Last-Event-ID": received[89]["id"]}) as events:
        assert [events.next() for _ in range(10)] == received[90:]


def test_client_of_events_that_leaves(each: Server) -> None:
    """A client that has left is no longer a watcher."""
    with Events(each, "/ticks") as events:
        events.next()
        assert seen(each, "/ticks")["watchers"] == 1
    has(each, "/ticks", watchers=0, keys=0)


def test_threads_publish(each: Server) -> None:
    """Publications of threads arrive, each thread's in its order."""
    with Client(each, "/numbers") as client:
        get(each, "/threads/500")
        numbers = [int(text) for text in client.take(2000)]
    for thread in range(4):
        assert [number for number in numbers if number // 500 == thread] == list(
            range(500 * thread, 500 * thread + 500)
        )


# Faulty producers


def test_producer_that_raises_at_once(server: Server) -> None:
    """It is started repeatedly, its watcher stays connected, and others are served."""
    before = seen(server, "/raises")["restarts"]
    with Client(server, "/raises"), Client(server, "/key/1") as other:
        eventually(server, lambda now: now["watched"]["/raises"]["restarts"] >= before + 2)
        assert seen(server, "/raises")["watchers"] == 1
        assert other.recv() == "1"
    has(server, "/raises", watchers=0, keys=0)


def test_producer_that_raises_for_ever(server: Server) -> None:
    """Its watcher receives the values that each run yields before it raises."""
    with Client(server, "/raises-later") as client:
        assert client.take(3) == ["before"] * 3
        assert seen(server, "/raises-later")["watchers"] == 1


def test_producer_that_raises_while_closed(server: Server) -> None:
    """It still ends, and the next watcher has a new run."""
    for _ in range(2):
        with Client(server, "/raises-while-closed") as client:
            assert client.recv() == "1"
        has(server, "/raises-while-closed", keys=0)
    assert state(server)["events"].count("raises-while-closed ended") == 2
    assert "the generator failed while it was closed" in server.output()


def test_producer_that_never_yields(server: Server) -> None:
    """Its watcher waits, and when it has left the generator is closed."""
    with Client(server, "/silent"):
        eventually(server, lambda now: "silent began" in now["events"])
    eventually(server, lambda now: "silent ended" in now["events"])


@pytest.mark.parametrize("path", ["/endless", "/endless-thread"])
def test_producer_that_never_suspends(server: Server, path: str) -> None:
    """It is paused: its watcher receives newer and newer values, requests are answered, and it ends."""
    with Client(server, path) as client:
        numbers = [int(text) for text in client.take(20)]
        assert numbers == sorted(set(numbers))
        assert get(server, "/key/1") == b"1"
    has(server, path, watchers=0, keys=0)


# Faulty publishers


def test_value_of_the_wrong_type(server: Server) -> None:
    """The publisher learns where the value is wrong, and no watcher receives it."""
    with Client(server, "/numbers") as client:
        assert b"the value does not fit" in get(server, "/wrong")
        get(server, "/publish/5/6")
        assert client.recv() == "5"


def test_more_than_may_wait(server: Server) -> None:
    """A thread that publishes while the loop is blocked is refused at the bound; earlier values arrive."""
    get(server, "/loop")
    with Client(server, "/numbers") as client:
        assert b"5130000 bytes are waiting already" in get(server, "/flood")
        assert set(client.take(10_000)) == {"0"}


def test_publishing_after_the_shutdown() -> None:
    """Publishing after the app has stopped raises, in the loop and in a thread."""
    with serve(APP) as server:
        server.stop()
        output = server.output()
    for where in ("loop", "thread"):
        assert f"{where}: topic '/numbers': not published, because the app has stopped" in output


# Many keys, many watchers


def test_many_different_keys() -> None:
    """The number of watched keys is bounded, and one too many is refused with the reason; others are not affected."""
    with serve(APP, env={"KEYS": "20"}) as server, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server, f"/key/{number}")) for number in range(20)]
        for number in range(20, 120):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(server, f"/key/{number}")
            assert refused.value.code == 503
            assert b"Too many keys are watched at a time" in refused.value.read()
            refused.value.close()
        with pytest.raises(InvalidStatus) as refused_socket:
            Client(server, "/key/20")
        assert refused_socket.value.response.status_code == 503
        assert [client.frame() for client in clients] == [(0x81, str(number).encode()) for number in range(20)]
        now = state(server)
        assert (now["watched"]["/key/{number}"]["keys"], now["refused"]) == (20, {"too many keys": 101})
        stack.close()
        has(server, "/key/{number}", keys=0)
        for number in range(1000, 1100):
            assert get(server, f"/key/{number}") == str(number).encode()


def open_watcher(server: Server, path: str) -> connect:
    """Connect a watcher, to be awaited or as a context manager."""
    return connect(server.ws + path, proxy=None, ping_interval=None, open_timeout=PATIENCE, close_timeout=2)


def test_watchers_that_come_and_go(server: Server) -> None:
    """Hundreds of watchers come and go while values flow; a steady one receives each value once, in order."""
    count, tasks, each = 2000, 15, 20

    async def come_and_go() -> None:
        for turn in range(each):
            watcher = await open_watcher(server, "/numbers")
            if turn % 2:
                watcher.transport.abort()
            else:
                await watcher.close()

    async def publish() -> None:
        for first in range(0, count, 50):
            await asyncio.to_thread(get, server, f"/publish/{first}/{first + 50}")

    async def use() -> list[int]:
        async with (
            open_watcher(server, "/numbers") as steady,
            asyncio.timeout(PATIENCE),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(publish())
            for _ in range(tasks):
                group.create_task(come_and_go())
            return [int(await steady.recv()) for _ in range(count)]

    before = state(server)["accepted"]
    assert asyncio.run(use()) == list(range(count))
    has(server, "/numbers", watchers=0)
    assert state(server)["accepted"] == before + tasks * each + 1
    assert not any(trace in server.output() for trace in ("never retrieved", "was destroyed", "wirespeed/surfaces"))


def test_burst_without_suspending(server: Server) -> None:
    """A burst far larger than the log reaches watchers that read completely, in order."""
    count = 2000  # the capacity of a connection whose client gets no CPU meanwhile

    async def use() -> list[int]:
        async with open_watcher(server, "/small") as watcher, asyncio.timeout(PATIENCE):
            asking = asyncio.create_task(asyncio.to_thread(get, server, f"/burst/{count}"))
            received = [int(await watcher.recv()) for _ in range(count)]
            await asking
        return received

    assert asyncio.run(use()) == list(range(count))


# Clients that do not read, or vanish


def stalled(server: Server, path: str) -> RawClient:
    """Return a watcher that does not read, once the server has stopped writing to it."""
    begun = before = state(server)["bytes"]
    client = RawClient(server, path, receive_buffer=SMALL)

    def rests(now: dict[str, Any]) -> bool:
        nonlocal before
        same, before = now["bytes"] == before, now["bytes"]
        return bool(same and before > begun)

    eventually(server, rests)
    return client


@pytest.mark.parametrize("how", ["FIN", "RST", "close frame"])
def test_vanishing_with_bytes_unsent(server: Server, how: str) -> None:
    """A watcher that leaves while bytes wait for it is gone, without the stall timeout."""
    with stalled(server, "/newest-blob") as client:
        assert seen(server, "/newest-blob")["watchers"] == 1
        if how == "FIN":
            client.socket.shutdown(socket.SHUT_WR)
        elif how == "RST":
            client.reset()
        else:
            client.send(b"\x03\xe8", first=0x88)
        has(server, "/newest-blob", watchers=0, keys=0)


@contextmanager
def reading(client: Client) -> Iterator[list[int]]:
    """Read in a thread; return the sizes of the messages so far."""
    sizes: list[int] = []
    over = threading.Event()

    def read() -> None:
        with client:
            while not over.is_set():
                sizes.append(len(client.recv()))

    with ThreadPoolExecutor(1) as threads:
        reader = threads.submit(read)
        try:
            yield sizes
        finally:
            over.set()
        reader.result()


@pytest.mark.parametrize("path", ["/blob", "/newest-blob"])
def test_stalled_watcher_is_cut_off(path: str) -> None:
    """A watcher that stalls, or falls off the log, is disconnected; another watcher continues."""
    with (
        serve(APP, env={"STALL_TIMEOUT": "5"}) as server,
        reading(Client(server, path)) as sizes,
        RawClient(server, path, receive_buffer=SMALL) as client,
    ):
        has(server, path, watchers=2)
        has(server, path, watchers=1)
        before = len(sizes)
        wait_until(lambda: len(sizes) > before + 20)
        assert set(sizes) == {100_000}
        assert seen(server, path)["watchers"] == 1
        with suppress(*CUT):
            while True:
                client.frame()
        eventually(server, lambda now: now["connections"] == 1)


# The end


def test_sigterm_with_many_watchers() -> None:
    """Each of 1,000 watchers receives everything published, then 1012; the process ends within seconds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    with serve(APP) as server, ExitStack() as stack:
        watchers = [stack.enter_context(RawClient(server, "/numbers")) for _ in range(1000)]
        get(server, "/publish/0/20")
        server.process.send_signal(signal.SIGTERM)
        for watcher in watchers:
            assert [watcher.frame() for _ in range(20)] == [(0x81, str(number).encode()) for number in range(20)]
            assert watcher.close_code() == 1012
            watcher.socket.close()
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert not any(trace in server.output() for trace in TRACES)


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_sigterm_with_events(http: str) -> None:
    """A response of Server-Sent Events ends with everything published; the server does not wait for its client."""
    with serve(APP, options=["--http", http]) as server:
        with Events(server, "/numbers") as events, Events(server, "/ticks") as others:
            get(server, "/publish/0/100")
            server.process.send_signal(signal.SIGTERM)
            assert [events.next()["data"] for _ in range(100)] == [str(number) for number in range(100)]
            with pytest.raises(EOFError):
                events.next()
            with suppress(EOFError):
                while True:
                    others.next()
            assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert not any(trace in server.output() for trace in TRACES)


def test_sigterm_with_stalled_watchers() -> None:
    """Watchers that do not read delay the server's end by a few seconds at most."""
    with (
        serve(APP) as server,
        RawClient(server, "/blob", receive_buffer=SMALL),
        stalled(server, "/newest-blob"),
    ):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert not any(trace in server.output() for trace in TRACES)
