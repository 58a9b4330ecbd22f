"""``live.call``: calls as a FastAPI developer declares them, and as clients see them."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial, wraps
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, WebSocketException
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from tests.lanes.turns import until
from tests.live.source import farewell, refusal, texts
from wirespeed import DeclarationError, Live, LiveRouter, Message, Settings
from wirespeed.testing import Closed, connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]


class Add(BaseModel):
    a: int
    b: int


class Sum(BaseModel):
    total: int


async def add(numbers: Add) -> Sum:
    """Add."""
    return Sum(total=numbers.a + numbers.b)


def error(code: int, message: str) -> dict[str, Any]:
    """Return an error frame without detail."""
    return {"error": {"code": code, "message": message}}


# Values


async def test_each_message_is_answered_with_one_value(app: FastAPI, live: Live) -> None:
    """The function is called once per message, with the message as its argument."""
    live.call("/add")(add)
    async with connect(app, "/add") as client:
        for b in (1, 2, 3):
            await client.send_json({"a": 1, "b": b})
            assert await client.receive_text() == f'{{"total":{1 + b}}}'


async def test_text_in_text_out(app: FastAPI, live: Live) -> None:
    """Text is a text message as it is, in both directions."""

    @live.call("/shout")
    async def shout(text: Text) -> str:
        return text.upper()

    async with connect(app, "/shout") as client:
        await client.send_text("grüße")
        assert await client.receive() == "GRÜSSE"


async def test_bytes_in_bytes_out(app: FastAPI, live: Live) -> None:
    """Bytes are a binary message, in both directions."""

    @live.call("/reverse")
    async def reverse(data: Annotated[bytes, Message()]) -> bytes:
        return data[::-1]

    async with connect(app, "/reverse") as client:
        await client.send_bytes(b"\x00\xff")
        assert await client.receive() == b"\xff\x00"


@pytest.mark.parametrize("in_thread", [False, True])
async def test_call_without_a_message_is_called_once(app: FastAPI, live: Live, in_thread: bool) -> None:
    """It runs once after accept, and the connection closes with 1000."""

    async def now() -> int:
        return 1

    def now_in_a_thread() -> int:
        return 1

    live.call("/now")(now_in_a_thread if in_thread else now)
    async with connect(app, "/now") as client:
        assert await client.receive() == "1"
        assert (await farewell(client)).code == 1000


async def test_plain_function_runs_in_a_worker_thread(app: FastAPI, live: Live) -> None:
    """A blocking function does not block the loop."""

    @live.call("/thread")
    def thread(text: Text) -> bool:
        return threading.current_thread() is threading.main_thread()

    async with connect(app, "/thread") as client:
        for _ in range(2):
            await client.send_text("?")
            assert await client.receive_json() is False


async def test_answers_come_in_the_order_of_messages(app: FastAPI, live: Live) -> None:
    """One call runs at a time; later messages wait, and so do answers to invalid ones."""
    gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    begun: list[str] = []

    @live.call("/wait")
    async def wait(text: Annotated[str, Message(max_length=1)]) -> str:
        begun.append(text)
        await gates[text].wait()
        return text

    async with connect(app, "/wait") as client:
        for text in ("a", "too long", "b"):
            await client.send_text(text)
        await until(lambda: begun)
        gates["b"].set()
        assert (begun, client.waiting) == (["a"], 0)
        gates["a"].set()
        first, second, third = await texts(client, 3)
    assert (first, json.loads(second)["error"]["code"], third, begun) == ("a", 422, "b", ["a", "b"])


async def test_messages_that_wait_are_bounded() -> None:
    """A client that sends more than may wait gets an error frame and is closed."""
    app = FastAPI()
    live = Live(app, settings=Settings(max_inbox_messages=1))

    @live.call("/wait")
    async def wait(text: Text) -> str:
        await asyncio.Event().wait()
        return text

    async with connect(app, "/wait") as client:
        await client.send_text("a")
        await until(lambda: live.statistics().runs)
        for text in ("b", "c"):
            await client.send_text(text)
        assert (await client.receive_json())["error"]["code"] == 429
        assert (await farewell(client)).code == 1008


async def test_leaving_cancels_the_call(app: FastAPI, live: Live) -> None:
    """A disconnect cancels the function where it waits; its ``finally`` runs before dependencies close."""
    events: list[str] = []

    async def session() -> AsyncIterator[None]:
        yield
        events.append("closed")

    @live.call("/wait", dependencies=[Depends(session)])
    async def wait(text: Text) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ended")
        return text

    async with connect(app, "/wait") as client:
        await client.send_text("go")
        await until(lambda: live.statistics().runs)
        assert events == []
    assert events == ["ended", "closed"]
    assert (live.statistics().runs, live.statistics().failed) == (0, 0)


# Declaring


async def test_decorated_function_is_as_it_was(app: FastAPI, live: Live) -> None:
    """The decorator returns the same function, which can be called, and be several calls."""
    decorated = live.call("/add")(live.call("/plus")(add))
    assert decorated is add
    assert await decorated(Add(a=1, b=2)) == Sum(total=3)
    for path in ("/add", "/plus"):
        async with connect(app, path) as client:
            await client.send_json({"a": 1, "b": 2})
            assert await client.receive_json() == {"total": 3}


class Greeter:
    """An object whose methods are calls."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    async def greet(self, text: Text) -> str:
        return f"{self.greeting} {text}"

    def greet_in_thread(self, text: Text) -> str:
        return f"{self.greeting} {text}"

    async def __call__(self, text: Text) -> str:
        return f"{self.greeting} {text}"


async def greet(greeting: str, text: Text) -> str:
    """Greet; a partial binds the first argument."""
    return f"{greeting} {text}"


def exclaim(function: Callable[..., str]) -> Callable[..., Any]:
    """Wrap a plain function as a coroutine function."""

    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> str:
        return f"{function(*args, **kwargs)}!"

    return wrapper


@pytest.mark.parametrize(
    ("function", "value"),
    [
        pytest.param(Greeter("hello").greet, "hello ann", id="method"),
        pytest.param(Greeter("hello").greet_in_thread, "hello ann", id="plain method"),
        pytest.param(Greeter("hello"), "hello ann", id="callable object"),
        pytest.param(partial(greet, "hello"), "hello ann", id="partial"),
        pytest.param(partial(greet, greeting="hello"), "hello ann", id="partial with a named argument"),
        pytest.param(exclaim(Greeter("hello").greet_in_thread), "hello ann!", id="wrapped"),
    ],
)
async def test_every_kind_of_callable_is_called(
    app: FastAPI, live: Live, function: Callable[..., Any], value: str
) -> None:
    """Methods, partials, wrapped functions and callable objects answer, on WebSockets and by POST."""
    live.call("/greet")(function)
    async with connect(app, "/greet") as client:
        await client.send_text("ann")
        assert await client.receive() == value
    assert TestClient(app).post("/greet", content="ann").json() == value


def test_generator_is_refused(live: Live) -> None:
    """The decorator refuses a generator and says what to write instead."""

    async def count() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(DeclarationError, match=r"call '/count' \(count\): .* use live\.stream"):
        live.call("/count")(count)


def test_routes_have_names(app: FastAPI, live: Live) -> None:
    """``url_path_for`` knows a call by its function's name, or by the one given."""
    live.call("/add")(add)
    live.call("/plus/{number}", name="plus")(add)
    assert app.url_path_for("add") == "/add"
    assert app.url_path_for("plus", number=7) == "/plus/7"


async def test_router(app: FastAPI, live: Live) -> None:
    """A ``LiveRouter`` declares calls; its prefix and its dependencies apply on both surfaces."""

    def guard(token: str) -> None: ...

    router = LiveRouter(prefix="/v1", dependencies=[Depends(guard)], tags=["sums"])
    router.call("/add")(add)
    app.include_router(router, prefix="/api")
    async with lifespan(app), connect(app, "/api/v1/add?token=x") as client:
        await client.send_json({"a": 1, "b": 2})
        assert await client.receive_json() == {"total": 3}
        assert (await refusal(app, "/api/v1/add")).status == 422
    http = TestClient(app)
    assert http.post("/api/v1/add?token=x", json={"a": 1, "b": 2}).json() == {"total": 3}
    assert http.post("/api/v1/add", json={"a": 1, "b": 2}).status_code == 422
    assert http.get("/openapi.json").json()["paths"]["/api/v1/add"]["post"]["tags"] == ["sums"]


def test_dependency_of_a_router_is_checked_at_startup(app: FastAPI, live: Live) -> None:
    """An impossible dependency of a router is reported at startup, with the call's name."""

    def takes_body(numbers: Add) -> None: ...

    router = LiveRouter()
    router.call("/add")(add)
    app.include_router(router, dependencies=[Depends(takes_body)])
    text = r"call '/add' \(add\): its dependency takes_body takes a body"
    with pytest.raises(DeclarationError, match=text), TestClient(app):
        pass


# Parameters and dependencies


async def test_parameters_come_from_the_handshake(app: FastAPI, live: Live) -> None:
    """FastAPI resolves all parameters but the message, once per connection and once per POST."""
    calls: list[str] = []

    def user(token: str) -> str:
        calls.append(token)
        return token.upper()

    @live.call("/room/{number}")
    async def visit(
        text: Text, number: int, user_agent: Annotated[str, Header()], user: Annotated[str, Depends(user)]
    ) -> list[Any]:
        return [text, number, user_agent, user]

    async with connect(app, "/room/007?token=ann", headers={"user-agent": "test"}) as client:
        for text in ("a", "b"):
            await client.send_text(text)
            assert await client.receive_json() == [text, 7, "test", "ANN"]
    assert calls == ["ann"]
    http = TestClient(app, headers={"user-agent": "test"})
    for text in ("a", "b"):
        assert http.post("/room/7?token=bob", content=text).json() == [text, 7, "test", "BOB"]
    assert calls == ["ann", "bob", "bob"]


async def test_connection_is_to_be_had(app: FastAPI, live: Live) -> None:
    """A call may take its WebSocket, or the connection class that requests and WebSockets share."""

    @live.call("/own")
    async def own(text: Text, socket: WebSocket) -> str:
        return f"{socket.url.path} {text}"

    @live.call("/common")
    async def common(text: Text, connection: HTTPConnection) -> str:
        return f"{connection.scope['type']} {text}"

    for path, value in (("/own", "/own hi"), ("/common", "websocket hi")):
        async with connect(app, path) as client:
            await client.send_text("hi")
            assert await client.receive() == value
    assert TestClient(app).post("/common", content="hi").json() == "http hi"


async def test_guards_run_before_accept(app: FastAPI, live: Live) -> None:
    """``dependencies=`` guard a call on both surfaces, and so does the check of origins."""

    def guard(token: str) -> None:
        if token != "right":
            raise HTTPException(403, "Not you.")

    live.call("/add", dependencies=[Depends(guard)])(add)
    assert (await refusal(app, "/add?token=wrong")).json() == {"detail": "Not you."}
    assert (await refusal(app, "/add?token=right", origin="https://evil.example")).status == 403
    assert TestClient(app).post("/add?token=wrong", json={"a": 1, "b": 2}).json() == {"detail": "Not you."}
    async with connect(app, "/add?token=right") as client:
        await client.send_json({"a": 1, "b": 2})
        assert await client.receive_json() == {"total": 3}


# What goes wrong


async def test_message_that_does_not_fit(app: FastAPI, live: Live) -> None:
    """It is answered with FastAPI's detail; the connection stays open."""
    live.call("/add")(add)
    async with connect(app, "/add") as client:
        await client.send_json({"a": 1, "b": "x"})
        seen = (await client.receive_json())["error"]
        assert (seen["code"], seen["detail"][0]["loc"]) == (422, ["body", "b"])
        await client.send_json({"a": 1, "b": 2})
        assert await client.receive_json() == {"total": 3}
    assert live.statistics().refused == {"invalid message": 1}


@pytest.mark.parametrize("in_thread", [False, True])
async def test_failing_calls(app: FastAPI, live: Live, in_thread: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An HTTPException is reported; other failures are logged by the call's name and reported without details."""
    failures: dict[str, BaseException] = {
        "http": HTTPException(409, "Taken."),
        "bug": RuntimeError("a secret"),
        "exit": SystemExit(3),
    }

    def in_a_thread(text: Text) -> str:
        if text in failures:
            raise failures[text]
        return text

    async def in_the_loop(text: Text) -> str:
        return in_a_thread(text)

    live.call("/fails")(in_a_thread if in_thread else in_the_loop)
    async with connect(app, "/fails") as client:
        for text in ("http", "bug", "exit", "fine"):
            await client.send_text(text)
        assert await client.receive_json() == error(409, "Taken.")
        assert await client.receive_json() == error(500, "The call failed.")
        assert await client.receive_json() == error(500, "The call failed.")
        assert await client.receive() == "fine"
    name = "in_a_thread" if in_thread else "in_the_loop"
    logged = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.message for each in logged] == [f"call '/fails' ({name}): the run failed."] * 2
    assert [each.exc_info and each.exc_info[1] for each in logged] == [failures["bug"], failures["exit"]]
    assert live.statistics().failed == 2


async def test_log_of_a_call_that_always_fails(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """A client does not fill the log: failures that are alike have one traceback."""

    @live.call("/fails")
    async def fails(text: Text) -> str:
        raise RuntimeError(text)

    async with connect(app, "/fails") as client:
        for _ in range(20):
            await client.send_text("bug")
            assert await client.receive_json() == error(500, "The call failed.")
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1
    assert live.statistics().failed == 20


async def test_value_that_cannot_be_serialised(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """It is a failure of that call alone."""

    @live.call("/bytes")
    async def give(text: Text) -> bytes:
        return text.encode() if text == "fine" else text  # type: ignore[return-value]

    async with connect(app, "/bytes") as client:
        await client.send_text("text")
        assert await client.receive_json() == error(500, "The call failed.")
        await client.send_text("fine")
        assert await client.receive() == b"fine"
    assert "while encoding the value 'text'" in caplog.text


async def test_failure_of_the_only_call_closes(app: FastAPI, live: Live) -> None:
    """Without a message, 1011 follows the error frame, and the server sees the exception, with the call's name."""

    @live.call("/now")
    async def now() -> int:
        raise RuntimeError("a secret")

    client = await connect(app, "/now").__aenter__()
    assert await client.receive_json() == error(500, "The call failed.")
    assert (await farewell(client)).code == 1011
    with pytest.raises(RuntimeError, match="a secret") as raised:
        await client.disconnect()
    assert raised.value.__notes__ == ["in call '/now' (now)"]


async def test_websocket_exception_closes(app: FastAPI, live: Live) -> None:
    """A call may close its connection with its own code and reason."""

    @live.call("/bye")
    async def bye(text: Text) -> str:
        raise WebSocketException(4002, "Enough.")

    async with connect(app, "/bye") as client:
        await client.send_text("hi")
        with pytest.raises(Closed) as closed:
            await client.receive()
    assert (closed.value.code, closed.value.reason) == (4002, "Enough.")


async def test_app_that_stops_ends_its_calls(app: FastAPI, live: Live) -> None:
    """A call in progress is cancelled, and its client is asked to reconnect."""

    @live.call("/wait")
    async def wait(text: Text) -> str:
        await asyncio.Event().wait()
        return text

    async with connect(app, "/wait") as client:
        async with lifespan(app):
            await client.send_text("go")
            await until(lambda: live.statistics().runs)
            closed = asyncio.ensure_future(farewell(client))
        assert (await closed).code == 1012
    assert live.statistics().runs == 0


def test_with_test_client(app: FastAPI, live: Live) -> None:
    """FastAPI's own test client calls on both surfaces."""
    live.call("/add")(add)
    with TestClient(app) as client, client.websocket_connect("/add") as websocket:
        websocket.send_json({"a": 1, "b": 2})
        assert websocket.receive_json() == {"total": 3}
        assert client.post("/add", json={"a": 2, "b": 2}).json() == {"total": 4}
