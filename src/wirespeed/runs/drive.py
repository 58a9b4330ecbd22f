"""Driving an async generator by hand, so that our code runs each time the generator awaits.

The loop that takes a generator's values is a coroutine. :func:`drive` steps it in place of the event loop: each future
that a step returns means that the generator awaits. So nothing has to be paid per value to find out when it does.
"""

import asyncio
import types
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from time import perf_counter
from typing import Any, ClassVar, cast

SLICE = 0.001
"""Seconds after which a generator that never awaits has to let others run."""

FIRST_SLICE = 0.0002
"""Seconds of the first slice of a run: its first values leave early, so that the client works while others are made."""

_CHECKED_TOGETHER = 64
"""Most values between two checks whether the generator has to pause."""


class Consumer:
    """The code that takes the values of a driven generator, and the state of the drive.

    The clock, the lane and the cancellation are not checked for each value. After each wait, the first value is
    checked; then twice as many each time, up to 64. So a slow generator is checked in time, and a fast one is cheap.
    """

    __slots__ = ("_limit", "_since", "cancelled")

    UNIT: ClassVar[int] = 1
    """Number that one value adds to the count that the subclass compares with ``_limit``."""

    def __init__(self) -> None:
        self.cancelled = False
        """True if a cancellation was thrown into the generator."""
        self.resume()
        self._since -= SLICE - FIRST_SLICE

    def resume(self) -> None:
        """Start a new slice: the generator continues after a wait."""
        self._since = perf_counter()
        self._limit = self.UNIT

    def flush(self) -> None:
        """Pass on everything that was taken: the generator awaits, or has ended."""

    def _check(self) -> bool:
        """Set the number of values until the next check. Return True if the slice is over.

        Raises:
            CancelledError: The run was cancelled, but the generator continued.
        """
        if self.cancelled and is_cancelling():
            raise asyncio.CancelledError
        self._limit = min(max(2 * self._limit, self.UNIT), _CHECKED_TOGETHER * self.UNIT)
        return perf_counter() - self._since >= SLICE


@types.coroutine
def drive(coroutine: Coroutine[Any, Any, None], consumer: Consumer) -> Generator[Any, Any, None]:
    """Run a coroutine to its end. Flush its consumer each time it awaits, and when it ends."""
    step: Callable[[Any], Any] = coroutine.send
    argument: Any = None
    while True:
        try:
            waiter: Awaitable[Any] = step(argument)
        except StopIteration:
            return
        finally:
            consumer.flush()
        # The task that runs us waits for the future, and sends its result or throws its error: pass both on.
        try:
            argument = yield waiter
            step = coroutine.send
        except BaseException as error:
            consumer.cancelled = consumer.cancelled or isinstance(error, asyncio.CancelledError)
            argument = error
            step = coroutine.throw
        consumer.resume()


def is_cancelling() -> bool:
    """Return True if the running task is being cancelled. A timeout in the generator withdraws its own cancellation."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def paused(values: AsyncIterator[Any], pause: Callable[[], Awaitable[object]]) -> list[Any]:
    """Wait while a generator stands at a ``yield``. Raise a cancellation that arrives meanwhile there.

    So the generator gets what it would get if it awaited itself: its timeouts, the failures of its task groups, and
    the end of its run.

    Returns:
        The value that the generator yielded in answer to a cancellation; otherwise, nothing.
    """
    try:
        await pause()
    except asyncio.CancelledError as error:
        if not hasattr(values, "athrow"):
            raise
        with suppress(StopAsyncIteration):
            return [await cast("AsyncGenerator[Any, None]", values).athrow(error)]
    return []


async def let_others_run() -> None:
    """Give the event loop one turn."""
    await asyncio.sleep(0)


class closing:  # noqa: N801 - it reads as a statement; a class, since a generator cannot pass on every exception
    """End an async generator on leaving, if it has not ended: cancel it at the ``yield`` where it stands.

    Closing it would raise ``GeneratorExit`` there, and a task group around the ``yield`` fails with that (PEP 789). A
    generator that continues after the cancellation is closed.
    """

    __slots__ = ("_values",)

    def __init__(self, values: AsyncIterator[Any]) -> None:
        self._values = values

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        values = self._values
        if getattr(values, "ag_frame", None) is not None:  # a generator that has ended has no frame
            await _cancel(cast("AsyncGenerator[Any, None]", values))
        if hasattr(values, "aclose"):
            await values.aclose()


async def _cancel(generator: AsyncGenerator[Any, None]) -> None:
    try:
        await generator.athrow(asyncio.CancelledError())
    except StopAsyncIteration:
        return
    except asyncio.CancelledError:
        # This is our own cancellation coming back, unless the task is being cancelled as well.
        if is_cancelling():
            raise
