"""When runs begin and end: what a connection does with the messages of its client."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any

from .inbox import Inbox
from .tasks import create_task

Begin = Callable[[Any], Coroutine[Any, Any, object]]
"""Runs the generator for one message, to its end; raises nothing but the cancellation that :class:`Runs` asked for."""


class Runs(ABC):
    """The runs of one connection: at most one at a time, each in a task and a context of its own.

    Args:
        begin: Runs the generator.
    """

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._task: asyncio.Task[object] | None = None
        self._stopped = False
        self.cancelling = False
        """Whether the run that goes on was asked to end; once, so that its ``finally`` blocks may take their time."""

    def start(self) -> None:
        """The connection is open."""

    @abstractmethod
    def offer(self, message: Any, size: int) -> None:
        """A message came.

        Args:
            message: As decoded.
            size: Its size on the wire, in bytes.

        Raises:
            InboxFull: Too much waits already; the message was not taken.
        """

    def _next(self) -> list[Any]:
        """The message of the next run, taken from where it waits; empty when none does."""
        return []

    def _is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    def _run_next(self) -> None:
        """Begins the next run if there is one, and none goes on."""
        if self._stopped or self._is_running():
            return
        for message in self._next():
            self._run(message)

    def _run(self, message: Any) -> None:
        self.cancelling = False
        self._task = create_task(self._begin(message))
        self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[object]") -> None:
        if task is self._task:
            self._task = None
        if not task.cancelled():
            task.exception()  # `begin` has told it already
        self._run_next()

    def _cancel(self) -> None:
        if self._task is not None and self._is_running() and not self.cancelling:
            self.cancelling = True
            self._task.cancel()

    async def idle(self) -> None:
        """Waits until nothing goes on, and nothing waits for its turn. Cancelling it changes nothing."""
        while self._task is not None:  # one that is done has not begun the next one yet
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Cancels what goes on, begins nothing more, and waits until all has ended, however long that takes."""
        self._stopped = True
        self._cancel()
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])


class QueuedRuns(Runs):
    """``overlap="queue"``: one run for each message, one after the other. An idle connection has no task."""

    def __init__(self, begin: Begin, inbox: Inbox) -> None:
        super().__init__(begin)
        self._inbox = inbox

    def offer(self, message: Any, size: int) -> None:
        self._inbox.put(message, size)
        self._run_next()

    def _next(self) -> list[Any]:
        return [self._inbox.pop()] if self._inbox else []


class ReplacingRuns(Runs):
    """``overlap="replace"``: a message ends the run before it, and then begins its own; only the newest waits."""

    def __init__(self, begin: Begin) -> None:
        super().__init__(begin)
        self._newest: list[Any] = []

    def offer(self, message: Any, size: int) -> None:
        self._newest = [message]
        self._cancel()
        self._run_next()

    def _next(self) -> list[Any]:
        newest, self._newest = self._newest, []
        return newest


class SingleRun(Runs):
    """One run, from accept on: of a stream that takes no message, or all of them.

    Args:
        begin: Runs the generator; what it is given is the inbox.
        inbox: Where messages wait for the generator.
    """

    def __init__(self, begin: Begin, inbox: Inbox) -> None:
        super().__init__(begin)
        self._inbox = inbox

    def start(self) -> None:
        self._run(self._inbox)

    def offer(self, message: Any, size: int) -> None:
        self._inbox.put(message, size)

    async def stop(self) -> None:
        self._inbox.close()
        await super().stop()
