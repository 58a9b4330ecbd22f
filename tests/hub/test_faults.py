"""Two processes on a network that fails in every way: watchers converge, losses are reported, receipts are true."""

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import SteppedLoop, running
from tests.hub.test_carriers import Process, Viewer
from tests.hub.watching import topic
from tests.lanes.turns import turns
from wirespeed.definitions import Receipt
from wirespeed.errors import BrokerDown
from wirespeed.hub import Hub
from wirespeed.log.base import Removed
from wirespeed.log.position import Position, Unchanged
from wirespeed.settings import Settings

HUBS = st.integers(0, 1)
NUMBERS = st.integers(0, 50)


class FaultsMachine(RuleBasedStateMachine):
    """Publishes and watches in two processes, while the network does what the rules say."""

    keep: Any = 6
    by: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=SteppedLoop)
        self.viewers: list[tuple[Viewer, int]] = []
        self.receipts: list[tuple[Any, Receipt]] = []
        self.has_failed_over = False
        self.run(self.begin())

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine, and let what it has caused happen."""

        async def run() -> Any:
            result = await coroutine
            await turns(6)
            return result

        return self.runner.run(run())

    async def begin(self) -> None:
        """Start both processes, with a watcher in each."""
        self.network = Network()
        self.hubs = [Hub(Settings(), SimulatedBroker(self.network)) for _ in range(2)]
        kind = dict[str, Any] if self.by else int
        on_lag = None if self.keep == "latest" else "skip"
        self.processes = [
            Process(await hub.__aenter__(), topic(kind, keep=self.keep, by=self.by, on_lag=on_lag)) for hub in self.hubs
        ]
        for number in range(2):
            self.viewers.append((await Viewer().watch(self.processes[number]), number))
        self.network.is_calm = False

    # Use

    @rule(hub=HUBS, count=st.integers(1, 4))
    def publish(self, hub: int, count: int) -> None:
        async def publish() -> None:
            for _ in range(count):
                number = len(self.receipts)
                value: Any = {"id": number % 3, "n": number} if self.by else number
                if self.by and number % 7 == 6:
                    value = Removed(number % 3)
                self.receipts.append((value, self.processes[hub].publish(value)))

        self.run(publish())

    @rule(hub=HUBS, number=NUMBERS)
    def move(self, hub: int, number: int) -> None:
        """Let a client reconnect to a process, and resume there."""

        async def move() -> None:
            viewer, at = self.viewers[number % 2]
            positions = viewer.positions
            await viewer.leave(self.processes[at])
            since = positions[-1] if positions else None
            try:
                await self.moved(viewer.watch(self.processes[hub], since))
            except BrokerDown:
                self.network.clear_up()
                await running().pass_time(5.0)
                await self.moved(viewer.watch(self.processes[hub], since))
                self.network.is_calm = False
            self.viewers[number % 2] = viewer, hub

        self.run(move())

    async def moved(self, moving: Any) -> None:
        """Wait until a client has moved; the network answers, and time passes."""
        task = asyncio.ensure_future(moving)
        while not task.done():
            for request in list(self.network.requests):
                self.network.serve(request)
            await running().pass_time(0.1)
        await task

    # The network

    @precondition(lambda self: self.network.packets)
    @rule(number=NUMBERS, what=st.sampled_from(["next", "next", "any", "drop", "repeat"]))
    def packet(self, number: int, what: str) -> None:
        async def packet() -> None:
            packets = self.network.packets
            at = 0 if what == "next" else number % len(packets)
            if what in ("next", "any"):
                self.network.deliver(packets[at])
            elif what == "drop":
                del packets[at]
            else:
                packets.append(packets[at])

        self.run(packet())

    @precondition(lambda self: self.network.requests)
    @rule(number=NUMBERS, what=st.sampled_from(["serve", "serve", "serve", "perform", "lose"]))
    def request(self, number: int, what: str) -> None:
        async def request() -> None:
            requests = self.network.requests
            request = requests[number % len(requests)]
            if what == "serve":
                self.network.serve(request)
            elif what == "perform":
                request.perform()
            else:
                requests.remove(request)
                request.lose()

        self.run(request())

    @rule(
        what=st.sampled_from(["calm", "time", "time", "cut", "truncate", "forget", "down", "deaf", "fail over"]),
        hub=HUBS,
        count=st.integers(1, 4),
    )
    def event(self, what: str, hub: int, count: int) -> None:
        async def event() -> None:
            network, name = self.network, self.processes[0].topic.path
            if what == "calm":
                network.clear_up()
                await running().pass_time(1.0)
                network.is_calm = False
            elif what == "time":
                await running().pass_time(10.0 * count)
            elif what == "cut":
                network.cut(network.brokers[hub])
            elif what == "down":
                network.go_down()
            elif what == "deaf":
                network.deaf.add(network.brokers[hub])
            elif what == "truncate":
                network.server.truncate(name, count)
            else:
                self.has_failed_over = True
                if what == "fail over":
                    for broker in list(network.brokers):
                        network.cut(broker)
                    network.server.lose(name, count)
                else:
                    network.server.forget(name)

        self.run(event())

    # The promises

    def teardown(self) -> None:
        try:
            self.run(self.settle())
            for viewer, _ in self.viewers:
                self.check(viewer)
            self.check_receipts()
        finally:
            self.run(self.end())
            self.runner.close()

    async def settle(self) -> None:
        """Let the network recover, and publish once more."""
        self.network.clear_up()
        await running().pass_time(60.0)
        value = {"id": 0, "n": -1} if self.by else -1
        self.receipts.append((value, self.processes[0].publish(value)))
        await running().pass_time(60.0)

    async def end(self) -> None:
        """Stop both processes."""
        self.network.clear_up()
        await running().pass_time(5.0)
        for hub in self.hubs:
            await hub.__aexit__(None, None, None)

    def check(self, viewer: Viewer) -> None:
        """Check that a client has the newest value."""
        assert viewer.over == []
        assert viewer.values[-1] == -1
        if self.keep == "latest":
            assert viewer.positions[-1] == self.log_position()
        else:
            self.check_order(viewer)

    def check_order(self, viewer: Viewer) -> None:
        """Check that values are in order, each once, and none missing without a report."""
        last: Position | None = None
        reported = False
        for event in viewer.events:
            if "position" not in event:
                reported = True
                continue
            position = Position.parse(event["position"])
            offsets = [offset for offset, _ in self.network.server.truth[position.epoch]]
            if last is not None and not reported:
                assert position.epoch == last.epoch
                assert position.offset > last.offset
                assert offsets.index(position.offset) == offsets.index(last.offset) + 1
            last, reported = position, False

    def log_position(self) -> Position:
        """Return the position of the newest entry at the server."""
        log = self.network.server.logs[self.processes[0].topic.path]
        return Position(log.epoch, log.head)

    def check_receipts(self) -> None:
        """Check that each value was stored where its receipt says, or was replaced by a newer one."""
        truth = {
            Position(epoch, offset): record
            for epoch, log in self.network.server.truth.items()
            for offset, record in log
        }
        assert all(receipt.done() for _, receipt in self.receipts)
        if self.has_failed_over or self.keep == "latest":
            return  # values that were acknowledged may be gone, and values that were replaced were never stored
        positions = [receipt.result(0) for _, receipt in self.receipts]
        assert [truth[position].payload for position in positions] == [b"%d" % value for value, _ in self.receipts]
        assert len(set(positions)) == len(positions) == len(truth)


class LatestMachine(FaultsMachine):
    """A topic of the newest value."""

    keep = "latest"


class TableMachine(FaultsMachine):
    """A table: each client ends up with its rows."""

    keep = "latest"
    by = "id"

    def check(self, viewer: Viewer) -> None:
        log = self.network.server.logs[self.processes[0].topic.path]
        rows = [record.payload for _, record in sorted(log.entries) if record.payload is not None]
        assert sorted(each["n"] for each in viewer.rows.values()) == sorted(
            int(row.rpartition(b":")[2].rstrip(b"}")) for row in rows
        )

    def check_receipts(self) -> None:
        assert all(receipt.done() for _, receipt in self.receipts)
        assert all(type(receipt.result(0)) in (Position, Unchanged) for _, receipt in self.receipts)


@pytest.mark.parametrize("machine", [FaultsMachine, LatestMachine, TableMachine])
def test_promises_hold_whatever_fails(machine: type[FaultsMachine]) -> None:
    """Order, losses, convergence and receipts hold, whatever messages, answers, connections and records are lost."""
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=30))
