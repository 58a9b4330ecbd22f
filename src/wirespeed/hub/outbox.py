"""The outbox: records that wait for the broker, per key, and their way there.

Publishing never waits. A key's queue holds what the broker does not have yet: the newest value, the newest of each row,
or all of them, as the key's log retains them. Once per turn of the event loop, everything that waits is sent in one
round trip, as one post per key. The next post of a key is sent when the results of the one before have arrived, so
that the order of a key's values never depends on the network.
"""

import asyncio
import json
import secrets
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import Any

from ..brokers.broker import Broker, Post, Stored
from ..definitions import Receipt, is_awaited
from ..errors import BacklogFull, BrokerDown, Fenced, NoSuchRow, Stopped
from ..isolation import log_error
from ..lanes.lane import nothing
from ..log.base import IMMUTABLE
from ..log.position import Position
from ..log.record import Record, Retention, contents
from ..runs.outcome import Completed, failed_by, run_now
from .item import Item
from .turns import run_in_turns

RATE = 60.0
"""Posts per second of a key whose newer values replace older ones; pages do not paint more often."""

PAUSE = 0.004
"""Seconds between two posts of a key that keeps all values. A post costs as much as ten values, so a key with thousands
of values per second gathers them. The first value after a pause does not wait, nor the one after an awaited one."""

POST_BYTES = 1024 * 1024
"""Bytes after which a post takes no further record; what is left goes into the next one."""

FIRST_PAUSE = 0.05
"""Seconds before a post is sent again whose results were lost; twice as many each time, up to ``LONGEST_PAUSE``."""
LONGEST_PAUSE = 1.0
RETRY = 0.5
"""Seconds between two attempts to end a log while the broker cannot be reached."""

_BESIDE = 512
"""Bytes that a record takes beside its payload and its key, about."""


class Queue:
    """The values of one key that the broker does not have yet; made by :meth:`Outbox.queue`.

    Attributes:
        fence: Token of the lease that this process holds for the key; None if the key has no lease.
        retention: The entries that the key's log retains.
        rests_until: Time before which the next post must not be sent.
    """

    def __init__(
        self,
        outbox: "Outbox",
        name: str,
        retention: Retention,
        record: Callable[[Any], Record],
        done: Callable[[Stored, Any], None],
        rate: float,
        fence: str | None,
    ) -> None:
        self.name = name
        self.fence = fence
        self.rests_until = 0.0
        self._outbox = outbox
        self.retention = retention
        self._record = record
        self._done = done
        self._kind = retention.kind
        self._beside = _BESIDE + len(name)
        self._interval = PAUSE if retention.kind == "last" else 1 / rate
        self._numbers = count()
        self._waiting: dict[Hashable, Item] = {}
        self._is_whole = False
        """True if all that waits is sent in one post, however large."""
        self._is_busy = False
        """True if the outbox has the queue: it is due, its post is in progress, or it rests."""

    def publish(self, value: Any, receipt: Receipt | None = None) -> None:
        """Take a value, for a publisher that cannot wait.

        Where newer values replace older ones, the receipt of a replaced value gets the result of its replacement.

        Raises:
            BacklogFull: Too many bytes would wait. A value that takes no more than the one that it replaces is taken.
            Exception: Errors of the encoder.
        """
        record, size = self._taken(value)
        slot, outbox = self._slot(record), self._outbox
        if outbox.waiting and outbox.waiting + size > outbox.most:
            old = None if _grows(record) else self._waiting.get(slot)
            if old is None or size > old.size:
                raise BacklogFull(self.name, outbox.waiting)
        self._put(slot, record, size, receipt)

    def put(self, value: Any) -> None:
        """Take a value of a generator, which waits for :meth:`Outbox.room` before the next one.

        Raises:
            Exception: Errors of the encoder.
        """
        record, size = self._taken(value)
        self._put(self._slot(record), record, size, None)

    def keep_together(self) -> None:
        """Send everything that waits now in one post: it is a whole table, which no one must see in parts."""
        self._is_whole = True

    def _taken(self, value: Any) -> tuple[Any, int]:
        # At 100,000 values per second, of which 60 are sent, most are never encoded.
        if self._kind == "latest" and (size_of := IMMUTABLE.get(type(value))) is not None:
            return value, self._beside + size_of(value)
        record = self._record(value)
        return record, self._beside + contents(record)

    def _slot(self, record: Any) -> Hashable:
        """Return what the values that replace each other have in common."""
        if self._kind == "latest":
            return None
        return record.row if self._kind == "table" else next(self._numbers)

    def _put(self, slot: Hashable, value: Any, size: int, receipt: Receipt | None) -> None:
        waiting, item = self._waiting, Item(value, size, receipt)
        # Taken out first: a row that changes again goes behind the others.
        if (old := waiting.get(slot)) is not None:
            if type(value) is Record and value.grows:
                self._check_row(old)
                item.extend(old)
            else:
                item.replace(old)
                size -= old.size
            del waiting[slot]
        waiting[slot] = item
        self._outbox.waiting += size
        if not self._is_busy:
            self._is_busy = True
            self._outbox.wake(self)

    def _check_row(self, old: Item) -> None:
        """Make sure that a piece can follow what waits.

        Raises:
            NoSuchRow: It is the removal of the piece's row.
        """
        if type(old.value) is Record and old.value.payload is None:
            raise NoSuchRow(json.loads(old.value.row or b"null"))

    # Called by the outbox

    def take(self, now: float) -> list[tuple[Item, Record]]:
        """Take the records of the next post, as they are now."""
        self.rests_until = now + self._interval
        taken = []
        for item in self._taken_out():
            record = item.value if type(item.value) is Record else self._encoded(item)
            if record is not None:
                taken += [(item, record)] if item.more is None else item.parts(record, is_row=self._kind == "table")
        return taken

    def _taken_out(self) -> list[Item]:
        waiting, size, first = self._waiting, 0, 0
        for first, item in enumerate(waiting.values(), 1):  # noqa: B007 - counts
            size += item.size
            if size >= POST_BYTES and not self._is_whole:
                break
        if first == len(waiting):
            self._waiting, self._is_whole = {}, False
            return list(waiting.values())
        self.rests_until = 0.0  # there is too much for one post
        # All at once: each look for the first item of a dict passes all that were taken out before.
        return [waiting.pop(slot) for slot in list(islice(waiting, first))]

    def _encoded(self, item: Item) -> Record | None:
        value = item.value
        outcome = run_now(partial(self._record, value))
        if not isinstance(outcome, Completed):
            self.settle(item, failed_by(outcome.error).exception)
            return None
        item.value = record = outcome.value  # not the value: both would wait, and one would be counted
        grown = contents(record) - IMMUTABLE[type(value)](value)
        item.size += grown
        self._outbox.waiting += grown
        return record

    def post(self, records: Sequence[Record], writer: str, batch: int) -> Post:
        return Post(self.name, self.retention, records, writer, batch, self.fence)

    def settle(self, item: Item, result: Stored) -> None:
        """Note the result of one record."""
        self._outbox.waiting -= item.size
        try:
            if item.receipt is not None or item.replaced is not None:
                item.settle(result)
                if self._kind == "last" and item.receipt is not None and is_awaited(item.receipt):
                    self.rests_until = 0.0
            self._done(result, item.value)
        except BaseException as error:  # it would end the post, and the other records would have no results
            if isinstance(error, KeyboardInterrupt):
                raise
            log_error(error, "The result of a publication could not be noted.")

    def is_empty(self) -> bool:
        """Note that no post is in progress; return True if nothing is left to send."""
        self._is_busy = bool(self._waiting)
        return not self._is_busy

    def refuse(self, error: Exception) -> Iterator[None]:
        """Fail everything that waits, one record in each step."""
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            for item in waiting.values():
                self.settle(item, error)
                yield


_Sending = tuple[Queue, list[tuple[Item, Record]], Post]
"""A queue, the items that were taken from it, and their post."""


class Outbox:
    """The queues of all keys, and one bound for the bytes in them.

    Args:
        most: Bytes that may wait, those in posts without results included; one value always may.

    Attributes:
        waiting: Bytes that wait now. Newest values count, too, but are taken beyond the bound.
        reserved: Bytes among them that are in no queue.
    """

    def __init__(self, broker: Broker, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self.most = most
        self.waiting = self.reserved = 0
        self._broker = broker
        self._loop = loop
        self._writer = secrets.token_hex(8)
        self._batches = count(1)
        self._queues: dict[tuple[str, str | None], Queue] = {}
        self._due: list[Queue] = []
        self._handle: asyncio.Handle | None = None
        self._posting: set[asyncio.Task[None]] = set()
        self._rests: dict[Queue, asyncio.TimerHandle] = {}
        self._room: deque[asyncio.Future[None]] = deque()
        self._ends: dict[Queue, asyncio.Future[bool]] = {}
        self._awaited: Counter[tuple[str, str | None]] = Counter()
        self._is_over = False

    def queue(
        self,
        name: str,
        retention: Retention,
        record: Callable[[Any], Record],
        done: Callable[[Stored, Any], None],
        rate: float = RATE,
        fence: str | None = None,
    ) -> Queue:
        """Return the queue of a key and a fence, which exists once as long as it holds anything.

        Args:
            done: Called with the result of each record that was sent and its value; a value that was replaced is not
                sent.
            rate: Posts per second at most, where newer values replace older ones.
            fence: Token of the lease that this process holds for the key; None if the key has no lease.
        """
        return self._queues.get((name, fence)) or Queue(self, name, retention, record, done, rate, fence)

    def is_full(self) -> bool:
        """Return True if generators have to wait for room."""
        return self.waiting >= self.most

    async def room(self) -> None:
        """Wait until fewer bytes wait than may."""
        while self.is_full():
            self._room.append(future := self._loop.create_future())
            await future

    async def sent(self, queue: Queue) -> None:
        """Wait until nothing of a queue waits any more, and the results have arrived."""
        key = queue.name, queue.fence
        self._awaited[key] += 1
        try:
            while (future := self.sending(queue)) is not None:
                await asyncio.wait([future])
        finally:
            self._awaited[key] -= 1
            if not self._awaited[key]:
                del self._awaited[key]

    def sending(self, queue: Queue) -> "asyncio.Future[bool] | None":
        """Return a future for the end of a queue; None if nothing of it waits. It is False if the outbox was closed."""
        key = queue.name, queue.fence
        if (known := self._queues.get(key)) in self._rests:
            self._go_on(known)
        if known is None or self._queues.get(key) is not known:
            return None
        if known not in self._ends:
            self._ends[known] = self._loop.create_future()
        return self._ends[known]

    def reserve(self, name: str) -> int:
        """Count something that waits for the broker beside the queues, until :meth:`release`; return its bytes.

        Raises:
            BacklogFull: Too many bytes would wait.
        """
        size = _BESIDE + len(name)
        if self.waiting and self.waiting + size > self.most:
            raise BacklogFull(name, self.waiting)
        self.waiting += size
        self.reserved += size
        return size

    def release(self, size: int) -> None:
        """Count bytes no more that were reserved."""
        self.waiting -= size
        self.reserved -= size
        self._make_room()

    async def end(self, queue: Queue, fenced: Callable[[], None] = nothing) -> Position | None:
        """End a log behind everything in its queue, however long the broker is away; return its newest position.

        Args:
            fenced: Called each time the broker refuses the end, because another process holds the log's lease.
        """
        while True:
            await self.sent(queue)
            try:
                return await self._broker.end(queue.name, queue.retention, queue.fence)
            except Fenced:
                fenced()
            except BrokerDown:
                pass
            await asyncio.sleep(RETRY)

    def wake(self, queue: Queue) -> None:
        """Note that a queue has something to send; called once until it was sent.

        Only from now on the outbox knows the queue: one that holds nothing is not kept.
        """
        if self._is_over:
            deque(self._refuse([queue]), maxlen=0)
            return
        self._queues[queue.name, queue.fence] = queue
        self._due.append(queue)
        if self._handle is None:
            self._handle = self._loop.call_soon(self._flush)

    async def close(self, timeout: float) -> int:
        """Send what waits, wait for the results, and fail what is left then; return its bytes."""
        deadline = self._loop.time() + timeout
        while self._queues and (seconds := deadline - self._loop.time()) > 0:
            for queue in list(self._rests):
                self._go_on(queue)
            self._flush()
            if self._posting:
                await asyncio.wait(self._posting, timeout=seconds)
        self._is_over = True
        left = self.waiting - self.reserved
        self._due.clear()
        await asyncio.sleep(0)  # every post begins: one that is cancelled before its first turn would settle nothing
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        await run_in_turns(self._refuse(list(self._queues.values())))
        self._make_room()
        return left

    def _refuse(self, queues: Sequence[Queue]) -> Iterator[None]:
        """Fail everything in queues for good, one record in each step."""
        for queue in queues:
            yield from queue.refuse(Stopped(queue.name))
            queue.is_empty()
            self._forget(queue)

    def abandon(self, queue: Queue, error: Exception) -> None:
        """Fail what waits in a queue, in slices; what the broker is storing is not affected."""
        self._posting.add(task := self._loop.create_task(self._abandon(queue, error)))
        task.add_done_callback(self._posting.discard)

    async def _abandon(self, queue: Queue, error: Exception) -> None:
        try:
            await run_in_turns(queue.refuse(error))
        finally:
            self._make_room()

    # Sending

    def _flush(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        due, self._due = self._due, []
        now = self._loop.time()
        taken = [(queue, queue.take(now)) for queue in due]
        if taken:
            self._posting.add(task := self._loop.create_task(self._post(taken)))
            task.add_done_callback(self._posting.discard)

    async def _post(self, taken: Sequence[tuple[Queue, list[tuple[Item, Record]]]]) -> None:
        waiting: deque[_Sending] = deque()
        for queue, items in taken:
            if items:
                records = [record for _, record in items]
                waiting.append((queue, items, queue.post(records, self._writer, next(self._batches))))
            else:
                self._sent(queue)
        self._make_room()  # values that could not be encoded have left it
        pause = FIRST_PAUSE
        try:
            # The numbers of the batches make sure that nothing is stored twice.
            while waiting:
                await self._settle(waiting, await self._results([post for _, _, post in waiting]))
                if waiting:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        except asyncio.CancelledError:
            await self._settle(waiting, [[Stopped(queue.name)] * len(items) for queue, items, _ in waiting])
        except BaseException as error:  # its queues would be busy forever
            await self._settle(waiting, [[failed_by(error).exception] * len(items) for _, items, _ in waiting])
            raise

    async def _results(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored] | None]:
        """Publish, and return the results of each post; None if they are unknown."""
        try:
            results = await self._broker.publish(posts)
            # Checked here: a queue whose results do not fit would otherwise be busy forever, and never sent again.
            if list(map(len, results)) != [len(post.records) for post in posts]:
                raise ValueError("the results of the broker do not match the records that were published")
        except BrokerDown:
            return [None] * len(posts)
        except Exception as error:
            return [[error] * len(post.records) for post in posts]
        return [None if _is_to_repeat(post, stored) else stored for post, stored in zip(posts, results, strict=True)]

    async def _settle(self, waiting: deque[_Sending], results: Sequence[Sequence[Stored] | None]) -> None:
        """Note the results of posts; those that have none go on waiting."""
        await run_in_turns(self._settling(waiting, results))
        self._make_room()

    def _settling(self, waiting: deque[_Sending], results: Sequence[Sequence[Stored] | None]) -> Iterator[None]:
        for stored in results:
            queue, items, _ = sending = waiting.popleft()
            if stored is None:
                waiting.append(sending)
                continue
            try:
                for (item, _), result in zip(items, stored, strict=True):
                    queue.settle(item, result)
                    yield
            finally:
                self._sent(queue)

    def _sent(self, queue: Queue) -> None:
        if self._is_over:
            return
        # A queue whose end is awaited does not rest: a lease would be handed over later.
        if queue.rests_until > self._loop.time() and not self._awaited[queue.name, queue.fence]:
            self._rests[queue] = self._loop.call_at(queue.rests_until, self._go_on, queue)
        elif queue.is_empty():
            self._forget(queue)
        else:
            self.wake(queue)

    def _forget(self, queue: Queue) -> None:
        """Forget a queue from which everything was sent."""
        self._queues.pop((queue.name, queue.fence), None)
        if queue in self._ends:
            self._ends.pop(queue).set_result(not self._is_over)

    def _go_on(self, queue: Queue) -> None:
        """End the rest of a queue."""
        self._rests.pop(queue).cancel()
        queue.rests_until = 0.0
        self._sent(queue)

    def _make_room(self) -> None:
        while self._room and not self.is_full():
            future = self._room.popleft()
            if not future.done():
                future.set_result(None)


def _grows(value: Any) -> bool:
    """Return True if a value that waits is a piece of a growing text."""
    return type(value) is Record and value.grows


def _is_to_repeat(post: Post, stored: Sequence[Stored]) -> bool:
    """Return True if the results of a post are unknown, or its log is being loaded: publications follow that."""
    return type(stored[0]) is BrokerDown or (post.fence is None and Fenced in map(type, stored))
