"""The contract of every broker, as tests: a test module subclasses :class:`BrokerContract` and makes the brokers."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from itertools import count

import pytest

from tests.brokers.recorder import Recorder
from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.brokers.broker import Broker, Claim, Lease, Post, Range, Stored
from wirespeed.brokers.cluster import Control, MemberStore, StoredMember
from wirespeed.errors import BrokerDown, Fenced, LogFull, NoSuchRow, TopicComplete
from wirespeed.log.position import Position, Unchanged
from wirespeed.log.record import Record, Retention

LAST = Retention("last", entries=1000, size=1 << 20, retain=60.0)
LATEST = Retention("latest", retain=60.0)
GROWING = LATEST._replace(size=1 << 20)
TABLE = Retention("table", rows=10, size=1 << 20, retain=60.0)


def records(*texts: str) -> list[Record]:
    """Return records of texts; ``"row=text"`` is one of a row, ``"row="`` removes it, and a + makes a text a piece."""
    return [_record(*text.partition("=")) for text in texts]


def of(retention: Retention, text: str) -> str:
    """Return the text of a record: that of a row in a table."""
    return f"row={text}" if retention.kind == "table" else text


def _record(before: str, sign: str, after: str) -> Record:
    text, row = (after, b'"%s"' % before.encode()) if sign else (before, None)
    return Record(text.removeprefix("+").encode() or None, row, grows=text.startswith("+"))


class Process:
    """One process of an app: a broker, and the name under which it publishes."""

    def __init__(self, broker: Broker, writer: str) -> None:
        self.broker = broker
        self._writer = writer
        self._batches = count(1)

    def post(self, name: str, retention: Retention, *texts: str, fence: str | None = None) -> Post:
        """Return a post of some records."""
        return Post(name, retention, records(*texts), self._writer, next(self._batches), fence)

    async def publish(self, name: str, retention: Retention, *texts: str) -> Sequence[Stored]:
        """Publish records as one post, and return their results."""
        return (await self.broker.publish([self.post(name, retention, *texts)]))[0]

    async def claim(
        self, name: str, token: str, seconds: float = 60.0, *, is_watched: bool = True, renews: bool = False
    ) -> Lease:
        """Claim the lease of a log.

        Raises:
            BrokerDown: It is unknown whether it is held.
        """
        assert self.broker.leases is not None
        (lease,) = await self.broker.leases.claim([Claim(name, token, seconds, is_watched, renews)])
        if lease is None:
            raise BrokerDown
        return lease

    async def release(self, name: str, token: str, *, forgets: bool = False) -> None:
        """Free the lease of a log."""
        assert self.broker.leases is not None
        await self.broker.leases.release(name, token, forgets=forgets)

    async def attach(self, name: str, retention: Retention, since: Position | None = None) -> Recorder:
        """Attach a replica that checks the calls that it gets."""
        recorder = Recorder(None, retention)
        recorder.at = since
        await self.broker.attach(name, retention, recorder, since)
        return recorder


class BrokerContract(ABC):
    """The guarantees of :class:`Broker`, for two processes that share their logs."""

    pytestmark = pytest.mark.anyio

    @abstractmethod
    def processes(self) -> AbstractAsyncContextManager[tuple[Process, Process]]:
        """Return two processes, connected as long as this is entered; there are no logs."""

    @abstractmethod
    async def stop(self) -> None:
        """Make the broker unreachable, without losing its logs."""

    @abstractmethod
    async def start(self) -> None:
        """Make the broker reachable, and wait until all processes are connected."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let time pass at the server."""

    async def test_positions_grow(self) -> None:
        """Records of one log are numbered upwards in one epoch; other logs have epochs of their own."""
        async with self.processes() as (one, two):
            results = [*await one.publish("a", LAST, "1", "2"), *await two.publish("a", LAST, "3")]
            other = await two.publish("b", LAST, "4")
            positions = [each for each in results if isinstance(each, Position)]
            assert [each.offset for each in positions] == sorted({each.offset for each in positions})
            assert len(positions) == 3
            assert len({each.epoch for each in positions}) == 1
            assert isinstance(other[0], Position)
            assert other[0].epoch != positions[0].epoch
            assert all(Position.parse(str(each)) == each for each in positions)

    async def test_replica_begins_with_what_is_retained(self) -> None:
        """A replica begins with the retained records, at the positions that their publisher got."""
        async with self.processes() as (one, two):
            results = await one.publish("a", LAST._replace(entries=2), "1", "2", "3")
            replica = await two.attach("a", LAST._replace(entries=2))
            assert replica.payloads() == [b"2", b"3"]
            assert replica.positions() == results[1:]
            assert (replica.at, replica.begins) == (results[-1], 1)

    async def test_log_without_records_has_an_epoch(self) -> None:
        """A replica of a log that does not exist begins before the first record; the log continues from there."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            assert replica.at is not None
            begun = replica.at
            results = await one.publish("a", LAST, "1")
            await until(lambda: replica.entries)
            assert (begun, replica.begins) == (Position(replica.at.epoch, 0), 1)
            assert replica.positions() == results

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_all_replicas_are_equal(self, retention: Retention) -> None:
        """Every process with the log attached gets all records in one order, its own included."""
        async with self.processes() as (one, two):
            replicas = [await each.attach("a", retention) for each in (one, two)]
            results: list[Stored] = []
            for number in range(20):
                results += await (one, two)[number % 2].publish("a", retention, f"r{number % 3}={number}")
            await until(lambda: all(replica.at == results[-1] for replica in replicas))
            assert replicas[0].entries == replicas[1].entries
            assert replicas[0].positions() == results

    async def test_posts_are_atomic(self) -> None:
        """The records of a post follow each other, whatever other processes publish at the same time."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)

            async def publish(process: Process, letter: str) -> None:
                for number in range(20):
                    await process.publish("a", LAST, *(f"{letter}{number}.{part}" for part in range(3)))

            await asyncio.gather(publish(one, "x"), publish(two, "y"))
            await until(lambda: len(replica.entries) == 120)
            payloads = [(payload or b"").decode() for payload in replica.payloads()]
            batches = [payloads[at : at + 3] for at in range(0, 120, 3)]
            assert all([each[-1] for each in batch] == ["0", "1", "2"] for batch in batches)
            assert all(len({each.partition(".")[0] for each in batch}) == 1 for batch in batches)
            for letter in "xy":
                assert [each[0] for each in batches if each[0][0] == letter] == [f"{letter}{n}.0" for n in range(20)]

    async def test_one_call_takes_posts_to_several_logs(self) -> None:
        """The results of a call are in the order of its posts."""
        async with self.processes() as (one, two):
            posts = [one.post("a", LAST, "1"), one.post("b", TABLE, "r=2", "q=3"), one.post("c", LATEST, "4")]
            results = await one.broker.publish(posts)
            assert [len(each) for each in results] == [1, 2, 1]
            for post, result in zip(posts, results, strict=True):
                replica = await two.attach(post.name, post.retention)
                assert replica.positions() == result

    async def test_post_is_stored_once(self) -> None:
        """A post that is sent again gets the same results, also after a post of another process; nothing is stored."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            post = one.post("a", LAST, "1", "2")
            first = await one.broker.publish([post])
            await two.publish("a", LAST, "3")
            assert await one.broker.publish([post]) == first
            await one.publish("a", LAST, "4")
            await until(lambda: len(replica.entries) >= 4)
            assert replica.payloads() == [b"1", b"2", b"3", b"4"]

    async def test_newest_record_is_retained(self) -> None:
        """A log of the newest value begins with it."""
        async with self.processes() as (one, two):
            await one.publish("a", LATEST, "1", "2")
            replica = await two.attach("a", LATEST)
            assert replica.payloads() == [b"2"]

    async def test_rows_are_retained_and_removed(self) -> None:
        """A table begins with its rows, as they last changed; the removal of a missing row changes nothing."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", TABLE)
            results = await one.publish("a", TABLE, "x=1", "y=2", "x=3", "z=4", "z=", "nothing=")
            assert [type(each) for each in results] == [Position] * 5 + [Unchanged]
            assert results[-1] == results[-2]
            await until(lambda: len(replica.entries) == 5)
            assert replica.rows() == {b'"x"': b"3", b'"y"': b"2"}
            later = await one.attach("a", TABLE)
            assert (later.payloads(), later.at) == ([b"2", b"3"], replica.at)

    async def test_full_table_refuses_one_record(self) -> None:
        """A record that needs a further row is refused by itself; the others of its post are stored."""
        async with self.processes() as (one, two):
            retention = TABLE._replace(rows=1)
            replica = await two.attach("a", retention)
            results = await one.publish("a", retention, "x=1", "y=2", "x=3")
            assert [type(each) for each in results] == [Position, LogFull, Position]
            await until(lambda: len(replica.entries) == 2)
            assert replica.rows() == {b'"x"': b"3"}

    async def test_pieces_grow_the_newest_value(self) -> None:
        """Replicas get each piece; one that attaches later, or reads, gets the whole, until a value replaces it."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", GROWING)
            results = [*await one.publish("a", GROWING, "+a"), *await two.publish("a", GROWING, "+b", "+c")]
            await until(lambda: len(replica.entries) == 3)
            assert replica.payloads() == [b"a", b"b", b"c"]
            assert replica.positions() == results
            late = await one.attach("a", GROWING)
            assert (late.entries, late.at) == ([(replica.at and replica.at.offset, Record(b"abc"))], replica.at)
            assert (await self._read(one, GROWING), await self._read(two, GROWING, late.at)) == ([b"abc"], [])
            await one.publish("a", GROWING, "+d", "x", "+y")
            await until(lambda: replica.payloads()[-1:] == [b"y"])
            assert await self._read(two, GROWING) == [b"xy"]
            await one.publish("a", GROWING, "whole")
            assert await self._read(two, GROWING) == [b"whole"]

    async def test_pieces_grow_rows(self) -> None:
        """A piece is refused if its row does not exist; otherwise, it is a part of the row from then on."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", TABLE)
            results = await one.publish("a", TABLE, 'x={"t":"a"}', "x=+b", "y=+b", "x=+c", "x=", "x=+d", 'x={"t":"e"}')
            assert [type(each) for each in results] == [
                Position, Position, NoSuchRow, Position, Position, NoSuchRow, Position
            ]  # fmt: skip
            await until(lambda: len(replica.entries) == 5)
            assert replica.payloads() == [b'{"t":"a"}', b"b", b"c", None, b'{"t":"e"}']
            await two.publish("a", TABLE, "x=+f")
            assert (await one.attach("a", TABLE)).rows() == {b'"x"': b'{"t":"ef"}'}

    @pytest.mark.parametrize(("retention", "first"), [(GROWING, "x"), (TABLE, 'r={"t":"x"}')])
    async def test_pieces_are_bounded(self, retention: Retention, first: str) -> None:
        """A piece is refused if what it belongs to has reached the bound; a value replaces it all the same."""
        async with self.processes() as (one, _):
            retention = retention._replace(size=40)
            row, sign, _after = first.rpartition("=")
            await one.publish("a", retention, first)
            results = [(await one.publish("a", retention, f"{row}{sign}+{'y' * 30}"))[0] for _ in range(4)]
            assert isinstance(results[0], Position)
            assert isinstance(results[-1], LogFull)
            (before,) = await self._read(one, retention)
            assert before is not None
            assert before.count(b"y") == 30 * sum(isinstance(each, Position) for each in results)
            await one.publish("a", retention, first)
            assert (await self._read(one, retention))[0] in (b"x", b'{"t":"x"}')

    async def _read(self, one: Process, retention: Retention, since: Position | None = None) -> list[bytes | None]:
        """Return the payloads that a process reads."""
        held = await one.broker.read("a", retention, since)
        return [] if held is None else [record.payload for _, record in held.entries]

    @pytest.mark.parametrize("ends", [False, True])
    async def test_pieces_that_a_process_missed(self, ends: bool) -> None:
        """A process that was cut off has the whole text afterwards; a run that has ended is not continued."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", GROWING)
            await one.publish("a", GROWING, "a", "+b")
            await until(lambda: len(replica.entries) == 2)
            await self.stop()
            await self.start()
            if ends:
                await one.broker.end("a", GROWING)
            await self._publish_again(one, "+c")
            text = b"c" if ends else b"abc"
            await until(lambda: b"".join(each or b"" for each in replica.payloads()) == text)
            assert await self._read(two, GROWING) == [text]

    async def _publish_again(self, one: Process, text: str) -> None:
        post = one.post("a", GROWING, text)
        while True:
            with suppress(BrokerDown):
                await one.broker.publish([post])
                return
            await asyncio.sleep(0)

    async def test_records_travel_whole(self) -> None:
        """Payload, row, tags and sender arrive as they were published, with any bytes and any text."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", TABLE)
            whole = Record(bytes(range(256)), '"\u00fc"'.encode(), {"a": "\u4e2d=,", "": ""}, b'{"user":"me"}')
            await one.broker.publish([one.post("a", TABLE)._replace(records=[whole])])
            await until(lambda: replica.entries)
            assert [record for _, record in replica.entries] == [whole]
            assert [record for _, record in (await one.attach("a", TABLE)).entries] == [whole]

    async def test_fence_refuses_old_writers(self) -> None:
        """Only the holder of the lease publishes to the log and ends it; the post of another one changes nothing."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            assert (await one.claim("a", "new")).is_held
            refused = one.post("a", LAST, "1", "2", fence="old")
            results = await one.broker.publish([refused, two.post("a", LAST, "3", fence="new")])
            assert [[type(each) for each in result] for result in results] == [[Fenced, Fenced], [Position]]
            with pytest.raises(Fenced):
                await one.broker.end("a", LAST, fence="old")
            await until(lambda: replica.entries)
            assert (replica.payloads(), replica.completed_at) == ([b"3"], [])

    @pytest.mark.parametrize("retention", [LATEST, LAST, TABLE])
    async def test_loaded_log_begins_again(self, retention: Retention) -> None:
        """A post that loads replaces what the log held, in a new epoch; the log is loaded for as long as it lives."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", retention)
            await one.publish("a", retention, of(retention, "old"))
            await until(lambda: replica.entries)
            begun = replica.at
            assert begun is not None
            assert not (await self._state(two, retention)).is_loaded
            await one.claim("a", "x")
            (refused,) = await two.publish("a", retention, of(retention, "late"))
            assert isinstance(refused, Fenced)
            post = Post("a", retention, records(of(retention, "first")), "loader", 1, "x", loads=True)
            stored = await one.broker.publish([post])
            assert await one.broker.publish([post]) == stored
            await until(lambda: replica.payloads() == [b"first"])
            assert replica.at is not None
            assert replica.at.epoch != begun.epoch
            await one.release("a", "x")
            await two.publish("a", retention, of(retention, "next"))
            await until(lambda: replica.payloads()[-1] == b"next")
            state = await self._state(two, retention)
            assert (state.is_loaded, state.entries) == (True, [])

    @pytest.mark.parametrize("retention", [LATEST, LAST, TABLE])
    async def test_log_that_is_loaded_with_nothing(self, retention: Retention) -> None:
        """A post that loads may have no records; what is published next is the first entry."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", retention)
            await one.publish("a", retention, of(retention, "old"))
            await until(lambda: replica.entries)
            assert list((await one.broker.publish([Post("a", retention, [], "loader", 1, loads=True)]))[0]) == []
            await until(lambda: not replica.entries)
            assert (await self._state(two, retention)).is_loaded
            await one.publish("a", retention, of(retention, "1"))
            await until(lambda: replica.payloads() == [b"1"])
            assert replica.begins == 2

    async def _state(self, process: Process, retention: Retention) -> Range:
        """Return the state of a log, without its entries."""
        state = await process.broker.read("a", retention, limit=0)
        assert state is not None
        return state

    async def test_note_of_the_holder(self) -> None:
        """Every process gets the holder's newest note with its claims; none is left for the next holder."""
        async with self.processes() as (one, two):
            assert one.broker.leases is not None
            for note in (b"", b"fails", b"", b"fails again"):
                (lease,) = await one.broker.leases.claim([Claim("a", "one", 60.0, is_watched=True, note=note)])
                assert lease is not None
                assert (lease.is_held, lease.note) == (True, note)
                other = await two.claim("a", "two")
                assert (other.is_held, other.note, other.is_closed) == (False, note, False)
            await one.release("a", "one")
            assert (await two.claim("a", "two"))[4:] == (b"", False)

    async def test_closed_lease(self) -> None:
        """For its time, no process gets a lease that was closed, and each claim returns the note."""
        async with self.processes() as (one, two):
            assert one.broker.leases is not None
            await one.claim("a", "one")
            await one.broker.leases.release("a", "one", note=b"\xffno", closes=60.0)
            for process in (one, two):
                lease = await process.claim("a", "new")
                assert (lease.is_held, lease.note, lease.is_closed) == (False, b"\xffno", True)
                assert 0 < lease.left <= 60
            await one.claim("b", "one")
            await one.broker.leases.release("b", "one", note=b"no", closes=0.05)
            await self.pass_time(0.1)
            assert (await two.claim("b", "two")).is_held

    async def test_lease_has_one_holder(self) -> None:
        """The first claim takes a lease and may renew it; others learn how long it is held, and since which entry."""
        async with self.processes() as (one, two):
            (before,) = await one.publish("a", LAST, "1")
            taken = await one.claim("a", "one")
            post = one.post("a", LAST, "2", fence="one")
            await one.broker.publish([post])
            refused = await two.claim("a", "two")
            renewed = await one.claim("a", "one", is_watched=False)
            assert [each.is_held for each in (taken, refused, renewed)] == [True, False, True]
            assert [each.began for each in (taken, refused, renewed)] == [before] * 3
            assert all(0 < each.left <= 60 for each in (taken, refused, renewed))
            assert (await two.claim("b", "two")).is_held

    async def test_lease_expires(self) -> None:
        """A lease that is not renewed is free: its holder's posts are refused, and another process takes it."""
        async with self.processes() as (one, two):
            assert (await one.claim("a", "one", 0.05)).is_held
            await self.pass_time(0.1)
            ((refused,),) = await two.broker.publish([one.post("a", LAST, "1", fence="one")])
            assert isinstance(refused, Fenced)
            assert not (await one.claim("a", "one", renews=True)).is_held
            assert (await two.claim("a", "two")).is_held
            assert not (await one.claim("a", "one")).is_held

    async def test_watchers_of_all_processes_are_known(self) -> None:
        """A claim reports whether any process has watchers; a process that does not claim again is forgotten."""
        async with self.processes() as (one, two):
            assert (await one.claim("a", "one")).is_watched
            assert not (await one.claim("a", "one", is_watched=False)).is_watched
            assert (await two.claim("a", "two")).is_watched
            assert (await one.claim("a", "one", is_watched=False)).is_watched
            assert not (await two.claim("a", "two", is_watched=False)).is_watched
            await two.claim("a", "two", 0.05)
            await self.pass_time(0.1)
            assert not (await one.claim("a", "one", is_watched=False)).is_watched

    async def test_lease_is_taken_for_watchers(self) -> None:
        """A process without watchers does not take a free lease."""
        async with self.processes() as (one, two):
            lease = await one.claim("a", "one", is_watched=False)
            assert lease == Lease(is_held=False, is_watched=False, left=0.0, began=Position("", 0))
            assert (await two.claim("a", "two")).is_held

    async def test_released_lease_is_free(self) -> None:
        """The holder frees its lease, and all processes get the notice; the release of another token does nothing."""
        async with self.processes() as (one, two):
            replicas = [await each.attach("a", LAST) for each in (one, two)]
            await one.claim("a", "one")
            await two.release("a", "two")
            assert not (await two.claim("a", "two")).is_held
            await one.release("a", "one")
            await until(lambda: all(replica.notices for replica in replicas))
            assert [replica.notices for replica in replicas] == [[b"vacant"]] * 2
            assert (await two.claim("a", "two")).is_held

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    @pytest.mark.parametrize("is_watched", [False, True])
    async def test_release_can_forget_the_log(self, retention: Retention, is_watched: bool) -> None:
        """The log is dropped with the lease, unless another process watches it; the next record has a new epoch."""
        async with self.processes() as (one, two):
            await one.claim("a", "one")
            ((before,),) = await one.broker.publish([one.post("a", retention, "x=1", fence="one")])
            if is_watched:
                await two.claim("a", "two")
            await one.release("a", "one", forgets=True)
            replica = await two.attach("a", retention)
            assert isinstance(before, Position)
            assert replica.at is not None
            assert (replica.at.epoch == before.epoch, len(replica.entries)) == (is_watched, int(is_watched))

    async def test_read_needs_no_replica(self) -> None:
        """A log can be read without attaching it: all of it, what follows a position, or the newest records."""
        async with self.processes() as (one, two):
            assert await two.broker.read("a", LAST) is None
            results = await one.publish("a", LAST, "1", "2", "3")
            assert isinstance(results[0], Position)
            whole = await two.broker.read("a", LAST)
            after = await two.broker.read("a", LAST, since=results[0])
            newest = await two.broker.read("a", LAST, limit=1)
            unknown = await two.broker.read("a", LAST, since=Position("other", 1))
            assert whole is not None
            assert after is not None
            assert newest is not None
            assert unknown is not None
            assert [record.payload for _, record in whole.entries] == [b"1", b"2", b"3"]
            assert ([record.payload for _, record in after.entries], after.follows) == ([b"2", b"3"], True)
            assert ([record.payload for _, record in newest.entries], newest.at) == ([b"3"], results[-1])
            assert ([record.payload for _, record in unknown.entries], unknown.follows) == ([b"1", b"2", b"3"], False)

    async def test_read_reports_what_is_missing(self) -> None:
        """If a record after the position is not retained any more, the range does not follow."""
        async with self.processes() as (one, two):
            retention = LAST._replace(entries=2)
            results = await one.publish("a", retention, "1", "2", "3", "4")
            for since, follows in zip(results, [False, True, True, True], strict=True):
                assert isinstance(since, Position)
                range_ = await two.broker.read("a", retention, since=since)
                assert range_ is not None
                assert range_.follows is follows

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_end_reaches_all_replicas(self, retention: Retention) -> None:
        """Every replica is completed after the records before the end, once."""
        async with self.processes() as (one, two):
            replicas = [await each.attach("a", retention) for each in (one, two)]
            results = await one.publish("a", retention, "x=1", "y=2")
            await one.broker.end("a", retention)
            await one.broker.end("a", retention)
            await until(lambda: all(replica.completed_at for replica in replicas))
            await turns(10)
            assert [replica.completed_at for replica in replicas] == [[results[-1]]] * 2

    @pytest.mark.parametrize(("retention", "continues"), [(LAST, True), (LATEST, False), (TABLE, False)])
    async def test_ended_log_holds_nothing_current(self, retention: Retention, continues: bool) -> None:
        """Newest values and rows of a run that is over are not given to new replicas; last records are."""
        async with self.processes() as (one, two):
            await one.broker.end("a", retention)
            (before,) = await one.publish("a", retention, "x=1")
            await one.broker.end("a", retention)
            replica = await two.attach("a", retention)
            assert (len(replica.entries), replica.completed_at) == (int(continues), [])
            (after,) = await one.publish("a", retention, "x=2")
            assert isinstance(before, Position)
            assert isinstance(after, Position)
            assert (before.epoch == after.epoch) is continues
            await until(lambda: replica.at == after)
            assert replica.payloads() == ([b"1", b"2"] if continues else [b"2"])

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_complete_log_stays(self, retention: Retention) -> None:
        """Replicas that attach later get the records and the end; publications are refused, and change nothing."""
        async with self.processes() as (one, two):
            kept = retention._replace(keeps_end=True)
            early = await one.attach("a", kept)
            (stored,) = await one.publish("a", kept, "x=1")
            assert await one.broker.end("a", kept) == stored
            assert await two.broker.end("a", kept) == stored
            late = await two.attach("a", kept)
            await until(lambda: early.completed_at)
            assert [(each.payloads(), each.completed_at) for each in (early, late)] == [([b"1"], [stored])] * 2
            assert [type(each) for each in await two.publish("a", kept, "x=2", "x=3")] == [TopicComplete] * 2
            range_ = await one.broker.read("a", kept)
            assert range_ is not None
            assert (range_.at, range_.is_ended, len(range_.entries)) == (stored, True, 1)

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_log_that_does_not_exist_is_complete(self, retention: Retention) -> None:
        """A log may be complete without a record."""
        async with self.processes() as (one, two):
            kept = retention._replace(keeps_end=True)
            at = await one.broker.end("a", kept)
            assert at is not None
            late = await two.attach("a", kept)
            assert (at.offset, late.entries, late.completed_at) == (0, [], [at])
            assert [type(each) for each in await two.publish("a", kept, "x=1")] == [TopicComplete]

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_emptied_log_begins_again(self, retention: Retention) -> None:
        """An emptied log has another epoch and holds nothing, at the broker and in all replicas."""
        async with self.processes() as (one, two):
            await one.broker.empty("none", retention)
            assert await one.broker.read("none", retention) is None
            replicas = [await each.attach("a", retention) for each in (one, two)]
            (before, *_) = await one.publish("a", retention, "x=1", "y=2")
            assert isinstance(before, Position)
            await two.broker.empty("a", retention)
            held = await one.broker.read("a", retention)
            assert held is not None
            assert (held.at.offset, held.entries, held.at.epoch != before.epoch) == (0, [], True)
            await until(lambda: [each.at for each in replicas] == [held.at] * 2)
            assert [(each.payloads(), each.completed_at) for each in replicas] == [([], [])] * 2
            (after,) = await one.publish("a", retention, "x=3")
            assert isinstance(after, Position)
            assert after.epoch == held.at.epoch
            await until(lambda: [each.at for each in replicas] == [after] * 2)
            assert [each.payloads() for each in replicas] == [[b"3"]] * 2

    async def test_emptied_log_takes_records_again(self) -> None:
        """A log that was complete is not complete any more."""
        async with self.processes() as (one, two):
            kept = LAST._replace(keeps_end=True)
            await one.broker.end("a", kept)
            await two.broker.empty("a", kept)
            replica = await two.attach("a", kept)
            (after,) = await one.publish("a", kept, "x=1")
            await until(lambda: replica.at == after)
            assert (replica.payloads(), replica.completed_at) == ([b"1"], [])

    async def test_detached_replica_is_not_called(self) -> None:
        """After a replica was detached it gets nothing; attached again, it gets what it has missed, or begins."""
        async with self.processes() as (one, two):
            recorder = Recorder(None, LAST)
            detach = await two.broker.attach("a", LAST, recorder)
            await one.publish("a", LAST, "1")
            await until(lambda: recorder.entries)
            detach()
            await one.publish("a", LAST, "2")
            await turns(10)
            assert recorder.payloads() == [b"1"]
            await two.broker.attach("a", LAST, recorder, since=recorder.at)
            assert (recorder.payloads(), recorder.begins) == ([b"1", b"2"], 1)

    async def test_name_is_attached_once(self) -> None:
        """A process that has a log attached cannot attach it again; the first replica is not disturbed."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            with pytest.raises(ValueError, match="attached already"):
                await two.attach("a", LAST)
            await one.publish("a", LAST, "1")
            await until(lambda: replica.entries)

    async def test_nothing_is_missed_or_doubled_while_attaching(self) -> None:
        """Records that are published while a replica attaches arrive once, in order, retained or new."""
        async with self.processes() as (one, two):

            async def publish() -> None:
                for number in range(100):
                    await one.publish("a", LAST, f"{number}")
                    await turns(number % 3)

            publishing = asyncio.create_task(publish())
            await turns(30)
            replica = await two.attach("a", LAST)
            await publishing
            await until(lambda: len(replica.entries) >= 100)
            assert replica.payloads() == [b"%d" % number for number in range(100)]

    async def test_notices(self) -> None:
        """A notice reaches all processes that have the log attached, and no records come of it."""
        async with self.processes() as (one, two):
            replicas = [await each.attach("a", LAST) for each in (one, two)]
            other = await two.attach("b", LAST)
            two.broker.notify("a", b"join {}")
            two.broker.notify("a", b"")
            two.broker.notify("c", b"unknown")
            await one.publish("a", LAST, "\n1")
            await until(lambda: all(replica.notices and replica.entries for replica in replicas))
            assert [(replica.notices, replica.payloads()) for replica in replicas] == [
                ([b"join {}", b""], [b"\n1"])
            ] * 2
            assert other.notices == []

    async def test_notices_are_lost_in_an_outage(self) -> None:
        """A notice that cannot be sent is dropped; later ones arrive."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            await self.stop()
            await until(lambda: replica.is_stale)
            one.broker.notify("a", b"lost")
            await self.start()
            await until(lambda: not replica.is_stale)
            one.broker.notify("a", b"later")
            await until(lambda: replica.notices)
            assert replica.notices == [b"later"]

    async def test_broker_that_is_entered_too_early(self) -> None:
        """A broker that cannot be reached when it is entered is down, and connects by itself as soon as it can."""
        async with self.processes() as (one, two):
            await self.stop()
            await one.broker.__aexit__(None, None, None)
            await one.broker.__aenter__()
            assert one.broker.health.state == "down"
            with pytest.raises(BrokerDown):
                await one.publish("a", LAST, "1")
            await self.start()
            await until(lambda: one.broker.health.state == "ok")
            replica = await two.attach("a", LAST)
            await one.publish("a", LAST, "1")
            await until(lambda: replica.entries)

    async def test_outage_is_reported_and_repaired(self) -> None:
        """While the broker cannot be reached, publishing fails and replicas are stale; then they are equal again."""
        async with self.processes() as (one, two):
            replicas = [await each.attach("a", LAST) for each in (one, two)]
            assert (one.broker.health.state, one.broker.health.since) == ("ok", None)
            await one.publish("a", LAST, "1")
            await until(lambda: all(replica.entries for replica in replicas))
            await self.stop()
            await until(lambda: all(replica.is_stale for replica in replicas))
            post = one.post("a", LAST, "2")
            assert one.broker.health.state == "down"
            assert one.broker.health.since is not None
            for attempt in (one.broker.publish([post]), two.attach("b", LAST), two.broker.read("a", LAST)):
                with pytest.raises(BrokerDown):
                    await attempt
            for other in (two.broker.end("a", LAST), one.claim("a", "one"), one.release("a", "one")):
                with pytest.raises(BrokerDown):
                    await other
            await self.start()
            await one.broker.publish([post])
            await until(lambda: all(len(replica.entries) == 2 for replica in replicas))
            assert [(replica.payloads(), replica.begins, replica.is_stale) for replica in replicas] == [
                ([b"1", b"2"], 1, False)
            ] * 2
            await two.attach("b", LAST)

    async def test_replicas_are_not_called_after_the_exit(self) -> None:
        """A broker that was left is quiet, and may be left again."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            await two.broker.__aexit__(None, None, None)
            await one.publish("a", LAST, "1")
            await turns(10)
            assert replica.entries == []
            await two.broker.__aexit__(None, None, None)

    # Processes and members

    @abstractmethod
    async def let_die(self, process: Process) -> None:
        """Let the server take a process for dead, although it has not parted."""

    async def test_messages_between_processes(self) -> None:
        """A message reaches the process that it is for, or all others, in order, with the name of its sender."""
        async with self.processes() as (one, two):
            controls = [control_of(each) for each in (one, two)]
            heard: list[list[tuple[str, bytes]]] = [[], []]
            controls[0].receive = lambda *told: heard[0].append(told)
            controls[1].receive = lambda *told: heard[1].append(told)
            await until_async(lambda: all_alive(controls))
            controls[0].tell(b"1 \n\x00")
            controls[0].tell(b"2", controls[1].process)
            controls[0].tell(b"3", "unknown")
            controls[1].tell(b"", controls[0].process)
            await until(lambda: (len(heard[0]), len(heard[1])) == (1, 2))
            await turns(10)
            names = [each.process for each in controls]
            assert heard == [[(names[1], b"")], [(names[0], b"1 \n\x00"), (names[0], b"2")]]

    async def test_receiver_that_fails(self) -> None:
        """An error while a message is taken affects no other message."""
        async with self.processes() as (one, two):
            controls, heard = [control_of(each) for each in (one, two)], []

            def receive(sender: str, message: bytes) -> None:
                heard.append(message)
                raise ValueError("malformed")

            controls[1].receive = receive
            await until_async(lambda: all_alive(controls))
            controls[0].tell(b"1")
            controls[0].tell(b"2")
            await until(lambda: len(heard) == 2)

    async def test_processes_that_are_alive(self) -> None:
        """Processes know of each other, until one parts or dies."""
        async with self.processes() as (one, two):
            controls = [control_of(each) for each in (one, two)]
            await until_async(lambda: all_alive(controls))
            await two.broker.__aexit__(None, None, None)
            assert list(await controls[0].processes()) == [controls[0].process]

    async def test_nothing_is_sent_in_an_outage(self) -> None:
        """While the broker cannot be reached, messages are refused; afterwards they arrive again."""
        async with self.processes() as (one, two):
            controls, heard = [control_of(each) for each in (one, two)], []
            controls[1].receive = lambda _, message: heard.append(message)
            await until_async(lambda: all_alive(controls))
            replica = await one.attach("a", LAST)
            await self.stop()
            await until(lambda: replica.is_stale)
            with pytest.raises(BrokerDown):
                controls[0].tell(b"lost")
            with pytest.raises(BrokerDown):
                await controls[0].processes()
            with pytest.raises(BrokerDown):
                await store_of(one).read("a", 1)
            await self.start()
            await until_async(lambda: all_alive(controls))

            async def arrives() -> bool:
                controls[0].tell(b"later")
                return b"later" in heard

            await until_async(arrives)
            assert b"lost" not in heard

    async def test_members_of_all_processes(self) -> None:
        """Every process sees the members that all have stored, with the number of clients and users."""
        async with self.processes() as (one, two):
            await until_async(lambda: all_alive([control_of(each) for each in (one, two)]))
            await store_of(one).put("a", [member("1", "ada"), member("2", "bo\nb")], [])
            await store_of(two).put("a", [member("3", "ada"), member("4")], [])
            for process in (one, two):
                found = await store_of(process).read("a", 10)
                assert (found.clients, found.users, sorted(found.some), found.has_dead) == (
                    4, 3, [b"1\n", b"2\n", b"3\n", b"4\n"], False
                )  # fmt: skip
                assert len((await store_of(process).read("a", 1)).some) == 1
                assert (await store_of(process).read("b", 10)).clients == 0
            await store_of(one).put("a", [member("1", "eve")], ["2", "3", "unknown"])
            found = await store_of(two).read("a", 10)
            assert (found.clients, found.users, sorted(found.some)) == (3, 3, [b"1\n", b"3\n", b"4\n"])
            await store_of(one).put("a", [], ["1"])
            await store_of(two).put("a", [], ["3", "4"])
            assert await store_of(two).read("a", 10) == (0, 0, [], False)

    async def test_members_that_are_stored_whole(self) -> None:
        """Members that a process stores whole replace its own, and no others."""
        async with self.processes() as (one, two):
            await until_async(lambda: all_alive([control_of(each) for each in (one, two)]))
            await store_of(two).put("a", [member("0")], [])
            many = [member(str(number)) for number in range(1, 1200)]
            await store_of(one).put("a", many, [])
            await store_of(one).put("a", many[100:], [], is_whole=True)
            found = await store_of(two).read("a", 2000)
            assert sorted(found.some) == sorted(each.data for each in [member("0"), *many[100:]])
            await store_of(one).put("a", [], [], is_whole=True)
            assert (await store_of(two).read("a", 10)).some == [b"0\n"]

    async def test_members_of_a_dead_process(self) -> None:
        """They do not count; they are swept by one process only, and stored again if the process lives after all."""
        async with self.processes() as (one, two):
            controls, beats = [control_of(each) for each in (one, two)], []
            await until_async(lambda: all_alive(controls))
            await store_of(one).put("a", [member("1")], [])
            await store_of(two).put("a", [member("2"), member("3")], [])
            assert (await store_of(one).read("a", 10)).clients == 3
            assert await store_of(one).sweep("a") == []
            await self.let_die(two)
            await controls[0].processes()
            assert await store_of(one).read("a", 10) == (1, 1, [b"1\n"], True)
            assert sorted(await store_of(one).sweep("a")) == [b"2\n", b"3\n"]
            assert await store_of(one).sweep("a") == []
            controls[1].beaten = lambda is_known, _: beats.append(is_known)
            await until_async(lambda: all_alive(controls))
            assert beats[0] is False
            await store_of(two).put("a", [member("2")], [], is_whole=True)
            assert (await store_of(one).read("a", 10)).clients == 2

    async def test_beats(self) -> None:
        """A process learns that the members of another one have ceased to count, once."""
        async with self.processes() as (one, two):
            controls, beats = [control_of(each) for each in (one, two)], []
            await until_async(lambda: all_alive(controls))
            controls[0].beaten = lambda *flags: beats.append(flags)
            await self.let_die(two)
            for _ in range(2):
                await controls[0].processes()
            assert beats == [(True, True), (True, False)]

    async def test_members_of_a_process_that_has_parted(self) -> None:
        """They count for a while: their clients are about to join elsewhere."""
        async with self.processes() as (one, two):
            controls = [control_of(each) for each in (one, two)]
            await until_async(lambda: all_alive(controls))
            await store_of(two).put("a", [member("2")], [])
            await two.broker.__aexit__(None, None, None)
            assert (await store_of(one).read("a", 10)).some == [b"2\n"]
            await self.let_die(two)
            await controls[0].processes()
            assert (await store_of(one).read("a", 10)).some == []


def control_of(process: Process) -> Control:
    """Return the way of a process to the others."""
    assert process.broker.control is not None
    return process.broker.control


def store_of(process: Process) -> MemberStore:
    """Return the members, as a process sees them."""
    assert process.broker.members is not None
    return process.broker.members


def member(client: str, user: str = "") -> StoredMember:
    """Return a member."""
    return StoredMember(client, user, client.encode() + b"\n")


async def all_alive(controls: Sequence[Control]) -> bool:
    """Return True if processes know of each other."""
    with suppress(BrokerDown):
        known = [set(await each.processes()) for each in controls]
        return all({each.process for each in controls} <= names for names in known)
    return False


async def until_async(look: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again until the answer is true; on a stepped loop, no time passes."""
    async with asyncio.timeout(PATIENCE):
        while not await look():
            await turns(1)
