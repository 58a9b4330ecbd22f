"""Live and LiveRouter: streams as a FastAPI developer declares them, and as clients see them."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial, wraps
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Security,
    WebSocketException,
)
from fastapi.exceptions import WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, OAuth2PasswordBearer, SecurityScopes
from fastapi.testclient import TestClient
from pydantic import BaseModel, field_validator
from starlette.requests import HTTPConnection
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from wirespeed import BindingError, Live, LiveRouter, Message
from wirespeed.testing import Closed, HandshakeRefused, connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]


class Hello(BaseModel):
    message: str


class Tick(BaseModel):
    message: str
    number: int


async def one() -> AsyncIterator[int]:
    """Yield one value, without a message."""
    yield 1


async def answer(app: FastAPI, path: str, message: Any = None, **headers: str) -> Any:
    """Return the first value of a stream as JSON, after a message if one is given."""
    async with connect(app, path, headers=headers) as client:
        if message is not None:
            await client.send_text(message if isinstance(message, str) else json.dumps(message))
        return await client.receive_json()


async def refusal(app: FastAPI, path: str, **headers: str) -> HandshakeRefused:
    """Return the app's refusal of a connection."""
    with pytest.raises(HandshakeRefused) as caught:
        async with connect(app, path, headers=headers):
            pass
    return caught.value


def error(code: int, message: str) -> dict[str, Any]:
    """Return an error frame without detail."""
    return {"error": {"code": code, "message": message}}


# Runs


async def test_each_message_starts_a_run(app: FastAPI, live: Live) -> None:
    """A stream runs once per message, with the message as its argument."""

    @live.stream("/count")
    async def count(hello: Hello) -> AsyncIterator[Tick]:
        for number in (1, 2):
            yield Tick(message=hello.message, number=number)

    async with connect(app, "/count") as client:
        for message in ("a", "b"):
            await client.send_json({"message": message})
            assert await client.receive_text() == f'{{"message":"{message}","number":1}}'
            assert await client.receive_text() == f'{{"message":"{message}","number":2}}'


async def test_stream_without_a_message_runs_once(app: FastAPI, live: Live) -> None:
    """It runs after accept, and the connection closes with 1000 at its end."""
    live.stream("/one")(one)
    async with connect(app, "/one") as client:
        assert await client.receive() == "1"
        with pytest.raises(Closed) as closed:
            await client.receive()
    assert closed.value.code == 1000


async def test_text_in_text_out(app: FastAPI, live: Live) -> None:
    """Text is a text message as it is, in both directions."""

    @live.stream("/shout")
    async def shout(text: Text) -> AsyncIterator[str]:
        for word in text.split():
            yield word.upper()

    async with connect(app, "/shout") as client:
        await client.send_text("grüße 🎉")
        assert [await client.receive() for _ in range(2)] == ["GRÜSSE", "🎉"]


async def test_bytes_in_bytes_out(app: FastAPI, live: Live) -> None:
    """Bytes are a binary message, in both directions."""

    @live.stream("/reverse")
    async def reverse(data: Annotated[bytes, Message()]) -> AsyncIterator[bytes]:
        yield data[::-1]

    async with connect(app, "/reverse") as client:
        await client.send_bytes(b"\x00\xff")
        assert await client.receive() == b"\xff\x00"


async def test_duplex_stream_takes_all_messages(app: FastAPI, live: Live) -> None:
    """One run receives message after message and yields values in between."""

    @live.stream("/sum")
    async def add(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        total = 0
        yield total
        async for number in numbers:
            yield (total := total + number)

    async with connect(app, "/sum") as client:
        assert await client.receive() == "0"
        for number, total in ((1, "1"), (2, "3"), (3, "6")):
            await client.send_json(number)
            assert await client.receive() == total


async def test_sync_duplex_stream_takes_all_messages(app: FastAPI, live: Live) -> None:
    """A sync generator takes messages from an ``Iterator``."""

    @live.stream("/double")
    def double(numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            yield 2 * number

    async with connect(app, "/double") as client:
        for number in (1, 2, 3):
            await client.send_json(number)
            assert await client.receive_json() == 2 * number


async def test_duplex_stream_ends_with_its_generator(app: FastAPI, live: Live) -> None:
    """The connection closes with 1000 when the one run has ended."""

    @live.stream("/first")
    async def first(texts: AsyncIterator[str]) -> AsyncIterator[str]:
        yield await anext(texts)

    async with connect(app, "/first") as client:
        await client.send_text("a")
        assert await client.receive() == "a"
        with pytest.raises(Closed) as closed:
            await client.receive()
    assert closed.value.code == 1000


async def test_sync_generator_runs_in_a_worker_thread(app: FastAPI, live: Live) -> None:
    """A blocking generator does not block the loop."""

    @live.stream("/thread")
    def thread(text: Text) -> Iterator[bool]:
        yield threading.current_thread() is threading.main_thread()

    assert await answer(app, "/thread", "?") is False


async def test_leaving_ends_the_run(app: FastAPI, live: Live) -> None:
    """A disconnect cancels the generator where it waits, and its ``finally`` runs."""
    ended = asyncio.Event()

    @live.stream("/wait")
    async def wait(text: Text) -> AsyncIterator[str]:
        try:
            yield "waiting"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with connect(app, "/wait") as client:
        await client.send_text("go")
        assert await client.receive() == "waiting"
        assert not ended.is_set()
    assert ended.is_set()


@pytest.fixture
def gated(live: Live) -> Callable[[Any], asyncio.Event]:
    """Declare ``/gated``, whose runs wait for the returned event."""

    def declare(overlap: Any) -> asyncio.Event:
        gate = asyncio.Event()

        @live.stream("/gated", overlap=overlap)
        async def stream(text: Text) -> AsyncIterator[str]:
            yield f"{text} began"
            await gate.wait()
            yield f"{text} ended"

        return gate

    return declare


async def test_queued_message_waits(app: FastAPI, gated: Callable[[Any], asyncio.Event]) -> None:
    """With ``overlap="queue"`` a message during a run waits for its end."""
    gate = gated("queue")
    async with connect(app, "/gated") as client:
        await client.send_text("a")
        assert await client.receive() == "a began"
        await client.send_text("b")
        gate.set()
        assert [await client.receive() for _ in range(3)] == ["a ended", "b began", "b ended"]


async def test_replacing_message_takes_over(app: FastAPI, gated: Callable[[Any], asyncio.Event]) -> None:
    """With ``overlap="replace"`` a message ends the run before it."""
    gate = gated("replace")
    async with connect(app, "/gated") as client:
        await client.send_text("a")
        assert await client.receive() == "a began"
        await client.send_text("b")
        assert await client.receive() == "b began"
        gate.set()
        assert await client.receive() == "b ended"


async def test_invalid_message_does_not_replace(app: FastAPI, gated: Callable[[Any], asyncio.Event]) -> None:
    """A refused message does not affect the current run."""
    gate = gated("replace")
    async with connect(app, "/gated") as client:
        await client.send_text("a")
        assert await client.receive() == "a began"
        await client.send_bytes(b"b")
        assert (await client.receive_json())["error"]["code"] == 422
        gate.set()
        assert await client.receive() == "a ended"


# What can be decorated


def test_decorated_function_is_as_it_was(live: Live) -> None:
    """The decorator returns the same function, which can still be used."""
    assert live.stream("/one")(one) is one
    assert LiveRouter().stream("/one")(one) is one


async def test_one_function_can_be_many_streams(app: FastAPI, live: Live) -> None:
    """Decorators can be stacked."""

    @live.stream("/a")
    @live.stream("/b")
    async def stream() -> AsyncIterator[int]:
        yield 1

    assert [await answer(app, path) for path in ("/a", "/b")] == [1, 1]


class Counter:
    """An object whose methods are streams."""

    def __init__(self, start: int) -> None:
        self.start = start

    async def count(self, text: Text) -> AsyncIterator[str]:
        yield f"{text} {self.start}"

    async def __call__(self, text: Text) -> AsyncIterator[str]:
        yield f"{text} {self.start}"


async def greet(greeting: str, text: Text) -> AsyncIterator[str]:
    """Greet; a partial binds the first argument."""
    yield f"{text} {greeting}"


def exclaim(function: Callable[..., AsyncIterator[str]]) -> Callable[..., AsyncIterator[str]]:
    """Wrap a generator function."""

    @wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncIterator[str]:
        async for value in function(*args, **kwargs):
            yield f"{value}!"

    return wrapper


def delegate(text: Text) -> AsyncIterator[str]:
    """Return an async iterator from a plain function."""
    return Counter(3).count(text)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        pytest.param(Counter(1).count, "hi 1", id="method"),
        pytest.param(Counter(2), "hi 2", id="callable object"),
        pytest.param(partial(greet, "there"), "hi there", id="partial"),
        pytest.param(partial(greet, greeting="you"), "hi you", id="partial by name"),
        pytest.param(exclaim(Counter(1).count), "hi 1!", id="wrapped method"),
        pytest.param(exclaim(delegate), "hi 3!", id="wrapped function"),
        pytest.param(delegate, "hi 3", id="function that returns an iterator"),
    ],
)
async def test_every_kind_of_callable_streams(
    app: FastAPI, live: Live, function: Callable[..., AsyncIterator[str]], value: str
) -> None:
    """Methods, partials, wrapped functions and callable objects are called with their parameters."""
    live.stream("/stream")(function)
    # A client cannot set what a partial has bound.
    async with connect(app, "/stream?greeting=mischief") as client:
        await client.send_text("hi")
        assert await client.receive() == value


# Parameters and dependencies


async def test_parameters_come_from_the_handshake(app: FastAPI, live: Live) -> None:
    """Path, query, headers and cookies are validated and converted as on any FastAPI route."""

    @live.stream("/room/{number}")
    async def visit(
        hello: Hello,
        number: int,
        size: Annotated[int, Query(gt=0)],
        user_agent: Annotated[str, Header()],
        session: Annotated[str, Cookie()],
        color: str = "red",
    ) -> AsyncIterator[list[Any]]:
        yield [number, size, user_agent, session, color, hello.message]

    headers = {"user-agent": "test", "cookie": "session=abc"}
    got = await answer(app, "/room/007?size=2", {"message": "hi"}, **headers)
    assert got == [7, 2, "test", "abc", "red", "hi"]


async def test_dependencies_are_resolved_once(app: FastAPI, live: Live) -> None:
    """Dependencies and their dependencies are resolved when the client connects, for all of its runs."""
    calls: list[str] = []

    def inner(token: str) -> str:
        calls.append("inner")
        return token

    async def outer(token: Annotated[str, Depends(inner)]) -> str:
        calls.append("outer")
        return token.upper()

    @live.stream("/whoami")
    async def whoami(text: Text, user: Annotated[str, Depends(outer)]) -> AsyncIterator[str]:
        yield user

    async with connect(app, "/whoami?token=ann") as client:
        for _ in range(2):
            await client.send_text("?")
            assert await client.receive() == "ANN"
    assert calls == ["inner", "outer"]


@pytest.mark.parametrize("path", ["/runs-once", "/per-message"])
async def test_yield_dependency_is_open_as_long_as_the_connection(app: FastAPI, live: Live, path: str) -> None:
    """It is open while a run's ``finally`` runs, and closed after it."""
    events: list[str] = []

    async def session() -> AsyncIterator[str]:
        events.append("open")
        yield "session"
        events.append("closed")

    async def stream(it: str) -> AsyncIterator[str]:
        try:
            yield it
            await asyncio.Event().wait()
        finally:
            events.append("run ended")

    @live.stream("/runs-once")
    def runs_once(it: Annotated[str, Depends(session)]) -> AsyncIterator[str]:
        return stream(it)

    @live.stream("/per-message")
    def per_message(text: Text, it: Annotated[str, Depends(session)]) -> AsyncIterator[str]:
        return stream(it)

    async with connect(app, path) as client:
        if path == "/per-message":
            await client.send_text("go")
        assert await client.receive() == "session"
        assert events == ["open"]
    assert events == ["open", "run ended", "closed"]


async def test_guards_run_before_accept(app: FastAPI, live: Live) -> None:
    """``dependencies=`` guard a stream beside its own parameters."""

    def guard(token: str) -> None:
        if token != "right":
            raise HTTPException(403, "Not you.")

    live.stream("/guarded", dependencies=[Depends(guard)])(one)
    assert await answer(app, "/guarded?token=right") == 1
    assert (await refusal(app, "/guarded?token=wrong")).json() == {"detail": "Not you."}


async def test_security_works(app: FastAPI, live: Live) -> None:
    """FastAPI's security classes and scopes work as on HTTP."""
    oauth2 = OAuth2PasswordBearer(tokenUrl="token")

    def user(scopes: SecurityScopes, token: Annotated[str, Depends(oauth2)]) -> str:
        return f"{token} {scopes.scope_str}"

    @live.stream("/me")
    async def me(user: Annotated[str, Security(user, scopes=["read", "write"])]) -> AsyncIterator[list[str]]:
        yield [user]

    assert await answer(app, "/me", authorization="Bearer ann") == ["ann read write"]
    refused = await refusal(app, "/me")
    assert (refused.status, refused.json()) == (401, {"detail": "Not authenticated"})


async def test_api_keys_work(app: FastAPI, live: Live) -> None:
    """An API key in a header is taken from the handshake."""

    @live.stream("/key")
    async def key(key: Annotated[str, Security(APIKeyHeader(name="x-key"))]) -> AsyncIterator[list[str]]:
        yield [key]

    assert await answer(app, "/key", **{"x-key": "secret"}) == ["secret"]
    assert (await refusal(app, "/key")).status in (401, 403)


async def test_own_websocket_parameter_is_filled(app: FastAPI, live: Live) -> None:
    """A stream may take its connection, under any parameter name, or as an HTTPConnection."""

    def host(connection: HTTPConnection) -> str:
        return connection.headers["host"]

    @live.stream("/own")
    async def own(
        text: Text, socket: WebSocket, connection: HTTPConnection, host: Annotated[str, Depends(host)]
    ) -> AsyncIterator[list[str]]:
        yield [socket.url.path, connection.url.path, host, text]

    assert await answer(app, "/own", "hi") == ["/own", "/own", "testserver", "hi"]


class Socket(WebSocket):
    """An app's own subclass of WebSocket."""


async def test_own_kind_of_websocket_is_filled(app: FastAPI, live: Live) -> None:
    """A parameter may be annotated with a subclass of WebSocket, as FastAPI allows."""

    @live.stream("/own")
    async def own(socket: Socket) -> AsyncIterator[list[str]]:
        yield [socket.url.path]

    assert await answer(app, "/own") == ["/own"]


async def test_arguments_are_fresh_for_each_run(app: FastAPI, live: Live) -> None:
    """A run that rebinds its arguments does not affect the next."""

    @live.stream("/fresh")
    async def fresh(text: Text, number: int = 1) -> AsyncIterator[int]:
        number += 1
        yield number

    async with connect(app, "/fresh") as client:
        for _ in range(2):
            await client.send_text("go")
            assert await client.receive() == "2"


async def test_dependency_overrides_work(app: FastAPI, live: Live) -> None:
    """``app.dependency_overrides`` apply to parameters and guards of streams."""

    def user() -> str:
        raise HTTPException(401)

    @live.stream("/me", dependencies=[Depends(user)])
    async def me(user: Annotated[str, Depends(user)]) -> AsyncIterator[list[str]]:
        yield [user]

    app.dependency_overrides[user] = lambda: "tester"
    assert await answer(app, "/me") == ["tester"]


async def test_dependencies_of_the_app_run() -> None:
    """``FastAPI(dependencies=...)`` guards streams as well."""

    def guard(token: str) -> None: ...

    app = FastAPI(dependencies=[Depends(guard)])
    Live(app).stream("/one")(one)
    assert await answer(app, "/one?token=x") == 1
    assert (await refusal(app, "/one")).json()["detail"][0]["loc"] == ["query", "token"]


# Routers and apps


def numbers() -> LiveRouter:
    """Return a router with one stream, ``/one``."""
    router = LiveRouter()
    router.stream("/one")(one)
    return router


async def test_included_router_serves(app: FastAPI, live: Live) -> None:
    """``include_router`` puts its prefix before the paths."""
    app.include_router(numbers(), prefix="/v1", tags=["numbers"])
    async with lifespan(app):
        assert await answer(app, "/v1/one") == 1


async def test_router_has_the_arguments_of_an_api_router(app: FastAPI, live: Live) -> None:
    """A router's own prefix and dependencies apply."""

    def guard(token: str) -> None: ...

    router = LiveRouter(prefix="/v1", dependencies=[Depends(guard)])
    router.stream("/one")(one)
    app.include_router(router)
    assert await answer(app, "/v1/one?token=x") == 1
    assert (await refusal(app, "/v1/one")).status == 422


async def test_nested_routers_add_up(app: FastAPI, live: Live) -> None:
    """Prefixes are joined, and dependencies run from the outermost to the innermost."""
    calls: list[str] = []
    guards = {name: Depends(partial(calls.append, name)) for name in ("app", "outer", "router", "stream")}
    router, outer = LiveRouter(), APIRouter(prefix="/outer")
    router.stream("/one", dependencies=[guards["stream"]])(one)
    outer.include_router(router, prefix="/router", dependencies=[guards["router"]])
    app.include_router(outer, prefix="/app", dependencies=[guards["outer"]])
    async with lifespan(app):
        assert await answer(app, "/app/outer/router/one") == 1
    assert calls == ["outer", "router", "stream"]


async def test_live_router_in_a_live_router(app: FastAPI, live: Live) -> None:
    """Routers nest in each other."""
    outer = LiveRouter(prefix="/outer")
    outer.include_router(numbers(), prefix="/inner")
    app.include_router(outer)
    async with lifespan(app):
        assert await answer(app, "/outer/inner/one") == 1


async def test_router_can_be_included_twice(app: FastAPI, live: Live) -> None:
    """One router serves under many prefixes."""
    router = numbers()
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")
    async with lifespan(app):
        assert [await answer(app, path) for path in ("/v1/one", "/v2/one")] == [1, 1]


async def test_router_grows_after_it_was_included(app: FastAPI, live: Live) -> None:
    """Streams that are declared on a router later are served as well."""
    router = LiveRouter()
    app.include_router(router, prefix="/v1")
    router.stream("/one")(one)
    assert await answer(app, "/v1/one") == 1


async def test_router_serves_http_and_plain_websockets_too(app: FastAPI, live: Live) -> None:
    """A LiveRouter is an APIRouter: its other routes are unchanged."""
    router = numbers()

    @router.get("/http")
    async def http() -> str:
        return "hello"

    @router.websocket("/plain")
    async def plain(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json("hello")

    app.include_router(router)
    assert TestClient(app).get("/http").json() == "hello"
    assert await answer(app, "/plain") == "hello"
    assert await answer(app, "/one") == 1


async def test_router_may_be_included_before_live_is_there() -> None:
    """The order of ``include_router`` and ``Live(app)`` does not matter."""
    app = FastAPI()
    app.include_router(numbers())
    Live(app)
    async with lifespan(app):
        assert await answer(app, "/one") == 1


async def test_two_apps_share_a_router_and_nothing_else() -> None:
    """A router that two apps include serves both, each with its own limits, origins and figures."""
    router, apps = numbers(), (FastAPI(), FastAPI())
    lives = Live(apps[0], allowed_origins=["null"]), Live(apps[1])
    for app in apps:
        app.include_router(router)
    assert await answer(apps[0], "/one", origin="null") == 1
    assert (await refusal(apps[1], "/one", origin="null")).status == 403
    assert [live.statistics().accepted for live in lives] == [1, 0]
    assert [live.statistics().refused for live in lives] == [{}, {"origin": 1}]


async def test_mounted_app_has_a_live_of_its_own(app: FastAPI, live: Live) -> None:
    """A sub-application serves its own streams, although its lifespan never runs."""
    inner = FastAPI()
    inner_live = Live(inner)
    inner_live.stream("/one")(one)
    live.stream("/one")(one)
    app.mount("/inner", inner)
    async with lifespan(app):
        assert await answer(app, "/inner/one") == 1
    assert (live.statistics().accepted, inner_live.statistics().accepted) == (0, 1)


async def test_mounted_app_without_live_is_an_error(app: FastAPI, live: Live) -> None:
    """A sub-application has no lifespan to report it, so its first connection does."""
    inner = FastAPI()
    inner.include_router(numbers())
    app.mount("/inner", inner)
    with pytest.raises(BindingError, match=r"live = Live\(app\)"):
        await answer(app, "/inner/one")


def test_second_live_is_refused(app: FastAPI, live: Live) -> None:
    """An app has one ``Live``, and the text says what to use instead."""
    with pytest.raises(BindingError, match="has a Live already; use that one, and LiveRouter in other modules"):
        Live(app)


def test_live_takes_an_app() -> None:
    """On a router, the text says what to use instead."""
    with pytest.raises(BindingError, match="for a router, use LiveRouter"):
        Live(APIRouter())  # type: ignore[arg-type]


@pytest.mark.parametrize("nested", [False, True])
def test_router_without_live_fails_at_startup(nested: bool) -> None:
    """An app that includes a LiveRouter and has no ``Live`` does not start, and the text says what to write."""
    app, router = FastAPI(), APIRouter()
    (router if nested else app).include_router(numbers())
    app.include_router(router)
    with pytest.raises(BindingError, match=r"LiveRouter .* no Live; write live = Live\(app\)"), TestClient(app):
        pass


async def room(number: int) -> AsyncIterator[int]:
    """Yield the room of the path."""
    yield number


def test_routes_have_names(app: FastAPI, live: Live) -> None:
    """``url_path_for`` knows a stream by its function's name, or by the given one, in routers too."""
    live.stream("/room/{number}")(room)
    live.stream("/hall/{number}", name="the-hall")(room)
    app.include_router(numbers(), prefix="/v1")
    assert app.url_path_for("room", number=7) == "/room/7"
    assert app.url_path_for("the-hall", number=7) == "/hall/7"
    assert app.url_path_for("one") == "/v1/one"


def test_endpoint_is_documented_as_its_function(app: FastAPI, live: Live) -> None:
    """Tools that list routes see the function's name, docstring and module."""
    live.stream("/one")(one)
    for route in app.routes[-2:]:
        endpoint: Any = route.endpoint  # type: ignore[attr-defined]
        assert (endpoint.__name__, endpoint.__doc__, endpoint.__module__) == ("one", one.__doc__, __name__)


def test_openapi_is_as_it_was(app: FastAPI, live: Live) -> None:
    """Streams without HTTP do not appear in the OpenAPI document, and do not break it."""
    live.stream("/one", http=False)(one)
    assert TestClient(app).get("/openapi.json").json()["paths"] == {}


# Lifespan


def with_lifespan(events: list[str]) -> FastAPI:
    """Return an app with its own lifespan and state."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        events.append("started")
        yield {"database": "connected"}
        events.append("stopped")

    return FastAPI(lifespan=own)


async def test_apps_own_lifespan_runs() -> None:
    """The app's lifespan runs once, and the state that it yields is available as usual."""
    events: list[str] = []
    app = with_lifespan(events)
    Live(app)
    app.include_router(numbers())
    async with lifespan(app):
        assert events == ["started"]
    assert events == ["started", "stopped"]


async def test_routers_own_lifespan_runs(app: FastAPI, live: Live) -> None:
    """A LiveRouter takes a lifespan, as an APIRouter does."""
    events: list[str] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        events.append("started")
        yield
        events.append("stopped")

    app.include_router(LiveRouter(lifespan=own))
    async with lifespan(app):
        assert events == ["started"]
    assert events == ["started", "stopped"]


def test_state_of_the_lifespan_reaches_streams() -> None:
    """State from the app's lifespan is in ``websocket.state``; ``app.state`` is available too."""
    app = with_lifespan([])
    app.state.color = "red"

    @Live(app).stream("/state")
    async def state(websocket: WebSocket) -> AsyncIterator[list[str]]:
        yield [websocket.state.database, websocket.app.state.color]

    with TestClient(app) as client, client.websocket_connect("/state") as websocket:
        assert websocket.receive_json() == ["connected", "red"]


async def test_connections_are_closed_before_the_app_stops() -> None:
    """The app's lifespan encloses Wirespeed's: a run can use the app's resources until its end."""
    events: list[str] = []
    app = with_lifespan(events)

    @Live(app).stream("/wait")
    async def wait() -> AsyncIterator[str]:
        try:
            yield "waiting"
            await asyncio.Event().wait()
        finally:
            events.append("run ended")

    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(AsyncExitStack())
        await running.enter_async_context(lifespan(app))
        client = await stack.enter_async_context(connect(app, "/wait"))
        assert await client.receive() == "waiting"
        stopping = asyncio.create_task(running.aclose())
        with pytest.raises(Closed) as closed:
            await client.receive()
        await client.disconnect()
        await stopping
    assert closed.value.code == 1012
    assert events == ["started", "run ended", "stopped"]


def test_test_client_works_with_its_context_manager(app: FastAPI, live: Live) -> None:
    """FastAPI's own TestClient works inside its ``with`` block."""
    live.stream("/one")(one)
    with TestClient(app) as client, client.websocket_connect("/one") as websocket:
        assert websocket.receive_text() == "1"


def test_test_client_works_without_its_context_manager(app: FastAPI, live: Live) -> None:
    """Without it no lifespan runs, and each connection has its own event loop."""
    live.stream("/one")(one)
    client = TestClient(app)
    for _ in range(2):
        with client.websocket_connect("/one") as websocket:
            assert websocket.receive_text() == "1"
            with pytest.raises(WebSocketDisconnect) as closed:
                websocket.receive_text()
        assert closed.value.code == 1000


def test_app_can_be_started_again(app: FastAPI, live: Live) -> None:
    """An app that was stopped and started again serves as before."""
    live.stream("/one")(one)
    for _ in range(2):
        with TestClient(app) as client, client.websocket_connect("/one") as websocket:
            assert websocket.receive_text() == "1"


# Refused before accept


def denial(app: FastAPI, path: str, **headers: str) -> WebSocketDenialResponse:
    """Return the HTTP response that refuses a handshake."""
    with pytest.raises(WebSocketDenialResponse) as refused, TestClient(app).websocket_connect(path, headers=headers):
        pass
    return refused.value


def test_invalid_parameter_is_answered_with_fastapis_422(app: FastAPI, live: Live) -> None:
    """The body is what FastAPI answers on HTTP."""

    @live.stream("/room/{number}")
    async def sized(number: int, size: int) -> AsyncIterator[int]:
        yield number

    @app.get("/http/{number}")
    async def http(number: int, size: int) -> None: ...

    response = denial(app, "/room/x")
    assert response.status_code == 422
    assert response.json() == TestClient(app).get("/http/x").json()


def test_http_exception_keeps_its_status_body_and_headers(app: FastAPI, live: Live) -> None:
    """The client receives the exception that a dependency raises."""

    def guard() -> None:
        raise HTTPException(402, {"price": 5}, headers={"x-why": "money"})

    live.stream("/one", dependencies=[Depends(guard)])(one)
    response = denial(app, "/one")
    assert (response.status_code, response.json()) == (402, {"detail": {"price": 5}})
    assert response.headers["x-why"] == "money"


def test_websocket_exception_tells_its_reason(app: FastAPI, live: Live) -> None:
    """Before accept there is no close frame: code and reason are the body of a 403."""

    def guard() -> None:
        raise WebSocketException(4001, "Members only.")

    live.stream("/one", dependencies=[Depends(guard)])(one)
    response = denial(app, "/one")
    assert (response.status_code, response.json()) == (403, {"detail": "Members only.", "code": 4001})


def test_refused_connections_never_run(app: FastAPI, live: Live) -> None:
    """A stream whose guard refuses is not started, and the connection does not count as accepted."""
    started: list[str] = []

    def guard() -> None:
        raise HTTPException(403)

    @live.stream("/never", dependencies=[Depends(guard)])
    async def never() -> AsyncIterator[int]:
        started.append("never")
        yield 1

    assert denial(app, "/never").status_code == 403
    assert started == []
    assert live.statistics().accepted == 0


def test_unknown_path_is_refused(app: FastAPI, live: Live) -> None:
    """An undeclared path is refused, and does not hang."""
    live.stream("/one")(one)
    with pytest.raises(WebSocketDisconnect), TestClient(app).websocket_connect("/other"):
        pass


@pytest.mark.parametrize("order", ["handlers, then Live", "Live, then handlers"])
def test_own_exception_handlers_stay(app: FastAPI, order: str) -> None:
    """The app's own exception handlers are used, whenever they are added."""

    async def handle(websocket: WebSocket, error: Exception) -> None:
        await websocket.send_denial_response(JSONResponse(type(error).__name__, status_code=418))

    def add_handlers() -> None:
        for kind in (WebSocketException, WebSocketRequestValidationError):
            app.exception_handler(kind)(handle)

    def guard() -> None:
        raise WebSocketException(4001)

    if order == "handlers, then Live":
        add_handlers()
    live = Live(app)
    if order == "Live, then handlers":
        add_handlers()
    live.stream("/guarded", dependencies=[Depends(guard)])(one)
    live.stream("/room/{number}")(room)
    assert denial(app, "/guarded").json() == "WebSocketException"
    assert denial(app, "/room/x").json() == "WebSocketRequestValidationError"


def test_own_handler_of_http_exceptions_stays(app: FastAPI, live: Live) -> None:
    """An app's own answer to HTTPExceptions applies to streams as well."""

    @app.exception_handler(HTTPException)
    async def handle(connection: HTTPConnection, error: HTTPException) -> None:
        assert isinstance(connection, WebSocket)
        await connection.send_denial_response(JSONResponse("own", status_code=error.status_code))

    def guard() -> None:
        raise HTTPException(402)

    live.stream("/one", dependencies=[Depends(guard)])(one)
    response = denial(app, "/one")
    assert (response.status_code, response.json()) == (402, "own")


def test_other_websockets_are_refused_as_always(app: FastAPI, live: Live) -> None:
    """``Live(app)`` does not change the app's own WebSocket routes."""

    @app.websocket("/plain/{number}")
    async def plain(websocket: WebSocket, number: int) -> None:
        raise WebSocketException(4001, "no")

    for path, code in (("/plain/x", 1008), ("/plain/1", 4001)):
        with pytest.raises(WebSocketDisconnect) as closed, TestClient(app).websocket_connect(path):
            pass
        assert closed.value.code == code


# Origins


def test_foreign_page_is_refused(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """A page of another origin gets a 403 with a reason, and the log names the Host and the right setting."""
    live.stream("/one")(one)
    evil = "https://evil.example"
    response = denial(app, "/one", origin=evil)
    assert response.status_code == 403
    assert response.json() == {"detail": f"Pages of origin '{evil}' may not connect here."}
    [record] = [each for each in caplog.records if each.name == "wirespeed"]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"/one: refused a page of origin '{evil}'; Live(app, allowed_origins=['{evil}']) would admit it. "
        "The server's own origin is 'http://testserver', from the Host header 'testserver'."
    )
    assert live.statistics().refused == {"origin": 1}


@pytest.mark.parametrize("origin", ["http://testserver", "https://app.example.com", "null"])
async def test_allowed_pages_connect(origin: str) -> None:
    """The server's own pages connect, and those of ``allowed_origins``."""
    app = FastAPI()
    Live(app, allowed_origins=["https://app.example.com", "null"]).stream("/one")(one)
    assert await answer(app, "/one", origin=origin) == 1


async def test_pages_of_routers_are_checked(app: FastAPI, live: Live) -> None:
    """Streams of a LiveRouter check the origin with the settings of the app's ``Live``."""
    app.include_router(numbers())
    assert (await refusal(app, "/one", origin="null")).status == 403


async def test_origin_is_checked_before_dependencies(app: FastAPI, live: Live) -> None:
    """A foreign page does not reach a stream's own dependencies."""
    calls: list[str] = []
    live.stream("/one", dependencies=[Depends(partial(calls.append, "guard"))])(one)
    assert (await refusal(app, "/one", origin="null")).status == 403
    assert calls == []


def test_wrong_origin_in_the_settings_is_refused(app: FastAPI) -> None:
    """An entry that could never match is refused, and the app can have another ``Live``."""
    with pytest.raises(ValueError, match="'localhost:5173' is not an origin"):
        Live(app, allowed_origins=["localhost:5173"])
    Live(app)


# What goes wrong during a run


async def test_invalid_message_is_answered_and_nothing_else_is_lost(app: FastAPI, live: Live) -> None:
    """It gets one error frame with FastAPI's detail; later messages are handled."""

    @live.stream("/echo")
    async def echo(hello: Hello) -> AsyncIterator[str]:
        yield hello.message

    async with connect(app, "/echo") as client:
        for message in ('{"message": "a"}', '{"message": 1}', '{"message": "b"}'):
            await client.send_text(message)
        assert await client.receive() == "a"
        assert await client.receive_text() == (
            '{"error":{"code":422,"message":"message: Input should be a valid string","detail":'
            '[{"type":"string_type","loc":["body","message"],"msg":"Input should be a valid string","input":1}]}}'
        )
        assert await client.receive() == "b"
    assert live.statistics().refused == {"invalid message": 1}


async def test_duplex_stream_gets_valid_messages_alone(app: FastAPI, live: Live) -> None:
    """An invalid message is answered, and the generator never sees it."""

    @live.stream("/double")
    async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    async with connect(app, "/double") as client:
        await client.send_text("x")
        assert (await client.receive_json())["error"]["code"] == 422
        await client.send_text("2")
        assert await client.receive_json() == 4


async def test_stream_that_takes_no_messages_says_so(app: FastAPI, live: Live) -> None:
    """A message to it gets an error frame, and the run continues."""
    gate = asyncio.Event()

    @live.stream("/listen")
    async def listen() -> AsyncIterator[int]:
        await gate.wait()
        yield 1

    async with connect(app, "/listen") as client:
        await client.send_text("hi")
        assert await client.receive_json() == error(422, "This stream takes no messages.")
        gate.set()
        assert await client.receive() == "1"


async def fails(text: Text) -> AsyncIterator[str]:
    """Yield a value, then raise the requested error."""
    yield text
    if text == "runtime":
        raise RuntimeError("the password is 1234")
    if text == "http":
        raise HTTPException(409, "Taken.")
    if text == "surrogate":
        yield "\ud800"
    if text == "type":
        yield 5  # type: ignore[misc]
    if text == "cancelled":
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runtime", error(500, "The stream failed.")),
        ("cancelled", error(500, "The stream failed.")),
        ("surrogate", error(500, "The stream failed.")),
        ("type", error(500, "The stream failed.")),
        ("http", error(409, "Taken.")),
    ],
)
async def test_failed_run_is_told_and_the_connection_goes_on(
    app: FastAPI, live: Live, text: str, expected: dict[str, Any]
) -> None:
    """Earlier values arrive, then one error frame without internals; the next message is handled."""
    live.stream("/fails")(fails)
    async with connect(app, "/fails") as client:
        for message in (text, "fine"):
            await client.send_text(message)
        assert await client.receive() == text
        assert await client.receive_json() == expected
        assert await client.receive() == "fine"


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("runtime", "RuntimeError: the password is 1234"),
        ("cancelled", "CancelledError"),
        ("surrogate", "while encoding the value '\\ud800'"),
        ("type", "while encoding the value 5"),
    ],
)
async def test_failed_run_is_logged_with_its_traceback(
    app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture, text: str, logged: str
) -> None:
    """The log has the name of the stream, the traceback, and the value if that was the cause."""
    live.stream("/fails")(fails)
    async with connect(app, "/fails") as client:
        await client.send_text(text)
        assert await client.receive() == text
        await client.receive_json()
    [record] = [each for each in caplog.records if each.name == "wirespeed" and each.levelno >= logging.ERROR]
    formatted = logging.Formatter().format(record)
    assert record.getMessage().startswith("stream '/fails' (fails): ")
    assert "Traceback" in formatted
    assert logged in formatted


async def test_refusal_during_a_run_is_not_logged_as_a_failure(
    app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """An HTTPException is meant for the client, and is not an error of the server."""
    live.stream("/fails")(fails)
    async with connect(app, "/fails") as client:
        await client.send_text("http")
        assert await client.receive() == "http"
        assert await client.receive_json() == error(409, "Taken.")
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_websocket_exception_closes(app: FastAPI, live: Live) -> None:
    """A run may close its connection with its own code and reason, after its values."""

    @live.stream("/bye")
    async def bye(text: Text) -> AsyncIterator[str]:
        yield text
        raise WebSocketException(4002, "Enough.")

    async with connect(app, "/bye") as client:
        await client.send_text("hi")
        assert await client.receive() == "hi"
        with pytest.raises(Closed) as closed:
            await client.receive()
    assert (closed.value.code, closed.value.reason) == (4002, "Enough.")


@pytest.mark.parametrize("path", ["/once", "/duplex", "/thread"])
async def test_failure_of_the_only_run_closes(app: FastAPI, live: Live, path: str) -> None:
    """In a stream that runs once, 1011 follows the error frame; dependencies and the server see the exception."""
    seen: list[BaseException] = []

    async def transaction() -> AsyncIterator[None]:
        try:
            yield
        except RuntimeError as rolled_back:
            seen.append(rolled_back)
            raise

    dependencies = [Depends(transaction)]

    @live.stream("/once", dependencies=dependencies)
    async def once() -> AsyncIterator[int]:
        yield 1
        raise RuntimeError("the password is 1234")

    @live.stream("/duplex", dependencies=dependencies)
    async def duplex(texts: AsyncIterator[str]) -> AsyncIterator[int]:
        yield 1
        raise RuntimeError("the password is 1234")

    @live.stream("/thread", dependencies=dependencies)
    def thread() -> Iterator[int]:
        yield 1
        raise RuntimeError("the password is 1234")

    client = await connect(app, path).__aenter__()
    assert await client.receive() == "1"
    assert await client.receive_json() == error(500, "The stream failed.")
    with pytest.raises(Closed) as closed:
        await client.receive()
    assert (closed.value.code, closed.value.reason) == (1011, "The stream failed.")
    with pytest.raises(RuntimeError, match="the password is 1234") as raised:
        await client.disconnect()
    assert seen == [raised.value]
    assert raised.value.__notes__ == [f"in stream {path!r} ({path[1:]})"]
    assert live.statistics().failed == 1


class Broken(BaseModel):
    """A message whose validator has a bug."""

    number: int

    @field_validator("number")
    @classmethod
    def divide(cls, number: int) -> float:
        return 1 / number


async def test_bug_in_a_validator_is_told_and_the_connection_goes_on(app: FastAPI, live: Live) -> None:
    """A message on which the app's validator fails is answered like a failed run."""

    @live.stream("/broken")
    async def broken(it: Broken) -> AsyncIterator[float]:
        yield it.number

    async with connect(app, "/broken") as client:
        await client.send_json({"number": 0})
        assert await client.receive_json() == error(500, "The stream failed.")
        await client.send_json({"number": 1})
        assert await client.receive_json() == 1


async def test_failed_runs_are_counted(app: FastAPI, live: Live) -> None:
    """The figures count connections, lanes, messages and failures."""
    live.stream("/fails")(fails)
    async with connect(app, "/fails") as client:
        await client.send_text("runtime")
        await client.receive()
        await client.receive()
        open_now = live.statistics()
    assert (open_now.connections, open_now.lanes, open_now.messages, open_now.failed) == (1, {"asgi": 1}, 2, 1)
    gone = live.statistics()
    assert (gone.connections, gone.accepted, gone.runs, gone.lanes) == (0, 1, 0, {})
