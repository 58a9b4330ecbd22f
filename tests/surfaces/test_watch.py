"""The raw WebSocket of feeds and topics: the wishes of clients, and the messages that they receive."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Query, WebSocket
from pydantic import BaseModel

from tests.lanes.turns import turns, until
from tests.live.source import refusal, texts
from wirespeed import Live, Settings, Topic
from wirespeed.log.position import Position
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    name: str
    size: int = 0


# Values on the wire


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (str, 'say "é"', 'say "é"'),
        (bytes, b"\x00\xff", b"\x00\xff"),
        (int, 5, "5"),
        (dict[str, Any], {"a": [1, None]}, '{"a":[1,null]}'),
        (Row, Row(name="x"), '{"name":"x","size":0}'),
        (int | str, "x", '"x"'),
    ],
)
async def test_a_value_is_a_message(app: FastAPI, live: Live, kind: Any, value: Any, message: str | bytes) -> None:
    """Text is a text message as it is, bytes are a binary message, every other value is JSON."""
    topic = live.topic("/values", kind)
    async with lifespan(app), connect(app, "/values") as client:
        topic.publish(value)
        assert await client.receive() == message


@pytest.mark.parametrize(("kind", "value"), [(str, 'say "é"\n'), (int, 5), (Row, {"name": "x", "size": 0})])
async def test_positions(app: FastAPI, live: Live, kind: Any, value: Any) -> None:
    """With ``?positions=1`` each value comes with its position; text is a JSON string."""
    topic = live.topic("/values", kind)
    async with (
        lifespan(app),
        connect(app, "/values?positions=1") as client,
        connect(app, "/values?positions=0") as bare,
    ):
        position = await topic.publish(value)
        assert await client.receive_json() == {"position": str(position), "value": value}
        assert "position" not in await bare.receive_text()


async def test_positions_of_rows(app: FastAPI, live: Live) -> None:
    """Changes and removals of a table come with their positions, too."""
    book = live.topic("/book", Row, by="name")
    async with lifespan(app), connect(app, "/book?positions=1") as client:
        changed = await book.publish(Row(name="a"))
        expected = {"position": str(changed), "key": "a", "value": {"name": "a", "size": 0}}
        assert await client.receive_json() == expected
        removed = await book.remove("a")
        assert await client.receive_json() == {"position": str(removed), "key": "a", "removed": True}


async def test_value_that_cannot_be_encoded(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """A value that fails to encode when it is first needed is logged, counted and skipped."""
    topic: Topic[[], Any] = live.topic("/values", Any, keep="latest")
    async with lifespan(app), connect(app, "/values") as client:
        topic.publish(object())
        await until(lambda: topic.statistics().failed)
        topic.publish(5)
        assert await client.receive() == "5"
    assert "'/values'" in caplog.text


# Resuming


async def test_returning_watcher_goes_on(app: FastAPI, live: Live) -> None:
    """With ``?since=`` a client gets every value after its position: none twice, none missing."""
    topic = live.topic("/numbers", int, keep=100)
    async with lifespan(app):
        positions = [await topic.publish(number) for number in range(10)]
        for offset in (0, 3, 9):
            async with connect(app, f"/numbers?since={positions[offset]}") as client:
                topic.publish(100)
                expected = [*range(offset + 1, 10), *[100] * (1 + (0, 3, 9).index(offset))]
                assert [int(text) for text in await texts(client, len(expected))] == expected


async def test_since_the_beginning(app: FastAPI, live: Live) -> None:
    """Offset 0 of the log's epoch is the position before its first entry."""
    topic = live.topic("/numbers", int)
    async with lifespan(app):
        position = await topic.publish(1)
        async with connect(app, f"/numbers?since={position.epoch}:0") as client:
            assert await client.receive() == "1"


async def test_position_that_the_log_has_no_more(app: FastAPI, live: Live) -> None:
    """A client that was away for too long learns how many values it lost, and gets those that are left."""
    topic = live.topic("/numbers", int, keep=3)
    async with lifespan(app):
        first = await topic.publish(0)
        for number in range(1, 10):
            topic.publish(number)
        async with connect(app, f"/numbers?since={first}") as client:
            assert await client.receive_json() == {"lost": 6}
            assert await texts(client, 3) == ["7", "8", "9"]
        assert topic.statistics().lost == 6


@pytest.mark.parametrize("since", ["other:1", "other:0"])
async def test_position_of_another_life(app: FastAPI, live: Live, since: str) -> None:
    """For another epoch, the number of lost values is unknown; the watcher gets all values that are left."""
    topic = live.topic("/numbers", int, keep=3)
    async with lifespan(app):
        await topic.publish(1)
        async with connect(app, f"/numbers?since={since}") as client:
            assert await client.receive_json() == {"lost": None}
            assert await client.receive() == "1"


async def test_position_beyond_the_head(app: FastAPI, live: Live) -> None:
    """A position beyond the head of the log is unknown to the log."""
    topic = live.topic("/numbers", int)
    async with lifespan(app):
        position = await topic.publish(1)
        async with connect(app, f"/numbers?since={position.epoch}:99") as client:
            assert await client.receive_json() == {"lost": None}


async def test_returning_to_the_newest_value(app: FastAPI, live: Live) -> None:
    """If only the newest value is kept, a client that has it gets the next one; any other client gets it."""
    topic = live.topic("/newest", int, keep="latest")
    async with lifespan(app):
        old = await topic.publish(1)
        newest = await topic.publish(2)
        async with connect(app, f"/newest?since={old}") as one, connect(app, f"/newest?since={newest}") as other:
            assert await one.receive() == "2"
            await turns(10)
            topic.publish(3)
            assert (await one.receive(), await other.receive()) == ("3", "3")


async def test_returning_to_a_table(app: FastAPI, live: Live) -> None:
    """A client that missed changes of a table gets a reset and all rows; a client that missed none resumes."""
    book = live.topic("/book", Row, by="name")
    async with lifespan(app):
        old = await book.publish(Row(name="a"))
        newest = await book.publish(Row(name="b"))
        async with connect(app, f"/book?since={old}") as client:
            assert await client.receive_json() == {"reset": True}
            assert [(await client.receive_json())["key"] for _ in range(2)] == ["a", "b"]
        async with connect(app, f"/book?since={newest}") as client:
            book.publish(Row(name="c"))
            assert (await client.receive_json())["key"] == "c"


async def test_replay_is_for_newcomers(app: FastAPI, live: Live) -> None:
    """A client that resumes gets the values that it missed, and not the replay."""
    topic = live.topic("/numbers", int, replay=5)
    async with lifespan(app):
        for number in range(5):
            position = await topic.publish(number)
        async with connect(app, f"/numbers?since={position}") as client:
            topic.publish(5)
            assert await client.receive() == "5"


async def test_whole_log_is_replayed_while_values_flow(app: FastAPI, live: Live) -> None:
    """With ``replay`` as large as ``keep``, a new client loses no value that is published while it connects."""
    topic = live.topic("/numbers", int, keep=4, replay=4)
    async with lifespan(app):
        for number in range(4):
            topic.publish(number)
        async with connect(app, "/numbers") as client:
            for number in range(4, 10):
                topic.publish(number)
            assert [int(text) for text in await texts(client, 10)] == list(range(10))


# Wishes


@pytest.mark.parametrize("since", ["", ":", "x", "x:", ":1", "x:-1", "x:1:2", "x:1x", "é:1", "x:" + 30 * "9"])
async def test_bad_position(app: FastAPI, live: Live, since: str) -> None:
    """A malformed position is refused with 422 in FastAPI's form, before the connection is accepted."""
    live.topic("/numbers", int)
    refused = await refusal(app, f"/numbers?since={since}")
    assert refused.status == 422
    assert refused.json()["detail"][0]["loc"] == ["query", "since"]


async def test_many_bad_parameters(app: FastAPI, live: Live) -> None:
    """However many parameters are malformed, the answer describes the first of them only."""

    @live.feed("/sum")
    async def sums(of: Annotated[tuple[int, ...], Query()]) -> AsyncIterator[int]:
        yield sum(of)

    refused = await refusal(app, "/sum?" + "&".join(["of=x"] * 200))
    assert refused.status == 422
    assert [each["loc"] for each in refused.json()["detail"]] == [["query", "of", number] for number in range(20)]


@pytest.mark.parametrize("rate", ["", "fast", "0", "0.5", "-1", "nan", "-inf"])
async def test_bad_rate(app: FastAPI, live: Live, rate: str) -> None:
    """A malformed rate is refused with 422 in FastAPI's form, before the connection is accepted."""
    live.topic("/numbers", int)
    refused = await refusal(app, f"/numbers?max_rate={rate}")
    assert refused.status == 422
    [detail] = refused.json()["detail"]
    assert (detail["loc"], detail["input"]) == (["query", "max_rate"], rate)


async def test_lower_rate(app: FastAPI, live: Live) -> None:
    """A client with a lower rate gets the first value at once and then skips to the newest; others do not."""
    topic = live.topic("/numbers", int, keep="latest")
    async with lifespan(app), connect(app, "/numbers?max_rate=20") as slow, connect(app, "/numbers") as fast:
        topic.publish(0)
        assert (await slow.receive(), await fast.receive()) == ("0", "0")
        for number in range(1, 4):
            topic.publish(number)
            assert await fast.receive() == str(number)
        assert slow.waiting == 0
        assert await slow.receive() == "3"


async def test_a_higher_rate_than_the_feeds_is_not_given(app: FastAPI, live: Live) -> None:
    """The lower of the two rates counts."""
    topic = live.topic("/numbers", int, keep="latest", max_rate=1)
    async with lifespan(app), connect(app, "/numbers?max_rate=60") as client:
        topic.publish(0)
        assert await client.receive() == "0"
        topic.publish(1)
        await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(lambda: None))])
        await turns(50)
        assert client.waiting == 0
        assert topic.statistics().delivered == 1


async def test_key_with_the_name_of_a_wish(app: FastAPI, live: Live) -> None:
    """A parameter of the key is not a wish, even if it has the name of one."""
    seen: list[tuple[str, int]] = []

    @live.feed("/numbers")
    async def numbers(since: str = "", positions: int = 0) -> AsyncIterator[int]:
        seen.append((since, positions))
        yield 1
        await asyncio.Event().wait()

    async with lifespan(app), connect(app, "/numbers?since=yesterday&positions=1") as client:
        assert await client.receive() == "1"
    assert seen == [("yesterday", 1)]


# The connection


async def test_feeds_take_no_messages(app: FastAPI, live: Live) -> None:
    """A message of any kind gets an error frame, and the connection stays open."""
    gate = asyncio.Event()

    @live.feed("/ticks")
    async def ticks() -> AsyncIterator[int]:
        await gate.wait()
        yield 1
        await asyncio.Event().wait()

    async with lifespan(app), connect(app, "/ticks") as client:
        await client.send_text("hello")
        await client.send_bytes(b"hello")
        for _ in range(2):
            assert json.loads(await client.receive_text()) == {
                "error": {"code": 422, "message": "This feed takes no messages."}
            }
        gate.set()
        assert await client.receive() == "1"


async def test_dependency_that_accepts(app: FastAPI, live: Live) -> None:
    """A guard may have accepted the connection itself, and may even have sent a message."""

    async def welcome(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("welcome")

    topic = live.topic("/numbers", int, dependencies=[Depends(welcome)], http=False)
    async with lifespan(app), connect(app, "/numbers") as client:
        assert await client.receive() == "welcome"
        topic.publish(1)
        assert await client.receive() == "1"


async def test_leaving_ends_the_watch(app: FastAPI, live: Live) -> None:
    """A client that has left is not counted any more, anywhere."""
    topic = live.topic("/numbers", int)
    async with lifespan(app):
        async with connect(app, "/numbers"):
            assert (topic.statistics().watchers, live.statistics().connections) == (1, 1)
        assert (topic.statistics().watchers, topic.statistics().keys) == (0, 0)
        assert live.statistics().connections == 0


async def test_leaving_in_the_middle_of_a_burst(app: FastAPI, live: Live) -> None:
    """Watchers that come and go while values flow do not disturb a steady one: it gets each value once, in order."""
    topic = live.topic("/numbers", int, keep=1000)
    published = 0

    async def come_and_go() -> None:
        nonlocal published
        for _ in range(20):
            async with connect(app, "/numbers"):
                topic.publish(published)
                published += 1
                await asyncio.sleep(0)

    async with lifespan(app), connect(app, "/numbers", max_waiting=1000) as steady:
        await asyncio.gather(*(come_and_go() for _ in range(10)))
        assert [int(text) for text in await texts(steady, 200)] == list(range(200))
        assert topic.statistics().watchers == 1


async def test_big_message_from_a_client(app: FastAPI) -> None:
    """Messages have the same bounds as on streams."""
    live = Live(app, settings=Settings(max_message_bytes=100))
    live.topic("/numbers", int)
    async with lifespan(app), connect(app, "/numbers") as client:
        await client.send_text("x" * 101)
        assert (await client.receive_json())["error"]["code"] == 413


async def test_bytes_have_no_positions(app: FastAPI, live: Live) -> None:
    """Positions need JSON, which cannot carry bytes: a client that asks for both is refused."""
    live.topic("/bytes", bytes)
    refused = await refusal(app, "/bytes?positions=1")
    assert refused.status == 422
    assert refused.json()["detail"][0]["loc"] == ["query", "positions"]


def test_positions_are_spelled_as_they_are_read() -> None:
    """A client can hand back a position exactly as it received it."""
    assert Position.parse(str(Position("ab", 7))) == Position("ab", 7)
