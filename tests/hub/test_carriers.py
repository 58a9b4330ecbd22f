"""The promises of topics, over every way to carry values: in one process, and between processes through a broker."""

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.brokers.simulated import RECONNECT, Network, SimulatedBroker
from tests.hub.stepping import BACKEND, running
from tests.hub.watching import topic
from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns
from wirespeed.brokers.repair import CHECK
from wirespeed.definitions import Receipt, SourceHealth, SourceRefusal, TopicDefinition
from wirespeed.errors import BacklogFull, BrokerDown, LogFull, Stopped
from wirespeed.frames import TEXT
from wirespeed.hub import Hub
from wirespeed.hub.staleness import STALE_AFTER
from wirespeed.hub.watcher import Watcher
from wirespeed.identity import Sender
from wirespeed.log.base import Marks, Removed
from wirespeed.log.position import Position, Unchanged
from wirespeed.settings import Settings
from wirespeed.surfaces.wires import RawWire

WIRE = RawWire(TEXT, bytes, positions=True)


class Viewer:
    """A client that watches a key at one process, and everything that it was sent."""

    def __init__(self) -> None:
        self.lane = RecordingLane()
        self.over: list[object] = []
        self.health_was: list[str] = []
        self.watcher: Watcher | None = None

    async def watch(self, process: "Process", since: Position | None = None) -> "Viewer":
        """Begin to watch, or resume from a position."""
        engine = await process.hub.engine()
        ticket = await engine.enter(process.topic, process.topic.path, {}, since)
        self.watcher = engine.watch(ticket, self.lane, WIRE, self, None)
        return self

    async def leave(self, process: "Process") -> None:
        """Stop watching."""
        assert self.watcher is not None
        (await process.hub.engine()).unwatch(process.topic.path, self.watcher)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All messages, in order."""
        return [json.loads(text) for text in self.lane.values]

    @property
    def values(self) -> list[Any]:
        """All values, in order."""
        return [each["value"] for each in self.events if "value" in each]

    @property
    def positions(self) -> list[Position]:
        """The positions of all values and removals, in order."""
        return [Position.parse(each["position"]) for each in self.events if "position" in each]

    @property
    def rows(self) -> dict[Any, Any]:
        """The rows that the client has."""
        rows: dict[Any, Any] = {}
        for each in self.events:
            if "reset" in each:
                rows.clear()
            elif "removed" in each:
                rows.pop(each["key"], None)
            else:
                rows[each["key"]] = each["value"]
        return rows

    def completed(self) -> None:
        self.over.append("completed")

    def fell_behind(self, lost: int) -> None:
        self.over.append(lost)

    def refused(self, refusal: SourceRefusal) -> None:
        self.over.append(refusal.status)

    def not_served(self) -> None:
        self.over.append("not served")

    def health(self, health: SourceHealth) -> None:
        self.health_was.append(health.state)


class Process:
    """One process of an app, with a topic of it."""

    def __init__(self, hub: Hub, watched: TopicDefinition[..., Any]) -> None:
        self.hub = hub
        self.topic = watched
        hub.bind(watched, watched.path)

    def publish(self, value: Any, marks: Marks | None = None) -> Receipt:
        """Publish a value to the topic."""
        return self.hub.publish(self.topic, "", value, marks)

    async def payloads(self) -> list[bytes]:
        """Return the payloads that the log of the topic holds."""
        return [entry.payload for entry in await self.hub.entries(self.topic, "", {})]


class Carriers(ABC):
    """Promises that hold whatever carries the values."""

    pytestmark = pytest.mark.anyio
    is_sparse = False
    """True if offsets have holes, so that the number of lost entries is only an upper bound."""

    @pytest.fixture(autouse=True)
    def anyio_backend(self) -> object:
        """Tests run on a loop whose time they let pass."""
        return BACKEND

    @abstractmethod
    def processes(self, count: int, **options: Any) -> Any:
        """Return processes of an app with one topic."""

    async def settle(self) -> None:
        """Let everything arrive and be written."""
        await running().pass_time(1.0)

    async def test_values_reach_all_in_one_order(self) -> None:
        """Values that several processes publish reach every watcher in the same order, each once."""
        async with self.processes(3, type_=int) as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            receipts = []
            for number in range(60):
                receipts.append(processes[number % 3].publish(number))
                await turns(number % 4)
            await self.settle()
            positions = [await receipt for receipt in receipts]
            assert {tuple(viewer.positions) for viewer in viewers} == {tuple(sorted(positions))}
            for process in range(3):
                mine = [number for number in viewers[0].values if number % 3 == process]
                assert mine == list(range(process, 60, 3))
            order = dict(zip(positions, range(60), strict=True))
            assert viewers[0].values == [order[position] for position in viewers[0].positions]

    async def test_newest_value_reaches_all(self) -> None:
        """With keep="latest" every watcher ends up with the newest value; a new one begins with it."""
        async with self.processes(2, type_=int, keep="latest") as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            for number in range(50):
                processes[0].publish(number)
                await turns(1)
            await self.settle()
            viewers += [await Viewer().watch(each) for each in processes]
            await self.settle()
            assert [viewer.values[-1] for viewer in viewers] == [49] * 4
            assert all(viewer.values == sorted(set(viewer.values)) for viewer in viewers)

    async def test_tables_converge(self) -> None:
        """Every watcher of a table ends up with the newest value of each row; rows that were removed are gone."""
        async with self.processes(2, type_=dict[str, Any], keep="latest", by="id") as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            for number in range(30):
                processes[number % 2].publish({"id": number % 5, "n": number})
                await turns(number % 3)
            await self.settle()
            processes[0].publish(Removed(3))
            processes[1].publish(Removed(1.0))
            await self.settle()
            viewers += [await Viewer().watch(each) for each in processes]
            await self.settle()
            expected = {row: {"id": row, "n": 25 + row} for row in (0, 2, 4)}
            assert [viewer.rows for viewer in viewers] == [expected] * 4

    async def test_clients_resume_at_any_process(self) -> None:
        """A client that comes back to another process gets exactly what it has missed."""
        async with self.processes(2, type_=int) as processes:
            first = await Viewer().watch(processes[0])
            for number in range(3):
                processes[0].publish(number)
            await self.settle()
            await first.leave(processes[0])
            for number in range(3, 7):
                processes[0].publish(number)
            await self.settle()
            second = await Viewer().watch(processes[1], first.positions[-1])
            processes[0].publish(7)
            await self.settle()
            assert first.values + second.values == list(range(8))
            assert all("lost" not in each for each in second.events)

    async def test_lost_values_are_reported(self) -> None:
        """A client whose position fell off the log learns how many values it has lost, and gets the others."""
        async with self.processes(2, type_=int, keep=5) as processes:
            first = await Viewer().watch(processes[0])
            await processes[0].publish(0)
            await self.settle()
            await first.leave(processes[0])
            for number in range(1, 12):
                await processes[0].publish(number)
            second = await Viewer().watch(processes[1], first.positions[-1])
            unknown = await Viewer().watch(processes[1], Position("other", 3))
            await self.settle()
            assert second.events[0] == {"lost": 6} or (self.is_sparse and second.events[0]["lost"] > 6)
            assert unknown.events[0] == {"lost": None}
            assert (second.values, unknown.values) == ([*range(7, 12)], [*range(7, 12)])

    async def test_history_needs_no_watcher(self) -> None:
        """Any process can read the log, with tags and sender, whether it watches the key or not."""
        async with self.processes(2, type_=str, keep=2) as processes:
            assert await processes[1].payloads() == []
            marks = Marks({"a": "\u00e4"}, Sender(client="c", user="u", info=b'{"name": 1}', channel_info=b"[2]"))
            receipts = [processes[0].publish("x"), processes[0].publish("y"), processes[0].publish("z", marks)]
            positions = [await receipt for receipt in receipts]
            for watches in (False, True):
                if watches:
                    await Viewer().watch(processes[1])
                for process in processes:
                    entries = await process.hub.entries(process.topic, "", {})
                    assert [(each.position, each.payload) for each in entries] == [
                        (positions[1], b"y"),
                        (positions[2], b"z"),
                    ]
                    assert [each.marks for each in entries] == [None, marks]

    async def test_receipts_say_what_was_not_stored(self) -> None:
        """A row too many is an error of its own receipt; the removal of a missing row leaves the log unchanged."""
        async with self.processes(2, type_=dict[str, Any], keep="latest", by="id", rows=1) as processes:
            receipts = []
            for row in (1, 2, 1):
                receipts.append(processes[0].publish({"id": row, "n": 1}))
                await self.settle()
            with pytest.raises(LogFull):
                await receipts[1]
            newest = await receipts[2]
            unchanged = await processes[1].publish(Removed(7))
            assert (unchanged, type(unchanged)) == (newest, Unchanged)
            assert len(await processes[1].payloads()) == 1

    async def test_threads_publish_in_order(self) -> None:
        """Values of a thread reach the watchers of every process in their order."""
        async with self.processes(2, type_=int) as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            thread = threading.Thread(target=lambda: [processes[0].publish(number) for number in range(50)])
            thread.start()
            thread.join()
            await self.settle()
            assert [viewer.values for viewer in viewers] == [list(range(50))] * 2

    async def test_values_that_change_are_sent_as_they_were(self) -> None:
        """A dict that changes after it was published reaches no watcher in its later state."""
        async with self.processes(2, type_=dict[str, Any], keep=10) as processes:
            viewer = await Viewer().watch(processes[1])
            value = {"n": 0}
            for number in range(5):
                value["n"] = number
                processes[0].publish(value)
            await self.settle()
            assert [each["n"] for each in viewer.values] == list(range(5))

    async def test_last_values_are_written_before_the_end(self) -> None:
        """Values that were published before a process stops reach the watchers of all processes."""
        async with self.processes(2, type_=int) as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            receipts = [processes[0].publish(number) for number in range(5)]
            await processes[0].hub.__aexit__(None, None, None)
            await self.settle()
            assert [viewer.values for viewer in viewers] == [list(range(5))] * 2
            assert [receipt.done() for receipt in receipts] == [True] * 5
            with pytest.raises(Stopped):
                await processes[0].publish(5)


class TestLocal(Carriers):
    """One process, without a broker: the hub numbers the entries itself."""

    @asynccontextmanager
    async def processes(self, count: int, *, rows: int = 100, **options: Any) -> AsyncIterator[Sequence[Process]]:
        async with Hub(Settings(max_table_rows=rows)) as hub:
            yield [Process(hub, topic(**options))] * count

    async def test_receipts_are_done_at_once(self) -> None:
        """Without a broker a value is in its log when publish() returns."""
        async with self.processes(1) as processes:
            assert processes[0].publish("a").done()


class TestSimulatedNetwork(Carriers):
    """Several processes, with a simulated broker between them."""

    @asynccontextmanager
    async def processes(self, count: int, *, rows: int = 100, **options: Any) -> AsyncIterator[Sequence[Process]]:
        self.network = Network(is_sparse=self.is_sparse)
        settings = Settings(max_table_rows=rows, max_publish_backlog_bytes=100_000)
        async with AsyncExitStack() as stack:
            hubs = [Hub(settings, SimulatedBroker(self.network)) for _ in range(count)]
            made = [Process(await stack.enter_async_context(hub), topic(**options)) for hub in hubs]
            try:
                yield made
            finally:  # the time of this loop does not pass while hubs wait for the broker
                self.network.clear_up()
                await running().pass_time(3.0)

    async def test_outage_is_invisible_afterwards(self) -> None:
        """An outage of a few seconds is not worth a notice; when the broker is back, nothing is missing or doubled."""
        async with self.processes(2, type_=int) as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            receipts = [processes[0].publish(number) for number in range(3)]
            await self.settle()
            self.network.go_down()
            receipts += [processes[number % 2].publish(number) for number in range(3, 9)]
            await self.settle()
            assert [receipt.done() for receipt in receipts] == [True] * 3 + [False] * 6
            self.network.is_up = True
            await running().pass_time(3 * RECONNECT + 2.0)
            assert [sorted(viewer.values) for viewer in viewers] == [list(range(9))] * 2
            assert viewers[0].values == viewers[1].values
            assert [viewer.health_was for viewer in viewers] == [[], []]
            assert {position for viewer in viewers for position in viewer.positions} == {
                await receipt for receipt in receipts
            }

    @pytest.mark.parametrize("publishes", [False, True])
    async def test_long_outage_is_noticed(self, *, publishes: bool) -> None:
        """After some seconds watchers learn that their values are stale, newcomers at once; and when they are not."""
        async with self.processes(2, type_=int) as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            self.network.go_down()
            await running().pass_time(STALE_AFTER - 0.5)
            assert [viewer.health_was for viewer in viewers] == [[], []]
            await running().pass_time(2.0)
            viewers.append(await Viewer().watch(processes[0]))
            await viewers.pop(1).leave(processes[1])
            viewers.append(await Viewer().watch(processes[1]))  # the log has a new reader
            await self.settle()
            assert [viewer.health_was for viewer in viewers] == [["stale"]] * 3
            if publishes:
                processes[0].publish(1)
            self.network.is_up = True
            await running().pass_time(3 * RECONNECT + 2.0)
            assert [viewer.health_was[1:] for viewer in viewers] == [["live"]] * 3
            viewers.append(await Viewer().watch(processes[1]))
            assert viewers[-1].health_was == []

    async def test_deaf_connection_is_noticed(self) -> None:
        """A subscription that delivers nothing, but looks healthy, is found by the next check; nothing is missing."""
        async with self.processes(2, type_=int) as processes:
            viewers = [await Viewer().watch(each) for each in processes]
            self.network.deaf.add(self.network.brokers[1])
            for number in range(3):
                processes[0].publish(number)
            await self.settle()
            assert [viewer.values for viewer in viewers] == [[0, 1, 2], []]
            await running().pass_time(1.2 * CHECK + 1.0)
            assert [viewer.values for viewer in viewers] == [[0, 1, 2]] * 2

    async def test_client_may_arrive_before_its_values(self) -> None:
        """A client from another process waits until this one has what the client has, so that nothing comes twice."""
        async with self.processes(2, type_=int) as processes:
            first, other = await Viewer().watch(processes[0]), await Viewer().watch(processes[1])
            processes[0].publish(0)
            await self.settle()
            self.network.is_calm = False
            processes[0].publish(1)
            await turns(5)
            self.network.serve(self.network.requests[0])
            late, early = sorted(self.network.packets, key=lambda each: each.broker is self.network.brokers[0])
            self.network.deliver(early)
            await self.settle()
            assert (first.values, other.values) == ([0, 1], [0])
            resuming = asyncio.create_task(Viewer().watch(processes[1], first.positions[-1]))
            await turns(20)
            self.network.serve(self.network.requests[0])
            await turns(20)
            assert not resuming.done()
            self.network.deliver(late)
            second = await resuming
            self.network.clear_up()
            processes[0].publish(2)
            await self.settle()
            assert second.events == [{"position": str(second.positions[0]), "value": 2}]

    @pytest.mark.parametrize("keep", [100, "latest"])
    @pytest.mark.parametrize("is_noticed", [True, False])
    async def test_client_moves_to_a_process_that_is_cut_off(self, keep: Any, is_noticed: bool) -> None:
        """It is refused, and may try again: it has values that this process does not have, and has lost none."""
        async with self.processes(2, type_=int, keep=keep) as processes:
            first, other = await Viewer().watch(processes[0]), await Viewer().watch(processes[1])
            processes[0].publish(0)
            await self.settle()
            self.network.deaf.add(self.network.brokers[1])
            processes[0].publish(1)
            await running().pass_time(0.1)
            assert (first.values, other.values) == ([0, 1], [0])
            if is_noticed:
                self.network.cut(self.network.brokers[1])
            resuming = asyncio.create_task(Viewer().watch(processes[1], first.positions[-1]))
            await running().pass_time(0.0 if is_noticed else 5.0)
            with pytest.raises(BrokerDown):
                await resuming

    async def test_position_from_before_a_failover_does_not_block(self) -> None:
        """A client whose entry the broker has lost is admitted, and learns of a loss."""
        async with self.processes(1, type_=int) as processes:
            first = await Viewer().watch(processes[0])
            await processes[0].publish(0)
            await self.settle()
            epoch, offset = first.positions[-1]
            resuming = asyncio.create_task(Viewer().watch(processes[0], Position(epoch, offset + 5)))
            await running().pass_time(5.0)
            assert [next(iter(each)) for each in (await resuming).events] == ["lost", "position"]

    async def test_backlog_is_bounded(self) -> None:
        """While the broker is down, publish() raises BacklogFull at the bound; later, everything else is stored."""
        async with self.processes(1, type_=str, keep=500) as processes:
            self.network.go_down()
            published = 99_000 // 515
            for _ in range(published):
                processes[0].publish("a")
            with pytest.raises(BacklogFull, match="topic '/topic'"):
                processes[0].publish("a" * 2000)
            self.network.is_up = True
            await running().pass_time(3.0)
            assert len(await processes[0].payloads()) == published

    async def test_log_is_detached_after_its_last_watcher(self) -> None:
        """A key that is watched again within a second stays attached; later, it is read again."""
        async with self.processes(2, type_=int) as processes:
            viewer = await Viewer().watch(processes[1])
            await viewer.leave(processes[1])
            requests = self.network.sent
            viewer = await Viewer().watch(processes[1])
            assert self.network.sent == requests
            await viewer.leave(processes[1])
            await running().pass_time(2.0)
            assert not self.network.brokers[1].is_subscribed("/topic")
            await Viewer().watch(processes[1])
            assert self.network.sent > requests


class TestSparseOffsets(TestSimulatedNetwork):
    """The same, with holes between the offsets of a log."""

    is_sparse = True
