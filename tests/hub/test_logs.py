"""Logs of one process: the guarantees for readers and publishers, and bounds in number, bytes and time."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.hub.steps import SteppedLoop
from tests.lanes.turns import turns, until
from tests.log.telling import Encoder, Telling, Told, payloads, told
from wirespeed.errors import LogFull, TooManyLogs
from wirespeed.hub.logs import EMPTY_RETAIN, LocalLogs, LogReader
from wirespeed.log.base import Encoded, Log, Removed
from wirespeed.log.kinds import LogKind, Values
from wirespeed.log.position import Position, Unchanged
from wirespeed.log.record import Retention
from wirespeed.log.table import TableLog

pytestmark = pytest.mark.anyio

MEGABYTE = 1 << 20


def last(entries: int = 1000, retain: float = 60, seconds: float | None = None) -> LogKind:
    """Return logs of the last texts."""
    encode = Encoder()
    retention = Retention("last", entries=entries, seconds=seconds, size=MEGABYTE, retain=retain)
    return LogKind(retention, Values(encode=encode, failed=encode.failed))


def latest(retain: float = 60) -> LogKind:
    """Return logs of the newest text."""
    encode = Encoder()
    return LogKind(Retention("latest", retain=retain), Values(encode=encode, failed=encode.failed))


def by_row(rows: int = 10, retain: float = 60) -> LogKind:
    """Return logs of the newest text by first character."""
    encode = Encoder()
    retention = Retention("table", size=MEGABYTE, rows=rows, retain=retain)
    return LogKind(retention, Values(encode=encode, failed=encode.failed, row_of=lambda value: value[0]))


class Unheard(LogReader):
    """Opens a log and ignores its news."""

    def news(self) -> None:
        """Do nothing."""


UNHEARD = Unheard()


@contextmanager
def local(loop: Any = None, **bounds: int) -> Iterator[LocalLogs]:
    """Return logs of the running loop, or of another one."""
    logs = LocalLogs(loop or asyncio.get_running_loop(), **bounds)
    yield logs
    logs.clear()


@pytest.fixture
def loop() -> SteppedLoop:
    """Return a loop whose time the test controls."""
    return SteppedLoop()


async def publish(logs: LocalLogs, name: str, kind: LogKind, *values: Any) -> list[Position]:
    """Publish values; return their positions."""
    return [logs.publish(name, kind, value) for value in values]


class Reader(LogReader):
    """Opens a log, and reads on at each news."""

    def __init__(self) -> None:
        self.log: Log | None = None
        self.cursor = 0
        self.heads: list[int] = []
        self.seen: list[Told] = []

    async def open(self, logs: LocalLogs, name: str, kind: LogKind) -> Log:
        """Open a log and read what is retained."""
        self.log = await logs.open(name, kind, self)
        self.read(self.log)
        return self.log

    def news(self) -> None:
        """Note the head, and read."""
        if self.log is not None:
            self.heads.append(self.log.head)
            self.read(self.log)

    def read(self, log: Log) -> None:
        """Read up to the head."""
        while self.cursor < log.head:
            chunk = log.read(self.cursor, Telling())
            self.cursor = chunk.cursor
            self.seen += told(chunk.data)

    @property
    def texts(self) -> list[str]:
        """The texts that were read."""
        return [(each.payload or b"").decode() for each in self.seen]


async def test_positions_grow_by_one() -> None:
    """Publications of one name are numbered from 1 on, in one epoch; other names have epochs of their own."""
    with local() as logs:
        one = await publish(logs, "one", kind := last(), "a", "b", "c")
        other = await publish(logs, "other", kind, "d")
        one += await publish(logs, "one", kind, "e")
        assert [position.offset for position in one] == [1, 2, 3, 4]
        assert len({position.epoch for position in one}) == 1
        assert other[0].offset == 1
        assert other[0].epoch != one[0].epoch
        assert all(Position.parse(str(position)) == position for position in one)


async def test_open_has_what_is_retained() -> None:
    """Retained entries are in the log when it is opened, at their positions."""
    with local() as logs:
        positions = await publish(logs, "name", kind := last(entries=2), "a", "b", "c")
        log = await logs.open("name", kind, UNHEARD)
        assert [(each.position, each.payload) for each in log.entries()] == [
            (positions[1], b"b"),
            (positions[2], b"c"),
        ]
        assert log.read(0, Telling()).lost == 1


async def test_each_news_comes_after_its_entry() -> None:
    """A notified reader finds the entry in the log."""
    with local() as logs:
        reader = Reader()
        log = await reader.open(logs, "name", kind := last())
        assert (log.head, reader.heads) == (0, [])
        await publish(logs, "name", kind, "a", "b", "c")
        await until(lambda: len(reader.seen) == 3)
        assert reader.texts == ["a", "b", "c"]
        assert reader.heads[-1] == 3


@pytest.mark.parametrize("kind", [last(), latest(), by_row()])
async def test_all_kinds_travel(kind: LogKind) -> None:
    """Whatever a log keeps, its reader reaches the newest value."""
    with local() as logs:
        reader = Reader()
        await reader.open(logs, "name", kind)
        await publish(logs, "name", kind, "a1", "a2", "a3")
        await until(lambda: reader.cursor == 3)
        assert reader.texts[-1] == "a3"


@pytest.mark.parametrize("kind", [last(), latest(), by_row(), last(seconds=60)])
async def test_publisher_is_another_way_to_publish(kind: LogKind) -> None:
    """Values with and without a publisher form one log, in order; also after the log was closed."""
    with local() as logs:
        reader = Reader()
        log = await reader.open(logs, "name", kind)
        publish_one = logs.publisher("name", kind)
        publish_one("a1")
        await publish(logs, "name", kind, "a2")
        publish_one("a3")
        await until(lambda: reader.cursor == 3)
        assert (reader.texts[-1], log.head) == ("a3", 3)
        logs.close("name")
        publish_one("a4")
        await turns(3)
        again = Reader()
        assert (await again.open(logs, "name", kind)).epoch == log.epoch
        assert again.texts[-1] == "a4"


async def test_removal_through_a_publisher() -> None:
    """A publisher accepts removals, of present and of missing rows."""
    with local() as logs:
        reader, kind = Reader(), by_row()
        log = await reader.open(logs, "name", kind)
        publish_one = logs.publisher("name", kind)
        for value in ("a1", Removed("b"), Removed("a"), "c1"):
            publish_one(value)
        await until(lambda: reader.cursor == 3)
        assert [entry.row for entry in log.entries()] == ["c"]


async def test_nothing_is_missed_or_doubled_while_opening() -> None:
    """Publications that race an open arrive each once, in order, whether they were retained or are new."""
    with local() as logs:
        kind, reader = last(), Reader()

        async def publisher() -> None:
            for number in range(200):
                await publish(logs, "name", kind, str(number))
                await turns(number % 3)

        publishing = asyncio.create_task(publisher())
        await turns(20)
        await reader.open(logs, "name", kind)
        await publishing
        await until(lambda: reader.cursor == 200)
        assert reader.texts == [str(number) for number in range(200)]


async def test_publishers_keep_their_order() -> None:
    """Values of several publishers mix, each publisher's in its order, and all readers see the same."""
    with local() as logs:
        kind, reader = last(), Reader()
        await reader.open(logs, "name", kind)

        async def publisher(of: LocalLogs, letter: str) -> list[Position]:
            positions = []
            for number in range(50):
                positions += await publish(of, "name", kind, f"{letter}{number}")
                await turns(number % 4)
            return positions

        told_to = await asyncio.gather(*(publisher(of, x) for of, x in ((logs, "a"), (logs, "b"), (logs, "c"))))
        await until(lambda: reader.cursor == 150)
        for letter, positions in zip("abc", told_to, strict=True):
            seen = [each for each in reader.seen if (each.payload or b"").startswith(letter.encode())]
            assert [each.payload for each in seen] == [f"{letter}{number}".encode() for number in range(50)]
            assert [each.position for each in seen] == positions


async def test_closed_log_goes_on_in_its_epoch() -> None:
    """A log that is opened again in time has the values published meanwhile, and positions stay valid."""
    with local() as logs:
        kind, reader = last(), Reader()
        epoch = (await reader.open(logs, "name", kind)).epoch
        await publish(logs, "name", kind, "a")
        await until(lambda: reader.cursor == 1)
        logs.close("name")
        await publish(logs, "name", kind, "b", "c")
        assert reader.texts == ["a"]
        log = await logs.open("name", kind, UNHEARD)
        cursor = log.resume(Position(epoch, 1))
        assert cursor == 1
        assert payloads(log.read(cursor, Telling())) == [b"b", b"c"]


async def test_closed_log_tells_no_news() -> None:
    """After a close the opener is not notified any more; closing again has no effect."""
    with local() as logs:
        reader = Reader()
        await reader.open(logs, "name", kind := last())
        logs.close("name")
        logs.close("name")
        logs.close("never opened")
        await publish(logs, "name", kind, "a")
        await turns(5)
        assert reader.heads == []


async def test_name_is_open_once() -> None:
    """A second opener is an error, and the first one continues."""
    with local() as logs:
        reader = Reader()
        await reader.open(logs, "name", kind := last())
        with pytest.raises(ValueError, match="'name' is open already"):
            await logs.open("name", kind, UNHEARD)
        await publish(logs, "name", kind, "a")
        await until(lambda: reader.texts == ["a"])


async def test_end_begins_a_new_epoch() -> None:
    """After the end nothing of the old epoch is left, and offsets start over."""
    with local() as logs:
        before = await publish(logs, "name", kind := last(), "a", "b")
        logs.end("name")
        assert logs.find("name") is None
        after = await publish(logs, "name", kind, "c")
        assert after[0].offset == 1
        assert after[0].epoch != before[0].epoch
        log = await logs.open("name", kind, UNHEARD)
        assert [each.payload for each in log.entries()] == [b"c"]
        assert log.resume(before[1]) is None


async def test_open_log_does_not_end() -> None:
    """A log must be closed before its end; ending a missing log has no effect."""
    with local() as logs:
        reader = Reader()
        await reader.open(logs, "name", kind := last())
        with pytest.raises(ValueError, match="'name' is open"):
            logs.end("name")
        await publish(logs, "name", kind, "a")
        await until(lambda: reader.texts == ["a"])
        logs.close("name")
        logs.end("name")
        logs.end("name")
        assert logs.find("name") is None


async def test_value_that_does_not_encode_leaves_nothing() -> None:
    """The publisher gets the error; there is no entry, no news, no gap, and no new log."""
    with local() as logs:
        kind, reader = last(), Reader()
        with pytest.raises(ValueError, match="cannot encode bad"):
            await publish(logs, "name", kind, "bad")
        assert logs.find("name") is None
        await reader.open(logs, "name", kind)
        with pytest.raises(ValueError, match="cannot encode bad"):
            await publish(logs, "name", kind, "bad")
        assert [each.offset for each in await publish(logs, "name", kind, "a")] == [1]
        await until(lambda: reader.texts == ["a"])
        assert reader.heads == [1]


async def test_full_table_leaves_nothing() -> None:
    """A row too many is an error of its publisher, and affects nothing else."""
    with local() as logs:
        kind, reader = by_row(rows=1), Reader()
        await reader.open(logs, "name", kind)
        await publish(logs, "name", kind, "a1")
        with pytest.raises(LogFull):
            await publish(logs, "name", kind, "b1")
        await publish(logs, "name", kind, "a2")
        await until(lambda: reader.cursor == 2)
        assert reader.texts == ["a1", "a2"]


async def test_rows_are_removed() -> None:
    """A removal arrives like a value; removing a missing row changes nothing and returns the head."""
    with local() as logs:
        kind, reader = by_row(), Reader()
        await reader.open(logs, "name", kind)
        published = await publish(logs, "name", kind, "a1", "b1", Removed("a"))
        await until(lambda: reader.cursor == 3)
        assert [(each.row, each.payload) for each in reader.seen] == [("a", b"a1"), ("b", b"b1"), ("a", None)]
        heads = list(reader.heads)
        unchanged = await publish(logs, "name", kind, Removed("a"), Removed("x"))
        assert unchanged == [published[2]] * 2
        assert {*map(type, published)} == {Position}
        assert {*map(type, unchanged)} == {Unchanged}
        await turns(5)
        assert reader.heads == heads


async def test_history_needs_no_open() -> None:
    """Retained entries can be read whether the log is open or not, without opening it."""
    with local() as logs:
        kind = last()
        assert logs.find("name") is None
        positions = await publish(logs, "name", kind, "a", "b")
        log = logs.find("name")
        assert log is not None
        assert [each.position for each in log.entries()] == positions
        await logs.open("name", kind, UNHEARD)
        log = logs.find("name")
        assert log is not None
        assert [each.payload for each in log.entries()] == [b"a", b"b"]


def there(logs: LocalLogs, names: str) -> str:
    """Return the existing logs, named by letters."""
    return "".join([name for name in names if logs.find(name) is not None])


def held(logs: LocalLogs, name: str) -> list[bytes]:
    """Return the entries of a log."""
    log = logs.find(name)
    return [] if log is None else [each.payload for each in log.entries()]


async def test_unwatched_log_goes_after_its_time(loop: SteppedLoop) -> None:
    """A log is kept for its seconds after the last publication; then neither it nor a timer is left."""
    with local(loop) as logs:
        epoch = (await publish(logs, "a", kind := last(retain=10), "x"))[0].epoch
        loop.pass_time(9)
        assert (await publish(logs, "a", kind, "y"))[0] == (epoch, 2)
        loop.pass_time(9.5)
        assert held(logs, "a") == [b"x", b"y"]
        loop.pass_time(1)
        assert there(logs, "a") == ""
        assert loop.timers == []
        assert (await publish(logs, "a", kind, "z"))[0].epoch != epoch


@pytest.mark.parametrize("kind", [last(retain=10), latest(retain=10), by_row(retain=10)])
async def test_watched_log_stays(loop: SteppedLoop, kind: LogKind) -> None:
    """A log that is open is kept for as long as it is, and for its seconds after the close, or a later publication."""
    with local(loop) as logs:
        await publish(logs, "a", kind, "x")
        loop.pass_time(5)
        await logs.open("a", kind, UNHEARD)
        loop.pass_time(1000)
        assert loop.timers == []
        assert held(logs, "a") == [b"x"]
        logs.close("a")
        loop.pass_time(9)
        await logs.open("a", kind, UNHEARD)
        logs.close("a")
        loop.pass_time(9)
        position = (await publish(logs, "a", kind, "xx"))[0]
        loop.pass_time(9)
        assert position.offset == 2
        assert (held(logs, "a"))[-1:] == [b"xx"]
        loop.pass_time(1)
        assert there(logs, "a") == ""


async def test_log_without_retention_goes_at_once(loop: SteppedLoop) -> None:
    """A log without seconds of retention is dropped when it is closed."""
    with local(loop) as logs:
        await logs.open("a", kind := latest(retain=0), UNHEARD)
        await publish(logs, "a", kind, "x")
        logs.close("a")
        loop.pass_time(0)
        assert there(logs, "a") == ""


async def test_log_may_be_kept_for_ever(loop: SteppedLoop) -> None:
    """An infinite retention sets no timer and never ends."""
    with local(loop) as logs:
        await publish(logs, "a", last(retain=math.inf), "x")
        assert loop.timers == []
        loop.pass_time(1e9)
        assert there(logs, "a") == "a"


async def test_one_timer_serves_all_logs(loop: SteppedLoop) -> None:
    """A thousand logs, each with its own time, need one timer, and each goes in its time."""
    with local(loop) as logs:
        for number in range(1000):
            await publish(logs, str(number), last(retain=1 + (7 * number + 500) % 1000), "x")
            assert len(loop.timers) == 1
        loop.pass_time(500)
        kept = [number for number in range(1000) if logs.find(str(number)) is not None]
        assert kept == [number for number in range(1000) if 1 + (7 * number + 500) % 1000 > 500]
        loop.pass_time(501)
        assert loop.timers == []


async def test_ended_lives_leave_no_deadlines(loop: SteppedLoop) -> None:
    """The timer forgets logs that were ended long before their time."""
    with local(loop) as logs:
        kind = last(retain=1e6)
        for number in range(2000):
            await publish(logs, str(number), kind, "x")
            logs.end(str(number))
        assert len(logs._deadlines) < 200


async def test_new_life_has_its_whole_time(loop: SteppedLoop) -> None:
    """The deadline of an ended epoch does not shorten that of the next."""
    with local(loop) as logs:
        await publish(logs, "a", kind := last(retain=10), "x")
        loop.pass_time(8)
        logs.end("a")
        await publish(logs, "a", kind, "y")
        loop.pass_time(8)
        assert held(logs, "a") == [b"y"]
        loop.pass_time(2)
        assert there(logs, "a") == ""


async def test_old_entries_are_dropped_when_they_are_asked_for(loop: SteppedLoop) -> None:
    """Expired entries are in no history and in no opened log."""
    with local(loop) as logs:
        await publish(logs, "a", kind := last(seconds=10), "x")
        loop.pass_time(7)
        await publish(logs, "a", kind, "y")
        loop.pass_time(7)
        assert held(logs, "a") == [b"y"]
        loop.pass_time(7)
        log = await logs.open("a", kind, UNHEARD)
        assert log.entries() == []
        await publish(logs, "a", kind, "z")
        loop.pass_time(11)
        await publish(logs, "a", kind, "!")
        assert [each.payload for each in log.entries()] == [b"!"]


async def test_publishing_reads_the_time_only_where_it_matters(loop: SteppedLoop) -> None:
    """The clock is not read for a watched log without seconds."""
    with local(loop) as logs:
        await logs.open("a", plain := latest(), UNHEARD)
        await logs.open("b", timed := last(seconds=10), UNHEARD)
        await publish(logs, "a", plain, "w")
        loop.asked = 0
        await publish(logs, "a", plain, *"xyz")
        assert loop.asked == 0
        await publish(logs, "b", timed, *"xyz")
        assert loop.asked == 3


async def test_unwatched_logs_make_way_for_new_ones() -> None:
    """At their number, the log unused for longest goes; those that are watched stay."""
    with local(logs=3) as logs:
        kind = last()
        await logs.open("a", kind, UNHEARD)
        for name in "abcbd":
            await publish(logs, name, kind, "x")
        assert there(logs, "abcd") == "abd"
        await logs.open("e", kind, UNHEARD)
        assert there(logs, "abcde") == "abde"
        await publish(logs, "e", kind, "x")
        assert there(logs, "abcde") == "ade"
        logs.close("a")
        await publish(logs, "f", kind, "x")
        assert there(logs, "abcdef") == "aef"


async def test_watched_logs_are_bounded_in_number() -> None:
    """When all logs are watched, one more is refused to watchers and publishers, without other effects."""
    with local(logs=2) as logs:
        kind = last()
        for name in "ab":
            await logs.open(name, kind, UNHEARD)
            await publish(logs, name, kind, "x")
        with pytest.raises(TooManyLogs, match="at most 2"):
            await logs.open("c", kind, UNHEARD)
        with pytest.raises(TooManyLogs):
            await publish(logs, "c", kind, "x")
        await publish(logs, "a", kind, "x")
        assert there(logs, "abc") == "ab"
        logs.close("a")
        await logs.open("c", kind, UNHEARD)
        assert there(logs, "abc") == "abc"
        await publish(logs, "c", kind, "x")
        assert there(logs, "abc") == "bc"


async def test_failed_publication_costs_nobody_its_log() -> None:
    """A value that does not encode evicts no other log."""
    with local(logs=1) as logs:
        await publish(logs, "a", kind := last(), "x")
        with pytest.raises(ValueError, match="cannot encode"):
            await publish(logs, "b", kind, "bad")
        assert there(logs, "ab") == "a"


async def test_unwatched_logs_make_way_for_bytes() -> None:
    """At the limit of bytes, logs without watchers are evicted, the longest unused first."""
    with local(size=100) as logs:
        kind = last()
        await logs.open("a", kind, UNHEARD)
        for name in "bcd":
            await publish(logs, name, kind, "x" * 30)
        await publish(logs, "b", kind, "x")
        await publish(logs, "a", kind, "x" * 30)
        assert there(logs, "abcd") == "abd"
        await publish(logs, "a", kind, "y" * 60)
        assert there(logs, "abcd") == "a"
        assert held(logs, "a") == [b"x" * 30, b"y" * 60]


async def test_newest_values_make_way_for_bytes() -> None:
    """Newest values that no watcher reads count as well: logs are evicted for them."""
    with local(size=1000) as logs:
        for name in "abc":
            await publish(logs, name, latest(), "x" * 400)
        assert there(logs, "abc") == "bc"


async def test_watched_log_drops_its_own_oldest_for_bytes() -> None:
    """When all logs are watched, the growing one drops all but its newest entry."""
    with local(size=100) as logs:
        kind = last()
        for name in "ab":
            await logs.open(name, kind, UNHEARD)
        await publish(logs, "a", kind, "a" * 50)
        await publish(logs, "b", kind, "b" * 20, "c" * 20, "d" * 20)
        assert held(logs, "b") == [b"c" * 20, b"d" * 20]
        await publish(logs, "b", kind, "e" * 200)
        assert held(logs, "a") == [b"a" * 50]
        assert held(logs, "b") == [b"e" * 200]


async def test_unwatched_log_pays_for_itself() -> None:
    """The log that is published to is not evicted, even without watchers: it drops its own oldest entries."""
    with local(size=100) as logs:
        await publish(logs, "a", last(), "a" * 60, "b" * 60)
        assert held(logs, "a") == [b"b" * 60]


async def test_bytes_of_logs_that_are_gone_do_not_count() -> None:
    """Ended and expired logs release their bytes."""
    with local(size=100) as logs:
        kind = last()
        await logs.open("z", kind, UNHEARD)
        await publish(logs, "z", kind, "z" * 20)
        for _ in range(5):
            await publish(logs, "a", kind, "a" * 70)
            logs.end("a")
        await publish(logs, "z", kind, "y" * 70)
        assert held(logs, "z") == [b"z" * 20, b"y" * 70]


async def test_unwatched_table_keeps_no_tombstones() -> None:
    """Rows that come and go without watchers leave nothing behind, and neither does the last watcher."""
    with local() as logs:
        kind = by_row(rows=100)
        log = await logs.open("a", kind, UNHEARD)
        assert isinstance(log, TableLog)
        await publish(logs, "a", kind, "a1", "b1", Removed("a"), Removed("b"))
        assert log.tombstones == 2
        logs.close("a")
        assert log.tombstones == 0
        await publish(logs, "a", kind, "c1", Removed("c"))
        assert (log.head, log.tombstones) == (6, 0)


async def test_removal_of_the_first_row_makes_no_entry() -> None:
    """A removal from an empty table leaves a log without entries."""
    with local() as logs:
        position = (await publish(logs, "a", kind := by_row(), Removed("x")))[0]
        log = await logs.open("a", kind, UNHEARD)
        assert position == (log.epoch, 0)
        assert log.head == 0


@pytest.mark.parametrize("kind", [last(), latest(), by_row()])
async def test_only_publications_push_out_logs(kind: LogKind) -> None:
    """Requests for unknown keys, and removals of missing rows, evict no entries of other logs."""
    with local(logs=2) as logs:
        for name in "ab":
            await publish(logs, name, kind, "x")
        for name in "cdef":
            await logs.open(name, kind, UNHEARD)
            logs.close(name)
            logs.find(name)
            await publish(logs, name.upper(), kind, Removed("x")) if kind.retention.kind == "table" else None
        assert there(logs, "ab") == "ab"
        assert len(logs._logs) <= 4  # of the empty ones, as many as of others


async def test_loads_push_out_only_what_can_be_loaded_again() -> None:
    """At either limit, a load makes loaded logs go that are idle and not complete; without one, it is refused."""
    kind = last()
    with local(logs=3) as logs:
        await publish(logs, "p", kind, "x")
        for name in "abc":
            logs.load(name, kind, [Encoded(b"x")])
        assert there(logs, "pabc") == "pbc"
        logs.load("b", kind, [Encoded(b"y")])
        await logs.open("b", kind, UNHEARD)
        logs.complete("c", kind)
        with pytest.raises(TooManyLogs):
            logs.load("d", kind, [Encoded(b"x")])
        logs.load("c", kind, [Encoded(b"y")])
        logs.close("b")
        logs.load("d", kind, [Encoded(b"x")])
        assert there(logs, "pabcd") == "pcd"
        await publish(logs, "q", kind, "x")
        assert there(logs, "pcdq") == "cdq"
    with local(size=100) as logs:
        await publish(logs, "p", kind, "x" * 60)
        for name in "ab":
            logs.load(name, kind, [Encoded(b"x" * 30)])
        assert there(logs, "pab") == "pb"


@pytest.mark.parametrize("retain", [5.0, math.inf])
async def test_empty_logs_are_returned_to(loop: SteppedLoop, retain: float) -> None:
    """A watcher that came before the first entry receives what came since, for a while, in the same epoch."""
    with local(loop) as logs:
        kind = last(retain=retain)
        epoch = (await logs.open("a", kind, UNHEARD)).epoch
        logs.close("a")
        await publish(logs, "a", kind, "x")
        log = await logs.open("a", kind, UNHEARD)
        assert (log.epoch, log.resume(Position(epoch, 0))) == (epoch, 0)
        await logs.open("b", kind, UNHEARD)
        logs.close("b")
        loop.pass_time(min(retain, EMPTY_RETAIN) + 1)
        assert there(logs, "b") == ""


async def test_cleared_logs_hold_nothing(loop: SteppedLoop) -> None:
    """After a clear there are no logs and no timers; closing and ending have no effect."""
    with local(loop) as logs:
        await logs.open("a", kind := last(), UNHEARD)
        await publish(logs, "b", kind, "x")
    assert loop.timers == []
    assert there(logs, "ab") == ""
    logs.close("a")
    logs.end("a")
