"""Streams by POST: the body, its end, and the run, which ends with its client."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, WebSocketException
from fastapi.testclient import TestClient
from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from typing_extensions import TypeAliasType

from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed import Live, Message, Settings
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]
EVENTS = {"accept": "text/event-stream"}


class Hello(BaseModel):
    message: str


class Tick(BaseModel):
    message: str
    number: int


class Exchange:
    """One POST to an app, in process; it reads only while the test lets it."""

    def __init__(self, app: FastAPI, path: str, headers: dict[str, str] | None = None) -> None:
        self.status = 0
        self.body = b""
        self.complete = False
        self._inbound: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbound.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.reading = asyncio.Event()
        self.reading.set()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "server": ("testserver", 80),
            "client": ("testclient", 50000),
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        }
        self.task = asyncio.ensure_future(app(scope, self._inbound.get, self._send))

    async def _send(self, message: Any) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)

    @property
    def lines(self) -> list[Any]:
        """Return the values received so far, of JSON Lines."""
        return [json.loads(line) for line in self.body.splitlines()]

    def leave(self) -> None:
        """Have the client leave."""
        self._inbound.put_nowait({"type": "http.disconnect"})


@asynccontextmanager
async def posting(app: FastAPI, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Exchange]:
    """Open a POST whose client leaves when the block ends, and wait until its app has ended."""
    exchange = Exchange(app, path, headers)
    try:
        yield exchange
    finally:
        exchange.reading.set()
        exchange.leave()
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([exchange.task])


def serving(function: Callable[..., Any], **settings: Any) -> tuple[FastAPI, Live]:
    """Return an app with one stream, ``/``."""
    app = FastAPI()
    live = Live(app, settings=Settings(**settings))
    live.stream("/")(function)
    return app, live


def post(function: Callable[..., Any], **options: Any) -> Any:
    """Return the answer to a POST to a stream."""
    return TestClient(serving(function)[0], raise_server_exceptions=False).post("/", **options)


async def count(hello: Hello) -> AsyncIterator[Tick]:
    """Yield two values for a message."""
    for number in (1, 2):
        yield Tick(message=hello.message, number=number)


async def shout(text: Text) -> AsyncIterator[str]:
    """Take text, and yield text."""
    for word in text.split(" "):
        yield word.upper()


def numbers() -> Iterator[int]:
    """Yield in a thread, without a message."""
    yield from range(3)


async def raw() -> AsyncIterator[bytes]:
    """Yield bytes."""
    yield b"\x00\n"
    yield b"\xff"


async def nothing() -> AsyncIterator[int]:
    """Yield no value."""
    for number in range(0):
        yield number


# Values


def test_json_lines() -> None:
    """The body is the message, validated; each value is one line of JSON."""
    response = post(count, json={"message": "hi"})
    assert response.text == '{"message":"hi","number":1}\n{"message":"hi","number":2}\n'
    assert response.headers["content-type"] == "application/jsonl"


def test_events() -> None:
    """A client that asks for Server-Sent Events gets one per value, and a last one that marks the completion."""
    response = post(count, json={"message": "hi"}, headers=EVENTS)
    values = [f'data: {{"message":"hi","number":{number}}}\n\n' for number in (1, 2)]
    assert response.text == "".join(values) + "event: complete\ndata:\n\n"
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize(
    "options",
    [
        {"json": "a b\nc é"},
        {"content": "a b\nc é", "headers": {"content-type": "text/plain"}},
        {"content": "a b\nc é"},
    ],
)
def test_text(options: Any) -> None:
    """Text comes as JSON or as it is; each value is a JSON string, whatever is in it."""
    assert [json.loads(line) for line in post(shout, **options).text.splitlines()] == ["A", "B\nC", "É"]


def test_text_events() -> None:
    """In events, text stays as it is."""
    assert (
        post(shout, json="a b\nc", headers=EVENTS).text == "data: A\n\ndata: B\ndata: C\n\nevent: complete\ndata:\n\n"
    )


@pytest.mark.parametrize("headers", [{}, EVENTS])
def test_bytes(headers: dict[str, str]) -> None:
    """Bytes are the body as they are, whatever the client asks for."""
    response = post(raw, headers=headers)
    assert (response.content, response.headers["content-type"]) == (b"\x00\n\xff", "application/octet-stream")


def test_sync_generator() -> None:
    """A generator in a thread yields its values, too."""
    assert post(numbers).text == "0\n1\n2\n"


def test_no_values() -> None:
    """An empty stream is an empty body."""
    response = post(nothing)
    assert (response.status_code, response.content) == (200, b"")


async def test_value_does_not_wait_for_the_next() -> None:
    """Values yielded before the generator awaits arrive while it awaits; compression does not delay them."""
    gate = asyncio.Event()

    async def gated() -> AsyncIterator[int]:
        yield 1
        yield 2
        await gate.wait()
        yield 3

    app, live = serving(gated)
    app.add_middleware(GZipMiddleware)
    async with posting(app, "/", {"accept-encoding": "gzip"}) as exchange:
        await until(lambda: exchange.lines == [1, 2])
        assert (live.statistics().runs, live.statistics().lanes) == (1, {"http": 1})
        gate.set()
        await until(lambda: exchange.complete)
        assert exchange.lines == [1, 2, 3]
        await until(exchange.task.done)
    figures = live.statistics()
    assert (figures.runs, figures.connections, figures.accepted, figures.messages, figures.bytes) == (0, 0, 1, 3, 6)


async def test_slow_client_holds_the_generator_back() -> None:
    """The generator of a client that does not read waits."""
    made = 0

    async def endless() -> AsyncIterator[str]:
        nonlocal made
        while True:
            made += 1
            yield "x" * 1000

    app, _ = serving(endless, max_waiting_bytes=10_000)
    async with posting(app, "/") as exchange:
        exchange.reading.clear()
        await until(lambda: made > 5)
        for _ in range(20):
            await turns(100)
        assert made < 200


async def waiting_once() -> AsyncIterator[int]:
    """Yield a value, and another after a long silence."""
    yield 1
    await gates[-1].wait()
    yield 2


gates: list[asyncio.Event] = []


@pytest.mark.parametrize(("headers", "beats"), [({}, b"\n  "), (EVENTS, b"\n\n:\n\n:\n\n")])
async def test_quiet_response_gets_a_heartbeat(headers: dict[str, str], beats: bytes) -> None:
    """A silence is filled with bytes that clients ignore: each line stays JSON, each event stays an event."""
    gates.append(asyncio.Event())
    app, live = serving(waiting_once, heartbeat_interval=0.005)
    async with posting(app, "/", headers) as exchange:
        await until(lambda: beats in exchange.body)
        gates[-1].set()
        await until(lambda: exchange.complete)
    assert live.statistics().messages == 2
    if headers:
        events = [each for each in exchange.body.split(b"\n\n") if each != b":"]
        assert events == [b"data: 1", b"data: 2", b"event: complete\ndata:", b""]
    else:
        assert exchange.lines == [1, 2]


@pytest.mark.parametrize(("fails", "last"), [(False, b"7\n"), (True, b'{"error":{"code":409,"message":"late"}}\n')])
async def test_heartbeat_begins_a_response_that_has_no_value_yet(fails: bool, last: bytes) -> None:
    """Proxies do not wait for a first value without end; an error after a heartbeat is reported in the body."""
    gate = asyncio.Event()

    async def late() -> AsyncIterator[int]:
        await gate.wait()
        if fails:
            raise HTTPException(409, "late")
        yield 7

    async with posting(serving(late, heartbeat_interval=0.005)[0], "/") as exchange:
        await until(lambda: exchange.body.startswith(b" "))
        gate.set()
        await until(lambda: exchange.complete)
        assert (exchange.status, exchange.body.lstrip(b" ")) == (200, last)


async def test_bytes_get_no_heartbeat() -> None:
    """A body of bytes gets no heartbeat."""

    async def late() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.sleep(0.02)  # twenty beats' time
        yield b"2"

    async with posting(serving(late, heartbeat_interval=0.001)[0], "/") as exchange:
        await until(lambda: exchange.complete)
        assert exchange.body == b"12"


# What is refused


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"json": {}}, "missing"),
        ({"json": {"message": 1}}, "string_type"),
        ({"content": "{", "headers": {"content-type": "application/json"}}, "json_invalid"),
        ({}, "missing"),
    ],
)
def test_invalid_message(options: Any, kind: str) -> None:
    """FastAPI answers a message that does not validate, as on its own routes."""
    response = post(count, **options)
    assert (response.status_code, response.json()["detail"][0]["type"]) == (422, kind)


def annotated(live: Live) -> None:
    """Declare a stream whose message is marked in its annotation."""

    @live.stream("/numbers")
    async def numbers(numbers: Annotated[list[int] | dict[str, int], Message()]) -> AsyncIterator[int]:
        yield len(str(numbers))


def marked(live: Live) -> None:
    """Declare a stream whose message is marked by its default."""
    body: Any = Message()

    @live.stream("/numbers")
    async def numbers(numbers: list[int] | dict[str, int] = body) -> AsyncIterator[int]:
        yield len(str(numbers))


@pytest.mark.parametrize("declare", [annotated, marked])
@pytest.mark.parametrize("value", [["x"] * 10_000, {str(at): "x" * 50 for at in range(1000)}])
def test_invalid_message_is_answered_briefly(value: Any, declare: Callable[[Live], None]) -> None:
    """However many errors a message has, its answer has a bounded size."""
    app = FastAPI()
    declare(Live(app))
    with TestClient(app) as client:
        assert client.post("/numbers", json=[1, 2]).json() == 6
        response = client.post("/numbers", json=value)
    assert response.status_code == 422
    (error,) = response.json()["detail"]
    assert (error["type"], error["loc"]) == ("too_many_errors", ["body"])
    assert re.fullmatch(r"The message has \d+ errors, too many to list.", error["msg"])
    assert len(response.content) < 500


class Circle(BaseModel):
    """One kind of shape."""

    kind: Literal["circle"]
    sizes: list[int] = []


class Square(BaseModel):
    """Another kind of shape."""

    kind: Literal["square"]


by_kind: Any = Message(discriminator="kind")


async def draw_marked(shape: Circle | Square = by_kind) -> str:
    """Take a message that is marked by its default."""
    return shape.kind


async def draw_annotated(shape: Annotated[Circle | Square | None, Field(discriminator="kind")]) -> str:
    """Take a message that is described by its annotation."""
    return shape.kind if shape else "nothing"


async def draw_tagged(
    shape: Annotated[
        Annotated[Circle, Tag("round")] | Annotated[Square, Tag("square")],
        Message(discriminator=Discriminator(lambda value: "round" if "sizes" in value else "square")),
    ],
) -> str:
    """Take a message whose kind a function decides."""
    return shape.kind


class Oval(BaseModel):
    """A third kind of shape, which comes in several shades."""

    kind: Literal["oval"]
    shade: Literal["dark"]


class PaleOval(BaseModel):
    """A shade of it."""

    kind: Literal["oval"]
    shade: Literal["pale"]


Shaded = Annotated[Oval | PaleOval, Field(discriminator="shade")]
Picked = Annotated[
    Annotated[Oval, Tag("dark")] | Annotated[PaleOval, Tag("pale")], Discriminator(lambda value: value["shade"])
]


async def draw_nested(shape: Annotated[Circle | Shaded, Field(discriminator="kind")]) -> str:
    """Take a message whose kinds have kinds."""
    return shape.kind


async def draw_picked(shape: Annotated[Circle | Picked, Field(discriminator="kind")]) -> str:
    """Take a message whose kinds have kinds that a function decides."""
    return shape.kind


async def draw_one(shape: Annotated[Circle, Message(description="round")]) -> str:
    """Take a message of one kind."""
    return shape.kind


Either = TypeAliasType("Either", Circle | Square)


async def draw_named(shape: Annotated[Either, Message(discriminator="kind")]) -> str:
    """Take a message of a named type."""
    return shape.kind


def test_errors_of_a_named_union_are_limited() -> None:
    """A discriminator of a type that has a name does not lift the limit."""
    app = FastAPI()
    Live(app).call("/draw")(draw_named)
    with TestClient(app) as client:
        assert client.post("/draw", json={"kind": "circle", "sizes": [1]}).json() == "circle"
        refused = client.post("/draw", json={"kind": "circle", "sizes": ["x"] * 1000})
    assert [each["type"] for each in refused.json()["detail"]] == ["too_many_errors"]


@pytest.mark.parametrize("draw", [draw_marked, draw_annotated, draw_tagged, draw_nested, draw_picked, draw_one])
def test_message_of_several_kinds(draw: Callable[[Any], Awaitable[str]]) -> None:
    """FastAPI describes a message with a discriminator as in its own routes; its errors are limited nevertheless."""
    app, plain = FastAPI(), FastAPI()
    Live(app).call("/draw")(draw)
    plain.post("/draw")(draw)

    def described(app: FastAPI) -> Any:
        return app.openapi()["paths"]["/draw"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert described(app) == described(plain)
    with TestClient(app) as client:
        assert client.post("/draw", json={"kind": "circle", "sizes": [1]}).json() == "circle"
        refused = client.post("/draw", json={"kind": "circle", "sizes": ["x"] * 1000})
    (error,) = refused.json()["detail"]
    assert (refused.status_code, error["type"]) == (422, "too_many_errors")


def test_errors_of_a_message() -> None:
    """Each of a few errors says where it is, with the input and the reason of the app's own validator."""
    app = FastAPI()
    live = Live(app)

    def check(value: int) -> int:
        if value < 0:
            raise ValueError("no debts")
        return value

    @live.call("/pay")
    async def pay(amounts: list[Annotated[int, AfterValidator(check)]]) -> int:
        return sum(amounts)

    client = TestClient(app)
    assert client.post("/pay", json=[1, 2]).json() == 3
    response = client.post("/pay", json=[1, -2, "x"])
    assert [(each["loc"], each["msg"], each["input"]) for each in response.json()["detail"]] == [
        (["body", 1], "Value error, no debts", -2),
        (["body", 2], "Input should be a valid integer, unable to parse string as an integer", "x"),
    ]


def test_foreign_origin() -> None:
    """A page of another origin cannot run a stream, whether its message validates or not."""
    app, live = serving(shout)
    client = TestClient(app)
    for content in ("hi", ""):
        response = client.post("/", content=content, headers={"origin": "https://evil.example"})
        assert response.status_code == 403
        assert "may not connect here" in response.json()["detail"]
    assert client.post("/", content="hi", headers={"origin": "http://testserver"}).json() == "HI"
    assert live.statistics().refused == {"origin": 2}


def parts() -> Iterator[bytes]:
    """Yield a body of unknown length."""
    yield from [b"x" * 50] * 3


@pytest.mark.parametrize("content", [b"x" * 101, parts])
def test_message_over_the_limit(content: Any) -> None:
    """A message has the same bound as on a WebSocket, with or without a length header."""
    app, live = serving(shout, max_message_bytes=100)
    client = TestClient(app)
    response = client.post("/", content=content if isinstance(content, bytes) else content())
    assert (response.status_code, response.json()) == (413, {"detail": "The message is too big."})
    assert live.statistics().refused == {"size": 1}
    assert client.post("/", content=b"x" * 100).json() == "X" * 100


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (HTTPException(401, "Who?"), 401, {"detail": "Who?"}),
        (WebSocketException(4000, "No."), 403, {"detail": "No.", "code": 4000}),
    ],
)
def test_dependency_refuses(error: Exception, status: int, detail: Any) -> None:
    """An exception of a dependency is the answer; one that was written for WebSockets is understood."""

    def refuse() -> None:
        raise error

    app = FastAPI()
    Live(app).stream("/", dependencies=[Depends(refuse)])(numbers)
    response = TestClient(app).post("/")
    assert (response.status_code, response.json()) == (status, detail)


# Errors of the generator


def failing(error: BaseException, after: int, kind: type = int) -> Callable[..., Any]:
    """Return a stream that fails after some values."""

    async def fail() -> AsyncIterator[Any]:
        for number in range(after):
            yield number if kind is int else b"%d" % number
        raise error

    fail.__annotations__["return"] = AsyncIterator[kind]  # type: ignore[valid-type]
    return fail


@pytest.mark.parametrize("headers", [{}, EVENTS])
@pytest.mark.parametrize(
    ("error", "status"),
    [(HTTPException(418, "Tea."), 418), (WebSocketException(4000, "No."), 403), (RuntimeError("a secret"), 500)],
)
def test_failure_before_the_first_value(error: Exception, status: int, headers: dict[str, str]) -> None:
    """An error before the first value is the HTTP answer, as of any endpoint, without internals."""
    response = post(failing(error, 0), headers=headers)
    assert response.status_code == status
    assert "a secret" not in response.text


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (HTTPException(418, "Tea."), {"code": 418, "message": "Tea."}),
        (HTTPException(403, {"a": 1}), {"code": 403, "message": "Forbidden", "detail": {"a": 1}}),
        (WebSocketException(4000, "No."), {"code": 403, "message": "No."}),
        (RuntimeError("a secret"), {"code": 500, "message": "The stream failed."}),
        (SystemExit(3), {"code": 500, "message": "The stream failed."}),
    ],
)
def test_failure_behind_values(error: BaseException, message: Any) -> None:
    """An error after values is the last line or event, as the error frame of a WebSocket; the body is complete."""
    line = json.dumps({"error": message}, separators=(",", ":"))
    assert post(failing(error, 2)).text == f"0\n1\n{line}\n"
    assert post(failing(error, 1), headers=EVENTS).text == f"data: 0\n\nevent: error\ndata: {line}\n\n"


@pytest.mark.parametrize("error", [RuntimeError("a secret"), HTTPException(418, "Tea.")])
async def test_failure_behind_bytes(error: Exception) -> None:
    """Bytes have no form for an error: the body has all values and stays incomplete, which clients notice."""
    app, _ = serving(failing(error, 2, bytes))
    async with posting(app, "/") as exchange:
        await asyncio.wait([exchange.task])
        assert (exchange.body, exchange.complete) == (b"01", False)
        assert isinstance(exchange.task.exception(), RuntimeError if isinstance(error, RuntimeError) else type(None))


@pytest.mark.parametrize("after", [0, 1])
def test_failure_reaches_the_server(after: int) -> None:
    """An exception reaches FastAPI with the stream's name, and is counted; dependencies see it."""
    seen: list[BaseException] = []

    async def session() -> AsyncIterator[None]:
        try:
            yield
        except RuntimeError as error:
            seen.append(error)
            raise

    app = FastAPI()
    live = Live(app)
    live.stream("/", dependencies=[Depends(session)])(failing(RuntimeError("broken"), after))
    with pytest.raises(RuntimeError, match="broken") as caught:
        TestClient(app).post("/")
    assert "in stream '/'" in caught.value.__notes__[0]
    assert (seen, live.statistics().failed) == ([caught.value], 1)


@pytest.mark.parametrize("after", [0, 1])
def test_refusal_is_no_failure(after: int) -> None:
    """An HTTPException is an answer, and does not count as a failure."""
    app, live = serving(failing(HTTPException(418), after))
    TestClient(app).post("/")
    assert live.statistics().failed == 0


# The end


@pytest.mark.parametrize("headers", [{}, EVENTS])
async def test_leaving_ends_the_run(headers: dict[str, str]) -> None:
    """A client that leaves cancels the generator where it stands; its ``finally`` runs before dependencies close."""
    events: list[str] = []

    async def session() -> AsyncIterator[None]:
        yield
        events.append("closed")

    async def wait() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            events.append("ended")

    app = FastAPI()
    live = Live(app)
    live.stream("/", dependencies=[Depends(session)])(wait)
    async with posting(app, "/", headers) as exchange:
        await until(lambda: exchange.body)
        exchange.leave()
        await until(exchange.task.done)
    assert (events, exchange.complete, exchange.task.exception()) == (["ended", "closed"], False, None)
    assert (live.statistics().runs, live.statistics().connections) == (0, 0)


async def test_server_that_cancels_the_request_ends_the_run() -> None:
    """A server may cancel a request when it stops; the generator's ``finally`` runs to its end all the same."""
    gate = asyncio.Event()

    async def wait() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await gate.wait()

    app, live = serving(wait)
    exchange = Exchange(app, "/")
    await until(lambda: exchange.body)
    exchange.task.cancel()
    await turns(20)
    assert (exchange.task.done(), live.statistics().runs) == (False, 1)
    gate.set()
    await asyncio.wait([exchange.task])
    assert (exchange.task.cancelled(), live.statistics().runs) == (True, 0)
    assert exchange.lines[1]["error"]["code"] == 503


async def test_leaving_before_the_first_value_ends_the_run() -> None:
    """A client that leaves before the first value ends the run, too."""
    ended = asyncio.Event()

    async def wait() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.set()

    app, live = serving(wait)
    async with posting(app, "/") as exchange:
        await until(lambda: live.statistics().runs)
        exchange.leave()
        await until(ended.is_set)
        await until(exchange.task.done)
    assert (exchange.lines, exchange.task.exception()) == ([], None)


async def test_client_that_takes_nothing_is_given_up() -> None:
    """A client that accepts no bytes is given up after the stall timeout, even if the server does not notice."""
    app, live = serving(listen, stall_timeout=0.01)
    exchange = Exchange(app, "/")
    exchange.reading.clear()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait([exchange.task])
    assert (live.statistics().runs, exchange.body) == (0, b"")


async def listen() -> AsyncIterator[str]:
    """Yield once, and continue."""
    yield "listening"
    await asyncio.Event().wait()


async def silent() -> AsyncIterator[str]:
    """Continue without a value."""
    await asyncio.Event().wait()
    yield ""


async def listen_in_bytes() -> AsyncIterator[bytes]:
    """Yield bytes, and continue."""
    yield b"listening"
    await asyncio.Event().wait()


STOPPED = b'{"error":{"code":503,"message":"The server is restarting."}}'


@pytest.mark.parametrize(
    ("function", "headers", "body", "complete"),
    [
        (listen, {}, b'"listening"\n' + STOPPED + b"\n", True),
        (listen, EVENTS, b"data: listening\n\nevent: error\ndata: " + STOPPED + b"\n\n", True),
        (listen_in_bytes, {}, b"listening", False),
    ],
)
async def test_app_stops(function: Any, headers: dict[str, str], body: bytes, complete: bool) -> None:
    """An app that stops cancels its runs, and reports it if the body has a form for that."""
    app, live = serving(function)
    async with lifespan(app):
        exchange = Exchange(app, "/", headers)
        await until(lambda: exchange.body)
    assert exchange.task.done()
    assert (exchange.body, exchange.complete, live.statistics().runs) == (body, complete, 0)


async def test_app_stops_before_the_first_value() -> None:
    """Before the first value, the answer is a 503."""
    app, live = serving(silent)
    async with lifespan(app):
        exchange = Exchange(app, "/")
        await until(lambda: live.statistics().runs)
    assert (exchange.status, exchange.lines) == (503, [{"detail": "The server is restarting."}])


async def test_behind_middleware_that_wraps_receive() -> None:
    """Behind a middleware that wraps both directions, values arrive one by one, and leaving ends the run."""

    async def dispatch(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app, live = serving(listen)
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    async with posting(app, "/") as exchange:
        await until(lambda: exchange.lines == ["listening"])
        exchange.leave()
        await until(exchange.task.done)
    assert live.statistics().runs == 0


def test_background_tasks_run() -> None:
    """Background tasks of dependencies run when the body is complete."""
    events: list[str] = []

    def later(tasks: BackgroundTasks) -> None:
        tasks.add_task(events.append, "afterwards")

    async def values() -> AsyncIterator[int]:
        yield 1
        events.append("ended")

    app = FastAPI()
    Live(app).stream("/", dependencies=[Depends(later)])(values)
    TestClient(app).post("/")
    assert events == ["ended", "afterwards"]


# OpenAPI


def operation(function: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the description of a stream in OpenAPI, and all schemas."""
    document = TestClient(serving(function)[0]).get("/openapi.json").json()
    return document["paths"]["/"]["post"], document.get("components", {}).get("schemas", {})


def test_openapi_of_a_stream() -> None:
    """Message, values, events and errors are described."""
    post, schemas = operation(count)
    assert post["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Hello"}
    content = post["responses"]["200"]["content"]
    assert content["application/jsonl"]["schema"] == {"$ref": "#/components/schemas/Tick"}
    assert set(content) == {"application/jsonl", "text/event-stream"}
    assert "422" in post["responses"]
    assert {"Hello", "Tick"} <= set(schemas)


def test_openapi_of_bytes() -> None:
    """Bytes are described as such, and nothing else."""
    post, _ = operation(raw)
    schema = {"type": "string", "format": "binary"}
    assert post["responses"]["200"]["content"] == {"application/octet-stream": {"schema": schema}}
    assert "requestBody" not in post
