"""Tables: the newest value of each row, and removals for every reader that may know the row."""

import datetime
import enum
import json
import pathlib
import uuid
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from tests.log.telling import Encoder, Telling, payloads, pieces, told
from wirespeed.errors import LogFull
from wirespeed.log.base import Entry, Marks, Removed
from wirespeed.log.cache import PIECE, Chunk, Tally
from wirespeed.log.position import Position
from wirespeed.log.table import TableLog, entry_key, row_name

MIDNIGHT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def table(*values: str, rows: int = 100, size: int = 1 << 20, tally: Tally | None = None) -> TableLog:
    """Return a table of texts, whose first characters are their rows; ``-a`` removes row ``a``."""
    encode = Encoder()
    log = TableLog("e", tally, encode=encode, failed=encode.failed, row_of=lambda value: value[0], rows=rows, size=size)
    extend(log, *values)
    return log


def extend(log: TableLog, *values: str) -> None:
    """Append further values."""
    for value in values:
        log.append(Removed(value[1]) if value.startswith("-") else value, log.head + 1, 0.0)


def changes(chunk: Chunk) -> list[tuple[int, str, bytes | None]]:
    """Return the changes in a chunk: offset, row and payload."""
    return [(each.position.offset, each.row, each.payload) for each in told(chunk.data)]


def test_newcomer_gets_all_rows_and_no_tombstones() -> None:
    """From cursor 0 a reader receives each row once, in the order of the last changes."""
    log = table("a1", "b1", "c1", "a2", "-c")
    chunk = log.read(log.beginning(), Telling())
    assert changes(chunk) == [(2, "b", b"b1"), (4, "a", b"a2")]
    assert chunk[1:] == (5, 2, 0, 0)


def test_watcher_gets_what_changed_since() -> None:
    """From another cursor a reader receives each changed row once, or its removal; the rest is counted."""
    log = table("a1", "b1", "c1", "a2", "-c", "b2", "b3")
    chunk = log.read(1, Telling())
    assert changes(chunk) == [(4, "a", b"a2"), (5, "c", None), (7, "b", b"b3")]
    assert chunk[1:] == (7, 3, 3, 0)
    assert log.read(7, Telling()) == Chunk(b"", 7, 0, 0, 0)


def test_some_rows() -> None:
    """The first or last rows can be read, and no others are encoded for that."""
    encode = Encoder()
    log = TableLog("e", encode=encode, failed=encode.failed, row_of=lambda value: value[0], rows=100, size=1 << 20)
    extend(log, "a1", "b1", "c1", "d1", "a2", "-c")
    assert [each.payload for each in log.newest(1)] == [b"b1"]
    assert [each.payload for each in log.newest(2, from_end=True)] == [b"a2", b"d1"]
    assert log.newest(0) == []
    assert encode.asked == {"b1": 1, "a2": 1, "d1": 1}
    assert [each.payload for each in log.newest()] == [b"b1", b"d1", b"a2"]


def test_row_that_comes_back_has_no_tombstone() -> None:
    """A row that was removed and set again is sent with its value."""
    log = table("a1", "b1", "-a", "a2")
    assert log.tombstones == 0
    assert changes(log.read(1, Telling())) == [(2, "b", b"b1"), (4, "a", b"a2")]


def test_rows_are_known_until_they_are_removed() -> None:
    """A table knows whether it has a row."""
    log = table("a1", "b1", "-a")
    assert [log.has_row(row) for row in "abc"] == [False, True, False]


def test_removal_of_an_unknown_row_takes_its_offset() -> None:
    """Another process's log may have had the row: the removal is an entry like others."""
    log = table("a1", "-x")
    assert (log.head, log.tombstones) == (2, 1)
    assert changes(log.read(1, Telling())) == [(2, "x", None)]


def test_tombstones_go_once_all_have_passed() -> None:
    """Tombstones that no live cursor needs are dropped, and a reader that is still behind starts over."""
    log = table("a1", "b1", "-a", "-b", "c1")
    log.passed(2)
    assert log.tombstones == 2
    log.passed(3)
    assert log.tombstones == 1
    assert changes(log.read(3, Telling())) == [(4, "b", None), (5, "c", b"c1")]
    assert log.read(2, Telling()) == Chunk(b"", 0, 0, 0, 3)
    assert changes(log.read(0, Telling())) == [(5, "c", b"c1")]


def test_whole_table_has_an_end_after_removals() -> None:
    """A new reader reads a large table to its end, whichever removals it has forgotten before."""
    log = table(*(row + "x" * PIECE for row in "abcd"), "-d")
    log.passed(log.head)
    chunks = pieces(log, log.beginning(), Telling())
    assert [row for chunk in chunks for _, row, _ in changes(chunk)] == ["a", "b", "c"]
    assert (chunks[-1].cursor, sum(chunk.lost for chunk in chunks)) == (log.head, 0)


def test_whole_table_is_void_without_the_removals_since() -> None:
    """Only the reader that began before a forgotten removal starts over."""
    log = table(*(row + "x" * PIECE for row in "abcd"), rows=4)
    old = log.read(log.beginning(), Telling())
    extend(log, "-a", "-e", "-f", "-g", "-h")
    new = log.read(log.beginning(), Telling())
    assert [row for _, row, _ in changes(old)] == ["a"]
    assert log.read(old.cursor, Telling())[1:] == (0, 0, 0, log.head - 1)
    assert log.read(new.cursor, Telling()).lost == 0


def test_removals_since_a_reader_began_are_part_of_its_table() -> None:
    """A reader in the middle of a table receives the removals since it began, and no others."""
    log = table(*(row + "x" * PIECE for row in "abcd"), "-d")
    first = log.read(log.beginning(), Telling())
    extend(log, "-a")
    rest = pieces(log, first.cursor, Telling())
    assert [row for chunk in rest for _, row, _ in changes(chunk)] == ["b", "c", "a"]


def test_tombstones_are_bounded() -> None:
    """There are at most as many tombstones as rows; a reader that needs more starts over."""
    log = table("x1", *(value for name in "abcdef" for value in (name, f"-{name}")), rows=3)
    assert log.tombstones == 3
    assert log.read(1, Telling()) == Chunk(b"", 0, 0, 0, 12)
    assert [row for _, row, _ in changes(log.read(7, Telling()))] == ["d", "e", "f"]
    assert changes(log.read(0, Telling())) == [(1, "x", b"x1")]


def test_full_table_takes_changes_but_no_further_row() -> None:
    """A row too many is an error, and is not appended; other rows change, and a removal makes room."""
    log = table("a1", "b1", rows=2)
    with pytest.raises(LogFull, match="at most 2 rows and 1048576 bytes"):
        extend(log, "c1")
    assert (log.head, log.has_row("c")) == (2, False)
    extend(log, "a2", "-b", "c1")
    with pytest.raises(LogFull):
        extend(log, "b2")
    assert payloads(log.read(0, Telling())) == [b"a2", b"c1"]


def test_encoded_bytes_bound_the_rows() -> None:
    """At its limit of bytes a table accepts no further row; smaller values make room."""
    log = table("a" * 10, "b" * 10, size=20)
    extend(log, "c")
    log.entries()
    assert log.size == 21
    with pytest.raises(LogFull):
        extend(log, "d")
    extend(log, "a", "d")
    assert payloads(log.read(0, Telling())) == [b"b" * 10, b"c", b"a", b"d"]


def test_value_without_a_row_is_not_appended() -> None:
    """The publisher gets the error of ``row_of``, and one for an impossible row."""
    log = table("a1")
    with pytest.raises(IndexError):
        log.append("", 2, 0.0)
    with pytest.raises(TypeError):
        log.append([["unhashable"]], 2, 0.0)
    with pytest.raises(ValueError, match="entry 1 cannot follow entry 1"):
        log.append("b1", 1, 0.0)
    assert (log.head, payloads(log.read(0, Telling()))) == (1, [b"a1"])


def test_values_are_encoded_when_they_are_read_once() -> None:
    """Values that were replaced unread cost nothing; the others are encoded once for all readers."""
    encode = Encoder()
    log = TableLog("e", encode=encode, failed=encode.failed, row_of=lambda value: value[0], rows=9, size=99)
    extend(log, "a1", "b1", "a2")
    assert log.size == 0
    for cursor in (0, 1, 0):
        for _ in range(2):
            log.read(cursor, Telling())
    log.entries()
    assert encode.asked == {"b1": 1, "a2": 1}


def test_value_whose_encoder_panics_is_skipped() -> None:
    """An error other than an ``Exception`` fails this value only, too."""
    encode = Encoder()
    log = TableLog("e", encode=encode, failed=encode.failed, row_of=lambda value: value[0], rows=9, size=99)
    extend(log, "a1", "panic", "c1")
    assert changes(log.read(1, Telling())) == [(3, "c", b"c1")]
    assert encode.failures == [("the code ended with SystemExit", "panic")]


def test_value_that_does_not_encode_is_told_once_and_skipped() -> None:
    """Readers skip it and receive the rows around it; its row can still be changed and removed."""
    encode = Encoder()
    log = TableLog("e", encode=encode, failed=encode.failed, row_of=lambda value: value[0], rows=9, size=99)
    extend(log, "a1", "bad", "c1")
    for _ in range(2):
        assert changes(log.read(1, Telling())) == [(3, "c", b"c1")]
    assert encode.failures == [("cannot encode bad", "bad")]
    extend(log, "xbad", "c2")
    chunk = log.read(3, Telling())
    assert (changes(chunk), chunk[1:]) == ([(5, "c", b"c2")], (5, 1, 1, 0))
    assert [entry.row for entry in log.entries()] == ["a", "c"]
    assert log.has_row("x")
    extend(log, "-x")
    assert changes(log.read(5, Telling())) == [(6, "x", None)]


def test_readers_at_one_place_share_bytes_and_work() -> None:
    """The same cursor, head and wire return the same object; nothing stale survives an append."""
    log, wire = table("a1", "b1", "c1"), Telling()
    first = log.read(1, wire).data
    assert log.read(1, wire).data is first
    assert wire.written == 2
    extend(log, "b2")
    assert changes(log.read(1, wire)) == [(3, "c", b"c1"), (4, "b", b"b2")]


@pytest.mark.parametrize("size", [1, 1000, 3 * PIECE])
def test_pieces_are_bounded_and_complete(size: int) -> None:
    """Reading returns every row once, in pieces of 64 KiB and the row that fills them."""
    log = table(*(chr(0x4E00 + number) * size for number in range(100)), size=1 << 30)
    chunks = pieces(log, 0, Telling(1500))
    assert [payload for chunk in chunks for payload in payloads(chunk)] == [each.payload for each in log.entries()]
    assert max(len(chunk.data) for chunk in chunks) < PIECE + 3 * size + 2000
    assert len(chunks) > 1
    assert sum(chunk.entries for chunk in chunks) == 100


@pytest.mark.parametrize(
    ("position", "cursor"), [(("e", 3), 3), (("e", 2), None), (("e", 0), None), (("e", 4), None), (("f", 3), None)]
)
def test_returning_watcher_goes_on_at_the_head_only(position: tuple[str, int], cursor: int | None) -> None:
    """A reader with the newest entry has the table; any other starts over."""
    assert table("a1", "b1", "-a").resume(Position(*position)) == cursor


class Few(Telling):
    """A wire that is slow for each row, and asks for few of them."""

    most = 3

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        text = super().row(row, payload, position, marks)
        return text if position.offset % 2 else b""


@pytest.mark.parametrize("start", [0, 1])
def test_costly_wires_read_few_rows_at_once(start: int) -> None:
    """The wire also bounds the work of one read; all rows are read, and removals meanwhile are reported."""
    log, wire = table(*"abcdefghij"), Few()
    seen, reads, cursor = [], 0, start
    while cursor != log.head:
        before = wire.written
        chunk = log.read(cursor, wire)
        assert wire.written - before <= 3
        seen += [row for _, row, _ in changes(chunk)]
        cursor, reads = chunk.cursor, reads + 1
        if reads == 2:
            extend(log, "-a")
    assert seen == [*"acegi"[start:], "a"]


def test_entries_are_the_rows() -> None:
    """The live rows are listed with their keys, in the order of their last changes."""
    log = table("a1", "b1", "a2", "c1", "-b")
    assert log.entries() == [Entry(Position("e", 3), b"a2", "a"), Entry(Position("e", 4), b"c1", "c")]


class Colour(enum.StrEnum):
    """A row's key that is a text of another type."""

    RED = "red"


class Size(enum.Enum):
    """A row's key that is identified by its value."""

    LARGE = "large"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (7, "7"),
        ('a"ü\ud800', '"a\\"\\u00fc\\ud800"'),
        (Colour.RED, '"red"'),
        (("a", 1), '["a",1]'),
        (datetime.date(2024, 2, 29), '"2024-02-29"'),
        (datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), '"2024-02-29T00:00:00Z"'),
        (Size.LARGE, '"large"'),
        (float("nan"), '"nan"'),
        (b"\xff", "\"b'\\\\xff'\""),
        (None, "null"),
    ],
)
def test_row_keys_travel_as_json(row: Any, text: str) -> None:
    """A wire receives a row's key as JSON, or as its text if it has no JSON form, for values and removals."""
    keys = []

    class Listening(Telling):
        """A wire that records the keys."""

        def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
            keys.append(row)
            return b"."

        def removed(self, row: bytes, position: Position) -> bytes:
            keys.append(row)
            return b"."

    log = TableLog("e", encode=str.encode, failed=print, row_of=lambda value: row, rows=9, size=99)
    log.append("value", 1, 0.0)
    log.read(0, Listening())
    log.append(Removed(row), 2, 0.0)
    log.read(1, Listening())
    assert keys == [text.encode()] * 2
    json.loads(keys[0])


class Id(uuid.UUID):
    """A row's key of an app's own class."""


class Short(str):
    """A text of an app's own class."""

    __slots__ = ()


class Count(int):
    """A number of an app's own class."""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (uuid.UUID(int=7), Id(int=7)),
        (pathlib.PurePath("a"), pathlib.Path("a")),
        ("a", Short("a")),
        (7, Count(7)),
        (("a", 1), ["a", 1]),
    ],
)
def test_equal_keys_name_one_row(one: Any, other: Any) -> None:
    """Keys that are equal name one row, also if one is an instance of a subclass."""
    assert row_name(one) == row_name(other)
    assert len({row_name(each) for each in ("a", 7, True, b"a", None, uuid.UUID(int=7), pathlib.PurePath("a"))}) == 7


def test_memory_follows_the_rows_not_the_changes() -> None:
    """Ten thousand changes of two rows take little memory, and are read in order."""
    log = table(*(f"{'ab'[number % 2]}{number}" for number in range(10_000)))
    assert len(log._changes) == len(log._offsets) < 100
    assert payloads(log.read(5000, Telling())) == [b"a9998", b"b9999"]
    assert log.read(5000, Telling()).skipped == 4998


def test_bytes_are_counted_with_those_of_other_logs() -> None:
    """The tally follows what is encoded, replaced and removed."""
    tally = Tally()
    log = table("abc", "de", tally=tally)
    log.entries()
    assert (log.size, tally.size) == (5, 5)
    extend(log, "a", "-d")
    assert (log.size, tally.size) == (0, 0)


class Nameless:
    """An object without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_row_that_cannot_be_told_holds_up_nobody() -> None:
    """A row's key without JSON and text is named by its type; the other rows are read as usual."""
    rows = [Nameless(), 10**5000, "b"]
    log = TableLog("e", encode=lambda _: b"1", failed=print, row_of=lambda number: rows[number], rows=9, size=999)
    for number in range(3):
        log.append(number, number + 1, 0.0)
    assert log.read(0, Telling()).entries == 3


def test_entries_have_the_keys_that_watchers_have() -> None:
    """A row that the app has changed, or spelled otherwise since, has the key that watchers received."""
    row: list[Any] = [1]
    log = TableLog("e", encode=encoded, failed=print, row_of=lambda value: value[0], rows=9, size=10**6)
    for offset, value in enumerate([(row, 1), (Decimal("1.0"), 2), (Decimal("1.00"), 3), ("a", 4)], 1):
        log.append(value, offset, 0.0)
    row.append(2)
    assert [entry_key(each) for each in log.newest()] == [b"[1]", b'"1.0"', b'"a"']


@pytest.mark.parametrize(
    "rows",
    [
        [float("nan"), float("nan"), float("inf") - float("inf")],
        [0.0, -0.0, 0],
        [Decimal("1.0"), Decimal("1.00")],
        [["a", 1], ["a", 1]],
        [MIDNIGHT, MIDNIGHT.astimezone(datetime.timezone(datetime.timedelta(hours=2)))],
    ],
)
def test_rows_that_are_equal_are_one(rows: list[Any]) -> None:
    """This holds even if Python does not consider them equal, or cannot hash them; clients see one spelling."""
    log = TableLog("e", encode=encoded, failed=print, row_of=lambda value: value[0], rows=1, size=10**6)
    wire, keys = Telling(), set()
    for offset, row in enumerate(rows * 100, 1):
        log.append((row, offset), offset, 0.0)
        keys |= {json.dumps(each.row) for each in told(log.read(offset - 1, wire).data)}
    assert (len(keys), len(log.entries())) == (1, 1)
    assert log.has_row(rows[-1])
    log.append(Removed(rows[0]), log.head + 1, 0.0)
    assert (log.entries(), log.tombstones) == ([], 1)


def test_rows_that_differ_are_not_mixed() -> None:
    """True is not 1, and text is not what it spells."""
    rows = [1, True, "1", None, "None", False, 0, 1.5, "1.5", (1,), (True,), "nan"]
    log = TableLog("e", encode=encoded, failed=print, row_of=lambda value: value[0], rows=99, size=10**6)
    for offset, row in enumerate(rows, 1):
        log.append((row, offset), offset, 0.0)
    assert len(log.entries()) == len(rows)


def encoded(value: tuple[Any, int]) -> bytes:
    """Return the encoding of the number."""
    return str(value[1]).encode()


def test_secrets_do_not_name_rows() -> None:
    """All secrets look alike to clients, so the values of one user would replace those of another."""
    rows = iter([SecretStr("ada's"), SecretStr("bob's")])
    log = TableLog("e", encode=str.encode, failed=Encoder().failed, row_of=lambda _: next(rows), rows=10, size=1 << 20)
    for _ in range(2):
        with pytest.raises(TypeError, match="SecretStr cannot identify"):
            log.append("value", log.head + 1, 0.0)
    with pytest.raises(TypeError, match="SecretStr cannot identify"):
        log.append(Removed(SecretStr("ada's")), log.head + 1, 0.0)
    assert (log.head, log.rows) == (0, 0)
