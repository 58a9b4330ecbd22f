"""The multiplexed surface, in process: publications of many values, and clients that acknowledge them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, JsonValue

from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE, SIDES, Fields, Side
from tests.lanes.turns import turns, until
from tests.live.multiplexing import Speaker, speaking
from wirespeed import Live, Message, Tagged, Topic
from wirespeed.surfaces.multiplex import window
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

BATCHES = {"wirespeed": {"batches": True}}
ACKNOWLEDGES = {"wirespeed": {"batches": True, "acknowledges": True}}


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold back everything that is not acknowledged, at once."""
    monkeypatch.setattr(window, "FIRST_ROUND_TRIP", -1.0)
    monkeypatch.setattr(window, "SLACK", -1.0)


class Row(BaseModel):
    name: str
    price: float = 0


def values_of(live: Live, **options: Any) -> Topic[[], Any]:
    """Declare a topic of any JSON."""
    topic: Topic[[], Any] = live.topic("/values", JsonValue, **options)
    return topic


async def acknowledge(speaker: Speaker, **counts: int) -> None:
    """Acknowledge a number of publications of each channel."""
    await speaker.say({"send": {"data": {"wirespeed": {"acknowledge": counts}}}})


async def quiet(speaker: Speaker) -> bool:
    """Return True if no push arrives during a call and its reply."""
    (id_,) = await speaker.say({"rpc": {"method": "none"}})
    return (await speaker.hear()).get("id") == id_


# Batches


async def test_batches(app: FastAPI, live: Live, side: Side) -> None:
    """Values published in one turn of the loop are one publication, with the offset of the last value."""
    topic = values_of(live, keep=100)
    async with lifespan(app), speaking(app, side) as speaker:
        seen = await speaker.subscribed("values", data=BATCHES)
        for value in (1, "two", {"n": 3}):
            topic.publish(value)
        first = (await speaker.push())["pub"]
        topic.publish(None)
        second = (await speaker.push())["pub"]
        if side is JSON_SIDE:  # the SDK does not know it in Protobuf
            assert first.pop("epoch") == seen["epoch"]
        assert (first, second) == ({"data": [1, "two", {"n": 3}], "offset": 3}, {"data": [None], "offset": 4})


async def test_newest(app: FastAPI, live: Live, side: Side) -> None:
    """For a conflated feed, the array has one value."""
    topic = values_of(live, keep="latest")
    topic.publish(0)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("values", data=BATCHES)
        assert await speaker.pub("values") == [0]
        topic.publish(1)
        topic.publish(2)
        assert await speaker.pub("values") == [2]


async def test_tables(app: FastAPI, live: Live, side: Side) -> None:
    """The items are rows, and removals of rows."""
    table = live.topic("/table", Row, by="name")
    table.publish(Row(name="a", price=1))
    table.publish(Row(name="b", price=2))
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("table", data=BATCHES)
        assert await speaker.pub("table") == [
            {"key": "a", "value": {"name": "a", "price": 1.0}},
            {"key": "b", "value": {"name": "b", "price": 2.0}},
        ]
        table.remove("a")
        table.publish(Row(name="b", price=3))
        assert await speaker.pub("table") == [
            {"key": "a", "removed": True},
            {"key": "b", "value": {"name": "b", "price": 3.0}},
        ]


async def test_recovery(app: FastAPI, live: Live, side: Side) -> None:
    """The values that a returning client has missed are one publication of the reply; later ones follow it."""
    topic = values_of(live, keep=100)
    async with lifespan(app), speaking(app, side) as speaker:
        seen = await speaker.subscribed("values", data=BATCHES)
        for value in range(5):
            topic.publish(value)
        assert await speaker.pub("values") == [0, 1, 2, 3, 4]
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        back = {"recover": True, "epoch": seen["epoch"], "offset": 2, "data": BATCHES}
        again = await speaker.subscribed("values", **back)
        assert (again["recovered"], again["publications"]) == (True, [{"data": [2, 3, 4], "offset": 5}])
        topic.publish(5)
        assert (await speaker.push())["pub"] == {"data": [5], "offset": 6}


async def test_large_values(app: FastAPI, live: Live, side: Side) -> None:
    """A batch has 64 KiB, or one larger value; no value is missing."""
    topic = values_of(live, keep=100)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("values", data=BATCHES)
        for value in range(10):
            topic.publish([value, "x" * 30_000])
        heard: list[Any] = []
        while len(heard) < 10:
            batch = await speaker.pub("values")
            assert len(batch) <= 3
            heard.extend(batch)
        assert [number for number, _ in heard] == list(range(10))


async def test_others_beside(app: FastAPI, live: Live, side: Side) -> None:
    """A client that does not ask for batches gets one publication per value of the same channel."""
    topic = values_of(live, keep=100)
    async with lifespan(app), speaking(app, side) as speaker, speaking(app, side) as other:
        await speaker.subscribed("values", data=BATCHES)
        await other.subscribed("values")
        topic.publish(1)
        topic.publish(2)
        assert await speaker.pub("values") == [1, 2]
        assert [await other.pub("values"), await other.pub("values")] == [1, 2]


async def test_text_and_tags(app: FastAPI, live: Live, side: Side) -> None:
    """Text becomes JSON strings; tags are left out."""
    topic = live.topic("/text", str)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("text", data=BATCHES)
        topic.publish(Tagged("ä", {"side": "buy"}))
        topic.publish('"')
        pub = (await speaker.push())["pub"]
        assert (pub["data"], pub.get("tags")) == (["ä", '"'], None)


async def test_streams(app: FastAPI, live: Live, side: Side) -> None:
    """A run's message is a key beside the reserved one; its values arrive in few publications."""

    @live.stream("/count")
    async def count(message: Annotated[str, Message()]) -> AsyncIterator[str]:
        for number in range(1000):
            yield f"{message} {number}"

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("count", data={**BATCHES, "message": "hi"})
        heard: list[str] = []
        batches = 0
        while "pub" in (push := await speaker.push()):
            heard += push["pub"]["data"]
            batches += 1
        assert heard == [f"hi {number}" for number in range(1000)]
        assert batches < 100
        assert push["unsubscribe"]["code"] == 2000


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"wirespeed": {"batch": True}}},
        {"data": {"wirespeed": {"acknowledges": True}}},
        {"data": BATCHES, "tf": {"key": "a", "cmp": "eq", "val": "b"}},
    ],
)
async def test_refused(app: FastAPI, live: Live, side: Side, fields: Fields) -> None:
    """Unknown options refuse one subscription and affect nothing else."""
    values_of(live)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("values?n=1")
        assert await speaker.refused("values", **fields) == 107
        assert await quiet(speaker)


async def test_bytes(app: FastAPI, live: Live) -> None:
    """There are no arrays of bytes."""

    @live.feed("/bytes")
    async def blobs() -> AsyncIterator[bytes]:
        yield b"\x00"

    async with lifespan(app), speaking(app, PROTOBUF_SIDE) as speaker:
        assert await speaker.refused("bytes", data=BATCHES) == 107


# Acknowledgements


@pytest.mark.usefixtures("impatient")
async def test_newest_waits(app: FastAPI, live: Live, side: Side) -> None:
    """A client that has not painted receives nothing; when it has, the newest value."""
    topic = values_of(live, keep="latest")
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("values", data=ACKNOWLEDGES)
        topic.publish(1)
        assert await speaker.pub("values") == [1]
        for value in range(2, 100):
            topic.publish(value)
            await turns(3)
        assert await quiet(speaker)
        await acknowledge(speaker, values=1)
        assert await speaker.pub("values") == [99]


async def test_ages_of_what_is_painted(app: FastAPI, live: Live, side: Side) -> None:
    """Each acknowledged write of news is one observation of its age; what a client finds when it comes is not, nor are
    acknowledgements that say nothing new."""
    topic = values_of(live, keep=100, replay=10)
    topic.publish(0)

    def painted() -> int:
        return sum(topic.statistics().painted.counts)

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("values", data=ACKNOWLEDGES)
        assert await speaker.pub("values") == [0]
        await acknowledge(speaker, values=1)
        await turns(50)
        assert painted() == 0
        topic.publish(1)
        assert await speaker.pub("values") == [1]
        assert painted() == 0
        for count in (2, 2, 7):
            await acknowledge(speaker, values=count)
        await until(lambda: painted() == 1)
        assert await quiet(speaker)
        assert painted() == 1
        latency, age = topic.statistics().latency, topic.statistics().painted
        assert sum(latency.counts) == 1
        assert 0 < latency.total < age.total


@pytest.mark.usefixtures("impatient")
async def test_everything_waits(app: FastAPI, live: Live, side: Side) -> None:
    """If every value counts, all values in the log follow."""
    topic = values_of(live, keep=100)
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("values", data=ACKNOWLEDGES)
        topic.publish(1)
        assert await speaker.pub("values") == [1]
        for value in range(2, 100):
            topic.publish(value)
            await turns(3)
        assert await quiet(speaker)
        await acknowledge(speaker, values=1, other=7)
        assert await speaker.pub("values") == list(range(2, 100))


@pytest.mark.usefixtures("impatient")
async def test_losses_are_told(app: FastAPI, live: Live, side: Side) -> None:
    """The number of values that fell off the log meanwhile is in a tag of the next batch."""
    topic = values_of(live, keep=10, on_lag="skip")
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("values", data=ACKNOWLEDGES)
        topic.publish(0)
        assert await speaker.pub("values") == [0]
        for value in range(1, 100):
            topic.publish(value)
            await turns(3)
        await acknowledge(speaker, values=1)
        pub = (await speaker.push())["pub"]
        assert (pub["data"], pub["tags"]) == (list(range(90, 100)), {"lost": "89"})


@pytest.mark.usefixtures("impatient")
async def test_each_for_itself(app: FastAPI, live: Live, side: Side) -> None:
    """A subscription that is held back delays neither other subscriptions nor other clients."""
    topic = values_of(live, keep="latest")
    async with lifespan(app), speaking(app, side) as speaker, speaking(app, side) as other:
        for channel in ("values?n=1", "values?n=2", "values?n=3"):
            await speaker.subscribed(channel, data=BATCHES if channel == "values?n=3" else ACKNOWLEDGES)
        await other.subscribed("values", data=ACKNOWLEDGES)
        topic.publish(1)
        assert [await speaker.pub(f"values?n={n}") for n in (1, 2, 3)] == [[1], [1], [1]]
        assert await other.pub("values") == [1]
        await speaker.say({"send": {"data": {"wirespeed": {"acknowledge": {"values?n=2": 1}}}}})
        assert await quiet(speaker)
        topic.publish(2)
        assert [await speaker.pub(f"values?n={n}") for n in (2, 3)] == [[2], [2]]
        assert await quiet(speaker)
        await acknowledge(other, values=1)
        assert await other.pub("values") == [2]


@pytest.mark.usefixtures("impatient")
async def test_streams_wait(app: FastAPI, live: Live, side: Side) -> None:
    """A run advances no further than its client, and ends when its client leaves."""
    yielded: list[int] = []
    ended = asyncio.Event()

    @live.stream("/count")
    async def count() -> AsyncIterator[int]:
        try:
            while True:
                yielded.append(len(yielded))
                yield len(yielded)
        finally:
            ended.set()

    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.subscribed("count", data=ACKNOWLEDGES)
        heard: list[int] = list(await speaker.pub("count"))
        assert await quiet(speaker)
        for batch in range(1, 4):
            await acknowledge(speaker, count=batch)
            heard += await speaker.pub("count")
        assert heard == list(range(1, len(heard) + 1))
        assert len(yielded) - len(heard) < 100
        assert await speaker.ask({"unsubscribe": {"channel": "count"}}) == {"unsubscribe": {}}
        await until(ended.is_set)


@pytest.mark.usefixtures("impatient")
async def test_a_new_subscription_counts_anew(app: FastAPI, live: Live, side: Side) -> None:
    """The publication in a reply counts as the first one."""
    topic = values_of(live, keep=100)
    async with lifespan(app), speaking(app, side) as speaker:
        seen = await speaker.subscribed("values", data=ACKNOWLEDGES)
        topic.publish(1)
        assert await speaker.pub("values") == [1]
        await speaker.ask({"unsubscribe": {"channel": "values"}})
        topic.publish(2)
        again = await speaker.subscribed("values", recover=True, epoch=seen["epoch"], offset=1, data=ACKNOWLEDGES)
        assert [each["data"] for each in again["publications"]] == [[2]]
        topic.publish(3)
        assert await quiet(speaker)
        await acknowledge(speaker, values=1)
        assert await speaker.pub("values") == [3]


async def test_other_messages(app: FastAPI, live: Live, side: Side) -> None:
    """A message that is not an acknowledgement is refused, as without batches."""
    async with lifespan(app), speaking(app, side) as speaker:
        await speaker.say({"send": {"data": {"wirespeed": {"acknowledge": 1}}}})
        assert (await speaker.farewell())[0] == 3508
