"""The engine of a feed's run: what a generator yields, to a function that publishes it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from time import perf_counter
from typing import Any

from anyio import CapacityLimiter

from .pump import SLICE, closing, driven, is_cancelling, paused
from .thread import Bridge

_LOOK = 64
"""Values are looked after every 64 at the latest."""

AHEAD = 256 * 1024
"""Bytes that a thread may be ahead of the event loop; one value always may."""


async def produce(values: AsyncIterator[Any], publish: Callable[[Any], object]) -> None:
    """Publishes everything that an async iterator yields, and closes the iterator.

    An iterator that never suspends is made to let others run, every millisecond. Cancelling it cancels the iterator
    where it stands; its ``finally`` blocks have run when this ends.

    Args:
        values: The async iterator; an async generator is closed in any case.
        publish: Takes each value; never waits.

    Raises:
        Exception: What the iterator raises, and what ``publish`` raises for a value.
    """
    producing = _Producing(publish)
    async with closing(values):
        await driven(producing.take(values), producing)


class _Producing:
    def __init__(self, publish: Callable[[Any], object]) -> None:
        self._publish = publish
        self.cancelled = False
        self._since = 0.0
        self._limit = self._count = 0
        self.resume()

    def resume(self) -> None:
        """The generator goes on after a wait: the first value is looked after, then more and more at a time."""
        self._since = perf_counter()
        self._limit = 1
        self._count = 0

    def flush(self) -> None:
        """Nothing gathers here."""

    async def take(self, values: AsyncIterator[Any]) -> None:
        publish = self._publish
        async for value in values:
            while True:  # once, but for a generator that answers a cancellation with a value
                publish(value)
                self._count += 1
                if self._count < self._limit or not self._is_due():
                    break
                if not (more := await paused(values, let_others_run)):
                    break
                (value,) = more

    def _is_due(self) -> bool:
        """Return whether the generator has to let others run.

        Raises:
            CancelledError: The run was told to end, and the generator goes on all the same.
        """
        if self.cancelled and is_cancelling():
            raise asyncio.CancelledError
        self._limit, self._count = min(2 * self._limit, _LOOK), 0
        return perf_counter() - self._since >= SLICE


async def let_others_run() -> None:
    """Give the loop one turn."""
    await asyncio.sleep(0)


async def produce_from_thread(
    start: Callable[[], Iterable[Any]],
    publish: Callable[[Any], object],
    threads: CapacityLimiter,
    *,
    taken: Callable[[Any], Any],
    size: Callable[[Any], int],
) -> None:
    """Publishes everything that a synchronous iterable yields; it runs in a worker thread.

    Cancelling it closes the iterator, in its thread, at the value that it yields next, and waits for that.

    Args:
        start: Makes the iterable; called in the thread.
        publish: Takes each state, in the loop; never waits.
        threads: Bounds how many threads there are at the same time; more wait for their turn.
        taken: Takes the state of each value when it is yielded; called in the thread.
        size: The bytes of a state, while it waits for the loop.

    Raises:
        Exception: What the iterable and ``taken`` raise, and what ``publish`` raises for a value.
    """

    async def take(values: list[Any]) -> bool:
        for value in values:
            publish(value)
        return True

    await Bridge(start, taken, size, AHEAD).run(take, threads)
