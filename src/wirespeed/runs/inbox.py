"""Inboxes: messages of one connection that wait for user code."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from ..errors import InboxFull


@dataclass(slots=True, eq=False)
class Budget:
    """One bound on the bytes that wait in several places."""

    size: int
    """Bytes that may wait."""
    used: int = 0

    def take(self, size: int) -> bool:
        """Charge some bytes, if they fit. Return True if they did. They always fit while nothing is charged."""
        if self.used and self.used + size > self.size:
            return False
        self.used += size
        return True

    def add(self, size: int) -> None:
        """Charge some bytes in any case."""
        self.used += size

    def give(self, size: int) -> None:
        """Withdraw a charge."""
        self.used -= size


class Inbox(AsyncIterator[Any]):
    """A bounded queue. Iterating over it takes messages until it is closed; several readers share them.

    Args:
        size: Bytes that may wait; one message always may. Several inboxes may share a budget.
    """

    __slots__ = ("_arrived", "_budget", "_closed", "_messages", "_waiting")

    def __init__(self, messages: int, size: int | Budget) -> None:
        self._messages = messages
        self._budget = Budget(size) if isinstance(size, int) else size
        # A list, because most inboxes stay empty, and an empty deque takes 760 bytes.
        self._waiting: list[tuple[Any, int]] = []
        self._arrived: asyncio.Event | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Bytes of all waiting messages."""
        return sum(size for _, size in self._waiting)

    def put(self, item: Any, size: int) -> None:
        """Add one message.

        Raises:
            InboxFull: One of the bounds is reached; nothing was added.
        """
        if len(self._waiting) >= self._messages or not self._budget.take(size):
            raise InboxFull(self._messages, self._budget.size)
        self._waiting.append((item, size))
        self._wake()

    def pop(self) -> Any:
        """Remove and return the oldest message.

        Raises:
            IndexError: No message is waiting.
        """
        item, size = self._waiting.pop(0)
        self._budget.give(size)
        return item

    def clear(self) -> None:
        """Drop all waiting messages."""
        while self._waiting:
            self.pop()

    def close(self) -> None:
        """End the iteration after the messages that are waiting."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None

    async def __anext__(self) -> Any:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived = self._arrived or asyncio.Event()  # shared, so that setting it wakes every reader
            await self._arrived.wait()
        return self.pop()
