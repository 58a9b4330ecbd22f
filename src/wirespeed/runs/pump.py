"""The engine of a run: what an async generator yields, onto a lane.

Values that a generator yields without suspending are framed together and written as one piece; when it suspends, what
has gathered is written at once. Nothing is paid for that per value: the coroutine that gathers is driven by hand, and
each time it gives the loop a future to wait for, that is the generator suspending.
"""

import asyncio
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any, Protocol, cast

from ..codec import Encoder, name_value
from ..lanes.lane import Lane

PIECE = 16 * 1024
"""Bytes that are written at once, when a generator goes on. It is never twice as much, but for one large value."""

SLICE = 0.001
"""Seconds after which a generator that never suspends is made to let others run."""

_LOOK = 2 * 64
"""Values are looked after every 64 at the latest; each is two parts, its header and its payload."""


class LaneClosed(Exception):
    """The lane takes no more: the run is over."""


async def pump(values: AsyncIterator[Any], encoder: Encoder[Any], lane: Lane) -> None:
    """Writes everything that an async iterator yields onto a lane, and closes the iterator.

    Returns when the iterator ends or the lane is closing. While the lane is not writable, the iterator waits.
    Cancelling it cancels the iterator where it stands; its ``finally`` blocks have run when this ends.

    Args:
        values: The async iterator; an async generator is closed in any case.
        encoder: For its values.
        lane: Where the frames go.

    Raises:
        Exception: What the iterator raises, and what the encoder raises for a value that does not fit its type,
            after all values before it were written.
    """
    gather = _Gather(encoder, lane)
    async with closing(values):
        try:
            await driven(gather.take(values), gather)
        except LaneClosed:
            return


async def paused(values: AsyncIterator[Any], pause: Callable[[], Awaitable[object]]) -> list[Any]:
    """Wait while a generator stands at a ``yield``; a cancellation meanwhile is raised there.

    So the generator sees what it would see if it were waiting itself: its timeouts, its task groups and the leaving of
    its client.

    Returns:
        The value with which the generator has answered a cancellation; empty otherwise.
    """
    try:
        await pause()
    except asyncio.CancelledError as error:
        if not hasattr(values, "athrow"):
            raise
        with suppress(StopAsyncIteration):
            return [await cast("AsyncGenerator[Any, None]", values).athrow(error)]
    return []


@asynccontextmanager
async def closing(values: AsyncIterator[Any]) -> AsyncIterator[None]:
    """End an async generator on leaving, if it has not ended: it is cancelled where it stands, at a ``yield``.

    To close it would raise ``GeneratorExit`` there, with which a task group around the ``yield`` fails (PEP 789). A
    generator that goes on all the same is closed.
    """
    try:
        yield
    finally:
        if getattr(values, "ag_frame", None) is not None:  # a generator that has ended has none
            await _cancel(cast("AsyncGenerator[Any, None]", values))
        if hasattr(values, "aclose"):
            await values.aclose()


async def _cancel(generator: AsyncGenerator[Any, None]) -> None:
    try:
        await generator.athrow(asyncio.CancelledError())
    except StopAsyncIteration:
        return
    except asyncio.CancelledError:
        if is_cancelling():
            raise


class Driven(Protocol):
    """What is told when a coroutine that is driven by hand suspends, and when it goes on."""

    cancelled: bool
    """Whether a cancellation has gone into it."""

    def flush(self) -> None:
        """It suspends, or has ended."""

    def resume(self) -> None:
        """It goes on."""


class _Gather:
    """What a run has yielded and not written yet."""

    __slots__ = ("_buffer", "_count", "_encoder", "_lane", "_limit", "_parts", "_since", "cancelled")

    def __init__(self, encoder: Encoder[Any], lane: Lane) -> None:
        self._encoder = encoder
        self._lane = lane
        self._parts: list[bytes] = []
        self._buffer = bytearray()
        self._count = 0
        self.cancelled = False
        """Whether a cancellation has gone into the generator."""
        self.resume()

    def resume(self) -> None:
        """The generator goes on after a wait: the first value is looked after, then more and more at a time."""
        self._since = perf_counter()
        self._limit = 2

    async def take(self, values: AsyncIterator[Any]) -> None:
        """Gathers all values; the hot loop, which costs some 0.1 µs per value beside generator and encoder."""
        encode, parts = self._encoder.encode, self._parts
        short, long = self._lane.headers(self._encoder.opcode)
        append = parts.append
        async for value in values:
            while True:  # once, but for a generator that answers a cancellation with a value
                try:
                    payload = encode(value)
                except Exception as error:
                    name_value(error, value)
                    raise
                try:
                    append(short[len(payload)])
                except IndexError:
                    append(long(len(payload)))
                    if len(payload) >= PIECE // 64:
                        self._limit = 0
                append(payload)
                if len(parts) < self._limit or not self._is_due() or not (more := await paused(values, self._pause)):
                    break
                (value,) = more

    def _is_due(self) -> bool:
        """Takes stock; whether the generator has to pause: for the lane, or for the others on the loop.

        Raises:
            LaneClosed: Nothing more can be written.
            CancelledError: The run was told to end, and the generator goes on all the same.
        """
        if self.cancelled and is_cancelling():
            raise asyncio.CancelledError
        if self._lane.closing():
            raise LaneClosed
        self._collect()
        self._limit = min(max(2 * self._limit, 2), _LOOK)
        if len(self._buffer) >= PIECE:
            self.flush()
        return not self._lane.writable() or perf_counter() - self._since >= SLICE

    async def _pause(self) -> None:
        """Lets others run, and waits for the lane. What has gathered is written on the way, as at every wait."""
        await asyncio.sleep(0)
        await self._lane.drained()

    def _collect(self) -> None:
        self._count += len(self._parts) >> 1
        self._buffer += b"".join(self._parts)
        self._parts.clear()

    def flush(self) -> None:
        """Writes what has gathered."""
        if self._parts:
            self._collect()
        if self._count:
            self._lane.write(bytes(self._buffer), self._count)
            self._buffer.clear()
            self._count = 0


@types.coroutine
def driven(coroutine: Coroutine[Any, Any, None], run: Driven) -> Generator[Any, Any, None]:
    """Runs a coroutine to its end, and flushes each time it suspends, and when it ends."""
    step: Callable[[Any], Any] = coroutine.send
    argument: Any = None
    while True:
        try:
            waiter: Awaitable[Any] = step(argument)
        except StopIteration:
            return
        finally:
            run.flush()
        try:
            argument = yield waiter
            step = coroutine.send
        except BaseException as error:
            run.cancelled = run.cancelled or isinstance(error, asyncio.CancelledError)
            argument = error
            step = coroutine.throw
        run.resume()


def is_cancelling() -> bool:
    """Whether the running task was told to end; a timeout inside a generator takes its own cancellation back."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
