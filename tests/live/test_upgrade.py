"""WebSocket handshakes whose ``Upgrade`` header a proxy has dropped."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from tests.exchanges import Exchange
from wirespeed import Live, LiveRouter
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

HANDSHAKE = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13", "connection": "close"}
PATHS = ["/feed/7", "/topic", "/stream", "/call", "/inner/topic", "/mounted/topic", "/live/websocket"]


async def numbers() -> AsyncIterator[int]:
    yield 1


async def feed(number: int) -> AsyncIterator[int]:
    yield number


def add(values: list[int]) -> int:
    return sum(values)


@pytest.fixture
def surfaces(app: FastAPI, live: Live) -> FastAPI:
    """Return an app with each kind of definition, in the app, in a router and in a mounted app."""
    live.feed("/feed/{number}")(feed)
    live.topic("/topic", str)
    live.stream("/stream")(numbers)
    live.call("/call")(add)
    router = LiveRouter(prefix="/inner")
    router.topic("/topic", str)
    app.include_router(router)
    mounted = FastAPI()
    Live(mounted).topic("/topic", str)
    app.mount("/mounted", mounted)
    app.get("/own")(lambda: "own")
    return app


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["sec-websocket-key", "sec-websocket-version"])
async def test_handshake_without_upgrade(surfaces: FastAPI, path: str, name: str) -> None:
    """It gets 426 and a sentence that names the proxy, on each surface that speaks WebSockets."""
    async with lifespan(surfaces), Exchange(surfaces, path, {name: HANDSHAKE[name]}) as exchange:
        assert (exchange.status, exchange.headers["upgrade"]) == (426, "websocket")
        assert b"a proxy has dropped it" in await exchange.body()


async def test_it_is_counted_and_logged(surfaces: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """The operator sees it as well."""
    async with lifespan(surfaces), Exchange(surfaces, "/feed/7", HANDSHAKE):
        assert live.statistics().refused == {"upgrade": 1}
    assert "'/feed/7': refused: upgrade: a WebSocket handshake arrived without its Upgrade header" in caplog.text


async def test_plain_get_of_a_feed_is_answered(surfaces: FastAPI) -> None:
    """A GET that is not a handshake gets the value, and 426 where there is none to get."""
    async with lifespan(surfaces):
        async with Exchange(surfaces, "/feed/7") as exchange:
            assert (exchange.status, await exchange.body()) == (200, b"7")
        async with Exchange(surfaces, "/live/websocket") as exchange:
            assert exchange.status == 426


@pytest.mark.parametrize("path", ["/own", "/missing"])
async def test_other_routes_are_left_alone(surfaces: FastAPI, path: str) -> None:
    """The app's own routes get what they always got."""
    async with lifespan(surfaces), Exchange(surfaces, path, HANDSHAKE) as exchange:
        assert exchange.status == (200 if path == "/own" else 404)
