"""Copies of a broker's log: they begin anywhere, have its positions, and begin again when continuity is lost."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.log.telling import Encoder, Telling, Told, told
from wirespeed.log.base import Encoded, Log, Removed
from wirespeed.log.kinds import LogKind, Values
from wirespeed.log.position import Position
from wirespeed.log.record import Retention
from wirespeed.log.table import TableLog

RETENTIONS = [Retention("latest"), Retention("last", 10, size=1000), Retention("table", rows=100, size=1000)]


def copy(kind: str) -> Log:
    """A copy that has not begun."""
    retention = next(each for each in RETENTIONS if each.kind == kind)
    encode = Encoder()
    row_of = (lambda value: value[0]) if kind == "table" else None
    return LogKind(retention, Values(encode=encode, failed=encode.failed, row_of=row_of)).log("")


def states(*entries: tuple[int, str]) -> list[tuple[int, Any]]:
    """Entries with their offsets, as a broker gives them; ``-a`` is a removal."""
    return [(offset, state(text)) for offset, text in entries]


def state(text: str) -> Any:
    """The state of a value; its row is the first letter."""
    return Removed(text[1:]) if text.startswith("-") else Encoded(text.encode(), text[0])


def read(log: Log, cursor: int) -> tuple[list[Told], int, int]:
    """Everything after a cursor, the cursor afterwards, and the number of entries lost."""
    seen: list[Told] = []
    while (chunk := log.read(cursor, Telling())).cursor != cursor or chunk.lost:
        if chunk.lost:
            return seen, cursor, chunk.lost
        seen += told(chunk.data)
        cursor = chunk.cursor
    return seen, cursor, 0


def offsets(entries: Sequence[Told]) -> list[int]:
    """The offsets of entries."""
    return [each.position.offset for each in entries]


@pytest.mark.parametrize("kind", ["latest", "last", "table"])
def test_begins_in_the_middle(kind: str) -> None:
    """Positions are those of the broker, whatever the local numbers are; a client resumes from them."""
    log = copy(kind)
    log.begin(Position("e", 50), states((48, "a1"), (49, "b1"), (50, "c1")), 0.0)
    log.append_at(state("d1"), 53, 0.0)
    assert log.position == ("e", 53)
    assert [each.position for each in log.newest()][-1] == ("e", 53)
    seen, cursor, lost = read(log, 0)
    assert (offsets(seen)[-1], cursor, lost) == (53, log.head, 0)
    assert log.resume(Position("e", 53)) == log.head
    assert log.resume(Position("f", 53)) is None
    assert log.resume(Position("e", 54)) is None


def test_ring_resumes_by_offset() -> None:
    """Entries are found by the broker's offsets, with holes, too; what came before the first is lost."""
    log = copy("last")
    log.begin(Position("e", 50), states((48, "a"), (50, "b")), 0.0)
    log.append_at(state("c"), 57, 0.0)
    resumed = {offset: log.resume(Position("e", offset)) for offset in (46, 47, 48, 49, 50, 56, 57, 58)}
    assert resumed == {46: None, 47: 0, 48: 1, 49: 1, 50: 2, 56: 2, 57: 3, 58: None}
    assert [each.position.offset for each in log.entries()] == [48, 50, 57]
    assert [log.position_at(cursor).offset for cursor in range(4)] == [47, 48, 50, 57]


def test_empty_log_of_a_broker() -> None:
    """A log whose entries have all expired is at its position, and a client that was there resumes."""
    log = copy("last")
    log.begin(Position("e", 50), [], 0.0)
    assert (log.position, log.resume(Position("e", 50)), log.resume(Position("e", 49))) == (("e", 50), 0, None)
    log.append_at(state("a"), 51, 0.0)
    assert offsets(read(log, 0)[0]) == [51]


@pytest.mark.parametrize("kind", ["latest", "last"])
def test_continued_log_is_not_noticed(kind: str) -> None:
    """If the retained entries include the newest one, readers go on without a loss, and see nothing twice."""
    log = copy(kind)
    log.begin(Position("e", 2), states((1, "a"), (2, "b")), 0.0)
    cursor = read(log, 0)[1]
    log.begin(Position("e", 4), states((2, "b"), (3, "c"), (4, "d")), 0.0)
    seen, cursor, lost = read(log, cursor)
    assert (offsets(seen)[-1], lost) == (4, 0)
    log.begin(Position("e", 4), states((4, "d")), 0.0)
    assert read(log, cursor) == ([], cursor, 0)


def test_gap_is_a_loss() -> None:
    """After a gap that cannot be filled, each reader has lost what it had not read and what is missing."""
    log = copy("last")
    log.begin(Position("e", 3), states((1, "a"), (2, "b"), (3, "c")), 0.0)
    log.begin(Position("e", 9), states((8, "h"), (9, "i")), 0.0)
    assert [read(log, cursor)[2] for cursor in (3, 1)] == [4, 6]
    chunk = log.read(3, Telling())
    assert offsets(read(log, 3 + chunk.lost)[0]) == [8, 9]
    assert log.broken == 0
    assert log.resume(Position("e", 3)) is None
    assert log.resume(Position("e", 7)) is not None


@pytest.mark.parametrize("held", [states((1, "a")), []])
def test_new_epoch_is_a_loss(held: list[tuple[int, Any]]) -> None:
    """In a new epoch all readers have lost an unknown number of entries, once, even if the log is empty."""
    log = copy("last")
    log.begin(Position("e", 3), states((2, "b"), (3, "c")), 0.0)
    cursor = read(log, 0)[1]
    log.begin(Position("f", len(held)), held, 0.0)
    lost = read(log, cursor)[2]
    assert lost == 1
    assert cursor < log.broken <= cursor + lost
    seen, after, again = read(log, cursor + lost)
    assert ([each.position for each in seen], again) == ([("f", offset) for offset, _ in held], 0)
    assert after == log.head
    assert log.resume(Position("e", 3)) is None


def test_table_begins_again() -> None:
    """A reader of a table starts over if anything is new, since rows may have been removed; newcomers do not notice."""
    log = copy("table")
    log.begin(Position("e", 3), states((1, "a1"), (3, "b1")), 0.0)
    cursor = read(log, 0)[1]
    log.begin(Position("e", 3), states((1, "a1"), (3, "b1")), 0.0)
    assert read(log, cursor) == ([], cursor, 0)
    log.begin(Position("e", 6), states((3, "b1"), (5, "c1")), 0.0)
    assert log.position == ("e", 6)
    assert read(log, cursor)[2] > 0
    seen, cursor, lost = read(log, 0)
    assert ([each.row for each in seen], lost) == (["b", "c"], 0)
    log.append_at(state("-b"), 7, 0.0)
    assert [(each.row, each.payload) for each in read(log, cursor)[0]] == [("b", None)]
    assert isinstance(log, TableLog)


def test_bytes_of_a_log_that_begins_again() -> None:
    """Dropped entries do not count."""
    for kind in ("latest", "last", "table"):
        log = copy(kind)
        for epoch in "efg":
            log.begin(Position(epoch, 1), states((1, "abc")), 0.0)
            assert log.size == log.tally.size == 3
        log.begin(Position("h", 0), [], 0.0)
        assert (log.size, log.entries()) == (0, [])


@given(st.data())
def test_promise_of_order_and_loss(data: st.DataObject) -> None:
    """Whatever a broker does, a reader gets each entry at most once and in order, and hears of each loss."""
    log, epoch, newest = copy("last"), 1, 0
    log.begin(Position("1", 0), [], 0.0)
    cursor, last, missed = 0, 0, False
    for _ in range(data.draw(st.integers(1, 30))):
        action = data.draw(st.sampled_from(["append", "append", "append", "hole", "gap", "again", "epoch", "read"]))
        if action in ("append", "hole"):
            newest += 1 if action == "append" else data.draw(st.integers(1, 3))
            log.append_at(Encoded(b"%d" % newest), newest, 0.0)
        elif action == "read":
            chunk = log.read(cursor, Telling())
            if chunk.lost:
                assert missed or chunk.lost > 0
                cursor, last, missed = cursor + chunk.lost, 0, False
                continue
            seen = offsets(told(chunk.data))
            assert seen == sorted(set(seen))
            assert not seen or seen[0] > last
            cursor, last = chunk.cursor, seen[-1] if seen else last
        elif action == "again":
            held = [(each.position.offset, Encoded(each.payload)) for each in log.entries()][-3:]
            log.begin(log.position, held, 0.0)
        else:
            epoch, newest = (epoch + 1, 0) if action == "epoch" else (epoch, newest + 5)
            newest += 2
            held = [(newest - 1, Encoded(b"x")), (newest, Encoded(b"y"))]
            log.begin(Position(str(epoch), newest), held, 0.0)
            missed, last = True, 0 if action == "epoch" else last
    assert log.position == (str(epoch), newest)
