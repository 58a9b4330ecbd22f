"""Outcomes: the only place that runs user code and decides how it ended.

User code can end in more ways than by returning or raising: it awaits a task that was cancelled elsewhere, cancels
its own task, raises ``GeneratorExit`` or ``SystemExit`` by hand, or lets a group of exceptions out. Each of these is
one of four outcomes here, so that every surface answers all of them.
"""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from .tasks import create_task

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Completed(Generic[T]):
    """The code returned a value."""

    value: T


@dataclass(frozen=True, slots=True)
class Refused:
    """The code refused its client on purpose.

    Args:
        error: The exception that it raised.
        status: The HTTP status that it stands for.
        detail: What the client may know, as in an ``HTTPException``.
        close: The WebSocket close code and reason that the code asked for; None if it asked for none.
    """

    error: Exception
    status: int
    detail: Any = None
    close: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The code ended in any other way: by an exception, or by a cancellation that its owner did not request.

    Args:
        error: The exception, for the log.
        exception: The same, to be raised; for one that would end the event loop, a ``RuntimeError`` that it has caused.
    """

    error: BaseException
    exception: Exception


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The code ended because its owner cancelled it.

    Args:
        error: For callers that were cancelled themselves and must raise it again.
    """

    error: BaseException


Unfinished = Refused | Failed | Cancelled
Outcome = Completed[T] | Unfinished

Refusal = Callable[[BaseException], Refused | Failed | None]
"""Returns the refusal that an exception means, or the failure if it is no valid one; None if it means none."""


def no_refusal(error: BaseException) -> Refused | Failed | None:
    """Return None: no exception refuses a client."""
    return None


async def run_once(
    run: Callable[[], Awaitable[T]],
    refusal: Refusal = no_refusal,
    is_cancelled: Callable[[], bool] | None = None,
) -> Outcome[T]:
    """Run user code once and return how it ended.

    Args:
        run: Starts the code.
        refusal: Recognises exceptions that refuse the client.
        is_cancelled: Whether the owner of the run has cancelled it. Without it, any cancellation of the running task
            counts as requested; the caller then has to raise the error of a ``Cancelled`` again.

    Raises:
        BaseException: The coroutine is being destroyed, or Ctrl-C was pressed: neither belongs to this run.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    requested = is_cancelled or (lambda: task.cancelling() > before)
    outcome: Outcome[T]
    try:
        outcome = Completed(await run())
    except BaseException as error:
        if _is_beyond(error, task):
            raise
        outcome = _stopped(error, refusal, is_cancelled=requested())
    if task.cancelling() > before and not requested():
        await _forget(task, before)
    return outcome


async def run_apart(run: Callable[[], Awaitable[T]], refusal: Refusal = no_refusal) -> Outcome[T]:
    """Run user code once in a task of its own, where the running task is a server's.

    So a cancellation that the code requests of its own task can be told from one that the server requests, and the
    server's task ends as the outcome says. The code runs in a copy of the task's context.

    Args:
        run: Starts the code.
        refusal: Recognises exceptions that refuse the client.
    """
    cancellation: list[asyncio.CancelledError] = []
    task = create_task(run_once(run, refusal, lambda: bool(cancellation)))
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError as error:
        cancellation.append(error)
        task.cancel()
        with CancelScope(shield=True):  # test clients cancel again and again; the code is cancelled once
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
        if isinstance(task.result(), Cancelled):
            return Cancelled(error)
    return task.result()


def run_now(run: Callable[[], T], refusal: Refusal = no_refusal) -> Completed[T] | Refused | Failed:
    """Run user code that does not await, such as a validator, and return how it ended. See :func:`run_once`."""
    try:
        return Completed(run())
    except BaseException as error:
        if _is_beyond(error, None):
            raise
        return refusal(error) or _failed(error)


async def run_in_thread(run: Callable[[], T], threads: CapacityLimiter | None = None) -> T:
    """Run user code in a worker thread, and return or raise what it does.

    An exception does not pass through a future: ``StopIteration`` cannot, and ``GeneratorExit`` would close all
    coroutines of the waiting task.

    Args:
        run: The code.
        threads: Bounds how many threads there are; None for the bound of FastAPI's sync endpoints.
    """
    match await to_thread.run_sync(run_now, run, limiter=threads):
        case Completed(value):
            return value
        case Refused(error) | Failed(error):
            raise error


def _stopped(error: BaseException, refusal: Refusal, *, is_cancelled: bool) -> Unfinished:
    if is_cancelled and _is_cancellation(error):
        return Cancelled(error)
    return refusal(error) or _failed(error)


def _failed(error: BaseException) -> Failed:
    if isinstance(error, Exception):
        return Failed(error, error)
    exception = RuntimeError(f"the code ended with {type(error).__name__}")
    exception.__cause__ = error
    return Failed(error, exception)


def _is_cancellation(error: BaseException) -> bool:
    """Return whether an exception only says that the code was cancelled or closed; a group has to consist of such."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_cancellation, error.exceptions))
    return isinstance(error, asyncio.CancelledError | GeneratorExit)


def _is_beyond(error: BaseException, task: "asyncio.Task[Any] | None") -> bool:
    """Return whether an exception is about more than the code that it has left."""
    if isinstance(error, KeyboardInterrupt):
        # Where Ctrl-C raises it, in the main thread, it ends the program. Servers handle the signal themselves: there
        # the code has raised it.
        is_main = threading.current_thread() is threading.main_thread()
        return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    # Python closes a suspended coroutine that is no longer referenced, in whatever task collects it.
    return isinstance(error, GeneratorExit) and task is not None and _current_task() is not task


def _current_task() -> "asyncio.Task[Any] | None":
    with suppress(RuntimeError):
        return asyncio.current_task()
    return None


async def _forget(task: "asyncio.Task[Any]", before: int) -> None:
    """Take back a cancellation that the code requested of its own task: it would hit the code after the run."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    while task.cancelling() > before:
        task.uncancel()
