"""When runs begin and end: what a connection does with the messages of its client."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from .inbox import Inbox

Begin = Callable[[Any], Awaitable[object]]
"""Runs the generator for one message, to its end; raises nothing but its own cancellation."""


class Runs(ABC):
    """The runs of one connection."""

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

    @abstractmethod
    async def stop(self) -> None:
        """Cancels what goes on, and waits until it has ended."""


class QueuedRuns(Runs):
    """``overlap="queue"``: one run for each message, one after the other. An idle connection has no task."""

    def __init__(self, begin: Begin, inbox: Inbox) -> None:
        self._begin = begin
        self._inbox = inbox
        self._task: asyncio.Task[None] | None = None

    def offer(self, message: Any, size: int) -> None:
        self._inbox.put(message, size)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._inbox:
                await self._begin(self._inbox.pop())
        finally:
            self._task = None

    async def stop(self) -> None:
        await _cancel(self._task)


class ReplacingRuns(Runs):
    """``overlap="replace"``: a message ends the run before it, and then begins its own; only the newest waits."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._next: list[Any] = []
        self._run: asyncio.Future[object] | None = None
        self._task: asyncio.Task[None] | None = None

    def offer(self, message: Any, size: int) -> None:
        self._next = [message]
        if self._run is not None:
            self._run.cancel()
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._next:
                self._run = asyncio.ensure_future(self._begin(self._next.pop()))
                await asyncio.wait([self._run])
        finally:
            self._task = None

    async def stop(self) -> None:
        self._next.clear()
        await _cancel(self._run)
        await _cancel(self._task)


class SingleRun(Runs):
    """One run, from accept on: of a stream that takes no message, or all of them.

    Args:
        begin: Runs the generator; what it is given is the inbox.
        inbox: Where messages wait for the generator.
    """

    def __init__(self, begin: Begin, inbox: Inbox) -> None:
        self._begin = begin
        self._inbox = inbox
        self._task: asyncio.Future[object] | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._begin(self._inbox))

    def offer(self, message: Any, size: int) -> None:
        self._inbox.put(message, size)

    async def stop(self) -> None:
        self._inbox.close()
        await _cancel(self._task)


async def _cancel(task: "asyncio.Future[Any] | None") -> None:
    """Cancels a task and waits until it has ended, however long its ``finally`` blocks take."""
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
