"""The lane that writes the body of a response."""

import asyncio
from typing import Any

import pytest

from tests.lanes.turns import turns
from wirespeed.lanes.http import HttpLane
from wirespeed.lanes.lane import Traffic
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio

HEADERS = [(b"content-type", b"text/plain")]
START = {"type": "http.response.start", "status": 200, "headers": HEADERS}
END = {"type": "http.response.body", "body": b"", "more_body": False}


def body(data: bytes) -> dict[str, Any]:
    """Return the ASGI message of a part of the body."""
    return {"type": "http.response.body", "body": data, "more_body": True}


class Server:
    """A server's ``send``: it accepts messages while it is open, and may fail."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.traffic = Traffic()
        self.lane = HttpLane(
            self.send, self.traffic, Settings(max_waiting_bytes=100, stall_timeout=60), headers=HEADERS
        )

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's ``send``."""
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.taken.append(message)


@pytest.fixture
async def server() -> Server:
    """A server with a lane to it."""
    return Server()


async def test_response_starts_with_the_first_write(server: Server) -> None:
    """Until something is written, another response can be given. Then status and headers come before the body."""
    await turns(5)
    assert (server.taken, server.lane.started) == ([], False)
    server.lane.write(b"a", 1)
    assert server.lane.started
    await turns(5)
    server.lane.write(b"b", 1)
    await turns(5)
    assert server.taken == [START, body(b"a"), body(b"b")]


async def test_what_waits_is_sent_together(server: Server) -> None:
    """Writes during a send are joined into one message, in order, and all of them are counted."""
    server.open.clear()
    for number in range(5):
        server.lane.write(b"%d" % number, 1)
        await turns(2)
    server.open.set()
    await turns(5)
    assert server.taken == [START, body(b"0"), body(b"1234")]
    assert (server.traffic.messages, server.traffic.bytes) == (5, 5)


async def test_nothing_is_no_write(server: Server) -> None:
    """An empty write does not start the response."""
    server.lane.write(b"", 0)
    await turns(5)
    assert (server.taken, server.lane.started) == ([], False)


@pytest.mark.parametrize("parts", [[], [b"a"], [b"a", b"b"]])
async def test_close_ends_the_body(server: Server, parts: list[bytes]) -> None:
    """The end comes once, after everything that was written. A body may be empty."""
    for part in parts:
        server.lane.write(part, 1)
    await server.lane.end()
    await server.lane.end()
    server.lane.write(b"late", 1)
    await turns(5)
    assert server.taken == [START, *([body(b"".join(parts))] if parts else []), END]
    assert server.lane.closing()


async def test_flushed_waits_for_the_server(server: Server) -> None:
    """After ``flushed``, the server has everything that was written."""
    server.open.clear()
    server.lane.write(b"a", 1)
    flushing = asyncio.create_task(server.lane.flushed())
    await turns(5)
    assert not flushing.done()
    server.open.set()
    await flushing
    assert server.taken == [START, body(b"a")]


async def test_error_of_the_server_is_the_end(server: Server) -> None:
    """After a failure of the server, the body is not ended, and nothing is raised."""
    server.error = OSError("gone")
    server.lane.write(b"a", 1)
    await server.lane.end()
    assert (server.taken, server.lane.closing()) == ([], True)


async def test_error_at_the_end_is_none(server: Server) -> None:
    """A client that is gone gets no end: nothing is sent after the failure."""
    server.error = OSError("gone")
    await server.lane.end()
    assert server.taken == []
