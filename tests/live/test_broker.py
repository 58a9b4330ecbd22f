"""An app with a broker: its processes, which are two apps here, share their topics through a real Valkey."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, create_model

from tests.waiting import PATIENCE, until_async
from wirespeed import DeclarationError, Live, LiveRouter, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


class Row(BaseModel):
    id: int


def app_with_topics(*paths: str, **options: Any) -> tuple[FastAPI, list[Topic[[], int]]]:
    """Return an app with topics of numbers."""
    app = FastAPI()
    live = Live(app, **options)
    return app, [live.topic(path, int) for path in paths]


async def test_processes_share_a_topic(url: str) -> None:
    """A watcher gets what another process publishes."""
    (one, [news]), (two, _) = (app_with_topics("/news", broker=url) for _ in range(2))
    async with lifespan(one), lifespan(two), connect(two, "/news") as watcher:
        await news.publish(1)
        assert await watcher.receive_json() == 1


CET = timezone(timedelta(hours=1))
SPELLINGS: list[tuple[Any, list[Any], Any]] = [
    (Decimal, [Decimal("1.0"), Decimal("1.00"), Decimal("1.000")], "1"),
    (datetime, [datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=CET)], "2026-01-01T12:00:00Z"),
    (time, [time(13, tzinfo=CET), time(12, tzinfo=UTC)], "12:00:00Z"),
    (tuple[int, Decimal], [(1, Decimal("2.0")), (1, Decimal(2))], [1, "2"]),
]


@pytest.mark.parametrize(("kind", "spellings", "key"), SPELLINGS)
async def test_rows_that_are_equal_are_one(url: str, kind: Any, spellings: list[Any], key: Any) -> None:
    """A process changes, grows and removes a row by any spelling of its key; a watcher gets one key all the time."""
    entry: Any = create_model("Entry", id=(kind, ...), text=(str, ...))
    apps = [FastAPI(), FastAPI()]
    one, two = (Live(each, broker=url).topic("/rows", entry, by="id", grows="text") for each in apps)
    async with lifespan(apps[0]), lifespan(apps[1]), connect(apps[1], "/rows?append=1") as watcher:
        for spelling in spellings:
            await one.publish(entry(id=spelling, text="a"))
            assert (await watcher.receive_json())["key"] == key
            await two.append(spellings[0], "b")
            assert await watcher.receive_json() == {"key": key, "append": {"text": "b"}}
        assert [each.text for each in await two.snapshot()] == ["ab"]
        await two.remove(spellings[-1])
        assert await watcher.receive_json() == {"key": key, "removed": True}
        assert await one.snapshot() == []


async def test_history_of_an_empty_log(url: str) -> None:
    """The position of an empty log is the same in all processes, and a watcher in any of them resumes from it."""
    (one, [news]), (two, [same]) = (app_with_topics("/news", broker=url) for _ in range(2))
    async with lifespan(one), lifespan(two):
        history = await news.history()
        assert (history, history.position.offset) == ([], 0)
        assert (await same.history()).position == history.position
        await news.publish(1)
        async with connect(two, f"/news?since={history.position}") as watcher:
            assert await watcher.receive_json() == 1


async def test_clearing_a_topic(url: str) -> None:
    """A topic is cleared in all processes, with what its own process has published before; watchers learn it."""
    apps = [FastAPI(), FastAPI()]
    lives = [Live(each, broker=url) for each in apps]
    one, two = (live.topic("/news", int, keep=10, on_lag="skip") for live in lives)
    rows, other_rows = (live.topic("/rows", Row, by="id") for live in lives)
    async with lifespan(apps[0]), lifespan(apps[1]), connect(apps[1], "/news") as watcher:
        await one.publish(1)
        assert await watcher.receive_json() == 1
        one.publish(2)
        await one.clear()
        assert await one.history() == []
        while (heard := await watcher.receive_json()) != {"lost": None}:
            assert heard == 2
        assert await two.history() == []
        await two.publish(3)
        assert await watcher.receive_json() == 3
        assert await one.snapshot() == [3]
        async with connect(apps[1], "/rows") as other:
            await rows.publish(Row(id=1))
            assert (await other.receive_json())["key"] == 1
            await rows.clear()
            assert await other.receive_json() == {"reset": True}
            assert await other_rows.snapshot() == []


async def test_keys_of_all_processes(url: str) -> None:
    """Each process knows its own live keys, and may ask for those of all."""
    apps = [FastAPI(), FastAPI()]
    topics = []
    for app in apps:

        @Live(app, broker=url).topic("/day/{day}", int)
        def of_day(day: date) -> None: ...

        topics.append(of_day)
    one, two = topics
    first, second = date(2026, 1, 1), date(2026, 1, 2)
    async with (
        lifespan(apps[0]), lifespan(apps[1]), connect(apps[0], f"/day/{first}"), connect(apps[1], f"/day/{first}"),
        connect(apps[1], f"/day/{second}"),
    ):  # fmt: skip
        assert one.keys() == [{"day": first}]
        await until_async(lambda: knows(one, [first, second]))
        own = two.keys()
        assert sorted(each["day"] for each in own) == [first, second]


async def knows(topic: Any, days: list[date]) -> bool:
    """Return True if a topic has these keys in all processes."""
    return sorted(each["day"] for each in await topic.all_keys()) == days


async def test_environment_names_the_broker(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that names no broker takes that of WIRESPEED_BROKER; None keeps it without one."""
    monkeypatch.setenv("WIRESPEED_BROKER", url)
    (one, [news]), (two, [same]) = (app_with_topics("/news") for _ in range(2))
    alone, [other] = app_with_topics("/news", broker=None)
    async with lifespan(one), lifespan(two), lifespan(alone):
        await news.publish(1)
        assert await same.latest() == 1
        assert await other.latest() is None


async def test_environment_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty WIRESPEED_BROKER names no broker."""
    monkeypatch.setenv("WIRESPEED_BROKER", "")
    app, [news] = app_with_topics("/news")
    async with lifespan(app):
        assert (await news.publish(1)).offset == 1


async def test_namespaces_are_apart(url: str) -> None:
    """Two apps with namespaces of their own share a server, and nothing else."""
    (one, [news]), (two, [other]) = (app_with_topics("/news", broker=url, namespace=name) for name in ("shop", "blog"))
    async with lifespan(one), lifespan(two):
        await news.publish(1)
        assert await news.latest() == 1
        assert await other.latest() is None


async def test_names_do_not_depend_on_the_order(url: str) -> None:
    """Versions of an app that declare their topics and include their routers in other orders agree on the logs."""
    one, [a, _] = app_with_topics("/a", "/b", broker=url)
    two, [_, same] = app_with_topics("/b", "/a", broker=url)
    topics = []
    for app, prefixes in ((one, ["/v1", "/v2"]), (two, ["/v2", "/v1"])):
        router = LiveRouter()
        topics.append(router.topic("/news", int))
        for prefix in prefixes:
            app.include_router(router, prefix=prefix)
    async with lifespan(one), lifespan(two):
        await a.publish(1)
        await topics[0].publish(2)
        assert (await same.latest(), await topics[1].latest()) == (1, 2)


def test_two_of_one_path_are_refused(url: str) -> None:
    """With a broker the path names the logs, so that a second topic at a path would be the first one."""
    live = Live(FastAPI(), broker=url)
    live.topic("/news", int)
    with pytest.raises(DeclarationError, match="topic '/news' has the path '/news' already"):
        live.topic("/news", str)


@pytest.mark.parametrize("broker", ["localhost:6379", "http://localhost", ""])
def test_wrong_url_is_refused(broker: str) -> None:
    """An app with a URL that is not one of a broker fails where it is declared."""
    with pytest.raises(ValueError, match="not a URL of Redis or Valkey"):
        Live(FastAPI(), broker=broker)


def test_wrong_namespace_is_refused() -> None:
    """A namespace is part of a key's name at the server."""
    with pytest.raises(ValueError, match="not a namespace"):
        Live(FastAPI(), broker="redis://localhost", namespace="my shop")


def test_app_with_a_broker_starts_twice(url: str) -> None:
    """Each TestClient starts and stops the app, in an event loop of its own."""
    app, [news] = app_with_topics("/news", broker=url)
    for number in (1, 2):
        with TestClient(app) as client:
            assert news.publish(number).result(PATIENCE) is not None
            assert client.get("/news").json() == number


async def test_workers_with_a_broker_are_not_warned_of(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of an app with a broker do share their topics."""
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    app, _ = app_with_topics("/news", broker=url)
    async with lifespan(app):
        pass
    assert not caplog.records
