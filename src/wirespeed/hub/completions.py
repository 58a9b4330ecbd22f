"""Completions: the ends of topics' logs that wait for the broker, behind the values that were published before.

A completion that waits has no task: an app may complete thousands of keys while the broker is away. A few tasks send
what is due. What fails is tried again after a pause, a few at a time, and more as soon as the broker takes them.
"""

import asyncio
from collections import deque
from functools import partial

from ..brokers.broker import Broker
from ..definitions import Receipt, settle
from ..errors import BrokerDown, Fenced, Stopped
from ..log.position import Position
from .outbox import RETRY, Outbox, Queue

AT_ONCE = 64
"""Completions that are sent at a time, and that are tried again after a pause."""


class _Completion:
    """A log that is about to be completed: one attempt is for all who have asked for it."""

    __slots__ = ("over", "queue", "receipts", "size")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.receipts: list[Receipt] = []
        self.size = 0
        self.over: asyncio.Future[None] | None = None


class Completions:
    """The completions that the broker has not confirmed yet.

    Attributes:
        names: The completions by the names of the logs, to which nothing may be published any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, broker: Broker, outbox: Outbox) -> None:
        self.names: dict[str, _Completion] = {}
        self._loop = loop
        self._broker = broker
        self._outbox = outbox
        self._due: deque[_Completion] = deque()
        self._failed: deque[_Completion] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: asyncio.Future[None] | None = None

    def start(self, queue: Queue, receipt: Receipt) -> None:
        """Complete a log as soon as the broker has everything that waits in its queue.

        Raises:
            BacklogFull: Too many bytes wait for the broker.
        """
        size = self._outbox.reserve(queue.name)
        completion = self.names.get(queue.name)
        is_new = completion is None
        if completion is None:
            completion = self.names[queue.name] = _Completion(queue)
        completion.size += size
        completion.receipts.append(receipt)
        if is_new and (sending := self._outbox.sending(queue)) is not None:
            sending.add_done_callback(partial(self._sent, completion))
        elif is_new:
            self._send(completion)

    async def over(self, name: str) -> None:
        """Wait until a log is not about to be completed."""
        if (completion := self.names.get(name)) is not None:
            completion.over = completion.over or self._loop.create_future()
            await asyncio.wait([completion.over])

    async def finish(self, timeout: float) -> int:
        """Wait until all are confirmed, or for a while; fail those that are left, and return their bytes."""
        if self.names:
            self._last = self._loop.create_future()
            await asyncio.wait([self._last], timeout=timeout)
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        for task in self._tasks:
            task.cancel()
        left = list(self.names.values())
        for completion in left:
            self._settle(completion, None, Stopped(completion.queue.name))
        return sum(completion.size for completion in left)

    def _sent(self, completion: _Completion, sending: "asyncio.Future[bool]") -> None:
        """Note that nothing waits before a completion; it fails if the broker does not have what did."""
        if sending.result():
            self._send(completion)
        elif completion.queue.name in self.names:
            self._settle(completion, None, Stopped(completion.queue.name))

    def _send(self, completion: _Completion) -> None:
        self._due.append(completion)
        self._start_task()

    def _start_task(self) -> None:
        if len(self._tasks) < AT_ONCE:
            self._tasks.add(task := self._loop.create_task(self._send_due()))
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._due:  # since the task looked last, which was in an earlier turn
            self._start_task()

    async def _send_due(self) -> None:
        while self._due:
            completion = self._due.popleft()
            queue = completion.queue
            try:
                position = await self._broker.end(queue.name, queue.retention, queue.fence)
            except (BrokerDown, Fenced):  # it is refused while the log is being loaded
                self._failed.append(completion)
                if self._timer is None:
                    self._timer = self._loop.call_later(RETRY, self._retry)
            except Exception as error:
                self._settle(completion, None, error)
            else:
                self._settle(completion, position, None if position is not None else Stopped(queue.name))
                self._send_failed(2)  # each that succeeds lets two others try, so that all are sent soon
            await asyncio.sleep(0)  # a broker that is away may fail without a wait

    def _retry(self) -> None:
        self._timer = None
        self._send_failed(AT_ONCE)
        if self._failed:
            self._timer = self._loop.call_later(RETRY, self._retry)

    def _send_failed(self, most: int) -> None:
        for _ in range(min(most, len(self._failed))):
            self._send(self._failed.popleft())

    def _settle(self, completion: _Completion, position: Position | None, error: Exception | None) -> None:
        del self.names[completion.queue.name]
        self._outbox.release(completion.size)
        for receipt in completion.receipts:
            settle(receipt, position, error)
        for future in (completion.over, None if self.names else self._last):
            if future is not None and not future.done():
                future.set_result(None)
