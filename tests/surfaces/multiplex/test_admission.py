"""Admissions: the handshake that a command becomes, what the app answers to it, and how long its dependencies last."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.centrifuge.samples import TEXT
from tests.hub.watching import topic
from tests.lanes.turns import turns
from tests.waiting import PATIENCE
from wirespeed.centrifuge import codes
from wirespeed.centrifuge.codes import Error
from wirespeed.hub import Hub
from wirespeed.settings import Settings
from wirespeed.surfaces.multiplex.admission import KEY, Admission, admission_of, base_of, virtual_scope
from wirespeed.surfaces.multiplex.channels import ChannelName, Found
from wirespeed.surfaces.multiplex.refusal import CommandRefused, error_of

pytestmark = pytest.mark.anyio

NEWS = topic(str)


def admission_to(app: Any, scope: Scope | None = None, *, stays: bool = False) -> Admission:
    """A command that enters an app."""
    found = Found(NEWS, app, lambda: stays)
    return Admission(found, scope or entered("a"), Hub(Settings()), lambda: False, copy_context())


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that admits everything."""
    admission = admission_of(scope)
    assert admission is not None
    await admission.capture(NEWS, {"key": 1}, WebSocket(scope, receive, send))


def within(log: list[str], app: Any = serve) -> Any:
    """An app with a dependency that takes note of its end."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        log.append("open")
        try:
            await app(scope, receive, send)
            log.append("closed")
        except BaseException as error:
            log.append(type(error).__name__)
            raise

    return call


# Handshakes


def handshake(**changes: Any) -> Scope:
    """The scope of a connection after its routing."""
    return {
        "type": "websocket",
        "path": "/live/websocket",
        "raw_path": b"/live/websocket",
        "query_string": b"cf_protocol=protobuf",
        "root_path": "",
        "headers": [
            (b"host", b"example.com"),
            (b"cookie", b"session=1"),
            (b"authorization", b"Basic x"),
            (b"sec-websocket-key", b"abc"),
            (b"sec-websocket-protocol", b"centrifuge-protobuf"),
        ],
        "subprotocols": ["centrifuge-protobuf"],
        "extensions": {"websocket.http.response": {}, "tls": {}},
        "state": {"db": "connection"},
        "client": ("127.0.0.1", 5000),
        "app": "app",
        "router": "router",
        "route": "route",
        "endpoint": "endpoint",
        "path_params": {"a": "b"},
        "fastapi_inner_astack": "stack",
        "user": "set by middleware",
    } | changes


def entered(name: str, token: str = "", **changes: Any) -> Scope:
    """The scope with which a command about a channel enters the app."""
    return virtual_scope(base_of(handshake(**changes)), ChannelName.parse(name), token)


def test_scope_of_a_channel() -> None:
    """It has the channel's path and query and everything of the handshake, except for what its routing has added."""
    assert entered("price/BTC?currency=EUR") == {
        "type": "websocket",
        "path": "/price/BTC",
        "raw_path": b"/price/BTC",
        "query_string": b"currency=EUR",
        "root_path": "",
        "headers": [(b"host", b"example.com"), (b"cookie", b"session=1"), (b"authorization", b"Basic x")],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "state": {"db": "connection"},
        "client": ("127.0.0.1", 5000),
        "user": "set by middleware",
    }


def test_admissions_and_connections() -> None:
    """A scope of a real connection has no admission, whatever stands in its place; that of a command has its own."""
    assert admission_of(handshake()) is None
    assert admission_of(handshake(**{KEY: "no admission"})) is None
    scope = entered("a")
    admission = admission_to(serve, scope)
    assert admission_of(scope) is admission
    assert KEY not in base_of(scope)


def test_subscriptions_do_not_share_what_they_write() -> None:
    """State and headers of one are not those of another, nor those of the connection."""
    original = handshake()
    base = base_of(original)
    one, other = (virtual_scope(base, ChannelName("/a", ""), "") for _ in range(2))
    one["state"]["db"] = "mine"
    one["headers"].append((b"x", b"y"))
    assert other["state"] == original["state"] == {"db": "connection"}
    assert (b"x", b"y") not in other["headers"]
    assert (b"x", b"y") not in original["headers"]
    assert (b"x", b"y") not in base["headers"]


def test_without_state() -> None:
    """Servers without a lifespan have no state, and neither do subscriptions."""
    scope = handshake()
    del scope["state"]
    assert not virtual_scope(base_of(scope), ChannelName("/a", ""), "").get("state")


def test_token_replaces_authorization() -> None:
    """The header of the handshake counts only where there is no token."""
    headers = dict(entered("a", "token")["headers"])
    assert headers == {b"host": b"example.com", b"cookie": b"session=1", b"authorization": b"Bearer token"}
    bare = handshake(headers=[])
    assert virtual_scope(base_of(bare), ChannelName("/a", ""), "t")["headers"] == [(b"authorization", b"Bearer t")]
    assert virtual_scope(base_of(bare), ChannelName("/a", ""), "")["headers"] == []


def test_root_path() -> None:
    """The app finds a channel's path under its own."""
    scope = entered("price/BTC", root_path="/api")
    assert (scope["path"], scope["raw_path"], scope["root_path"]) == ("/api/price/BTC", b"/api/price/BTC", "/api")


@pytest.mark.parametrize(("name", "raw"), [("café", b"/caf%C3%A9"), ("a b", b"/a%20b"), ("a%2Fb", b"/a/b")])
def test_raw_path(name: str, raw: bytes) -> None:
    """It is of ASCII, as a server's is."""
    assert entered(name)["raw_path"] == raw


@pytest.mark.parametrize(
    "name", ["a?x=caf%C3%A9&y=a%26b", "a?x=café&y=a%26b", "a?x=caf%C3%A9&y=a%26b&empty", "a?x=café&y=a%26b#1"]
)
def test_query(name: str) -> None:
    """Its parameters are what they say, percent-encoded or not."""
    assert {**HTTPConnection(entered(name)).query_params, "empty": ""} == {"x": "café", "y": "a&b", "empty": ""}


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=3))
def test_queries_are_ascii(parameters: dict[str, str]) -> None:
    """Whatever text a client writes into the query, the app gets bytes as a server would give them."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    raw = entered(f"a?{query}")["query_string"]
    assert raw.isascii()
    wanted = parse_qsl(query.partition("#")[0], keep_blank_values=True)
    assert HTTPConnection(entered(f"a?{query}")).query_params.multi_items() == wanted


# The life of an admission


async def test_decision() -> None:
    """It has the definition, the arguments and the query that the endpoint has got."""
    async with admission_to(serve, entered("a?x=1&y=%C3%BC&x=2")) as admission:
        assert (admission.definition, admission.arguments) == (NEWS, {"key": 1})
        assert dict(admission.query) == {"x": "2", "y": "ü"}


async def test_dependencies_that_need_not_stay() -> None:
    """They end before the block begins, in the same task."""
    log: list[str] = []
    async with admission_to(within(log)) as admission:
        assert (log, admission.is_open()) == (["open", "closed"], False)


async def test_dependencies_that_stay() -> None:
    """They end with the block."""
    log: list[str] = []
    async with admission_to(within(log), stays=True) as admission:
        assert (log, admission.is_open()) == (["open"], True)
    assert log == ["open", "closed"]


async def test_block_that_fails() -> None:
    """Its exception goes through the app, so that dependencies roll back; the command has failed."""
    log: list[str] = []
    with pytest.raises(CommandRefused) as refused:
        async with admission_to(within(log), stays=True):
            raise KeyError("a bug")
    assert (log, refused.value.error) == (["open", "KeyError"], codes.INTERNAL)


async def test_block_that_refuses() -> None:
    """The app learns that the command was refused; the client gets the error itself."""
    log: list[str] = []
    with pytest.raises(CommandRefused) as refused:
        async with admission_to(within(log), stays=True):
            raise CommandRefused(codes.TOO_MANY_REQUESTS)
    assert (log, refused.value.error) == (["open", "HTTPException"], codes.TOO_MANY_REQUESTS)


async def test_app_that_handles_an_exception() -> None:
    """The answer of its exception handler is the error of the command."""

    async def handling(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await serve(scope, receive, send)
        except KeyError:
            await WebSocket(scope, receive, send).send_denial_response(JSONResponse({"detail": "Taken."}, 409))

    with pytest.raises(CommandRefused) as refused:
        async with admission_to(handling, stays=True):
            raise KeyError("taken")
    assert refused.value.error == error_of(409, "Taken.")


@pytest.mark.parametrize("stays", [False, True])
async def test_refusals(stays: bool) -> None:
    """An app that raises, or returns without having admitted the command, refuses it."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(409, "Taken.")

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    for app, error in ((refusing, error_of(409, "Taken.")), (silent, codes.INTERNAL)):
        with pytest.raises(CommandRefused) as refused:
            async with admission_to(app, stays=stays):
                pytest.fail("it was not admitted")
        assert refused.value.error == error


async def cancelled(app: Any, body: Callable[[], Awaitable[None]]) -> None:
    """Cancels a command, in the app or in its block."""
    begun = asyncio.Event()

    async def command() -> None:
        begun.set()
        async with admission_to(app, stays=True):
            await body()

    task = asyncio.create_task(command())
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_cancellation() -> None:
    """It reaches the app, which has ended before the command has: while it decides, and afterwards."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def wait() -> None:
        await asyncio.Event().wait()

    for app in (slow, serve):
        log: list[str] = []
        await cancelled(within(log, app), wait)
        assert log == ["open", "CancelledError"]


async def test_middleware_that_ends_the_call() -> None:
    """A call that ends before its command does cancels the command: no code runs without its dependencies."""

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.timeout(0):
            await serve(scope, receive, send)

    with pytest.raises(CommandRefused) as refused:
        async with admission_to(impatient, stays=True):
            await asyncio.Event().wait()
    assert refused.value.error == codes.INTERNAL


async def test_refusal_and_cancellation_in_the_same_moment() -> None:
    """The app learns of one of them, and nothing is left for the log."""
    logged: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: logged.append(context))

    async def command() -> None:
        task = asyncio.current_task()
        assert task is not None
        found = Found(NEWS, serve, lambda: True)
        async with Admission(found, entered("a"), Hub(Settings()), lambda: True, copy_context()):
            loop.call_soon(task.cancel)
            raise CommandRefused(codes.PERMISSION_DENIED)

    ended = asyncio.create_task(command())
    await asyncio.wait([ended])
    assert isinstance(ended.exception(), CommandRefused)
    del ended  # with the traceback, which keeps everything
    gc.collect()
    loop.set_exception_handler(None)
    assert logged == []


async def test_cancellation_after_the_end() -> None:
    """A client that leaves when its command has ended changes nothing: dependencies end in order."""
    log: list[str] = []

    async def command() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with admission_to(within(log), stays=True):
            asyncio.get_running_loop().call_soon(task.cancel)

    await asyncio.create_task(command())
    assert log == ["open", "closed"]


async def test_order_of_the_ends_after_a_timeout_of_middleware() -> None:
    """The block ends before the dependencies that it uses; the middleware then sees its own timeout, and answers."""
    log: list[str] = []

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(0):
                await within(log)(scope, receive, send)
        except TimeoutError:
            await send({"type": "websocket.close", "reason": "Too slow."})

    async def block() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns(3)
            log.append("block")

    with pytest.raises(CommandRefused) as refused:
        async with admission_to(impatient, stays=True):
            await block()
    assert (log, refused.value.error.message) == (["open", "block", "CancelledError"], "Too slow.")


async def apart(log: list[str], turns_: int, *, waits: bool = False) -> Error | None:
    """Serves a command by middleware that leaves the call to a task of its own; returns the refusal of the command."""
    calls: list[asyncio.Task[None]] = []

    async def leaving(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(asyncio.create_task(within(log)(scope, receive, send)))
        await turns(turns_)

    error: Error | None = None
    try:
        async with admission_to(leaving, stays=True):
            log.append("block")
            if waits:
                await asyncio.Event().wait()
    except CommandRefused as refused:
        error = refused.error
    await asyncio.wait(calls)
    return error


@pytest.mark.parametrize("count", range(6))
@pytest.mark.parametrize("waits", [False, True])
async def test_middleware_that_leaves_the_call_behind(count: int, waits: bool) -> None:
    """However soon middleware returns, the call that it leaves behind ends, and its dependencies with it."""
    log: list[str] = []
    async with asyncio.timeout(PATIENCE):
        error = await apart(log, count, waits=waits)
    assert log[0] == "open"
    assert log[-1] in ("closed", "CancelledError")
    assert error == codes.INTERNAL if waits or "block" not in log else error is None


async def test_context_variables() -> None:
    """A variable that the app sets holds in the block, which is in the context that both share."""
    variable: ContextVar[str] = ContextVar("variable", default="")
    context, seen = copy_context(), []

    async def setting(scope: Scope, receive: Receive, send: Send) -> None:
        token = variable.set("set")
        await serve(scope, receive, send)
        variable.reset(token)

    async def command() -> None:
        admission = Admission(Found(NEWS, setting), entered("a"), Hub(Settings()), lambda: False, context)
        async with admission:
            seen.append(variable.get())
        seen.append(variable.get())

    await asyncio.create_task(command(), context=context)
    assert seen == ["set", ""]


async def test_context_variables_of_middleware_with_a_task_of_its_own() -> None:
    """A variable that the app sets there holds in the block as well."""
    variable: ContextVar[str] = ContextVar("variable", default="")

    async def setting(scope: Scope, receive: Receive, send: Send) -> None:
        variable.set("set")
        await serve(scope, receive, send)

    async def apart(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(setting(scope, receive, send))

    async def command() -> str:
        async with admission_to(apart, stays=True):
            return variable.get()

    assert await asyncio.create_task(command()) == "set"


# What the app answers


async def answered(*messages: Message) -> Error:
    """The error that some answers become."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    with pytest.raises(CommandRefused) as refused:
        async with admission_to(app):
            pytest.fail("it was not admitted")
    return refused.value.error


async def responded(response: Response) -> Error:
    """The error that a response becomes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await WebSocket(scope, receive, send).send_denial_response(response)

    with pytest.raises(CommandRefused) as refused:
        async with admission_to(app):
            pytest.fail("it was not admitted")
    return refused.value.error


async def test_accepting_is_no_admission() -> None:
    """An accept, and messages after it, are ignored: only an endpoint admits."""
    accept, text = {"type": "websocket.accept"}, {"type": "websocket.send", "text": "hi"}
    assert await answered(accept, text) == codes.INTERNAL


async def test_close() -> None:
    """A close is a refusal, and its reason is the message."""
    assert await answered({"type": "websocket.close", "code": 1008}) == error_of(403, None)
    assert await answered({"type": "websocket.close", "reason": ""}) == error_of(403, None)
    assert await answered({"type": "websocket.close", "code": 4000, "reason": "Not you."}) == error_of(403, "Not you.")


async def test_responses() -> None:
    """A response is a refusal by its status, with its detail, in one part or in many."""
    assert await responded(JSONResponse({"detail": "Not you."}, 403)) == error_of(403, "Not you.")
    assert await responded(PlainTextResponse("gone", 410)) == error_of(410, None)
    assert await responded(Response(status_code=500)) == error_of(500, None)
    start = {"type": "websocket.http.response.start", "status": 409}
    parts = [
        {"type": "websocket.http.response.body", "body": b'{"detail":', "more_body": True},
        {"type": "websocket.http.response.body", "body": b'"Taken."}', "more_body": False},
    ]
    assert await answered(start, *parts) == error_of(409, "Taken.")
    assert await answered(start, parts[0]) == codes.INTERNAL


async def test_first_answer_counts() -> None:
    """A close after a response, as frameworks send it, changes nothing."""
    start = {"type": "websocket.http.response.start", "status": 409}
    body = {"type": "websocket.http.response.body", "body": b""}
    assert await answered(start, body, {"type": "websocket.close", "reason": "other"}) == error_of(409, None)


async def test_expired_token_by_header() -> None:
    """The headers of a response count, too."""
    headers = {"www-authenticate": 'Bearer error="invalid_token", error_description="expired"'}
    error = await responded(JSONResponse({"detail": "Unauthorized"}, 401, headers))
    assert error == codes.TOKEN_EXPIRED._replace(status=401, detail="Unauthorized")


async def test_code_that_talks_to_a_virtual_websocket() -> None:
    """A dependency that accepts, and reads, ends as if the client had left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        await websocket.send_text("hi")
        with pytest.raises(WebSocketDisconnect):
            await websocket.receive_text()
        await serve(scope, receive, send)

    async with admission_to(app) as admission:
        assert admission.definition is NEWS
