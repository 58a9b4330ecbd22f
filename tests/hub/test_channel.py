"""Channels: one key's log is opened once, its audiences share it, and what is over is still read to its end."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.hub.stepping import BACKEND, running
from tests.hub.watching import WIRE, Client, topic, watch_options
from tests.lanes.turns import turns
from wirespeed.brokers.memory import MemoryBroker
from wirespeed.declare.keeping import keep_of
from wirespeed.definitions import Watched
from wirespeed.hub.channel import Channel, bounded, burst_of
from wirespeed.hub.clock import Clock
from wirespeed.hub.figures import Figures
from wirespeed.hub.watcher import Audience, Watcher
from wirespeed.log.base import Log, Removed
from wirespeed.log.keep import Keep, Last, Table
from wirespeed.log.table import TableLog
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


class Opening(MemoryBroker):
    """A broker that takes its time to open a log, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0

    async def open(self, name: str, keep: Keep, on_news: Callable[[], None]) -> Log:
        self.opened += 1
        await turns(3)
        return await super().open(name, keep, on_news)


@pytest.fixture
async def broker() -> AsyncIterator[Opening]:
    """Keeps the logs."""
    async with Opening() as broker:
        yield broker


def channel_of(watched: Watched[Any, Any], broker: MemoryBroker) -> Channel:
    """A channel whose audiences are served by a clock of their own."""
    clock, figures = Clock(asyncio.get_running_loop()), Figures()

    def audience(log: Log, rate: int | None) -> Audience:
        return Audience(log, figures, clock, None, skips=False, burst=math.inf)

    return Channel(watched, watched.path, watched.keep, broker, figures, audience)


def join(channel: Channel, log: Log, rate: int | None = None) -> Client:
    """A client watches from now on."""
    client = Client()
    client.watcher = Watcher(client.lane, WIRE, client, log.beginning())
    channel.add(client.watcher, rate)
    return client


async def test_log_is_opened_once(broker: Opening) -> None:
    """All who come while it is being opened get the same log."""
    channel = channel_of(topic(), broker)
    logs = await asyncio.gather(*(channel.open() for _ in range(5)))
    assert broker.opened == 1
    assert len({id(log) for log in logs}) == 1


async def test_all_audiences_hear_of_news(broker: Opening) -> None:
    """Watchers of every rate are told; who watches, and how many, is known."""
    channel = channel_of(topic(), broker)
    log = await channel.open()
    assert not channel.is_watched()
    clients = [join(channel, log, rate) for rate in (None, 1, None)]
    channel.publish("a")
    await running().pass_time(1)
    assert [client.values for client in clients] == [["a"]] * 3
    assert (channel.count(), channel.is_watched()) == (3, True)
    for client in clients:
        assert client.watcher is not None
        client.watcher.leave()
        client.watcher.leave()
    assert (channel.count(), channel.is_watched()) == (0, False)


async def test_newcomer_at_another_rate_hears_of_the_next_news(broker: Opening) -> None:
    """Where the others are due already, and want to be told of nothing more, the first of a rate still is."""
    channel = channel_of(topic(keep="latest"), broker)
    log = await channel.open()
    clients = [join(channel, log)]
    channel.publish("a")
    clients.append(join(channel, log, 1))
    channel.publish("b")
    await running().pass_time(1)
    assert [client.values[-1] for client in clients] == ["b", "b"]


async def test_guests_count_as_watchers(broker: Opening) -> None:
    """Who is about to watch keeps the key alive."""
    channel = channel_of(topic(), broker)
    channel.guests += 1
    assert channel.is_watched()


async def test_closed_channel_can_be_read_to_its_end(broker: Opening) -> None:
    """After its end nothing comes any more, but what there is still does; the name can be opened by another."""
    channel, other = channel_of(topic(), broker), channel_of(topic(), broker)
    log = await channel.open()
    client = join(channel, log)
    client.lane.block()
    channel.publish("a")
    await running().pass_time(1)
    channel.complete()
    for _ in range(2):
        channel.close()
    assert await other.open() is log
    client.lane.unblock()
    await running().pass_time(1)
    assert (client.values, client.told) == (["a"], ["complete"])


async def test_closing_again_closes_nobody_else(broker: Opening) -> None:
    """A channel that is over does not close the log of the one that came after it."""
    channel, other = channel_of(topic(), broker), channel_of(topic(), broker)
    await channel.open()
    channel.close()
    client = join(other, await other.open())
    channel.close()
    other.publish("a")
    await running().pass_time(1)
    assert client.values == ["a"]


async def test_next_entry_is_heard(broker: Opening) -> None:
    """All who wait for an entry are told of the next one, and of the end; one who gives up harms nobody."""
    channel = channel_of(topic(), broker)
    await channel.open()
    tells: tuple[Callable[[], object], ...] = (lambda: channel.publish("a"), channel.complete)
    for tell in tells:
        waiting = [asyncio.create_task(channel.heard()) for _ in range(3)]
        await turns(2)
        waiting[1].cancel()
        await turns(2)
        tell()
        tell()
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [False, True, False]


async def test_removals_are_forgotten_when_all_have_seen_them(broker: Opening) -> None:
    """The tombstones of a table are bounded while its watchers keep up, and nobody misses a removal."""
    watched = topic(dict[str, int], by="n", keep="latest")
    channel = channel_of(watched, broker)
    log = await channel.open()
    assert isinstance(log, TableLog)
    client = join(channel, log)
    most = 0
    for number in range(500):
        channel.publish({"n": number})
        await running().pass_time(0.1)
        channel.publish(Removed(number))
        await running().pass_time(0.1)
        most = max(most, log.tombstones)
    assert 0 < most < 200
    told = [
        (f'{{"key":{number},"value":{{"n":{number}}}}}', f'{{"key":{number},"removed":true}}') for number in range(500)
    ]
    assert client.values == [value for pair in told for value in pair]


async def test_removals_are_kept_for_the_slow(broker: Opening) -> None:
    """Who knows a row and is slow learns that it is gone, however many others have gone since."""
    watched = topic(dict[str, int], by="n", keep="latest")
    channel = channel_of(watched, broker)
    log = await channel.open()
    slow = join(channel, log)
    channel.publish({"n": -1})
    await running().pass_time(1)
    slow.lane.block()
    channel.publish(Removed(-1))
    for number in range(300):
        channel.publish({"n": number})
        channel.publish(Removed(number))
        await running().pass_time(0.1)
    slow.lane.unblock()
    await running().pass_time(1)
    assert '{"key":-1,"removed":true}' in slow.values


def test_burst_is_half_of_what_is_kept() -> None:
    """Only logs that lose entries are written inline, at half of what they hold."""
    kept = [keep_of("x", str, watch_options(keep=keep)) for keep in (1, 2, 100)]
    assert [burst_of(each) for each in kept] == [1, 1, 50]
    assert burst_of(keep_of("x", str, watch_options())) == math.inf


def test_logs_are_bounded_by_the_settings() -> None:
    """What was declared before the app was known is bounded as the app says, and its failures are the app's."""
    failures: list[object] = []
    settings = Settings(max_log_bytes=123, max_table_rows=45)

    def failed(error: Exception, value: object) -> None:
        failures.append(value)

    last = bounded(keep_of("x", str, watch_options(keep=7)), settings, failed)
    table = bounded(keep_of("x", dict[str, int], watch_options(by="n")), settings, failed)
    newest = bounded(keep_of("x", str, watch_options()), settings, failed)
    assert isinstance(last, Last)
    assert isinstance(table, Table)
    assert (last.entries, last.size, table.size, table.rows) == (7, 123, 123, 45)
    for keep in (last, table, newest):
        keep.failed(ValueError(), "value")
    assert failures == ["value"] * 3
