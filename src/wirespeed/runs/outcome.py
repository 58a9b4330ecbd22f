"""Outcomes: this is the only module that runs user code and decides how it ended.

User code can end in more ways than by returning or raising. It can await a task that was cancelled elsewhere, cancel
its own task, raise ``GeneratorExit`` or ``SystemExit``, or raise a group of exceptions. Each of these becomes one of
four outcomes here, so that every surface answers all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from ..isolation import annotate, is_ctrl_c, one_line, standing_for
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
        detail: Details for the client, as in an ``HTTPException``.
        close: WebSocket close code and reason that the code requested; None if it requested none.
    """

    error: Exception
    status: int
    detail: Any = None
    close: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The code ended in any other way: by an exception, or by a cancellation that its owner did not request.

    Args:
        exception: The same exception for raising. If it would end the event loop, or cannot be asked if it is a
            refusal, a ``RuntimeError`` that has it as its cause.
    """

    error: BaseException
    exception: Exception


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The code ended because its owner cancelled it.

    Args:
        error: Cancellation, for callers that were cancelled themselves and must raise it again.
    """

    error: BaseException


Unfinished = Refused | Failed | Cancelled
Outcome = Completed[T] | Unfinished

Refusal = Callable[[BaseException], Refused | Failed | None]
"""Returns the refusal that an exception stands for, or a failure if it is not a valid refusal; None for any other."""


def no_refusal(error: BaseException) -> Refused | Failed | None:
    """Return None: no exception refuses a client."""
    return None


async def run_once(
    run: Callable[[], Awaitable[T]], refusal: Refusal = no_refusal, is_cancelled: Callable[[], bool] | None = None
) -> Outcome[T]:
    """Run user code once and return how it ended.

    Args:
        is_cancelled: Returns True if the owner of the run has cancelled it. Without this function, any cancellation of
            the running task counts as requested, and the caller has to raise the error of a ``Cancelled`` again.

    Raises:
        BaseException: The coroutine is being destroyed, or Ctrl-C was pressed. Neither belongs to this run.
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
        is_end = requested() and _is_cancellation(error)
        outcome = Cancelled(error) if is_end else _raised(error, refusal)
    if task.cancelling() > before and not requested():
        await _forget(task, before)
    return outcome


async def run_apart(run: Callable[[], Awaitable[T]], refusal: Refusal = no_refusal) -> Outcome[T]:
    """Run user code once in a task of its own, because the running task belongs to a server.

    So a cancellation that the code requests of its own task differs from one that the server requests, and the server's
    task ends as the outcome says. The code runs in a copy of the task's context.
    """
    cancellation: list[asyncio.CancelledError] = []
    task = create_task(run_once(run, refusal, lambda: bool(cancellation)))
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError as error:
        cancellation.append(error)
        task.cancel()
        # Test clients cancel again and again. The code is cancelled once, so that its finally blocks can finish.
        with CancelScope(shield=True):
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
        return _raised(error, refusal)


async def run_in_thread(run: Callable[[], T], threads: CapacityLimiter | None = None) -> T:
    """Run user code in a worker thread. Return its value, or raise its exception.

    The exception does not pass through a future: ``StopIteration`` cannot, and ``GeneratorExit`` would close all
    coroutines of the waiting task.

    Args:
        threads: Limits the number of threads; None for the limit of FastAPI's sync endpoints.
    """
    return value_of(await to_thread.run_sync(run_now, run, limiter=threads))


def value_of(outcome: Completed[T] | Refused | Failed) -> T:
    """Return the value of an outcome, or raise its exception, whatever its type."""
    match outcome:
        case Completed(value):
            return value
        case Refused(error) | Failed(error):
            raise error


def failed_by(error: BaseException) -> Failed:
    """Return the failure of code that has raised an error."""
    return Failed(error, error if isinstance(error, Exception) else standing_for(error))


def _raised(error: BaseException, refusal: Refusal) -> Refused | Failed:
    """Return how code has ended that has raised an error."""
    try:
        return refusal(error) or failed_by(error)
    except Exception as problem:  # an HTTPException of the app's own, say, whose __init__ does not call super's
        annotate(error, f"It cannot be read as a refusal: {one_line(problem)}")
        return Failed(error, standing_for(error))  # FastAPI would fail to read it, too


def _is_cancellation(error: BaseException) -> bool:
    """Return True if an exception only says that the code was cancelled or closed, or is a group of such exceptions."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_cancellation, error.exceptions))
    return isinstance(error, asyncio.CancelledError | GeneratorExit)


def _is_beyond(error: BaseException, task: "asyncio.Task[Any] | None") -> bool:
    """Return True if an exception concerns more than the code that raised it."""
    if isinstance(error, KeyboardInterrupt):
        return is_ctrl_c(error)
    # Python closes a suspended coroutine that is no longer referenced. That happens in the task that runs the garbage
    # collector at this moment.
    return isinstance(error, GeneratorExit) and task is not None and _current_task() is not task


def _current_task() -> "asyncio.Task[Any] | None":
    with suppress(RuntimeError):
        return asyncio.current_task()
    return None


async def _forget(task: "asyncio.Task[Any]", before: int) -> None:
    """Withdraw a cancellation that the code requested of its own task: it would hit the code after the run."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    while task.cancelling() > before:
        task.uncancel()
