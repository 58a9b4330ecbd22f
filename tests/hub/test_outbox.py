"""The outbox: what waits for the broker is conflated or bounded, sent once per turn, and stored once."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.brokers.server import StoredLog
from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.lanes.turns import turns, until
from wirespeed.brokers.broker import Post, Stored
from wirespeed.definitions import Receipt, on_settled
from wirespeed.errors import BacklogFull, LogFull, Stopped
from wirespeed.hub import turns as hub_turns
from wirespeed.hub.item import PIECE_BYTES
from wirespeed.hub.outbox import FIRST_PAUSE, LONGEST_PAUSE, PAUSE, POST_BYTES, RATE, Outbox, Queue
from wirespeed.log.position import Position
from wirespeed.log.record import ROW_END, Record, Retention

pytestmark = pytest.mark.anyio

LAST = Retention("last", entries=1000, size=1 << 20)
LATEST = Retention("latest")
TABLE = Retention("table", rows=3, size=1 << 20)
MOST = 10_000


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


class Bench:
    """An outbox on a simulated network, and the results that it has noted."""

    def __init__(self, network: Network, broker: SimulatedBroker) -> None:
        self.network = network
        self.outbox = Outbox(broker, asyncio.get_running_loop(), MOST)
        self.done: list[Stored] = []
        self.encoded: list[Any] = []

    def queue(self, retention: Retention, name: str = "name") -> Queue:
        """Return the queue of a key."""
        return self.outbox.queue(name, retention, self.record, self.note)

    def note(self, result: Stored, value: Any) -> None:
        """Note the result of a value."""
        self.done.append(result)

    def record(self, value: Any) -> Record:
        """Make a record of a text; of ``["row", "text"]`` one of a row, and None removes it."""
        self.encoded.append(value)
        if value == "bad":
            raise ValueError("cannot encode bad")
        if value == "panic":
            raise SystemExit("cannot encode panic")
        if isinstance(value, list):
            row, text = value
            return Record(None if text is None else text.encode(), row.encode())
        return Record(value.encode())

    def publish(self, retention: Retention, *values: Any, name: str = "name") -> list[Receipt]:
        """Publish values, and return their receipts."""
        receipts = [Receipt("topic '/name'") for _ in values]
        for value, receipt in zip(values, receipts, strict=True):
            self.queue(retention, name).publish(value, receipt)
        return receipts

    def log(self, name: str = "name") -> StoredLog:
        """Return a log at the server."""
        return self.network.server.logs[name]

    def stored(self, name: str = "name") -> list[bytes | None]:
        """Return the payloads that the server retains."""
        return [record.payload for _, record in self.log(name).entries] if name in self.network.server.logs else []


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Give an outbox on a calm network."""
    network = Network()
    async with SimulatedBroker(network) as broker:
        await turns(5)  # the process announces itself first
        yield Bench(network, broker)
        network.clear_up()
        await running().pass_time(2 * LONGEST_PAUSE)


async def test_one_round_trip_per_turn() -> None:
    """All that is published in one turn of the loop leaves in one call, as one post per key."""
    async with bench() as b:
        receipts = b.publish(LAST, "a", "b", "c") + b.publish(LAST, "d", name="other")
        assert [receipt.done() for receipt in receipts] == [False] * 4
        await turns(2)
        assert len(b.network.requests) <= 1
        await turns(5)
        assert b.network.published == 2
        assert [(await receipt).offset for receipt in receipts] == [1, 2, 3, 1]
        assert (b.stored(), b.stored("other")) == ([b"a", b"b", b"c"], [b"d"])
        assert b.outbox.waiting == 0


async def test_next_post_waits_for_the_results() -> None:
    """Values of a key that come while a post is in progress are sent together, after it; other keys do not wait."""
    async with bench() as b:
        b.network.is_calm = False
        b.publish(LAST, "a")
        await turns(3)
        b.publish(LAST, "b")
        b.publish(LAST, "c")
        b.publish(LAST, "d", name="other")
        await turns(3)
        assert len(b.network.requests) == 2
        b.network.clear_up()
        await running().pass_time(PAUSE)
        assert (b.network.published, b.stored()) == (3, [b"a", b"b", b"c"])


async def test_posts_of_a_busy_key_are_apart() -> None:
    """A key that keeps all values gathers them for a moment after each post, unless its publisher awaits receipts."""
    async with bench() as b:
        b.publish(LAST, "a")
        await turns(10)
        b.publish(LAST, "b")
        await turns(10)
        (c,) = b.publish(LAST, "c")
        assert b.stored() == [b"a"]
        await running().pass_time(PAUSE)
        assert (b.network.published, b.stored()) == (2, [b"a", b"b", b"c"])
        assert c.done()
        await running().pass_time(PAUSE)
        for _ in range(3):
            (receipt,) = b.publish(LAST, "d")
            waiting = asyncio.ensure_future(receipt)
            await turns(20)
            assert waiting.done()


async def test_newest_value_stands_for_all() -> None:
    """Only the newest value of a turn is sent; receipts of the others get its position."""
    async with bench() as b:
        receipts = b.publish(LATEST, "a", "b", "c")
        assert b.encoded == []
        await turns(8)
        assert (b.stored(), b.encoded) == ([b"c"], ["c"])
        assert {await receipt for receipt in receipts} == {Position(b.log().epoch, 1)}
        assert (len(b.done), b.outbox.waiting) == (1, 0)


async def test_newest_row_stands_for_all() -> None:
    """Only the newest value of each row is sent, in the order of the last changes; the result is that of its row."""
    async with bench() as b:
        changes = [["1", "a"], ["2", "b"], ["1", "c"], ["3", "d"], ["4", "e"], ["3", None]]
        receipts = b.publish(TABLE, *changes)
        await turns(8)
        # Row 3 is gone before it was there, so that row 4 has room.
        assert b.stored() == [b"b", b"c", b"e"]
        assert [(await receipt).offset for receipt in receipts] == [2, 1, 2, 3, 3, 3]


async def test_refused_row_is_an_error_of_its_own_receipt() -> None:
    """A table without room refuses one record of a post, and stores the others."""
    async with bench() as b:
        receipts = b.publish(TABLE, *([str(number), "a"] for number in range(4)))
        await turns(8)
        assert b.stored() == [b"a"] * 3
        assert [receipt.done() for receipt in receipts] == [True] * 4
        with pytest.raises(LogFull):
            await receipts[3]


async def test_newest_values_are_sent_at_a_bounded_rate() -> None:
    """A value that changes in every turn costs the broker 60 posts per second; the first one leaves at once."""
    async with bench() as b:
        for number in range(400):
            b.queue(LATEST).put(f"{number}")
            await running().pass_time(0.0025)
        assert RATE - 2 <= b.network.published <= RATE + 1
        await running().pass_time(1.0)
        assert b.stored() == [b"399"]
        published = b.network.published
        b.queue(LATEST).put("after a quiet time")
        await turns(6)
        assert b.network.published == published + 1


async def test_values_that_can_change_are_encoded_when_they_enter() -> None:
    """A list that changes after it was published is sent as it was; so is everything of a log that keeps all values."""
    async with bench() as b:
        value = ["1", "a"]
        b.queue(LATEST).put(value)
        value[1] = "b"
        b.queue(LAST, "other").put("c")
        assert b.encoded == [value, "c"]
        await turns(8)
        assert b.stored() == [b"a"]


async def test_value_that_cannot_be_encoded_is_its_publishers_error() -> None:
    """An error of the encoder goes to the publisher; where it is encoded later, to the receipt. Others are sent."""
    async with bench() as b:
        with pytest.raises(ValueError, match="cannot encode bad"):
            b.publish(LAST, "bad")
        (receipt,) = b.publish(LATEST, "bad", name="newest")
        (other,) = b.publish(LATEST, "panic", name="other")
        b.publish(LAST, "good")
        await turns(8)
        with pytest.raises(ValueError, match="cannot encode bad"):
            await receipt
        with pytest.raises(RuntimeError, match="SystemExit"):
            await other
        assert (b.stored(), b.stored("newest")) == ([b"good"], [])
        assert b.outbox.waiting == 0
        b.publish(LATEST, "good", name="newest")
        await running().pass_time(1.0)
        assert b.stored("newest") == [b"good"]


async def test_topics_are_refused_at_the_bound() -> None:
    """While the broker is down, a topic's values wait up to the bound; one more raises BacklogFull, and is not sent."""
    async with bench() as b:
        b.network.go_down()
        receipts: list[Receipt] = []
        while b.outbox.waiting + 1100 < MOST:
            receipts += b.publish(LAST, f"{len(receipts)}")
        b.publish(LAST, "x" * (MOST - b.outbox.waiting - 512 - len("name")))
        with pytest.raises(BacklogFull) as caught:
            b.publish(LAST, "y")
        waiting = b.outbox.waiting
        assert waiting == caught.value.waiting == MOST
        await running().pass_time(1.0)
        assert (b.outbox.waiting, any(receipt.done() for receipt in receipts)) == (waiting, False)
        b.network.is_up = True
        await running().pass_time(3.0)
        assert b.stored()[:-1] == [b"%d" % number for number in range(len(receipts))]
        assert [(await receipt).offset for receipt in receipts] == [*range(1, len(receipts) + 1)]
        assert b.outbox.waiting == 0


async def test_one_value_is_always_taken() -> None:
    """A value larger than the bound is taken while nothing waits."""
    async with bench() as b:
        b.publish(LAST, "x" * 2 * MOST)
        with pytest.raises(BacklogFull):
            b.publish(LAST, "y")
        await turns(8)
        assert [len(payload or b"") for payload in b.stored()] == [2 * MOST]


async def test_newest_values_replace_each_other_at_the_bound() -> None:
    """A newest value or row is taken in place of one that takes as much; further keys and rows are refused."""
    async with bench() as b:
        b.network.go_down()
        b.publish(LATEST, "100", name="newest")
        b.publish(TABLE, *[[str(number), "100"] for number in range(3)], name="table")
        b.publish(LAST, "x" * (MOST - b.outbox.waiting - 512 - len("name")))
        for number in range(100, 500):
            b.publish(LATEST, f"{number}", name="newest")
            b.publish(TABLE, [str(number % 3), f"{number}"], name="table")
        for kind, name, value in (
            (LATEST, "further", "1"), (LATEST, "newest", "larger"), (TABLE, "table", ["further", "1"]),
            (TABLE, "table", ["1", "larger"]), (TABLE, "table", ["further", None]),
        ):  # fmt: skip
            with pytest.raises(BacklogFull):
                b.publish(kind, value, name=name)
        assert b.outbox.waiting == MOST
        b.network.is_up = True
        await running().pass_time(3.0)
        assert (b.stored("newest"), b.stored("table")) == ([b"499"], [b"497", b"498", b"499"])
        assert b.outbox.waiting == 0


@pytest.mark.parametrize("value", ["x" * MOST, b"x" * MOST, 10 ** (3 * MOST)], ids=type)
async def test_newest_values_count_with_their_size(value: Any) -> None:
    """A newest value counts with its size although it is encoded later; a smaller one in its place frees the rest."""
    async with bench() as b:
        b.network.go_down()
        b.publish(LATEST, value)
        assert b.outbox.waiting > MOST
        with pytest.raises(BacklogFull):
            b.publish(LATEST, "x", name="other")
        b.publish(LATEST, "small")
        b.publish(LATEST, "x", name="other")
        assert b.outbox.waiting < MOST // 2
        b.publish(LATEST, "\N{SNOWMAN}" * 1000)
        await turns(5)
        assert b.outbox.waiting == 2 * 512 + len("name") + 3000 + len("other") + 1  # they are encoded by now


async def test_receipts_that_nothing_awaits_do_not_gather() -> None:
    """A replaced value's receipt is dropped once its publisher has dropped it."""
    async with bench() as b:
        b.network.go_down()
        for number in range(200):
            b.publish(LATEST, f"{number}")
        gc.collect()
        assert sum(type(each) is Receipt for each in gc.get_objects()) < 10


async def test_generators_wait_for_room() -> None:
    """A generator's values are never refused; it waits until results have made room."""
    async with bench() as b:
        b.network.is_calm = False
        sent = 0

        async def generate() -> None:
            nonlocal sent
            for number in range(100):
                b.queue(LAST).put(f"{number}")
                sent += 1
                if b.outbox.is_full():
                    await b.outbox.room()

        task = asyncio.create_task(generate())
        await turns(50)
        assert sent < 100
        assert b.outbox.waiting <= MOST + 600
        b.network.clear_up()
        await running().pass_time(1.0)
        assert (task.done(), len(b.stored())) == (True, 100)


async def test_large_backlog_is_sent_in_several_posts() -> None:
    """One post takes a bounded number of bytes, so that no command becomes too large; order is kept."""
    async with bench() as b:
        for number in range(3):
            b.queue(LAST).put(str(number) * POST_BYTES)
        await turns(20)
        assert b.network.published == 3
        assert [(payload or b"")[:1] for payload in b.stored()] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("is_performed", [True, False])
async def test_lost_reply_stores_nothing_twice(is_performed: bool) -> None:
    """A post is sent again after its answer was lost; the receipts get the positions that it has got in the end."""
    async with bench() as b:
        b.network.is_calm = False
        receipts = b.publish(LAST, "a", "b")
        await turns(3)
        (request,) = b.network.requests
        if is_performed:
            request.perform()
        b.network.requests.clear()
        request.lose()
        await turns(3)
        b.publish(LAST, "c")
        b.network.clear_up()
        await running().pass_time(2 * FIRST_PAUSE)
        assert b.stored() == [b"a", b"b", b"c"]
        assert [(await receipt).offset for receipt in receipts] == [1, 2]


@pytest.mark.parametrize("retention", [LAST, LATEST])
async def test_end_of_a_queue_can_be_awaited(retention: Retention) -> None:
    """A key counts as sent once the results of all its values are known; a key without values does already. Meanwhile,
    its posts follow each other without a pause."""
    async with bench() as b:
        await b.outbox.sent(b.queue(retention))
        b.network.is_calm = False
        receipts = b.publish(retention, "a")
        await turns(3)
        receipts += b.publish(retention, "b")
        sending = asyncio.create_task(b.outbox.sent(b.queue(retention)))
        await turns(3)
        assert not sending.done()
        b.network.clear_up()
        await until(sending.done)  # which lets no time pass
        assert [receipt.done() for receipt in receipts] == [True, True]


async def test_queue_rests_again_when_its_end_is_not_awaited_any_more() -> None:
    """A wait for the end that is cancelled does not change the distance of later posts."""
    async with bench() as b:
        b.network.is_calm = False
        b.publish(LAST, "a")
        sending = asyncio.create_task(b.outbox.sent(b.queue(LAST)))
        await turns(3)
        b.publish(LAST, "b")
        sending.cancel()
        await turns(3)
        b.network.is_calm = True
        b.network.clear_up()
        await turns(20)
        assert b.stored() == [b"a"]
        await running().pass_time(PAUSE)
        assert b.stored() == [b"a", b"b"]


async def test_stop_before_a_post_has_begun() -> None:
    """A stop that comes right after a post was made settles its receipts, too, and ends in order."""
    async with bench() as b:
        b.network.is_calm = False
        receipts = b.publish(LAST, "a") + b.publish(LAST, "b", name="other")
        await turns(1)
        receipts += b.publish(LAST, "c", name="third")
        await b.outbox.close(0.0)
        for receipt in receipts:
            with pytest.raises(Stopped):
                await receipt


async def test_close_sends_what_waits() -> None:
    """Values that were published before the end are stored, those that rest included."""
    async with bench() as b:
        receipts = b.publish(LATEST, "a")
        await turns(6)
        receipts += b.publish(LATEST, "b") + b.publish(LAST, "c", name="other")
        await b.outbox.close(5.0)
        assert [(await receipt).offset for receipt in receipts] == [1, 2, 1]


async def test_close_fails_what_cannot_be_sent() -> None:
    """If the broker does not answer in time, receipts fail, generators go on, and later values are refused."""
    async with bench() as b:
        b.network.go_down()
        receipts = b.publish(LAST, "a")
        await turns(5)
        receipts += b.publish(LAST, "b")
        b.queue(LAST).put("x" * MOST)
        waiting = asyncio.gather(b.outbox.room(), b.outbox.sent(b.queue(LAST)))
        closing = asyncio.create_task(b.outbox.close(5.0))
        await running().pass_time(6.0)
        assert (closing.done(), waiting.done(), b.outbox.waiting) == (True, True, 0)
        receipts += b.publish(LAST, "c")
        for receipt in receipts:
            with pytest.raises(Stopped):
                await receipt
        await running().pass_time(6.0)
        assert b.network.published == 0


async def growth(done: Sequence[object], count: int) -> int:
    """Wait until something has grown to a length; return the most by which it grew in one turn of the loop."""
    most, before = 0, len(done)
    for _ in range(3 * count):
        await asyncio.sleep(0)
        most, before = max(most, len(done) - before), len(done)
        if before >= count:
            return most
    raise AssertionError(f"{before} instead of {count}")


async def test_many_results_are_noted_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The results of thousands of records hold up no other work of the loop."""
    monkeypatch.setattr(hub_turns, "SLICE", 0.0)
    async with bench() as b:
        b.outbox.most = 1 << 20
        receipts = b.publish(LAST, *map(str, range(500))) + b.publish(LAST, *map(str, range(500)), name="other")
        assert await growth(b.done, 1000) == 1
        assert [(await receipt).offset for receipt in receipts] == [*range(1, 501), *range(1, 501)]


@pytest.mark.parametrize("keys", [1, 500])
async def test_many_publications_fail_in_turns(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    """A stop without the broker holds up no other work, whether records wait behind a post, or are in it."""
    monkeypatch.setattr(hub_turns, "SLICE", 0.0)
    async with bench() as b:
        b.outbox.most = 1 << 20
        b.network.go_down()
        receipts = [each for at in range(500) for each in b.publish(LAST, "a", name=str(at % keys))]
        await turns(5)
        receipts += [each for at in range(500) for each in b.publish(LAST, "b", name=str(at % keys))]
        closing = asyncio.create_task(b.outbox.close(0.0))
        assert await growth(b.done, 1000) == 1
        late = b.publish(LAST, "c", name="0")
        await closing
        assert b.outbox.waiting == 0
        for receipt in receipts + late + b.publish(LAST, "d", name="0"):
            with pytest.raises(Stopped):
                receipt.result(0)


async def test_abandoned_values_make_room() -> None:
    """An abandoned queue fails what waits in it, so that generators get room; what it has sent is stored."""
    async with bench() as b:
        b.network.is_calm = False
        (first,) = b.publish(LAST, "a")
        await turns(5)
        queue = b.queue(LAST)
        queue.put("b" * MOST)
        waiting = asyncio.create_task(b.outbox.room())
        b.outbox.abandon(queue, Stopped("/name"))
        await turns(5)
        assert waiting.done()
        (last,) = b.publish(LAST, "c")
        await turns(5)
        b.network.clear_up()
        await running().pass_time(1)
        assert [(await each).offset for each in (first, last)] == [1, 2]
        assert (b.stored(), b.outbox.waiting) == ([b"a", b"c"], 0)


async def test_values_that_cannot_be_encoded_make_room() -> None:
    """A generator that waits for room goes on when all that filled it has failed."""
    async with bench() as b:
        b.outbox.most = 100
        b.publish(LATEST, "bad")
        assert b.outbox.is_full()
        waiting = asyncio.create_task(b.outbox.room())
        await turns(5)
        assert waiting.done()


async def test_value_for_a_queue_that_was_refused() -> None:
    """A generator that has its queue still puts its next value into it: the value is refused, too."""
    async with bench() as b:
        b.network.go_down()
        queue = b.queue(LAST)
        queue.put("a")
        await b.outbox.close(0.0)
        queue.put("b")
        assert list(map(type, b.done)) == [Stopped, Stopped]
        assert b.outbox.waiting == 0


STEPS = st.lists(st.sampled_from(["publish", "turn", "lose", "lose answer", "answer"]), max_size=40)


@given(STEPS)
def test_every_value_is_stored_once_and_in_order(steps: list[str]) -> None:
    """Whatever requests and answers are lost, the log has each value once, in order, where the receipt says."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(stormy(steps))


async def stormy(steps: list[str]) -> None:
    """Publish on a network that loses what the steps say."""
    async with bench() as b:
        b.network.is_calm = False
        receipts: list[Receipt] = []
        for step in steps:
            if step == "publish":
                receipts += b.publish(LAST, f"{len(receipts)}")
            elif step == "turn":
                await turns(1)
                await running().pass_time(0.5)
            elif b.network.requests:
                request = b.network.requests.pop(0)
                if step != "lose":
                    request.perform()
                request.reply() if step == "answer" else request.lose()
        b.network.clear_up()
        await running().pass_time(3.0)
        assert b.stored() == [b"%d" % number for number in range(len(receipts))]
        assert [(await receipt).offset for receipt in receipts] == [*range(1, len(receipts) + 1)]


async def test_a_broker_that_answers_for_other_records() -> None:
    """Results that do not match the posts are an error of the broker: receipts get it, and later values are sent."""

    class Confused(SimulatedBroker):
        is_confused = True

        async def publish(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
            results = await super().publish(posts)
            return [each[1:] for each in results] if self.is_confused else results

    network = Network()
    async with Confused(network) as broker:
        bench = Bench(network, broker)
        receipts = bench.publish(LAST, "a", "b")
        await turns(20)
        for receipt in receipts:
            with pytest.raises(ValueError, match="results"):
                receipt.result(0)
        broker.is_confused = False
        (receipt,) = bench.publish(LAST, "c")
        await running().pass_time(PAUSE)
        assert receipt.result(0).offset == 3
        await bench.outbox.close(1)


class Odd(BaseException):
    """An exception that is not an error."""


@pytest.mark.parametrize("error", [ArithmeticError(), SystemExit(), asyncio.CancelledError(), Odd()])
@pytest.mark.parametrize("where", ["receipt", "done"])
async def test_failure_to_note_a_result_concerns_no_other(where: str, error: BaseException) -> None:
    """An error of a callback is logged: the other receipts have their results, and later values are sent."""

    def fail(*outcome: object) -> None:
        raise error

    async with bench() as b:
        receipts = [Receipt("topic '/name'") for _ in range(2)]
        queue = b.outbox.queue("name", LAST, b.record, fail if where == "done" else b.note)
        for receipt in receipts:
            if where == "receipt":
                on_settled(receipt, fail)
            queue.publish("a", receipt)
        receipts += b.publish(LAST, "b", name="other")
        await running().pass_time(PAUSE)
        receipts += b.publish(LAST, "c") + b.publish(LAST, "d", name="other")
        await running().pass_time(PAUSE)
        assert [receipt.result(0).offset for receipt in receipts] == [1, 2, 1, 3, 2]
        assert b.outbox.waiting == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_post_that_ends_unexpectedly() -> None:
    """Its values fail with the reason, and later ones of its keys are sent."""

    class Ending(SimulatedBroker):
        ends = True

        async def publish(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
            if self.ends:
                self.ends = False
                raise Odd
            return await super().publish(posts)

    network = Network()
    async with Ending(network) as broker:
        b = Bench(network, broker)
        for receipt in b.publish(LAST, "a", "b") + b.publish(LATEST, "c", name="other"):
            with pytest.raises(RuntimeError, match="Odd"):
                await receipt
        receipts = b.publish(LAST, "d") + b.publish(LATEST, "e", name="other")
        await running().pass_time(1.0)
        assert [receipt.result(0).offset for receipt in receipts] == [1, 1]
        await b.outbox.close(1)


async def test_encoder_that_ends_in_an_odd_way_fails_its_own_value() -> None:
    """A newest value is encoded when it is sent: whatever its serializer raises, other keys are sent, too."""

    def exits(value: str) -> Record:
        if value == "bad":
            raise SystemExit
        return Record(value.encode())

    async with bench() as b:
        receipts = [Receipt("topic '/name'") for _ in range(3)]
        queue = b.outbox.queue("name", LATEST, exits, b.note)
        queue.publish("bad", receipts[0])
        b.queue(LAST, "other").publish("a", receipts[1])
        with pytest.raises(RuntimeError, match="SystemExit"):
            await receipts[0]
        queue.publish("good", receipts[2])
        await running().pass_time(1.0)
        assert [receipt.result(0).offset for receipt in receipts[1:]] == [1, 1]


@pytest.mark.parametrize("retention", [LATEST._replace(size=1 << 24), TABLE._replace(size=1 << 24)])
async def test_pieces_that_wait_are_not_joined_without_end(
    retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces that have waited for long travel as several records, which no broker refuses as too large; all arrive."""
    row = b"1" if retention.kind == "table" else None
    value, pieces = b'{"text":""}' if row else b"", [b"%06d" % number * 100 for number in range(400)]
    async with bench() as each:
        sent: list[Record] = []
        broker = each.outbox._broker
        publish = broker.publish

        async def noted(posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
            sent.extend(record for post in posts for record in post.records)
            return await publish(posts)

        monkeypatch.setattr(broker, "publish", noted)
        outbox = Outbox(broker, running(), 1 << 24)
        queue = outbox.queue("name", retention, lambda value: value, lambda result, value: None)
        receipts = [Receipt("topic '/name'") for _ in range(401)]
        queue.publish(Record(value, row), receipts[0])
        for piece, receipt in zip(pieces, receipts[1:], strict=True):
            queue.publish(Record(piece, row, grows=True), receipt)
        await running().pass_time(5)
        assert max(len(record.payload or b"") for record in sent) <= PIECE_BYTES
        assert len(sent) == 4
        texts = [(record.payload or b"").removesuffix(ROW_END if row and not record.grows else b"") for record in sent]
        assert b"".join(texts).removeprefix(b'{"text":"') == b"".join(pieces)
        last = Position(each.log().epoch, each.log().head)
        assert [await receipt for receipt in receipts] == [last] * 401
        assert outbox.waiting == 0
