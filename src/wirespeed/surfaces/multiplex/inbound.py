"""The way in: what a client has sent, from its frames to the tasks that answer its commands.

Frames are kept as they came, and read command by command. Most commands are done at once. One that takes time is a
:class:`Work`: it gets its turn in the event loop, so that a hundred subscribes in one frame, or a thousand clients that
reconnect in the same moment, leave time for others, and then a task of its own.

What cannot be done yet waits in one queue: commands wait for the app's decision about their subscription, and works for
room, so that the answers of one client have a bound. While the queue is full, or the client does not take in what it is
sent, no more commands are read from the frames. As long as little waits, the client is read on, so that its end is
noticed.

Other code calls in here, too: a request whose publication fills the lane, or that subscribes the client. Its context
variables are not the client's. So commands are read, and works done, in copies of the connection's own context.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass
from sys import getsizeof
from time import perf_counter
from typing import Any, Generic, TypeVar

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codes import ProtocolError
from ...centrifuge.subscription import Event, State, Subscription
from ...hub.clock import SLICE
from ...isolation import log_error
from ...rate import Rate
from ...runs.tasks import create_task, error_of
from .link import Delivery, Link
from .payloads import load_of, size_of

QUEUE = 32 * 1024
"""Bytes of commands that may wait in the queue, beside the frames that wait as they came; a command counts for one KiB,
and for what its client has put into it."""

ROOM = 64 * 1024
"""Bytes that the works of one kind, and the answers that they are expected to have, may take together."""

TASK = 4 * 1024
"""Bytes that each work counts for, beside its own."""

C = TypeVar("C", bound=m.Command)


@dataclass(slots=True, eq=False)
class Room:
    """Room for the answers of works of one kind."""

    least: int
    """Number of works that may be in progress however large they are."""
    going: int = 0
    used: int = 0
    waiting: int = 0
    """Number of works in the queue that wait for it."""

    def take(self, cost: int) -> bool:
        """Reserve room for a work; return True if there was enough."""
        if self.going >= self.least and self.used + cost > ROOM:
            return False
        self.going += 1
        self.used += cost
        return True


@dataclass(slots=True, eq=False)
class Work(Generic[C]):
    """One command that takes time."""

    _inbound: "Inbound"
    command: C
    _run: "Callable[[Work[C]], Coroutine[Any, Any, None]]"
    """Returns the coroutine that does it."""
    room: Room | None
    """The room that its answer needs; None if it needs none."""
    cost: int
    """Bytes that it takes of the room."""
    context: Context
    """The context of its task, which the app's call shares."""

    def begin(self) -> None:
        """Begin: its turn has come."""
        if not self._inbound.link.is_over:
            task = create_task(self._run(self), self.context)
            self._inbound.tasks.add(task)
            task.add_done_callback(self._done)

    def keep(self) -> None:
        """Let its task go on when the connection ends, because it is going to end by itself then."""
        if (task := asyncio.current_task()) is not None:
            self._inbound.tasks.discard(task)
            self._inbound.link.keep(task)

    def free(self) -> None:
        """Give its room back: it has ended, or its answer is known. Nothing happens the second time."""
        room, self.room = self.room, None
        if room is not None:
            room.going -= 1
            room.used -= self.cost
            if room.waiting:
                self._inbound.go_on_soon()

    def _done(self, task: "asyncio.Task[None]") -> None:
        inbound = self._inbound
        inbound.works -= 1
        inbound.tasks.discard(task)
        self.free()
        if (error := error_of(task)) is not None and not inbound.link.is_over:
            inbound.link.hub.sessions.failed()
            log_error(error, "A command could not be answered.")


class Inbound:
    """The way in from one client."""

    __slots__ = (
        "_commands", "_context", "_do", "_frames", "_is_deaf", "_is_going", "_most", "_moving", "_queue", "_queued",
        "_rate", "_returning", "_starter", "asking", "calling", "is_connecting", "link", "size", "tasks", "works",
    )  # fmt: skip

    def __init__(self, link: Link, do: Callable[[m.Command], None]) -> None:
        settings = link.hub.settings
        self.link = link
        self._context = copy_context()
        self._do = do
        self._frames: list[str | bytes] = []
        self._commands: Iterator[m.Command] | None = None
        self._queue: list[tuple[m.Command | Work[Any], int]] = []
        """Commands and works that wait, each with the bytes that it counts for."""
        self._queued = 0
        """The sum of these bytes."""
        self._rate: Rate | None = None
        self._returning = settings.max_subscriptions
        """Number of subscribes that may still come beyond the rate."""
        self._is_going = False
        self._is_deaf = False
        self._moving: asyncio.Future[None] | None = None
        self._starter = link.site.starter(link.loop)
        self._most = settings.max_subscriptions + settings.max_inbox_messages
        self.is_connecting = False
        """True while the client connects: commands behind the connect wait for it."""
        self.size = 0
        """Bytes of memory that the frames take."""
        self.calling = Room(2)
        """Room for the answers of calls."""
        self.asking = Room(1)
        """Room for all other answers."""
        self.works = 0
        """Number of works in progress."""
        self.tasks: set[asyncio.Task[None]] = set()
        """The tasks that end with the connection."""

    def __bool__(self) -> bool:
        return bool(self._frames or self._queue)

    # Frames

    async def receive(self, frame: str | bytes) -> None:
        """Take a frame, and return when the next one may be read."""
        self._take(frame)
        most, lane = self.link.hub.settings.max_inbox_bytes, self.link.outlet.lane
        while (self._is_going or self.size >= most) and not (self._is_deaf or lane.closing()):
            if self._is_going or self.link.outlet.writable():
                await self._moved_on()
            else:
                await self.link.outlet.drained()
                self.go_on()

    async def _moved_on(self) -> None:
        """Wait until commands that wait for others are done; for so long, the client's end goes unnoticed."""
        self._moving = self.link.loop.create_future()
        try:
            async with asyncio.timeout(self.link.hub.settings.stall_timeout):
                await self._moving
        except TimeoutError:
            self.link.disconnect_for(ProtocolError(codes.TOO_MANY_COMMANDS, "too much waits for its turn"))
        finally:
            self._moving = None

    def receive_beside(self, frame: str | bytes) -> bool:
        """Take a frame that did not come by the transport, if there is room for it; return True if there was."""
        if self.size >= self.link.hub.settings.max_inbox_bytes:
            self.link.hub.refused("inbox full", said="commands wait for their answers to be taken in")
            return False
        if not self.link.is_over:
            self._take(frame)
        return True

    def _take(self, frame: str | bytes) -> None:
        link, settings = self.link, self.link.hub.settings
        commands = link.codec.count(frame)
        if not self._in_time(frame, commands):
            link.hub.refused("rate", said="more commands per second than the limit", times=commands)
            link.leave(codes.TOO_MANY_COMMANDS)
            return
        if self.is_connecting and (
            len(self._frames) >= settings.max_inbox_messages or self.size >= settings.max_inbox_bytes
        ):
            link.disconnect_for(ProtocolError(codes.TOO_MANY_COMMANDS, "too much before it is connected"))
            return
        self._frames.append(frame)
        self.size += getsizeof(frame)
        if not self._is_going:
            self.go_on()

    def _in_time(self, frame: str | bytes, commands: int) -> bool:
        """Return True if a frame keeps to the rate; SDKs that reconnect subscribe to all channels at once, and may."""
        now, most = self.link.loop.time(), self.link.hub.settings.max_messages_per_second
        self._rate = self._rate or Rate(most, now)
        if self._rate.admits(now, commands):
            return True
        if not self._returning or commands > self._returning + most + 1:  # too many whatever is in them: not read
            return False
        excused = min(self.link.codec.subscribes(frame), self._returning)
        self._returning -= excused
        return excused > 0 and self._rate.admits(now, commands - excused)

    # Commands

    def go_on(self) -> None:
        """Do what can be done by now; a slice of it in each turn of the loop."""
        self._context.copy().run(self._go_on)

    def _go_on(self) -> None:
        link, until, is_late = self.link, perf_counter() + SLICE, False
        self._is_going = True
        try:
            for each in self._ready():
                if isinstance(each, Work):
                    self._begin(each)
                else:
                    self.is_connecting = isinstance(each, m.Connect)
                    self._do(each)
                if data := link.peer.take():
                    link.outlet.write(data, 1)
                if is_late := perf_counter() >= until:
                    break
        except ProtocolError as error:
            link.disconnect_for(error)
        except Exception as error:
            log_error(error, "A command failed.")
            link.leave(codes.SERVER_ERROR)
        self._is_going = False
        self._settle()
        if data := link.peer.take():
            link.outlet.write(data, 1)
        link.flush()
        if is_late:
            self.go_on_soon()

    def go_on_soon(self) -> None:
        """Do what can be done in the next turn of the loop."""
        if not self._is_going and self:
            self._is_going = True
            self.link.loop.call_soon(self.go_on)

    def decided(self) -> None:
        """Do the commands that have waited for a decision: the app has decided about a subscription."""
        if self._queue and not self._is_going:
            self.go_on()

    def _ready(self) -> Iterator[m.Command | Work[Any]]:
        """Take what can be done by now, in order: what has waited, and then the commands in the frames."""
        passed, full = 0, set[Room | None]()
        while passed < len(self._queue) and self._may_go_on():
            each, size = self._queue[passed]
            if not (self._has_room(each, full) if isinstance(each, Work) else self._is_free(each)):
                passed += 1
                continue
            del self._queue[passed]
            self._queued -= size
            # A subscribe that has waited for the end of another subscription is checked again.
            if not isinstance(each, m.Subscribe) or self.link.peer.admits(each):
                yield each
        while self._frames and self._queued < QUEUE and self._may_go_on():
            self._commands = self._commands or self.link.peer.receive(self._frames[0])
            command = next(self._commands, None)
            if command is None:
                self._commands = None
                self.size -= getsizeof(self._frames.pop(0))
            elif (subscription := self._undecided(command)) is not None:
                self._wait(command, subscription)
            else:
                yield command

    def _may_go_on(self) -> bool:
        return not (self._is_deaf or self.is_connecting) and self.link.outlet.writable()

    def _has_room(self, work: Work[Any], full: set[Room | None]) -> bool:
        """Return True if there is room by now for a work that has waited, and for all before it."""
        room = work.room
        if room is None or room in full or not room.take(work.cost):
            full.add(room)
            return False
        room.waiting -= 1
        return True

    def _is_free(self, command: m.Command) -> bool:
        """Return True if the app has decided by now about the subscription that a command has waited for."""
        subscription = self._undecided(command)
        if subscription is not None and isinstance(command, m.Unsubscribe):
            subscription.on(Event.UNSUBSCRIBED)  # it may be a later one than that for which the command came to wait
        return subscription is None

    def _undecided(self, command: m.Command) -> Subscription[Delivery] | None:
        """Return the subscription whose decision a command has to wait for; None if it need not wait."""
        subscription = self.link.peer.subscriptions.get(getattr(command, "channel", ""))
        if subscription is None or subscription.is_live():
            return None
        is_refused = subscription.state is State.ASKED and isinstance(command, m.Subscribe)
        return None if is_refused and not subscription.is_server_side else subscription

    def _wait(self, command: Any, subscription: Subscription[Delivery]) -> None:
        """Let a command wait until the app has decided about a subscription."""
        ahead = sum(getattr(each, "channel", "") == subscription.channel for each, _ in self._queue)
        if ahead >= self.link.hub.settings.max_inbox_messages or self.is_busy():
            self.link.peer.refuse(command.id, codes.TOO_MANY_REQUESTS, subscription.channel)
            return
        self._put(command, size_of(command))
        if isinstance(command, m.Unsubscribe):
            subscription.on(Event.UNSUBSCRIBED)

    def _put(self, waiting: m.Command | Work[Any], size: int) -> None:
        self._queue.append((waiting, size))
        self._queued += size

    # Works

    def is_busy(self) -> bool:
        """Return True if so many works are in progress, or wait, that no other is begun."""
        return self.works + len(self._queue) >= self._most

    def undertake(
        self,
        command: C,
        run: Callable[[Work[C]], Coroutine[Any, Any, None]],
        room: Room | None = None,
        expected: int = 0,
    ) -> None:
        """Do a command that takes time, when there is room for its answer.

        Args:
            room: The room that its answer needs; None if it needs none.
            expected: Bytes that the answer is expected to have, if the app decides about that.
        """
        size = 0 if room is None else size_of(command)
        work = Work(self, command, run, room, TASK + load_of(command, size) + expected, self._context.copy())
        if room is None or (not room.waiting and room.take(work.cost)):
            self._begin(work)
        else:
            room.waiting += 1
            self._put(work, size)

    def _begin(self, work: Work[Any]) -> None:
        self.works += 1
        self._starter.begin(work.begin)

    # The end

    def stop(self) -> None:
        """Forget what waits, and take no more."""
        self._is_deaf = True
        self._frames.clear()
        self._queue.clear()
        self._commands = None
        self.size = 0
        self._settle()

    async def ended(self) -> None:
        """Wait until all tasks of the connection have ended, and let go of everything that leads back here."""
        while going_on := self.tasks | (self.link.kept or set()):
            await asyncio.wait(going_on)
        self._do = _undone

    def _settle(self) -> None:
        if self._moving is not None and not self._moving.done():
            self._moving.set_result(None)


def _undone(command: m.Command) -> None:
    """Do nothing: the connection is over."""
