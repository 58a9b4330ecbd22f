"""Tasks that run user code."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class UserCode(Coroutine[Any, Any, T]):
    """A coroutine to which a future cannot bring a ``GeneratorExit``.

    Python takes a ``GeneratorExit`` that is thrown into a coroutine for the end of that coroutine: it closes all that
    the coroutine waits for, from the inside, and lets the error pass through each ``except`` on the way. Thus a thread
    that raises it would end a whole task without a word. Here the code that waits for the future gets a
    ``RuntimeError`` instead, which it has caused.

    Args:
        coroutine: Runs the code.
    """

    # The methods of the coroutine itself: a step of the task costs nothing more.
    __slots__ = ("_coroutine", "_throw", "close", "send")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._throw = coroutine.throw
        self.send = coroutine.send  # type: ignore[method-assign]
        self.close = coroutine.close  # type: ignore[method-assign]

    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any:
        """Throw what a future has raised, or a cancellation, into the code."""
        if not isinstance(error, GeneratorExit):
            return self._throw(error)
        exception = RuntimeError("what the code was waiting for has raised GeneratorExit")
        exception.__cause__ = error
        return self._throw(exception)

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        """Return what debuggers and the representation of tasks look for."""
        return getattr(self._coroutine, name)


def create_task(coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> "asyncio.Task[T]":
    """Run user code in a task of its own; see :class:`UserCode`."""
    return asyncio.create_task(UserCode(coroutine), context=context)  # type: ignore[abstract]
