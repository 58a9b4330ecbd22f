"""Completions: the ends of topics' logs that wait for the broker, behind the values that were published before."""

import asyncio

from ..definitions import Receipt, settle
from ..errors import Stopped
from ..log.position import Position
from .outbox import Outbox, Queue


class Completions:
    """The completions that the broker has not confirmed yet.

    Attributes:
        names: Names of the logs, to which nothing may be published any more, with the number of completions of each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self.names: dict[str, int] = {}
        self._loop = loop
        self._outbox = outbox
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, queue: Queue, receipt: Receipt) -> None:
        """Complete a log as soon as the broker has everything that waits in its queue."""
        self.names[queue.name] = self.names.get(queue.name, 0) + 1
        self._tasks.add(task := self._loop.create_task(self._complete(queue, receipt)))
        task.add_done_callback(self._tasks.discard)

    async def finish(self, timeout: float) -> None:
        """Wait until all are confirmed, or for a while; fail those that are left."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in list(self._tasks):
            task.cancel()

    async def _complete(self, queue: Queue, receipt: Receipt) -> None:
        error: Exception = Stopped(queue.name)
        position: Position | None = None
        try:
            position = await self._outbox.end(queue)  # it is refused while the log is being loaded
        except Exception as raised:
            error = raised
        finally:
            self.names[queue.name] -= 1
            if not self.names[queue.name]:
                del self.names[queue.name]
            settle(receipt, position, None if position is not None else error)
