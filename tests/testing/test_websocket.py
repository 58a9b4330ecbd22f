"""The WebSocket client of the test kit, for any ASGI app."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.lanes.turns import turns, until
from wirespeed.errors import WirespeedError
from wirespeed.testing import App, Closed, HandshakeRefused, WebSocketClient, connect

pytestmark = pytest.mark.anyio

SOON = 0.01
"""Seconds until the kit's timeouts, in tests of these."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def accepting(serve: Callable[[Receive, Send], Awaitable[None]]) -> App:
    """An app that accepts its client, and then does what the test asks."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await serve(receive, send)

    return app


def sending(*messages: str | bytes | tuple[int, str]) -> App:
    """An app that sends messages, or closes, and waits for its client to leave."""

    async def serve(receive: Receive, send: Send) -> None:
        for message in messages:
            if isinstance(message, tuple):
                await send({"type": "websocket.close", "code": message[0], "reason": message[1]})
            else:
                await send({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return accepting(serve)


@accepting
async def echo(receive: Receive, send: Send) -> None:
    """Send each message back."""
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def refusing(*events: dict[str, Any]) -> App:
    """An app that does not accept."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)

    return app


# Connecting


async def test_handshake_is_as_a_server_makes_it() -> None:
    """The app sees path, query and headers in ASGI's form."""
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await sending()(scope, receive, send)

    async with connect(app, "/a é?b=c%20d", headers={"X-Color": "red"}):
        pass
    [scope] = scopes
    assert (scope["type"], scope["path"], scope["raw_path"], scope["query_string"]) == (
        "websocket",
        "/a é",
        b"/a%20%C3%A9",
        b"b=c%20d",
    )
    assert scope["headers"] == [(b"host", b"testserver"), (b"x-color", b"red")]


START = {"type": "websocket.http.response.start", "status": 422, "headers": []}


@pytest.mark.parametrize(
    ("events", "status", "body"),
    [
        ([{"type": "websocket.close", "code": 1008, "reason": "Not you."}], 403, b"Not you."),
        ([{"type": "websocket.close"}], 403, b""),
        ([START, {"type": "websocket.http.response.body", "body": b"{}"}], 422, b"{}"),
        (
            [
                START,
                {"type": "websocket.http.response.body", "body": b"[1,", "more_body": True},
                {"type": "websocket.http.response.body", "body": b"2]"},
            ],
            422,
            b"[1,2]",
        ),
    ],
)
async def test_refusal_has_its_status_and_body(events: Sequence[dict[str, Any]], status: int, body: bytes) -> None:
    """An app that closes before it accepts refuses with 403; one that answers, with its answer."""
    with pytest.raises(HandshakeRefused) as refused:
        async with connect(refusing(*events), "/"):
            pass
    assert (refused.value.status, refused.value.body) == (status, body)
    assert str(refused.value) == f"refused with {status}: {body.decode()}"
    if status == 422:
        assert refused.value.json() == json.loads(body)


async def idle(scope: Any, receive: Receive, send: Send) -> None:
    """Do nothing until the client leaves."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def test_app_that_does_not_answer_is_given_up() -> None:
    """If the app does not accept, connecting ends with a TimeoutError, and the app has ended."""
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError, match=r"sent nothing within 0\.01 s"):
        async with connect(idle, "/", timeout=SOON):
            pass
    assert asyncio.all_tasks() == before


async def failing(*anything: object) -> None:
    """Raise an error."""
    raise ZeroDivisionError


@pytest.mark.parametrize("app", [failing, accepting(failing)], ids=["before accept", "after accept"])
async def test_failure_of_the_app_is_the_tests(app: App) -> None:
    """An exception of the app is raised where the test waits for the app."""
    with pytest.raises(ZeroDivisionError):
        async with connect(app, "/") as client:
            await client.receive()


# Messages


async def test_messages_keep_their_kind() -> None:
    """Text stays text, bytes stay bytes, and JSON is text."""
    async with connect(echo, "/") as client:
        await client.send_text("é")
        assert await client.receive() == "é"
        await client.send_bytes(b"\xff")
        assert await client.receive() == b"\xff"
        await client.send_json({"a": [1]})
        assert await client.receive() == '{"a": [1]}'
        await client.send_json(1)
        assert await client.receive_json() == 1
        await client.send_text("")
        assert await client.receive_text() == ""
        await client.send_bytes(b"")
        assert await client.receive_bytes() == b""


@pytest.mark.parametrize(
    ("sent", "receive", "problem"),
    [
        ("a", WebSocketClient.receive_bytes, "expected a binary message, got 'a'"),
        (b"a", WebSocketClient.receive_text, "expected a text message, got b'a'"),
        (b"1", WebSocketClient.receive_json, "expected a text message, got b'1'"),
    ],
)
async def test_wrong_kind_is_an_error(
    sent: str | bytes, receive: Callable[[WebSocketClient], Any], problem: str
) -> None:
    """A test that expects one kind of message does not accept the other."""
    async with connect(sending(sent), "/") as client:
        with pytest.raises(TypeError, match=problem):
            await receive(client)


async def test_receiving_does_not_wait_for_ever() -> None:
    """Without a message in time, TimeoutError is raised. A later message is there for the next receive."""
    async with connect(echo, "/", timeout=SOON) as client:
        with pytest.raises(TimeoutError, match=r"sent nothing within 0\.01 s"):
            await client.receive()
        await client.send_text("a")
        assert await client.receive() == "a"


@pytest.mark.parametrize("later", range(10))
async def test_receiving_that_is_cancelled_loses_nothing(later: int) -> None:
    """A message is there for the next receive, in whatever turn of the loop the one before it was cancelled."""
    async with connect(echo, "/") as client:
        await client.send_text("a")
        first = asyncio.ensure_future(client.receive())
        await turns(later)
        first.cancel()
        await asyncio.wait([first])
        assert (await client.receive() if first.cancelled() else first.result()) == "a"


async def test_each_message_is_received_once() -> None:
    """Several receives that wait get one message each."""
    async with connect(echo, "/") as client:
        receiving = [asyncio.ensure_future(client.receive()) for _ in range(3)]
        await turns(3)
        for text in "abc":
            await client.send_text(text)
        assert sorted([await each for each in receiving]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("code", "reason", "text"), [(1000, "", "closed with 1000"), (4000, "Enough.", "closed with 4000 Enough.")]
)
async def test_close_is_told_in_its_turn(code: int, reason: str, text: str) -> None:
    """Earlier messages arrive first; then there is the code and the reason."""
    async with connect(sending("a", (code, reason)), "/") as client:
        assert await client.receive() == "a"
        with pytest.raises(Closed) as closed:
            await client.receive()
    assert (closed.value.code, closed.value.reason, str(closed.value)) == (code, reason, text)
    assert isinstance(closed.value, WirespeedError)


async def test_end_without_a_close_is_told() -> None:
    """An app that just ends gives its client a 1006, as a server would, after the messages it sent."""

    @accepting
    async def app(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "text": "a"})

    async with connect(app, "/") as client:
        assert await client.receive() == "a"
        for _ in range(2):
            with pytest.raises(Closed, match="closed with 1006 the app ended without closing the connection"):
                await client.receive()


async def test_iteration_ends_with_the_connection() -> None:
    """The iteration yields all messages up to the close, whatever its code."""
    async with connect(sending("a", b"b", (4000, "")), "/") as client:
        assert [message async for message in client] == ["a", b"b"]


async def test_iteration_does_not_wait_for_ever() -> None:
    """A connection that stays open without a message does not end the iteration."""
    async with connect(sending("a"), "/", timeout=SOON) as client:
        messages = aiter(client)
        assert await anext(messages) == "a"
        with pytest.raises(TimeoutError):
            await anext(messages)


# Bounds


@pytest.mark.parametrize("max_waiting", [1, 5, 64])
async def test_max_waiting_holds_the_app_back(max_waiting: int) -> None:
    """The app is ahead of its client by the agreed number of messages, and continues as they are received."""
    sent = 0

    @accepting
    async def app(receive: Receive, send: Send) -> None:
        nonlocal sent
        for number in range(100):
            await send({"type": "websocket.send", "text": str(number)})
            sent += 1

    async with connect(app, "/", max_waiting=max_waiting) as client:
        await until(lambda: client.waiting == max_waiting)
        await turns(20)
        assert sent == client.waiting == max_waiting
        assert await client.receive() == "0"
        await turns(20)
        assert sent == max_waiting + 1
        assert [await client.receive() for _ in range(99)] == [str(number) for number in range(1, 100)]


# Leaving


async def test_leaving_tells_the_app_and_waits_for_it() -> None:
    """The app receives the client's close code, and has ended when the block has."""
    heard: list[Any] = []

    @accepting
    async def app(receive: Receive, send: Send) -> None:
        heard.append(await receive())
        await turns(10)
        heard.append("ended")

    async with connect(app, "/") as client:
        await client.disconnect(4001)
    assert heard == [{"type": "websocket.disconnect", "code": 4001, "reason": ""}, "ended"]


@pytest.mark.parametrize("senders", [1, 3])
async def test_leaving_lets_a_held_app_go(senders: int) -> None:
    """Any number of tasks that wait for room get it. Sending to a client that has left raises OSError."""
    errors: list[Exception] = []

    async def send_for_ever(send: Send) -> None:
        try:
            while True:
                await send({"type": "websocket.send", "text": "a"})
        except OSError as error:
            errors.append(error)

    @accepting
    async def app(receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(senders):
                group.create_task(send_for_ever(send))

    async with connect(app, "/", max_waiting=1, timeout=0.1):
        await turns(10)
    assert len(errors) == senders


async def test_app_that_does_not_end_is_complained_about() -> None:
    """An app that does not end is cancelled, and the test fails. No task remains."""
    before = asyncio.all_tasks()
    cancelled = False

    @accepting
    async def app(receive: Receive, send: Send) -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        finally:
            cancelled = True

    with pytest.raises(TimeoutError, match=r"did not end within 0\.01 s after the client left"):
        async with connect(app, "/", timeout=SOON):
            pass
    assert cancelled
    assert asyncio.all_tasks() == before


async def test_close_outlasts_the_messages_that_are_taken() -> None:
    """A close that has arrived behind the messages is still received when these were taken without waiting."""
    async with connect(sending("one", "two", (4000, "done")), "/") as client:
        await until(lambda: client.waiting == 3)
        assert client.take_waiting() == ["one", "two"]
        with pytest.raises(Closed, match="4000 done"):
            await client.receive()


async def test_failure_while_leaving_is_the_tests() -> None:
    """An app that fails when its client leaves fails the test."""

    @accepting
    async def app(receive: Receive, send: Send) -> None:
        await receive()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with connect(app, "/"):
            pass
