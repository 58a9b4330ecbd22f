"""The last entries: bounded, shared, and with every loss reported."""

from collections.abc import Iterable

import pytest

from tests.log.telling import Encoder, Telling, payloads, pieces
from wirespeed.log.base import Encoded, Marks
from wirespeed.log.cache import PIECE, Chunk, Tally
from wirespeed.log.position import Position
from wirespeed.log.ring import BLOCK, RingLog

MEGABYTE = 1 << 20


def ring(
    values: Iterable[str] = (), entries: int = 1000, size: int = 10 * MEGABYTE, seconds: float | None = None
) -> RingLog:
    """Return a log with some values, one per second from 1 on."""
    log = RingLog("e", Encoder(), entries=entries, size=size, seconds=seconds)
    for offset, value in enumerate(values, 1):
        log.append(value, offset, float(offset))
    return log


def held(log: RingLog) -> list[bytes]:
    """Return the payloads in a log."""
    return [entry.payload for entry in log.entries()]


def test_value_that_does_not_encode_is_not_appended() -> None:
    """The publisher gets the error, and the log is unchanged."""
    log = ring(["a"])
    with pytest.raises(ValueError, match="cannot encode bad"):
        log.append("bad", 2, 0.0)
    assert (log.head, log.size, held(log)) == (1, 1, [b"a"])
    log.append("b", 2, 0.0)
    assert payloads(log.read(0, Telling())) == [b"a", b"b"]


def test_encoder_that_appends_itself() -> None:
    """An offset is used once, even if the encoder of a value has published another one."""

    def encode(text: str) -> bytes:
        if text == "outer":
            log.append("inner", 1, 0.0)
        return text.encode()

    log = RingLog("e", encode, entries=10, size=100, seconds=None)
    with pytest.raises(ValueError, match="entry 1 cannot follow"):
        log.append("outer", 1, 0.0)
    log.append("next", 2, 0.0)
    assert [(entry.position.offset, entry.payload) for entry in log.entries()] == [(1, b"inner"), (2, b"next")]


def test_newest_is_the_last_entry() -> None:
    """The newest entry is available alone; an empty or expired log has none."""
    log = RingLog("e", str.encode, entries=10, size=100, seconds=5.0)
    assert log.newest() == []
    for offset, text in enumerate("abc", 1):
        log.append(text, offset, 0.0)
    assert log.newest() == log.entries()[-1:]
    log.expire(6.0)
    assert log.newest() == []


@pytest.mark.parametrize("entries", [3, 1000])
def test_slices(entries: int) -> None:
    """A slice has a maximum number of entries after a cursor, the oldest first; a negative number is an error."""
    log = ring("abcdef", entries=entries)
    first = 7 - len(log.entries())
    for cursor in range(-1, 9):
        expected = [(offset, "abcdef"[offset - 1].encode()) for offset in range(max(cursor + 1, first), 7)]
        for most in (-7, -1, 0, 1, 2, 100):
            got = [(entry.position.offset, entry.payload) for entry in log.since(cursor, most)]
            assert got == expected[: max(most, 0)]


def test_offset_out_of_order_is_refused() -> None:
    """An offset that is not above the newest one is an error, and nothing is appended."""
    log = ring(["a"])
    with pytest.raises(ValueError, match="entry 1 cannot follow entry 1"):
        log.append("b", 1, 0.0)
    assert held(log) == [b"a"]


def test_each_bound_holds_and_no_more_than_that() -> None:
    """Entries, bytes and seconds are bounded exactly; the newest entry may exceed the bytes."""
    assert held(ring("abcdef", entries=3)) == [b"d", b"e", b"f"]
    assert held(ring(["aaa", "bbb", "cc", "d"], size=6)) == [b"bbb", b"cc", b"d"]
    assert held(ring(["aaa", "bbb", "c" * 20], size=6)) == [b"c" * 20]
    assert held(ring("abcdef", seconds=2)) == [b"d", b"e", b"f"]


def test_expiry_drops_what_is_too_old() -> None:
    """Entries are dropped when they are older than the log's seconds; offsets continue."""
    log = ring("abc", seconds=2)
    log.expire(4.5)
    assert held(log) == [b"c"]
    log.expire(100)
    assert (held(log), log.size, log.beginning(5)) == ([], 0, 3)
    assert log.read(1, Telling()) == Chunk(b"", 3, 0, 0, 2)
    log.append("d", 4, 100.0)
    assert payloads(log.read(3, Telling())) == [b"d"]
    log = ring("abc")
    log.expire(1e9)
    assert held(log) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("fresh", [0, 1, 100])
@pytest.mark.parametrize("marked", [False, True])
def test_expiry_of_many(monkeypatch: pytest.MonkeyPatch, fresh: int, *, marked: bool) -> None:
    """Many entries that are too old are dropped together, but for a few; the others stay as they are."""
    dropped = 0

    def drop(log: RingLog) -> None:
        nonlocal dropped
        dropped += 1
        one_by_one(log)

    one_by_one = RingLog._drop
    monkeypatch.setattr(RingLog, "_drop", drop)
    given_ = Marks({"n": "1"}, None) if marked else None
    log = RingLog("e", str.encode, entries=10_000, size=10**6, seconds=10)
    for number in range(1, 1001 + fresh):
        log.append(Encoded(b"%d" % number, None, given_), number, 0.0 if number <= 1000 else 20.0)
    log.expire(20.0)
    expected = [(number, b"%d" % number, given_) for number in range(1001, 1001 + fresh)]
    assert [(each.position.offset, each.payload, each.marks) for each in log.entries()] == expected
    assert log.size == sum(len(payload) for _, payload, _ in expected)
    assert dropped < 100


def test_shrinking_keeps_the_newest() -> None:
    """A log can be shrunk once; its newest entry stays, whatever its size."""
    log = ring(["aaa", "bbb", "ccc"])
    log.shrink(7)
    assert (held(log), log.size) == ([b"bbb", b"ccc"], 6)
    log.shrink(-5)
    assert (held(log), log.size) == ([b"ccc"], 3)
    log.append("ddd", 4, 0.0)
    assert held(log) == [b"ccc", b"ddd"]


def test_losses_are_told() -> None:
    """A reader receives the remaining entries in order, and the number of lost ones."""
    log = ring("abcdef", entries=3)
    for cursor in range(7):
        chunk = log.read(cursor, Telling())
        assert payloads(chunk) == [b"d", b"e", b"f"][max(cursor - 3, 0) :]
        assert chunk[1:] == (6, len(payloads(chunk)), 0, max(3 - cursor, 0))


def test_beginning_is_now_or_the_last_few() -> None:
    """A new watcher receives as many of the last entries as it asks for, if they exist."""
    log = ring("abcdef", entries=3)
    assert [log.beginning(replay) for replay in (0, 1, 3, 100)] == [6, 5, 3, 3]
    assert [ring().beginning(replay) for replay in (0, 5)] == [0, 0]


@pytest.mark.parametrize(
    ("position", "cursor"),
    [(("e", 2), None), (("e", 3), 3), (("e", 6), 6), (("e", 7), None), (("f", 5), None), (("e", 0), None)],
)
def test_returning_watcher_reads_on_if_nothing_is_gone(position: tuple[str, int], cursor: int | None) -> None:
    """A position is valid if all entries since then are held, and lost otherwise."""
    assert ring("abcdef", entries=3).resume(Position(*position)) == cursor


def test_readers_at_one_place_share_bytes_and_work() -> None:
    """The same cursor, head and wire return the same object; nothing stale survives an append."""
    log, wire, other = ring("abc"), Telling(), Telling()
    first = log.read(1, wire)
    assert log.read(1, wire).data is first.data
    assert (log.read(1, other).data, wire.written, other.written) == (first.data, 2, 2)
    log.append("d", 4, 0.0)
    assert payloads(log.read(1, wire)) == [b"b", b"c", b"d"]


def test_losers_share_bytes_too() -> None:
    """Readers that lost different numbers of entries receive the same object, each with its own count."""
    log, wire = ring("abcdef", entries=3), Telling()
    chunks = [log.read(cursor, wire) for cursor in range(4)]
    assert len({id(chunk.data) for chunk in chunks}) == 1
    assert [chunk.lost for chunk in chunks] == [3, 2, 1, 0]


def test_laggards_fall_into_step() -> None:
    """Readers far behind reach the same edges within one block and then share each piece."""
    log, wire = ring(("x" * 1000 for _ in range(1000)), entries=1000), Telling()
    far = [pieces(log, cursor, wire) for cursor in (0, 3, 7)]
    assert {chunks[0].cursor for chunks in far} == {-(-BLOCK // 1000)}
    assert len({tuple(chunk.cursor for chunk in chunks) for chunks in far}) == 1
    second = [log.read(chunks[0].cursor, wire).data for chunks in far]
    assert second[0] is second[1] is second[2]


@pytest.mark.parametrize("overhead", [0, 5000])
@pytest.mark.parametrize("size", [0, 1, 1000, 3 * PIECE])
def test_pieces_are_bounded_and_complete(size: int, overhead: int) -> None:
    """Reading returns every entry once, in pieces of 64 KiB and the entry that fills them, for any wire."""
    log = ring((f"{number} ".ljust(size) for number in range(100)), size=100 * MEGABYTE)
    chunks = pieces(log, 0, Telling(overhead))
    assert [payload for chunk in chunks for payload in payloads(chunk)] == held(log)
    longest = max(len(Telling(overhead).value(payload, Position("e", 100))) for payload in held(log))
    assert max(len(chunk.data) for chunk in chunks) < PIECE + longest
    assert sum(chunk.entries for chunk in chunks) == 100


def test_what_fits_one_piece_is_not_cut() -> None:
    """A reader less than 64 KiB behind reaches the head at once."""
    many = PIECE // 1100
    for before in range(2 * many):
        log = ring(("x" * 1000 for _ in range(before + many)), entries=many)
        assert [chunk.cursor for chunk in pieces(log, before, Telling())] == [log.head]


def test_block_outlives_appends() -> None:
    """A piece that ends at an edge is made once, although the log grows."""
    log, wire = ring("x" * 1000 for _ in range(500)), Telling()
    first = log.read(3, wire).data
    log.append("y", 501, 0.0)
    assert log.read(3, wire).data is first


def test_many_readers_do_not_make_it_large() -> None:
    """The bytes cached for readers at different places are bounded."""

    class Wordy(Telling):
        """A wire that makes many bytes of few."""

        def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
            return b"x" * 600

    log, wire = ring("x" * 200 for _ in range(1000)), Wordy()
    total = sum(len(log.read(cursor, wire).data) for cursor in range(1000))
    ready = sum(len(chunk.data) for chunk in [*log._recent._chunks.values(), *log._blocks._chunks.values()])
    assert total > 20 * MEGABYTE
    assert ready < 2 * MEGABYTE


class Few(Telling):
    """A wire that is slow for each entry, and asks for few of them."""

    most = 32

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        self.written += 1
        return b""


@pytest.mark.parametrize("size", [1, 500])
def test_costly_wires_read_few_at_once(size: int) -> None:
    """The wire also bounds the work of one read; no entry is left out."""
    log, wire = ring("x" * size for _ in range(1000)), Few()
    cursor, reads = 0, 0
    while cursor < log.head:
        chunk = log.read(cursor, wire)
        assert (chunk.data, chunk.lost) == (b"", 0)
        assert chunk.cursor - cursor == chunk.entries <= 32
        cursor, reads = chunk.cursor, reads + 1
    assert wire.written == 1000
    assert reads >= 1000 / 32


def test_dropped_payloads_are_let_go() -> None:
    """A dropped entry is released before its slot is reused."""

    gone = []

    class Payload(bytes):
        """Bytes that report when they are released."""

        def __del__(self) -> None:
            gone.append(bytes(self))

    log = RingLog("e", Payload, entries=3, size=MEGABYTE, seconds=None)
    for offset, value in enumerate((b"a", b"b", b"c", b"d", b"e"), 1):
        log.append(value, offset, 0.0)
    assert gone == [b"a", b"b"]


def test_bytes_are_counted_with_those_of_other_logs() -> None:
    """The tally follows appends and drops; a log that is dropped releases its share."""
    tally = Tally()
    logs = [RingLog("e", Encoder(), tally, entries=2, size=MEGABYTE, seconds=None) for _ in range(2)]
    for log in logs:
        for offset, value in enumerate(("a", "bb", "ccc"), 1):
            log.append(value, offset, 0.0)
    assert (logs[0].size, tally.size) == (5, 10)
    logs[0].leave()
    logs[0].append("dddd", 4, 0.0)
    assert (logs[0].size, tally.size) == (7, 5)
