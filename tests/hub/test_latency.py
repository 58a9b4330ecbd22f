"""The seconds from a publication to its writes, as they are counted; the tests control the time."""

import threading
from collections.abc import AsyncIterator

import pytest

from tests.hub.stepping import BACKEND, running
from tests.hub.watching import Client, topic
from tests.lanes.turns import turns
from wirespeed.definitions import Histogram, TopicDefinition
from wirespeed.hub import Hub
from wirespeed.hub.engine import Engine
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


class Scene:
    """A topic, its watchers, and what was observed since the last look."""

    def __init__(self, hub: Hub, engine: Engine, watched: TopicDefinition[..., str]) -> None:
        self.hub = hub
        self.engine = engine
        self.watched = watched
        self._seen = self.latency
        hub.bind(watched, watched.path)

    @property
    def latency(self) -> Histogram:
        """Return everything that was observed."""
        return self.hub.watching(self.watched).latency

    def publish(self, *values: str) -> None:
        for value in values:
            self.engine.publishing.publish(self.watched, self.watched.path, value)

    def observed(self) -> tuple[int, float]:
        """Return the number of observations since the last look, and their sum in milliseconds."""
        last, self._seen = self._seen, self.latency
        return sum(self._seen.counts) - sum(last.counts), round(1000 * (self._seen.total - last.total), 1)


@pytest.fixture
async def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = running()
    for module in ("watcher", "figures", "postbox"):
        monkeypatch.setattr(f"wirespeed.hub.{module}.perf_counter", lambda: loop.now)


@pytest.fixture(params=["latest", 100])
async def scene(request: pytest.FixtureRequest, _steady: None) -> AsyncIterator[Scene]:
    """Return a topic that keeps the newest value, or the last ones."""
    async with Hub(Settings(min_pause=0.02)) as hub:
        yield Scene(hub, await hub.engine(), topic(keep=request.param))


async def test_one_observation_for_each_write(scene: Scene) -> None:
    """The first news after a quiet time is written at once, and the next after the pause: they count once for each
    watcher."""
    clients = [await Client().watch(scene.engine, scene.watched) for _ in range(3)]
    scene.publish("a")
    await turns(10)
    assert scene.observed() == (3, 0)
    running().now += 0.005
    scene.publish("b")
    await running().pass_time(1)
    assert scene.observed() == (3, 3 * 15)
    assert [client.values for client in clients] == [["a", "b"]] * 3


async def test_oldest_value_of_a_write(scene: Scene) -> None:
    """Values that are written together, or of which only the newest is, count once, by the oldest of them."""
    await Client().watch(scene.engine, scene.watched)
    scene.publish("a")
    await turns(10)
    scene.observed()
    for _ in range(3):
        running().now += 0.005
        scene.publish("b", "c")
    await running().pass_time(1)
    assert scene.observed() == (1, 15)


async def test_earlier_values_do_not_count(scene: Scene) -> None:
    """The age of what a client finds when it comes says nothing about the latency; what follows does."""
    scene.publish("a", "b")
    await running().pass_time(30)
    client = await Client().watch(scene.engine, scene.watched)
    await turns(10)
    assert scene.observed() == (0, 0)
    scene.publish("c")
    await running().pass_time(1)
    assert scene.observed() == (1, 0)
    assert client.values[-1] == "c"


@pytest.mark.usefixtures("_steady")
async def test_client_that_comes_while_news_waits(scene: Scene) -> None:
    """News that waits for the others is an earlier value for a client that comes now, and so is all that it missed."""
    first = await Client().watch(scene.engine, scene.watched)
    position = (await scene.engine.held(scene.watched, scene.watched.path, {}))[1]
    scene.publish("a")
    await turns(10)
    running().now += 0.005
    scene.publish("b")
    second = await Client().watch(scene.engine, scene.watched, since=position)
    assert second.values[-1] == "b"
    assert scene.observed() == (1, 0)
    await running().pass_time(1)
    assert first.values == ["a", "b"]
    assert scene.observed() == (1, 15)


async def test_returning_client_with_much_to_read() -> None:
    """Values that a returning client missed do not count, even if they are written piece by piece in later rounds."""
    async with Hub(Settings()) as hub:
        scene = Scene(hub, await hub.engine(), topic(keep=100))
        first = await Client().watch(scene.engine, scene.watched)
        position = (await scene.engine.held(scene.watched, scene.watched.path, {}))[1]
        scene.publish(*("x" * 50_000 for _ in range(20)))
        await running().pass_time(10)
        assert scene.observed()[0] > 0
        client = Client(room=1)
        await client.watch(scene.engine, scene.watched, since=position)
        for _ in range(30):
            client.lane.unblock()
            await running().pass_time(1)
        assert client.values == first.values
        assert scene.observed() == (0, 0)
        scene.publish("y")
        client.lane.unblock()
        await running().pass_time(1)
        assert scene.observed()[0] == 2


async def test_watcher_without_room(scene: Scene) -> None:
    """For a client that accepts nothing, the time until it has room counts; others are not delayed."""
    slow, quick = Client(), Client()
    for client in (slow, quick):
        await client.watch(scene.engine, scene.watched)
    scene.publish("a")
    await running().pass_time(2)
    slow.lane.block()
    scene.publish("b")
    await running().pass_time(3)
    assert scene.observed() == (3, 0)
    slow.lane.unblock()
    await running().pass_time(1)
    assert scene.observed() == (1, 3000)
    scene.publish("c")
    await running().pass_time(1)
    assert scene.observed() == (2, 0)


async def test_limited_rate(scene: Scene) -> None:
    """The wait of a watcher that has asked for a low rate counts."""
    await Client().watch(scene.engine, scene.watched, rate=1)
    scene.publish("a")
    await turns(10)
    assert scene.observed() == (1, 0)
    scene.publish("b")
    await running().pass_time(3)
    assert scene.observed() == (1, 1000)


async def test_publication_of_a_thread(scene: Scene) -> None:
    """The wait of a publication for the event loop counts."""
    await Client().watch(scene.engine, scene.watched)
    thread = threading.Thread(target=scene.hub.publish, args=(scene.watched, "", "a"))
    thread.start()
    thread.join()
    running().now += 0.25
    await running().pass_time(1)
    assert scene.observed() == (1, 250)
    scene.publish("b")
    await running().pass_time(1)
    assert scene.observed() == (1, 0)


async def test_watchers_that_leave_are_forgotten(scene: Scene) -> None:
    """Nothing is kept for a watcher that leaves before it has read what it came for."""
    scene.publish("a")
    client = Client(room=1)
    client.lane.write(b"\x81\x01x", 1)
    await client.watch(scene.engine, scene.watched)
    assert client.watcher is not None
    audience = client.watcher.audience
    assert audience is not None
    client.leave(scene.engine, scene.watched.path)
    assert audience._arriving == {}
