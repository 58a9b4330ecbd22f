"""Messages of one connection that wait to be handled."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ..errors import InboxFull


class Inbox(AsyncIterator[Any]):
    """A bounded queue with one reader; iterating over it takes what comes until it is closed.

    Args:
        messages: How many may wait.
        size: How many bytes they may have together; one message always may.
    """

    __slots__ = ("_arrived", "_closed", "_messages", "_size", "_waiting", "_waiting_size")

    def __init__(self, messages: int, size: int) -> None:
        self._messages = messages
        self._size = size
        # A list: most inboxes are empty for ever, and an empty deque takes 760 bytes.
        self._waiting: list[tuple[Any, int]] = []
        self._waiting_size = 0
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
        if len(self._waiting) >= self._messages or (self._waiting and self._waiting_size + size > self._size):
            raise InboxFull(self._messages, self._size)
        self._waiting.append((item, size))
        self._waiting_size += size
        self._wake()

    def pop(self) -> Any:
        """Takes the oldest message.

        Raises:
            IndexError: None waits.
        """
        item, size = self._waiting.pop(0)
        self._waiting_size -= size
        return item

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
