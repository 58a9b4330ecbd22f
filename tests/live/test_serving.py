"""The steps before a connection is served: origins, refusals, and its event loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.exchanges import Exchange
from tests.live.source import refusal
from tests.waiting import PATIENCE
from wirespeed import BindingError, Feed, Live, Topic
from wirespeed.testing import connect, lifespan

FOREIGN = "https://evil.example"


@pytest.fixture
def ticks(live: Live) -> Feed[[], int]:
    """Yield one value and continue."""

    @live.feed("/ticks")
    async def ticks() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    return ticks


@pytest.fixture
def news(live: Live) -> Topic[[], str]:
    """Declare a topic."""
    return live.topic("/news", str, replay=1)


@pytest.mark.anyio
async def test_origin_is_checked_on_websockets(
    app: FastAPI, live: Live, ticks: Feed[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    """A page of another site is refused before anything runs, and the log names the setting that would admit it."""
    refused = await refusal(app, "/ticks", origin=FOREIGN)
    assert refused.status == 403
    assert live.statistics().refused == {"origin": 1}
    assert f"allowed_origins=['{FOREIGN}']" in caplog.text
    async with connect(app, "/ticks", headers={"origin": "http://testserver"}) as client:
        assert await client.receive() == "1"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/ticks", "/live/websocket"])
async def test_long_headers_are_refused(app: FastAPI, live: Live, ticks: Feed[[], int], path: str) -> None:
    """A handshake of more than 64 KiB would occupy memory as long as the connection: it is refused everywhere."""
    assert (await refusal(app, path, cookie="x" * 66_000)).status == 431
    async with connect(app, path, headers={"cookie": "x" * 60_000}):
        pass


def test_long_headers_are_refused_over_http(app: FastAPI, ticks: Feed[[], int]) -> None:
    """The same holds for a GET of a feed, and for the multiplexed connection by POST."""
    with TestClient(app) as client:
        events = {"accept": "text/event-stream", "cookie": "x" * 66_000}
        assert client.get("/ticks", headers=events).status_code == 431
        assert client.post("/live/http_stream", headers=events).status_code == 431


@pytest.mark.anyio
async def test_get_is_left_to_cors(app: FastAPI, live: Live, ticks: Feed[[], int]) -> None:
    """A GET of another site's page is answered; whether the page may read it is up to CORS."""
    async with Exchange(app, "/ticks", {"origin": FOREIGN}) as exchange:
        assert (exchange.status, await exchange.body()) == (200, b"1")
    assert live.statistics().refused == {}


@pytest.mark.anyio
async def test_allowed_origins() -> None:
    """An allowed origin is admitted."""
    app = FastAPI()
    Live(app, allowed_origins=[FOREIGN]).topic("/news", str)
    async with connect(app, "/news", headers={"origin": FOREIGN}):
        pass


def test_with_test_client(app: FastAPI, ticks: Feed[[], int], news: Topic[[], str]) -> None:
    """Within ``with TestClient(app)`` all surfaces share one loop, and the test's own thread publishes."""
    with TestClient(app) as client:
        assert client.get("/ticks").json() == 1
        assert client.get("/news").status_code == 404
        with client.websocket_connect("/news") as websocket, client.websocket_connect("/ticks") as other:
            news.publish("a").result(PATIENCE)
            assert websocket.receive_text() == "a"
            assert other.receive_text() == "1"
            assert client.get("/news").text == "a"


def test_twice_with_test_client(app: FastAPI, news: Topic[[], str]) -> None:
    """An app can be used in one test after the other, with empty logs each time."""
    for text in ("a", "b"):
        with TestClient(app) as client:
            assert client.get("/news").status_code == 404
            assert news.publish(text).result(PATIENCE).offset == 1
            assert client.get("/news").text == text


def test_without_with_one_at_a_time(app: FastAPI, ticks: Feed[[], int]) -> None:
    """Without ``with``, the test client has a loop for each connection; one after the other works."""
    client = TestClient(app)
    for _ in range(2):
        with client.websocket_connect("/ticks") as websocket:
            assert websocket.receive_text() == "1"
        assert client.get("/ticks").json() == 1


def test_without_with_two_at_a_time(app: FastAPI, ticks: Feed[[], int]) -> None:
    """Two at the same time are in two loops, and the error says what to write."""
    client = TestClient(app)
    with client.websocket_connect("/ticks") as websocket:
        assert websocket.receive_text() == "1"
        with pytest.raises(BindingError, match=r"two event loops.*with TestClient\(app\)"):
            client.get("/ticks")
        with pytest.raises(BindingError, match="two event loops"), client.websocket_connect("/ticks"):
            pass


def test_a_loop_that_ends_takes_its_feeds_along(
    app: FastAPI, ticks: Feed[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a shutdown, a generator ends with its loop, and does not count as failed."""

    async def use() -> None:
        async with connect(app, "/ticks") as client:
            assert await client.receive() == "1"

    asyncio.run(use())
    assert ticks.statistics().restarts == 0
    assert caplog.text == ""


def test_publishing_without_with(app: FastAPI, news: Topic[[], str]) -> None:
    """A topic whose app has not started raises an error that says what to write."""
    TestClient(app)
    with pytest.raises(BindingError, match=r"with TestClient\(app\)"):
        news.publish("a").result(PATIENCE)


@pytest.mark.anyio
async def test_two_lives_in_one_app(app: FastAPI, live: Live) -> None:
    """An app has one Live."""
    with pytest.raises(BindingError, match="has a Live already"):
        Live(app)


@pytest.mark.anyio
async def test_nothing_is_accepted_after_the_stop(app: FastAPI, news: Topic[[], str]) -> None:
    """A client that connects after the app has stopped is not accepted."""
    async with lifespan(app):
        pass
    assert (await refusal(app, "/news")).status == 503
    async with Exchange(app, "/news") as exchange:
        assert exchange.status == 503
