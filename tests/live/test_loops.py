"""Loops of the app's own code over feeds and topics: ``async for value in feed.watch(...)``."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, assert_type

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from tests.brokers.valkey import Valkey
from tests.lanes.turns import turns, until
from tests.live.source import End, Source
from wirespeed import InvalidKey, Live, RowChange, Stopped, WatchEnded
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    id: int
    text: str = ""


@pytest.fixture
def source() -> Source:
    """A generator that the test controls."""
    return Source()


async def started(loop: AsyncGenerator[Any, None]) -> "asyncio.Task[Any]":
    """Return the task of a loop's first step, which has begun to watch."""
    task = asyncio.ensure_future(anext(loop))
    await turns(20)
    return task


async def test_loop_over_a_topic(app: FastAPI, live: Live) -> None:
    """A loop gets all values that are published after its first step, as their types, and counts as a watcher."""
    rows = live.topic("/rows", Row, keep=10)
    async with lifespan(app):
        loop = rows.watch()
        assert_type(loop, AsyncGenerator[Row, None])
        first = await started(loop)
        assert rows.statistics().watchers == 1
        for number in range(3):
            rows.publish(Row(id=number))
        assert [await first, await anext(loop), await anext(loop)] == [Row(id=number) for number in range(3)]
        await loop.aclose()
        assert rows.statistics().watchers == 0


async def test_loop_over_a_feed_runs_its_generator(app: FastAPI, live: Live, source: Source) -> None:
    """A loop starts the generator of its key, and ends with it; the key is validated when the loop is made."""

    @live.feed("/feed/{key}", keep=10)
    async def feed(key: int) -> AsyncIterator[int]:
        async for value in source.values(key):
            yield value

    async with lifespan(app):
        source.put(1, 2, End, key=7)
        assert [value async for value in feed.watch(7)] == [1, 2]
        assert (source.began, source.ended) == ([7], [7])
        with pytest.raises(InvalidKey):
            feed.watch("x")  # type: ignore[arg-type]


async def test_loop_that_breaks_leaves(app: FastAPI, live: Live) -> None:
    """A loop that ends by ``break`` or by a cancellation gives its place back."""
    news = live.topic("/news", str, keep=10, replay=1)
    async with lifespan(app):
        await news.publish("a")
        async for value in news.watch():
            assert value == "a"
            break
        await until(lambda: news.statistics().watchers == 0)

        async def endless() -> None:
            async for _ in news.watch():
                pass

        task = asyncio.create_task(endless())
        await until(lambda: news.statistics().watchers == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert news.statistics().watchers == 0


async def test_slow_loop_skips_to_the_newest(app: FastAPI, live: Live) -> None:
    """With ``keep="latest"``, a loop that was busy gets the newest value, and none that was current before."""
    price = live.topic("/price", int, keep="latest")
    async with lifespan(app):
        slow, quick = price.watch(), price.watch()
        firsts = [await started(loop) for loop in (slow, quick)]
        price.publish(0)
        assert [await first for first in firsts] == [0, 0]
        for number in (1, 2, 3):
            step = await started(quick)
            price.publish(number)
            assert await step == number  # in the round that serves it, the slow one could have been served, too
        assert await anext(slow) == 3
        await slow.aclose()
        await quick.aclose()


async def test_slow_loop_falls_behind(app: FastAPI, live: Live) -> None:
    """A loop that is too slow for its log ends with the number of lost values; with "skip" it goes on."""
    strict = live.topic("/strict", int, keep=2)
    skipping = live.topic("/skipping", int, keep=2, on_lag="skip")
    async with lifespan(app):
        loops = [strict.watch(), skipping.watch()]
        firsts = [await started(loop) for loop in loops]
        for number in range(6):
            strict.publish(number)
            skipping.publish(number)
            if number == 0:
                assert [await first for first in firsts] == [0, 0]
        with pytest.raises(WatchEnded) as ended:
            await anext(loops[0])
        assert ended.value.lost == 3
        assert "3 values were lost" in str(ended.value)
        assert [await anext(loops[1]) for _ in range(2)] == [4, 5]
        assert skipping.statistics().lost == 3
        await loops[1].aclose()


async def test_loops_go_on_when_their_log_is_emptied(app: FastAPI, live: Live) -> None:
    """An emptied log, and a table that has no rows any more, are no end; ``on_lag="close"`` reports the loss."""
    rows = live.topic("/rows", Row, by="id")
    newest = live.topic("/newest", int, keep="latest")
    skipping = live.topic("/skipping", int, keep=5, on_lag="skip")
    strict = live.topic("/strict", int, keep=5)
    async with lifespan(app):
        changes, values = rows.changes(), [newest.watch(), skipping.watch(), strict.watch()]
        firsts = [await started(loop) for loop in (changes, *values)]
        rows.publish(Row(id=1))
        for topic in (newest, skipping, strict):
            topic.publish(1)
        await asyncio.gather(*firsts)
        nexts = [await started(loop) for loop in values]
        for each in (rows, newest, skipping, strict):
            await each.clear()
        assert (await anext(changes)).kind == "reset"
        change = await started(changes)
        rows.publish(Row(id=2))
        for topic in (newest, skipping, strict):
            topic.publish(2)
        assert (await change).row == 2
        assert [await nexts[0], await nexts[1]] == [2, 2]
        with pytest.raises(WatchEnded, match="the log was emptied or began again"):
            await nexts[2]
        await rows.remove(2)
        late = rows.changes()
        change = await started(late)
        rows.publish(Row(id=3))
        assert (await change).row == 3
        for loop in (changes, late, *values):
            await loop.aclose()


async def test_loop_over_a_table(app: FastAPI, live: Live) -> None:
    """A loop over a table gets all rows, and then each change."""
    rows = live.topic("/rows", Row, by="id")
    async with lifespan(app):
        await rows.publish(Row(id=1))
        loop = rows.changes()
        assert_type(loop, AsyncGenerator[RowChange[Row], None])
        assert await anext(loop) == RowChange("value", 1, Row(id=1))
        rows.publish(Row(id=2, text="new"))
        assert await anext(loop) == RowChange("value", 2, Row(id=2, text="new"))
        rows.remove(1)
        assert await anext(loop) == RowChange("removed", 1)
        for text in "abc":
            rows.publish(Row(id=2, text=text))
        assert await anext(loop) == RowChange("value", 2, Row(id=2, text="c"))
        await loop.aclose()
        with pytest.raises(TypeError, match="changes"):
            rows.watch()
    with pytest.raises(TypeError, match="watch"):
        live.topic("/news", str).changes()


async def test_bytes_and_text(app: FastAPI, live: Live) -> None:
    """Values of all kinds come as they were published, the empty ones too."""
    data, text = live.topic("/data", bytes, keep=10, replay=10), live.topic("/text", str, keep=10, replay=10)
    async with lifespan(app):
        for value in ("", "ö\n", "x" * 100_000):
            data.publish(value.encode())
            await text.publish(value)
        async with AsyncExitStack() as stack:
            seen = [data.watch(), text.watch()]
            for each in seen:
                stack.push_async_callback(each.aclose)
            for value in ("", "ö\n", "x" * 100_000):
                assert [await anext(each) for each in seen] == [value.encode(), value]


async def test_generator_refuses_a_loop(app: FastAPI, live: Live, source: Source) -> None:
    """An ``HTTPException`` of the generator ends the loops over it with its status."""

    @live.feed("/feed")
    async def feed() -> AsyncIterator[int]:
        async for value in source.values():
            yield value

    async with lifespan(app):
        source.put(HTTPException(404, "no such price"))
        for _ in range(2):  # while it runs, and while the refusal stands
            with pytest.raises(WatchEnded) as ended:
                await anext(feed.watch())
            assert ended.value.status == 404
            assert "no such price" in str(ended.value)


async def test_loop_ends_with_the_app(app: FastAPI, live: Live) -> None:
    """A loop that waits when the app stops ends, and a later one is refused."""
    news = live.topic("/news", str)
    async with lifespan(app):
        loop = news.watch()
        first = await started(loop)
    with pytest.raises(StopAsyncIteration):
        await first
    with pytest.raises(Stopped):
        await anext(news.watch())


async def test_topic_is_complete(app: FastAPI, live: Live) -> None:
    """A loop gets everything before the end of a complete topic, and ends."""
    news = live.topic("/news", str, keep=10, replay=10)
    async with lifespan(app):
        news.publish("a")
        news.publish("b")
        await news.complete()
        assert [value async for value in news.watch()] == ["a", "b"]


async def test_loops_of_other_processes(server: Valkey) -> None:
    """With a broker, a loop gets what other processes publish."""
    server.command("FLUSHALL")
    async with AsyncExitStack() as stack:
        topics = []
        for _ in range(2):
            other = FastAPI()
            live = Live(other, broker=f"redis://127.0.0.1:{server.port}")
            topics.append(live.topic("/news", str, keep=10, replay=10))
            await stack.enter_async_context(lifespan(other))
        await topics[0].publish("a")
        loop = topics[1].watch()
        assert await anext(loop) == "a"
        await topics[0].publish("b")
        assert await anext(loop) == "b"
        await topics[0].complete()
        with pytest.raises(StopAsyncIteration):
            await anext(loop)


async def test_row_that_clients_cannot_send(app: FastAPI, live: Live) -> None:
    """A loop over a table gets the key of each row, also if it is a number that no client could send."""
    rows, row = live.topic("/rows", Row, by="id"), Row(id=10**400)
    async with lifespan(app):
        await rows.publish(row)
        loop = rows.changes()
        assert await anext(loop) == RowChange("value", row.id, row)
        await loop.aclose()
