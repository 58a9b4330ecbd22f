"""Gap repair against a simulated server: however messages travel, the replica ends up equal to the server's log."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.brokers.recorder import Recorder
from tests.brokers.server import Server
from wirespeed.brokers.broker import Post, Range
from wirespeed.brokers.repair import CHECK, MOST_HELD, RETRY, Holding, Message, Read, Repair, State
from wirespeed.log.position import Position
from wirespeed.log.record import Record, Retention

LAST = Retention("last", entries=8, size=4000)
TABLE = Retention("table", rows=4, size=4000)
LATEST = Retention("latest")
BESIDE = 1400
"""Bytes that one message of this test, which has up to four records, counts for at most."""


class FaultyRecorder(Recorder):
    """A replica whose next call may fail.

    Attributes:
        fails: Whether the next call raises before or after it has done its work; None if it does not raise.
    """

    fails: Literal["before", "after"] | None = None

    def begin(self, at: Position, held: Sequence[tuple[int, Record]]) -> None:
        with self.faulty() as works:
            if works:
                super().begin(at, held)

    def append(self, previous: int, offset: int, record: Record) -> None:
        with self.faulty() as works:
            if works:
                super().append(previous, offset, record)

    def completed(self) -> None:
        with self.faulty() as works:
            if works:
                super().completed()

    @contextmanager
    def faulty(self) -> Iterator[bool]:
        fails, self.fails = self.fails, None
        yield fails != "before"
        if fails is not None:
            raise ArithmeticError


class RepairMachine(RuleBasedStateMachine):
    """One replica and one server, with a network between them that does what the rules say."""

    retention = LAST
    is_sparse = False
    most = MOST_HELD

    def __init__(self) -> None:
        super().__init__()
        self.server = Server(Random(0), is_sparse=self.is_sparse)
        self.server.open("name", self.retention)
        self.recorder = FaultyRecorder(self.server.truth, self.retention)
        self.repair = Repair(self.recorder, self.retention, holding=Holding(self.most))
        self.now = 0.0
        self.batches = 0
        self.packets: list[Message] = []
        self.reads: list[tuple[Read, Range | None]] = []
        self.is_lossy = False
        """True if something was lost since the subscription that only a later message or a check reveals."""
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
        self.is_lossy = True

    @precondition(lambda self: self.packets)
    @rule(number=st.integers(0, 50))
    def duplicate(self, number: int) -> None:
        self.packets.append(self.packets[number % len(self.packets)])

    @precondition(lambda self: self.packets)
    @rule()
    def lose_the_newest(self) -> None:
        self.packets.pop()
        self.is_lossy = True

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
        self.is_lossy = self.recorder.fails is not None
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
                self.is_lossy = True
            case "end":
                self.announce(self.server.end("name", self.retention))
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
        self.is_lossy = True
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

    @rule(when=st.sampled_from(["before", "after"]))
    def break_replica(self, when: Literal["before", "after"]) -> None:
        """Let the next call of the replica raise, before or after it has done its work."""
        self.recorder.fails = when
        self.is_lossy = True

    @rule()
    def settle(self) -> None:
        """Let the network deliver everything: then the replica has what the server retains."""
        self.recorder.fails = None
        if self.repair.state is State.DOWN:
            self.subscribe()
        self.deliver_all()
        if not self.is_lossy:
            self.check_equal()
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


class CrowdedMachine(RepairMachine):
    """The last records, and so little room that only one message can be held."""

    most = 1000


class CrowdedLatestMachine(LatestMachine):
    """The newest record, and no room at all for messages."""

    most = 0


@pytest.mark.parametrize(
    "machine",
    [RepairMachine, SparseMachine, TableMachine, LatestMachine, CrowdedMachine, CrowdedLatestMachine],
)
def test_replica_equals_the_log_after_any_faults(machine: type[RepairMachine]) -> None:
    """Records are appended in order, each at most once, none missing without a begin; the replica converges."""
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40))


class Bench:
    """A repair that has begun at offset 2 of epoch "e", and the calls that its replica gets."""

    def __init__(self, retention: Retention = LAST, holding: Holding | None = None) -> None:
        self.truth = {epoch: [(offset, record(offset)) for offset in range(1, 30)] for epoch in ("e", "f")}
        self.recorder = FaultyRecorder(self.truth, retention)
        self.repair = Repair(self.recorder, retention, holding=holding)
        self.answer(self.repair.subscribed(0.0), 2)

    def message(self, first: int, last: int | None = None, epoch: str = "e") -> Message:
        """Return a message with the records of some offsets."""
        entries = self.truth[epoch][first - 1 : last or first]
        return Message(epoch, first - 1, entries, b"%d" % entries[-1][0])

    def answer(self, read: Read | None, head: int, now: float = 0.0, *, is_ended: bool = False) -> Read | None:
        """Answer a read with all records up to a head."""
        assert read is not None
        since = read.since.offset if read.since else 0
        range_ = Range(Position("e", head), bool(read.since), self.truth["e"][since:head], is_ended, b"%d" % head)
        return self.repair.ranged(read, range_, now)

    def offsets(self) -> list[int]:
        """Return the offsets of the replica's entries."""
        return [offset for offset, _ in self.recorder.entries]


def record(number: int) -> Record:
    """Return a record."""
    return Record(b"%d" % number)


def test_chain_is_appended_without_reads() -> None:
    """Messages that continue each other need no read."""
    bench = Bench()
    assert [bench.repair.message(bench.message(3, 4), 0.0), bench.repair.message(bench.message(5), 0.0)] == [None, None]
    assert bench.offsets() == [1, 2, 3, 4, 5]


def test_gap_is_filled_by_one_read() -> None:
    """A gap is read once; messages that arrive meanwhile are held, and appended after the range."""
    bench = Bench()
    read = bench.repair.message(bench.message(5), 0.0)
    assert read == Read(Position("e", 2), b"2")
    assert bench.repair.message(bench.message(6), 0.0) is None
    assert bench.offsets() == [1, 2]
    assert bench.answer(read, 5) is None
    assert bench.offsets() == [1, 2, 3, 4, 5, 6]
    assert bench.recorder.begins == 1


def test_gap_after_the_range_is_read_again() -> None:
    """A message that arrives during a read may reveal a gap that the range does not close."""
    bench = Bench()
    read = bench.repair.message(bench.message(5), 0.0)
    bench.repair.message(bench.message(8), 0.0)
    again = bench.answer(read, 6)
    assert again == Read(Position("e", 6), b"6")
    bench.answer(again, 8)
    assert bench.offsets() == list(range(1, 9))


def test_messages_before_the_range_are_no_alarm() -> None:
    """A range may overtake messages: their records are appended once, and no read follows."""
    bench = Bench()
    bench.answer(bench.repair.message(bench.message(5), 0.0), 7)
    assert bench.repair.message(bench.message(6), 0.0) is None
    assert bench.repair.message(bench.message(7), 0.0) is None
    assert bench.repair.message(bench.message(8), 0.0) is None
    assert (bench.offsets(), bench.repair.alarms) == ([*range(1, 9)], 0)


def test_repeated_offset_is_an_alarm() -> None:
    """A message with an offset that a message had before is not trusted: the log is read."""
    bench = Bench()
    bench.repair.message(bench.message(3), 0.0)
    read = bench.repair.message(bench.message(3), 0.0)
    assert (read, bench.repair.alarms) == (Read(Position("e", 3), b"3"), 1)
    bench.answer(read, 3)
    assert (bench.offsets(), bench.repair.state) == ([1, 2, 3], State.LIVE)


def test_alarm_during_a_read_is_read_again() -> None:
    """The range of a read that began before the alarm does not answer it."""
    bench = Bench()
    bench.repair.message(bench.message(3), 0.0)
    read = bench.repair.message(bench.message(5), 0.0)
    bench.repair.message(bench.message(3), 0.0)
    assert bench.answer(read, 5) == Read(Position("e", 5), b"5")


def test_answer_from_before_a_subscription_is_ignored() -> None:
    """Its range may end before the new subscription begins."""
    bench = Bench()
    early = bench.repair.message(bench.message(4), 0.0)
    bench.repair.disconnected(1.0)
    late = bench.repair.subscribed(2.0)
    bench.answer(early, 4)
    assert (bench.offsets(), bench.repair.state) == ([1, 2], State.FILLING)
    bench.answer(late, 6)
    assert bench.offsets() == [1, 2, 3, 4, 5, 6]


def test_epoch_that_returns_is_left() -> None:
    """A server that is behind, and has come back, is asked for a new epoch: its offsets stood for other entries."""
    bench = Bench()
    bench.repair.disconnected(1.0)
    bench.repair.ranged(bench.repair.subscribed(2.0), Range(Position("f", 1), False, bench.truth["f"][:1]), 2.0)
    bench.repair.disconnected(3.0)
    asking = bench.answer(bench.repair.subscribed(4.0), 1)
    assert asking is not None
    assert asking.since is not None
    assert (asking.since.epoch, asking.since.offset > 1_000_000_000) == ("e", True)
    assert (bench.recorder.begins, bench.repair.state) == (2, State.FILLING)
    bench.truth["g"] = bench.truth["e"]
    bench.repair.ranged(asking, Range(Position("g", 1), False, bench.truth["g"][:1]), 4.0)
    assert (bench.repair.head, bench.recorder.begins) == (Position("g", 1), 3)


def test_check_that_was_overtaken_does_not_step_back() -> None:
    """A check whose range does not follow, and is older than what came meanwhile, is followed by a read that holds."""
    bench = Bench()
    check = bench.repair.due(2 * CHECK)
    assert check is not None
    bench.repair.message(bench.message(3, 6), 2 * CHECK)
    range_ = Range(Position("e", 5), False, bench.truth["e"][3:5])
    assert bench.repair.ranged(check, range_, 2 * CHECK) == Read(Position("e", 6), b"6")
    assert (bench.offsets(), bench.recorder.begins) == ([1, 2, 3, 4, 5, 6], 1)


def test_check_does_not_hold_messages() -> None:
    """While a quiet log is checked, messages are appended at once."""
    bench = Bench()
    check = bench.repair.due(2 * CHECK)
    assert check is not None
    bench.repair.message(bench.message(3), 2 * CHECK)
    assert bench.offsets() == [1, 2, 3]
    assert bench.answer(check, 2) is None
    assert bench.offsets() == [1, 2, 3]


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 0.8 * CHECK), (1.0, 1.2 * CHECK)])
def test_only_quiet_logs_are_checked(jitter: float, seconds: float) -> None:
    """The check comes after a time without messages, which differs between logs."""
    bench = Bench()
    repair = Repair(bench.recorder, LAST, jitter=jitter)
    assert repair.due(1000.0) is None
    bench.recorder.at = None
    repair.ranged(repair.subscribed(0.0), Range(Position("e", 2), False, bench.truth["e"][:2]), 0.0)
    repair.message(bench.message(3), 10.0)
    assert repair.due(9.9 + seconds) is None
    assert repair.due(10.1 + seconds) == Read(Position("e", 3), b"3")
    assert repair.due(100 + seconds) is None


def test_failed_read_is_tried_again() -> None:
    """The messages that were held stay, and the read is repeated soon, whatever arrives meanwhile."""
    bench = Bench()
    read = bench.repair.message(bench.message(5), 0.0)
    assert read is not None
    bench.repair.failed(read, 1.0)
    bench.repair.message(bench.message(6), 1.2)
    assert bench.repair.due(1.0 + RETRY / 2) is None
    again = bench.repair.due(1.0 + RETRY)
    assert again == Read(Position("e", 2), b"2")
    bench.answer(again, 6)
    assert bench.offsets() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["begin", "append", "fill", "completed"])
def test_replica_that_raises_begins_again(what: str, when: Literal["before", "after"]) -> None:
    """Whichever call raises, the replica is stale, and begins again after a while with everything that is retained."""
    bench = Bench()
    read = bench.repair.message(bench.message(5), 1.0) if what in ("begin", "fill") else None
    bench.recorder.fails = when
    match what:
        case "append":
            bench.repair.message(bench.message(3), 1.0)
        case "completed":
            bench.repair.message(Message("e", 2, ()), 1.0)
        case "fill":
            bench.answer(read, 5, 1.0)
        case "begin":
            assert read is not None
            bench.repair.ranged(read, Range(Position("f", 5), False, bench.truth["f"][:5]), 1.0)
    assert bench.recorder.is_stale
    assert bench.repair.due(1.0 + RETRY / 2) is None
    whole = bench.answer(bench.repair.due(1.0 + RETRY), 5, 2.0)
    assert whole == Read(None, b"")
    bench.answer(whole, 5, 2.0)
    assert (bench.offsets(), bench.repair.state, bench.recorder.is_stale) == ([1, 2, 3, 4, 5], State.LIVE, False)
    bench.repair.message(bench.message(6), 2.0)
    assert bench.offsets() == [1, 2, 3, 4, 5, 6]


def test_replica_that_always_raises_is_read_less_and_less_often() -> None:
    """The pauses double up to that of a check: a record that no replica can take does not occupy the broker."""
    bench = Bench()
    bench.recorder.fails = "before"
    bench.repair.message(bench.message(3), 0.0)
    now, pauses = 0.0, []
    for _ in range(10):
        raised = now
        while (part := bench.repair.due(now)) is None:
            now += RETRY
        pauses.append(now - raised)
        bench.recorder.fails = "before"
        bench.answer(bench.answer(part, 3, now), 3, now)
    assert pauses[:4] == [RETRY, 2 * RETRY, 4 * RETRY, 8 * RETRY]
    assert pauses[-2:] == [CHECK, CHECK]


def test_what_is_held_is_bounded() -> None:
    """Messages that do not fit into the log's own bound are dropped, the oldest first, and read later."""
    bench = Bench(LAST._replace(size=1200))
    read = bench.repair.message(bench.message(5), 0.0)
    for number in range(6, 12):
        bench.repair.message(bench.message(number), 0.0)
    assert bench.repair.size <= 1200
    again = bench.answer(read, 5)
    assert again is not None
    bench.answer(again, 11)
    assert bench.offsets() == [*range(1, 12)]


def test_what_all_hold_is_bounded() -> None:
    """Replicas hold no more together than their broker's bound, and each converges all the same."""
    holding = Holding(5000)
    benches = [Bench(LAST, holding) for _ in range(10)]
    reads = [bench.repair.message(bench.message(5), 0.0) for bench in benches]
    for number in range(6, 12):
        for bench in benches:
            bench.repair.message(bench.message(number), 0.0)
            assert holding.used <= 5000
    for bench, read in zip(benches, reads, strict=True):
        again = bench.answer(read, 5)
        if again is not None:
            assert bench.answer(again, 11) is None
        assert (bench.offsets(), bench.repair.state) == ([*range(1, 12)], State.LIVE)
    assert holding.used == 0


def test_closed_replica_holds_nothing() -> None:
    """A replica that is closed gives its part of the bound back, and takes no further message."""
    holding = Holding()
    bench = Bench(LAST, holding)
    bench.repair.message(bench.message(5), 0.0)
    used = holding.used
    bench.repair.close()
    bench.repair.message(bench.message(6), 0.0)
    assert (used > 0, holding.used, bench.offsets()) == (True, 0, [1, 2])


def test_stale_ends_without_news() -> None:
    """A replica that has missed nothing while the connection was lost is notified all the same."""
    bench = Bench()
    bench.repair.disconnected(1.0)
    bench.repair.disconnected(2.0)
    was_stale = bench.recorder.is_stale
    bench.answer(bench.repair.subscribed(3.0), 2)
    assert (was_stale, bench.recorder.is_stale, bench.recorder.begins) == (True, False, 1)


def test_end_comes_after_the_records_before_it() -> None:
    """An end is held back by a gap before it, and noted once."""
    bench = Bench()
    read = bench.repair.message(Message("e", 4, ()), 0.0)
    assert bench.recorder.completed_at == []
    bench.answer(read, 4, is_ended=True)
    bench.repair.message(Message("e", 4, ()), 0.0)
    assert bench.recorder.completed_at == [Position("e", 4)]
    bench.repair.message(bench.message(5), 0.0)
    bench.repair.message(Message("e", 5, ()), 0.0)
    assert bench.recorder.completed_at == [Position("e", 4), Position("e", 5)]


@pytest.mark.parametrize(("retention", "held"), [(LAST, 3), (TABLE, 0), (LATEST, 0)])
def test_replica_of_an_ended_log_waits_for_the_next_run(retention: Retention, held: int) -> None:
    """A log that has ended opens without being completed; only the last records of an earlier run are still of use."""
    bench = Bench(retention)
    recorder = Recorder(bench.truth, retention)
    repair = Repair(recorder, retention)
    repair.ranged(repair.subscribed(0.0), Range(Position("e", 3), False, bench.truth["e"][:3], is_ended=True), 0.0)
    repair.message(Message("e", 3, ()), 0.0)
    assert (recorder.at, len(recorder.entries), recorder.completed_at) == (Position("e", 3), held, [])


def test_newest_value_needs_no_chain() -> None:
    """A newer value stands for all before it, so a gap is not read; before an end it is, as it may hide a value."""
    bench = Bench(LATEST)
    assert bench.repair.message(bench.message(7, 8), 0.0) is None
    assert bench.offsets() == [1, 2, 8]
    assert bench.repair.message(Message("e", 9, ()), 0.0) == Read(Position("e", 8), b"8")


def test_replica_that_has_entries_only_gets_newer_ones() -> None:
    """A replica that comes with a position does not begin, if the log still continues from there."""
    bench = Bench()
    bench.repair = Repair(bench.recorder, LAST, since=Position("e", 2))
    bench.answer(bench.repair.subscribed(0.0), 4)
    assert (bench.offsets(), bench.recorder.begins) == ([1, 2, 3, 4], 1)
