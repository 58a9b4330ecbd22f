"""Logs whose values grow: readers of every kind have the whole text, whatever they have read before."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from wirespeed.codec import piece_of_text, text_last
from wirespeed.errors import LogFull, NoSuchRow
from wirespeed.log import growing
from wirespeed.log.base import Append, Encoded, Log, Marks, Removed, Wire
from wirespeed.log.cache import Tally
from wirespeed.log.kinds import LogKind, Values
from wirespeed.log.position import Position
from wirespeed.log.record import Retention

ROWS = 4


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


TEXT = LogKind(Retention("latest", size=5_000_000), Values(encode=str.encode, grow=str.encode))
TABLE = LogKind(
    Retention("table", rows=ROWS, size=5_000_000),
    Values(encode=text_last(_json, "text"), row_of=lambda value: value["id"], grow=piece_of_text, field="text"),
)


class Lines(Wire):
    """A wire of one JSON array per line."""

    def __init__(self, *, grows: bool) -> None:
        self.grows = grows

    def value(self, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        return _json(["value", None, payload.decode()]) + b"\n"

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        return _json(["value", json.loads(row), json.loads(payload)["text"]]) + b"\n"

    def piece(self, row: bytes | None, appended: bytes, position: Position) -> bytes:
        text = json.loads(appended)
        return _json(["append", None, text] if row is None else ["append", json.loads(row), text["text"]]) + b"\n"

    def removed(self, row: bytes, position: Position) -> bytes:
        return _json(["removed", json.loads(row), None]) + b"\n"


GROWS, WHOLE = Lines(grows=True), Lines(grows=False)


@dataclass(eq=False)
class Reader:
    """A client that applies what it reads."""

    wire: Lines
    cursor: int
    texts: dict[Any, str] = field(default_factory=dict)
    pieces: int = 0

    def read(self, log: Log) -> None:
        """Read one chunk."""
        chunk = log.read(self.cursor, self.wire)
        self.cursor = chunk.cursor
        if chunk.lost:
            self.texts.clear()
        for line in chunk.data.splitlines():
            what, row, text = json.loads(line)
            if what == "value":
                self.texts[row] = text
            elif what == "removed":
                self.texts.pop(row, None)
            else:
                self.pieces += 1
                self.texts[row] += text

    def read_all(self, log: Log) -> dict[Any, str]:
        """Read to the end, and return the texts."""
        while self.cursor != log.head:
            self.read(log)
        return self.texts


def filled(kind: LogKind, *values: Any) -> Log:
    """Return a log with values."""
    log = kind.log("e")
    for value in values:
        log.append(kind.values.taken(value), log.head + 1, 0.0)
    return log


class Machine(RuleBasedStateMachine):
    """Values, pieces and readers in any order."""

    kind = TEXT
    rows: tuple[Any, ...] = (None,)

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.log = self.kind.log("e", self.tally)
        self.texts: dict[Any, str] = {}
        self.pieces = Counter[Any]()
        self.readers: list[Reader] = []

    def put(self, value: Any) -> None:
        self.log.append(self.kind.values.taken(value), self.log.head + 1, 0.0)

    @rule(at=st.integers(0, ROWS - 1), size=st.sampled_from([0, 1, 3, 40_000]))
    def publish(self, at: int, size: int) -> None:
        row = self.rows[at % len(self.rows)]
        self.texts[row] = f"«{self.log.head}»" + "x" * size
        self.pieces[row] = 0
        self.put(self.texts[row] if row is None else {"text": self.texts[row], "id": row})

    @rule(at=st.integers(0, ROWS - 1), text=st.sampled_from(["", "a", '"é\n', "😀", "y" * 30_000]))
    def append(self, at: int, text: str) -> None:
        row = self.rows[at % len(self.rows)]
        if row is not None and row not in self.texts:
            with pytest.raises(NoSuchRow):
                self.put(Append(text, row))
            return
        self.pieces[row] += text != "" and self.log.head > 0
        self.texts[row] = self.texts.get(row, "") + text
        self.put(Append(text, row))

    @rule(rows=st.lists(st.integers(0, ROWS - 1), max_size=8))
    def append_much(self, rows: list[int]) -> None:
        for at in rows:
            self.append(at, f"{self.log.head}".ljust(30_000))

    @precondition(lambda self: self.rows != (None,))
    @rule(at=st.integers(0, ROWS - 1))
    def remove(self, at: int) -> None:
        self.texts.pop(self.rows[at], None)
        self.pieces[self.rows[at]] = 0
        self.put(Removed(self.rows[at]))

    @rule(grows=st.booleans())
    def watch(self, grows: bool) -> None:
        self.readers.append(Reader(GROWS if grows else WHOLE, self.log.beginning()))

    @precondition(lambda self: self.readers)
    @rule(at=st.integers(0, 10), chunks=st.integers(1, 3))
    def read(self, at: int, chunks: int) -> None:
        reader = self.readers[at % len(self.readers)]
        for _ in range(chunks):
            reader.read(self.log)

    @precondition(lambda self: self.readers)
    @rule(at=st.integers(0, 10))
    def resume(self, at: int) -> None:
        reader = self.readers[at % len(self.readers)]
        if reader.cursor >= 0:
            cursor = self.log.resume(self.log.position_at(reader.cursor))
            reader.cursor = self.log.beginning() if cursor is None else cursor
            if cursor is None:
                reader.texts.clear()

    @precondition(lambda self: self.readers)
    @rule(at=st.integers(0, 10))
    def read_all(self, at: int) -> None:
        reader = self.readers[at % len(self.readers)]
        if self.log.head:
            assert reader.read_all(self.log) == self.texts

    @invariant()
    def sizes_are_counted(self) -> None:
        payloads = sum(len(each.payload) for each in self.log.entries())
        assert self.log.size == self.tally.size == payloads + 16 * sum(self.pieces.values())

    def teardown(self) -> None:
        for reader in [*self.readers, Reader(GROWS, self.log.beginning()), Reader(WHOLE, self.log.beginning())]:
            if self.log.head:
                assert reader.read_all(self.log) == self.texts


class TableMachine(Machine):
    """The same for the rows of a table."""

    kind = TABLE
    rows = (1, "b", 3, 4)


@pytest.mark.parametrize("machine", [Machine, TableMachine])
def test_readers_have_the_whole_text(machine: type[Machine]) -> None:
    """Whatever a reader has read before, at the head it has each text as it is."""
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=30))


@pytest.mark.parametrize("kind", [TEXT, TABLE])
def test_reader_gets_what_was_appended(kind: LogKind) -> None:
    """A reader that applies pieces gets each character once, and several pieces as one; others get the whole."""
    row = None if kind is TEXT else 1
    log = filled(kind, "begin " if row is None else {"id": 1, "text": "begin "})
    reader, other = Reader(GROWS, log.beginning()), Reader(WHOLE, log.beginning())
    read = 0
    for number in range(1_000):
        log.append(kind.values.taken(Append("0123456789", row)), log.head + 1, 0.0)
        if number % 10 == 0:
            read += len(log.read(reader.cursor, GROWS).data)
            assert reader.read_all(log) == other.read_all(log)
    assert reader.pieces == 99
    assert read < 2 * 10_000
    assert len(reader.texts[row]) == 6 + 9_910


@pytest.mark.parametrize("kind", [TEXT, TABLE])
def test_texts_are_bounded(kind: LogKind) -> None:
    """A text that has reached the bound does not grow, and nothing is changed."""
    kind = kind._replace(retention=kind.retention._replace(size=100))
    log = filled(kind, "x" * 70 if kind.values.row_of is None else {"id": 1, "text": "x" * 70})
    piece = kind.values.taken(Append("y" * 40, 1))
    log.append(piece, 2, 0.0)
    with pytest.raises(LogFull):
        log.append(piece, 3, 0.0)
    assert (log.head, log.entries()[0].payload.count(b"y")) == (2, 40)


@pytest.mark.parametrize("kind", [TEXT, TABLE])
def test_small_pieces_are_bounded(kind: LogKind) -> None:
    """The ends of pieces that a text remembers count in its bound; an empty piece adds nothing."""
    kind = kind._replace(retention=kind.retention._replace(size=100_000))
    log = filled(kind, "" if kind.values.row_of is None else {"id": 1, "text": ""})
    size, piece, empty = log.size, kind.values.taken(Append("x", 1)), kind.values.taken(Append("", 1))
    for _ in range(1000):
        log.append(empty, log.head + 1, 0.0)
    assert log.size == size
    with pytest.raises(LogFull):  # noqa: PT012 - it is one of these
        for _ in range(100_000):
            log.append(piece, log.head + 1, 0.0)
    assert log.entries()[0].payload.count(b"x") < 6_000


def test_readers_far_behind_get_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The places of a bounded number of pieces are remembered; a reader before them gets the whole text."""
    monkeypatch.setattr(growing, "_MARKS", 10)
    log = filled(TEXT, "begin ")
    early = Reader(GROWS, log.beginning())
    early.read_all(log)
    for _ in range(100):
        log.append(TEXT.values.taken(Append("x")), log.head + 1, 0.0)
    late = Reader(GROWS, log.head - 3, {None: "begin " + "x" * 97})
    assert early.read_all(log) == late.read_all(log) == {None: "begin " + "x" * 100}
    assert (early.pieces, late.pieces) == (0, 1)


def test_readers_at_the_same_place_share_bytes() -> None:
    """Readers at one cursor with one wire get the very same bytes, of a piece and of the whole."""
    log = filled(TEXT, "a", Append("b"), Append("c"))
    assert log.read(1, GROWS).data is log.read(1, GROWS).data
    assert log.read(1, WHOLE).data is log.read(2, WHOLE).data
    assert log.read(0, GROWS).data == b'["value", null, "abc"]\n'


@pytest.mark.parametrize("value", [{"id": 1, "text": 5}, {"id": 1}, [1]])
def test_row_without_text(value: Any) -> None:
    """A row whose growing field is not text is refused."""
    with pytest.raises((TypeError, KeyError)):
        TABLE.values.taken(value)


def test_copy_of_a_log_that_has_grown() -> None:
    """A copy that begins again, after a gap, gives readers the whole text."""
    log = TEXT.log("")
    log.begin(Position("e1", 5), [(5, Encoded(b"abc"))], 0.0)
    log.append_at(TEXT.values.taken(Append("d")), 7, 0.0)
    reader = Reader(GROWS, log.beginning())
    assert reader.read_all(log) == {None: "abcd"}
    log.begin(Position("e1", 12), [(12, Encoded(b"abcdefg"))], 0.0)
    assert reader.read_all(log) == {None: "abcdefg"}
    log.append_at(TEXT.values.taken(Append("h")), 13, 0.0)
    assert reader.read_all(log) == {None: "abcdefgh"}
    assert reader.pieces == 1
    assert log.resume(Position("e1", 12)) == log.head - 1


@pytest.mark.parametrize("begins", [False, True])
def test_reader_in_the_middle_of_a_table(begins: bool) -> None:
    """A reader that has read a part of the changes misses nothing of rows that have grown before and after that."""
    log = filled(TABLE, *({"id": row, "text": f"{row}"} for row in range(4)))
    reader = Reader(GROWS, log.beginning())
    if not begins:
        reader.read_all(log)
    grow = [(0, "a"), *((row, "x" * 40_000) for row in (1, 2)), (0, "b"), (3, "y" * 70_000)]
    for row, text in grow:
        log.append(TABLE.values.taken(Append(text, row)), log.head + 1, 0.0)
    reader.read(log)
    assert reader.cursor < 0
    log.append(TABLE.values.taken(Append("c", 0)), log.head + 1, 0.0)
    log.append(TABLE.values.taken(Append("z" * 70_000, 1)), log.head + 1, 0.0)
    reader.read(log)
    log.append(TABLE.values.taken(Append("d", 0)), log.head + 1, 0.0)
    texts = {entry.row: json.loads(entry.payload)["text"] for entry in log.entries()}
    assert reader.read_all(log) == texts
    assert texts[0] == "0abcd"
