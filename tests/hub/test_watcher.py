"""Watchers and audiences: who receives what, in which pieces, and the treatment of slow watchers."""

import asyncio
import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hub.stepping import BACKEND, running
from tests.hub.watching import WIRE, Client
from tests.lanes.turns import turns
from wirespeed.hub import watcher
from wirespeed.hub.clock import Clock, Pace
from wirespeed.hub.figures import Figures
from wirespeed.hub.watcher import BATCH, FIRST, Audience, Watcher
from wirespeed.log.base import Log, Marks, Removed, Wire
from wirespeed.log.cache import PIECE
from wirespeed.log.latest import LatestLog
from wirespeed.log.position import Position
from wirespeed.log.ring import RingLog
from wirespeed.log.table import TableLog
from wirespeed.surfaces.wires import RawWire

pytestmark = pytest.mark.anyio

ROOM = 16 * 1024 * 1024


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


def nobody(error: Exception, value: Any) -> None:
    """Expect no failure."""
    raise error


def ring(entries: int = 1000) -> RingLog:
    """Return a log of the last texts."""
    return RingLog("e", str.encode, entries=entries, size=ROOM, seconds=None)


def latest() -> LatestLog:
    """Return a log of the newest text."""
    return LatestLog("e", str.encode, nobody)


def table(rows: int = 100) -> TableLog:
    """Return a table of texts, whose rows are their first letters."""
    return TableLog(
        "e",
        encode=lambda text: b'"%b"' % text.encode(),
        failed=nobody,
        row_of=lambda text: text[0],
        rows=rows,
        size=ROOM,
    )


class Crowd:
    """An audience, with records of what its key does."""

    def __init__(
        self, log: Log, *, rate: int | None = None, skips: bool = False, burst: float = math.inf, loop: Any = None
    ) -> None:
        loop = loop or asyncio.get_running_loop()
        self.log = log
        self.clock = Clock(loop)
        self.pace = None if rate is None else Pace(loop, self.clock, rate)
        self.figures = Figures()
        self.audience = Audience(log, self.figures, self.clock, self.pace, skips=skips, burst=burst)

    def join(self, client: Client | None = None, wire: Wire = WIRE, cursor: int | None = None) -> Client:
        """Add a watcher."""
        client = client or Client()
        cursor = self.log.beginning() if cursor is None else cursor
        client.watcher = Watcher(client.lane, wire, client, cursor)
        self.audience.add(client.watcher)
        return client

    def publish(self, *values: Any) -> None:
        """Publish values."""
        for value in values:
            self.log.append(value, self.log.head + 1, 0.0)
            self.audience.news()


# Fan-out


@pytest.mark.parametrize("make", [ring, latest, table])
async def test_same_position_gets_the_same_bytes(make: Callable[[], Log]) -> None:
    """Watchers at one position share one bytes object, however many values it holds."""
    crowd = Crowd(make())
    clients = [crowd.join() for _ in range(2 * BATCH + 1)]
    crowd.publish("a", "b", "c")
    crowd.clock.flush()
    assert clients[0].values
    assert {id(piece) for client in clients for piece in client.lane.written} == {id(clients[0].lane.written[0])}


async def test_formats_have_bytes_of_their_own() -> None:
    """Each watcher receives its own format, in whatever order they come."""
    crowd = Crowd(ring())
    other = RawWire(0x2)
    clients = [crowd.join(wire=wire) for wire in (WIRE, other, WIRE, other)]
    crowd.publish("a")
    crowd.clock.flush()
    assert [client.lane.written for client in clients] == [[b"\x81\x01a"], [b"\x82\x01a"]] * 2


async def test_news_of_a_turn_is_one_write() -> None:
    """News between two rounds is written to each lane once, and counted."""
    crowd = Crowd(ring())
    clients = [crowd.join() for _ in range(3)]
    await turns(2)
    for _ in range(2):
        crowd.publish("a", "b", "c")
        await running().pass_time(1)
    assert [client.lane.pieces for client in clients] == [[["a", "b", "c"]] * 2] * 3
    figures = crowd.figures
    assert (figures.delivered, figures.flushes, figures.bytes) == (18, 6, 54)
    assert (figures.skipped, figures.lost) == (0, 0)


@pytest.mark.parametrize("rate", [None, 1])
async def test_newcomer_begins_at_once(rate: int | None) -> None:
    """A new watcher's first entries are written at once, even in the middle of a round; others are not written to."""
    crowd = Crowd(latest(), rate=rate)
    crowd.publish("a")
    first = crowd.join()
    second = crowd.join()
    assert (first.values, second.values) == (["a"], ["a"])
    await running().pass_time(2)
    assert (first.values, second.values) == (["a"], ["a"])


async def test_each_is_told_what_comes_after_its_cursor() -> None:
    """Watchers at different positions of one log each continue from their own."""
    crowd = Crowd(ring())
    crowd.publish(*"abcdef")
    clients = [crowd.join(cursor=cursor) for cursor in (0, 3, 6, 3)]
    crowd.publish("g")
    crowd.clock.flush()
    assert ["".join(client.values) for client in clients] == ["abcdefg", "defg", "g", "defg"]


# Slow watchers


async def test_lane_that_is_full_is_left_alone() -> None:
    """A full lane is not written to; when it has room again, its watcher receives all that it missed."""
    crowd = Crowd(ring())
    slow, quick = crowd.join(), crowd.join()
    slow.lane.block()
    for value in "abc":
        crowd.publish(value)
        await running().pass_time(1)
    assert (slow.lane.written, quick.values) == ([], ["a", "b", "c"])
    slow.lane.unblock()
    await running().pass_time(1)
    assert slow.lane.pieces == [["a", "b", "c"]]
    assert len(quick.lane.written) == 3


async def test_slow_watcher_skips_to_the_newest() -> None:
    """In a log of the newest value, older values are skipped, and counted."""
    crowd = Crowd(latest())
    client = crowd.join()
    crowd.publish("a")
    crowd.clock.flush()
    client.lane.block()
    crowd.publish("b", "c", "d")
    crowd.clock.flush()
    client.lane.unblock()
    crowd.clock.flush()
    assert client.values == ["a", "d"]
    assert (crowd.figures.skipped, crowd.figures.delivered) == (2, 2)


async def test_laggards_catch_up_in_pieces() -> None:
    """Watchers far behind receive pieces of about 64 KiB, as their lanes accept them, and share their bytes."""
    crowd = Crowd(ring())
    texts = [f"{number:04}" * 256 for number in range(400)]
    slow = [crowd.join(Client(room=1)) for _ in range(3)]
    for client in slow:
        client.lane.block()
    crowd.publish(*texts)
    crowd.clock.flush()
    assert [client.lane.written for client in slow] == [[], [], []]
    for client in slow:
        client.lane.unblock()
    await running().pass_time(5)
    for client in slow:
        assert client.values == texts
        assert len(client.lane.written) >= 400 * 1024 // (PIECE + 2048)
        assert all(len(piece) <= PIECE + 2048 for piece in client.lane.written)
        assert list(map(id, client.lane.written)) == list(map(id, slow[0].lane.written))


async def test_catching_up_keeps_nobody_waiting() -> None:
    """While one catches up, others receive their news between its pieces."""
    crowd = Crowd(ring())
    slow, quick = crowd.join(), crowd.join()
    slow.lane.block()
    texts = ["x" * PIECE for _ in range(10)]
    crowd.publish(*texts)
    crowd.clock.flush()
    written: list[str] = []
    for name, client in (("slow", slow), ("quick", quick)):
        client.lane._write = lambda frames, name=name: written.append(name)  # type: ignore[method-assign, misc]
    slow.lane.unblock()
    crowd.publish("news")
    crowd.clock.flush()
    assert written.index("quick") <= 2
    assert written.count("slow") >= 10


async def test_loss_closes_unless_it_is_allowed() -> None:
    """A watcher that has lost entries is over: its listener gets their number, and nothing more is written."""
    crowd = Crowd(ring(3))
    slow, quick = crowd.join(), crowd.join()
    slow.lane.block()
    for value in range(10):
        crowd.publish(str(value))
        crowd.clock.flush()
    slow.lane.unblock()
    await running().pass_time(1)
    assert (slow.told, slow.lane.written, quick.told, len(quick.values)) == ([7], [], [], 10)
    assert crowd.figures.lost == 7
    assert list(crowd.audience.watchers) == [quick.watcher]


async def test_loss_is_told_where_it_is_allowed() -> None:
    """A watcher that may skip learns how many entries it has lost, then continues with those in the log."""
    crowd = Crowd(ring(3), skips=True)
    slow = crowd.join()
    for round_ in range(2):
        slow.lane.block()
        for value in range(10):
            crowd.publish(str(value))
            crowd.clock.flush()
        slow.lane.unblock()
        crowd.clock.flush()
        assert slow.values[4 * round_ :] == ['{"lost":7}', "7", "8", "9"]
    assert (slow.told, crowd.figures.lost) == ([], 14)


async def test_table_that_has_forgotten_begins_anew() -> None:
    """A slow watcher of a table whose removals are forgotten gets a reset and the whole table."""
    crowd = Crowd(table(rows=2))
    slow = crowd.join()
    crowd.publish("a1", "b1")
    crowd.clock.flush()
    slow.lane.block()
    crowd.publish(Removed("a"), Removed("b"), "c1", Removed("c"), "d1")
    crowd.clock.flush()
    slow.lane.unblock()
    crowd.clock.flush()
    assert slow.values[2:] == ['{"reset":true}', '{"key":"d","value":"d1"}']
    assert slow.told == []


# Bursts


async def test_burst_is_written_inline() -> None:
    """A publisher that never suspends cannot outrun the log: news is written before it falls off."""
    crowd = Crowd(ring(10), burst=5)
    client = crowd.join()
    await turns(2)
    texts = [str(number) for number in range(1000)]
    crowd.publish(*texts[:4])
    assert client.values == []
    crowd.publish(texts[4])
    assert client.values == texts[:5]
    crowd.publish(*texts[5:])
    assert len(client.values) > 990
    await running().pass_time(1)
    assert client.values == texts
    assert crowd.figures.lost == 0


async def test_burst_counts_from_the_last_round() -> None:
    """An audience of an old log writes its first news in the next turn, like any other."""
    log = ring(10)
    for number in range(100):
        log.append(str(number), number + 1, 0.0)
    crowd = Crowd(log, burst=5)
    client = crowd.join(cursor=100)
    crowd.publish("a")
    assert client.values == []
    crowd.clock.flush()
    assert client.values == ["a"]


@pytest.mark.parametrize("rate", [None, 1])
async def test_audience_goes_on_after_a_burst(rate: int | None) -> None:
    """After inline writes, the clock or the rate serves the rest, and everything later."""
    crowd = Crowd(ring(10), burst=5, rate=rate)
    client = crowd.join()
    for _ in range(3):
        crowd.publish(*"abcdefg")
        await running().pass_time(3)
    assert "".join(client.values) == "abcdefg" * 3
    assert client.told == []


async def test_pace_of_an_audience() -> None:
    """A watcher with a rate is written to that often, with the newest value each time."""
    crowd = Crowd(latest(), rate=2)
    client = crowd.join()
    for number in range(100):
        crowd.publish(str(number))
        await running().pass_time(0.02)
    await running().pass_time(1)
    assert 4 <= len(client.lane.written) <= 6
    assert client.values[-1] == "99"


# Catching up out of turn


def catch_up(client: Client) -> None:
    """Write what was published before something else is sent to a client."""
    assert client.watcher is not None
    client.watcher.catch_up()


async def test_catching_up_is_for_one() -> None:
    """One watcher receives everything at once, and the others in their turn; none receives anything twice."""
    crowd = Crowd(ring())
    early, other = crowd.join(), crowd.join()
    crowd.publish("a", "b")
    catch_up(early)
    assert (early.lane.pieces, other.values) == ([["a", "b"]], [])
    crowd.publish("c")
    crowd.clock.flush()
    assert early.lane.pieces == [["a", "b"], ["c"]]
    assert other.lane.pieces == [["a", "b", "c"]]


async def test_catching_up_without_news() -> None:
    """There is nothing to write then."""
    crowd = Crowd(ring())
    client = crowd.join()
    crowd.publish("a")
    crowd.clock.flush()
    catch_up(client)
    assert client.lane.pieces == [["a"]]


async def test_catching_up_with_much() -> None:
    """All pieces are written, as far as the lane accepts them; the rest follows when it has room."""
    crowd = Crowd(ring())
    quick, slow = crowd.join(), crowd.join(Client(room=1))
    texts = [letter * PIECE for letter in "abc"]
    crowd.publish(*texts)
    catch_up(quick)
    catch_up(slow)
    assert (quick.values, slow.values) == (texts, texts[:1])
    await running().pass_time(1)
    assert (quick.values, slow.values) == (texts, texts)


async def test_catching_up_of_one_that_takes_nothing() -> None:
    """It is served later, as usual."""
    crowd = Crowd(ring())
    client = crowd.join()
    client.lane.block()
    crowd.publish("a")
    catch_up(client)
    await running().pass_time(1)
    assert client.values == []
    client.lane.unblock()
    await running().pass_time(1)
    assert client.values == ["a"]


async def test_catching_up_in_the_middle_of_a_round() -> None:
    """The round continues for all others, and has nothing more for the one."""
    crowd = Crowd(ring())
    clients = [crowd.join() for _ in range(BATCH + 3)]
    crowd.publish("a")
    crowd.audience.begin()
    assert crowd.audience.step()
    catch_up(clients[-1])
    assert clients[-1].values == ["a"]
    while crowd.audience.step():
        pass
    assert [client.lane.pieces for client in clients] == [[["a"]]] * (BATCH + 3)


async def test_catching_up_at_the_end() -> None:
    """A watcher that has read everything of a complete log is notified, once."""
    crowd = Crowd(ring())
    client = crowd.join()
    crowd.publish("a")
    crowd.audience.complete()
    catch_up(client)
    assert (client.values, client.told) == (["a"], ["complete"])
    catch_up(client)
    await running().pass_time(1)
    assert (client.values, client.told) == (["a"], ["complete"])


class Failing(Client):
    """A watcher that cannot take note of its end."""

    def completed(self) -> None:
        """Fail."""
        raise RuntimeError("no")


async def test_end_that_fails() -> None:
    """A watcher that fails at its end is counted once, and notified that it is not served."""
    crowd = Crowd(ring())
    failing, other = crowd.join(Failing()), crowd.join()
    crowd.audience.complete()
    crowd.clock.flush()
    assert (failing.told, other.told) == (["not served"], ["complete"])
    assert crowd.figures.watchers == 0


async def test_catching_up_with_what_is_lost() -> None:
    """Entries that fell off the log are reported here as well."""
    crowd, strict = Crowd(ring(3), skips=True), Crowd(ring(3))
    client, over = crowd.join(), strict.join()
    for each in (crowd, strict):
        each.publish(*"abcde")
    catch_up(client)
    catch_up(over)
    assert client.values == ['{"lost":2}', "c", "d", "e"]
    assert (over.values, over.told) == ([], [2])


class Nothing(RawWire):
    """A format that takes few entries at a time and makes almost no bytes: lanes always have room."""

    most = 10

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        return b"" if position.offset % 100 else super().value(payload, position, marks)


@pytest.mark.parametrize(("seconds", "read"), [(math.inf, 10 * FIRST), (0.0, 10)])
async def test_newcomer_far_behind_leaves_the_rest_to_the_clock(
    monkeypatch: pytest.MonkeyPatch, seconds: float, read: int
) -> None:
    """Many reads, or long ones, are not done in the turn in which a watcher comes; the clock does them in slices."""
    monkeypatch.setattr(watcher, "SLICE", seconds)
    crowd = Crowd(ring(1000))
    crowd.publish(*map(str, range(1000)))
    client = crowd.join(cursor=0, wire=Nothing(0x1))
    assert client.watcher is not None
    assert client.watcher.cursor == read
    crowd.clock.flush()
    assert client.watcher.cursor == 1000
    assert client.values == [str(number) for number in range(99, 1000, 100)]


@pytest.mark.parametrize(("seconds", "read"), [(math.inf, 1000), (0.0, 10 * FIRST)])
async def test_catching_up_with_what_is_not_wanted(monkeypatch: pytest.MonkeyPatch, seconds: float, read: int) -> None:
    """Reads that write nothing never fill a lane: after a slice of time, and some reads, the clock continues."""
    monkeypatch.setattr(watcher, "SLICE", seconds)
    crowd = Crowd(ring(1000))
    client = crowd.join(wire=Nothing(0x1))
    assert client.watcher is not None
    crowd.publish(*map(str, range(1000)))
    catch_up(client)
    assert client.watcher.cursor == read
    crowd.clock.flush()
    assert client.values == [str(number) for number in range(99, 1000, 100)]


async def test_long_reads_end_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watchers that need a read of their own are served for a slice of time; the others follow in the next steps."""
    monkeypatch.setattr(watcher, "SLICE", 0.0)
    crowd = Crowd(ring())
    clients = [crowd.join(wire=RawWire(0x1)) for _ in range(BATCH)]
    crowd.publish("a")
    crowd.audience.begin()
    for served in range(1, BATCH):
        assert crowd.audience.step()
        assert sum(client.values == ["a"] for client in clients) == served
    assert not crowd.audience.step()
    assert [client.lane.pieces for client in clients] == [[["a"]]] * BATCH


class Counting(RawWire):
    """A format without a message for a loss: the next value carries it."""

    def __init__(self, before: int = 0) -> None:
        super().__init__(0x1)
        self.before = before

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """Return the value, with the number lost just before it."""
        return super().value(b"%b after %d" % (payload, self.before), position, marks)

    def lost(self, count: int | None) -> bytes:
        """Return nothing."""
        return b""

    def after(self, lost: int, cursor: int) -> "Counting":
        """Report the loss with each value from now on."""
        return Counting(self.before + lost)


async def test_format_after_a_loss() -> None:
    """A format without a message for a loss is replaced by one that reports it, for the watcher with the loss."""
    crowd, wire = Crowd(ring(2), skips=True), Counting()
    slow, quick = crowd.join(wire=wire), crowd.join(wire=wire)
    slow.lane.block()
    for value in "abcd":
        crowd.publish(value)
        crowd.clock.flush()
    slow.lane.unblock()
    crowd.clock.flush()
    crowd.publish("e")
    crowd.clock.flush()
    assert slow.values == ["c after 2", "d after 2", "e after 2"]
    assert quick.values == [f"{value} after 0" for value in "abcde"]
    assert crowd.figures.lost == 2


async def test_format_without_losses() -> None:
    """A table that starts over, and one that is complete, keep their formats."""
    crowd, strict = Crowd(table(rows=2)), Crowd(ring(2))
    slow, over = crowd.join(), strict.join(wire=Counting())
    crowd.publish("a1")
    crowd.clock.flush()
    slow.lane.block()
    crowd.publish(Removed("a"), "b1", Removed("b"), "c1", Removed("c"), "d1")
    slow.lane.unblock()
    crowd.clock.flush()
    assert slow.watcher is not None
    assert slow.watcher.wire is WIRE
    wire = over.watcher and over.watcher.wire
    strict.publish(*"abcd")
    strict.clock.flush()
    assert over.told == [2]
    assert over.watcher is not None
    assert over.watcher.wire is wire


# The end


async def test_complete_is_told_after_everything() -> None:
    """Watchers that have read everything are notified at once, a slow one when it has; then no watcher is left."""
    crowd = Crowd(ring())
    slow, quick = crowd.join(Client(room=1)), crowd.join()
    slow.lane.block()
    crowd.publish("a", "b" * PIECE, "c")
    crowd.clock.flush()
    idle = crowd.join(cursor=3)
    crowd.audience.complete()
    await running().pass_time(1)
    assert (slow.told, quick.told, idle.told) == ([], ["complete"], ["complete"])
    slow.lane.unblock()
    await running().pass_time(5)
    assert (slow.values, slow.told) == (["a", "b" * PIECE, "c"], ["complete"])
    assert not crowd.audience.watchers


async def test_complete_is_told_with_the_last_news() -> None:
    """News just before the end is written before it."""
    crowd = Crowd(ring())
    client = crowd.join()
    client.completed = lambda: client.told.append(list(client.values))  # type: ignore[method-assign]
    crowd.publish("a")
    crowd.audience.complete()
    await running().pass_time(1)
    assert client.told == [["a"]]


async def test_newcomer_in_the_middle_of_a_round() -> None:
    """A round continues after a watcher that came in the middle of it."""
    crowd = Crowd(ring())
    clients = [crowd.join() for _ in range(BATCH + 3)]
    crowd.publish("a")
    crowd.audience.begin()
    assert crowd.audience.step()
    newcomer = crowd.join(cursor=0)
    assert newcomer.values == ["a"]
    while crowd.audience.step():
        pass
    assert [client.values for client in clients] == [["a"]] * (BATCH + 3)


async def test_who_leaves_is_told_nothing() -> None:
    """A watcher that has left is not written to, even in a round that has begun; the others are."""
    crowd = Crowd(ring())
    clients = [crowd.join() for _ in range(BATCH + 3)]
    crowd.publish("a")
    crowd.audience.begin()
    assert crowd.audience.step()
    gone = clients[BATCH + 1]
    assert gone.watcher is not None
    crowd.audience.remove(gone.watcher)
    gone.lane.unblock()
    crowd.clock.flush()
    assert [client.values for client in clients] == [[] if client is gone else ["a"] for client in clients]


async def test_leaving_twice() -> None:
    """A watcher that has left may leave again, have room, and catch up without effect."""
    crowd = Crowd(ring())
    gone, other = crowd.join(), crowd.join()
    assert gone.watcher is not None
    for _ in range(2):
        gone.watcher.leave()
        assert list(crowd.audience.watchers) == [other.watcher]
        assert gone.lane.on_writable is None
        gone.watcher.wake()
        gone.watcher.catch_up()
    crowd.publish("a")
    await running().pass_time(1)
    assert (gone.values, other.values) == ([], ["a"])


async def test_one_that_leaves_another_out() -> None:
    """A write that ends another watcher of the same round does no harm."""
    crowd = Crowd(ring())
    first, second, third = crowd.join(), crowd.join(), crowd.join()
    write = first.lane._write

    def leaving(frames: bytes) -> None:
        write(frames)
        assert second.watcher is not None
        crowd.audience.remove(second.watcher)

    first.lane._write = leaving  # type: ignore[method-assign]
    crowd.publish("a")
    crowd.clock.flush()
    assert (first.values, second.values, third.values) == (["a"], [], ["a"])


# A model of everything


class Model:
    """Clients of a log, and everything they receive, in any order of events."""

    KEPT: ClassVar[int] = 6

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.crowd = Crowd(ring(self.KEPT), skips=True, burst=3, loop=loop)
        self.clients = [self.crowd.join() for _ in range(3)]

    def do(self, action: str, argument: int) -> None:
        """Perform one action."""
        client = self.clients[argument % 3]
        if action == "publish":
            for _ in range(argument):
                self.crowd.publish(str(self.crowd.log.head + 1))
        elif action == "block":
            client.lane.block()
        elif action == "unblock":
            client.lane.unblock()
        elif action == "catch up":
            catch_up(client)
        else:
            self.crowd.clock.flush()

    def check(self) -> None:
        """Check that every client received each entry, or its loss, once and in order."""
        for client in self.clients:
            client.lane.unblock()
        self.crowd.clock.flush()
        for client in self.clients:
            at = 0
            for value in client.values:
                if value.startswith("{"):
                    at += int(value.removeprefix('{"lost":').removesuffix("}"))
                else:
                    at += 1
                    assert int(value) == at
            assert at == self.crowd.log.head


ACTIONS = st.tuples(st.sampled_from(["publish", "block", "unblock", "catch up", "turn"]), st.integers(0, 9))


@given(st.lists(ACTIONS, max_size=40))
def test_nothing_is_missing_without_a_word(actions: list[tuple[str, int]]) -> None:
    """Values arrive in order, each at most once, and every loss is reported."""
    loop = asyncio.new_event_loop()
    try:
        model = Model(loop)
        for action, argument in actions:
            model.do(action, argument)
        model.check()
    finally:
        loop.close()
