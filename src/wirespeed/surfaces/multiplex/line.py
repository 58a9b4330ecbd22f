"""One client of the multiplexed surface, as far as it has nothing to do with what its commands mean."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from time import perf_counter
from typing import Any

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Disconnect, Error, ProtocolError, Unsubscription
from ...centrifuge.messages import Command, Connect, Subscribe
from ...centrifuge.peer import Peer, Subscription
from ...hub.clock import SLICE
from ...hub.engine import Engine
from ...isolation import isolated
from ...lanes.outlet import Framing, Outlet
from ...rate import Rate
from ...runs.inbox import Budget
from ...runs.outcome import Cancelled, Failed, run_once
from ...runs.tasks import create_task
from .entry import Entry, ttl_of
from .held import Held
from .room import Charge, Room
from .site import Site
from .subscriber import WatchSubscriber
from .transport import Gone, Transport
from .window import RoundTrip, Window

logger = logging.getLogger("wirespeed")

QUEUE = 32 * 1024
"""Bytes of commands that may wait for their turn, beside the frames that wait as they came; a command counts for a KiB
and what its client has put into it."""

Begin = Callable[[], Coroutine[Any, Any, None]]


class Line(ABC):
    """What carries on one client's connection: the protocol's state, what waits to be written, and deadlines.

    Args:
        site: What it shares with all others.
        transport: What carries its frames.
        codec: Its format.
        framing: Makes frames of messages.
        engine: The engine.
        pings: Whether the protocol's own pings are sent.
    """

    __slots__ = (
        "_begun",
        "_due",
        "_finishing",
        "_full_at",
        "_held",
        "_is_connecting",
        "_is_deaf",
        "_is_flushing",
        "_is_going",
        "_loop",
        "_moving",
        "_rate",
        "_returning",
        "_round_trip",
        "_starter",
        "_tasks",
        "_timer",
        "_transport",
        "_turn",
        "asking",
        "calling",
        "codec",
        "commands",
        "hub",
        "inbox",
        "is_over",
        "outlet",
        "session",
        "site",
    )

    def __init__(
        self, site: Site, transport: Transport, codec: Codec, framing: Framing, engine: Engine, *, pings: bool
    ) -> None:
        self.site = site
        self.hub = site.hub
        self.codec = codec
        self.is_over = False
        self._loop = engine.loop
        self._transport: Transport = transport
        self._is_flushing = False
        self._starter = site.starter(engine.loop)
        self._begun = 0
        self._rate: Rate | None = None
        self._returning = site.limits.channels
        """Subscribes that may come yet beyond the rate."""
        self._is_connecting = False
        self._is_deaf = False
        self._full_at = -inf
        """When the client was behind last: bytes that it had not taken filled the lane."""
        self.inbox = Budget(site.hub.settings.max_inbox_bytes)
        self.commands = Budget(QUEUE)
        self._is_going = False
        self._moving: asyncio.Future[None] | None = None
        self.calling = Room(2, self._may_go_on)
        self.asking = Room(1, self._may_go_on)
        self._round_trip: RoundTrip | None = None
        self._finishing: set[asyncio.Task[None]] | None = None
        self._tasks: dict[asyncio.Task[None], Entry | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf  # when the timer rings: not every handle of uvloop knows
        self._turn = asyncio.Lock()
        limits = site.limits if pings else site.limits._replace(ping=0)
        self.session = Peer(codec, limits, self._loop.time())
        self._held = Held(self.session)
        self.session.on_error = self._note_error
        self.outlet = Outlet(transport.lane, framing, engine.outlets.ready)
        self.outlet.on_failed = self.hub.failed
        transport.lane.on_writable = self._has_room
        self.schedule()

    @abstractmethod
    async def _connect(self, command: Connect) -> None:
        """The client connects; commands after this one wait for it."""

    @abstractmethod
    def _do(self, command: Command) -> None:
        """Begins what a command asks for; each ends in a reply, in its time."""

    @abstractmethod
    def end_subscription(self, state: Subscription, why: Unsubscription) -> None:
        """A subscription is over, and the client is told why."""

    # What comes, and what goes

    async def receive(self, frame: str | bytes) -> None:
        """Take a frame, and return when the next one may be read.

        Commands are done while their answers have room; the others wait. While few wait the client is read on, so that
        its end is noticed. Frames of a client that is not connected yet wait as well, and too many end the connection.
        """
        self._take(frame)
        most = self.hub.settings.max_inbox_bytes
        while (self._is_going or self._held.size >= most) and not (self._is_deaf or self.outlet.lane.closing()):
            if self._is_going or self.outlet.writable():
                await self._moved_on()
            else:
                await self.outlet.drained()
                self._carry_on()

    async def _moved_on(self) -> None:
        """Wait until commands that wait for others to end are done; for so long, the client's end goes unnoticed."""
        self._moving = self._loop.create_future()
        try:
            async with asyncio.timeout(self.hub.settings.stall_timeout):
                await self._moving
        except TimeoutError:
            self.disconnect_for(ProtocolError(codes.TOO_MANY_COMMANDS, "too much waits for its turn"))
        finally:
            self._moving = None

    def receive_beside(self, frame: str | bytes) -> bool:
        """Take a frame that did not come by the transport, if there is room for it; return whether there was."""
        if self._held.size >= self.hub.settings.max_inbox_bytes:
            self.hub.refused("inbox full", said="commands wait for their answers to be taken in")
            return False
        if not self.is_over:
            self._take(frame)
        return True

    def _take(self, frame: str | bytes) -> None:
        commands = self.codec.count(frame)
        if not self._in_time(frame, commands):
            self.hub.refused("rate", said="more commands per second than the limit", times=commands)
            self.leave(codes.TOO_MANY_COMMANDS)
            return
        settings = self.hub.settings
        if self._is_connecting and (
            len(self._held) >= settings.max_inbox_messages or self._held.size >= settings.max_inbox_bytes
        ):
            self.disconnect_for(ProtocolError(codes.TOO_MANY_COMMANDS, "too much before it is connected"))
            return
        self._held.put(frame)
        if not self._is_going:
            self._carry_on()

    def _in_time(self, frame: str | bytes, commands: int) -> bool:
        """Return whether a frame keeps to the rate; SDKs that come back subscribe to all channels at once, and may."""
        now = self._loop.time()
        self._rate = self._rate or Rate(self.hub.settings.max_messages_per_second, now)
        if self._rate.admits(now, commands):
            return True
        subscribes = 0
        with suppress(ProtocolError):
            subscribes = self._returning and sum(isinstance(each, Subscribe) for each in self.codec.commands(frame))
        excused = min(subscribes, self._returning)
        self._returning -= excused
        return excused > 0 and self._rate.admits(now, commands - excused)

    def _carry_on(self) -> None:
        """Do the commands that wait, as long as there is room for their answers; a slice of them in each turn."""
        self._is_going = True
        until, is_late = perf_counter() + SLICE, False
        try:
            while not is_late and self._may_take() and (command := self._held.next()) is not None:
                if isinstance(command, Connect):
                    self._is_connecting = True
                    self.spawn(partial(self._let_in, command), None)
                else:
                    self._do(command)
                if data := self.session.take():
                    self.outlet.write(data, 1)
                is_late = perf_counter() >= until
        except ProtocolError as error:
            self.disconnect_for(error)
        except Exception:
            logger.exception("A command failed.")
            self.leave(codes.SERVER_ERROR)
        self._is_going = False
        if self._moving is not None:
            settled(self._moving)
        self.write()
        self._flush()
        if is_late:
            self._go_on_soon()

    def _go_on_soon(self) -> None:
        """There is room for further commands."""
        if self._held and not self._is_going:
            self._is_going = True
            self._loop.call_soon(self._carry_on)

    def _may_take(self) -> bool:
        return self.commands.used < QUEUE and self._may_go_on()

    def _may_go_on(self) -> bool:
        return not (self._is_deaf or self._is_connecting) and self.outlet.writable()

    async def _let_in(self, command: Connect) -> None:
        """Meanwhile the client is read, so that its end is noticed; what it sends is done afterwards."""
        match await run_once(partial(self._connect, command), is_cancelled=self.has_ended):
            case Failed(ProtocolError() as error):
                self.disconnect_for(error)
                return
            case Failed(error):
                self.hub.failed()
                logger.error("A client could not be connected.", exc_info=error)
                self.leave(codes.SERVER_ERROR)
                return
            case Cancelled():
                return
        self._is_connecting = False
        self._carry_on()

    def disconnect_for(self, error: ProtocolError) -> None:
        """Ends the connection of a client that has broken the protocol."""
        logger.debug("A client is disconnected: %s", error)
        self.hub.refused(error.disconnect.reason, said=error.problem)
        self.leave(error.disconnect)

    def _note_error(self, error: Error, about: str) -> None:
        if not self.is_over:  # what was in flight was cancelled, not refused
            self.hub.refused(codes.name_of(error), about, error.message)

    def leave(self, disconnect: Disconnect) -> None:
        """End the connection; what waits is not done any more."""
        self._hear_no_more()
        self._transport.leave(disconnect)

    def _hear_no_more(self) -> None:
        self._is_deaf = True
        self._held.clear()
        if self._moving is not None:
            settled(self._moving)
        self.calling.clear()
        self.asking.clear()

    def write(self) -> None:
        """Hands over what the protocol has to say; it leaves with the loop's next turn."""
        if data := self.session.take():
            self.outlet.write(data, 1)
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        try:
            self.outlet.flush()
        except Exception as error:
            self.outlet.failed(error)

    def last_words(self) -> None:
        """Writes what was published before the connection ends."""
        self.news_first()
        self.write()
        self._flush()

    def news_first(self) -> None:
        """Before an answer goes what was published before it."""
        for state in list(self.session.subscriptions.values()):
            if state.holder is not None:
                with isolated("%s: what was published first could not be written.", state.channel):
                    state.holder.news_first()

    def waiting_bytes(self) -> int:
        """Return the number of bytes that wait for the client in this process."""
        return self.outlet.waiting()

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Wait for room for an answer that may be long; one of them is made at a time."""
        async with self._turn:
            await self.outlet.drained()
            yield

    def _has_room(self) -> None:
        self._full_at = self._loop.time()
        for state in self.session.subscriptions.values():
            if isinstance(state.holder, WatchSubscriber) and state.holder.watcher is not None:
                with isolated("%s: a watcher could not be woken.", state.channel):
                    state.holder.watcher.wake()
        self.calling.go_on()
        self.asking.go_on()
        self._go_on_soon()

    # Time

    def window(self, sent: int) -> Window:
        """A window for one subscription, whose reply carries so many publications."""
        self._round_trip = self._round_trip or RoundTrip()
        return Window(self._loop.time, self._round_trip, sent)

    def schedule(self) -> None:
        """Deadlines may have changed."""
        deadline = self.session.deadline
        if self._timer is not None:
            if self._due <= deadline:
                return
            self._timer.cancel()
        self._due = deadline
        self._timer = None if deadline == inf else self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.is_over:
            return
        try:
            now = self._loop.time()
            is_behind = bool(self._held) or now - self._full_at < self.hub.settings.ping_interval
            for state in self.session.tick(now, is_behind=is_behind or not self.outlet.writable()):
                self._expire(state)
        except ProtocolError as error:
            self.disconnect_for(error)
            return
        except Exception as error:  # a connection without its timer would never be pinged again
            self.outlet.failed(error)
            return
        self.write()
        self.schedule()

    def _expire(self, state: Subscription) -> None:
        if state.is_server_side:
            raise ProtocolError(codes.SUBSCRIPTION_EXPIRED, f"no refresh of {state.channel} in time")
        self.end_subscription(state, codes.EXPIRED_SUBSCRIPTION)

    def ttl(self, expires_at: float | None) -> int:
        """Whole seconds until a point in Unix time, at least one; 0 for none."""
        return 0 if expires_at is None else ttl_of(expires_at - time.time())

    def deadline(self, expires_at: float | None) -> float:
        """A point in Unix time, by the loop's clock."""
        return inf if expires_at is None else self._loop.time() + expires_at - time.time()

    # What goes on

    def has_ended(self) -> bool:
        """Return whether the connection is over, which cancels what it has begun."""
        return self.is_over

    def spawn(self, begin: Begin, entry: Entry | None, id_: int = 0) -> None:
        """Begin something that ends with the connection.

        Args:
            begin: Makes the coroutine.
            entry: By which it enters the app, if it does.
            id_: The command that it answers, which gets an error if it fails; 0 if it has an answer in any case.
        """
        self._begun += 1
        self._starter.begin(partial(self._start, begin, entry, id_))

    def undertake(self, begin: Begin, entry: Entry | None, command: Command, size: int, charge: Charge) -> None:
        """Begin what a command asks for, when there is room for its answer.

        Args:
            begin: Makes the coroutine.
            entry: By which it enters the app, if it does.
            command: What waits.
            size: The bytes that it counts for while it waits.
            charge: What it takes of the room; given back when it has ended, if not earlier.
        """
        id_ = 0 if isinstance(command, Subscribe) else getattr(command, "id", 0)
        self.commands.add(size)
        self._begun += 1
        charge.begin(partial(self._undertaken, size, partial(self._start, begin, entry, id_, charge)))

    def _undertaken(self, size: int, start: Callable[[], None]) -> None:
        self.commands.give(size)
        self._starter.begin(start)
        self._go_on_soon()

    def _start(self, begin: Begin, entry: Entry | None, id_: int, charge: Charge | None = None) -> None:
        if self.is_over:
            return
        task = create_task(begin())
        self._tasks[task] = entry
        task.add_done_callback(partial(self._done, id_))
        if charge is not None:
            task.add_done_callback(lambda _: charge.free())

    def _done(self, id_: int, task: "asyncio.Task[None]") -> None:
        self._begun -= 1
        del self._tasks[task]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None or self.is_over:
            return
        self.hub.failed()
        logger.error("A command could not be answered.", exc_info=error)
        if id_:
            self.session.refuse(id_, codes.INTERNAL)
            self.write()

    def finish(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs what is to end before the connection has ended."""
        task = self._loop.create_task(coroutine)
        self._finishing = self._finishing or set()
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    def is_busy(self) -> bool:
        """Whether so much goes on that nothing more is begun."""
        return self._begun >= self.site.limits.channels + self.hub.settings.max_inbox_messages

    def end(self) -> None:
        """The connection is over: what it has begun ends."""
        if self.is_over:
            return
        self.is_over = True
        self._hear_no_more()
        if self._timer is not None:
            self._timer.cancel()
        for state in list(self.session.subscriptions.values()):
            if state.holder is not None:
                with isolated("%s: a subscription could not be ended.", state.channel):
                    state.holder.end()
        for task, entry in list(self._tasks.items()):
            if entry is None or not entry.admitted:
                task.cancel()

    async def ended(self) -> None:
        """Waits until all that it has begun has ended."""
        while going_on := [*self._tasks, *(self._finishing or ())]:
            await asyncio.wait(going_on)
        # Nothing leads back from here, so that all goes at once, and not only when Python looks for cycles.
        self.session.subscriptions.clear()
        self.outlet.lane.on_writable = None
        self.session.on_error = _unheard
        self._transport = Gone(self.outlet.lane)


def settled(future: "asyncio.Future[None]", _: object = None) -> None:
    """Something that was waited for has happened, one way or the other."""
    if not future.done():
        future.set_result(None)


def _unheard(error: Error, about: str) -> None:
    """Do nothing: the connection is over."""
