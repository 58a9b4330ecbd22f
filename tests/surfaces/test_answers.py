"""Refusals by an exception: guards, calls, streams and handlers that raise one mean the same on every surface."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, NamedTuple

import pytest
from fastapi import Depends, FastAPI
from starlette.exceptions import HTTPException, WebSocketException

from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.live.source import refusal
from wirespeed import InvalidToken, Live, Message, TokenExpired, TokensUnavailable
from wirespeed.testing import Closed, connect, lifespan

pytestmark = pytest.mark.anyio

EVENTS = {"accept": "text/event-stream"}


class Meant(NamedTuple):
    """The meaning of an exception."""

    error: Exception
    status: int
    code: int
    """Code on the multiplexed connection."""
    headers: dict[str, str]
    """Headers of an answer over HTTP."""
    detail: str


def challenge(problem: str) -> dict[str, str]:
    """Return the header by which a client learns that its token is the problem."""
    return {"www-authenticate": f'Bearer error="invalid_token", error_description="{problem}"'}


TOKENS = [
    Meant(TokenExpired(), 401, 109, challenge("The token has expired."), "The token has expired."),
    Meant(InvalidToken("signed by another"), 401, 101, challenge("The token is not valid."), "The token is not valid."),
    Meant(TokensUnavailable("no keys"), 503, 503, {"retry-after": "1"}, "Tokens cannot be verified now."),
]
OLD = challenge("This ticket has expired.")
EXPIRED = HTTPException(401, "Renew your ticket.", OLD)
GUARDED = [
    *TOKENS,
    Meant(EXPIRED, 401, 109, OLD, "Renew your ticket."),
    Meant(WebSocketException(1008, "Not you."), 403, 103, {}, "Not you."),
]


def name_of(meant: Meant) -> str:
    return type(meant.error).__name__


@pytest.fixture(name="meant")
def given(request: pytest.FixtureRequest) -> Meant:
    """Return an exception and its meaning."""
    chosen: Meant = request.param
    return chosen


def refuse(meant: Meant) -> None:
    """Raise the exception, as any code of an app may."""
    raise meant.error


@pytest.fixture(name="live", autouse=True)
def live_that_refuses(app: FastAPI, meant: Meant) -> Live:
    """Return a ``Live`` with guards that raise the exception, and with definitions that do."""
    live = Live(app)
    guards = [Depends(lambda: refuse(meant))]

    async def call() -> int:
        refuse(meant)
        return 1

    async def stream() -> AsyncIterator[int]:
        refuse(meant)
        yield 1

    async def late() -> AsyncIterator[int]:
        yield 1
        refuse(meant)

    async def take(message: Annotated[str, Message()]) -> None:
        refuse(meant)

    live.topic("/guarded", str, dependencies=guards)
    live.call("/guarded/call", dependencies=guards)(call)
    live.stream("/guarded/stream", dependencies=guards)(stream)
    live.call("/call")(call)
    live.stream("/stream")(stream)
    live.stream("/late")(late)
    live.topic("/room", str).on_message(take)
    return live


REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "/guarded", {}),
    ("GET", "/guarded", EVENTS),
    ("POST", "/guarded/call", {}),
    ("POST", "/guarded/stream", {}),
]


@pytest.mark.parametrize("meant", GUARDED, ids=name_of, indirect=True)
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: " ".join(each[:2]) + "".join(each[2]))
async def test_guards_over_http(app: FastAPI, meant: Meant, request_: tuple[str, str, dict[str, str]]) -> None:
    """A guard's exception is answered with its status, its detail and its headers."""
    method, path, headers = request_
    async with lifespan(app), Exchange(app, path, headers, method=method) as exchange:
        assert exchange.status == meant.status
        assert meant.headers.items() <= exchange.headers.items()
        assert meant.detail.encode() in await exchange.body()


@pytest.mark.parametrize("meant", GUARDED, ids=name_of, indirect=True)
@pytest.mark.parametrize("path", ["/guarded", "/guarded/call", "/guarded/stream"])
async def test_guards_of_a_websocket(app: FastAPI, meant: Meant, path: str) -> None:
    """A guard's exception refuses the handshake with its status and its detail."""
    async with lifespan(app):
        refused = await refusal(app, path)
        assert (refused.status, refused.json()["detail"]) == (meant.status, meant.detail)


COMMANDS: list[dict[str, dict[str, Any]]] = [
    {"subscribe": {"channel": "guarded"}},
    {"subscribe": {"channel": "guarded/stream"}},
    {"publish": {"channel": "guarded", "data": "hello"}},
    {"rpc": {"method": "guarded/call"}},
    {"rpc": {"method": "call"}},
    {"publish": {"channel": "room", "data": "hello"}},
]


@pytest.mark.parametrize("meant", GUARDED, ids=name_of, indirect=True)
@pytest.mark.parametrize("command", COMMANDS, ids=str)
async def test_commands(app: FastAPI, meant: Meant, command: dict[str, dict[str, Any]]) -> None:
    """An exception of a guard, a call or a handler is the error of the command."""
    async with lifespan(app), speaking(app) as speaker:
        assert (await speaker.ask(command))["error"]["code"] == meant.code


@pytest.mark.parametrize("meant", GUARDED, ids=name_of, indirect=True)
async def test_publishing_while_subscribed(app: FastAPI, meant: Meant) -> None:
    """A handler's exception is the same error for a client that is subscribed to the topic."""
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("room")
        told = await speaker.ask({"publish": {"channel": "room", "data": "hello"}})
        assert told["error"]["code"] == meant.code


@pytest.mark.parametrize("meant", [GUARDED[3]], ids=name_of, indirect=True)
async def test_code_that_clients_share(app: FastAPI, live: Live) -> None:
    """A loader, or a feed's generator, that refuses an expired token lets SDKs get another one, as a guard does."""
    stored = live.topic("/stored", str, keep=2)

    @stored.load
    async def load() -> list[str]:
        raise EXPIRED

    @live.feed("/feed")
    async def feed() -> AsyncIterator[int]:
        for number in list[int]():
            yield number
        raise EXPIRED

    async with lifespan(app), speaking(app) as speaker:
        assert await speaker.refused("stored") == 109
        await speaker.subscribed("feed")
        assert (await speaker.push())["unsubscribe"] == {"code": 2401, "reason": "Renew your ticket."}
        assert await speaker.refused("feed") == 109


@pytest.mark.parametrize("meant", TOKENS, ids=name_of, indirect=True)
async def test_runs_on_the_multiplexed_connection(app: FastAPI, meant: Meant) -> None:
    """A stream's exception ends the subscription with 2000 plus its status; one that passes by itself with 2001."""
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("stream")
        ended = (await speaker.push())["unsubscribe"]
        assert ended == {"code": 2401 if meant.status == 401 else 2001, "reason": meant.detail}


@pytest.mark.parametrize("meant", TOKENS, ids=name_of, indirect=True)
@pytest.mark.parametrize(("path", "message"), [("/stream", ""), ("/call", "null"), ("/room", '"hello"')])
async def test_runs_on_a_websocket(app: FastAPI, meant: Meant, path: str, message: str) -> None:
    """An exception of a stream, a call or a handler is an error frame; a stream that runs once ends with it."""
    async with lifespan(app), connect(app, path) as client:
        if message:
            await client.send_text(message)
        assert await client.receive_json() == {"error": {"code": meant.status, "message": meant.detail}}
        if not message:
            with pytest.raises(Closed) as closed:
                await client.receive()
            assert closed.value.code == (1008 if meant.status == 401 else 1013)


@pytest.mark.parametrize("meant", TOKENS, ids=name_of, indirect=True)
@pytest.mark.parametrize("path", ["/stream", "/call"])
async def test_runs_over_http(app: FastAPI, meant: Meant, path: str) -> None:
    """An exception of a stream or a call is answered with its status, its detail and its headers."""
    async with lifespan(app), Exchange(app, path, method="POST") as exchange:
        assert exchange.status == meant.status
        assert meant.headers.items() <= exchange.headers.items()
        assert meant.detail.encode() in await exchange.body()


@pytest.mark.parametrize("meant", TOKENS, ids=name_of, indirect=True)
async def test_late_exception_over_http(app: FastAPI, meant: Meant) -> None:
    """A stream that raises after its first value ends the response with a line of status and detail."""
    async with lifespan(app), Exchange(app, "/late", {"accept": "application/x-ndjson"}, method="POST") as exchange:
        assert meant.detail.encode() in (await exchange.body()).splitlines()[-1]


@pytest.mark.parametrize("meant", GUARDED, ids=name_of, indirect=True)
async def test_nothing_failed(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that refuses a client is neither counted nor logged as a failure."""
    async with lifespan(app):
        for method, path, headers in REQUESTS:
            async with Exchange(app, path, headers, method=method):
                pass
        await refusal(app, "/guarded")
        async with speaking(app) as speaker:
            for command in COMMANDS:
                await speaker.ask(command)
        assert live.statistics().failed == 0
    assert "Traceback" not in caplog.text
