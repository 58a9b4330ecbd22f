"""The engine of a run whose generator is synchronous: a worker thread runs it, the loop writes its values."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from anyio import CapacityLimiter, from_thread, to_thread

from ..codec import Encoder, name_value
from ..lanes.lane import Lane
from .pump import PIECE

logger = logging.getLogger("wirespeed")

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds after which the log tells of a thread that goes on without its client."""


async def pump_from_thread(
    start: Callable[[], Iterable[Any]], encoder: Encoder[Any], lane: Lane, threads: CapacityLimiter
) -> None:
    """Writes everything that a synchronous iterable yields onto a lane.

    Returns when the iterable ends or the lane is closing. Cancelling it closes the iterator, in its thread, at the
    value that it yields next, and waits for that: a thread cannot be interrupted.

    Args:
        start: Makes the iterable; called in the thread.
        encoder: For its values; called in the thread.
        lane: Where the frames go.
        threads: Bounds how many such runs go on at the same time; more wait for their turn.

    Raises:
        Exception: What the iterable or the encoder raises, after all values before it were written.
    """

    header = lane.headers(encoder.opcode).long

    def framed(value: Any) -> bytes:
        try:
            payload = encoder.encode(value)
        except Exception as error:
            name_value(error, value)
            raise
        return header(len(payload)) + payload

    async def take(frames: list[bytes]) -> bool:
        lane.write(b"".join(frames), len(frames))
        await lane.drained()
        return not lane.closing()

    if not lane.closing():
        await Bridge(start, framed, len, PIECE).run(take, threads)


async def _ended(work: "asyncio.Future[Any]") -> None:
    """Waits for the thread, however often it is cancelled meanwhile: the generator's ``finally`` has to run."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work], timeout=PATIENCE)
            if not work.done():
                logger.warning("A sync generator or call blocks its worker thread for a client that is gone.")
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class Bridge(Generic[T]):
    """Hands items from a thread to a loop: a thread that is far ahead waits, an item that is there does not.

    Args:
        start: Makes the iterable; called in the thread.
        convert: Makes an item of each value; called in the thread.
        size: An item's size.
        room: The size of what may wait in the middle; one item always may.
    """

    def __init__(
        self, start: Callable[[], Iterable[Any]], convert: Callable[[Any], T], size: Callable[[T], int], room: int
    ) -> None:
        self._start = start
        self._convert = convert
        self._size_of = size
        self._most = room
        self._loop = asyncio.get_running_loop()
        self._room = threading.Condition()
        self._items: list[T] = []
        self._size = 0
        self._stopped = False
        self._arrived = asyncio.Event()

    async def run(self, take: Callable[[list[T]], Awaitable[bool]], threads: CapacityLimiter) -> None:
        """Runs the iterable until it ends or enough was taken. Cancelling it ends the iterable, and waits for that.

        Args:
            take: Takes what has come; says whether to go on.
            threads: Bounds how many threads there are at the same time.

        Raises:
            Exception: What the iterable or ``convert`` raises, after everything before it was taken.
        """
        async with threads:
            work = asyncio.ensure_future(to_thread.run_sync(self._produce_safely, limiter=CapacityLimiter(1)))
            work.add_done_callback(lambda _: self._arrived.set())
            try:
                goes_on = True
                while goes_on and not (work.done() and not self._items):
                    await self._arrived.wait()
                    goes_on = await take(self._take())
            finally:
                self._stop()
                try:
                    await _ended(work)
                finally:  # also of a run that was cancelled: its generator may have failed while it was closed
                    if (error := work.result()) is not None:
                        raise error

    def _produce_safely(self) -> BaseException | None:
        """Runs the iterable to its end; in the thread.

        Returns:
            What it raised. It is not raised here: SystemExit would end the server.
        """
        try:
            self._produce()
        except BaseException as error:
            return error
        return None

    def _produce(self) -> None:
        if self._stopped:
            return
        values = iter(self._start())
        try:
            for value in values:
                if not self._put(self._convert(value)):
                    return
        finally:
            if hasattr(values, "close"):
                values.close()

    def _put(self, item: T) -> bool:
        with self._room:
            while self._size >= self._most and not self._stopped:
                self._room.wait()
            if self._stopped:
                return False
            first = not self._items
            self._items.append(item)
            self._size += self._size_of(item)
        if first:
            self._loop.call_soon_threadsafe(self._arrived.set)
        return True

    def _take(self) -> list[T]:
        with self._room:
            items, self._items = self._items, []
            self._size = 0
            self._arrived.clear()
            self._room.notify()
        return items

    def _stop(self) -> None:
        """The thread ends at the next value."""
        with self._room:
            self._stopped = True
            self._room.notify()


class ThreadMessages(Iterator[Any]):
    """The messages of a synchronous duplex stream, taken in its thread.

    Args:
        messages: Where they come from, in the loop; when it ends, so does this.
    """

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages

    def __next__(self) -> Any:
        item = from_thread.run(_next_or_none, self._messages)
        if item is None:
            raise StopIteration
        return item[0]


async def _next_or_none(messages: AsyncIterator[Any]) -> tuple[Any] | None:
    # StopAsyncIteration cannot leave a coroutine's future.
    async for item in messages:
        return (item,)
    return None
