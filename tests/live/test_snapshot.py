"""Whole tables: a feed yields a snapshot, which takes the place of all rows at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.exchanges import Exchange, events_of
from tests.live.multiplexing import speaking
from tests.live.source import Source
from wirespeed import DeclarationError, Feed, Live, Settings, Snapshot, Tagged
from wirespeed.testing import WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    id: int
    text: str = ""


def rows(*ids: int, text: str = "") -> list[Row]:
    return [Row(id=each, text=text) for each in ids]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def table(live: Live, source: Source) -> Feed[[], Row]:
    """A table whose generator yields rows and whole tables."""

    @live.feed("/table", by="id", linger=0)
    async def table() -> AsyncIterator[Row | Snapshot[Row]]:
        async for value in source.values():
            yield value

    return assert_type(table, Feed[[], Row])


async def changes(client: WebSocketClient, count: int) -> list[Any]:
    """Return the next changes: the key and the text of a row, or None if it was removed."""
    seen = [await client.receive_json() for _ in range(count)]
    return [(each["key"], None if each.get("removed") else each["value"]["text"]) for each in seen]


async def test_only_differences_are_sent(app: FastAPI, table: Feed[[], Row], source: Source) -> None:
    """Removed rows are removed and changed ones sent; those that are the same are not sent again."""
    async with lifespan(app), connect(app, "/table") as watcher:
        source.put(Snapshot(rows(1, 2, 3)))
        assert await changes(watcher, 3) == [(1, ""), (2, ""), (3, "")]
        source.put(Snapshot([*rows(2), *rows(3, text="new"), Tagged(Row(id=4), {"a": "b"})]))
        assert await changes(watcher, 3) == [(1, None), (3, "new"), (4, "")]
        source.put(Snapshot([*rows(2), *rows(3, text="new"), Tagged(Row(id=4), {"a": "b"})]), Row(id=5))
        assert await changes(watcher, 1) == [(5, "")]
        source.put(Snapshot([]))
        assert sorted(await changes(watcher, 4)) == [(2, None), (3, None), (4, None), (5, None)]
        assert await table.snapshot() == []


async def test_each_surface_sees_whole_tables(app: FastAPI, table: Feed[[], Row], source: Source) -> None:
    """Watchers of all surfaces get the changes of a swap, and a GET gets all rows of one snapshot."""
    async with lifespan(app), speaking(app) as page, events_of(app, "/table") as events:
        await page.subscribed("table")
        source.put(Snapshot(rows(1)))
        assert await page.pub("table") == {"key": 1, "value": {"id": 1, "text": ""}}
        assert [json.loads(each.data)["key"] for each in await events.events(1)] == [1]
        source.put(Snapshot(rows(2)))
        assert [await page.pub("table"), (await page.pub("table"))["key"]] == [{"key": 1, "removed": True}, 2]
        assert [json.loads(each.data)["key"] for each in await events.events(2)] == [1, 2]
        async with Exchange(app, "/table") as answer:
            assert json.loads(await answer.body()) == [{"id": 2, "text": ""}]


async def test_no_half_table(app: FastAPI, live: Live) -> None:
    """Whenever a table is read while it is swapped all the time, it has the rows of one snapshot."""

    @live.feed("/swaps", by="id", linger=0)
    async def swaps() -> AsyncIterator[Snapshot[Row]]:
        number = 0
        while True:
            number += 1
            yield Snapshot(rows(*range(number % 7, 20), text=str(number)))
            await asyncio.sleep(0)

    async with lifespan(app), connect(app, "/swaps?max_rate=60"):
        seen: set[str] = set()
        while len(seen) < 20:
            held = await swaps.snapshot()
            texts = {each.text for each in held}
            assert len(texts) <= 1
            for text in texts:
                assert [each.id for each in sorted(held, key=lambda each: each.id)] == list(range(int(text) % 7, 20))
            seen |= texts
            await asyncio.sleep(0)


async def test_generator_in_a_thread(app: FastAPI, live: Live) -> None:
    """A plain generator yields snapshots, too; their state is taken in its thread."""

    @live.feed("/table", by="id", linger=0)
    def table() -> Iterator[Snapshot[dict[str, int]]]:
        row = {"id": 1, "n": 1}
        yield Snapshot([row])
        row["n"] = 2

    async with lifespan(app), connect(app, "/table") as watcher:
        assert await watcher.receive_json() == {"key": 1, "value": {"id": 1, "n": 1}}


async def test_snapshot_that_is_too_large(app: FastAPI, source: Source) -> None:
    """A snapshot with more rows than a table may have changes nothing; the generator fails. A row counts once."""
    app = FastAPI()
    live = Live(app, settings=Settings(max_table_rows=3))

    @live.feed("/table", by="id", linger=0)
    async def table() -> AsyncIterator[Snapshot[Row]]:
        async for value in source.values():
            yield value

    async with lifespan(app), connect(app, "/table") as watcher:
        source.put(Snapshot(rows(1, 2, 3)))
        await changes(watcher, 3)
        source.put(Snapshot(rows(4, 5, 6, 7)), Snapshot([*rows(4, 5), *rows(4, 5, 6)]))
        assert await changes(watcher, 6) == [(1, None), (2, None), (3, None), (4, ""), (5, ""), (6, "")]
        assert table.statistics().restarts == 1


async def test_row_that_cannot_be_encoded(app: FastAPI, table: Feed[[], Row], source: Source) -> None:
    """A row that cannot be encoded is missing in its snapshot, and counted."""
    async with lifespan(app), connect(app, "/table") as watcher:
        source.put(Snapshot([Row(id=1), object(), Row(id=2)]))
        assert await changes(watcher, 2) == [(1, ""), (2, "")]
        assert table.statistics().failed == 1


def test_snapshot_needs_a_table(live: Live) -> None:
    """A feed without ``by=`` cannot yield snapshots."""
    with pytest.raises(DeclarationError, match="name the field of a row's key with by="):

        @live.feed("/table")
        async def table() -> AsyncIterator[Snapshot[Row]]:
            yield Snapshot([])
