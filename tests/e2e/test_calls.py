"""Calls on real servers: the same answers by WebSocket and by POST, and a client's departure is noticed."""

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.clients import Client, eventually, state
from tests.servers import Server, ServerName, serve
from tests.waiting import PATIENCE

APP = "tests.apps.engine:app"

WAYS: dict[str, tuple[ServerName, list[str]]] = {
    "uvicorn-asyncio": ("uvicorn", ["--loop", "asyncio"]),
    "uvicorn-uvloop": ("uvicorn", ["--loop", "uvloop"]),
    "hypercorn": ("hypercorn", ["--graceful-timeout", "1"]),
    "granian": ("granian", []),
}


@pytest.fixture(scope="module", params=WAYS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start a server of each kind."""
    name, options = WAYS[request.param]
    with serve(APP, server=name, options=options) as running:
        yield running


def test_answers_come_in_order(server: Server) -> None:
    """A thousand messages, sent without waiting, are answered one by one, in their order."""
    for path in ("/add", "/louder"):
        with Client(server, path) as client:
            for first in range(0, 1000, 200):
                numbers = range(first, first + 200)
                client.send(*(f"[{number}]" for number in numbers))
                assert client.take(200) == [f"{number}" if path == "/add" else f"[{number}]" for number in numbers]


def test_refusals(server: Server) -> None:
    """An invalid message, and a refusal of the function, get an error frame; the connection stays open."""
    with Client(server, "/add") as client:
        client.send("[1, true, 2.5]")
        assert client.error()["code"] == 422
        client.send("[1, 2]")
        assert client.recv() == "3"
    with Client(server, "/louder") as client:
        client.send("no")
        assert client.error() == {"code": 409, "message": "No."}
        client.send("yes")
        assert client.recv() == "YES"


def test_post(server: Server) -> None:
    """A POST is answered with the value, or with FastAPI's status."""
    answers = [
        ("/add", b"[1, 2]", 200, b"3"),
        ("/louder", "grüße".encode(), 200, '"GRÜSSE"'.encode()),
        ("/add", b'["x"]', 422, b""),
        ("/louder", b"no", 409, b'{"detail":"No."}'),
    ]
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    for path, message, status, body in answers:
        headers = {"content-type": "application/json" if path == "/add" else "text/plain"}
        connection.request("POST", path, message, headers)
        response = connection.getresponse()
        answer = response.read()
        assert (response.status, response.headers["content-type"]) == (status, "application/json")
        assert answer == (body or answer)
    connection.close()


def test_leaving_cancels_the_call(server: Server) -> None:
    """A client that leaves ends its call, and its ``finally`` runs."""
    before = state(server)["events"].count("asleep ended")
    with Client(server, "/asleep") as client:
        client.send("hi")
        eventually(server, lambda seen: seen["runs"] == 1)
        client.vanish()
    eventually(server, lambda seen: seen["events"].count("asleep ended") == before + 1 and seen["runs"] == 0)
