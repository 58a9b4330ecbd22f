"""The newest value: encoded when it is read, once, and never missed."""

from decimal import Decimal
from sys import getsizeof
from typing import Any

import pytest

from tests.log.telling import Encoder, Telling, payloads, told
from wirespeed.log.base import Entry
from wirespeed.log.cache import Chunk, Tally
from wirespeed.log.latest import LatestLog
from wirespeed.log.position import Position


def filled(encode: Encoder, *values: str, tally: Tally | None = None) -> LatestLog:
    """Return a log with some values."""
    log = LatestLog("e", encode, encode.failed, tally)
    for offset, value in enumerate(values, 1):
        log.append(value, offset, 0.0)
    return log


def test_values_that_nobody_reads_are_not_encoded() -> None:
    """Only values that are read cost their encoding, once for all readers and wires."""
    encode = Encoder()
    log = filled(encode, *(str(number) for number in range(100)))
    wires = Telling(), Telling()
    for cursor in (0, 50, 99):
        for wire in wires:
            assert payloads(log.read(cursor, wire)) == [b"99"]
    log.entries()
    assert encode.asked == {"99": 1}
    assert [wire.written for wire in wires] == [1, 1]


def test_reader_is_told_how_many_it_skipped() -> None:
    """A reader at any cursor reaches the head, and skipped entries are counted."""
    log = filled(Encoder(), "a", "b", "c")
    for cursor in range(3):
        chunk = log.read(cursor, Telling())
        assert chunk[1:] == (3, 1, 2 - cursor, 0)
        assert told(chunk.data) == [(Position("e", 3), None, b"c")]
    assert log.read(3, Telling()) == Chunk(b"", 3, 0, 0, 0)


def test_readers_share_the_bytes_until_the_next_value() -> None:
    """Readers of one wire receive the same object, from any cursor; after an append a new one."""
    log, wire = filled(Encoder(), "a", "b"), Telling()
    first = log.read(0, wire).data
    assert log.read(1, wire).data is first
    log.append("c", 3, 0.0)
    assert payloads(log.read(0, wire)) == [b"c"]


@pytest.mark.parametrize(
    ("value", "problem"), [("bad", "cannot encode bad"), ("panic", "the code ended with SystemExit")]
)
def test_value_that_does_not_encode_is_told_once_and_skipped(value: str, problem: str) -> None:
    """Readers skip it and receive the next one; its failure is reported once."""
    encode = Encoder()
    log = filled(encode, "a", value)
    for _ in range(2):
        assert log.read(0, Telling()) == Chunk(b"", 2, 0, 2, 0)
        assert log.entries() == []
    assert encode.failures == [(problem, value)]
    log.append("b", 3, 0.0)
    assert payloads(log.read(0, Telling())) == [b"b"]


def test_new_watcher_gets_the_newest_at_once() -> None:
    """A new reader reads one entry, or none if there is none yet."""
    log = filled(Encoder())
    assert log.beginning() == log.beginning(5) == 0
    assert log.read(0, Telling()) == Chunk(b"", 0, 0, 0, 0)
    log = filled(Encoder(), "a", "b")
    assert log.read(log.beginning(), Telling())[1:] == (2, 1, 0, 0)


@pytest.mark.parametrize(
    ("position", "cursor"),
    [(("e", 0), 2), (("e", 2), 2), (("e", 3), 3), (("e", 4), None), (("f", 3), None), (("f", 0), None)],
)
def test_returning_watcher_gets_the_newest_unless_it_has_it(position: tuple[str, int], cursor: int | None) -> None:
    """A position of this epoch leads to the newest value, the head itself to nothing, any other is lost."""
    log = filled(Encoder(), "a", "b", "c")
    assert log.resume(Position(*position)) == cursor


def test_bytes_are_counted_while_they_are_held() -> None:
    """Size and tally follow the values, encoded or not; a log that is dropped releases its share."""
    tally = Tally()
    logs = [filled(Encoder(), "abc", tally=tally), filled(Encoder(), "de", tally=tally)]
    assert tally.size == getsizeof("abc") + getsizeof("de")
    assert [log.entries() for log in logs] == [
        [Entry(Position("e", 1), b"abc", None)],
        [Entry(Position("e", 1), b"de", None)],
    ]
    assert (logs[0].size, tally.size) == (3, 5)
    logs[0].append("f", 2, 0.0)
    assert (logs[0].size, tally.size) == (getsizeof("f"), 2 + getsizeof("f"))
    logs[0].empty()
    logs[1].leave()
    logs[1].append("g", 2, 0.0)
    assert (logs[0].size, tally.size) == (0, 0)


@pytest.mark.parametrize(
    "value", ["x" * 50_000, "\N{SNOWMAN}" * 50_000, b"x" * 50_000, 10**50_000, Decimal("1" * 50_000)], ids=type
)
def test_value_that_nobody_reads_is_counted(value: Any) -> None:
    """A value counts from the moment at which it is appended, whatever its type; one that does not encode is freed."""
    failures: list[Any] = []
    tally = Tally()
    log = LatestLog("e", lambda value: 1 / 0, lambda error, value: failures.append(value), tally)  # type: ignore[arg-type, return-value]
    log.append(value, 1, 0.0)
    assert log.size == tally.size == value.__sizeof__() > 20_000
    assert log.read(0, Telling()).data == b""
    assert (log.size, tally.size, failures) == (0, 0, [value])


def test_offset_out_of_order_is_refused() -> None:
    """An offset that is not above the newest one is an error, and nothing is appended."""
    log = filled(Encoder(), "a")
    for offset in (0, 1, 3):
        with pytest.raises(ValueError, match=f"entry {offset} cannot follow entry 1"):
            log.append("b", offset, 0.0)
    assert (log.head, log.entries()[0].payload) == (1, b"a")
