"""Values with tags, in an app: surfaces without tags send the same as for values without."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.exchanges import Exchange
from tests.lanes.turns import until
from tests.live.source import Source, texts
from wirespeed import Feed, Live, Sender, Tagged, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

BUY = {"side": "buy"}


class Trade(BaseModel):
    id: int


@pytest.fixture
def source() -> Source:
    """Return the controller of the feeds."""
    return Source()


def trades_of(live: Live, source: Source, **options: Any) -> Feed[[], Trade]:
    """Declare a feed of values with tags."""

    @live.feed("/trades", **options)
    async def trades() -> AsyncIterator[Tagged[Trade]]:
        async for value in source.values():
            yield value

    return trades


KINDS: list[dict[str, Any]] = [{"keep": 10, "replay": 2}, {"keep": "latest"}, {"by": "id"}]


@pytest.mark.parametrize("options", KINDS)
async def test_surfaces_do_not_know(app: FastAPI, live: Live, options: dict[str, Any]) -> None:
    """WebSockets with and without positions, GET and events send the same bytes without tags and sender."""
    marked, plain = (live.topic(path, Trade, **options) for path in ("/marked", "/plain"))
    async with lifespan(app):
        await plain.publish(Trade(id=1))
        await marked.publish_as(Sender(client="1", user="ada"), Tagged(Trade(id=1), BUY))
        heard = [await seen(app, topic) for topic in (marked, plain)]
        assert heard[0] == heard[1]
        assert json.loads(heard[0][2]) in ({"id": 1}, [{"id": 1}])
        assert [(each.value, each.tags) for each in await marked.history()] == [(Trade(id=1), BUY)]


async def seen(app: FastAPI, topic: Topic[[], Trade]) -> list[Any]:
    """Return what clients see of a topic's value, without the epoch."""
    epoch = (await topic.history())[0].position.epoch
    async with connect(app, topic.path) as raw, connect(app, f"{topic.path}?positions=1") as placed:
        heard: list[Any] = [*await texts(raw, 1), *await texts(placed, 1)]
    async with Exchange(app, topic.path) as newest:
        heard.append((await newest.body()).decode())
    async with Exchange(app, topic.path, {"accept": "text/event-stream"}) as events:
        heard.append(await events.event())
    return [json.loads(json.dumps(each).replace(epoch, "epoch")) for each in heard]


async def test_bytes_with_tags(app: FastAPI, live: Live) -> None:
    """Clients and the app receive plain bytes."""
    topic = live.topic("/bytes", bytes, replay=1)
    async with lifespan(app):
        await topic.publish(Tagged(b"\xff\x00", BUY))
        async with connect(app, "/bytes") as client, Exchange(app, "/bytes") as newest:
            assert (await client.receive(), await newest.body()) == (b"\xff\x00", b"\xff\x00")
        assert type(await topic.latest()) is bytes


@pytest.mark.parametrize("options", [{"keep": 10}, {}, {"by": "id"}])
async def test_feed_yields_values_with_tags(app: FastAPI, live: Live, source: Source, options: dict[str, Any]) -> None:
    """Watchers receive the values; the app reads the tags from the history."""
    trades = trades_of(live, source, **options)
    async with lifespan(app), connect(app, "/trades") as client:
        source.put(Tagged(Trade(id=1), BUY))
        got = await client.receive_json()
        assert got in ({"id": 1}, {"key": 1, "value": {"id": 1}})
        assert [(each.value, each.tags) for each in await trades.history()] == [(Trade(id=1), BUY)]


async def test_feed_yields_wrong_tags(
    app: FastAPI, live: Live, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """Invalid tags count as a value that cannot be encoded: it is logged, and the next one is sent."""
    trades = trades_of(live, source)
    async with lifespan(app), connect(app, "/trades") as client:
        source.put(Tagged(Trade(id=1), {"side": 5}))  # type: ignore[dict-item]
        await until(lambda: trades.statistics().failed == 1)
        source.put(Tagged(Trade(id=2), BUY))
        assert await client.receive_json() == {"id": 2}
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "feed '/trades' (trades): a value cannot be encoded." in record.getMessage()
