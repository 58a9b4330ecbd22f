"""Gap repair against a simulated server: however messages travel, the replica ends up equal to the server's log."""

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.brokers.recorder import Recorder
from tests.brokers.server import Server
from wirespeed.brokers.broker import Post, Range
from wirespeed.brokers.repair import CHECK, RETRY, Message, Read, Repair, State
from wirespeed.log.position import Position
from wirespeed.log.record import Record, Retention

LAST = Retention("last", entries=8, size=4000)
TABLE = Retention("table", rows=4, size=4000)
LATEST = Retention("latest")
BESIDE = 600
"""Bytes that one message of this test counts for, about."""


class RepairMachine(RuleBasedStateMachine):
    """One replica and one server, with a network between them that does what the rules say."""

    retention = LAST
    is_sparse = False

    def __init__(self) -> None:
        super().__init__()
        self.server = Server(Random(0), is_sparse=self.is_sparse)
        self.server.open("name", self.retention)
        self.recorder = Recorder(self.server.truth, self.retention)
        self.repair = Repair(self.recorder, self.retention)
        self.now = 0.0
        self.batches = 0
        self.packets: list[Message] = []
        self.reads: list[tuple[Read, Range | None]] = []
        self.subscribe()
        self.respond()

    def want(self, read: Read | None) -> None:
        """Send the read that the repair has asked for."""
        if read is not None:
            self.reads.append((read, None))

    def announce(self, message: Message | None) -> None:
        """Put a message onto the network, if there is a subscription."""
        if message is not None and self.repair.state is not State.DOWN:
            self.packets.append(message)

    @rule(rows=st.lists(st.integers(0, 4), min_size=1, max_size=4), removes=st.booleans())
    def publish(self, rows: list[int], removes: bool) -> None:
        self.batches += 1
        is_table = self.retention.kind == "table"
        records = [
            Record(
                None if is_table and removes and row % 2 else b"%d.%d" % (self.batches, number),
                b"%d" % row if is_table else None,
            )
            for number, row in enumerate(rows)
        ]
        _, message = self.server.publish(Post("name", self.retention, records, "writer", self.batches))
        self.announce(message)

    @precondition(lambda self: self.packets)
    @rule()
    def deliver(self) -> None:
        self.want(self.repair.message(self.packets.pop(0), self.now))

    @precondition(lambda self: self.packets)
    @rule(number=st.integers(0, 50))
    def overtake(self, number: int) -> None:
        self.want(self.repair.message(self.packets.pop(number % len(self.packets)), self.now))

    @precondition(lambda self: self.packets)
    @rule(number=st.integers(0, 50))
    def drop(self, number: int) -> None:
        self.packets.pop(number % len(self.packets))

    @precondition(lambda self: self.packets)
    @rule(number=st.integers(0, 50))
    def duplicate(self, number: int) -> None:
        self.packets.append(self.packets[number % len(self.packets)])

    @precondition(lambda self: self.packets)
    @rule()
    def lose_the_newest(self) -> None:
        self.packets.pop()

    @precondition(lambda self: self.reads)
    @rule()
    def respond(self) -> None:
        self.perform(len(self.reads) - 1)
        self.take(self.reads.pop())

    def take(self, answer: tuple[Read, Range | None]) -> None:
        """Give the repair the result of a read."""
        read, range_ = answer
        assert range_ is not None
        self.want(self.repair.ranged(read, range_, self.now))

    @precondition(lambda self: self.repair.state is State.DOWN)
    @rule()
    def subscribe(self) -> None:
        self.want(self.repair.subscribed(self.now))

    @rule(
        fault=st.sampled_from(["disconnect", "disconnect late", "fail over", "forget", "end", "truncate"]),
        count=st.integers(1, 6),
        more=st.integers(0, 6),
    )
    def fault(self, fault: str, count: int, more: int) -> None:
        """Let something happen that is rarer than the loss of a message."""
        match fault:
            case "fail over":
                self.fail_over(count, more)
            case "forget":
                self.server.forget("name")
            case "end":
                self.announce(self.server.end("name"))
            case "truncate":
                self.server.truncate("name", count)
            case _:
                self.disconnect(answers_arrive="late" in fault)

    def disconnect(self, answers_arrive: bool) -> None:
        self.packets.clear()
        if not answers_arrive:
            self.reads.clear()
        self.repair.disconnected(self.now)

    @precondition(lambda self: self.reads)
    @rule(number=st.integers(0, 50))
    def perform(self, number: int) -> None:
        number %= len(self.reads)
        read, range_ = self.reads[number]
        self.reads[number] = read, range_ or self.server.read("name", self.retention, read)

    @precondition(lambda self: any(range_ for _, range_ in self.reads))
    @rule()
    def answer(self) -> None:
        number = next(number for number, (_, range_) in enumerate(self.reads) if range_)
        self.take(self.reads.pop(number))

    @precondition(lambda self: self.reads)
    @rule(number=st.integers(0, 50))
    def fail(self, number: int) -> None:
        read, _ = self.reads.pop(number % len(self.reads))
        self.repair.failed(read, self.now)

    @rule(seconds=st.sampled_from([RETRY, 1.2 * CHECK]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.want(self.repair.due(self.now))

    def fail_over(self, count: int, more: int) -> None:
        """Lose entries, and assign their offsets to other records before the process is back."""
        self.disconnect(answers_arrive=False)
        self.server.lose("name", count)
        if more:
            self.publish([0] * more, removes=False)

    @rule()
    def settle(self) -> None:
        """Let the network deliver everything: then the replica has what the server retains."""
        if self.repair.state is State.DOWN:
            self.subscribe()
        self.deliver_all()
        self.wait(2 * CHECK)
        self.deliver_all()
        self.check_equal()

    def deliver_all(self) -> None:
        """Deliver all messages and answer all reads."""
        while self.packets or self.reads:
            while self.packets:
                self.deliver()
            while self.reads:
                self.perform(0)
                self.answer()

    def check_equal(self) -> None:
        """Compare the replica with the log at the server."""
        assert self.repair.state is State.LIVE
        assert not self.recorder.is_stale
        log = self.server.open("name", self.retention)
        assert self.recorder.at == Position(log.epoch, log.head)
        if log.is_ended and self.retention.kind != "last" and not self.recorder.entries:
            return  # opened after the end
        if self.retention.kind == "table":
            present = {record.row: record.payload for _, record in log.entries if record.payload is not None}
            assert self.recorder.rows() == present
        elif log.entries:
            assert self.recorder.entries[-len(log.entries) :] == log.entries

    @invariant()
    def what_is_held_is_bounded(self) -> None:
        assert self.repair.size <= max(self.retention.size, BESIDE)

    @invariant()
    def stale_is_known(self) -> None:
        is_down = self.repair.state is State.DOWN
        assert not is_down or self.recorder.is_stale or self.recorder.at is None

    def teardown(self) -> None:
        self.settle()


class SparseMachine(RepairMachine):
    """Offsets have holes, as the sequences of JetStream do."""

    is_sparse = True


class TableMachine(RepairMachine):
    """The newest record of each row."""

    retention = TABLE


class LatestMachine(RepairMachine):
    """The newest record."""

    retention = LATEST


@pytest.mark.parametrize("machine", [RepairMachine, SparseMachine, TableMachine, LatestMachine])
def test_replica_equals_the_log_after_any_faults(machine: type[RepairMachine]) -> None:
    """Records are appended in order, each at most once, none missing without a begin; the replica converges."""
    run_state_machine_as_test(machine, settings=settings(max_examples=100, stateful_step_count=40))
