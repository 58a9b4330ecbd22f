"""The engine of a run whose generator is synchronous: a worker thread runs it, the loop writes its values."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from anyio import CapacityLimiter, from_thread, to_thread

from ..codec import Encoder, name_value
from ..frames import header
from ..lanes.lane import Lane
from .pump import PIECE

logger = logging.getLogger("wirespeed")

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
    bridge = _Bridge(start, encoder, asyncio.get_running_loop())
    async with threads:
        work = asyncio.ensure_future(to_thread.run_sync(bridge.produce, limiter=CapacityLimiter(1)))
        work.add_done_callback(lambda _: bridge.arrived.set())
        try:
            while not (work.done() and bridge.is_empty()) and not lane.closing():
                await bridge.arrived.wait()
                lane.write(*bridge.take())
                await lane.drained()
        finally:
            bridge.stop()
            await _ended(work)
    if (error := work.result()) is not None:
        raise error


async def _ended(work: "asyncio.Future[Any]") -> None:
    """Waits for the thread, however often it is cancelled meanwhile: the generator's ``finally`` has to run."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work], timeout=PATIENCE)
            if not work.done():
                logger.warning(
                    "A sync generator blocks its worker thread, though its client is gone; it ends at its next value."
                )
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class _Bridge:
    """Hands frames from a thread to a loop: a thread that is far ahead waits, a value that is there does not."""

    def __init__(
        self, start: Callable[[], Iterable[Any]], encoder: Encoder[Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._start = start
        self._encoder = encoder
        self._loop = loop
        self._room = threading.Condition()
        self._frames = bytearray()
        self._count = 0
        self._stopped = False
        self.arrived = asyncio.Event()

    def produce(self) -> BaseException | None:
        """Runs the iterable to its end; in the thread.

        Returns:
            What the iterable or the encoder raised. It is not raised here: SystemExit would end the server.
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
            self._put_all(values)
        finally:
            if hasattr(values, "close"):
                values.close()

    def _put_all(self, values: Iterator[Any]) -> None:
        encode, opcode = self._encoder.encode, self._encoder.opcode
        for value in values:
            try:
                payload = encode(value)
            except Exception as error:
                name_value(error, value)
                raise
            if not self._put(header(opcode, len(payload)) + payload):
                return

    def _put(self, frame: bytes) -> bool:
        with self._room:
            while len(self._frames) >= PIECE and not self._stopped:
                self._room.wait()
            if self._stopped:
                return False
            first = not self._frames
            self._frames += frame
            self._count += 1
        if first:
            self._loop.call_soon_threadsafe(self.arrived.set)
        return True

    def is_empty(self) -> bool:
        return not self._frames

    def take(self) -> tuple[bytes, int]:
        """What has gathered, and how many values these are; in the loop."""
        with self._room:
            frames, count = bytes(self._frames), self._count
            self._frames.clear()
            self._count = 0
            self.arrived.clear()
            self._room.notify()
        return frames, count

    def stop(self) -> None:
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
