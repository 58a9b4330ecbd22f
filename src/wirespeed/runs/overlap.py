"""When runs begin and end: how the messages of one connection become runs."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from .inbox import Inbox
from .tasks import create_task, error_of

Begin = Callable[[Any], Coroutine[Any, Any, object]]
"""Runs the generator for one message, to its end. Raises only the cancellation that :class:`Runs` requested."""

Broken = Callable[[BaseException], object]
"""Called with the error of a run that has raised all the same: its client has no answer."""


class Runs(ABC):
    """The runs of one connection: at most one at a time, each in its own task and context."""

    def __init__(self, begin: Begin, broken: Broken) -> None:
        self._begin = begin
        self._broken = broken
        self._task: asyncio.Task[object] | None = None
        self._stopped = False
        self._size = 0
        """Bytes of the message of the current run."""
        self.context: Context | None = None
        """Context of the runs; None for that of the offers, if these are the connection's own."""
        self.cancelling = False
        """True if the current run was cancelled. That happens only once, so that its ``finally`` blocks can finish."""

    def start(self) -> None:
        """Begin: the connection is open."""

    @abstractmethod
    def offer(self, message: Any, size: int) -> None:
        """Accept a message.

        Raises:
            InboxFull: Too much is waiting already; the message was dropped.
        """

    @property
    def size(self) -> int:
        """Bytes of the message of the current run, and of those that wait."""
        return self._size

    def _next(self) -> list[tuple[Any, int]]:
        """Remove and return the waiting message for the next run, with its size; an empty list if there is none."""
        return []

    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def _run_next(self) -> None:
        if self._stopped or self._is_running():
            return
        for message, size in self._next():
            self._run(message, size)

    def _run(self, message: Any, size: int = 0) -> None:
        self.cancelling = False
        self._size = size
        context = None if self.context is None else self.context.copy()
        self._task = create_task(self._begin(message), context)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[object]") -> None:
        if task is self._task:
            self._task, self._size = None, 0
        is_requested = task.cancelled() and self.cancelling
        if (error := error_of(task)) is not None and not is_requested:
            self._broken(error)
        self._run_next()

    def _cancel(self) -> None:
        if self._task is not None and self._is_running() and not self.cancelling:
            self.cancelling = True
            self._task.cancel()

    async def idle(self) -> None:
        """Wait until no run is active and no message is waiting. Cancelling the wait has no effect on the runs."""
        while self._task is not None:  # the callback of a finished task begins the next run
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Cancel the current run, begin no more, and wait for its end, however long that takes."""
        self._stopped = True
        self._cancel()
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])


class QueuedRuns(Runs):
    """``overlap="queue"``: one run for each message, one after the other. An idle connection has no task."""

    def __init__(self, begin: Begin, broken: Broken, inbox: Inbox) -> None:
        super().__init__(begin, broken)
        self._inbox = inbox

    @property
    def size(self) -> int:
        return self._size + self._inbox.size

    def offer(self, message: Any, size: int) -> None:
        self._inbox.put((message, size), size)
        self._run_next()

    def _next(self) -> list[tuple[Any, int]]:
        return [self._inbox.pop()] if self._inbox else []


class ReplacingRuns(Runs):
    """``overlap="replace"``: a message cancels the run before it, and begins after its end. Only the newest waits."""

    def __init__(self, begin: Begin, broken: Broken) -> None:
        super().__init__(begin, broken)
        self._newest: list[tuple[Any, int]] = []

    @property
    def size(self) -> int:
        return self._size + sum(size for _, size in self._newest)

    def offer(self, message: Any, size: int) -> None:
        self._newest = [(message, size)]
        self._cancel()
        self._run_next()

    def _next(self) -> list[tuple[Any, int]]:
        newest, self._newest = self._newest, []
        return newest


class SingleRun(Runs):
    """One run that begins with the connection: of a stream that takes no message, or all of them."""

    def __init__(self, begin: Begin, broken: Broken, inbox: Inbox) -> None:
        super().__init__(begin, broken)
        self._inbox = inbox

    @property
    def size(self) -> int:
        return self._inbox.size

    def start(self) -> None:
        self._run(self._inbox)

    def offer(self, message: Any, size: int) -> None:
        self._inbox.put(message, size)

    async def stop(self) -> None:
        self._inbox.close()
        await super().stop()
