"""The protocol by hand: a client that sends frames and examines the answers."""

import http.client
import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.servers import Server
from tests.waiting import PATIENCE

from .stage import tell

Json = dict[str, Any]

_numbers = itertools.count(1)


def fresh(kind: str) -> str:
    """Return a name that no other test uses."""
    return f"{kind}/{next(_numbers)}"


def publish(server: Server, channel: str, *values: Any, tags: dict[str, str] | None = None) -> None:
    """Let the app publish."""
    tell(server, "publish", {"channel": channel, "values": values, "tags": tags})


def reach(server: Server, user: str, does: str, **given: Any) -> None:
    """Let the app do something to the one client of a user."""
    assert tell(server, "clients", {"user": user, "does": does, "given": given}) == 1


class Frames:
    """A WebSocket on which JSON commands go one way and JSON replies the other.

    Args:
        server: The server.
        query: What follows the path.
        subprotocols: What is offered.
        headers: Headers of the handshake.
        answers_pings: Whether pings are answered and passed over, as SDKs do: on a slow machine, any test may last
            until the first one comes.
    """

    def __init__(
        self,
        server: Server,
        query: str = "",
        *,
        subprotocols: Sequence[str] = (),
        headers: dict[str, str] | None = None,
        answers_pings: bool = True,
    ) -> None:
        self._answers_pings = answers_pings
        self._connecting = connect(
            f"{server.ws}/live/websocket{query}",
            subprotocols=[Subprotocol(each) for each in subprotocols] or None,
            additional_headers=headers,
            max_size=None,
            proxy=None,
            ping_interval=None,
            open_timeout=PATIENCE,
            close_timeout=2,
        )
        self._come: list[Json] = []

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.socket = self._stack.enter_context(self._connecting)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def send(self, *commands: Json) -> None:
        """Send commands in one frame."""
        self.socket.send("\n".join(map(json.dumps, commands)))

    def next(self) -> Json:
        """Return the next reply or push."""
        while (following := self._next()) == {} and self._answers_pings:
            self.send({})
        return following

    def _next(self) -> Json:
        while not self._come:
            frame = self.socket.recv(PATIENCE)
            assert isinstance(frame, str)
            assert frame
            assert not frame.endswith("\n")
            self._come = [json.loads(line) for line in frame.split("\n")]
        return self._come.pop(0)

    def take(self, count: int) -> list[Json]:
        """Return the next replies."""
        return [self.next() for _ in range(count)]

    def ask(self, command: Json) -> Json:
        """Send one command and return its answer, before which nothing may arrive."""
        self.send(command)
        return self.next()

    def connected(self, **options: Any) -> Json:
        """Connect; return the reply."""
        told: Json = self.ask({"id": 1, "connect": options})["connect"]
        return told

    def subscribed(self, channel: str, **options: Any) -> Json:
        """Subscribe; return the reply."""
        told: Json = self.ask({"id": 2, "subscribe": {"channel": channel, **options}})["subscribe"]
        return told

    def closed(self) -> tuple[int, str]:
        """Wait for the end, before which nothing may arrive; return its code and reason."""
        assert self._come == []
        with pytest.raises(ConnectionClosed) as closed:
            self.socket.recv(PATIENCE)
        told = closed.value.rcvd
        assert told is not None
        return told.code, told.reason


class Events:
    """Server-Sent Events, in order of arrival.

    Args:
        response: The response.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response

    def next(self) -> Json | None:
        """Return the next reply; None at the end."""
        while line := self.response.readline():
            if line.startswith(b"data: "):
                event: Json = json.loads(line.removeprefix(b"data: "))
                if event:  # not a ping
                    return event
                continue
            assert line.strip() == b""
        return None


@contextmanager
def events(server: Server, *commands: Json) -> Iterator[Events]:
    """Open a connection over Server-Sent Events, with its first commands."""
    joined = quote("\n".join(map(json.dumps, commands)))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", f"/live/sse?cf_connect={joined}")
    yield Events(connection.getresponse())
    connection.close()


def request(
    server: Server, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
) -> tuple[int, bytes]:
    """Send one request; return the status and body of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request(method, path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    told = response.status, response.read()
    connection.close()
    return told
