"""An app that has lost its broker for a while: clients learn on every surface that their values are out of date."""

import json
import time
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
            assert (await watcher.receive_json())["status"]["state"] == "stale"
        assert status_of(await events.block()) == "stale"
        async with connect(app, "/news?positions=1") as newcomer:
            assert (await newcomer.receive_json())["status"]["state"] == "stale"
            await pipe.open()
            for watcher in (positions, rows, newcomer):
                assert (await watcher.receive_json())["status"]["state"] == "live"
        assert status_of(await events.block()) == "live"
        await news.publish(1)
        assert await bare.receive_json() == 1
        assert (await positions.receive_json())["value"] == 1


def status_of(block: str) -> object:
    """Return the state in an event of the type ``status``."""
    name, _, data = block.partition("\ndata: ")
    assert name == "event: status"
    return json.loads(data)["state"]


@pytest.mark.parametrize("side", SIDES)
async def test_our_own_clients_learn_of_it(app: FastAPI, live: Live, pipe: Pipe, side: Side) -> None:
    """A subscription that asks for it is named in a message of the connection; the SDKs' own get nothing."""
    news = live.topic("/news", int)
    async with lifespan(app), speaking(app, side) as ours, speaking(app, side) as other:
        await ours.subscribed("news", data={"wirespeed": {"batches": True, "status": True}})
        await other.subscribed("news")
        for state in ("stale", "live"):
            if state == "stale":
                pipe.cut()
            else:
                await pipe.open()
            notice = (await ours.push())["message"]["data"]
            assert notice["wirespeed"]["status"]["news"]["state"] == state
        await news.publish(1)
        assert await ours.pub("news") == [1]
        assert await other.pub("news") == 1


async def test_get_has_a_header(app: FastAPI, live: Live, pipe: Pipe) -> None:
    """The newest value that the process has is returned, with a header that says since when it has been out of date."""
    news = live.topic("/news", int)

    async def status() -> str | None:
        async with Exchange(app, "/news") as exchange:
            assert (exchange.status, await exchange.body()) == (200, b"1")
            return exchange.headers.get("wirespeed-status")

    async with lifespan(app), connect(app, "/news"):
        await news.publish(1)
        assert await status() is None
        cut_at = time.time() - 1
        pipe.cut()
        health = json.loads(str(await until_async(status)))
        assert health["state"] == "stale"
        assert cut_at <= health["since"] <= time.time()
        await pipe.open()
        await until(lambda: live.health().state == "ok")
        assert await status() is None
