"""Server-Sent Events of feeds and topics, as an EventSource sees them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request

from tests.exchanges import Event, Exchange, events_of
from tests.lanes.turns import turns, until
from tests.live.source import End, Source
from wirespeed import Feed, Live, Settings
from wirespeed.surfaces.get import answer
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    name: str
    size: int = 0


@pytest.fixture
def source() -> Source:
    """Return the source of the feed's values."""
    return Source()


@pytest.fixture
def ticks(live: Live, source: Source) -> Feed[[], int]:
    """Return a feed that keeps ten values, and does not linger."""

    @live.feed("/ticks", keep=10, linger=0)
    async def ticks() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    return ticks


async def test_head(app: FastAPI, live: Live) -> None:
    """The head comes at once, with headers that keep caches and proxies from delaying events."""
    live.topic("/news", str)
    async with lifespan(app), events_of(app, "/news") as exchange:
        assert exchange.status == 200
        assert exchange.headers["content-type"].startswith("text/event-stream")
        assert exchange.headers["x-accel-buffering"] == "no"
        assert exchange.headers["vary"] == "accept"
        assert await exchange.block() == ":"


@pytest.mark.parametrize(
    ("kind", "value", "lines"),
    [
        (int, 5, ["data: 5"]),
        (Row, Row(name="é"), ['data: {"name":"é","size":0}']),
        (str, "", ["data: "]),
        (str, " x: y", ["data:  x: y"]),
        (str, "a\nb\r\nc\rd\n", ["data: a", "data: b", "data: c", "data: d", "data: "]),
        (str, "id: 5\n\nevent: evil", ["data: id: 5", "data: ", "data: event: evil"]),
    ],
)
async def test_value_is_an_event(app: FastAPI, live: Live, kind: Any, value: Any, lines: list[str]) -> None:
    """A value is a message whose id is its position; no value can forge a line of its own."""
    topic = live.topic("/values", kind)
    async with lifespan(app), events_of(app, "/values") as exchange:
        await exchange.block()
        position = await topic.publish(value)
        assert await exchange.block() == "\n".join([f"id: {position}", *lines])


async def test_events_and_websockets_watch_alike(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """Events and WebSockets share a run, and are counted alike."""
    async with lifespan(app), connect(app, "/ticks") as client, events_of(app, "/ticks") as exchange:
        assert ticks.statistics().watchers == 2
        source.put(1)
        assert (await client.receive(), (await exchange.event()).data) == ("1", "1")
    assert source.began == [None]


async def test_table(app: FastAPI, live: Live) -> None:
    """A table is all rows, then changes and removals."""
    book = live.topic("/book", Row, by="name")
    async with lifespan(app):
        book.publish(Row(name="a"))
        async with events_of(app, "/book") as exchange:
            assert (await exchange.event()).data == '{"key":"a","value":{"name":"a","size":0}}'
            position = await book.remove("a")
            assert await exchange.event() == Event('{"key":"a","removed":true}', str(position))


# Resuming


async def test_last_event_id(app: FastAPI, live: Live) -> None:
    """A client that reconnects with its last id, or with ``?since=``, gets every later value, none twice."""
    topic = live.topic("/numbers", int)
    async with lifespan(app):
        async with events_of(app, "/numbers") as exchange:
            topic.publish(0)
            topic.publish(1)
            last = (await exchange.events(2))[-1].id
            assert last
        for number in (2, 3):
            topic.publish(number)
        for again in (events_of(app, "/numbers", last_event_id=last), events_of(app, f"/numbers?since={last}")):
            async with again as exchange:
                assert [event.data for event in await exchange.events(2)] == ["2", "3"]


async def test_last_event_id_comes_before_since(app: FastAPI, live: Live) -> None:
    """An EventSource reconnects to the same address: its newer position counts, not the one in the address."""
    topic = live.topic("/numbers", int)
    async with lifespan(app):
        positions = [await topic.publish(number) for number in range(3)]
        path = f"/numbers?since={positions[0]}"
        async with events_of(app, path, last_event_id=str(positions[1])) as exchange:
            assert (await exchange.event()).data == "2"


async def test_lost_position(app: FastAPI, live: Live) -> None:
    """A client that was away for too long learns how many values it lost, and gets those that are left."""
    topic = live.topic("/numbers", int, keep=3)
    async with lifespan(app):
        positions = [await topic.publish(number) for number in range(10)]
        async with events_of(app, "/numbers", last_event_id=str(positions[0])) as exchange:
            assert await exchange.event() == Event("6", None, "lost")
            assert [event.data for event in await exchange.events(3)] == ["7", "8", "9"]


@pytest.mark.parametrize("last", ["other:5", "nonsense", "x:y"])
async def test_id_that_is_not_ours(app: FastAPI, live: Live, last: str) -> None:
    """With any other last id, the client learns that it cannot resume, and gets all values that are left."""
    topic = live.topic("/numbers", int, keep=3)
    async with lifespan(app):
        topic.publish(1)
        async with events_of(app, "/numbers", last_event_id=last) as exchange:
            assert await exchange.event() == Event("null", None, "lost")
            assert (await exchange.event()).data == "1"


@pytest.mark.parametrize("last", ["", " "])
async def test_empty_last_id_is_none(app: FastAPI, live: Live, last: str) -> None:
    """A client that has seen no value is a new one, and learns of no loss."""
    topic = live.topic("/numbers", int, keep=3, replay=1)
    async with lifespan(app):
        topic.publish(1)
        async with events_of(app, "/numbers", last_event_id=last) as exchange:
            assert (await exchange.event()).data == "1"


async def test_returning_to_a_table(app: FastAPI, live: Live) -> None:
    """A watcher that reconnects to a table that has changed gets a reset and all rows."""
    book = live.topic("/book", Row, by="name")
    async with lifespan(app):
        old = await book.publish(Row(name="a"))
        await book.remove("a")
        book.publish(Row(name="b"))
        async with events_of(app, "/book", last_event_id=str(old)) as exchange:
            assert (await exchange.event()).type == "reset"
            assert '"key":"b"' in (await exchange.event()).data


# Ends


async def test_complete(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """The last event of a complete feed has an id of its own; a client that reconnects with it gets 204."""
    async with lifespan(app):
        async with events_of(app, "/ticks") as exchange:
            source.put(1, End)
            assert (await exchange.event()).data == "1"
            assert await exchange.event() == Event("", "complete", "complete")
            with pytest.raises(EOFError):
                await exchange.event()
        async with events_of(app, "/ticks", last_event_id="complete") as exchange:
            assert (exchange.status, await exchange.body()) == (204, b"")
        assert source.began == [None]


async def test_leaving_ends_the_watch(app: FastAPI, live: Live, ticks: Feed[[], int], source: Source) -> None:
    """A client that has left is not a watcher any more; a feed without watchers ends."""
    async with lifespan(app):
        async with events_of(app, "/ticks") as exchange:
            source.put(1)
            await exchange.event()
            assert (ticks.statistics().watchers, live.statistics().lanes) == (1, {"http": 1})
        assert (ticks.statistics().watchers, live.statistics().connections) == (0, 0)
        await until(lambda: source.ended)


async def test_shutdown_ends_the_response(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """When the app stops, all published values are written and the response ends, so that the client reconnects."""
    async with lifespan(app):
        exchange = await events_of(app, "/ticks").__aenter__()
        source.put(1)
        assert (await exchange.event()).data == "1"
    with pytest.raises(EOFError):
        await exchange.event()
    await exchange.__aexit__(None, None, None)
    assert source.ended == [None]


async def test_what_was_published_before_a_shutdown_is_written(app: FastAPI, live: Live) -> None:
    """The last publications before a stop are written, even if it is not the clock's turn."""
    topic = live.topic("/numbers", int)
    async with lifespan(app):
        exchange = await events_of(app, "/numbers").__aenter__()
        for number in range(50):
            topic.publish(number)
    assert [event.data for event in await exchange.events(50)] == [str(number) for number in range(50)]
    await exchange.__aexit__(None, None, None)


# Refusals


async def test_bytes_are_refused(app: FastAPI, live: Live) -> None:
    """Server-Sent Events are text: bytes are refused with 406."""
    live.topic("/bytes", bytes)
    async with lifespan(app), events_of(app, "/bytes") as exchange:
        assert exchange.status == 406
        assert b"bytes" in await exchange.body()


@pytest.mark.parametrize("wish", ["max_rate=0", "max_rate=fast", "since=nonsense"])
async def test_bad_wishes_are_refused(app: FastAPI, live: Live, wish: str) -> None:
    """Invalid wishes are refused with 422, as on WebSockets."""
    live.topic("/numbers", int)
    async with lifespan(app), events_of(app, f"/numbers?{wish}") as exchange:
        assert exchange.status == 422


# Quiet times, and rates


async def test_heartbeat() -> None:
    """A quiet response gets a comment once per interval."""
    app = FastAPI()
    Live(app, settings=Settings(heartbeat_interval=0.01)).topic("/news", str)
    async with lifespan(app), events_of(app, "/news") as exchange:
        assert [await exchange.block() for _ in range(4)] == [":"] * 4


async def test_lower_rate(app: FastAPI, live: Live) -> None:
    """``?max_rate=`` applies to events, too: the first value comes at once, then the newest."""
    topic = live.topic("/numbers", int, keep="latest")
    async with lifespan(app), events_of(app, "/numbers?max_rate=20") as exchange:
        topic.publish(0)
        assert (await exchange.event()).data == "0"
        for number in (1, 2, 3):
            topic.publish(number)
            await turns(3)
        assert (await exchange.event()).data == "3"


@pytest.mark.parametrize("path", ["/ticks", "/live/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D"])
async def test_head_is_a_get_without_a_body(
    app: FastAPI, live: Live, ticks: Feed[[], int], source: Source, path: str
) -> None:
    """A HEAD gets the headers of the response at once; it watches nothing, and holds no stream."""
    headers = {"accept": "text/event-stream"}
    async with lifespan(app), Exchange(app, path, headers, method="HEAD") as exchange:
        assert (exchange.status, await exchange.body()) == (200, b"")
        assert exchange.headers["content-type"].startswith("text/event-stream")
        assert (ticks.statistics().keys, live.statistics().connections, source.began) == (0, 0, [])


async def test_response_that_is_never_sent_holds_nothing(app: FastAPI, live: Live, ticks: Feed[[], int]) -> None:
    """If middleware replaces a response or the app fails after the endpoint, no watcher, run or key is left behind."""
    scope = {"type": "http", "method": "GET", "headers": [(b"accept", b"text/event-stream")], "query_string": b""}
    async with lifespan(app):
        response = await answer(Request(scope), ticks._definition, app.state.wirespeed.hub, {})
        assert response.media_type == "text/event-stream"
        assert (ticks.statistics().keys, live.statistics().connections) == (0, 0)


async def test_refused_response_is_an_http_answer(app: FastAPI) -> None:
    """A client for whose key there is no room gets a status, and is not counted as accepted."""
    live = Live(app, settings=Settings(max_keys=1))

    @live.topic("/news/{number}", str)
    def news(number: int) -> None: ...

    async with lifespan(app), events_of(app, "/news/1"), events_of(app, "/news/2") as exchange:
        assert exchange.status == 503
        assert (live.statistics().accepted, live.statistics().refused) == (1, {"too many keys": 1})


async def test_many_at_once(app: FastAPI, ticks: Feed[[], int], source: Source) -> None:
    """Each of many responses gets each value once, in order."""
    async with lifespan(app):
        exchanges = [await events_of(app, "/ticks").__aenter__() for _ in range(20)]
        for number in range(50):
            source.put(number)
        received = await asyncio.gather(*(exchange.events(50) for exchange in exchanges))
        for events in received:
            assert [event.data for event in events] == [str(number) for number in range(50)]
        assert len({tuple(events) for events in received}) == 1
        for exchange in exchanges:
            await exchange.__aexit__(None, None, None)
