"""Tables with an order: what is read of them as a whole is sorted, and one change costs little of that again."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.allocated import allocated
from tests.calls import calls_in
from tests.log.telling import Telling, pieces, told
from wirespeed.log.base import Encoded, Removed
from wirespeed.log.cache import Tally
from wirespeed.log.ordered import OrderedCursor, OrderedTable, sortable

VALUES = st.none() | st.sampled_from([1, 2, 9, 10, 100])
ROWS = st.integers(0, 15)


class Color(Enum):
    RED = 1


class Size(IntEnum):
    BIG = 2


class Name(StrEnum):
    ADA = "ada"


class Counted(int):
    """A value that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < int(other)


def ordered(*, descending: bool = False, size: int = 1 << 20, order: Any = None) -> OrderedTable:
    """Return a table that is ordered by the number ``n`` of its rows."""
    return OrderedTable(
        "e",
        Tally(),
        encode=str.encode,
        failed=print,
        row_of=None,
        rows=10_000,
        size=size,
        order=order or (lambda payload: json.loads(payload)["n"]),
        descending=descending,
    )


def put(log: OrderedTable, row: int, value: Any) -> None:
    """Change a row."""
    log.append(Encoded(json.dumps({"n": value}).encode(), row), log.head + 1, 0.0)


def remove(log: OrderedTable, row: int) -> None:
    """Remove a row."""
    log.append(Removed(row), log.head + 1, 0.0)


def rows(log: OrderedTable) -> list[Any]:
    """Return the rows in the order of the table."""
    return [each.row for each in log.entries()]


def test_one_change_moves_one_row() -> None:
    """A read after one change compares and ranks that row only, whichever rows the table has beside it."""
    asked = []

    def order(payload: bytes) -> Counted:
        asked.append(payload)
        return Counted(json.loads(payload)["n"])

    log = ordered(order=order)
    for row in range(4000):
        put(log, row, row * 7919 % 4000)
    assert log.newest(1)[0].row == 0
    for value in (-1, 2000, 5000):
        put(log, 7, value)
        Counted.compared = 0
        asked.clear()
        assert (log.newest(1)[0].row == 7) == (value == -1)
        assert (log.newest(1, from_end=True)[0].row == 7) == (value == 5000)
        assert (Counted.compared < 100, len(asked)) == (True, 1)


def test_one_change_moves_one_row_of_several_types() -> None:
    """A read after one change moves that row only if values are of several types, and of one type it sorts them."""
    log, count = ordered(), 4000
    for row in range(count):
        put(log, row, row or "x")
    log.newest(1)
    for value in (-1, "y", 2000.5, None):
        put(log, 7, value)
        assert calls_in("log/ordered", lambda: log.newest(1)) < count // 10
        known = {row: row or "x" for row in range(count)} | {7: value}
        expected = sorted((row for row in known if known[row] is not None), key=lambda row: str(known[row]))
        assert rows(log) == [*expected, *([7] if value is None else [])]
    remove(log, 0)
    assert rows(log)[:3] == [1, 2, 3]


def test_new_watcher_after_one_change() -> None:
    """Watchers that begin at different heads, and read on while rows change, do not sort the table again."""
    log = ordered(order=lambda payload: Counted(json.loads(payload)["n"]))
    for row in range(4000):
        put(log, row, row)
    first = log.read(0, Telling(30))
    Counted.compared = 0
    for row in range(10):
        put(log, row, 5000 + row)
        second = log.read(0, Telling(30))
        assert told(second.data)[0].row == row + 1
        assert told(log.read(first.cursor, Telling(30)).data)[0].row == first.entries
    assert Counted.compared < 2000


def test_many_changes_are_one_sort() -> None:
    """If many rows have changed since the last read, they are sorted once: they do not move one by one."""
    log = ordered(order=lambda payload: Counted(json.loads(payload)["n"]))
    for row in range(1000):
        put(log, row, row)
    log.newest(1)
    for row in range(1000, 5000):
        put(log, row, row)
    Counted.compared = 0
    log.newest(1)
    assert Counted.compared <= 5000


def test_order_that_nobody_reads_costs_nothing() -> None:
    """Rows are ranked when they are first read in order, and those without a value are not ranked again."""
    asked: list[bytes] = []
    log = ordered(order=asked.append)
    for number in range(100):
        put(log, number % 50, None)
    log.since(0, 1)
    log.read(1, Telling())
    assert asked == []
    for number in range(3):
        log.newest(1)
        assert len(asked) == 50 + 20 * number
        for row in range(20):
            put(log, row, None)


def test_memory_of_the_order_does_not_grow() -> None:
    """Rows that have changed are not kept for reads of earlier heads."""
    log, count = ordered(), 5000

    def change_and_read(rounds: int) -> None:
        for number in range(rounds):
            for row in range(count):
                put(log, row, row + number % 2)
                if row == count // 2:
                    log.newest(1)
            log.newest(1)

    change_and_read(3)
    before = allocated()
    change_and_read(8)
    assert allocated() - before < 100 * count


def test_memory_of_changes_after_a_read() -> None:
    """A table that is not read in order again does not keep the values of rows that have changed since it was."""
    count, length = 5000, 1000  # 5 MB of values to order by, beside what else a process allocates meanwhile

    def taken(*, is_read: bool) -> int:
        before, log = allocated(), ordered(order=lambda payload: f"{payload.decode():{length}}")
        for number in range(3):
            for row in range(count):
                put(log, row, row)
            if is_read and number == 1:
                log.newest(1)
        return allocated() - before

    taken(is_read=True)
    assert taken(is_read=True) - taken(is_read=False) < length * count // 4


@pytest.mark.parametrize("value", [1, "x" * 500])
def test_order_is_counted(value: Any) -> None:
    """The order is a part of the log's size, until the rows are gone."""
    log = ordered()
    for row in range(1000):
        put(log, row, value)
    payloads = log.size
    log.newest(1)
    beside = log.size - payloads
    assert 1000 * len(str(value)) <= beside <= 1000 * (len(str(value)) + 100)
    assert log.tally.size == log.size
    for row in range(500):
        remove(log, row)
    log.newest(1)
    assert log.size == log.tally.size == (payloads + beside) // 2
    log.empty()
    assert log.size == log.tally.size == 0


def test_order_takes_no_room_of_rows() -> None:
    """A table is full because of its rows, whether they were read in order or not."""
    log = ordered(size=100)
    put(log, 1, 1)
    log.newest(1)
    put(log, 2, 2)
    assert rows(log) == [1, 2]


@pytest.mark.parametrize(("descending", "expected"), [(False, [3, 1, 2, 4, 0]), (True, [4, 1, 2, 3, 0])])
def test_equal_rows(descending: bool, expected: list[int]) -> None:
    """Rows with the same value are in the order of their last changes, in any process, however they got there."""
    log = ordered(descending=descending)
    for row, value in enumerate([None, 5, 5, 1, 9]):
        put(log, row, value)
    again = ordered(descending=descending)
    for row, value in ((4, 0), (3, 9), (0, None), (1, 5)):
        put(again, row, value)
        again.newest(1)
    for row, value in ((2, 5), (3, 1), (4, 9)):
        put(again, row, value)
    assert rows(log) == rows(again) == expected


def test_values_of_several_types() -> None:
    """While there are values of several types, rows are in the order of text; afterwards in that of their values."""
    log = ordered()
    for row, value in enumerate([9, 10, 2]):
        put(log, row, value)
    assert rows(log) == [2, 0, 1]
    put(log, 3, "x")
    put(log, 2, 3)
    assert rows(log) == [1, 2, 0, 3]
    put(log, 1, 100)
    assert rows(log) == [1, 2, 0, 3]
    remove(log, 3)
    assert rows(log) == [2, 0, 1]


def test_watcher_in_between_while_types_change() -> None:
    """A watcher of some rows in the order of values gets all of the rest when values of another type come."""
    log, wire = ordered(), Few()
    for row, value in enumerate([9, 10, 2]):
        put(log, row, value)
    first = log.read(0, wire)
    put(log, 3, "x")
    assert [each.row for each in told(first.data)] == [2, 0]
    assert {each.row for chunk in pieces(log, first.cursor, wire) for each in told(chunk.data)} >= {1, 3}


class Few(Telling):
    """A wire that reads two rows at once."""

    most = 2


@dataclass(eq=False)
class Reader:
    """A watcher: its cursor, the rows that it has, and those that it has read in order."""

    log: OrderedTable
    cursor: int = 0
    held: dict[int, Any] = field(default_factory=dict)
    in_order: list[int] = field(default_factory=list)

    def read(self) -> None:
        """Read two entries."""
        chunk = self.log.read(self.cursor, Few())
        if chunk.lost:
            self.held, self.in_order = {}, []
        for each in told(chunk.data):
            if each.payload is None:
                self.held.pop(each.row, None)
            else:
                self.held[each.row] = json.loads(each.payload)["n"]
            if self.cursor <= 0:
                self.in_order.append(each.row)
        self.cursor = chunk.cursor

    def read_all(self) -> None:
        """Read the rest."""
        for _ in range(200):
            self.read()
        assert self.cursor == self.log.head


class Play:
    """A table, a model of its rows, and watchers of it."""

    def __init__(self, *, descending: bool) -> None:
        self.log = ordered(descending=descending)
        self.descending = descending
        self.model: dict[int, tuple[Any, int]] = {}
        self.readers = [Reader(self.log)]

    def put(self, row: int, value: Any) -> None:
        put(self.log, row, value)
        self.model[row] = (value, self.log.head)

    def remove(self, row: int, value: Any) -> None:
        remove(self.log, row)
        self.model.pop(row, None)

    def look(self, most: int, from_end: Any) -> None:
        wanted = self.expected()[::-1] if from_end else self.expected()
        assert [each.row for each in self.log.newest(most, from_end=bool(from_end))] == wanted[:most]

    def arrive(self, number: int, value: Any) -> None:
        self.readers.append(Reader(self.log))

    def read(self, number: int, value: Any) -> None:
        self.readers[number % len(self.readers)].read()

    def forget(self, number: int, value: Any) -> None:
        self.log.passed(self.log.head)

    def expected(self) -> list[int]:
        """Return the rows of the model in order."""
        by_change = sorted(self.model, key=lambda row: self.model[row][1])
        values = {row: value for row, (value, _) in self.model.items()}
        known = [row for row in by_change if values[row] is not None]
        try:
            known = sorted(known, key=lambda row: values[row], reverse=self.descending)
        except TypeError:
            known = sorted(known, key=lambda row: str(values[row]), reverse=self.descending)
        return known + [row for row in by_change if values[row] is None]

    def check_begun(self, reader: Reader) -> None:
        """Check that a watcher has the first rows of those that have not changed since it began, in order."""
        if isinstance(reader.cursor, OrderedCursor):
            unchanged = [row for row in self.expected() if self.model[row][1] <= reader.cursor.begun]
            seen = [row for row in reader.in_order if row in unchanged]
            assert unchanged[: len(seen)] == seen


STEPS = st.tuples(
    st.sampled_from(["put", "put", "put", "remove", "look", "arrive", "read", "read", "forget"]), ROWS, VALUES
)


def play(steps: list[tuple[str, int, Any]], *, descending: bool) -> Play:
    """Take the steps, and check that the rows are in order and all watchers get them."""
    played = Play(descending=descending)
    for what, row, value in steps:
        getattr(played, what)(row, value)
    assert rows(played.log) == played.expected()
    assert played.log.size == played.log.tally.size
    return played


@given(st.lists(STEPS, max_size=80), st.booleans())
def test_order_is_that_of_sorted_rows(steps: list[tuple[str, int, Any]], descending: bool) -> None:
    """After any changes, removals and reads at older heads, rows are sorted, and a watcher gets each once, in order."""
    played = play(steps, descending=descending)
    for reader in played.readers:
        played.check_begun(reader)
        reader.read_all()
        assert len(reader.in_order) == len(set(reader.in_order))
        assert reader.held == {row: value for row, (value, _) in played.model.items()}


MIXED = st.tuples(st.just("put"), ROWS, st.sampled_from(["x", "1"]))


@given(st.lists(STEPS | MIXED, max_size=80), st.booleans())
def test_order_of_several_types(steps: list[tuple[str, int, Any]], descending: bool) -> None:
    """Values of other types may come and go: rows are sorted, as text if need be, and watchers get all of them."""
    played = play(steps, descending=descending)
    for reader in played.readers:
        reader.read_all()
        assert reader.held == {row: value for row, (value, _) in played.model.items()}


class Odd(int):
    """A number that is before equal ones, too, and so in no order."""

    def __lt__(self, other: int) -> bool:
        return int(self) <= int(other)


@pytest.mark.parametrize("order", [lambda _: Odd(1), lambda payload: set(json.loads(payload)["n"])])
def test_reading_ends_in_any_order(order: Any) -> None:
    """A watcher of rows that are in no order gets all of them, and is never sent back again and again."""
    log, random = ordered(order=order), Random(1)
    for row in range(1000):
        put(log, row, random.sample("abcdef", random.randint(0, 4)))
    reader, reads = Reader(log), 0
    while reader.cursor != log.head:
        reader.read()
        reads += 1
    assert (reads <= 1000, len(reader.held)) == (True, 1000)


ATOMS = (
    st.integers() | st.floats() | st.decimals() | st.booleans() | st.text() | st.binary() | st.dates() | st.datetimes()
)


@given(st.lists(ATOMS | st.lists(ATOMS, max_size=2) | st.tuples(ATOMS), min_size=3, max_size=3))
def test_sortable_values_are_in_a_total_order(values: list[Any]) -> None:
    """Any two values of one type are equal, or one is before the other; those of several raise."""
    for value in values:
        with suppress(TypeError):
            assert sortable(value) in (None, value, list(value) if type(value) is tuple else value)
    try:
        one, two, three = map(sortable, values)
        is_one_order = [one < two, two < three, one < three, two < one, three < two]
    except TypeError:
        return
    assert is_one_order[0] + is_one_order[3] + (one == two) == 1
    assert is_one_order[2] >= (is_one_order[0] and is_one_order[1])


@pytest.mark.parametrize("value", [{1}, {"a": 1}, [{1}], [float("nan")], (1, None), object(), Color.RED])
def test_values_that_may_be_in_no_order(value: Any) -> None:
    """Values of other types are not sortable, by themselves or in a list."""
    with pytest.raises(TypeError):
        sortable(value)


def test_enums_that_are_numbers_or_text_are_sortable() -> None:
    """They are ordered as what they are, whatever their classes say."""
    assert [sortable(each) for each in (Size.BIG, Name.ADA, Odd(3))] == [2, "ada", 3]
    assert [type(sortable(each)) for each in (Size.BIG, Name.ADA, Odd(3))] == [int, str, int]


def test_pieces_of_a_large_table_that_changes() -> None:
    """Each row that does not change meanwhile is read once and in order, whatever is read in between."""
    log = ordered(descending=True)
    for row in range(3000):
        put(log, row, row)
    wire, seen, cursor = Telling(100), list[Any](), 0
    while cursor != log.head:
        chunk = log.read(cursor, wire)
        if cursor <= 0:
            seen += [each.row for each in told(chunk.data)]
        cursor = chunk.cursor
        if isinstance(cursor, OrderedCursor):
            for row in range(len(seen), 3000, 100):
                put(log, row, -row)
            pieces(log, 0, Telling(100))
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) > 2900
