"""Synchronous generators: a worker thread runs the generator, and the event loop takes its values."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from anyio import CapacityLimiter, from_thread, to_thread

from ..codec import Encoder, name_value
from ..lanes.lane import RunSink
from .outcome import run_now, value_of
from .pump import PIECE, not_counted

logger = logging.getLogger("wirespeed")

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds after which a warning reports a thread that continues after the end of its run."""


async def pump_from_thread(
    start: Callable[[], Iterable[Any]],
    encoder: Encoder[Any],
    lane: RunSink,
    threads: CapacityLimiter,
    wrote: Callable[[int], None] = not_counted,
    stopped: Callable[[], None] | None = None,
) -> None:
    """Write everything that a synchronous iterable yields to a lane.

    Return when the iterable ends or the lane is closing. A thread cannot be interrupted: cancelling this closes the
    iterator, in its thread, at the value that it yields next, and waits for that.

    Args:
        wrote: Called after each write with the number of its values.
        stopped: Called once no more values are taken: ends the iterable's wait for something else, such as a message.

    Raises:
        Exception: The iterable or the encoder raised it. All values before it were written.
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
        wrote(len(frames))
        await lane.drained()
        return not lane.closing()

    if not lane.closing():
        await Bridge(start, framed, len, PIECE, stopped).run(take, threads)


async def _ended(work: "asyncio.Future[Any]") -> None:
    """Wait for the thread, however often the wait is cancelled: the generator's ``finally`` blocks have to run."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work], timeout=PATIENCE)
            if not work.done():
                logger.warning(
                    "A sync generator or call blocks its worker thread although its client is gone; let it yield or"
                    " return more often."
                )
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class Bridge(Generic[T]):
    """Hands items from a thread to an event loop. A thread that is far ahead waits; an item never does.

    Args:
        room: Size of the items that may wait in between. One item always may.
        stopped: Called in the event loop once no more items are taken.
    """

    def __init__(
        self,
        start: Callable[[], Iterable[Any]],
        convert: Callable[[Any], T],
        size: Callable[[T], int],
        room: int,
        stopped: Callable[[], None] | None = None,
    ) -> None:
        self._start = start
        self._convert = convert
        self._size_of = size
        self._most = room
        self._on_stopped = stopped
        self._loop = asyncio.get_running_loop()
        self._room = threading.Condition()
        self._items: list[T] = []
        self._size = 0
        self._stopped = False
        self._arrived = asyncio.Event()

    async def run(self, take: Callable[[list[T]], Awaitable[bool]], threads: CapacityLimiter) -> None:
        """Run the iterable until it ends, or until ``take`` returns False. Cancelling this ends the iterable.

        Raises:
            Exception: The iterable or ``convert`` raised it. Everything before it was taken.
        """
        async with threads:
            # An exception of the iterable is returned, not raised: SystemExit would end the server.
            work = asyncio.ensure_future(to_thread.run_sync(run_now, self._produce, limiter=CapacityLimiter(1)))
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
                finally:  # after a cancellation, too: the generator may have failed while it was closed
                    value_of(work.result())

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
        # Only the first item wakes the loop, which then takes all of them: a wake-up costs more than an item.
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
        """Have the thread end at its next value."""
        with self._room:
            self._stopped = True
            self._room.notify()
        if self._on_stopped is not None:
            self._on_stopped()


class ThreadMessages(Iterator[Any]):
    """The messages of a synchronous duplex stream, for the generator in its thread."""

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages

    def __next__(self) -> Any:
        item = from_thread.run(_next_or_none, self._messages)
        if item is None:
            raise StopIteration
        return item[0]


async def _next_or_none(messages: AsyncIterator[Any]) -> tuple[Any] | None:
    # A future cannot hold StopAsyncIteration, so the end is None.
    async for item in messages:
        return (item,)
    return None
