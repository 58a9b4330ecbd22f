"""Publishing through the hub: from the loop, from threads, before the start, after the end, and from other loops."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.hub.watching import Client, handle, topic
from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.brokers.broker import Broker
from wirespeed.definitions import Receipt, Topic, WatchStatistics
from wirespeed.errors import BacklogFull, BindingError, Stopped
from wirespeed.hub import Hub
from wirespeed.log.base import Encoded, size_of
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


@pytest.fixture
def hub() -> Hub:
    """Return a hub with room for three waiting publications."""
    return Hub(Settings(max_publish_backlog_bytes=3 * size_of(Encoded(b"a"))))


@pytest.fixture
def news(hub: Hub) -> Topic[..., str]:
    """Declare a topic of the hub."""
    return made(hub, "/news")


def made(hub: Hub, path: str) -> Topic[..., str]:
    """Return a topic of a hub."""
    definition = topic(path=path)
    hub.bind(definition, path)
    return handle(definition)


async def test_publishing_in_the_loop(hub: Hub, news: Topic[..., str]) -> None:
    """In the loop a publication has its position at once."""
    async with hub:
        receipt = news.publish("a")
        assert receipt.done()
        assert await news.snapshot() == ["a"]


@pytest.mark.parametrize("broker", [None, SimulatedBroker])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_failures_are_logged(
    in_thread: bool, broker: Callable[[Network], Broker] | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the first of failures that are alike, with its place, and before the next garbage collection."""
    hub = Hub(Settings(), broker and broker(Network()))
    definition = topic(Any, path="/any", keep=10)
    hub.bind(definition, "/any")
    news: Topic[..., Any] = handle(definition)

    def publish() -> None:
        for _ in range(100):
            receipt = news.publish(object())
        assert receipt is not None

    async with hub:
        await running().pass_time(1)
        gc.disable()
        try:
            if in_thread:
                thread = threading.Thread(target=publish)
                thread.start()
                thread.join(PATIENCE)
            else:
                publish()
            await until(lambda: hub.watching_all()["/any"].failed == 100)
            [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
        finally:
            gc.enable()
        assert "a publication failed." in record.getMessage()
        assert "Raised in:" in caplog.text


async def test_threads_wake_the_loop_once(hub: Hub, news: Topic[..., str]) -> None:
    """Publications of a thread share one wake-up, and reach watchers in their order."""
    async with hub:
        client = await Client().watch(await hub.engine(), news._definition)
        woken = running().woken
        thread = threading.Thread(target=lambda: [news.publish(value) for value in "abc"])
        thread.start()
        thread.join(PATIENCE)
        assert running().woken == woken + 1
        await running().pass_time(1)
        assert client.values == ["a", "b", "c"]


async def test_threads_can_wait_for_the_position(hub: Hub, news: Topic[..., str]) -> None:
    """A thread asks for the result, which is the position."""
    async with hub:
        assert (await asyncio.to_thread(lambda: news.publish("a").result(PATIENCE))).offset == 1


async def test_backlog_is_bounded(hub: Hub, news: Topic[..., str]) -> None:
    """While the loop is busy, threads are refused beyond the bound; nothing that waits is lost."""
    async with hub:
        refused: list[BacklogFull] = []

        def publish() -> None:
            for value in "abcde":
                try:
                    news.publish(value)
                except BacklogFull as error:
                    refused.append(error)

        thread = threading.Thread(target=publish)
        thread.start()
        thread.join(PATIENCE)
        assert [error.waiting for error in refused] == [3 * size_of(Encoded(b"a"))] * 2
        await turns(3)
        assert await news.snapshot() == ["a", "b", "c"]


async def test_what_comes_before_the_start_is_published(hub: Hub, news: Topic[..., str]) -> None:
    """Publications before the app's start wait for it, in their order."""
    early = [news.publish(value) for value in "ab"]
    assert not any(receipt.done() for receipt in early)
    async with hub:
        assert [(await receipt).offset for receipt in early] == [1, 2]
        assert (await news.publish("c")).offset == 3


@pytest.mark.parametrize("in_thread", [False, True])
async def test_after_the_end_nothing_is_published(hub: Hub, news: Topic[..., str], in_thread: bool) -> None:
    """After the app's end, receipts and everything else raise Stopped."""
    async with hub:
        pass

    async def publish() -> object:
        return await news.publish("late")

    with pytest.raises(Stopped):
        await (asyncio.to_thread(lambda: news.publish("late").result(PATIENCE)) if in_thread else publish())
    with pytest.raises(Stopped):
        await news.latest()
    assert news.statistics() == WatchStatistics()


async def test_hub_begins_anew(hub: Hub, news: Topic[..., str]) -> None:
    """An app that is started again publishes again, with new logs."""
    epochs = set()
    for _ in range(2):
        async with hub:
            place = await news.publish("a")
            assert place.offset == 1
            epochs.add(place.epoch)
    assert len(epochs) == 2


async def test_publications_that_wait_at_the_end_go_out(hub: Hub, news: Topic[..., str]) -> None:
    """Publications of threads that still wait at the end are published before it."""
    async with hub:
        receipts: list[Receipt] = []
        thread = threading.Thread(target=lambda: receipts.append(news.publish("a")))
        thread.start()
        thread.join(PATIENCE)
        assert not receipts[0].done()
    assert (await receipts[0]).offset == 1


def in_a_loop_of_its_own(work: object) -> object:
    """Run a coroutine in another loop, and close that."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(work)  # type: ignore[arg-type]


def test_finished_loop_has_stopped(hub: Hub, news: Topic[..., str]) -> None:
    """An app whose loop has ended without its shutdown accepts nothing more."""
    in_a_loop_of_its_own(hub.engine())
    with pytest.raises(Stopped):
        news.publish("late").result(0)


def test_loop_after_a_finished_one(hub: Hub, news: Topic[..., str]) -> None:
    """Tests that run one loop after the other, without a shutdown, start with empty logs."""

    async def publish() -> int:
        await hub.engine()
        return (await news.publish("a")).offset

    assert [in_a_loop_of_its_own(publish()) for _ in range(2)] == [1, 1]


async def test_two_loops_at_a_time_are_refused(hub: Hub, news: Topic[..., str]) -> None:
    """The error for an app in two loops says what to write instead."""
    async with hub:
        with pytest.raises(BindingError, match="two event loops; in tests, write: with TestClient"):
            await asyncio.to_thread(in_a_loop_of_its_own, news.latest())


async def test_loop_in_a_thread_may_publish(hub: Hub, news: Topic[..., str]) -> None:
    """Another loop may publish as well; awaiting waits there for the app's loop."""
    async with hub:

        async def publish() -> int:
            return (await news.publish("a")).offset

        task = asyncio.create_task(asyncio.to_thread(asyncio.run, publish()))
        await until(task.done)
        assert await task == 1


async def test_topics_of_one_path_are_two(hub: Hub, news: Topic[..., str]) -> None:
    """Two topics at one path have separate logs."""
    other = made(hub, "/news")
    async with hub:
        await news.publish("a")
        assert (await news.snapshot(), await other.snapshot()) == (["a"], [])
        assert set(hub.watching_all()) == {"/news", "/news#1"}


async def test_all_topics_tell_their_figures(hub: Hub, news: Topic[..., str]) -> None:
    """The figures of every feed and topic of an app are available by path."""
    async with hub:
        news.publish("a")
        assert {path: told.published for path, told in hub.watching_all().items()} == {"/news": 1}


async def test_end_writes_what_waits(hub: Hub, news: Topic[..., str]) -> None:
    """Values published before the end are written before connections are closed."""
    async with hub:
        clients = [await Client().watch(await hub.engine(), news._definition, rate=rate) for rate in (None, 1)]
        for value in "abc":
            news.publish(value)
    assert [client.values for client in clients] == [["a", "b", "c"]] * 2
