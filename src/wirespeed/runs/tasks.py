"""Tasks that run user code."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class UserCode(Coroutine[Any, Any, T]):
    """A coroutine that a future cannot end by a ``GeneratorExit``.

    Python treats a ``GeneratorExit`` that is thrown into a coroutine as the end of that coroutine: it closes everything
    that the coroutine awaits, from the inside out, and each ``except`` that it passes sees the error. So a thread that
    raises ``GeneratorExit`` would end a whole task silently. Here, the code that awaits the future gets a
    ``RuntimeError`` with the ``GeneratorExit`` as its cause.
    """

    # These are the coroutine's own methods, so that a step of the task costs nothing more.
    __slots__ = ("_coroutine", "_throw", "close", "send")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._throw = coroutine.throw
        self.send = coroutine.send  # type: ignore[method-assign]
        self.close = coroutine.close  # type: ignore[method-assign]

    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any:
        """Throw the error of a future, or a cancellation, into the code."""
        if not isinstance(error, GeneratorExit):
            return self._throw(error)
        exception = RuntimeError("the future that the code awaited raised GeneratorExit; raise another exception there")
        exception.__cause__ = error
        return self._throw(exception)

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the coroutine, for debuggers and for the representation of tasks."""
        return getattr(self._coroutine, name)


def create_task(coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> "asyncio.Task[T]":
    """Run user code in a task of its own. See :class:`UserCode`."""
    return asyncio.create_task(UserCode(coroutine), context=context)  # type: ignore[abstract]


def error_of(task: "asyncio.Task[Any]") -> BaseException | None:
    """Return the error with which a task has ended; None if it has returned."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()
