"""Room for answers: how much a connection works on at the same time, while its client takes in what it is sent.

A command that takes time is a :class:`Work`. It waits for room in its connection, so that the answers of one client
have a bound; then for its turn in the event loop, so that a hundred subscribes in one frame, or a thousand clients that
reconnect in the same moment, leave time for others; and then it has a task of its own.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ...centrifuge import messages as m
from ...runs.inbox import Budget
from ...runs.tasks import create_task
from .link import Link

logger = logging.getLogger("wirespeed")

ROOM = 64 * 1024
"""Bytes that the commands in progress, and the answers that they are expected to have, may take together."""

TASK = 4 * 1024
"""Bytes that each command in progress counts for, beside its own."""

C = TypeVar("C", bound=m.Command)


@dataclass(slots=True, eq=False)
class Room:
    """Works of one kind in progress, and the tasks that wait for their end."""

    least: int
    """Number of works that may be in progress however large they are."""
    going: int = 0
    used: int = 0
    waiting: "list[Work[Any]]" = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Work(Generic[C]):
    """One command that takes time."""

    _works: "Works"
    command: C
    _run: "Callable[[Work[C]], Coroutine[Any, Any, None]]"
    """Returns the coroutine that does it."""
    room: Room | None = None
    """The room that its answer needs; None if it needs none."""
    size: int = 0
    """Bytes that it counts for while it waits."""
    cost: int = 0
    """Bytes that it takes of the room."""
    context: Context = field(default_factory=copy_context)
    """The context of its task, which the app's call shares."""

    def begin(self) -> None:
        """Begin: its turn has come."""
        if not self._works.link.is_over:
            task = create_task(self._run(self), self.context)
            self._works.tasks.add(task)
            task.add_done_callback(self._done)

    def keep(self) -> None:
        """Let its task go on when the connection ends, because it is going to end by itself then."""
        if (task := asyncio.current_task()) is not None:
            self._works.tasks.discard(task)
            self._works.link.keep(task)

    def free(self) -> None:
        """Give its room back: it has ended, or its answer is known. Nothing happens the second time."""
        room, self.room = self.room, None
        if room is not None:
            self._works.end(room, self.cost)

    def _done(self, task: "asyncio.Task[None]") -> None:
        works = self._works
        works.count -= 1
        works.tasks.discard(task)
        self.free()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not works.link.is_over:
            works.link.hub.sessions.failed()
            logger.error("A command could not be answered.", exc_info=error)


class Works:
    """All works of one connection. They begin while there is room for their answers; the others wait, in order.

    Args:
        link: The link to the client: while its outlet has no room, no work begins.
    """

    __slots__ = ("_most", "_queue", "_resume", "_starter", "asking", "calling", "count", "link", "tasks")

    def __init__(self, link: Link, queue: Budget, resume: Callable[[], None]) -> None:
        self.link = link
        self.calling = Room(2)
        """Room for the answers of calls."""
        self.asking = Room(1)
        """Room for all other answers."""
        self.count = 0
        """Number of works in progress and of commands that wait."""
        self.tasks: set[asyncio.Task[None]] = set()
        """The tasks that end with the connection."""
        self._queue = queue
        self._resume = resume
        self._starter = link.site.starter(link.loop)
        self._most = link.hub.settings.max_subscriptions + link.hub.settings.max_inbox_messages

    def is_busy(self) -> bool:
        """Return True if so many works are in progress that no other is begun."""
        return self.count >= self._most

    def undertake(
        self,
        command: C,
        run: Callable[[Work[C]], Coroutine[Any, Any, None]],
        room: Room | None = None,
        size: int = 0,
        cost: int = 0,
    ) -> None:
        """Do a command when there is room for its answer; arguments as for :class:`Work`."""
        work = Work(self, command, run, room, size, cost)
        self.count += 1
        if room is None or (not room.waiting and self._takes(room, work)):
            self._starter.begin(work.begin)
        else:
            room.waiting.append(work)
            self._queue.add(size)

    def _takes(self, room: Room, work: Work[Any]) -> bool:
        fits = room.going < room.least or room.used + work.cost <= ROOM
        if not fits or not self.link.outlet.writable():
            return False
        room.going += 1
        room.used += work.cost
        return True

    def end(self, room: Room, cost: int) -> None:
        """Take back the room of a work; begin others."""
        room.going -= 1
        room.used -= cost
        if room.waiting:
            self._go_on(room)
            self._resume()

    def go_on(self) -> None:
        """Begin the works that there is room for by now."""
        self._go_on(self.calling)
        self._go_on(self.asking)

    def _go_on(self, room: Room) -> None:
        while room.waiting and self._takes(room, room.waiting[0]):
            work = room.waiting.pop(0)
            self._queue.give(work.size)
            self._starter.begin(work.begin)

    def clear(self) -> None:
        """Forget the works that wait for room."""
        self.calling.waiting.clear()
        self.asking.waiting.clear()

    async def ended(self) -> None:
        """Wait until all tasks of the connection have ended."""
        while going_on := self.tasks | (self.link.kept or set()):
            await asyncio.wait(going_on)
