"""GET on feeds and topics: the newest value, as any HTTP client sees it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.exchanges import Exchange
from tests.lanes.turns import until
from tests.live.source import End, Source, refusal
from wirespeed import Live, Settings
from wirespeed.log.base import Entry
from wirespeed.log.table import TableLog
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    name: str
    size: int = 0


async def got(app: FastAPI, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a GET; ``if_none_match="..."`` is a header."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with Exchange(app, path, given) as exchange:
        return exchange.status, exchange.headers, await exchange.body()


@pytest.mark.parametrize(
    ("kind", "value", "body", "media_type"),
    [
        (str, "é\n", "é\n".encode(), "text/plain; charset=utf-8"),
        (bytes, b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        (int, 5, b"5", "application/json"),
        (Row, Row(name="x"), b'{"name":"x","size":0}', "application/json"),
        (list[int], [1, 2], b"[1,2]", "application/json"),
    ],
)
@pytest.mark.parametrize("keep", ["latest", 10])
async def test_newest_value(
    app: FastAPI, live: Live, kind: Any, value: Any, body: bytes, media_type: str, keep: Any
) -> None:
    """The answer is the newest value alone, in its media type, and caches have to revalidate it."""
    topic = live.topic("/values", kind, keep=keep)
    async with lifespan(app):
        topic.publish(value)
        status, headers, received = await got(app, "/values")
    assert (status, received) == (200, body)
    assert (headers["content-type"], headers["cache-control"]) == (media_type, "no-cache")
    assert headers["vary"] == "accept"


@pytest.mark.parametrize("path", ["/values", "/wrong/x"])
async def test_head_is_a_get_without_a_body(app: FastAPI, live: Live, path: str) -> None:
    """A HEAD gets the status and the headers of the GET, its length included, and no body."""
    topic = live.topic("/values", int)

    @live.topic("/wrong/{number}", int)
    def wrong(number: int) -> None: ...

    async with lifespan(app):
        topic.publish(12345)
        status, headers, _ = await got(app, path)
        async with Exchange(app, path, method="HEAD") as exchange:
            assert (exchange.status, exchange.headers) == (status, headers)
            assert path != "/values" or await exchange.body() == b""


async def test_head_is_the_users_where_the_get_is(app: FastAPI, live: Live) -> None:
    """Beside a user's own GET there is no HEAD of ours; OpenAPI shows none anyway."""
    live.topic("/values", int)
    live.topic("/others", int)
    app.get("/values")(lambda: "mine")
    async with lifespan(app), Exchange(app, "/values", method="HEAD") as exchange:
        assert exchange.status == 405
    assert list(app.openapi()["paths"]["/others"]) == ["get"]


async def test_table(app: FastAPI, live: Live) -> None:
    """The answer for a table is all rows, the latest changes last; an empty table is an empty array."""
    book = live.topic("/book", Row, by="name")
    async with lifespan(app):
        assert (await got(app, "/book"))[0] == 404
        for name in ("a", "b", "c"):
            book.publish(Row(name=name))
        book.publish(Row(name="a", size=1))
        book.remove("b")
        assert (await got(app, "/book"))[2] == b'[{"name":"c","size":0},{"name":"a","size":1}]'


async def test_etag(app: FastAPI, live: Live) -> None:
    """A client that has the newest value gets 304 without a body; after a further value, it gets that."""
    topic = live.topic("/values", int)
    async with lifespan(app):
        position = await topic.publish(1)
        etag = (await got(app, "/values"))[1]["etag"]
        assert etag == f'"{position}"'
        for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            status, headers, body = await got(app, "/values", if_none_match=condition)
            assert (status, body, headers["etag"]) == (304, b"", etag)
        for condition in ('"other"', str(position), ""):
            assert (await got(app, "/values", if_none_match=condition))[0] == 200
        topic.publish(2)
        status, headers, body = await got(app, "/values", if_none_match=etag)
        assert (status, body) == (200, b"2")
        assert headers["etag"] != etag


@pytest.mark.parametrize("options", [{}, {"order_by": "size"}])
async def test_large_table(app: FastAPI, live: Live, monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    """A client that has a table already costs no read of its rows; for GET and HEAD, no entries are made of them."""
    book, made, read = live.topic("/book", Row, by="name", **options), Counter[str](), Counter[str]()
    held, payload = TableLog._held, TableLog._payload

    def counting_held(log: TableLog, *arguments: Any) -> list[Entry]:
        entries = held(log, *arguments)
        made["entries"] += len(entries)
        return entries

    def counting_payload(log: TableLog, row: Any) -> bytes | None:
        read["rows"] += 1
        return payload(log, row)

    monkeypatch.setattr(TableLog, "_held", counting_held)
    monkeypatch.setattr(TableLog, "_payload", counting_payload)
    async with lifespan(app):
        for number in range(100):
            await book.publish(Row(name=str(number), size=number))
        _, headers, body = await got(app, "/book")
        assert (len(json.loads(body)), made["entries"]) == (100, 1)
        async with Exchange(app, "/book", method="HEAD") as exchange:
            assert (exchange.headers["content-length"], made["entries"]) == (str(len(body)), 2)
        read.clear()
        assert (await got(app, "/book", if_none_match=headers["etag"]))[0] == 304
        assert read["rows"] == 1


async def test_etag_tells_a_removal(app: FastAPI, live: Live) -> None:
    """A table that has lost a row has another ETag, whichever row it was."""
    book = live.topic("/book", Row, by="name")
    async with lifespan(app):
        for name in ("a", "b", "c"):
            book.publish(Row(name=name))
        for row, left in (("a", [b"b", b"c"]), ("c", [b"b"])):
            etag = (await got(app, "/book"))[1]["etag"]
            await book.remove(row)
            status, _, body = await got(app, "/book", if_none_match=etag)
            assert status == 200
            assert [name in body for name in (b'"a"', b'"b"', b'"c"')] == [name in left for name in (b"a", b"b", b"c")]


async def test_topic_without_a_value(app: FastAPI, live: Live) -> None:
    """A topic without a value is 404 at once, with the reason."""
    live.topic("/values", int)
    async with lifespan(app):
        status, _, body = await got(app, "/values")
    assert (status, body) == (404, b'{"detail":"This topic has no value."}')


async def test_starts_the_feed_and_lets_it_end() -> None:
    """A GET counts as a watcher: it starts the generator, waits for its first value, and leaves."""
    app, source = FastAPI(), Source()
    live = Live(app)

    @live.feed("/price/{number}", linger=0)
    async def price(number: int) -> AsyncIterator[int]:
        async for value in source.values(number):
            yield value

    async with lifespan(app):
        getting = [asyncio.ensure_future(got(app, path)) for path in ("/price/7", "/price/007")]
        await until(lambda: source.began)
        assert not any(each.done() for each in getting)
        source.put(5, key=7)
        assert [(each[0], each[2]) for each in await asyncio.gather(*getting)] == [(200, b"5"), (200, b"5")]
        await until(lambda: source.ended)
        assert source.began == source.ended == [7]
        await until(lambda: price.statistics().keys == 0)


async def test_lingering_feed_answers_from_its_run(app: FastAPI, live: Live) -> None:
    """GETs that follow each other within ``linger`` share a run."""
    source = Source()

    @live.feed("/ticks")
    async def ticks() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    async with lifespan(app):
        source.put(1)
        first = await got(app, "/ticks")
        assert first[2] == b"1"
        assert (await got(app, "/ticks", if_none_match=first[1]["etag"]))[0] == 304
    assert source.began == [None]


async def test_feed_without_a_value_in_time() -> None:
    """A feed without a value is 503 after the settings' time, with a time to retry; a watcher beside it stays."""
    app, source = FastAPI(), Source()
    live = Live(app, settings=Settings(first_value_timeout=0.01))

    @live.feed("/ticks")
    async def ticks() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    async with lifespan(app), connect(app, "/ticks") as client:
        status, headers, body = await got(app, "/ticks")
        assert (status, headers["retry-after"]) == (503, "1")
        assert body == b'{"detail":"No value came within 0.01 seconds."}'
        source.put(1)
        assert await client.receive() == "1"
        assert (await got(app, "/ticks"))[2] == b"1"


async def test_feed_whose_last_run_does_not_end() -> None:
    """While a previous run is stopping, new clients of every kind get 503 after the settings' time."""
    app, closing, may_end = FastAPI(), asyncio.Event(), asyncio.Event()
    live = Live(app, settings=Settings(first_value_timeout=0.01))

    @live.feed("/ticks", linger=0)
    async def ticks() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closing.set()
            await may_end.wait()

    async with lifespan(app):
        assert (await got(app, "/ticks"))[2] == b"1"
        await closing.wait()
        for headers in ({}, {"accept": "text/event-stream"}):
            status, told, _ = await got(app, "/ticks", **headers)
            assert (status, told["retry-after"]) == (503, "1")
        assert (await refusal(app, "/ticks")).status == 503
        may_end.set()


async def test_feed_that_ends_without_a_value(app: FastAPI, live: Live) -> None:
    """A feed that completes without a value is 404 at once."""
    source = Source()

    @live.feed("/ticks")
    async def ticks() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    source.put(End)
    async with lifespan(app):
        status, _, body = await got(app, "/ticks")
    assert (status, body) == (404, b'{"detail":"This feed has no value."}')


async def test_client_that_leaves_while_it_waits(app: FastAPI, live: Live) -> None:
    """A request that is cancelled does not hold the feed."""
    source = Source()

    @live.feed("/ticks", linger=0)
    async def ticks() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    async with lifespan(app):
        getting = asyncio.ensure_future(got(app, "/ticks"))
        await until(lambda: source.began)
        getting.cancel()
        exchange = ticks.statistics()
        assert exchange.keys == 1
        await asyncio.wait([getting])
    assert source.ended == [None]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, */*", "text/event-stream;q=0, */*"])
async def test_who_does_not_ask_for_events_gets_the_value(app: FastAPI, live: Live, accept: str) -> None:
    """Only a client that prefers ``text/event-stream`` gets events."""
    topic = live.topic("/values", int)
    async with lifespan(app):
        topic.publish(1)
        assert (await got(app, "/values", accept=accept))[2] == b"1"


async def test_wishes_do_not_matter(app: FastAPI, live: Live) -> None:
    """Wishes that only apply to watchers are ignored."""
    topic = live.topic("/values", int)
    async with lifespan(app):
        topic.publish(1)
        assert (await got(app, "/values?max_rate=no&since=no"))[0] == 200
