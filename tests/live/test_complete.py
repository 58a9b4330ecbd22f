"""A feed or topic that is complete stays so: clients that come later get its values and the completion."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.centrifuge.sides import SIDES, Side
from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.live.source import End, Source, farewell
from tests.waiting import PATIENCE, until_async
from wirespeed import Feed, Live, Position, Publisher, Topic, TopicComplete
from wirespeed.testing import Closed, connect, lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on the loop of every app: the time of another process passes."""
    return "asyncio"


@pytest.fixture
def source() -> Source:
    """Return what controls the generators."""
    return Source()


EVENTS = {"accept": "text/event-stream"}


class Row(BaseModel):
    name: str
    price: int


class Process:
    """One process of an app, with a feed and a topic of numbers, and tables."""

    def __init__(self, source: Source, **options: Any) -> None:
        self.app = FastAPI()
        live = Live(self.app, **options)
        self.count: Feed[[str], int] = live.feed("/count/{key}", keep=10)(source.values)
        self.newest: Feed[[str], int] = live.feed("/newest/{key}")(source.values)
        self.rows: Feed[[str], Row] = live.feed("/rows/{key}", by="name")(_rows(source))
        self.again: Feed[[str], int] = live.feed("/again/{key}", keep=10, after_end="restart")(source.values)
        self.short: Feed[[str], int] = live.feed("/short/{key}", retain=0)(source.values)
        self.log: Topic[[], int] = live.topic("/log", int)


def _rows(source: Source) -> Callable[[str], AsyncIterator[Row]]:
    async def rows(key: str) -> AsyncIterator[Row]:
        async for price in source.values(key):
            yield Row(name=f"row{price % 2}", price=price)

    return rows


Processes = tuple[Process, Process]


@asynccontextmanager
async def processes(source: Source, url: str | None) -> AsyncIterator[Processes]:
    """Return two processes that share a broker, or twice the same one without it."""
    one = Process(source, broker=url)
    other = one if url is None else Process(source, broker=url)
    async with AsyncExitStack() as stack:
        for each in {one, other}:
            await stack.enter_async_context(lifespan(each.app))
        yield one, other


@pytest.fixture(params=["alone", "broker"])
async def two(request: pytest.FixtureRequest, source: Source) -> AsyncIterator[Processes]:
    """Return the process in which feeds run first, and the one to which clients come late."""
    url = None if request.param == "alone" else request.getfixturevalue("url")
    async with processes(source, url) as two:
        yield two


async def everything(process: Process, path: str) -> list[Any]:
    """Return what a WebSocket receives, and the code and reason of its close."""
    got: list[Any] = []
    async with connect(process.app, path) as client:
        try:
            while True:
                got.append(await client.receive_json())
        except Closed as closed:
            return [*got, (closed.code, closed.reason)]


async def run(process: Process, source: Source, path: str, *values: int) -> list[Any]:
    """Run a feed to its end for one watcher; return what the watcher receives."""
    source.put(*values, End, key=path.partition("?")[0].rpartition("/")[2])
    return await everything(process, path)


COMPLETE = (1000, "The feed is complete.")


async def test_late_watchers_get_the_values_and_the_completion(two: Processes, source: Source) -> None:
    """The generator does not run again: watchers of any process get all that is kept, and the close."""
    first, late = two
    assert await run(first, source, "/count/a", 1, 2, 3) == [1, 2, 3, COMPLETE]
    for process in (first, late):
        assert await everything(process, "/count/a") == [1, 2, 3, COMPLETE]
    assert source.began == ["a"]


async def test_the_newest_value_stays(two: Processes, source: Source) -> None:
    """A feed with ``keep="latest"`` keeps its last value, and a table its rows."""
    first, late = two
    await run(first, source, "/newest/n", 1, 2)
    await run(first, source, "/rows/r", 1, 2, 3)
    assert await everything(late, "/newest/n") == [2, COMPLETE]
    rows = [{"key": f"row{price % 2}", "value": {"name": f"row{price % 2}", "price": price}} for price in (2, 3)]
    assert await everything(late, "/rows/r") == [*rows, COMPLETE]
    assert await late.newest.latest("n") == 2
    assert source.began == ["n", "r"]


async def test_a_feed_without_values_is_complete(two: Processes, source: Source) -> None:
    """A generator that ends at once does not run again, and a GET is answered at once."""
    first, late = two
    assert await run(first, source, "/count/a") == [COMPLETE]
    assert await everything(late, "/count/a") == [COMPLETE]
    async with Exchange(late.app, "/count/a") as exchange:
        assert (exchange.status, exchange.headers["wirespeed-status"]) == (404, '{"state":"complete"}')
    assert source.began == ["a"]


async def test_resumed_watchers_get_the_rest(two: Processes, source: Source) -> None:
    """A client that returns with a position gets what it has missed and the completion; at the end, only that."""
    first, late = two
    *values, _ = await run(first, source, "/count/a?positions=1", 1, 2, 3)
    at = [each["position"] for each in values]
    assert await everything(late, f"/count/a?since={at[0]}") == [2, 3, COMPLETE]
    assert await everything(late, f"/count/a?since={at[2]}") == [COMPLETE]


async def test_event_sources_stop(two: Processes, source: Source) -> None:
    """Server-Sent Events end with ``complete``, for new and for resumed clients; who has seen it gets 204."""
    first, late = two
    await run(first, source, "/count/a", 1, 2)
    async with Exchange(late.app, "/count/a", EVENTS) as events:
        *_, one, other, last = (await events.body()).decode().strip("\n").split("\n\n")
    assert [each.partition("data: ")[2] for each in (one, other)] == ["1", "2"]
    assert last == "id: complete\nevent: complete\ndata: "
    position = one.partition("\n")[0].removeprefix("id: ")
    async with Exchange(late.app, "/count/a", EVENTS | {"last-event-id": position}) as events:
        body = (await events.body()).decode()
    assert ("data: 1" in body, "data: 2" in body, "event: complete" in body) == (False, True, True)
    async with Exchange(late.app, "/count/a", EVENTS | {"last-event-id": "complete"}) as events:
        assert events.status == 204


async def test_get_has_a_header(two: Processes, source: Source) -> None:
    """A GET returns the last value and says that it is the last; while the feed runs, it does not."""
    first, late = two
    async with connect(first.app, "/count/a") as client:
        source.put(1, key="a")
        assert await client.receive_json() == 1
        async with Exchange(first.app, "/count/a") as exchange:
            assert (await exchange.body(), "wirespeed-status" in exchange.headers) == (b"1", False)
        source.put(End, key="a")
        assert (await farewell(client)).code == 1000
    async with Exchange(late.app, "/count/a") as exchange:
        assert (exchange.status, await exchange.body()) == (200, b"1")
        assert exchange.headers["wirespeed-status"] == '{"state":"complete"}'


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_subscriptions(two: Processes, source: Source, side: Side) -> None:
    """A late subscription gets the values and ends with 2000; one that recovers gets the missed ones in its reply."""
    first, late = two
    await run(first, source, "/count/a", 1, 2, 3)
    ended = {"channel": "count/a", "unsubscribe": {"code": 2000, "reason": "complete"}}
    async with speaking(late.app, side) as speaker:
        heard = await speaker.subscribed("count/a")
        assert [await speaker.pub("count/a") for _ in range(3)] == [1, 2, 3]
        assert await speaker.push() == ended
        again = await speaker.subscribed("count/a", recover=True, epoch=heard["epoch"], offset=1)
        assert [each["data"] for each in again["publications"]] == [2, 3]
        assert await speaker.push() == ended
    assert source.began == ["a"]


async def test_restart_runs_again(two: Processes, source: Source) -> None:
    """With ``after_end="restart"``, the next watcher runs the generator again, and no GET says that it is complete."""
    first, late = two
    assert await run(first, source, "/again/a", 1) == [1, COMPLETE]
    assert await run(late, source, "/again/a", 2) == [2, COMPLETE]
    assert source.began == ["a", "a"]


async def test_it_ends_with_retain(two: Processes, source: Source) -> None:
    """When the values have been retained for their time, the next watcher runs the generator again."""
    first, late = two
    assert await run(first, source, "/short/a", 1) == [1, COMPLETE]
    await until_async(lambda: _is_gone(late))
    assert await run(late, source, "/short/a", 2) == [2, COMPLETE]
    assert source.began == ["a", "a"]


async def _is_gone(process: Process) -> bool:
    return await process.short.latest("a") is None


# Topics


async def test_topic_is_complete(two: Processes) -> None:
    """Watchers get everything and the completion, late ones as well; a publication in any process is refused."""
    first, late = two
    end = (1000, "The topic is complete.")
    async with connect(first.app, "/log") as one, connect(late.app, "/log") as other:
        first.log.publish(1)
        completed = first.log.complete()
        refused = first.log.publish(2)
        for client in (one, other):
            assert await client.receive_json() == 1
            closed = await farewell(client)
            assert (closed.code, closed.reason) == end
        position = await completed
        assert position.offset == 1
        with pytest.raises(TopicComplete, match="/log"):
            await refused
    with pytest.raises(TopicComplete):
        await late.log.publish(3)
    assert await late.log.complete() == position
    assert await everything(late, "/log") == [1, end]
    assert await late.log.snapshot() == [1]
    assert first.log.statistics().failed + late.log.statistics().failed >= 2


async def test_topic_without_values_is_complete(two: Processes) -> None:
    """A topic that nothing was published to can be complete, too; in a thread the order of calls counts as well."""
    first, late = two
    assert (await first.log.complete()).offset == 0
    assert await everything(late, "/log") == [(1000, "The topic is complete.")]


async def test_completion_from_a_thread(two: Processes) -> None:
    """It follows what the thread has published before, and precedes what it publishes after."""
    first, late = two

    def work() -> tuple[int, Position, bool]:
        receipt = first.log.publish(1)
        completed = first.log.complete()
        with pytest.raises(TopicComplete):
            first.log.publish(2).result(PATIENCE)
        return receipt.result(PATIENCE).offset, completed.result(PATIENCE), True

    offset, position, _ = await asyncio.to_thread(work)
    assert (offset, position.offset) == (1, 1)
    assert await late.log.snapshot() == [1]


async def test_process_that_starts_later(source: Source, url: str) -> None:
    """A process that starts after the end, when all others have stopped, knows it from the broker."""
    async with processes(source, url) as (first, _):
        await run(first, source, "/count/a", 1)
        await first.log.publish(7)
        first.log.complete()  # sent before the process stops
    async with processes(source, url) as (later, _):
        assert await everything(later, "/count/a") == [1, COMPLETE]
        with pytest.raises(TopicComplete):
            await later.log.publish(8)
    assert source.began == ["a"]


async def test_feed_of_each_process(source: Source, url: str) -> None:
    """With ``run="each"``, a feed is complete in each process for itself."""
    apps = [FastAPI() for _ in range(2)]
    for each in apps:
        Live(each, broker=url).feed("/each/{key}", keep=10, run="each")(source.values)
    async with lifespan(apps[0]), lifespan(apps[1]):
        for number, app in enumerate(apps):
            source.put(number, End, key="a")
            for _ in range(2):
                async with connect(app, "/each/a") as client:
                    assert await client.receive_json() == number
                    assert (await farewell(client)).code == 1000
    assert source.began == ["a", "a"]


async def test_publisher_completes(url: str) -> None:
    """A process without the app's code completes a topic behind what it has published, before it leaves."""
    app = FastAPI()
    log: Topic[[], int] = Live(app, broker=url).topic("/log", int, replay=10)
    async with lifespan(app):
        await log.publish(1)
        async with connect(app, "/log") as client:
            async with Publisher(url) as publisher:
                publisher.publish("/log", 2)
                publisher.topic("/log").complete()
            assert [await client.receive_json() for _ in range(2)] == [1, 2]
            assert (await farewell(client)).code == 1000
        with pytest.raises(TopicComplete):
            await log.publish(3)
