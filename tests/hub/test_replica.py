"""Records carry states whole between processes, and equal rows have one key."""

from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from wirespeed.hub.replica import record_of, state_of
from wirespeed.identity import Sender
from wirespeed.log.base import Encoded, Marks, Removed
from wirespeed.log.record import Record
from wirespeed.log.table import row_name
from wirespeed.spelling import Unspellable

ROWS = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_infinity=False), st.none())
SENDERS = st.builds(
    Sender,
    client=st.text(),
    user=st.text(st.characters(), max_size=5),
    info=st.sampled_from([b"", b'{"a": 1}']),
    channel_info=st.sampled_from([b"", '"\u00e4"'.encode()]),
)
MARKS = st.builds(Marks, st.dictionaries(st.text(), st.text()), st.none() | SENDERS)


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Color(Enum):
    """A row."""

    RED = 1


@given(st.binary(), st.none() | MARKS)
def test_values_travel_whole(payload: bytes, marks: Marks | None) -> None:
    """Payload, tags and sender arrive as they were; a record is plain data without rows."""
    state = Encoded(payload, None, marks)
    record = record_of(state, has_row=False)
    assert [type(each) for each in record] == [bytes, type(None), type(record.tags), bytes, bool]
    arrived = state_of(record)
    expected = None if marks == Marks({}) else marks
    assert arrived == state._replace(marks=expected)


@given(ROWS, st.booleans())
def test_rows_travel(row: Any, is_removed: bool) -> None:
    """A row is the same row in every process, whether it changes or is removed."""
    record = record_of(Removed(row) if is_removed else Encoded(b"1", row), has_row=True)
    arrived = state_of(record)
    assert type(arrived) is (Removed if is_removed else Encoded)
    assert row_name(arrived.row) == row_name(row)
    assert record_of(arrived, has_row=True) == record


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (1, 1.0),
        (Color.RED, 1),
        ("a", "a"),
        ((1, 2), [1, 2]),
        (Decimal("1.0"), Decimal("1.000")),
        ((1, Decimal(2)), (1, Decimal("2.0"))),
        (NOON, NOON.astimezone(timezone(timedelta(hours=2)))),
        (NOON.timetz(), time(13, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_equal_rows_have_one_key(one: Any, same: Any) -> None:
    """The broker knows a row by its text, which is the same for values that clients cannot distinguish."""
    record = record_of(Removed(one), has_row=True)
    assert record == record_of(Removed(same), has_row=True)
    arrived = state_of(record)
    assert isinstance(arrived, Removed)
    assert record_of(arrived, has_row=True) == record


def test_secrets_are_no_rows() -> None:
    """With a broker, too, a secret identifies no row: all of them would be one."""
    with pytest.raises(Unspellable):
        record_of(Encoded(b"1", SecretStr("a")), has_row=True)


def test_true_is_another_row_than_one() -> None:
    """Values that clients can distinguish are different rows."""
    assert record_of(Removed(True), has_row=True) != record_of(Removed(1), has_row=True)


def test_records_of_other_writers_are_read() -> None:
    """A record needs no marks, and its row may be any JSON."""
    assert state_of(Record(b"1", b'{"a":[1]}')) == Encoded(b"1", {"a": [1]})
