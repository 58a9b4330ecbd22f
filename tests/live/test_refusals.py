"""Refusals: every one is counted and logged, on every surface."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Query, WebSocketException
from starlette.responses import Response

from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.live.source import refusal
from wirespeed import Authenticator, Grant, Identity, Live, LiveRouter, Settings
from wirespeed.errors import InvalidToken
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio


def guard(word: Annotated[str, Query()] = "") -> None:
    """Refuse every client."""
    raise HTTPException(403, "Not you.")


def late_guard() -> None:
    """Refuse every client with a WebSocketException."""
    raise WebSocketException(1008, "Not you.")


async def numbers() -> AsyncIterator[int]:
    yield 1


def add(values: list[int]) -> int:
    return sum(values)


class Verifier(Authenticator):
    """An authenticator that knows subscription tokens, none of which is valid."""

    async def connect(self, token: str, connection: Any) -> Identity:
        return Identity(user="ada")

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        raise InvalidToken("forged")


@pytest.fixture
def live(app: FastAPI) -> Live:
    """A ``Live`` with guarded definitions of each kind."""
    live = Live(app, authenticate=Verifier(), settings=Settings(max_keys=1))
    guards = [Depends(guard)]
    live.topic("/guarded", str, dependencies=guards)
    live.stream("/stream", dependencies=guards)(numbers)
    live.call("/call", dependencies=guards)(add)
    live.stream("/late", dependencies=[Depends(late_guard)])(numbers)
    live.topic("/open", str)

    @live.topic("/key/{number}", str)
    def key(number: int) -> None: ...

    return live


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/guarded", "status 403"), ("/stream", "status 403"), ("/call", "status 403"), ("/late", "status 403")],
)
async def test_guard_of_a_websocket(
    app: FastAPI, live: Live, path: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A dependency's refusal before the accept is counted and logged with the path."""
    with caplog.at_level(logging.INFO, "wirespeed"):
        async with lifespan(app):
            await refusal(app, path)
    assert live.statistics().refused == {reason: 1}
    assert f"'{path}': refused: {reason}: Forbidden" in caplog.text


async def test_invalid_key(app: FastAPI, live: Live) -> None:
    """A key that does not validate is counted, on WebSockets and by GET."""
    async with lifespan(app):
        await refusal(app, "/key/x")
        async with Exchange(app, "/key/x"):
            pass
    assert live.statistics().refused == {"status 422": 2}


@pytest.mark.parametrize(("path", "method"), [("/guarded", "GET"), ("/stream", "POST"), ("/call", "POST")])
async def test_guard_over_http(app: FastAPI, live: Live, path: str, method: str) -> None:
    """A dependency's refusal is counted, by GET and by POST."""
    async with lifespan(app), Exchange(app, path, method=method) as exchange:
        assert exchange.status in (403, 422)
        assert live.statistics().refused == {f"status {exchange.status}": 1}


async def test_refusal_is_counted_once(app: FastAPI, live: Live) -> None:
    """A refusal with a reason of its own is not counted by its status as well."""
    async with lifespan(app):
        await refusal(app, "/open", origin="https://evil.example")
        async with Exchange(app, "/key/1", {"accept": "text/event-stream"}):
            await refusal(app, "/key/2")
            async with Exchange(app, "/key/3"):
                pass
    assert live.statistics().refused == {"origin": 1, "too many keys": 2}


@pytest.mark.parametrize("command", ["subscribe", "history"])
async def test_refused_key_of_a_command_is_counted_once(app: FastAPI, live: Live, command: str) -> None:
    """A key beyond the limit is counted by that reason only, and its error stays temporary."""
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed("key/1")
        [id_] = await speaker.say({command: {"channel": "key/2"}})
        error = (await speaker.reply(id_))["error"]
    assert (error["code"], error["temporary"]) == (503, True)
    assert live.statistics().refused == {"too many keys": 1}


@pytest.mark.parametrize("command", [{"subscribe": {"channel": "slow"}}, {"rpc": {"method": "endless"}}])
async def test_what_ends_with_its_connection_is_not_refused(app: FastAPI, live: Live, command: Any) -> None:
    """A command in progress when its client leaves is cancelled, and not counted as refused or failed."""
    begun = asyncio.Event()

    async def stay() -> bool:
        begun.set()
        return await asyncio.Event().wait()

    live.topic("/slow", str, dependencies=[Depends(stay)])
    live.call("/endless")(stay)
    async with lifespan(app):
        async with speaking(app) as speaker:
            await speaker.say(command)
            await begun.wait()
        assert live.statistics().connections == 0
    assert (live.statistics().refused, live.statistics().failed) == ({}, 0)


@pytest.mark.parametrize(("path", "method"), [("/open", "POST"), ("/stream", "GET"), ("/call", "PUT")])
async def test_method(app: FastAPI, live: Live, path: str, method: str) -> None:
    """A request with a method that a definition does not have is counted, once."""
    async with lifespan(app), Exchange(app, path, method=method) as exchange:
        assert exchange.status == 405
    assert live.statistics().refused == {"status 405": 1}


async def test_included_routes_are_counted(app: FastAPI, live: Live) -> None:
    """The refusals of a router's routes are counted, however an exception becomes an answer."""

    class Unwanted(Exception):
        """An exception of the app's own."""

    def unwanted() -> None:
        raise Unwanted

    router = LiveRouter()
    router.topic("/included", str, dependencies=[Depends(unwanted)])
    router.stream("/run", dependencies=[Depends(unwanted)])(numbers)
    app.include_router(router, prefix="/sub")
    app.add_exception_handler(Unwanted, lambda request, error: Response(status_code=418))
    async with lifespan(app):
        for path, method in (("/sub/included", "GET"), ("/sub/run", "POST")):
            async with Exchange(app, path, method=method) as exchange:
                assert exchange.status == 418
    assert live.statistics().refused == {"status 418": 2}


async def test_other_routes_are_not_counted(app: FastAPI, live: Live) -> None:
    """The app's own errors are its own."""

    @app.get("/own")
    def own() -> None:
        raise HTTPException(403)

    async with lifespan(app):
        for path in ("/own", "/missing"):
            async with Exchange(app, path) as exchange:
                assert exchange.status in (403, 404)
    assert live.statistics().refused == {}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({"subscribe": {"channel": "nothing"}}, "unknown channel"),
        ({"subscribe": {"channel": "guarded"}}, "permission denied"),
        ({"subscribe": {"channel": "key/x"}}, "bad request"),
        ({"subscribe": {"channel": "open", "token": "forged"}}, "permission denied"),
        ({"publish": {"channel": "nothing", "data": 1}}, "unknown channel"),
        ({"publish": {"channel": "open", "data": 1}}, "permission denied"),
        ({"history": {"channel": "nothing"}}, "unknown channel"),
        ({"presence": {"channel": "open"}}, "not available"),
        ({"rpc": {"method": "nothing"}}, "method not found"),
        ({"rpc": {"method": "call", "data": [1]}}, "permission denied"),
        ({"sub_refresh": {"channel": "nothing", "token": "x"}}, "permission denied"),
    ],
)
async def test_commands(
    app: FastAPI, live: Live, command: dict[str, dict[str, Any]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each error that answers a command is counted once, and logged with the channel or method."""
    [fields] = command.values()
    with caplog.at_level(logging.INFO, "wirespeed"):
        async with lifespan(app), speaking(app) as speaker:
            [id_] = await speaker.say(command)
            assert "error" in await speaker.reply(id_)
    assert live.statistics().refused == {reason: 1}
    assert f"'{fields.get('channel', fields.get('method'))}': refused: {reason}" in caplog.text
