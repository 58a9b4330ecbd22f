"""The memory broker: the contract, and that its memory is bounded in number, bytes and time."""

import math

import pytest

from tests.brokers.contract import BrokerContract, by_row, last, latest, publish, unheard
from tests.brokers.stepping import SteppedLoop, step_brokers
from wirespeed.brokers.memory import EMPTY_RETAIN, MemoryBroker
from wirespeed.errors import TooManyLogs
from wirespeed.log.base import Removed
from wirespeed.log.keep import Keep, Table
from wirespeed.log.position import Position
from wirespeed.log.table import TableLog

pytestmark = pytest.mark.anyio


class TestMemoryBroker(BrokerContract):
    """The contract."""

    def broker(self) -> MemoryBroker:
        return MemoryBroker()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> SteppedLoop:
    """The broker's loop."""
    return step_brokers(monkeypatch)


async def there(broker: MemoryBroker, keep: Keep, names: str) -> str:
    """Which of the logs, named by letters, there are."""
    return "".join([name for name in names if await broker.history(name, keep) is not None])


async def held(broker: MemoryBroker, keep: Keep, name: str) -> list[bytes]:
    """What a log holds."""
    log = await broker.history(name, keep)
    return [] if log is None else [each.payload for each in log.entries()]


async def test_unwatched_log_goes_after_its_time(loop: SteppedLoop) -> None:
    """A log is kept for its seconds after the last publication, then nothing is left of it, and no timer."""
    async with MemoryBroker() as broker:
        epoch = (await publish(broker, "a", keep := last(retain=10), "x"))[0].epoch
        loop.pass_time(9)
        assert (await publish(broker, "a", keep, "y"))[0] == (epoch, 2)
        loop.pass_time(9.5)
        assert await held(broker, keep, "a") == [b"x", b"y"]
        loop.pass_time(1)
        assert await there(broker, keep, "a") == ""
        assert loop.timers == []
        assert (await publish(broker, "a", keep, "z"))[0].epoch != epoch


@pytest.mark.parametrize("keep", [last(retain=10), latest(retain=10), by_row(retain=10)])
async def test_watched_log_stays(loop: SteppedLoop, keep: Keep) -> None:
    """A log that is open is kept for as long as it is, and for its seconds after the close, or a later publication."""
    async with MemoryBroker() as broker:
        await publish(broker, "a", keep, "x")
        loop.pass_time(5)
        await broker.open("a", keep, unheard)
        loop.pass_time(1000)
        assert loop.timers == []
        assert await held(broker, keep, "a") == [b"x"]
        broker.close("a")
        loop.pass_time(9)
        await broker.open("a", keep, unheard)
        broker.close("a")
        loop.pass_time(9)
        position = (await publish(broker, "a", keep, "xx"))[0]
        loop.pass_time(9)
        assert position.offset == 2
        assert (await held(broker, keep, "a"))[-1:] == [b"xx"]
        loop.pass_time(1)
        assert await there(broker, keep, "a") == ""


async def test_log_without_retention_goes_at_once(loop: SteppedLoop) -> None:
    """With no seconds to be kept, a log is gone with the close."""
    async with MemoryBroker() as broker:
        await broker.open("a", keep := latest(retain=0), unheard)
        await publish(broker, "a", keep, "x")
        broker.close("a")
        loop.pass_time(0)
        assert await there(broker, keep, "a") == ""


async def test_log_may_be_kept_for_ever(loop: SteppedLoop) -> None:
    """An infinite retention sets no timer and ends never."""
    async with MemoryBroker() as broker:
        await publish(broker, "a", keep := last(retain=math.inf), "x")
        assert loop.timers == []
        loop.pass_time(1e9)
        assert await there(broker, keep, "a") == "a"


async def test_one_timer_serves_all_logs(loop: SteppedLoop) -> None:
    """A thousand logs, each with its own time, need one timer, and each goes in its time."""
    async with MemoryBroker() as broker:
        for number in range(1000):
            await publish(broker, str(number), last(retain=1 + (7 * number + 500) % 1000), "x")
            assert len(loop.timers) == 1
        loop.pass_time(500)
        kept = [number for number in range(1000) if await broker.history(str(number), last()) is not None]
        assert kept == [number for number in range(1000) if 1 + (7 * number + 500) % 1000 > 500]
        loop.pass_time(501)
        assert loop.timers == []


async def test_ended_lives_leave_no_deadlines(loop: SteppedLoop) -> None:
    """Logs that were ended long before their time are forgotten by the timer, too."""
    async with MemoryBroker() as broker:
        keep = last(retain=1e6)
        for number in range(2000):
            await publish(broker, str(number), keep, "x")
            broker.end(str(number))
        assert len(broker._deadlines) < 200


async def test_new_life_has_its_whole_time(loop: SteppedLoop) -> None:
    """The deadline of a life that was ended does not shorten that of the next."""
    async with MemoryBroker() as broker:
        await publish(broker, "a", keep := last(retain=10), "x")
        loop.pass_time(8)
        broker.end("a")
        await publish(broker, "a", keep, "y")
        loop.pass_time(8)
        assert await held(broker, keep, "a") == [b"y"]
        loop.pass_time(2)
        assert await there(broker, keep, "a") == ""


async def test_old_entries_are_dropped_when_they_are_asked_for(loop: SteppedLoop) -> None:
    """What has become too old is in no history and in no log that is opened."""
    async with MemoryBroker() as broker:
        await publish(broker, "a", keep := last(seconds=10), "x")
        loop.pass_time(7)
        await publish(broker, "a", keep, "y")
        loop.pass_time(7)
        assert await held(broker, keep, "a") == [b"y"]
        loop.pass_time(7)
        log = await broker.open("a", keep, unheard)
        assert log.entries() == []
        await publish(broker, "a", keep, "z")
        loop.pass_time(11)
        await publish(broker, "a", keep, "!")
        assert [each.payload for each in log.entries()] == [b"!"]


async def test_publishing_reads_the_time_only_where_it_matters(loop: SteppedLoop) -> None:
    """The clock is not looked at for a watched log without seconds."""
    async with MemoryBroker() as broker:
        await broker.open("a", plain := latest(), unheard)
        await broker.open("b", timed := last(seconds=10), unheard)
        await publish(broker, "a", plain, "w")
        loop.asked = 0
        await publish(broker, "a", plain, *"xyz")
        assert loop.asked == 0
        await publish(broker, "b", timed, *"xyz")
        assert loop.asked == 3


async def test_unwatched_logs_make_way_for_new_ones() -> None:
    """At their number, the log unused for longest goes; those that are watched stay."""
    async with MemoryBroker(logs=3) as broker:
        keep = last()
        await broker.open("a", keep, unheard)
        for name in "abcbd":
            await publish(broker, name, keep, "x")
        assert await there(broker, keep, "abcd") == "abd"
        await broker.open("e", keep, unheard)
        assert await there(broker, keep, "abcde") == "abde"
        await publish(broker, "e", keep, "x")
        assert await there(broker, keep, "abcde") == "ade"
        broker.close("a")
        await publish(broker, "f", keep, "x")
        assert await there(broker, keep, "abcdef") == "aef"


async def test_watched_logs_are_bounded_in_number() -> None:
    """When all logs are watched, one more is refused to watchers and publishers, and nothing else happens."""
    async with MemoryBroker(logs=2) as broker:
        keep = last()
        for name in "ab":
            await broker.open(name, keep, unheard)
            await publish(broker, name, keep, "x")
        with pytest.raises(TooManyLogs, match="at most 2"):
            await broker.open("c", keep, unheard)
        with pytest.raises(TooManyLogs):
            await publish(broker, "c", keep, "x")
        await publish(broker, "a", keep, "x")
        assert await there(broker, keep, "abc") == "ab"
        broker.close("a")
        await broker.open("c", keep, unheard)
        assert await there(broker, keep, "abc") == "abc"
        await publish(broker, "c", keep, "x")
        assert await there(broker, keep, "abc") == "bc"


async def test_failed_publication_costs_nobody_its_log() -> None:
    """A value that does not encode makes no room for a log that it does not get."""
    async with MemoryBroker(logs=1) as broker:
        await publish(broker, "a", keep := last(), "x")
        with pytest.raises(ValueError, match="cannot encode"):
            await publish(broker, "b", keep, "bad")
        assert await there(broker, keep, "ab") == "a"


async def test_unwatched_logs_make_way_for_bytes() -> None:
    """At their bytes, logs that nobody watches go, the one unused for longest first, before anyone else loses any."""
    async with MemoryBroker(size=100) as broker:
        keep = last()
        await broker.open("a", keep, unheard)
        for name in "bcd":
            await publish(broker, name, keep, "x" * 30)
        await publish(broker, "b", keep, "x")
        await publish(broker, "a", keep, "x" * 30)
        assert await there(broker, keep, "abcd") == "abd"
        await publish(broker, "a", keep, "y" * 60)
        assert await there(broker, keep, "abcd") == "a"
        assert await held(broker, keep, "a") == [b"x" * 30, b"y" * 60]


async def test_watched_log_drops_its_own_oldest_for_bytes() -> None:
    """When all logs are watched, the one that grows pays for it, with all but its newest entry."""
    async with MemoryBroker(size=100) as broker:
        keep = last()
        for name in "ab":
            await broker.open(name, keep, unheard)
        await publish(broker, "a", keep, "a" * 50)
        await publish(broker, "b", keep, "b" * 20, "c" * 20, "d" * 20)
        assert await held(broker, keep, "b") == [b"c" * 20, b"d" * 20]
        await publish(broker, "b", keep, "e" * 200)
        assert await held(broker, keep, "a") == [b"a" * 50]
        assert await held(broker, keep, "b") == [b"e" * 200]


async def test_unwatched_log_pays_for_itself() -> None:
    """The log that is published to does not go, even if nobody watches it: it drops its own oldest."""
    async with MemoryBroker(size=100) as broker:
        await publish(broker, "a", keep := last(), "a" * 60, "b" * 60)
        assert await held(broker, keep, "a") == [b"b" * 60]


async def test_bytes_of_logs_that_are_gone_do_not_count() -> None:
    """Ended and expired logs give their bytes back."""
    async with MemoryBroker(size=100) as broker:
        keep = last()
        await broker.open("z", keep, unheard)
        await publish(broker, "z", keep, "z" * 20)
        for _ in range(5):
            await publish(broker, "a", keep, "a" * 70)
            broker.end("a")
        await publish(broker, "z", keep, "y" * 70)
        assert await held(broker, keep, "z") == [b"z" * 20, b"y" * 70]


async def test_unwatched_table_keeps_no_tombstones() -> None:
    """Rows that come and go while nobody watches leave nothing behind, and neither does the last watcher."""
    async with MemoryBroker() as broker:
        keep = by_row(rows=100)
        log = await broker.open("a", keep, unheard)
        assert isinstance(log, TableLog)
        await publish(broker, "a", keep, "a1", "b1", Removed("a"), Removed("b"))
        assert log.tombstones == 2
        broker.close("a")
        assert log.tombstones == 0
        await publish(broker, "a", keep, "c1", Removed("c"))
        assert (log.head, log.tombstones) == (6, 0)


async def test_removal_of_the_first_row_makes_no_entry() -> None:
    """A removal from a table that nobody has published to is at the beginning of a log without entries."""
    async with MemoryBroker() as broker:
        position = (await publish(broker, "a", keep := by_row(), Removed("x")))[0]
        log = await broker.open("a", keep, unheard)
        assert position == (log.epoch, 0)
        assert log.head == 0


@pytest.mark.parametrize("keep", [last(), latest(), by_row()])
async def test_only_publications_push_out_logs(keep: Keep) -> None:
    """Keys that clients ask for, and removals of rows that are not there, leave the entries of others alone."""
    async with MemoryBroker(logs=2) as broker:
        for name in "ab":
            await publish(broker, name, keep, "x")
        for name in "cdef":
            await broker.open(name, keep, unheard)
            broker.close(name)
            await broker.history(name, keep)
            await publish(broker, name.upper(), keep, Removed("x")) if isinstance(keep, Table) else None
        assert await there(broker, keep, "ab") == "ab"
        assert len(broker._logs) <= 4  # of the empty ones, as many as of others


@pytest.mark.parametrize("retain", [5.0, math.inf])
async def test_empty_logs_are_returned_to(loop: SteppedLoop, retain: float) -> None:
    """A watcher that was there before the first entry finds what came since, for a while; in the same epoch."""
    async with MemoryBroker() as broker:
        keep = last(retain=retain)
        epoch = (await broker.open("a", keep, unheard)).epoch
        broker.close("a")
        await publish(broker, "a", keep, "x")
        log = await broker.open("a", keep, unheard)
        assert (log.epoch, log.resume(Position(epoch, 0))) == (epoch, 0)
        await broker.open("b", keep, unheard)
        broker.close("b")
        loop.pass_time(min(retain, EMPTY_RETAIN) + 1)
        assert await there(broker, keep, "b") == ""


async def test_broker_that_is_left_holds_nothing(loop: SteppedLoop) -> None:
    """After the exit there are no logs and no timers, and publishing is an error; closing does nothing."""
    async with MemoryBroker() as broker:
        await broker.open("a", keep := last(), unheard)
        await publish(broker, "b", keep, "x")
    assert loop.timers == []
    assert await there(broker, keep, "ab") == ""
    broker.close("a")
    broker.end("a")
    with pytest.raises(RuntimeError, match="not running"):
        await publish(broker, "a", keep, "x")
