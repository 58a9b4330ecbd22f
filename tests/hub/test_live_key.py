"""Live keys: one key's log is opened once, its audiences share it, and a completed one is still read to its end."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.hub.stepping import BACKEND, running
from tests.hub.watching import WIRE, Client, topic, watch_options
from tests.lanes.turns import turns
from wirespeed.declare.keeping import log_kind_of
from wirespeed.definitions import Watched
from wirespeed.hub.clock import Clock
from wirespeed.hub.figures import Figures
from wirespeed.hub.live_key import LiveKey, burst_of
from wirespeed.hub.logs import LocalLogs, LogReader
from wirespeed.hub.publishing import bounded
from wirespeed.hub.watcher import Audience, Watcher
from wirespeed.log.base import Log, Removed
from wirespeed.log.kinds import LogKind
from wirespeed.log.record import Retention
from wirespeed.log.table import TableLog
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


class Opening(LocalLogs):
    """Logs that open slowly, and count how often they are opened."""

    opened = 0

    async def open(self, name: str, kind: LogKind, reader: LogReader) -> Log:
        self.opened += 1
        await turns(3)
        return await super().open(name, kind, reader)


@pytest.fixture
async def logs() -> Opening:
    """Return the logs."""
    return Opening(asyncio.get_running_loop())


def key_of(watched: Watched[Any, Any], logs: LocalLogs) -> LiveKey:
    """Return a live key whose audiences have their own clock."""
    clock, figures = Clock(asyncio.get_running_loop()), Figures()

    def audience(log: Log, rate: int | None) -> Audience:
        return Audience(log, figures, clock, None, skips=False, burst=math.inf)

    kind = watched.log_kind._replace(retention=watched.retention._replace(size=1 << 20, rows=1000))
    return LiveKey(
        watched, watched.path, kind, logs, figures, audience, lambda _: None, lambda *_: None, lambda _: None
    )


def join(key: LiveKey, log: Log, rate: int | None = None) -> Client:
    """Add a watcher."""
    client = Client()
    ticket = key.ticket(log, {}, None)
    client.watcher = Watcher(client.lane, WIRE, client, ticket.cursor)
    key.watch(ticket, client.watcher, rate)
    return client


async def test_log_is_opened_once(logs: Opening) -> None:
    """All watchers that come while it is being opened get the same log."""
    key = key_of(topic(), logs)
    opened = await asyncio.gather(*(key.open() for _ in range(5)))
    assert logs.opened == 1
    assert len({id(log) for log in opened}) == 1


async def test_all_audiences_hear_of_news(logs: Opening) -> None:
    """Watchers of every rate are notified; the watchers and their number are known."""
    key = key_of(topic(), logs)
    log = await key.open()
    assert not key.is_watched()
    clients = [join(key, log, rate) for rate in (None, 1, None)]
    key.output.publish("a")
    await running().pass_time(1)
    assert [client.values for client in clients] == [["a"]] * 3
    assert (key.count(), key.is_watched()) == (3, True)
    for client in clients:
        assert client.watcher is not None
        client.watcher.leave()
        client.watcher.leave()
    assert (key.count(), key.is_watched()) == (0, False)


async def test_newcomer_at_another_rate_hears_of_the_next_news(logs: Opening) -> None:
    """The first watcher of a rate is notified even if other audiences are already due."""
    key = key_of(topic(keep="latest"), logs)
    log = await key.open()
    clients = [join(key, log)]
    key.output.publish("a")
    clients.append(join(key, log, 1))
    key.output.publish("b")
    await running().pass_time(1)
    assert [client.values[-1] for client in clients] == ["b", "b"]


async def test_guests_count_as_watchers(logs: Opening) -> None:
    """A client that is about to watch keeps the key alive."""
    key = key_of(topic(), logs)
    key.guests += 1
    assert key.is_watched()


async def test_closed_channel_can_be_read_to_its_end(logs: Opening) -> None:
    """After its end nothing new arrives, but the remaining entries do; the name can be opened again."""
    key, other = key_of(topic(), logs), key_of(topic(), logs)
    log = await key.open()
    client = join(key, log)
    client.lane.block()
    key.output.publish("a")
    await running().pass_time(1)
    key.complete()
    for _ in range(2):
        key.close()
    assert await other.open() is log
    client.lane.unblock()
    await running().pass_time(1)
    assert (client.values, client.told) == (["a"], ["complete"])


async def test_closing_again_closes_nobody_else(logs: Opening) -> None:
    """A key that is over does not close the log of its successor."""
    key, other = key_of(topic(), logs), key_of(topic(), logs)
    await key.open()
    key.close()
    client = join(other, await other.open())
    key.close()
    other.output.publish("a")
    await running().pass_time(1)
    assert client.values == ["a"]


async def test_next_entry_is_heard(logs: Opening) -> None:
    """All that wait for an entry are notified of the next one and of the end; one that gives up does no harm."""
    key = key_of(topic(), logs)
    await key.open()
    tells: tuple[Callable[[], object], ...] = (lambda: key.output.publish("a"), key.complete)
    for tell in tells:
        waiting = [asyncio.create_task(key.entry()) for _ in range(3)]
        await turns(2)
        waiting[1].cancel()
        await turns(2)
        tell()
        tell()
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [False, True, False]


async def test_removals_are_forgotten_when_all_have_seen_them(logs: Opening) -> None:
    """The tombstones of a table are bounded while its watchers keep up, and none misses a removal."""
    watched = topic(dict[str, int], by="n", keep="latest")
    key = key_of(watched, logs)
    log = await key.open()
    assert isinstance(log, TableLog)
    client = join(key, log)
    most = 0
    for number in range(500):
        key.output.publish({"n": number})
        await running().pass_time(0.1)
        key.output.publish(Removed(number))
        await running().pass_time(0.1)
        most = max(most, log.tombstones)
    assert 0 < most < 200
    told = [
        (f'{{"key":{number},"value":{{"n":{number}}}}}', f'{{"key":{number},"removed":true}}') for number in range(500)
    ]
    assert client.values == [value for pair in told for value in pair]


async def test_removals_are_kept_for_the_slow(logs: Opening) -> None:
    """A slow watcher that knows a row learns of its removal, however many watchers have left since."""
    watched = topic(dict[str, int], by="n", keep="latest")
    key = key_of(watched, logs)
    log = await key.open()
    slow = join(key, log)
    key.output.publish({"n": -1})
    await running().pass_time(1)
    slow.lane.block()
    key.output.publish(Removed(-1))
    for number in range(300):
        key.output.publish({"n": number})
        key.output.publish(Removed(number))
        await running().pass_time(0.1)
    slow.lane.unblock()
    await running().pass_time(1)
    assert '{"key":-1,"removed":true}' in slow.values


def test_burst_is_half_of_what_is_kept() -> None:
    """Only logs that lose entries are written inline, at half of their size."""
    kept = [log_kind_of("x", str, watch_options(keep=keep)) for keep in (1, 2, 100)]
    assert [burst_of(each) for each in kept] == [1, 1, 50]
    assert burst_of(log_kind_of("x", str, watch_options())) == math.inf


def test_logs_are_bounded_by_the_settings() -> None:
    """Logs that were declared before the app was known are bounded by the app's settings."""
    failures: list[object] = []
    settings = Settings(max_log_bytes=123, max_table_rows=45)

    def failed(error: Exception, value: object) -> None:
        failures.append(value)

    last = bounded(log_kind_of("x", str, watch_options(keep=7)), settings, failed)
    table = bounded(log_kind_of("x", dict[str, int], watch_options(by="n")), settings, failed)
    newest = bounded(log_kind_of("x", str, watch_options()), settings, failed)
    assert last.retention == Retention("last", entries=7, size=123, retain=300.0, keeps_end=True)
    assert table.retention == Retention("table", size=123, rows=45, retain=300.0, keeps_end=True)
    assert newest.retention == Retention("latest", retain=300.0, keeps_end=True)
    for kind in (last, table, newest):
        kind.values.failed(ValueError(), "value")
    assert failures == ["value"] * 3
