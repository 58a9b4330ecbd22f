"""A producer moves the values that a feed's generator yields to the function that publishes them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from anyio import CapacityLimiter

from .drive import Consumer, closing, drive, let_others_run, paused
from .thread import Bridge

AHEAD = 256 * 1024
"""Bytes that a thread may be ahead of the event loop. One value always may."""


Wait = Callable[[], Awaitable[None]]


async def produce(
    values: AsyncIterator[Any], publish: Callable[[Any], object], room: Callable[[], Wait | None] | None = None
) -> None:
    """Publish everything that an async iterator yields, and close the iterator.

    An iterator that never awaits has to let others run every millisecond. Cancelling this cancels the iterator where
    it stands; its ``finally`` blocks have run when this ends.

    Args:
        room: Returns the function by which the iterator waits for room, or None while there is room; None if there
            always is.

    Raises:
        Exception: The iterator raised it, or ``publish`` raised it for a value.
    """
    publisher = _Publisher(publish) if room is None else _PatientPublisher(publish, room)
    async with closing(values):
        await drive(publisher.take(values), publisher)


class _Publisher(Consumer):
    def __init__(self, publish: Callable[[Any], object]) -> None:
        self._publish = publish
        self._count = 0
        super().__init__()

    def resume(self) -> None:
        super().resume()
        self._count = 0

    async def take(self, values: AsyncIterator[Any]) -> None:
        publish = self._publish
        async for value in values:
            while True:  # runs once, unless the generator answers a cancellation with another value
                publish(value)
                self._count += 1
                if self._count < self._limit or not self._is_due():
                    break
                if not (more := await paused(values, let_others_run)):
                    break
                (value,) = more

    def _is_due(self) -> bool:
        self._count = 0
        return self._check()


class _PatientPublisher(_Publisher):
    def __init__(self, publish: Callable[[Any], object], room: Callable[[], Wait | None]) -> None:
        self._room = room
        super().__init__(publish)

    async def take(self, values: AsyncIterator[Any]) -> None:
        async for value in values:
            while True:
                self._publish(value)
                if (pause := self._pause()) is None or not (more := await paused(values, pause)):
                    break
                (value,) = more

    def _pause(self) -> Callable[[], Awaitable[object]] | None:
        if (wait := self._room()) is not None:
            return wait
        self._count += 1
        return let_others_run if self._count >= self._limit and self._is_due() else None


async def produce_from_thread(
    start: Callable[[], Iterable[Any]],
    publish: Callable[[Any], object],
    threads: CapacityLimiter,
    *,
    taken: Callable[[Any], Any],
    size: Callable[[Any], int],
    room: Callable[[], Wait | None] | None = None,
) -> None:
    """Publish everything that a synchronous iterable yields; it runs in a worker thread.

    Cancelling this closes the iterator, in its thread, at the value that it yields next, and waits for that.

    Raises:
        Exception: The iterable or ``taken`` raised it, or ``publish`` raised it for a value.
    """

    async def take(states: list[Any]) -> bool:
        for state in states:
            publish(state)
            if room is not None and (wait := room()) is not None:
                await wait()
        return True

    await Bridge(start, taken, size, AHEAD).run(take, threads)
