"""Kinds of logs: each takes values with marks, as their states."""

from typing import Any, NamedTuple

import pytest

from tests.log.telling import Encoder, Telling, payloads
from wirespeed.identity import Sender
from wirespeed.log.base import Entry, Log, Marks, Removed, Spoilt
from wirespeed.log.kinds import LogKind, Values
from wirespeed.log.position import Position
from wirespeed.log.record import Retention

MARKS = Marks({"side": "buy"}, Sender(client="1", user="ada"))


class Wrapped(NamedTuple):
    """A value that comes with marks; a wrong one cannot be opened."""

    value: str
    is_wrong: bool = False


def split(value: Any) -> tuple[Any, Marks | None]:
    """Separate a value from its marks."""
    if not isinstance(value, Wrapped):
        return value, None
    if value.is_wrong:
        raise ValueError(f"cannot open {value.value}")
    return value.value, MARKS


def kinds() -> list[tuple[LogKind, Encoder]]:
    """One of each kind, with its encoder."""
    made = []
    for retention in (Retention("latest"), Retention("last", 10, size=1000), Retention("table", rows=10, size=1000)):
        encode = Encoder()
        row_of = (lambda value: value[0]) if retention.kind == "table" else None
        made.append(
            (LogKind(retention, Values(encode=encode, failed=encode.failed, split=split, row_of=row_of)), encode)
        )
    return made


def log_of(kind: LogKind, *values: object) -> Log:
    """A log of a kind, with the states of values, and plain values as they are."""
    log = kind.log("e")
    for value in values:
        log.append(kind.values.taken(value) if isinstance(value, Wrapped) else value, log.head + 1, 0.0)
    return log


def marks(entries: list[Entry]) -> list[tuple[bytes, Marks | None]]:
    """The payloads, with their marks."""
    return [(each.payload, each.marks) for each in entries]


class Marking(Telling):
    """A wire that remembers the marks that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Marks | None] = []

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        self.given.append(marks)
        return super().value(payload, position, marks)

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        self.given.append(marks)
        return super().row(row, payload, position, marks)


@pytest.mark.parametrize("number", range(3))
def test_values_with_marks(number: int) -> None:
    """A value is encoded once, without its marks; entries and wires have the marks beside the payload."""
    kind, encode = kinds()[number]
    log, wire = log_of(kind, Wrapped("abc")), Marking()
    assert marks(log.entries()) == [(b"abc", MARKS)]
    assert payloads(log.read(0, wire)) == [b"abc"]
    assert wire.given == [MARKS]
    assert log.read(0, Telling()) == log_of(kinds()[number][0], "abc").read(0, Telling())
    assert (encode.asked, log.size) == ({"abc": 1}, 3)


@pytest.mark.parametrize("number", range(3))
def test_plain_values_have_no_marks(number: int) -> None:
    """A plain value has no marks, whatever came before."""
    log = log_of(kinds()[number][0], Wrapped("abc"), "axy")
    assert marks(log.newest()[-1:]) == [(b"axy", None)]


def test_marks_stay_with_their_entries() -> None:
    """Each entry of a ring has its own marks, from wherever it is read; those of dropped entries go."""
    log, wire = log_of(kinds()[1][0], *(Wrapped(str(n)) if n % 3 == 0 else str(n) for n in range(25))), Marking()
    expected = [MARKS if n % 3 == 0 else None for n in range(15, 25)]
    assert [each.marks for each in log.entries()] == expected
    assert payloads(log.read(18, wire)) == [b"%d" % n for n in range(18, 25)]
    assert wire.given == expected[3:]
    for n in range(10):
        log.append(str(n), log.head + 1, 0.0)
    assert [each.marks for each in log.entries()] == [None] * 10


def test_table_looks_inside() -> None:
    """The row of a value does not depend on its marks: plain values, marked ones and removals meet in it."""
    log = log_of(kinds()[2][0], "a1", Wrapped("a2"), Wrapped("b1"), Wrapped("c1"), "b2", Removed("c"))
    assert marks(log.entries()) == [(b"a2", MARKS), (b"b2", None)]


@pytest.mark.parametrize("number", range(3))
def test_what_cannot_be_encoded_inside(number: int) -> None:
    """A value that fails to encode, or to be separated from its marks, has no state; its error is kept if asked."""
    kind, _ = kinds()[number]
    for wrong, error in ((Wrapped("bad"), "cannot encode bad"), (Wrapped("x", is_wrong=True), "cannot open x")):
        with pytest.raises(ValueError, match=error):
            kind.values.taken(wrong)
        state = kind.values.state(wrong)
        assert isinstance(state, Spoilt)
        assert (str(state.error), state.value) == (error, wrong)
