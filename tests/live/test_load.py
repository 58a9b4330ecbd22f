"""Stored state first, then changes: topics whose logs begin with the values of a loader."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from tests.exchanges import Exchange, events_of
from tests.lanes.turns import turns, until
from tests.live.multiplexing import Speaker, speaking
from tests.live.source import refusal, texts
from tests.waiting import NEVER, PATIENCE, skip, until_async
from wirespeed import BacklogFull, DeclarationError, Live, NotLoaded, Settings, TooManyLogs, Topic, TopicComplete
from wirespeed.hub.loads import LONGEST
from wirespeed.hub.logs import LocalLogs
from wirespeed.log.kinds import LogKind
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    id: int
    text: str = ""


class Nothing(HTTPException):
    def __init__(self) -> None:
        """Forget the base class."""


class Locked(Nothing):
    status_code = 423


class Store:
    """The stored values by room, and the rooms that were loaded."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {"a": ["1", "2"], "b": ["3"]}
        self.loads: list[str] = []
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.error: BaseException | None = None

    async def load(self, room: str) -> list[str]:
        self.loads.append(room)
        await self.may_load.wait()
        if self.error is not None:
            raise self.error
        return list(self.values.get(room, []))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def messages(live: Live, store: Store) -> Topic[[str], str]:
    """A topic with a loader."""

    @live.topic("/rooms/{room}", str, replay=100)
    def messages(room: str) -> None:
        """The messages of one room."""

    messages.load(store.load)
    return messages


async def got(app: FastAPI, path: str, **headers: str) -> tuple[int, str]:
    """Return the status and the body of a GET."""
    async with Exchange(app, path, headers) as answer:
        return answer.status, (await answer.body()).decode()


async def history(page: Speaker, channel: str) -> list[Any]:
    """Return the values of a channel's history."""
    answer = await page.ask({"history": {"channel": channel, "limit": 100}})
    return [each["data"] for each in answer["history"]["publications"]]


@pytest.mark.parametrize("surface", ["websocket", "multiplex", "sse", "get", "latest", "history"])
async def test_each_surface_loads(app: FastAPI, messages: Topic[[str], str], store: Store, surface: str) -> None:
    """Whatever asks first sees the stored values, and they are loaded once, for each key."""
    async with lifespan(app):
        for _ in range(2):
            match surface:
                case "websocket":
                    async with connect(app, "/rooms/a") as watcher:
                        assert await texts(watcher, 2) == ["1", "2"]
                case "multiplex":
                    async with speaking(app) as page:
                        await page.subscribed("rooms/a")
                        assert await history(page, "rooms/a") == ["1", "2"]
                case "sse":
                    async with events_of(app, "/rooms/a") as events:
                        assert [each.data for each in await events.events(2)] == ["1", "2"]
                case "get":
                    assert await got(app, "/rooms/a") == (200, "2")
                case "latest":
                    assert await messages.latest("a") == "2"
                case "history":
                    assert [each.value for each in await messages.history("a")] == ["1", "2"]
        assert store.loads == ["a"]
        assert await messages.snapshot("b") == ["3"]
        assert store.loads == ["a", "b"]


async def test_requests_share_a_load(app: FastAPI, messages: Topic[[str], str], store: Store) -> None:
    """Requests that come during a load wait for it; one that leaves does not end it."""
    store.may_load.clear()
    async with lifespan(app):
        first, *others = [asyncio.create_task(messages.snapshot("a")) for _ in range(20)]
        await until(lambda: store.loads)
        first.cancel()
        await turns(20)
        store.may_load.set()
        assert await asyncio.gather(*others) == [["1", "2"]] * 19
        assert store.loads == ["a"]


async def test_publications_follow_the_stored_values(app: FastAPI, messages: Topic[[str], str], store: Store) -> None:
    """Values that are published before a load belong to it; those that are published meanwhile follow."""
    store.may_load.clear()
    async with lifespan(app), asyncio.TaskGroup() as group:
        await messages.publish("1", "a")
        loading = group.create_task(messages.history("a"))
        await until(lambda: store.loads)
        receipt = messages.publish("3", "a")
        in_thread = await asyncio.to_thread(messages.publish, "4", "a")
        other = messages.publish("0", "b")
        assert (await other).offset == 1
        assert not receipt.done()
        store.may_load.set()
        held = await loading
        assert [each.value for each in held] == ["1", "2", "3", "4"]
        assert await receipt == held[2].position
        assert await in_thread == held[3].position


async def test_publications_during_a_load_count(app: FastAPI, messages: Topic[[str], str], store: Store) -> None:
    """Each counts once, also if a watcher waits for the load."""
    store.may_load.clear()
    async with lifespan(app), asyncio.TaskGroup() as group:
        watching = group.create_task(got(app, "/rooms/a"))
        await until(lambda: store.loads)
        receipts = [messages.publish(text, "a") for text in "345"]
        store.may_load.set()
        await asyncio.gather(watching, *receipts)
        assert messages.statistics().published == 3


async def test_table_is_loaded(app: FastAPI, live: Live) -> None:
    """A row that is removed during a load is removed from what was loaded; an empty table is a value."""
    table = live.topic("/table", Row, by="id")
    empty = live.topic("/empty", Row, by="id")
    begun, may_end = asyncio.Event(), asyncio.Event()

    @table.load
    async def rows() -> AsyncIterator[Row]:
        yield Row(id=1)
        begun.set()
        await may_end.wait()
        yield Row(id=2)

    @empty.load
    async def nothing() -> list[Row]:
        loads.append(None)
        return []

    loads: list[None] = []
    async with lifespan(app), asyncio.TaskGroup() as group:
        loading = group.create_task(table.snapshot())
        await begun.wait()
        table.remove(1)
        table.publish(Row(id=2, text="new"))
        may_end.set()
        assert await loading == [Row(id=2, text="new")]
        for _ in range(2):
            assert await got(app, "/empty") == (200, "[]")
        assert len(loads) == 1


async def test_failure_is_answered_and_tried_again(
    app: FastAPI, messages: Topic[[str], str], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure refuses all who wait, on every surface, and says no more than that; the next request tries again."""
    store.error = ValueError("the password is 123")
    said = "The stored values cannot be loaded; try again."
    async with lifespan(app), speaking(app) as page:
        assert await got(app, "/rooms/a") == (503, json.dumps({"detail": said}, separators=(",", ":")))
        assert await got(app, "/rooms/a", accept="text/event-stream") == (503, f'{{"detail":"{said}"}}')
        refused = await refusal(app, "/rooms/a")
        assert (refused.status, refused.body) == (503, f'{{"detail":"{said}"}}'.encode())
        answer = await page.subscribe("rooms/a")
        assert answer["error"] == {"code": 503, "message": said, "temporary": True}
        with pytest.raises(NotLoaded, match=r"topic .*not loaded: its loader failed"):
            await messages.latest("a")
        assert messages.statistics().failed == 5
        assert len([each for each in caplog.records if "could not be loaded" in each.message]) >= 1
        assert caplog.records[-1].name == "wirespeed"
        store.error = None
        assert await messages.latest("a") == "2"
        assert len(store.loads) == 6


async def test_refusal_keeps_its_status(app: FastAPI, messages: Topic[[str], str], store: Store) -> None:
    """An ``HTTPException`` of the loader refuses with its own status, and is not logged as a failure."""
    store.error = HTTPException(404, "no such room")
    async with lifespan(app), speaking(app) as page:
        assert await got(app, "/rooms/x") == (404, '{"detail":"no such room"}')
        assert await got(app, "/rooms/x", accept="text/event-stream") == (404, '{"detail":"no such room"}')
        assert (await refusal(app, "/rooms/x")).status == 404
        answer = await page.subscribe("rooms/x")
        assert (answer["error"]["code"], answer["error"]["message"]) == (102, "no such room")
        with pytest.raises(HTTPException, match="no such room"):
            await messages.latest("x")
        assert messages.statistics().failed == 0


async def test_every_ending_of_a_loader_is_answered(
    app: FastAPI, messages: Topic[[str], str], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A loader that is cancelled, exits, raises half a refusal, or returns something else fails like any other."""
    async with lifespan(app):
        ends = asyncio.CancelledError(), SystemExit(1), GeneratorExit(), ExceptionGroup("", [OSError()])
        for store.error in (*ends, Nothing(), Locked()):
            with pytest.raises(NotLoaded):
                await messages.latest("a")
        store.error = None
        for wrong in ([1], None, [["1"]]):
            store.values["a"] = wrong  # type: ignore[assignment]
            with pytest.raises(NotLoaded):
                await messages.latest("a")
    assert caplog.records


async def test_loader_that_cancels_its_task(
    app: FastAPI, live: Live, messages: Topic[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """It has failed: clients may try again, and the failure is logged and counted."""

    @live.topic("/odd", str)
    def odd() -> None: ...

    @odd.load
    async def load() -> list[str]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return []

    async with lifespan(app):
        assert await got(app, "/odd") == (503, '{"detail":"The stored values cannot be loaded; try again."}')
        assert odd.statistics().failed == 1
    assert [each.getMessage() for each in caplog.records if each.exc_info] == [
        "topic '/odd' (odd): the stored values could not be loaded."
    ]


async def test_loader_that_returns_one_value(app: FastAPI, live: Live, caplog: pytest.LogCaptureFixture) -> None:
    """A value in place of a list of values is a failure: a text would be taken for its last character."""
    texts_, in_thread = live.topic("/texts", str, grows=True), live.topic("/in_thread", str)
    texts_.load(lambda: "stored")

    @in_thread.load
    async def stored() -> str:
        return "stored"

    async with lifespan(app):
        for topic in (texts_, in_thread):
            with pytest.raises(NotLoaded):
                await topic.latest()
    assert "a loader returns a list of values, or yields them; it has returned 'stored'" in caplog.text


async def test_rows_that_are_loaded_twice(app: FastAPI) -> None:
    """A row counts once against the bound of a table, however often the loader yields it; the last one stays."""
    app = FastAPI()
    table = Live(app, settings=Settings(max_table_rows=3)).topic("/table", Row, by="id")
    table.load(lambda: [Row(id=number % 3, text=str(number)) for number in range(7)])
    async with lifespan(app):
        assert [(each.id, each.text) for each in await table.snapshot()] == [(1, "4"), (2, "5"), (0, "6")]


async def test_slow_loader(app: FastAPI, live: Live, store: Store) -> None:
    """Clients do not wait longer than for a first value; the load goes on, and serves those that come later."""
    app = FastAPI()
    live = Live(app, settings=Settings(first_value_timeout=0.01))
    news = live.topic("/news", str, keep="latest")
    store.may_load.clear()
    news.load(lambda: store.load("a"))
    async with lifespan(app):
        assert (await got(app, "/news"))[0] == 503
        store.may_load.set()
        async with asyncio.timeout(PATIENCE):
            while await news_or_none(news) is None:
                await turns(5)
        assert store.loads == ["a"]


async def news_or_none(news: Topic[[], str]) -> str | None:
    with suppress(NotLoaded):
        return await news.latest()
    return None


@pytest.mark.parametrize("is_generator", [True, False])
async def test_loader_in_a_thread(app: FastAPI, live: Live, is_generator: bool) -> None:
    """A plain function runs in a worker thread, as a blocking database driver needs; it may yield."""
    news = live.topic("/news", str, keep=2)

    def stored() -> Iterator[str]:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        yield from "abc"

    news.load(stored if is_generator else lambda: list(stored()))
    async with lifespan(app):
        assert await news.snapshot() == ["b", "c"]


async def test_dropped_log_is_loaded_again(app: FastAPI, live: Live) -> None:
    """When a log is gone, because it was retained for long enough, the next request loads it again."""
    news = live.topic("/news", str, retain=0)
    values = iter(range(10))

    @news.load
    async def stored() -> list[str]:
        return [str(next(values))]

    seen: list[str] = []

    async def has_three() -> bool:
        async with connect(app, "/news?since=x:0") as watcher:
            seen.extend(text for text in await texts(watcher, 2) if "lost" not in text)
        return len(set(seen)) == 3

    async with lifespan(app):
        await until_async(has_three)
    assert list(dict.fromkeys(seen)) == ["0", "1", "2"]


@pytest.mark.parametrize("in_thread", [True, False])
async def test_loader_that_does_not_end(app: FastAPI, in_thread: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A loader that hangs fails after a while: its key is tried again, and publications do not wait any longer."""
    news = Live(app, settings=Settings(first_value_timeout=NEVER)).topic("/news", str)
    may_end = threading.Event()
    runs: list[None] = []

    async def hangs() -> list[str]:
        runs.append(None)
        if len(runs) == 1:
            await asyncio.Event().wait()
        return ["stored"]

    def hangs_in_thread() -> list[str]:
        runs.append(None)
        if len(runs) == 1:
            may_end.wait()
        return ["stored"]

    news.load(hangs_in_thread if in_thread else hangs)
    async with lifespan(app):
        loading = asyncio.create_task(news.latest())
        await until(lambda: runs)
        receipt = news.publish("new")
        skip(LONGEST)
        with pytest.raises(NotLoaded):
            await loading
        await receipt
        assert await news.latest() == "stored"
        may_end.set()
    assert f"the loader has not ended after {LONGEST:g} seconds" in caplog.text


async def test_too_much_is_published_during_a_load(app: FastAPI, store: Store) -> None:
    """Publications that wait for a load have a bound in bytes, and completions count."""
    app = FastAPI()
    live = Live(app, settings=Settings(max_publish_backlog_bytes=2000))
    news = live.topic("/news", str)
    store.may_load.clear()
    news.load(lambda: store.load("a"))
    async with lifespan(app), asyncio.TaskGroup() as group:
        loading = group.create_task(news.snapshot())
        await until(lambda: store.loads)
        for _ in range(3):
            news.publish("x" * 100)
        with pytest.raises(BacklogFull):
            news.publish("x" * 100)
        with pytest.raises(BacklogFull):
            news.complete()
        store.may_load.set()
        assert (await loading)[:3] == ["1", "2", "x" * 100]


async def test_table_that_is_too_large(app: FastAPI) -> None:
    """More rows than a table may have are a failure, and none of them is shown."""
    app = FastAPI()
    live = Live(app, settings=Settings(max_table_rows=3))
    table = live.topic("/table", Row, by="id")
    table.load(lambda: [Row(id=number) for number in range(4)])
    async with lifespan(app):
        with pytest.raises(NotLoaded):
            await table.snapshot()


def test_declarations_that_cannot_work(live: Live) -> None:
    """A loader takes the key and nothing else; a topic has one, and its key comes first."""
    news = live.topic("/news", str)
    room: Topic[..., str] = live.topic("/rooms/{room}", str)

    def nothing() -> list[str]:
        return []

    def stored(session: int) -> list[str]:
        return []

    with pytest.raises(DeclarationError, match="'session' is not part of the topic's key"):
        news.load(stored)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="key is not declared yet"):
        room.load(nothing)
    news.load(nothing)
    with pytest.raises(DeclarationError, match="has a loader already"):
        news.load(nothing)


@pytest.mark.parametrize("completes", [False, True])
@pytest.mark.parametrize("kept", [{"keep": 10}, {"keep": "latest"}, {"by": "id"}])
async def test_nothing_is_stored_and_nothing_is_retained(
    app: FastAPI, live: Live, kept: dict[str, Any], completes: bool
) -> None:
    """A load without values answers the request that waits for it, even if its log is not retained or is complete."""
    topic = live.topic("/rows", Row, retain=0, **kept)
    loads: list[None] = []

    @topic.load
    async def stored() -> list[Row]:
        loads.append(None)
        assert len(loads) == 1
        if completes:
            topic.complete()
        return []

    async with lifespan(app):
        assert (await got(app, "/rows"))[0] == (200 if "by" in kept else 404)
        assert await topic.snapshot() == []
    assert len(loads) == 1


async def test_no_room_for_what_was_loaded(
    app: FastAPI, messages: Topic[[str], str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is refused, and does not load without end, if its log is dropped each time before it is read."""
    load = LocalLogs.load

    def load_and_drop(logs: LocalLogs, name: str, kind: LogKind, states: Any) -> None:
        assert len(store.loads) < 100
        load(logs, name, kind, states)
        logs.end(name)

    monkeypatch.setattr(LocalLogs, "load", load_and_drop)
    async with lifespan(app):
        with pytest.raises(NotLoaded, match="no room"):
            await messages.snapshot("a")
        assert (await got(app, "/rooms/a"))[0] == 503


async def test_too_many_loads(store: Store) -> None:
    """Loads whose clients have left count: a further one is refused with 503, until one of them ends."""
    app = FastAPI()
    live = Live(app, settings=Settings(max_keys=2, first_value_timeout=0.01))

    @live.topic("/rooms/{room}", str)
    def rooms(room: str) -> None:
        """The messages of one room."""

    rooms.load(store.load)
    store.may_load.clear()
    async with lifespan(app):
        for room in "abcd":
            assert (await got(app, f"/rooms/{room}"))[0] == 503
        assert store.loads == ["a", "b"]
        with pytest.raises(TooManyLogs):
            await rooms.snapshot("c")
        store.may_load.set()
        await until_async(partial(_has_loaded, rooms))
        assert store.loads[-1] == "c"


async def _has_loaded(rooms: Topic[[str], str]) -> bool:
    with suppress(TooManyLogs, NotLoaded):
        await rooms.snapshot("c")
        return True
    return False


async def test_watch_in_the_process(app: FastAPI, messages: Topic[[str], str], store: Store) -> None:
    """A watch inside the process sees the stored values first; a failure of the loader is raised there."""
    async with lifespan(app):
        store.error = ValueError()
        with pytest.raises(NotLoaded):
            await anext(messages.watch("a"))
        store.error = None
        seen = messages.watch("a")
        assert [await anext(seen), await anext(seen)] == ["1", "2"]
        messages.publish("3", "a")
        assert await anext(seen) == "3"
        await seen.aclose()
        assert store.loads == ["a", "a"]


async def test_completion_and_clear(app: FastAPI, messages: Topic[[str], str], store: Store) -> None:
    """A key that is completed during a load keeps what was published before; one that is emptied stays empty."""
    store.may_load.clear()
    async with lifespan(app), asyncio.TaskGroup() as group:
        loading = group.create_task(messages.snapshot("a"))
        await until(lambda: store.loads)
        messages.publish("3", "a")
        receipt = messages.complete("a")
        store.may_load.set()
        assert await loading == ["1", "2", "3"]
        await receipt
        assert await got(app, "/rooms/a") == (200, "3")
        with pytest.raises(TopicComplete):
            await messages.publish("4", "a")
        await messages.complete("b")
        assert await messages.snapshot("b") == ["3"]
        with pytest.raises(TopicComplete):
            await messages.publish("4", "b")
        await messages.clear("a")
        assert await messages.snapshot("a") == []
        assert store.loads == ["a", "b"]
