"""Items that have arrived for a test and were not received yet."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .waiting import wait

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items in their order, until the end."""

    def __init__(self) -> None:
        self.items: deque[T] = deque()
        self.error: Exception | None = None
        """Error that ends it, after the items; None as long as more may come."""
        self._waiters: deque[asyncio.Future[None]] = deque()

    def put(self, item: T) -> None:
        """Add an item."""
        self.items.append(item)
        self._wake()

    def end(self, error: Exception) -> None:
        """Let all that wait, now or later, receive an error after the items that have arrived."""
        self.error = self.error or error
        for waiter in self._waiters:
            _set(waiter)

    def reopen(self) -> None:
        """Let more items arrive after an end."""
        self.error = None

    async def take(self, timeout: float, problem: Callable[[], str]) -> T:
        """Remove and return the next item.

        Args:
            timeout: Seconds to wait for it.
            problem: Returns the text of the TimeoutError.

        Raises:
            TimeoutError: None has arrived in time.
            Exception: The error of the end.
        """
        while not self.items:
            if self.error is not None:
                raise self.error
            if not await self._arrives(timeout):
                raise TimeoutError(problem())
        return self.items.popleft()

    async def _arrives(self, timeout: float) -> bool:
        """Wait for an item or the end; return False if there is neither in time."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await wait([waiter], timeout)
            return waiter.done()
        except asyncio.CancelledError:
            if waiter.done() and self.items:  # the item is for another one that waits
                self._wake()
            raise
        finally:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiter = next((each for each in self._waiters if not each.done()), None)
        if waiter is not None:
            _set(waiter)


def _set(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
