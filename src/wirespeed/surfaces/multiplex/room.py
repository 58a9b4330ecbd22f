"""Room for answers: how much a connection works on at the same time, while its client takes in what it is sent.

A command that takes time is a :class:`Work`. It waits for room in its connection, so that the answers of one client
have a bound; then for its turn in the event loop, so that a hundred subscribes in one frame, or a thousand clients that
reconnect in the same moment, leave time for others; and then it has a task of its own.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from ...centrifuge import messages as m
from ...isolation import log_error
from ...lanes.outlet import Outlet
from ...runs.inbox import Budget
from ...runs.tasks import create_task

logger = logging.getLogger("wirespeed")

ROOM = 64 * 1024
"""Bytes that the commands in progress, and the answers that they are expected to have, may take together."""

TASK = 4 * 1024
"""Bytes that each command in progress counts for, beside its own."""

UNKNOWN = 16 * 1024
"""Bytes that the answer of a call counts for which has not answered yet."""

EACH_TURN = 8
"""Commands that are begun in one turn of the loop: two milliseconds of work."""

PER_SECOND = 2000
"""Commands that are begun beyond that for each second of the last turn. Where turns are long, because thousands of
handshakes are in progress, a third of the time is for commands: clients that came first do not wait for all others."""

C = TypeVar("C", bound=m.Command)


class Answers:
    """The sizes of the answers of each call: the largest one is the best guess for the next."""

    __slots__ = ("_largest",)

    def __init__(self) -> None:
        self._largest: dict[object, int] = {}

    def expected(self, call: object) -> int:
        """Return the expected size of the next answer of a call, in bytes."""
        return self._largest.get(call, UNKNOWN)

    def seen(self, call: object, size: int) -> None:
        """Take note of an answer. The largest one counts for the next thousand or so."""
        known = self._largest.get(call, 0)
        self._largest[call] = max(size, known - (known >> 10))


class Starter:
    """Begins the works of all connections of an event loop, in the order in which they came.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._left = EACH_TURN
        self._since = loop.time()
        self._is_due = False

    def begin(self, start: Callable[[], None]) -> None:
        """Begin something, now or in one of the next turns of the loop."""
        if not self._is_due:
            self._is_due = True
            self._since = self._loop.time()
            self._loop.call_soon(self._turn)
        if self._left:
            self._left -= 1
            _start(start)
        else:
            self._waiting.append(start)

    def _turn(self) -> None:
        now = self._loop.time()
        self._left = max(EACH_TURN, int((now - self._since) * PER_SECOND))
        self._since = now
        self._is_due = bool(self._waiting)
        while self._waiting and self._left:
            self._left -= 1
            _start(self._waiting.popleft())
        self._left = min(self._left, EACH_TURN)
        if self._is_due:
            self._loop.call_soon(self._turn)


def _start(start: Callable[[], None]) -> None:
    try:
        start()
    except Exception as error:
        log_error(error, "A command could not be begun.")


class Work(Generic[C]):
    """One command that takes time.

    Args:
        works: The works of its connection.
        command: The command.
        run: Returns the coroutine that does it.
        room: The room that its answer needs; None for none.
        size: Bytes that it counts for while it waits.
        cost: Bytes that it takes of the room.
    """

    __slots__ = ("_room", "_run", "_works", "command", "context", "cost", "size")

    def __init__(
        self,
        works: "Works",
        command: C,
        run: Callable[["Work[C]"], Coroutine[Any, Any, None]],
        room: "Room | None" = None,
        size: int = 0,
        cost: int = 0,
    ) -> None:
        self.command = command
        self.size = size
        self.cost = cost
        self.context = copy_context()
        """The context of its task, which the app's call shares."""
        self._works = works
        self._run = run
        self._room = room

    def begin(self) -> None:
        """Begin: its turn has come."""
        works = self._works
        if works.is_over:
            return
        task = create_task(self._run(self), self.context)
        works.tasks.add(task)
        task.add_done_callback(self._done)

    def keep(self) -> None:
        """Let its task go on when the connection ends, because it is going to end by itself then."""
        if (task := asyncio.current_task()) is not None:
            self._works.tasks.discard(task)
            self._works.kept.add(task)

    def free(self) -> None:
        """Give its room back; nothing happens the second time."""
        room, self._room = self._room, None
        if room is not None:
            room.end(self.cost)

    def _done(self, task: "asyncio.Task[None]") -> None:
        works = self._works
        works.count -= 1
        works.tasks.discard(task)
        works.kept.discard(task)
        self.free()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not works.is_over:
            works.failed()
            logger.error("A command could not be answered.", exc_info=error)


class Room:
    """Begins works while there is room for their answers; the others wait, in order.

    Args:
        least: Number of works that may be in progress however large they are.
        starter: Begins the works, together with those of other connections.
        outlet: The way to the client: while it has no room, no work begins.
        queue: The bytes of the commands that wait.
        resume: Called when there may be room for further commands.
    """

    __slots__ = ("_going", "_least", "_outlet", "_queue", "_resume", "_starter", "_used", "_waiting")

    def __init__(self, least: int, starter: Starter, outlet: Outlet, queue: Budget, resume: Callable[[], None]) -> None:
        self._least = least
        self._starter = starter
        self._outlet = outlet
        self._queue = queue
        self._resume = resume
        self._going = 0
        self._used = 0
        self._waiting: list[Work[Any]] = []

    def begin(self, work: "Work[Any]") -> None:
        """Begin a work at once, or as soon as there is room for it."""
        if not self._waiting and self._takes(work):
            self._starter.begin(work.begin)
        else:
            self._waiting.append(work)
            self._queue.add(work.size)

    def _takes(self, work: "Work[Any]") -> bool:
        fits = self._going < self._least or self._used + work.cost <= ROOM
        if not fits or not self._outlet.writable():
            return False
        self._going += 1
        self._used += work.cost
        return True

    def end(self, cost: int) -> None:
        """Take back the room of a work that has ended, or whose answer is known; begin others."""
        self._going -= 1
        self._used -= cost
        if self._waiting:
            self.go_on()
            self._resume()

    def go_on(self) -> None:
        """Begin the works that there is room for by now."""
        while self._waiting and self._takes(self._waiting[0]):
            work = self._waiting.pop(0)
            self._queue.give(work.size)
            self._starter.begin(work.begin)

    def clear(self) -> None:
        """Forget the works that wait."""
        self._waiting.clear()


class Works:
    """All works of one connection.

    Args:
        starter: Begins them, together with those of other connections.
        outlet: The way to the client: while it has no room, no work begins.
        queue: The bytes of the commands that wait.
        resume: Called when there may be room for further commands.
        failed: Called when a work has failed by an error of ours.
        most: Number of works in progress from which on no other is begun.
    """

    __slots__ = ("_most", "_starter", "asking", "calling", "count", "failed", "is_over", "kept", "tasks")

    def __init__(
        self,
        starter: Starter,
        outlet: Outlet,
        queue: Budget,
        resume: Callable[[], None],
        failed: Callable[[], None],
        most: int,
    ) -> None:
        self._most = most
        self._starter = starter
        self.failed = failed
        self.calling = Room(2, starter, outlet, queue, resume)
        """Room for the answers of calls."""
        self.asking = Room(1, starter, outlet, queue, resume)
        """Room for all other answers."""
        self.count = 0
        """Number of works in progress and of commands that wait."""
        self.is_over = False
        self.tasks: set[asyncio.Task[None]] = set()
        """The tasks that end with the connection."""
        self.kept: set[asyncio.Task[None]] = set()
        """The tasks that end by themselves when the connection does."""

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
        if room is None:
            self._starter.begin(work.begin)
        else:
            room.begin(work)

    def go_on(self) -> None:
        """Begin the works that there is room for by now."""
        self.calling.go_on()
        self.asking.go_on()

    def clear(self) -> None:
        """Forget the works that wait for room."""
        self.calling.clear()
        self.asking.clear()

    def end(self) -> None:
        """Cancel the tasks that end with the connection, and begin no more."""
        self.is_over = True
        for task in self.tasks:
            task.cancel()

    async def ended(self) -> None:
        """Wait until all tasks have ended."""
        while going_on := self.tasks | self.kept:
            await asyncio.wait(going_on)
