"""Messages of one connection that wait to be handled."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ..errors import InboxFull


class Budget:
    """Bytes that wait in several places, and have one bound.

    Args:
        size: How many may wait.
    """

    __slots__ = ("size", "used")

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0

    def take(self, size: int) -> bool:
        """Charge some bytes; return whether they fit. If nothing is charged yet, they always do."""
        if self.used and self.used + size > self.size:
            return False
        self.used += size
        return True

    def add(self, size: int) -> None:
        """Charge some bytes in any case."""
        self.used += size

    def give(self, size: int) -> None:
        """Take back a charge."""
        self.used -= size


class Inbox(AsyncIterator[Any]):
    """A bounded queue with one reader; iterating over it takes what comes until it is closed.

    Args:
        messages: How many may wait.
        size: How many bytes they may have together; one message always may. Several inboxes may share a budget.
    """

    __slots__ = ("_arrived", "_budget", "_closed", "_messages", "_waiting")

    def __init__(self, messages: int, size: int | Budget) -> None:
        self._messages = messages
        self._budget = Budget(size) if isinstance(size, int) else size
        # A list: most inboxes are empty for ever, and an empty deque takes 760 bytes.
        self._waiting: list[tuple[Any, int]] = []
        self._arrived: asyncio.Future[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: Any, size: int) -> None:
        """Adds one message.

        Args:
            item: The message.
            size: What it counts for, in bytes.

        Raises:
            InboxFull: One of the bounds is reached; nothing was added.
        """
        if len(self._waiting) >= self._messages or not self._budget.take(size):
            raise InboxFull(self._messages, self._budget.size)
        self._waiting.append((item, size))
        self._wake()

    def pop(self) -> Any:
        """Takes the oldest message.

        Raises:
            IndexError: None waits.
        """
        item, size = self._waiting.pop(0)
        self._budget.give(size)
        return item

    def clear(self) -> None:
        """Forget what waits."""
        while self._waiting:
            self.pop()

    def close(self) -> None:
        """Nothing comes any more: the iteration ends after what waits."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def __anext__(self) -> Any:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return self.pop()
