"""Logs against a plain list of everything published: any order of events keeps the promises.

Promise 1: in order, each at most once, and none missing without a report. Promise 2: the bounds hold.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.log.telling import Telling, Told, told
from wirespeed.errors import LogFull
from wirespeed.log.base import Log, Removed
from wirespeed.log.cache import PIECE, Chunk, Tally
from wirespeed.log.kinds import LogKind, Values
from wirespeed.log.position import Position
from wirespeed.log.record import Retention
from wirespeed.log.table import TableLog, place_of

SIZES = st.sampled_from([0, 1, 9, 5_000, 20_000, 40_000, 150_000])
ENTRIES = 30
BYTES = 200_000
SECONDS = 20.0
ROWS = 3
OVERHEAD = 300


class Published(NamedTuple):
    """A value; its row is removed by it if it has no size."""

    row: int
    number: int
    size: int | None
    fails: bool = False
    at: float = 0.0

    def payload(self) -> bytes:
        """Return the value's encoding."""
        assert self.size is not None
        return b"%d " % self.number + b"x" * self.size


def encode(value: Published) -> bytes:
    """Encode a value, or raise."""
    if value.fails:
        raise ValueError("it fails")
    return value.payload()


@dataclass(eq=False)
class Watcher:
    """A reader with its cursor and the rows that it knows."""

    wire: Telling
    cursor: int
    rows: dict[int, bytes] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        """Return the last offset that it has read."""
        return place_of(self.cursor).offset


def row_of(value: Published) -> int:
    """Return the row of a value."""
    return value.row


class LogMachine(RuleBasedStateMachine):
    """Publishes to one log and reads from it in any order; subclasses choose the kind of log."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Published] = []
        self.failures: list[Published] = []
        self.now = 0.0
        self.watchers: list[Watcher] = []
        self.away: list[Watcher] = []
        self.wires = [Telling(), Telling(OVERHEAD)]
        self.tally = Tally()
        self.log: Log = self.kind().log("e", self.tally)

    def kind(self) -> LogKind:
        """Return the kind of the log."""
        raise NotImplementedError

    def failed(self, error: Exception, value: Published) -> None:
        """Record a value that did not encode."""
        self.failures.append(value)

    def publish(self, value: Published) -> None:
        """Append to the log and to the list."""
        self.log.append(value, self.log.head + 1, self.now)
        self.published.append(value)

    def next(self, row: int, size: int | None, fails: bool = False) -> Published:
        """Return the next value."""
        return Published(row, len(self.published) + 1, size, fails, self.now)

    def check(self, watcher: Watcher, before: int, chunk: Chunk, entries: list[Told]) -> None:
        """Check what a reader received."""
        raise NotImplementedError

    @rule(row=st.integers(0, ROWS), size=SIZES)
    def publish_one(self, row: int, size: int) -> None:
        self.publish(self.next(row, size))

    @rule(rows=st.lists(st.integers(0, ROWS), max_size=60), size=SIZES)
    def publish_many(self, rows: list[int], size: int) -> None:
        for row in rows:
            self.publish(self.next(row, size))

    def held(self) -> list[Published]:
        """Return the entries that the log should return: the values that encode, the oldest first."""
        raise NotImplementedError

    @rule(back=st.integers(-2, 2 * ENTRIES), most=st.integers(-1, 2 * ENTRIES))
    def slice(self, back: int, most: int) -> None:
        cursor = len(self.published) - back
        expected = [each for each in self.held() if each.number > cursor][: max(most, 0)]
        got = [(each.position, each.payload) for each in self.log.since(cursor, most)]
        assert got == [(Position("e", each.number), each.payload()) for each in expected]

    @rule(wire=st.integers(0, 1), replay=st.integers(0, 5))
    def arrive(self, wire: int, replay: int) -> None:
        self.watchers.append(Watcher(self.wires[wire], self.log.beginning(replay)))

    @precondition(lambda self: self.watchers)
    @rule(number=st.integers(0, 1000), stays=st.booleans())
    def leave(self, number: int, stays: bool) -> None:
        watcher = self.watchers.pop(number % len(self.watchers))
        if stays:
            self.away.append(watcher)

    @precondition(lambda self: self.away)
    @rule(number=st.integers(0, 1000))
    def come_back(self, number: int) -> None:
        watcher = self.away.pop(number % len(self.away))
        cursor = self.log.resume(Position("e", watcher.offset))
        self.check_resumed(watcher.offset, cursor)
        if cursor is None:
            watcher = Watcher(watcher.wire, self.log.beginning())
        else:
            watcher.cursor = cursor
        self.watchers.append(watcher)

    def check_resumed(self, before: int, cursor: int | None) -> None:
        """Check that a returning reader resumes where it should."""
        raise NotImplementedError

    @precondition(lambda self: self.watchers)
    @rule(number=st.integers(0, 1000))
    def read(self, number: int) -> None:
        self.read_once(self.watchers[number % len(self.watchers)])

    @precondition(lambda self: self.watchers)
    @rule(number=st.integers(0, 1000))
    def read_all(self, number: int) -> None:
        watcher = self.watchers[number % len(self.watchers)]
        for _ in range(2 * len(self.published) + 2):
            if watcher.cursor == self.log.head:
                return
            self.read_once(watcher)
        raise AssertionError("reading does not come to an end")

    def read_once(self, watcher: Watcher) -> None:
        """Read one chunk and check it."""
        cursor, before = watcher.cursor, watcher.offset
        chunk = self.log.read(cursor, watcher.wire)
        assert self.log.read(cursor, watcher.wire).data is chunk.data
        entries = told(chunk.data)
        offsets = [each.position.offset for each in entries]
        assert offsets == sorted(set(offsets))
        assert all(before < offset <= place_of(chunk.cursor).offset for offset in offsets)
        assert len(chunk.data) < PIECE + 150_000 + OVERHEAD + 20
        assert chunk.entries == len(entries)
        watcher.cursor = chunk.cursor
        self.check(watcher, before, chunk, entries)

    @rule(seconds=st.floats(0, SECONDS))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        self.log.expire(self.now)

    @rule()
    def all_have_passed(self) -> None:
        self.log.passed(min((watcher.cursor for watcher in self.watchers), default=self.log.head))

    @invariant()
    def bytes_are_counted(self) -> None:
        assert self.log.head == len(self.published)
        assert self.log.size == self.tally.size

    @invariant()
    def failures_are_told_once(self) -> None:
        assert len(set(self.failures)) == len(self.failures)
        assert all(value.fails for value in self.failures)


class LatestMachine(LogMachine):
    """The newest value."""

    def kind(self) -> LogKind:
        return LogKind(Retention("latest"), Values(encode=encode, failed=self.failed))

    def held(self) -> list[Published]:
        return [each for each in self.published[-1:] if not each.fails]

    @rule()
    def publish_failure(self) -> None:
        with pytest.raises(ValueError, match="it fails"):
            self.publish(self.next(0, 1, fails=True))

    def check(self, watcher: Watcher, before: int, chunk: Chunk, entries: list[Told]) -> None:
        assert chunk.cursor == self.log.head
        assert chunk.entries + chunk.skipped == chunk.cursor - before
        assert chunk.lost == 0
        if before < self.log.head:
            newest = self.published[-1]
            assert [each.payload for each in entries] == ([] if newest.fails else [newest.payload()])

    def check_resumed(self, before: int, cursor: int | None) -> None:
        assert cursor == max(before, len(self.published) - 1)

    @invariant()
    def one_is_held(self) -> None:
        longest = len(self.published[-1].payload()) if self.published else 0
        assert self.log.size in (0, longest)


class LastMachine(LogMachine):
    """The last entries."""

    def __init__(self) -> None:
        self.first = 1
        super().__init__()

    def kind(self) -> LogKind:
        return LogKind(Retention("last", ENTRIES, SECONDS, BYTES), Values(encode=encode, failed=self.failed))

    def publish(self, value: Published) -> None:
        super().publish(value)
        while len(self.held()) > ENTRIES or (self.held_size() > BYTES and len(self.held()) > 1):
            self.first += 1
        self.age()

    def held(self) -> list[Published]:
        return self.published[self.first - 1 :]

    def held_size(self) -> int:
        """Return the bytes that it should hold."""
        return sum(len(each.payload()) for each in self.held())

    def age(self) -> None:
        """Drop expired entries."""
        while self.held() and self.now - self.held()[0].at > SECONDS:
            self.first += 1

    @rule()
    def publish_failure(self) -> None:
        value = self.next(0, 1, fails=True)
        try:
            self.publish(value)
        except ValueError:
            return
        raise AssertionError("the error was not raised")

    @rule()
    def expire(self) -> None:
        super().expire()
        self.age()

    @rule(size=st.integers(-1, BYTES))
    def shrink(self, size: int) -> None:
        self.log.shrink(size)
        while self.held_size() > size and len(self.held()) > 1:
            self.first += 1

    def check(self, watcher: Watcher, before: int, chunk: Chunk, entries: list[Told]) -> None:
        assert chunk.lost == max(self.first - 1 - before, 0)
        assert chunk.skipped == 0
        assert chunk.entries + chunk.lost == chunk.cursor - before
        expected = self.published[before + chunk.lost : chunk.cursor]
        assert [each.payload for each in entries] == [each.payload() for each in expected]
        assert chunk.cursor > before or before == self.log.head

    def check_resumed(self, before: int, cursor: int | None) -> None:
        assert cursor == (before if before >= self.first - 1 else None)

    @invariant()
    def bounds_hold(self) -> None:
        assert [each.payload for each in self.log.entries()] == [each.payload() for each in self.held()]
        assert self.log.size == self.held_size()
        assert len(self.held()) <= ENTRIES
        assert self.log.size <= BYTES or len(self.held()) == 1


class TableMachine(LogMachine):
    """The newest value per row."""

    def __init__(self) -> None:
        self.rows: dict[int, Published] = {}
        super().__init__()

    def kind(self) -> LogKind:
        values = Values(encode=encode, failed=self.failed, row_of=row_of)
        return LogKind(Retention("table", rows=ROWS, size=BYTES), values)

    def held(self) -> list[Published]:
        return sorted((each for each in self.rows.values() if not each.fails), key=lambda each: each.number)

    def publish(self, value: Published) -> None:
        full = value.row not in self.rows and (len(self.rows) >= ROWS or self.log.size >= BYTES)
        try:
            super().publish(value)
        except LogFull:
            assert full
        else:
            assert not full
            self.rows[value.row] = value

    @rule(row=st.integers(0, ROWS))
    def publish_failure(self, row: int) -> None:
        with pytest.raises(ValueError, match="it fails"):
            self.publish(self.next(row, 1, fails=True))

    @rule(row=st.integers(0, 2 * ROWS))
    def remove(self, row: int) -> None:
        self.log.append(Removed(row), self.log.head + 1, self.now)
        self.published.append(self.next(row, None))
        self.rows.pop(row, None)

    @rule(rows=st.lists(st.integers(0, 2 * ROWS), max_size=12))
    def come_and_go(self, rows: list[int]) -> None:
        for row in rows:
            if not self.log.has_row(row):
                self.publish(self.next(row, 9))
            else:
                self.remove(row)

    def check(self, watcher: Watcher, before: int, chunk: Chunk, entries: list[Told]) -> None:
        if chunk.lost:
            assert (chunk.data, chunk.cursor) == (b"", 0)
            assert before > 0
            watcher.rows.clear()
            return
        assert watcher.offset > before or before == self.log.head
        assert chunk.skipped == (watcher.offset - before - chunk.entries if before else 0)
        for each in entries:
            self.apply(watcher, each, newcomer=before == 0)
        if watcher.cursor == self.log.head:
            self.compare(watcher)

    def apply(self, watcher: Watcher, entry: Told, newcomer: bool) -> None:
        """Apply changes to a reader's rows."""
        newest = self.published[entry.position.offset - 1]
        assert newest.row == entry.row
        if entry.payload is None:
            assert newest.size is None
            assert not newcomer
            watcher.rows.pop(entry.row, None)
        else:
            assert entry.payload == newest.payload()
            watcher.rows[entry.row] = entry.payload

    def compare(self, watcher: Watcher) -> None:
        """Check that a reader at the head has the table, except for values that did not encode."""
        failing = {row for row, value in self.rows.items() if value.fails}
        expected = {row: value.payload() for row, value in self.rows.items() if not value.fails}
        assert {row: payload for row, payload in watcher.rows.items() if row not in failing} == expected

    def check_resumed(self, before: int, cursor: int | None) -> None:
        assert cursor == (before if before == len(self.published) else None)

    @invariant()
    def bounds_hold(self) -> None:
        assert len(self.rows) <= ROWS
        assert isinstance(self.log, TableLog)
        assert self.log.tombstones <= ROWS
        assert [row for row in range(2 * ROWS + 1) if self.log.has_row(row)] == sorted(self.rows)


@pytest.mark.parametrize("machine", [LatestMachine, LastMachine, TableMachine])
def test_promises_hold_in_any_order_of_events(machine: type[LogMachine]) -> None:
    """Readers of every kind of log receive what is promised, and the log stays within its bounds."""
    run_state_machine_as_test(machine, settings=settings(max_examples=150, stateful_step_count=40))
