"""The raw WebSocket of streams: the messages that a client receives, their order, and the end of its connection."""

import asyncio
import gc
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException, WebSocketException

from tests.lanes.turns import turns, until
from wirespeed import Live, Message, Settings
from wirespeed.testing import Closed, WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]


def serving(function: Callable[..., Any], *, overlap: Any = "queue", **settings: Any) -> tuple[FastAPI, Live]:
    """Return an app with one stream, ``/``."""
    app = FastAPI()
    live = Live(app, settings=Settings(**settings))
    live.stream("/", overlap=overlap)(function)
    return app, live


async def farewell(client: WebSocketClient, on_its_way: str | None = None) -> tuple[int, str]:
    """Return how the connection is closed, after the values that were in transit."""
    while True:
        try:
            assert await client.receive() == on_its_way
        except Closed as closed:
            return closed.code, closed.reason


async def told(client: WebSocketClient) -> tuple[int, str]:
    """Return the code and message of the error frame that comes next."""
    error = (await client.receive_json())["error"]
    return error["code"], error["message"]


async def echo(text: Text) -> AsyncIterator[str]:
    """Echo the message."""
    yield text


async def stuck(text: Text) -> AsyncIterator[str]:
    """Yield no value."""
    await asyncio.Event().wait()
    yield text


async def listen() -> AsyncIterator[str]:
    """Yield once, and continue."""
    yield "listening"
    await asyncio.Event().wait()


def listen_in_thread() -> Iterator[str]:
    """Yield without end, in a thread."""
    while True:
        yield "listening"


async def duplex(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    """Echo all messages, in one run."""
    async for text in texts:
        yield text


# Messages in their turn


async def test_bad_message_is_answered_in_its_turn() -> None:
    """If messages wait for each other, the error of a bad one comes between the values of its neighbours."""
    gate = asyncio.Event()

    async def gated(text: Text) -> AsyncIterator[str]:
        yield f"{text} began"
        await gate.wait()
        yield f"{text} ended"

    app, _ = serving(gated)
    async with connect(app, "/") as client:
        await client.send_text("a")
        await client.send_bytes(b"?")
        await client.send_text("b")
        assert await client.receive() == "a began"
        await turns(20)
        assert client.waiting == 0
        gate.set()
        assert await client.receive() == "a ended"
        assert (await told(client))[0] == 422
        assert [await client.receive() for _ in range(2)] == ["b began", "b ended"]


async def test_bad_message_of_a_duplex_stream_is_answered_at_once() -> None:
    """If no message waits for another, an error does not wait either."""
    app, live = serving(duplex)
    async with connect(app, "/") as client:
        for number in range(3):
            await client.send_bytes(b"?")
            assert (await told(client))[0] == 422
            await client.send_text(str(number))
            assert await client.receive() == str(number)
    assert live.statistics().refused == {"invalid message": 3}


async def test_every_message_of_a_burst_has_its_run() -> None:
    """Messages that arrive faster than they are handled are handled in their order."""
    app, _ = serving(echo)
    async with connect(app, "/") as client:
        for number in range(200):
            await client.send_text(str(number))
        assert [await client.receive() for _ in range(200)] == [str(number) for number in range(200)]


async def test_client_that_does_not_read_its_errors_is_not_read() -> None:
    """Bad messages are read only as fast as the client accepts their answers."""
    app, live = serving(duplex, max_waiting_bytes=200)
    async with connect(app, "/", max_waiting=1) as client:
        for _ in range(500):
            await client.send_bytes(b"?")
        await turns(1000)
        assert live.statistics().refused["invalid message"] < 10
        for _ in range(500):
            assert (await told(client))[0] == 422


# Limits, on the portable lane


@pytest.mark.parametrize("size", [1, 999, 1000])
@pytest.mark.parametrize("character", ["x", "é", "🎉"])
async def test_message_up_to_the_limit_is_taken(size: int, character: str) -> None:
    """A message may have as many bytes as the settings say."""
    text = character * (size // len(character.encode()))
    app, _ = serving(echo, max_message_bytes=1000)
    async with connect(app, "/") as client:
        await client.send_text(text)
        assert await client.receive() == text


@pytest.mark.parametrize("message", ["x" * 1001, b"x" * 1001, "é" * 501, "x" * 1_000_000])
async def test_message_over_the_limit_closes(message: str | bytes) -> None:
    """One byte more gets an error frame, and then a close with 1009."""
    app, live = serving(echo, max_message_bytes=1000)
    async with connect(app, "/") as client:
        await (client.send_text(message) if isinstance(message, str) else client.send_bytes(message))
        assert await told(client) == (413, "The message is too big.")
        assert await farewell(client) == (1009, "The message is too big.")
    assert live.statistics().refused == {"size": 1}


async def test_too_many_messages_per_second_close() -> None:
    """A client that sends faster than the settings allow gets an error frame, and then a close with 1008."""
    app, live = serving(echo, max_messages_per_second=0.1)
    async with connect(app, "/") as client:
        await client.send_text("a")
        assert await client.receive() == "a"
        await client.send_text("b")
        assert await told(client) == (429, "Too many messages per second.")
        assert await farewell(client) == (1008, "Too many messages per second.")
    assert live.statistics().refused == {"rate": 1}


@pytest.mark.parametrize(
    ("limits", "messages"),
    [
        ({"max_inbox_messages": 2}, ["runs", "waits", "waits", "too many"]),
        ({"max_inbox_bytes": 20}, ["runs", "x" * 10, "x" * 10, "x"]),
        ({"max_inbox_bytes": 20}, ["runs", "é" * 5, "é" * 5, "x"]),
    ],
    ids=["messages", "bytes", "bytes, not characters"],
)
async def test_too_many_waiting_messages_close(limits: dict[str, int], messages: list[str]) -> None:
    """When the inbox is full, the client gets an error frame that names the bounds, and then a close with 1008."""
    app, live = serving(stuck, **limits)
    async with connect(app, "/") as client:
        for message in messages:
            await client.send_text(message)
            await turns(5)
        code, text = await told(client)
        assert code == 429
        assert text.startswith("Not taken: too many messages are waiting to be handled")
        assert await farewell(client) == (1008, text)
    assert live.statistics().refused == {"inbox full": 1}


async def test_values_that_wait_are_counted() -> None:
    """The decoded message counts, which is larger than its text: fewer JSON messages than text messages may wait."""

    async def stuck_with(numbers: Annotated[list[int], Message()]) -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield str(numbers)

    for stream, text in ((stuck, "x" * 101), (stuck_with, json.dumps([0] * 50, separators=(",", ":")))):
        app, live = serving(stream, max_inbox_bytes=2000)
        async with connect(app, "/") as client:
            for _ in range(3):
                await client.send_text(text)
                await turns(5)
            assert live.statistics().refused == ({} if stream is stuck else {"inbox full": 1})


Numbers = Annotated[list[int], Message()]
WRONG = json.dumps(["x"] * 20)
"""A message of 100 bytes with 20 errors, which take 2 kB as JSON and 10 kB as objects."""


def stream_of(live: Live) -> None:
    """Declare a stream that is busy with its first message."""

    @live.stream("/")
    async def stream(numbers: Numbers) -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield len(numbers)


def call_of(live: Live) -> None:
    """Declare such a call."""

    @live.call("/")
    async def call(numbers: Numbers) -> None:
        await asyncio.Event().wait()


def handler_of(live: Live) -> None:
    """Declare a topic with such a handler."""

    @live.topic("/", str).on_message
    async def take(numbers: Numbers) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("declare", [stream_of, call_of, handler_of])
async def test_errors_that_wait_are_counted(declare: Callable[[Live], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that do not validate count with the errors that wait for their turn, and these take no more."""
    monkeypatch.setattr("wirespeed.surfaces.handling.HANDLING_TIMEOUT", 0.01)  # this handler never ends by itself
    app = FastAPI()
    live = Live(app, settings=Settings(max_inbox_bytes=100_000))
    declare(live)
    async with lifespan(app), connect(app, "/") as client:
        await client.send_text("[]")
        await turns(5)
        gc.collect()
        tracemalloc.start()
        try:
            for _ in range(30):
                await client.send_text(WRONG)
                await turns(5)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 150_000
        finally:
            tracemalloc.stop()
        assert live.statistics().refused == {"invalid message": 30}
        for _ in range(30):
            await client.send_text(WRONG)
            await turns(5)
        assert live.statistics().refused["inbox full"] == 1


# Ends


@pytest.mark.parametrize(
    ("error", "frame", "code", "reason"),
    [
        (None, None, 1000, ""),
        (WebSocketException(4002, "Enough."), None, 4002, "Enough."),
        (HTTPException(404, "Gone."), (404, "Gone."), 1008, "Gone."),
        (HTTPException(503, "Later."), (503, "Later."), 1013, "Later."),
        (HTTPException(500, "Sorry."), (500, "Sorry."), 1011, "Sorry."),
        (HTTPException(409, {"by": "ann"}), (409, "Conflict"), 1008, "Conflict"),
        (ValueError("the password is 1234"), (500, "The stream failed."), 1011, "The stream failed."),
        (asyncio.CancelledError(), (500, "The stream failed."), 1011, "The stream failed."),
    ],
    ids=["none", "WebSocketException", "404", "503", "500", "409", "ValueError", "CancelledError"],
)
async def test_end_of_the_only_run_is_the_close(
    error: BaseException | None, frame: tuple[int, str] | None, code: int, reason: str
) -> None:
    """The end of a stream without messages determines the close of its connection, after all values that it yielded."""

    async def once() -> AsyncIterator[str]:
        yield "a"
        if error is not None:
            raise error

    app, _ = serving(once)
    # An unexpected exception reaches the server, which logs it.
    failures: dict[type, Any] = {
        ValueError: pytest.raises(ValueError, match="1234"),
        asyncio.CancelledError: pytest.raises(RuntimeError, match="ended with CancelledError"),
    }
    raises = failures.get(type(error), nullcontext())
    with raises:
        async with connect(app, "/") as client:
            assert await client.receive() == "a"
            if frame is not None:
                assert await told(client) == frame
            assert await farewell(client) == (code, reason)


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (409, {"by": "ann"}, {"code": 409, "message": "Conflict", "detail": {"by": "ann"}}),
        (422, [{"loc": ["body"]}], {"code": 422, "message": "Unprocessable", "detail": [{"loc": ["body"]}]}),
        (400, {"value": float("nan")}, {"code": 400, "message": "Bad Request", "detail": {"value": None}}),
        (400, 7, {"code": 400, "message": "Bad Request", "detail": 7}),
        (404, None, {"code": 404, "message": "Not Found"}),
        (499, "No such status.", {"code": 499, "message": "No such status."}),
        (499, {"by": "ann"}, {"code": 499, "message": "", "detail": {"by": "ann"}}),
    ],
)
async def test_detail_of_an_http_exception_is_told(status: int, detail: Any, error: dict[str, Any]) -> None:
    """Text is the message; any other detail stands beside the status in words; the connection stays open."""

    async def refuse(text: Text) -> AsyncIterator[str]:
        yield text
        if text == "refuse":
            raise HTTPException(status, detail)

    app, _ = serving(refuse)
    async with connect(app, "/") as client:
        await client.send_text("refuse")
        assert await client.receive() == "refuse"
        answer = (await client.receive_json())["error"]
        assert answer | {"message": ""} == error | {"message": ""}
        assert answer["message"].startswith(error["message"])
        await client.send_text("go on")
        assert await client.receive() == "go on"


@asynccontextmanager
async def stopped_meanwhile(
    app: FastAPI, live: Live, client: WebSocketClient, first: str | None = None
) -> AsyncIterator[WebSocketClient]:
    """Connect a client, receive a value if there is one, tell the app to stop, and then enter the block."""
    running = lifespan(app)
    await running.__aenter__()
    async with client:
        await until(lambda: live.statistics().connections)
        if first is not None:
            assert await client.receive() == first
        stopping = asyncio.create_task(running.__aexit__(None, None, None))
        yield client
    await stopping


RESTART = (1012, "The server is restarting.")


@pytest.mark.parametrize(
    ("function", "overlap", "first"),
    [
        (echo, "queue", None),
        (echo, "replace", None),
        (duplex, "queue", None),
        (listen, "queue", "listening"),
        (listen_in_thread, "queue", "listening"),
    ],
)
async def test_stopping_app_closes_its_connections(
    function: Callable[..., Any], overlap: str, first: str | None
) -> None:
    """In any state, a connection is closed with a request to reconnect, after all values, and has then ended."""
    app, live = serving(function, overlap=overlap)
    async with stopped_meanwhile(app, live, connect(app, "/"), first) as client:
        assert await farewell(client, on_its_way=first) == RESTART
    assert (live.statistics().connections, live.statistics().runs, live.statistics().failed) == (0, 0, 0)


async def test_connection_that_is_accepted_while_the_app_stops() -> None:
    """A connection that was not open yet when the app began to stop is closed with the same request."""
    app, _ = serving(echo)
    accepted = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        async def slow_send(message: Any) -> None:
            await send(message)
            await accepted.wait()

        await app(scope, receive, slow_send)

    running = lifespan(app)
    await running.__aenter__()
    async with connect(slow, "/") as client:
        stopping = asyncio.create_task(running.__aexit__(None, None, None))
        await turns(20)
        accepted.set()
        assert await farewell(client) == RESTART
    await stopping


@pytest.mark.parametrize("error", [WebSocketException(4002, "Enough."), HTTPException(404, "Gone.")])
async def test_first_farewell_counts(error: Exception) -> None:
    """A run that would close its connection in another way has no effect on a close that has begun."""

    async def contrary() -> AsyncIterator[str]:
        try:
            yield "running"
            await asyncio.Event().wait()
        finally:
            raise error

    app, live = serving(contrary)
    async with stopped_meanwhile(app, live, connect(app, "/"), "running") as client:
        if isinstance(error, HTTPException):
            assert await told(client) == (404, "Gone.")
        assert await farewell(client) == RESTART


async def test_reason_of_a_close_fits_into_its_frame() -> None:
    """A long text is complete in the error frame, and cut in the close."""

    async def verbose() -> AsyncIterator[str]:
        yield "a"
        raise HTTPException(404, "é" * 500)

    app, _ = serving(verbose)
    async with connect(app, "/") as client:
        assert await client.receive() == "a"
        assert await told(client) == (404, "é" * 500)
        assert await farewell(client) == (1008, "é" * 61)


@pytest.fixture
def short_close_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a client hardly any time for its part of a close."""
    monkeypatch.setattr("wirespeed.surfaces.session.CLOSE_TIMEOUT", 0.01)


@pytest.mark.usefixtures("short_close_timeout")
async def test_close_does_not_wait_for_ever_for_its_answer() -> None:
    """A client that neither answers a close nor leaves is given up."""
    app, live = serving(echo, max_message_bytes=1)
    async with connect(app, "/") as client:
        await client.send_text("too big")
        await until(lambda: live.statistics().connections == 0)
        assert await told(client) == (413, "The message is too big.")
        assert (await farewell(client))[0] == 1009


@pytest.mark.usefixtures("short_close_timeout")
async def test_close_does_not_wait_for_ever_for_a_reader() -> None:
    """A client that accepts no bytes does not keep its app from stopping, and leaves no task."""
    before = asyncio.all_tasks()

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "x" * 1000

    app, live = serving(endless)
    async with stopped_meanwhile(app, live, connect(app, "/", max_waiting=1), "x" * 1000):
        await until(lambda: live.statistics().connections == 0)
    assert asyncio.all_tasks() == before


async def test_messages_sent_after_a_bad_one_are_not_handled() -> None:
    """Messages that a client sends after the server has begun to close are read and dropped."""
    handled: list[str] = []

    async def note(text: Text) -> AsyncIterator[str]:
        handled.append(text)
        yield text

    app, _ = serving(note, max_message_bytes=3)
    async with connect(app, "/") as client:
        for text in ("a", "too big", "b"):
            await client.send_text(text)
        await until(lambda: client.waiting >= 2)
    assert "b" not in handled


# What is seen of it


async def test_log_tells_the_lane(caplog: pytest.LogCaptureFixture) -> None:
    """A debug line names the stream, the client and its lane."""
    caplog.set_level(logging.DEBUG, "wirespeed")
    app, _ = serving(echo)
    async with connect(app, "/"):
        pass
    [line] = [record.getMessage() for record in caplog.records if record.name == "wirespeed"]
    assert line.startswith("stream '/' (echo): ")
    assert "testclient" in line
    assert line.endswith("is on the asgi lane")
