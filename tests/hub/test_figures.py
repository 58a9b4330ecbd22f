"""Figures of a feed or topic."""

import pytest

from tests.hub.stepping import BACKEND, running
from tests.hub.watching import Client, topic
from wirespeed.definitions import WatchStatistics
from wirespeed.hub import Hub
from wirespeed.hub.figures import Figures
from wirespeed.hub.live_key import LiveKey
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


def test_everything_counted_is_told() -> None:
    """Each figure is a field of the statistics, and begins at zero."""
    figures = set(Figures.__slots__) - {"since"}
    assert figures <= set(WatchStatistics._fields)
    assert Figures().statistics(0) == WatchStatistics()


async def test_statistics_of_one_topic() -> None:
    """Publications and writes are counted separately for each topic, and the figures stay when its watchers leave."""
    async with Hub(Settings()) as hub:
        engine = await hub.engine()
        news, other = topic(path="/news"), topic(path="/other")
        for each in (news, other):
            hub.bind(each, each.path)
        clients = [await Client().watch(engine, news, name=name) for name in ("/news?a", "/news?a", "/news?b")]
        for value in ("12", "345"):
            engine.publishing.publish(news, "/news?a", value)
        await running().pass_time(1)
        told = hub.watching(news)
        assert (told.keys, told.watchers, told.published, told.delivered, told.bytes) == (2, 3, 2, 4, 18)
        assert (told.skipped, told.lost, told.restarts, told.failed, told.producers) == (0, 0, 0, 0, {})
        assert told.flush_time > 0
        assert hub.watching(other) == WatchStatistics()
        for client, name in zip(clients, ("/news?a", "/news?a", "/news?b"), strict=True):
            client.leave(engine, name)
        assert hub.watching(news)._replace(keys=2, watchers=3) == told
        assert (hub.watching(news).keys, hub.watching(news).watchers) == (0, 0)


async def test_no_key_is_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of a feed or topic are counted as things happen: asking for them costs the same for any keys."""
    async with Hub(Settings()) as hub:
        engine, news = await hub.engine(), topic(path="/news")
        hub.bind(news, news.path)
        for name in ("/news?a", "/news?b"):
            await Client().watch(engine, news, name=name)

        def visited(key: LiveKey) -> int:
            raise AssertionError(key.name)

        for method in ("count", "is_failing", "watchers", "__hash__"):
            monkeypatch.setattr(LiveKey, method, visited)
        assert (hub.watching(news).keys, hub.watching(news).watchers) == (2, 2)
        monkeypatch.undo()
