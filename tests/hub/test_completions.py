"""Completions that wait for a broker that is away: they are bounded, cost little, and are sent when it is back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import BACKEND, running
from tests.hub.watching import handle, topic
from tests.lanes.turns import turns
from wirespeed.definitions import Topic
from wirespeed.errors import BacklogFull, Stopped, TopicComplete
from wirespeed.hub import Hub
from wirespeed.hub.completions import AT_ONCE
from wirespeed.hub.outbox import RETRY
from wirespeed.log.position import Position
from wirespeed.log.record import Retention
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


class CountingBroker(SimulatedBroker):
    """A broker that counts the ends that it is asked for."""

    asked = 0

    async def end(self, name: str, retention: Retention, fence: str | None = None) -> Position | None:
        """End a log."""
        self.asked += 1
        return await super().end(name, retention, fence)


class Bench:
    """An app with topics, on a simulated network."""

    def __init__(self, most: int) -> None:
        self.network = Network()
        self.broker = CountingBroker(self.network)
        self.hub = Hub(Settings(max_publish_backlog_bytes=most), self.broker)

    def topic(self, path: str) -> Topic[[], int]:
        """Return a topic with the values of one key."""
        definition = topic(int, path=path, keep=10)
        self.hub.bind(definition, path)
        found: Topic[[], int] = handle(definition)
        return found

    def topics(self, count: int) -> list[Topic[[], int]]:
        """Return a number of topics."""
        return [self.topic(f"/{number}") for number in range(count)]

    def ended(self) -> list[str]:
        """Return the names of the logs that the broker has completed."""
        return [name for name, log in self.network.server.logs.items() if log.is_ended]


@asynccontextmanager
async def bench(most: int = 1 << 20) -> AsyncIterator[Bench]:
    """Give an app whose broker can be reached."""
    b = Bench(most)
    async with b.hub:
        await running().pass_time(1)
        try:
            yield b
        finally:
            b.hub.send_timeout = 0.0  # time stands


async def test_completions_are_bounded() -> None:
    """Completions that wait for the broker count as publications do, until it has them; one more is refused."""
    async with bench(5000) as b:
        *some, one_more = b.topics(10)
        b.network.go_down()
        receipts = [each.complete() for each in some]
        assert 4000 < b.hub.health().waiting <= 5000
        with pytest.raises(BacklogFull, match=one_more.path):
            one_more.complete()
        with pytest.raises(BacklogFull):
            one_more.publish(1)
        b.network.clear_up()
        await running().pass_time(2 * RETRY)
        assert [(await receipt).offset for receipt in receipts] == [0] * len(receipts)
        assert b.hub.health().waiting == 0
        await one_more.publish(1)


async def test_few_completions_are_tried_while_the_broker_is_away() -> None:
    """However many wait, a few are tried at a time; when the broker is back, all are sent."""
    async with bench() as b:
        topics = b.topics(1000)
        b.network.go_down()
        receipts = [each.complete() for each in topics]
        await turns(100)
        assert (asked := b.broker.asked) == len(topics)  # once at first
        await running().pass_time(4 * RETRY)
        assert AT_ONCE <= b.broker.asked - asked <= 5 * AT_ONCE
        b.network.clear_up()
        await running().pass_time(2 * RETRY)
        await turns(200)
        assert all(receipt.done() for receipt in receipts)
        assert len(b.ended()) == 1000


async def test_completions_are_sent_a_few_at_a_time() -> None:
    """Thousands that are asked for in one turn are not sent in one turn."""
    async with bench() as b:
        receipts = [each.complete() for each in b.topics(1000)]
        await turns(1)
        assert b.broker.asked <= AT_ONCE
        await turns(200)
        assert all(receipt.done() for receipt in receipts)


@pytest.mark.parametrize("later", range(6))
async def test_completion_in_the_turn_in_which_others_end(later: int) -> None:
    """A completion is sent in whichever turn it is asked for, even while as many as may be sent have just ended."""
    async with bench() as b:
        *some, one_more = b.topics(AT_ONCE + 1)
        for each in some:
            each.complete()
        await turns(later)
        receipt = one_more.complete()
        await turns(20)
        assert receipt.done()


async def test_new_completions_do_not_wait_for_failed_ones() -> None:
    """A completion is sent at once when the broker is back, although others wait for their next attempt."""
    async with bench() as b:
        early, late = b.topics(2)
        b.network.go_down()
        first = early.complete()
        await turns(10)
        b.network.clear_up()
        await turns(5)
        second = late.complete()
        await turns(10)
        assert second.done()
        assert first.done()  # what succeeds lets others try


async def test_second_completion_of_a_key() -> None:
    """It is confirmed with the first one; nothing can be published between."""
    async with bench() as b:
        (one,) = b.topics(1)
        b.network.go_down()
        one.publish(1)
        receipts = [one.complete(), one.complete()]
        refused = one.publish(2)
        b.network.clear_up()
        await running().pass_time(3)
        assert [(await receipt).offset for receipt in receipts] == [1, 1]
        with pytest.raises(TopicComplete):
            await refused
        assert b.hub.health().waiting == 0


async def test_clear_follows_a_completion() -> None:
    """A key that is completed and then cleared takes values again."""
    async with bench() as b:
        (one,) = b.topics(1)
        receipt = one.complete()
        await one.clear()
        assert receipt.done()
        await one.publish(1)
        assert await one.snapshot() == [1]


@pytest.mark.parametrize("publishes", [True, False])
async def test_stop_while_the_broker_is_away(publishes: bool) -> None:
    """Completions that are not confirmed when the app stops fail, and count as not sent; none is left."""
    async with bench() as b:
        topics = b.topics(2 * AT_ONCE)
        b.network.go_down()
        receipts = [each.publish(1) for each in topics if publishes] + [each.complete() for each in topics]
        await turns(10)
    assert b.hub.unsent >= 512 * len(topics)
    for receipt in receipts:
        with pytest.raises(Stopped):
            await receipt
    b.network.clear_up()
    await running().pass_time(10)
    assert b.ended() == []


async def test_stop_right_after_a_completion() -> None:
    """A completion of the last moment is settled, too."""
    async with bench() as b:
        (one,) = b.topics(1)
        b.network.is_calm = False
        receipt = one.complete()
    with pytest.raises(Stopped):
        await receipt
