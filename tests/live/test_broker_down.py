"""An app whose broker cannot be reached: what needs it is refused on every surface, until the broker is there."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest
from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from httpx2 import ASGITransport, AsyncClient

from tests.brokers.valkey import Valkey
from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.live.source import refusal
from tests.waiting import until_async
from wirespeed import BacklogFull, Identity, Live, Message, Settings, Topic
from wirespeed.testing import Closed, WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio

DOWN = "The broker cannot be reached; try again."
FULL = "Too many publications are waiting; try again."


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server, and later its port."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture
def server(_server: Valkey) -> Valkey:
    """A server that does not run."""
    _server.kill()
    return _server


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on the loop of every app: the time of another process passes."""
    return "asyncio"


@pytest.fixture
def live(app: FastAPI, server: Valkey) -> Live:
    """A ``Live`` whose broker does not run, with room for one publication."""
    url = f"redis://127.0.0.1:{server.port}"
    return Live(app, broker=url, settings=Settings(max_publish_backlog_bytes=1))


@pytest.fixture
def news(app: FastAPI, live: Live) -> Topic[[], str]:
    """A topic to which clients publish in every way."""
    news = live.topic("/news", str, presence=True)

    @news.on_message
    async def say(message: Annotated[str, Message()]) -> None:
        news.publish(message)

    @live.call("/say")
    def call(message: list[str]) -> int:
        return len([news.publish(each) for each in message])

    @live.stream("/listen")
    async def listen() -> AsyncIterator[str]:
        yield "listening"
        news.publish("listening")

    @app.post("/own")
    def own() -> None:
        news.publish("own")

    return news


async def test_watchers_are_refused(app: FastAPI, live: Live, news: Topic[[], str]) -> None:
    """The app starts, and each surface asks a watcher to try again; the refusals are counted."""
    async with lifespan(app):
        refused = await refusal(app, "/news")
        assert (refused.status, refused.json()) == (503, {"detail": DOWN})
        for accept in ("*/*", "text/event-stream"):
            async with Exchange(app, "/news", {"accept": accept}) as exchange:
                assert (exchange.status, exchange.headers["retry-after"]) == (503, "1")
        assert live.statistics().refused == {"broker down": 3}


async def test_feeds_of_one_process_need_no_broker(app: FastAPI, live: Live) -> None:
    """A feed that each process runs for itself is served; one that runs once for all is refused."""

    @live.feed("/each", run="each")
    async def each() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    @live.feed("/once")
    async def once() -> AsyncIterator[int]:
        yield 1

    async with lifespan(app), connect(app, "/each") as client:
        assert await client.receive_json() == 1
        async with Exchange(app, "/each") as exchange:
            assert await exchange.body() == b"1"
        assert (await refusal(app, "/once")).status == 503


async def test_commands_are_refused(app: FastAPI, live: Live, news: Topic[[], str]) -> None:
    """The multiplexed connection is open; commands that need the broker get a temporary error."""
    error = {"code": 503, "message": DOWN, "temporary": True}
    async with lifespan(app), speaking(app) as speaker:
        for command in ("subscribe", "history", "presence", "presence_stats"):
            assert (await speaker.ask({command: {"channel": "news"}}))["error"] == error
        assert live.statistics().refused == {"broker down": 4}


async def test_servers_own_subscriptions_are_not_left_out(server: Valkey) -> None:
    """A client that the server would subscribe is asked to connect again: it must not lack the channel unnoticed."""

    async def ada(token: str, connection: HTTPConnection) -> Identity:
        return Identity(user="ada", subscriptions=["other", "news"])

    app = FastAPI()
    live = Live(app, broker=f"redis://127.0.0.1:{server.port}", authenticate=ada)
    live.topic("/news", str)

    async def channels() -> list[str]:
        async with speaking(app, connects=False) as speaker:
            reply = await speaker.ask({"connect": {}})
            if "error" in reply:
                assert reply["error"] == {"code": 503, "message": DOWN, "temporary": True}
                return []
            return list(reply["connect"]["subs"])

    async with lifespan(app):
        assert await channels() == []
        server.start()
        assert await until_async(channels) == ["news"]  # the other one does not exist, which is final


async def test_publications_of_clients_are_refused(
    app: FastAPI, live: Live, news: Topic[[], str], server: Valkey
) -> None:
    """When no further publication may wait for the broker, each surface asks its client to try again."""
    async with lifespan(app):
        receipt = news.publish("first")
        with pytest.raises(BacklogFull):
            news.publish("second")
        assert not receipt.done()
        async with speaking(app) as speaker:
            for command in ({"publish": {"channel": "news", "data": "x"}}, {"rpc": {"method": "say", "data": ["x"]}}):
                assert (await speaker.ask(command))["error"] == {"code": 503, "message": FULL, "temporary": True}
        async with connect(app, "/say") as client:
            await client.send_json(["x"])
            assert (await client.receive_json())["error"] == {"code": 503, "message": FULL}
        async with connect(app, "/listen") as client:
            assert await client.receive_text() == "listening"
            assert (await client.receive_json())["error"]["code"] == 503
            assert await code_of_close(client) == 1013
        async with AsyncClient(transport=ASGITransport(app), base_url="http://testserver") as http:
            for path, body in (("/say", ["x"]), ("/own", None)):
                answer = await http.post(path, json=body)
                assert (answer.status_code, answer.json()) == (503, {"detail": FULL})
                assert answer.headers["retry-after"] == "1"
            answer = await http.post("/listen")
            assert [json.loads(line) for line in answer.text.splitlines()] == [
                "listening",
                {"error": {"code": 503, "message": FULL}},
            ]
        server.start()  # so that the app has nothing to wait for when it stops
        assert (await receipt).offset == 1
    assert not live.statistics().failed


async def code_of_close(client: WebSocketClient) -> int:
    """Return the code with which a connection closes."""
    with pytest.raises(Closed) as closed:
        await client.receive()
    return closed.value.code


async def test_broker_that_comes_later_is_used(
    app: FastAPI, news: Topic[[], str], server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """As soon as the broker is there, the app uses it, and what was published before arrives."""

    async def is_there() -> bool:
        async with Exchange(app, "/news") as exchange:
            return exchange.status == 200 and await exchange.body() == b"early"

    async with lifespan(app):
        receipt = news.publish("early")
        assert not await is_there()
        server.start()
        assert (await receipt).offset == 1
        await until_async(is_there)
        async with connect(app, f"/news?since={receipt.result().epoch}:0") as watcher:
            assert await watcher.receive_text() == "early"
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert texts[0].startswith("The broker cannot be reached: ")


async def test_broker_may_be_required(server: Valkey) -> None:
    """An app that cannot do without its broker does not start without it, and does with it."""
    app = FastAPI()
    live = Live(app, broker=f"redis://127.0.0.1:{server.port}", broker_required=True)
    news = live.topic("/news", str)
    with pytest.raises(RuntimeError, match="The app needs its broker to start"):
        async with lifespan(app):
            raise AssertionError
    server.start()
    async with lifespan(app):
        assert (await news.publish("x")).offset == 1
