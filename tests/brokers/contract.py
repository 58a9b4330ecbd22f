"""What every broker does, as tests: a test module subclasses :class:`BrokerContract` and says how to make a broker."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import pytest

from tests.lanes.turns import turns, until
from tests.log.telling import Encoder, Telling, Told, payloads, told
from wirespeed.brokers.base import Broker
from wirespeed.errors import LogFull
from wirespeed.log.base import Log, Removed
from wirespeed.log.keep import Keep, Last, Latest, Table
from wirespeed.log.position import Position, Unchanged

MEGABYTE = 1 << 20


def last(entries: int = 1000, retain: float = 60, seconds: float | None = None) -> Last:
    """A keep of the last texts."""
    encode = Encoder()
    return Last(encode=encode, failed=encode.failed, retain=retain, entries=entries, size=MEGABYTE, seconds=seconds)


def latest(retain: float = 60) -> Latest:
    """A keep of the newest text."""
    encode = Encoder()
    return Latest(encode=encode, failed=encode.failed, retain=retain)


def by_row(rows: int = 10, retain: float = 60) -> Table:
    """A keep of the newest text by first character."""
    encode = Encoder()
    return Table(
        encode=encode, failed=encode.failed, retain=retain, row_of=lambda value: value[0], rows=rows, size=MEGABYTE
    )


def unheard() -> None:
    """For who opens a log and has no use for news."""


async def publish(broker: Broker, name: str, keep: Keep, *values: Any) -> list[Position]:
    """Publishes, and waits for the positions."""
    results = [broker.publish(name, keep, value) for value in values]
    return [await result if isinstance(result, asyncio.Future) else result for result in results]


class Reader:
    """Has a log open, and reads on at each news."""

    def __init__(self) -> None:
        self.log: Log | None = None
        self.cursor = 0
        self.heads: list[int] = []
        self.seen: list[Told] = []

    async def open(self, broker: Broker, name: str, keep: Keep) -> Log:
        """Opens a log and reads what is retained."""
        self.log = await broker.open(name, keep, self.news)
        self.read(self.log)
        return self.log

    def news(self) -> None:
        """Takes note of the head, and reads."""
        if self.log is not None:
            self.heads.append(self.log.head)
            self.read(self.log)

    def read(self, log: Log) -> None:
        """Reads up to the head."""
        while self.cursor < log.head:
            chunk = log.read(self.cursor, Telling())
            self.cursor = chunk.cursor
            self.seen += told(chunk.data)

    @property
    def texts(self) -> list[str]:
        """What was read."""
        return [(each.payload or b"").decode() for each in self.seen]


class BrokerContract(ABC):
    """The guarantees of :class:`Broker`."""

    pytestmark = pytest.mark.anyio

    @abstractmethod
    def broker(self) -> AbstractAsyncContextManager[Broker]:
        """A broker without logs, running while it is entered."""

    def peer(self, broker: Broker) -> AbstractAsyncContextManager[Broker]:
        """A broker of another process that shares its logs; without such, the same."""
        return nullcontext(broker)

    async def test_positions_grow_by_one(self) -> None:
        """Publications of one name are numbered from 1 on, in one epoch; other names have epochs of their own."""
        async with self.broker() as broker:
            one = await publish(broker, "one", keep := last(), "a", "b", "c")
            other = await publish(broker, "other", keep, "d")
            one += await publish(broker, "one", keep, "e")
            assert [position.offset for position in one] == [1, 2, 3, 4]
            assert len({position.epoch for position in one}) == 1
            assert other[0].offset == 1
            assert other[0].epoch != one[0].epoch
            assert all(Position.parse(str(position)) == position for position in one)

    async def test_open_has_what_is_retained(self) -> None:
        """What was published before is in the log when it is opened, as far as it is kept, at its positions."""
        async with self.broker() as broker:
            positions = await publish(broker, "name", keep := last(entries=2), "a", "b", "c")
            log = await broker.open("name", keep, unheard)
            assert [(each.position, each.payload) for each in log.entries()] == [
                (positions[1], b"b"),
                (positions[2], b"c"),
            ]
            assert log.read(0, Telling()).lost == 1

    async def test_each_news_comes_after_its_entry(self) -> None:
        """Who is told of news finds the entry in the log."""
        async with self.broker() as broker:
            reader = Reader()
            log = await reader.open(broker, "name", keep := last())
            assert (log.head, reader.heads) == (0, [])
            await publish(broker, "name", keep, "a", "b", "c")
            await until(lambda: len(reader.seen) == 3)
            assert reader.texts == ["a", "b", "c"]
            assert reader.heads[-1] == 3

    @pytest.mark.parametrize("keep", [last(), latest(), by_row()])
    async def test_all_kinds_travel(self, keep: Keep) -> None:
        """Whatever a log keeps, who has it open gets to the newest value."""
        async with self.broker() as broker, self.peer(broker) as peer:
            reader = Reader()
            await reader.open(broker, "name", keep)
            await publish(peer, "name", keep, "a1", "a2", "a3")
            await until(lambda: reader.cursor == 3)
            assert reader.texts[-1] == "a3"

    @pytest.mark.parametrize("keep", [last(), latest(), by_row(), last(seconds=60)])
    async def test_publisher_is_another_way_to_publish(self, keep: Keep) -> None:
        """What goes through a publisher and what does not is one log, in order; also after the log was closed."""
        async with self.broker() as broker:
            reader = Reader()
            log = await reader.open(broker, "name", keep)
            publish_one = broker.publisher("name", keep)
            publish_one("a1")
            await publish(broker, "name", keep, "a2")
            publish_one("a3")
            await until(lambda: reader.cursor == 3)
            assert (reader.texts[-1], log.head) == ("a3", 3)
            broker.close("name")
            publish_one("a4")
            await turns(3)
            again = Reader()
            assert (await again.open(broker, "name", keep)).epoch == log.epoch
            assert again.texts[-1] == "a4"

    async def test_removal_through_a_publisher(self) -> None:
        """A publisher takes removals, of rows that are there and of others."""
        async with self.broker() as broker:
            reader, keep = Reader(), by_row()
            log = await reader.open(broker, "name", keep)
            publish_one = broker.publisher("name", keep)
            for value in ("a1", Removed("b"), Removed("a"), "c1"):
                publish_one(value)
            await until(lambda: reader.cursor == 3)
            assert [entry.row for entry in log.entries()] == ["c"]

    async def test_nothing_is_missed_or_doubled_while_opening(self) -> None:
        """Publications that race an open arrive each once, in order, whether they were retained or are new."""
        async with self.broker() as broker, self.peer(broker) as peer:
            keep, reader = last(), Reader()

            async def publisher() -> None:
                for number in range(200):
                    await publish(peer, "name", keep, str(number))
                    await turns(number % 3)

            publishing = asyncio.create_task(publisher())
            await turns(20)
            await reader.open(broker, "name", keep)
            await publishing
            await until(lambda: reader.cursor == 200)
            assert reader.texts == [str(number) for number in range(200)]

    async def test_publishers_keep_their_order(self) -> None:
        """Values of several publishers mix, each publisher's in its order, and all readers see the same."""
        async with self.broker() as broker, self.peer(broker) as peer:
            keep, reader = last(), Reader()
            await reader.open(broker, "name", keep)

            async def publisher(of: Broker, letter: str) -> list[Position]:
                positions = []
                for number in range(50):
                    positions += await publish(of, "name", keep, f"{letter}{number}")
                    await turns(number % 4)
                return positions

            told_to = await asyncio.gather(*(publisher(of, x) for of, x in ((broker, "a"), (peer, "b"), (peer, "c"))))
            await until(lambda: reader.cursor == 150)
            for letter, positions in zip("abc", told_to, strict=True):
                seen = [each for each in reader.seen if (each.payload or b"").startswith(letter.encode())]
                assert [each.payload for each in seen] == [f"{letter}{number}".encode() for number in range(50)]
                assert [each.position for each in seen] == positions

    async def test_closed_log_goes_on_in_its_epoch(self) -> None:
        """Opened again in time, a log has what came meanwhile, and a watcher's position still leads on."""
        async with self.broker() as broker, self.peer(broker) as peer:
            keep, reader = last(), Reader()
            epoch = (await reader.open(broker, "name", keep)).epoch
            await publish(broker, "name", keep, "a")
            await until(lambda: reader.cursor == 1)
            broker.close("name")
            await publish(peer, "name", keep, "b", "c")
            assert reader.texts == ["a"]
            log = await broker.open("name", keep, unheard)
            cursor = log.resume(Position(epoch, 1))
            assert cursor == 1
            assert payloads(log.read(cursor, Telling())) == [b"b", b"c"]

    async def test_closed_log_tells_no_news(self) -> None:
        """After a close the opener is not called any more; closing again does nothing."""
        async with self.broker() as broker:
            reader = Reader()
            await reader.open(broker, "name", keep := last())
            broker.close("name")
            broker.close("name")
            broker.close("never opened")
            await publish(broker, "name", keep, "a")
            await turns(5)
            assert reader.heads == []

    async def test_name_is_open_once(self) -> None:
        """A second opener is an error, and the first one goes on."""
        async with self.broker() as broker:
            reader = Reader()
            await reader.open(broker, "name", keep := last())
            with pytest.raises(ValueError, match="'name' is open already"):
                await broker.open("name", keep, unheard)
            await publish(broker, "name", keep, "a")
            await until(lambda: reader.texts == ["a"])

    async def test_end_begins_a_new_epoch(self) -> None:
        """After the end nothing of the old life is left, and positions begin anew."""
        async with self.broker() as broker:
            before = await publish(broker, "name", keep := last(), "a", "b")
            broker.end("name")
            assert await broker.history("name", keep) is None
            after = await publish(broker, "name", keep, "c")
            assert after[0].offset == 1
            assert after[0].epoch != before[0].epoch
            log = await broker.open("name", keep, unheard)
            assert [each.payload for each in log.entries()] == [b"c"]
            assert log.resume(before[1]) is None

    async def test_open_log_does_not_end(self) -> None:
        """Who has a log open closes it before its end; the end of what there is not does nothing."""
        async with self.broker() as broker:
            reader = Reader()
            await reader.open(broker, "name", keep := last())
            with pytest.raises(ValueError, match="'name' is open"):
                broker.end("name")
            await publish(broker, "name", keep, "a")
            await until(lambda: reader.texts == ["a"])
            broker.close("name")
            broker.end("name")
            broker.end("name")
            assert await broker.history("name", keep) is None

    async def test_value_that_does_not_encode_leaves_nothing(self) -> None:
        """The error goes to who publishes; there is no entry, no news, no gap, and no log that was not there."""
        async with self.broker() as broker:
            keep, reader = last(), Reader()
            with pytest.raises(ValueError, match="cannot encode bad"):
                await publish(broker, "name", keep, "bad")
            assert await broker.history("name", keep) is None
            await reader.open(broker, "name", keep)
            with pytest.raises(ValueError, match="cannot encode bad"):
                await publish(broker, "name", keep, "bad")
            assert [each.offset for each in await publish(broker, "name", keep, "a")] == [1]
            await until(lambda: reader.texts == ["a"])
            assert reader.heads == [1]

    async def test_full_table_leaves_nothing(self) -> None:
        """A row too many is an error of who publishes it, and nobody else notices."""
        async with self.broker() as broker:
            keep, reader = by_row(rows=1), Reader()
            await reader.open(broker, "name", keep)
            await publish(broker, "name", keep, "a1")
            with pytest.raises(LogFull):
                await publish(broker, "name", keep, "b1")
            await publish(broker, "name", keep, "a2")
            await until(lambda: reader.cursor == 2)
            assert reader.texts == ["a1", "a2"]

    async def test_rows_are_removed(self) -> None:
        """A removal arrives like a value; the removal of what is not there changes nothing and tells the head."""
        async with self.broker() as broker:
            keep, reader = by_row(), Reader()
            await reader.open(broker, "name", keep)
            published = await publish(broker, "name", keep, "a1", "b1", Removed("a"))
            await until(lambda: reader.cursor == 3)
            assert [(each.row, each.payload) for each in reader.seen] == [("a", b"a1"), ("b", b"b1"), ("a", None)]
            heads = list(reader.heads)
            unchanged = await publish(broker, "name", keep, Removed("a"), Removed("x"))
            assert unchanged == [published[2]] * 2
            assert {*map(type, published)} == {Position}
            assert {*map(type, unchanged)} == {Unchanged}
            await turns(5)
            assert reader.heads == heads

    async def test_history_needs_no_open(self) -> None:
        """What is retained can be read, whether anybody has it open or not, and without opening it."""
        async with self.broker() as broker:
            keep = last()
            assert await broker.history("name", keep) is None
            positions = await publish(broker, "name", keep, "a", "b")
            log = await broker.history("name", keep)
            assert log is not None
            assert [each.position for each in log.entries()] == positions
            await broker.open("name", keep, unheard)
            log = await broker.history("name", keep)
            assert log is not None
            assert [each.payload for each in log.entries()] == [b"a", b"b"]
