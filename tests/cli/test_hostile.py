"""Commands against servers that answer with anything but what Wirespeed answers."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from wirespeed.cli import fetching, listing, messages

from .conftest import Wirespeed

ESCAPES = "\x1b[2J\x9b31m\u202e"


class Hostile:
    """A server whose document and messages a test chooses."""

    def __init__(self) -> None:
        self.document = b"{}"
        self.messages: list[str | bytes] = []
        self.requests: list[Request] = []
        self.url = ""
        self.slow = threading.Event()

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if "Upgrade" in request.headers:
            return None
        if self.slow.is_set():  # a byte now and then, forever
            with suppress(OSError):
                connection.socket.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while self.slow.is_set():
                    connection.socket.sendall(b" ")
                    time.sleep(0.01)
        found = request.path.endswith("asyncapi.json")
        headers = Headers({"Content-Length": str(len(self.document) if found else 0), "Connection": "close"})
        return Response(200 if found else 404, "", headers, self.document if found else b"")

    def speak(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for message in self.messages:
                connection.send(message)
            connection.recv()
            connection.recv()

    def define(self, **more: object) -> None:
        """Give the document one definition."""
        definition = {"path": "/p", "kind": "feed", "value": {"type": "number"}} | more
        self.document = json.dumps({"channels": {"p": {"x-wirespeed": definition}}}).encode()


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    """Run a hostile server."""
    one = Hostile()
    with serve(one.speak, "127.0.0.1", 0, process_request=one.answer) as server:
        one.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield one
        one.slow.clear()


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"channels": {"a": "x-wirespeed"}}',
        b'{"channels": {"a": {"x-wirespeed": [1]}}}',
        b'{"channels": {"a": {"x-wirespeed": {"path": 5}}}}',
        b'{"channels": {"a": {"x-wirespeed": {"kind": ["feed"]}}}}',
        b'{"channels": {"a": {"x-wirespeed": {"parameters": 5}}}}',
        b'{"channels": {"a": {"x-wirespeed": {"parameters": [{"x": 1}]}}}}',
        b'{"channels": {"a": {"x-wirespeed": {"value": {"anyOf": 5}}}}}',
        b'{"channels": {"a": {"summary": 5, "x-wirespeed": {}}}}',
        b'{"info": {"title": 5}}',
    ],
)
def test_documents_of_any_form(wirespeed: Wirespeed, hostile: Hostile, document: bytes) -> None:
    """A sentence names what is not a document."""
    hostile.document = document
    result = wirespeed("list", "--url", hostile.url)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert "is not an AsyncAPI document" in result.stderr


@pytest.mark.parametrize("schema", [{"anyOf": [5]}, {"properties": [5]}, {"type": {"a": 1}}])
def test_schemas_of_any_form(wirespeed: Wirespeed, hostile: Hostile, schema: object) -> None:
    """A message is written as JSON needs it, if the schema of a field is not one."""
    hostile.define(kind="topic", intake="each", message=schema)
    result = wirespeed("bench", "p", "a=x", "-n", "1", "--for", "1ms", "--url", hostile.url)
    assert (result.exit_code, json.loads(result.stdout)["open"]) == (0, 1)


def test_a_document_that_never_ends(wirespeed: Wirespeed, hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends a byte now and then is never silent, and cannot hold a command."""
    monkeypatch.setattr(fetching, "WHOLE", 0.3)
    hostile.slow.set()
    result = wirespeed("list", "--url", hostile.url)
    assert result.exit_code == 3
    assert "no complete answer within 0.3 seconds" in result.stderr


def test_kinds_do_not_control_a_terminal(
    wirespeed: Wirespeed, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text of the document is escaped on a terminal."""
    monkeypatch.setattr(listing, "is_terminal", lambda: True)
    hostile.define(kind=ESCAPES, by=ESCAPES, message={"const": ESCAPES}, parameters=[{"name": ESCAPES}])
    result = wirespeed("list", "--url", hostile.url)
    assert result.exit_code == 0
    assert "\\x1b" in result.stdout
    assert not set(result.stdout) & set("\x1b\x9b\u202e")


@pytest.mark.parametrize("message", ["nonsense", b"\xff\xfe\x00", "[]", '{"at": 1}', "[" * 100_000])
def test_consoles_of_any_form(wirespeed: Wirespeed, hostile: Hostile, message: str | bytes) -> None:
    """``top`` and ``doctor`` report a server that speaks something else."""
    hostile.define()
    hostile.messages = [message]
    result = wirespeed("top", "--once", "--url", hostile.url)
    assert isinstance(result.exception, SystemExit), result.exception
    assert "has sent what this version does not understand" in result.stderr
    result = wirespeed("doctor", "--json", "--url", hostile.url)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1)
    assert {"console", "WebSocket"} <= {each["check"] for each in json.loads(result.stdout)}


def test_the_token_of_the_environment_goes_to_a_document(
    wirespeed: Wirespeed, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document at its own URL gets the token, with a scheme of its own as it is."""
    for token, header in (("secret", "Bearer secret"), ("Basic eDp5", "Basic eDp5")):
        monkeypatch.setenv("WIRESPEED_TOKEN", token)
        assert wirespeed("types", f"{hostile.url}/docs/asyncapi.json", "--json").exit_code == 0
        assert hostile.requests[-1].path == "/docs/asyncapi.json"
        assert hostile.requests[-1].headers["Authorization"] == header


def test_arguments_and_input_of_any_form(
    wirespeed: Wirespeed, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are not UTF-8, and more input than a message can be, are wrong usage."""
    monkeypatch.setenv("WIRESPEED_URL", hostile.url)
    hostile.define(kind="call", intake="each", message={"type": "object"})
    assert "is not text in UTF-8" in wirespeed("call", "p", "item=\udcff").stderr
    assert "is not text in UTF-8" in wirespeed("watch", "p/\udcff").stderr
    assert wirespeed("context", "add", "x", "localhost", "--token", "-", stdin=b"\xff\n").exit_code == 2
    monkeypatch.setattr(messages, "MOST_LINE_BYTES", 10)
    result = wirespeed("call", "p", "-", stdin='{"item": "tea"}')
    assert result.exit_code == 2
    assert "stdin has more than" in result.stderr
