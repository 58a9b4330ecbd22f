"""Who takes part: each peer is a server of its own in `benchmarks/peers`, written the way its users write it."""

import http.client
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from benchmarks.client import HOST, ProtocolError
from benchmarks.feeds.handshake import Target
from benchmarks.feeds.values import FRAME_SIZE, SIZE, stamped
from benchmarks.peers.feeds_centrifugo import KEY
from benchmarks.processes import Server, UnavailableError

_PATIENCE_SECONDS = 120
_SOCKETIO_SIZE = FRAME_SIZE + len('42["value",""]')


@dataclass(frozen=True)
class Ran:
    """What a server has published, and in how many seconds."""

    published: int
    seconds: float


def ask(server: Server, path: str, **query: Any) -> Any:
    """A GET to a server's own routes; the answer is JSON."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ProtocolError(f"no answer to {path}: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise ProtocolError(f"{path} was answered with {response.status}: {body[:100]!r}")
    return json.loads(body)


def run_inside(server: Server, rate: float, seconds: float) -> Ran:
    """The server publishes itself."""
    ran = ask(server, "/run", rate=rate, seconds=seconds)
    return Ran(int(ran["published"]), ran["seconds"])


def run_by_api(server: Server, rate: float, seconds: float) -> Ran:
    """We publish, with one request for all that is due: the pace of `values.pace`, for a server that has no code."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=_PATIENCE_SECONDS)
    begun = time.perf_counter()
    number, total = 0, round(rate * seconds)
    try:
        while number < total and (passed := time.perf_counter() - begun) < seconds:
            due = min(total, int(passed * rate) + 1)
            _publish(connection, [stamped(each) for each in range(number + 1, due + 1)])
            number = due
            time.sleep(max(0.001, number / rate - (time.perf_counter() - begun)))
    except (OSError, http.client.HTTPException) as error:
        raise ProtocolError(f"publishing failed: {error}") from None
    finally:
        connection.close()
    return Ran(number, time.perf_counter() - begun)


def _publish(connection: http.client.HTTPConnection, values: list[str]) -> None:
    commands = [{"publish": {"channel": "fan", "data": value}} for value in values]
    headers = {"Content-Type": "application/json", "X-API-Key": KEY}
    connection.request("POST", "/api/batch", json.dumps({"commands": commands}), headers)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or b'"error"' in answer:
        raise ProtocolError(f"publishing was answered with {response.status}: {answer[:100]!r}")


@dataclass(frozen=True)
class Peer:
    """A server: its command (`{port}` is filled in), and how its clients connect.

    `frame` is what one value takes on the wire, or 1 if that varies: then values are counted, and not bytes. `needs`
    says what to install where it is missing.
    """

    name: str
    command: tuple[str, ...]
    path: str = "/fan"
    frame: int = FRAME_SIZE
    say: str = ""
    until: str = ""
    note: str = ""
    needs: str = ""
    counts: bool = True
    is_binary: bool = False
    publish: Callable[[Server, float, float], Ran] = run_inside

    @property
    def mode(self) -> str:
        """What its clients count."""
        return "values" if self.frame == 1 else "count"

    def target(self, server: Server) -> Target:
        return Target(server.port, self.path, self.say, self.until, is_binary=self.is_binary)

    def check(self) -> None:
        """Raises `UnavailableError` if it is not there."""
        if self is CENTRIFUGO and not os.environ.get("CENTRIFUGO"):
            raise UnavailableError("CENTRIFUGO does not name its binary")


def uvicorn(app: str, *options: str) -> tuple[str, ...]:
    """The loop is named because uvicorn takes uvloop by itself wherever that is installed."""
    command = ("python", "-m", "uvicorn", app, "--port", "{port}", "--loop", "asyncio", "--log-level", "warning")
    return (*command, *options)


# A server's pings would be counted as values.
SILENT = ("--ws-ping-interval", "1000")

OURS = Peer("Wirespeed", uvicorn("benchmarks.peers.feeds_ours:app", *SILENT))
PLAIN = Peer("FastAPI loop", uvicorn("benchmarks.peers.feeds_plain:app", *SILENT))
FLOOR = Peer("the floor", ("python", "-m", "benchmarks.peers.feeds_floor", "{port}"))
CENTRIFUGO = Peer(
    "Centrifugo",
    ("python", "-m", "benchmarks.peers.feeds_centrifugo", "{port}"),
    path="/connection/websocket",
    frame=1,
    say='{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"fan"}}',
    until='"id":2',
    note="JSON, a channel without history; published over its HTTP API, all that is due in one request, by us",
    needs="its binary, named by the environment variable CENTRIFUGO",
    counts=False,
    publish=run_by_api,
)
PEERS = (
    PLAIN,
    Peer(
        "websockets, broadcast",
        ("python", "-m", "benchmarks.peers.feeds_broadcast", "{port}"),
        note="writes without backpressure",
    ),
    Peer(
        "python-socketio, room",
        uvicorn("benchmarks.peers.feeds_socketio:app", *SILENT),
        path="/socket.io/?EIO=4&transport=websocket",
        frame=_SOCKETIO_SIZE,
        say="40",
        until='40{"sid"',
        note=f"its own framing, {_SOCKETIO_SIZE - FRAME_SIZE} bytes more for each value of {SIZE}; emits without "
        "backpressure",
    ),
    Peer(
        "Node.js ws",
        ("node", "benchmarks/peers/feeds_node.mjs", "{port}"),
        note="sends without backpressure",
        needs="Node.js 20 or newer, and `npm ci` in benchmarks/peers",
    ),
    CENTRIFUGO,
)
