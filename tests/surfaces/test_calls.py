"""Calls by POST: their answers, their failures, and their description in OpenAPI."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, WebSocketException
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, Field
from starlette.websockets import WebSocket

from tests.exchanges import Exchange
from tests.lanes.turns import until
from tests.waiting import PATIENCE
from wirespeed import Live, Message, Settings

Text = Annotated[str, Message()]


class Add(BaseModel):
    a: int
    b: int


class Sum(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    total: int = Field(alias="theTotal")


class Secret(Sum):
    password: str


def serving(function: Callable[..., Any], **settings: Any) -> tuple[FastAPI, Live]:
    """Return an app with one call, ``/``."""
    app = FastAPI()
    live = Live(app, settings=Settings(**settings))
    live.call("/")(function)
    return app, live


def post(function: Callable[..., Any], **options: Any) -> Any:
    """Return the answer to a POST to a call."""
    return TestClient(serving(function)[0], raise_server_exceptions=False).post("/", **options)


async def add(numbers: Add) -> Sum:
    """Take a model, and return a model."""
    return Sum(theTotal=numbers.a + numbers.b)


async def shout(text: Text) -> str:
    """Take text, and return text."""
    return text.upper()


async def now() -> int:
    """Return a value without a message."""
    return 1


async def raw(text: Text) -> bytes:
    """Return bytes."""
    return text.encode("utf-16-le")


# Values


def test_value() -> None:
    """The body is the message, validated; the answer is the value as FastAPI would write it: JSON, by alias."""
    response = post(add, json={"a": 1, "b": 2})
    assert (response.status_code, response.content) == (200, b'{"theTotal":3}')
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "options",
    [{"json": "é\n"}, {"content": "é\n", "headers": {"content-type": "text/plain"}}, {"content": "é\n"}],
)
def test_text(options: Any) -> None:
    """Text comes as JSON or as it is; the answer is a JSON string."""
    response = post(shout, **options)
    assert (response.content, response.headers["content-type"]) == ('"É\\n"'.encode(), "application/json")


def test_bytes() -> None:
    """Bytes are the answer as they are."""
    response = post(raw, content="a")
    assert (response.content, response.headers["content-type"]) == (b"a\x00", "application/octet-stream")


def test_value_is_no_more_than_was_announced() -> None:
    """Fields that only a subclass of the announced model has are not sent, as with FastAPI."""

    async def look() -> Sum:
        return Secret(theTotal=1, password="secret")

    assert post(look).content == b'{"theTotal":1}'


def test_nothing_is_null() -> None:
    """A value that may be None is null."""

    def find() -> int | None:
        return None

    assert post(find).content == b"null"


def test_parameters_are_fastapis() -> None:
    """Query and dependencies are resolved for each request."""

    def user(token: str) -> str:
        return token.upper()

    async def whoami(text: Text, times: int, user: Annotated[str, Depends(user)]) -> list[str]:
        return [text, user] * times

    app, _ = serving(whoami)
    assert TestClient(app).post("/?token=ann&times=2", content="hi").json() == ["hi", "ANN"] * 2


def test_plain_function_runs_in_a_thread() -> None:
    """A call that blocks does not block the loop."""

    async def loops() -> threading.Thread:
        return threading.current_thread()

    def threads(loop: Annotated[Any, Depends(loops)]) -> bool:
        return threading.current_thread() is loop

    assert post(threads).json() is False


@pytest.mark.anyio
async def test_threads_are_those_of_runs() -> None:
    """Threads are bounded by ``Settings(max_threads=...)``: the next call waits, and a coroutine does not."""
    gate, entered = threading.Event(), 0

    def wait() -> int:
        nonlocal entered
        entered += 1
        gate.wait(PATIENCE)
        return 1

    app, live = serving(wait, max_threads=1)
    live.call("/async")(now)
    exchanges = [Exchange(app, "/", method="POST") for _ in range(2)]
    tasks = [asyncio.ensure_future(exchange.__aenter__()) for exchange in exchanges]
    try:
        await until(lambda: entered and live.statistics().runs == 2)
        async with Exchange(app, "/async", method="POST") as exchange:
            assert await exchange.body() == b"1"
        assert entered == 1
    finally:
        gate.set()
        await asyncio.wait(tasks)
    for exchange in exchanges:
        assert await exchange.body() == b"1"
        await exchange.__aexit__(None, None, None)
    assert (entered, live.statistics().runs) == (2, 0)


def test_background_tasks_run() -> None:
    """Background tasks of dependencies run once there is an answer."""
    events: list[str] = []

    def later(tasks: BackgroundTasks) -> None:
        tasks.add_task(events.append, "afterwards")

    async def value(it: Annotated[None, Depends(later)]) -> int:
        events.append("called")
        return 1

    assert post(value).json() == 1
    assert events == ["called", "afterwards"]


# What is refused, and what fails


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"json": {"a": 1}}, "missing"),
        ({"json": {"a": 1, "b": "x"}}, "int_parsing"),
        ({"content": "{", "headers": {"content-type": "application/json"}}, "json_invalid"),
        ({}, "missing"),
    ],
)
def test_invalid_message(options: Any, kind: str) -> None:
    """FastAPI answers a message that does not validate, exactly as on its own routes."""
    own = FastAPI()
    own.post("/")(add)
    response = post(add, **options)
    assert (response.status_code, response.json()["detail"][0]["type"]) == (422, kind)
    assert response.json() == TestClient(own).post("/", **options).json()


def test_message_is_bounded() -> None:
    """A message that is too big is refused with 413, and counted."""
    app, live = serving(shout, max_message_bytes=100)
    assert TestClient(app).post("/", content="x" * 101).status_code == 413
    assert TestClient(app).post("/", content="x" * 100).status_code == 200
    assert live.statistics().refused == {"size": 1}


def test_foreign_origin() -> None:
    """A page of another origin cannot call, whether its message validates or not."""
    app, live = serving(shout)
    for content in ("hi", ""):
        response = TestClient(app).post("/", content=content, headers={"origin": "https://evil.example"})
        assert response.status_code == 403
    assert live.statistics().refused == {"origin": 2}


def raising(error: BaseException, *, in_thread: bool) -> Callable[..., Any]:
    """Return a call that raises."""

    def in_a_thread() -> int:
        raise error

    async def in_the_loop() -> int:
        raise error

    return in_a_thread if in_thread else in_the_loop


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (HTTPException(409, "Taken."), 409, {"detail": "Taken."}),
        (HTTPException(400, [{"a": 1}], {"x-why": "because"}), 400, {"detail": [{"a": 1}]}),
        (WebSocketException(4001, "No."), 403, {"detail": "No.", "code": 4001}),
    ],
)
def test_refusal_is_no_failure(error: Exception, status: int, body: Any, in_thread: bool) -> None:
    """An HTTPException is answered with its status, detail and headers, and does not count as a failure."""
    app, live = serving(raising(error, in_thread=in_thread))
    response = TestClient(app).post("/")
    assert (response.status_code, response.json()) == (status, body)
    assert response.headers.get("x-why") == ("because" if status == 400 else None)
    assert live.statistics().failed == 0


@pytest.mark.parametrize("in_thread", [False, True])
def test_failure_reaches_the_server(in_thread: bool) -> None:
    """An exception reaches FastAPI with the call's name, and is counted; dependencies see it, clients do not."""
    seen: list[BaseException] = []

    async def session() -> AsyncIterator[None]:
        try:
            yield
        except RuntimeError as error:
            seen.append(error)
            raise

    app = FastAPI()
    live = Live(app)
    live.call("/", dependencies=[Depends(session)])(raising(RuntimeError("a secret"), in_thread=in_thread))
    with pytest.raises(RuntimeError, match="a secret") as caught:
        TestClient(app).post("/")
    assert caught.value.__notes__ == [f"in call '/' ({'in_a_thread' if in_thread else 'in_the_loop'})"]
    assert (seen, live.statistics().failed, live.statistics().runs) == ([caught.value], 1, 0)
    response = TestClient(app, raise_server_exceptions=False).post("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
def test_call_cannot_end_the_server(error: BaseException, in_thread: bool) -> None:
    """An exception that would end the server or the request's task is a failure of this call, and is logged."""
    app, live = serving(raising(error, in_thread=in_thread))
    with pytest.raises(RuntimeError, match=f"ended with {type(error).__name__}") as caught:
        TestClient(app).post("/")
    assert caught.value.__notes__[0].startswith("in call '/'")
    assert isinstance(caught.value.__cause__, type(error))
    assert live.statistics().failed == 1


def test_value_that_cannot_be_serialised() -> None:
    """A value that cannot be serialised is a failure, and its note names the value."""

    async def value() -> bytes:
        return "text"  # type: ignore[return-value]

    app, live = serving(value)
    with pytest.raises(TypeError) as caught:
        TestClient(app).post("/")
    assert caught.value.__notes__ == ["while encoding the value 'text'", "in call '/' (value)"]
    assert live.statistics().failed == 1


@pytest.mark.anyio
async def test_cancelled_request_is_no_failure() -> None:
    """A server that gives up a request cancels the call, whose ``finally`` runs."""
    ended = False

    async def wait() -> int:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True
        return 1

    app, live = serving(wait)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        """Send nothing."""

    task = asyncio.ensure_future(app(Exchange(app, "/", method="POST").scope, receive, send))
    await until(lambda: live.statistics().runs)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ended, live.statistics().runs, live.statistics().failed) == (True, 0, 0)


# Beside the app's own routes


@pytest.mark.parametrize("own_first", [False, True])
def test_own_post_wins(own_first: bool) -> None:
    """The app's own POST on the same path answers, and OpenAPI shows it alone."""
    app = FastAPI()
    live = Live(app)

    def own() -> str:
        return "mine"

    if own_first:
        app.post("/")(own)
    live.call("/")(shout)
    if not own_first:
        app.post("/")(own)
    client = TestClient(app)
    assert client.post("/", content="hi").json() == "mine"
    assert client.get("/openapi.json").json()["paths"]["/"]["post"]["summary"] == "Own"


def test_without_http() -> None:
    """With ``http=False``, a message of bytes or a ``WebSocket`` parameter, there is no POST."""
    app = FastAPI()
    live = Live(app)

    async def of_bytes(data: Annotated[bytes, Message()]) -> int:
        return len(data)

    async def of_a_websocket(websocket: WebSocket) -> str:
        return websocket.url.path

    live.call("/inside", http=False)(shout)
    live.call("/bytes")(of_bytes)
    live.call("/websocket")(of_a_websocket)
    client = TestClient(app)
    assert [client.post(path).status_code for path in ("/inside", "/bytes", "/websocket")] == [404] * 3
    assert client.get("/openapi.json").json()["paths"] == {}


# OpenAPI


def operation(function: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the description of a call in OpenAPI, and all schemas."""
    document = TestClient(serving(function)[0]).get("/openapi.json").json()
    return document["paths"]["/"]["post"], document.get("components", {}).get("schemas", {})


def test_openapi_of_a_call() -> None:
    """A call is described exactly as FastAPI would describe the function."""
    own = FastAPI()
    own.post("/")(add)
    document = TestClient(own).get("/openapi.json").json()
    post, schemas = operation(add)
    assert post == document["paths"]["/"]["post"]
    assert schemas == document["components"]["schemas"]
    assert post["responses"]["200"]["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Sum"}}}


def test_openapi_of_bytes() -> None:
    """Bytes are described as such, and nothing else."""
    schema = {"type": "string", "format": "binary"}
    assert operation(raw)[0]["responses"]["200"]["content"] == {"application/octet-stream": {"schema": schema}}


@pytest.mark.parametrize(
    "body",
    [
        b'"\\ud83d"',
        b'{"a":"\\ud83d"}',
        b'{"a":1e999}',
        b"[-1e400]",
        b"NaN",
        b"[" * 1000 + b"]" * 1000,
        b'"\xff"',
        b"9" * 5000,
    ],
)
def test_bodies_that_json_cannot_carry(body: bytes) -> None:
    """A lone surrogate, an infinite or endless number, deep nesting, and bytes that are not UTF-8 get 422."""

    def echo(value: Annotated[Any, Message()]) -> Any:
        pytest.fail("the call has run")

    assert post(echo, content=body, headers={"content-type": "application/json"}).status_code == 422


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/octet-stream"}])
@pytest.mark.parametrize("type_", [str, int, Add])
def test_bodies_that_are_not_text(headers: dict[str, str], type_: Any) -> None:
    """A body that is neither JSON nor UTF-8 is answered with 422, and quoted as far as it is text."""

    def echo(value: Annotated[Any, Message()]) -> Any:
        pytest.fail("the call has run")

    echo.__annotations__["value"] = Annotated[type_, Message()]
    response = post(echo, content=b"a\xff", headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"][0]["input"] == "a\ufffd"
