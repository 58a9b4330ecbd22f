"""Streaming responses: the source of a body ends before the body does, and the client gets everything written."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Scope

from tests.lanes.turns import turns, until
from wirespeed import Settings
from wirespeed.hub import Hub
from wirespeed.surfaces.streaming import HEADERS, StreamedResponse, note_stop

pytestmark = pytest.mark.anyio


class Response(StreamedResponse):
    """A response whose body is in the test's hand, and which records what happens to it."""

    def __init__(self, hub: Hub, first: bytes = b"a", last: bytes = b"z") -> None:
        super().__init__(hub, "'/'", HEADERS, "text/event-stream")
        self.happened: list[str] = []
        self.first, self.last = first, last
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def _begin(self) -> None:
        self.happened.append("begun")
        self._write(self.first)

    async def _end(self) -> None:
        await self.may_end.wait()
        self._write(self.last)
        self.happened.append("ended")

    def _write(self, part: bytes) -> None:
        if part:
            self.lane.write(part, 1)

    def refuse(self, status: int, detail: object) -> None:
        """End at once."""
        self._over()

    def complete(self) -> None:
        """Say that the body is complete."""
        self._over()


class Request:
    """One request for a response, with the messages of both sides."""

    def __init__(self, response: Response, method: str = "GET", *, has_stopped: bool = False) -> None:
        self.inbound: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.sent: list[Message] = []
        scope: Scope = {"type": "http", "method": method, "path": "/", "headers": []}
        if has_stopped:
            note_stop(scope)
        self.task = asyncio.create_task(response(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        message = await self.inbound.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        """The body so far."""
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def is_complete(self) -> bool:
        """True if the body was ended."""
        return bool(self.sent) and not self.sent[-1].get("more_body", False)


@pytest.fixture
async def hub() -> Hub:
    """Return a hub that was not entered."""
    return Hub(Settings())


async def streaming(hub: Hub) -> tuple[Response, Request]:
    """Start a response, and wait until it has begun."""
    response = Response(hub)
    request = Request(response)
    await until(lambda: request.body)
    return response, request


async def test_complete_body(hub: Hub) -> None:
    """The source ends before the body does, and its last bytes are in it; the hub counts the connection."""
    response, request = await streaming(hub)
    assert hub.statistics().connections == 1
    response.complete()
    await request.task
    assert (request.body, request.is_complete, response.happened) == (b"az", True, ["begun", "ended"])
    assert hub.statistics().connections == 0


async def test_head(hub: Hub) -> None:
    """A HEAD gets the headers, and nothing begins."""
    response = Response(hub)
    request = Request(response, "HEAD")
    await request.task
    assert (request.body, response.happened, hub.statistics().accepted) == (b"", [], 0)
    assert request.is_complete


@pytest.mark.parametrize("message", [{"type": "http.disconnect"}, RuntimeError("the client is gone")])
async def test_client_that_leaves(hub: Hub, message: Any) -> None:
    """A client that leaves, in whatever way the server reports it, ends the response; the body stays incomplete."""
    response, request = await streaming(hub)
    request.inbound.put_nowait({"type": "http.request"})
    request.inbound.put_nowait(message)
    await request.task
    assert (response.is_gone, request.is_complete, response.happened) == (True, False, ["begun", "ended"])


@pytest.mark.parametrize("end", [lambda response: response.complete(), lambda response: response.lane.on_lost()])
async def test_end_is_waited_for(hub: Hub, end: Callable[[Response], object]) -> None:
    """The response takes as long as its source takes to end."""
    response, request = await streaming(hub)
    response.may_end.clear()
    end(response)
    await turns(10)
    assert not request.task.done()
    response.may_end.set()
    await request.task
    assert response.happened == ["begun", "ended"]


async def test_closing(hub: Hub) -> None:
    """Closing a response returns when it has ended, with a complete body."""
    response, request = await streaming(hub)
    await response.close(1012, "The server is restarting.")
    assert request.task.done()
    assert (request.body, request.is_complete, response.is_gone) == (b"az", True, False)


async def test_server_that_has_stopped(hub: Hub) -> None:
    """A response of a server that has stopped ends as it begins."""
    request = Request(response := Response(hub), has_stopped=True)
    await request.task
    assert (request.body, request.is_complete, response.is_gone) == (b"az", True, False)


async def test_server_that_cancels_the_request(hub: Hub) -> None:
    """A server that cancels the request is obeyed once the source of the body has ended."""
    response, request = await streaming(hub)
    response.may_end.clear()
    request.task.cancel()
    await turns(10)
    assert not request.task.done()
    response.may_end.set()
    await asyncio.wait([request.task])
    assert request.task.cancelled()
    assert (request.body, response.happened) == (b"az", ["begun", "ended"])


async def test_client_that_leaves_before_the_first_byte(hub: Hub) -> None:
    """A client that leaves before anything was written gets an empty answer: middleware may wait for one."""
    request = Request(response := Response(hub, first=b"", last=b""))
    request.inbound.put_nowait({"type": "http.disconnect"})
    await request.task
    assert (response.is_gone, request.body, request.is_complete) == (True, b"", True)
