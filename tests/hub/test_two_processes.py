"""Two processes: hubs that share their topics through a broker, over a simulated network."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.hub.watching import Client, topic
from wirespeed.definitions import TopicDefinition
from wirespeed.errors import BacklogFull, BrokerDown
from wirespeed.hub import Hub
from wirespeed.identity import Sender
from wirespeed.log.base import Entry, Marks, Removed
from wirespeed.log.position import Position
from wirespeed.settings import Settings
from wirespeed.surfaces.wires import raw_wire

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


@asynccontextmanager
async def processes(network: Network, count: int = 2) -> AsyncIterator[list[Hub]]:
    """Hubs of several processes of one app."""
    hubs = [Hub(Settings(), SimulatedBroker(network)) for _ in range(count)]
    for hub in hubs:
        await hub.__aenter__()
    try:
        yield hubs
    finally:
        network.clear_up()
        for hub in hubs:
            await hub.__aexit__()


class Watcher(Client):
    """A client that gets positions, and resumes with its last one whenever its watch ends."""

    def __init__(self, hub: Hub, watched: TopicDefinition[..., Any], *, returns: bool = True) -> None:
        super().__init__()
        self.hub = hub
        self.watched = watched
        self.is_watching = False
        self._returns = returns
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def seen(self) -> list[tuple[Position | None, Any]]:
        """The values with their positions; None instead of a position for reports of losses and resets."""
        frames = [json.loads(each) for each in self.values]
        return [(Position.parse(f["position"]), f) if "position" in f else (None, f) for f in frames]

    async def begin(self) -> "Watcher":
        """Begin to watch, or resume."""
        since = next((position for position, _ in reversed(self.seen) if position is not None), None)
        engine = await self.hub.engine()
        ticket = await engine.enter(self.watched, self.watched.path, {}, since)
        wire = raw_wire(self.watched, positions=True)
        self.is_watching = True
        self.watcher = engine.watch(ticket, self.lane, wire, self, None)
        return self

    def fell_behind(self, lost: int) -> None:
        super().fell_behind(lost)
        self.is_watching = False
        if self._returns:
            self._tasks.add(task := asyncio.create_task(self._resume()))
            task.add_done_callback(self._tasks.discard)

    async def _resume(self) -> None:
        while not self.is_watching:
            with suppress(BrokerDown):
                await self.begin()
                return
            await asyncio.sleep(0.1)


def texts(watcher: Watcher) -> list[Any]:
    """The values that a watcher has got, without reports."""
    return [frame.get("value") for position, frame in watcher.seen if position is not None]


async def test_values_reach_the_watchers_of_all_processes() -> None:
    """Values published in any process reach watchers in every process, once, in one order, with the same positions."""
    news = topic(int, keep=100)
    async with processes(Network()) as hubs:
        watchers = [await Watcher(hub, news).begin() for hub in hubs]
        receipts = [hubs[number % 2].publish(news, "", number) for number in range(20)]
        await running().pass_time(1)
        assert watchers[0].seen == watchers[1].seen
        assert sorted(texts(watchers[0])) == list(range(20))
        positions = [receipt.result(0) for receipt in receipts]
        assert sorted(positions) == [position for position, _ in watchers[0].seen]
        assert [each for each in texts(watchers[0]) if each % 2] == list(range(1, 20, 2))


async def test_marks_travel() -> None:
    """Tags and the sender arrive with the value."""
    news, marks = topic(str), Marks({"side": "buy"}, Sender(client="1", user="ada", info=b'{"n":"\xc3\xa4"}'))
    async with processes(Network()) as hubs:
        await hubs[0].publish(news, "", "a", marks)
        await hubs[0].publish(news, "", "b")
        held = await hubs[1].entries(news, "", {})
        assert [(each.payload, each.marks) for each in held] == [(b"a", marks), (b"b", None)]


async def test_tables_and_newest_values() -> None:
    """Rows and newest values are equal in all processes; removals arrive, and what did not change is not repeated."""
    table, newest = topic(dict[str, int], "/t", by="n", keep="latest"), topic(int, "/n", keep="latest")
    async with processes(Network()) as hubs:
        watchers = [await Watcher(hub, table).begin() for hub in hubs]
        ones = [await Watcher(hub, newest).begin() for hub in hubs]
        for number in range(3):
            hubs[0].publish(table, "", {"n": number})
            hubs[0].publish(newest, "", number)
            await running().pass_time(1)
        hubs[1].publish(table, "", Removed(1))
        unchanged = hubs[1].publish(table, "", Removed(7))
        await running().pass_time(2)
        assert watchers[0].seen == watchers[1].seen
        keys = [(frame["key"], frame.get("removed", False)) for _, frame in watchers[0].seen]
        assert keys == [(0, False), (1, False), (2, False), (1, True)]
        assert [texts(each)[-1] for each in ones] == [2, 2]
        assert unchanged.result(0) == watchers[0].seen[-1][0]
        late = await Watcher(hubs[1], table).begin()
        assert [frame["key"] for _, frame in late.seen] == [0, 2]


async def test_resuming_in_another_process() -> None:
    """A client that reconnects to another process resumes from its position and misses nothing."""
    news = topic(int, keep=100)
    async with processes(Network()) as hubs:
        watcher = await Watcher(hubs[0], news).begin()
        for number in range(10):
            await hubs[0].publish(news, "", number)
        await running().pass_time(1)
        watcher.leave(await hubs[0].engine(), news.path)
        for number in range(10, 20):
            await hubs[0].publish(news, "", number)
        watcher.hub = hubs[1]
        await watcher.begin()
        await running().pass_time(1)
        assert texts(watcher) == list(range(20))


async def test_reading_without_watching() -> None:
    """The entries of a key that this process does not watch are read from the broker."""
    news = topic(int, keep=3)
    async with processes(Network()) as hubs:
        assert await hubs[1].entries(news, "", {}) == []
        for number in range(5):
            await hubs[0].publish(news, "", number)
        held: list[Entry] = await hubs[1].entries(news, "", {})
        assert [each.payload for each in held] == [b"2", b"3", b"4"]
        assert [each.position.offset for each in held] == [3, 4, 5]


async def test_notices() -> None:
    """A notice reaches the live keys of all processes; one with an unknown word is ignored."""
    news, network = topic(int), Network()
    async with processes(network) as hubs:
        heard: list[tuple[str, bytes]] = []
        for hub in hubs:
            await Watcher(hub, news).begin()
            (await hub.engine()).on_notice[b"word"] = lambda key, rest: heard.append((key.name, rest))
        network.brokers[0].notify(news.path, b"word and more")
        network.brokers[0].notify(news.path, b"wordless")
        await running().pass_time(1)
        assert heard == [(news.path, b"and more")] * 2


async def test_log_stays_attached_for_a_moment() -> None:
    """A page that reloads does not detach and attach its log; after a second without watchers it is detached."""
    news, network = topic(int), Network()
    async with processes(network) as hubs:
        watcher = await Watcher(hubs[0], news).begin()
        for pause, attached in ((0.5, True), (1.5, False)):
            watcher.leave(await hubs[0].engine(), news.path)
            await running().pass_time(pause)
            assert network.brokers[0].is_subscribed(news.path) is attached
            await watcher.begin()


async def test_watchers_learn_of_an_outage() -> None:
    """While the broker is down, values are out of date and wait; afterwards everything arrives, once."""
    news, network = topic(int, keep=100), Network()
    async with processes(network) as hubs:
        watchers = [await Watcher(hub, news).begin() for hub in hubs]
        await hubs[0].publish(news, "", 0)
        network.go_down()
        receipt = hubs[0].publish(news, "", 1)
        await running().pass_time(10)
        assert [watcher.told for watcher in watchers] == [["stale"]] * 2
        assert not receipt.done()
        with pytest.raises(BrokerDown):
            await Watcher(hubs[0], topic(int, "/other")).begin()
        network.is_up = True
        await running().pass_time(10)
        assert receipt.result(0).offset == 2
        assert [texts(watcher) for watcher in watchers] == [[0, 1]] * 2
        assert all(watcher.told[:1] == ["stale"] for watcher in watchers)


async def test_end_of_a_log_reaches_all_watchers() -> None:
    """When a log is ended, watchers in every process are completed after everything that was published before."""
    news, network = topic(int, keep=100), Network()
    async with processes(network) as hubs:
        watchers = [await Watcher(hub, news).begin() for hub in hubs]
        await hubs[0].publish(news, "", 1)
        await network.brokers[0].end(news.path, news.retention)
        await running().pass_time(1)
        assert [(texts(watcher), watcher.told) for watcher in watchers] == [([1], ["complete"])] * 2


@pytest.mark.parametrize("on_lag", ["skip", "close"])
async def test_forgotten_log_is_reported_once(on_lag: str) -> None:
    """If the broker has lost a log, each watcher learns so once, and gets everything of the new epoch."""
    news, network = topic(int, keep=100, on_lag=on_lag), Network()
    async with processes(network) as hubs:
        watchers = [await Watcher(hub, news).begin() for hub in hubs]
        await hubs[0].publish(news, "", 1)
        await running().pass_time(1)
        network.server.forget(news.path)
        await hubs[1].publish(news, "", 2)
        await running().pass_time(60)
        for watcher in watchers:
            assert [frame.get("value", "lost") for _, frame in watcher.seen] == [1, "lost", 2]
            assert watcher.told == ([] if on_lag == "skip" else [1])


async def test_backlog_is_bounded() -> None:
    """While the broker is down, publications wait up to a bound, and then fail at once; those that wait are sent."""
    news, network = topic(str, keep=100), Network()
    async with Hub(Settings(max_publish_backlog_bytes=100_000), SimulatedBroker(network)) as hub:
        await hub.publish(news, "", "a")
        network.go_down()
        receipts = [hub.publish(news, "", "x" * 40_000) for _ in range(2)]
        with pytest.raises(BacklogFull):
            hub.publish(news, "", "x" * 40_000)
        network.clear_up()
        await running().pass_time(30)
        assert [receipt.result(0).offset for receipt in receipts] == [2, 3]


async def test_last_values_are_sent() -> None:
    """Values published just before a process stops reach the watchers of the others."""
    news, network = topic(int, keep=100), Network()
    async with processes(network) as hubs:
        watcher = await Watcher(hubs[1], news).begin()
        async with Hub(Settings(), SimulatedBroker(network)) as other:
            for number in range(10):
                other.publish(news, "", number)
        await running().pass_time(1)
        assert texts(watcher) == list(range(10))


# Promise 1, whatever the network does


class Weather:
    """Lets the network do harm, as drawn numbers say."""

    def __init__(self, network: Network, name: str, random: Random) -> None:
        self.network = network
        self._name = name
        self._random = random

    def blow(self, action: str) -> None:
        """Do one harm, if there is anything to harm."""
        network, random = self.network, self._random
        if action == "cut":
            network.cut(random.choice(network.brokers))
        elif action in ("forget", "truncate"):
            if self._name in network.server.logs:
                getattr(network.server, action)(self._name, *([random.randint(1, 3)] if action != "forget" else []))
        elif action in ("serve", "late") and network.requests:
            request = random.choice(network.requests)
            if action == "serve":
                network.serve(request)
            else:
                request.perform()
        elif network.packets:
            packet = random.choice(network.packets)
            if action == "deliver":
                network.deliver(packet)
            elif action == "drop":
                network.packets.remove(packet)
            elif action == "repeat":
                network.packets.append(packet)


ACTIONS = [
    *["publish"] * 6,
    *["deliver", "serve"] * 8,
    *["drop", "repeat", "late", "cut", "time"],
]
HARM = [*ACTIONS, "forget", "truncate"]


def check(network: Network, watcher: Watcher) -> None:
    """Check that a watcher has got everything in order, each at most once, with a report wherever some are missing."""
    last: Position | None = None
    reported = False
    for position, frame in watcher.seen:
        if position is None:
            reported = True
            continue
        truth = [offset for offset, _ in network.server.truth[position.epoch]]
        payloads = dict(network.server.truth[position.epoch])
        assert payloads[position.offset].payload == str(frame["value"]).encode()
        if last is not None and last.epoch == position.epoch:
            assert position.offset > last.offset
        if last is not None and not reported:
            assert last.epoch == position.epoch
            assert truth.index(position.offset) == truth.index(last.offset) + 1
        last, reported = position, False


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("on_lag", ["skip", "close"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), steps=st.lists(st.sampled_from(HARM), min_size=10, max_size=150))
def test_order_and_loss(is_sparse: bool, on_lag: str, seed: int, steps: list[str]) -> None:
    """Values arrive in order, each at most once, and none is missing without a report, whatever the network does."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(_order_and_loss(Network(is_sparse=is_sparse), on_lag, Random(seed), steps))


async def _storm(network: Network, watched: Any, hubs: list[Hub], random: Random, steps: list[str]) -> Iterator[int]:
    """Publish while the network does harm; return further values, when it is calm again."""
    weather, values = Weather(network, watched.path, random), _numbers()
    network.is_calm = False
    for step in steps:
        if step == "publish":
            number = next(values)
            value = {"n": number % 5, "v": number} if watched.options.by else number
            is_removal = watched.options.by and random.random() < 0.3
            random.choice(hubs).publish(watched, "", Removed(number % 5) if is_removal else value)
        elif step == "time":
            await running().pass_time(random.choice([0.05, 0.5, 5.0]))
        else:
            weather.blow(step)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    network.clear_up()
    await running().pass_time(120)
    return values


async def _order_and_loss(network: Network, on_lag: str, random: Random, steps: list[str]) -> None:
    news = topic(int, keep=20, on_lag=on_lag)
    async with processes(network) as hubs:
        watchers = [await Watcher(hub, news).begin() for hub in hubs for _ in range(2)]
        values = await _storm(network, news, hubs, random, steps)
        newest = hubs[0].publish(news, "", next(values))
        await running().pass_time(120)
        for watcher in watchers:
            check(network, watcher)
            assert watcher.seen[-1][0] == newest.result(0)


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        yield (number := number + 1)


@pytest.mark.parametrize("by", ["n", None])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), steps=st.lists(st.sampled_from(HARM), min_size=10, max_size=150))
def test_newest_values_converge(by: str | None, seed: int, steps: list[str]) -> None:
    """Whatever the network does, all watchers end with the rows, or the newest value, that the broker has."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(_newest_values_converge(by, Random(seed), steps))


async def _newest_values_converge(by: str | None, random: Random, steps: list[str]) -> None:
    watched, network = topic(dict[str, int] if by else int, keep="latest", by=by), Network()
    async with processes(network) as hubs:
        watchers = [await Watcher(hub, watched).begin() for hub in hubs for _ in range(2)]
        values = await _storm(network, watched, hubs, random, steps)
        number = next(values)
        hubs[0].publish(watched, "", {"n": 7, "v": number} if by else number)
        await running().pass_time(120)
        entries = network.server.logs[watched.path].entries
        held = {each.row: each.payload for _, each in entries if each.payload is not None}
        for watcher in watchers:
            assert rows(watcher.seen) == {row: json.loads(payload) for row, payload in held.items()}


def rows(seen: Sequence[tuple[Position | None, Any]]) -> dict[bytes | None, Any]:
    """The rows that a watcher knows; the newest value has no row."""
    known: dict[bytes | None, Any] = {}
    for _, frame in seen:
        row = json.dumps(frame["key"]).encode() if "key" in frame else None
        if "reset" in frame:
            known.clear()
        elif frame.get("removed"):
            known.pop(row, None)
        else:
            known[row] = frame["value"]
    return known
