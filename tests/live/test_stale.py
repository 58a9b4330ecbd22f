"""An app that has lost its broker for a while: clients learn on every surface that their values are out of date."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.brokers.valkey import Pipe, Valkey
from tests.centrifuge.sides import SIDES, Side
from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.waiting import until, until_async
from wirespeed import Live
from wirespeed.hub import staleness
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    name: str


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on the loop of every app: the time of another process passes."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices come soon, so that tests need not wait for them."""
    monkeypatch.setattr(staleness, "STALE_AFTER", 0.1)
    monkeypatch.setattr(staleness, "TICK", 0.05)


@pytest.fixture
async def pipe(server: Valkey) -> AsyncIterator[Pipe]:
    """A pipe to a server without logs."""
    server.command("FLUSHALL")
    pipe = Pipe(server.port)
    await pipe.open()
    yield pipe
    await pipe.close()


@pytest.fixture
def live(app: FastAPI, pipe: Pipe) -> Live:
    """A ``Live`` with topics of both kinds."""
    live = Live(app, broker=f"redis://127.0.0.1:{pipe.port}")
    live.topic("/rows", Row, by="name")
    return live


async def test_watchers_learn_of_it(app: FastAPI, live: Live, pipe: Pipe) -> None:
    """A WebSocket with positions or rows gets a message, Server-Sent Events an event, and a bare value none."""
    news = live.topic("/news", int)
    async with (
        lifespan(app),
        connect(app, "/news?positions=1") as positions,
        connect(app, "/rows") as rows,
        connect(app, "/news") as bare,
        Exchange(app, "/news", {"accept": "text/event-stream"}) as events,
    ):
        assert await events.block() == ":"
        pipe.cut()
        for watcher in (positions, rows):
            assert await watcher.receive_json() == {"stale": True}
        assert await events.block() == "event: stale\ndata: true"
        async with connect(app, "/news?positions=1") as newcomer:
            assert await newcomer.receive_json() == {"stale": True}
            await pipe.open()
            for watcher in (positions, rows, newcomer):
                assert await watcher.receive_json() == {"stale": False}
        assert await events.block() == "event: stale\ndata: false"
        await news.publish(1)
        assert await bare.receive_json() == 1
        assert (await positions.receive_json())["value"] == 1


@pytest.mark.parametrize("side", SIDES)
async def test_our_own_clients_learn_of_it(app: FastAPI, live: Live, pipe: Pipe, side: Side) -> None:
    """A subscription that asks for batches is named in a message of the connection; the SDKs' own get nothing."""
    news = live.topic("/news", int)
    async with lifespan(app), speaking(app, side) as ours, speaking(app, side) as other:
        await ours.subscribed("news", data={"wirespeed": {"batches": True}})
        await other.subscribed("news")
        for is_stale in (True, False):
            if is_stale:
                pipe.cut()
            else:
                await pipe.open()
            notice = (await ours.push())["message"]["data"]
            assert notice == {"wirespeed": {"stale": {"news": is_stale}}}
        await news.publish(1)
        assert await ours.pub("news") == [1]
        assert await other.pub("news") == 1


async def test_get_has_a_header(app: FastAPI, live: Live, pipe: Pipe) -> None:
    """The newest value that the process has is returned, with a header that says how long it has been out of date."""
    news = live.topic("/news", int)

    async def stale_for() -> str | None:
        async with Exchange(app, "/news") as exchange:
            assert (exchange.status, await exchange.body()) == (200, b"1")
            return exchange.headers.get("wirespeed-stale")

    async with lifespan(app), connect(app, "/news"):
        await news.publish(1)
        assert await stale_for() is None
        pipe.cut()
        assert str(await until_async(stale_for)).isdecimal()
        await pipe.open()
        await until(lambda: live.health().state == "ok")
        assert await stale_for() is None
