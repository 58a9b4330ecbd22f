"""Subscriptions to feeds and topics: one of them on one connection."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Error, Unsubscription
from ...centrifuge.messages import (
    History,
    JoinPush,
    LeavePush,
    Presence,
    PresenceStats,
    Pub,
    Publish,
    Result,
    Subscribe,
    SubscribeResult,
)
from ...centrifuge.peer import UNRECOVERABLE_FLAG, Subscription
from ...definitions import Handler, Watched
from ...errors import InboxFull
from ...hub import Hub
from ...hub.clock import Clock
from ...hub.engine import Engine, Ticket
from ...hub.watcher import Watcher
from ...identity import Sender
from ...lanes.outlet import Outlet
from ...log.base import Log
from ...runs.inbox import Budget, Inbox
from ...runs.outcome import Cancelled, Completed, Failed, run_in_thread
from ...runs.outcome import Refused as RunRefused
from ...runs.overlap import QueuedRuns
from ..runs import run_for_client
from .asking import MOST_BYTES, answer, up_to
from .payloads import Refused, decoded, inbox_full, size_of
from .refusal import error_of
from .window import Window, WindowedOutlet
from .wires import PubWire, info_of

HANDLING_TIMEOUT = 2.0
"""Seconds that a topic's handler has for the messages of a client that has left, before it is cancelled."""

MOST_PUBLICATIONS = 300
"""In the reply to a client that returns, where they are made for it alone; what it has missed beyond follows as pushes.
"""


class Owner(Protocol):
    """The connection, as its subscriptions see it."""

    hub: Hub
    codec: Codec
    outlet: Outlet
    sender: Sender
    inbox: Budget
    """What the messages that wait for handlers and streams of this connection may have together."""

    def end_subscription(self, state: Subscription, why: Unsubscription) -> None:
        """A subscription is over, and the client is told why."""

    def done(self, id_: int, error: Error | None) -> None:
        """A publish command was done, or was not."""

    def finish(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs what is to end before the connection has ended."""


class Subscriber(Protocol):
    """What serves one subscription, as the connection sees it."""

    window: Window | None
    """What the client has not acknowledged; None if it does not acknowledge."""

    def begin(self) -> None:
        """The client knows that it is subscribed."""

    def end(self) -> None:
        """It is over; what it has begun ends."""

    def publish(self, command: Publish) -> None:
        """The client publishes.

        Raises:
            Refused: It may not, or the data does not validate.
        """

    def news_first(self) -> None:
        """Writes what was published and not told yet."""


class WatchSubscriber:
    """A subscription to a feed or topic.

    Args:
        owner: The connection.
        state: What the protocol knows of it.
        watched: The feed or topic.
        arguments: What FastAPI has resolved.
        engine: The engine.
        name: The key's name.
        chan_info: What others see of it beside the connection's info.
    """

    __slots__ = (
        "_arguments",
        "_engine",
        "_inbox",
        "_owner",
        "_rate",
        "_runs",
        "_state",
        "_ticket",
        "_wire",
        "is_over",
        "log",
        "name",
        "over",
        "sender",
        "watched",
        "watcher",
        "window",
    )

    def __init__(
        self,
        owner: Owner,
        state: Subscription,
        watched: Watched[Any, Any],
        arguments: Mapping[str, Any],
        *,
        engine: Engine,
        name: str,
        chan_info: bytes,
    ) -> None:
        self.watched = watched
        self.name = name
        self.sender = replace(owner.sender, channel_info=chan_info) if chan_info else owner.sender
        self.watcher: Watcher | None = None
        self.window: Window | None = None
        self.is_over = False
        self.over: asyncio.Event | None = None
        """Set when it is over, for whoever keeps its dependencies open."""
        self._owner = owner
        self._state = state
        self._engine = engine
        self._arguments = arguments if self.handler is not None else None
        self._ticket: Ticket | None = None
        self.log: Log | None = None
        """The key's log, once the client is told where it begins."""
        self._wire: PubWire | None = None
        self._rate: int | None = None
        self._runs: QueuedRuns | None = None
        self._inbox: Inbox | None = None

    @property
    def handler(self) -> Handler | None:
        """What takes the client's publications."""
        return self.watched.handler

    # From the start to the end

    def prepare(
        self, ticket: Ticket, command: Subscribe, wire: PubWire, rate: int, *, has_room: bool
    ) -> SubscribeResult:
        """Says where the client begins.

        Args:
            ticket: Given by the engine; it belongs to the caller if this raises.
            command: What the client wants.
            wire: The format for it.
            rate: At most so many times per second.
            has_room: Whether the reply has room for publications.

        Raises:
            Refused: 112, it cannot go on from where it was, and wants to hear of that.
        """
        result, self._ticket = recovered(self.watched, ticket, command, wire, has_room=has_room)
        self._wire, self._rate, self.log = wire, rate, ticket.log
        return result

    def begin(self) -> None:
        ticket, self._ticket = self._ticket, None
        assert ticket is not None
        assert self._wire is not None
        outlet = self._owner.outlet
        sink = outlet if self.window is None else WindowedOutlet(outlet, self.window)
        with self._engine.holding(ticket):
            watcher = self._engine.watch(ticket, sink, self._wire, self, self._rate)
        if self.is_over:  # what it was told first was that it is complete
            self._engine.unwatch(self.name, watcher)
            return
        self.watcher = watcher
        if self.watched.options.presence or self.watched.options.join_leave:
            self._owner.hub.members.join(self.name, self, self._told_by())

    def end(self) -> None:
        self.is_over = True
        self._state.holder = None  # which leads here
        if self._ticket is not None:
            self._engine.leave(self._ticket)
            self._ticket = None
        if self.watcher is not None:
            self._engine.unwatch(self.name, self.watcher)
            self.watcher = None
        if self.watched.options.presence or self.watched.options.join_leave:
            self._owner.hub.members.leave(self.name, self, self._told_by())
        if self.over is not None:
            self.over.set()
        elif self._runs is not None:
            self._owner.finish(self._handled_all(self._runs))

    async def stay(self) -> None:
        """Waits until it is over, and the handler has had what the client sent before that."""
        self.over = asyncio.Event()
        if self.is_over:
            self.over.set()
        try:
            await self.over.wait()
        finally:
            if self._runs is not None:
                await self._handled_all(self._runs)

    async def _handled_all(self, runs: QueuedRuns) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(HANDLING_TIMEOUT):
                await runs.idle()
        await runs.stop()
        if self._inbox is not None:
            self._inbox.clear()

    def news_first(self) -> None:
        if self.watcher is not None:
            self.watcher.catch_up()

    # What the engine and others tell

    def completed(self) -> None:
        """The feed is complete."""
        self._owner.end_subscription(self._state, codes.COMPLETE)

    def fell_behind(self, lost: int) -> None:
        """The client was too slow."""
        self._owner.end_subscription(self._state, codes.INSUFFICIENT)

    def stale(self, since: float | None) -> None:
        """Nothing: clients do not learn about it yet."""

    def not_served(self) -> None:
        """The client could not be served."""
        self._owner.end_subscription(self._state, codes.FAILED)

    def _told_by(self) -> Clock | None:
        """The clock by which members are told of each other; None if they are not."""
        return self._engine.clock if self.watched.options.join_leave else None

    @property
    def style(self) -> Hashable:
        """The format of announcements: members that spell the channel alike share the bytes."""
        return self._owner.codec, self._state.channel

    def announcement(self, sender: Sender, *, joins: bool) -> bytes:
        """Return the push that another client joins or leaves."""
        push = JoinPush if joins else LeavePush
        return self._owner.codec.push(push(self._state.channel, info_of(sender)))

    @property
    def outlet(self) -> Outlet:
        """The way to the client."""
        return self._owner.outlet

    # What the client sends

    def publish(self, command: Publish) -> None:
        if self.handler is None:
            raise Refused(codes.PERMISSION_DENIED)
        message = decoded(self.handler.decoder, command.data, self._owner.codec, self._owner.hub, self.watched.title)
        if self._runs is None:
            self._inbox = Inbox(self._owner.hub.settings.max_inbox_messages, self._owner.inbox)
            self._runs = QueuedRuns(self._handle, self._inbox)
            self._runs.start()
        try:
            weight = self.handler.decoder.weight(command.data)
            self._runs.offer((command.id, message), size_of(command) + weight)
        except InboxFull as error:
            raise Refused(inbox_full(error)) from None

    def answer(self, command: Presence | PresenceStats | History) -> Result:
        """The answer to a question of the client; raises as :func:`~.asking.answer`."""
        assert self.log is not None
        self.log.expire(self._engine.loop.time())
        return answer(command, self.watched, self.log, self._owner.hub.members, self.name)

    async def _handle(self, item: tuple[int, Any]) -> None:
        """One message, in its turn."""
        id_, message = item
        assert self.handler is not None
        assert self._arguments is not None
        owner = self._owner
        runs, title = self._runs, self.watched.title
        assert runs is not None
        error = await handled(self.handler, self._arguments, message, title, owner.hub, lambda: runs.cancelling)
        owner.done(id_, error)


async def handled(
    handler: Handler,
    arguments: Mapping[str, Any],
    message: Any,
    title: str,
    hub: Hub,
    is_cancelled: Callable[[], bool],
) -> Error | None:
    """Calls a topic's handler for one message; what the client is told if that does not go well.

    Args:
        handler: The handler.
        arguments: What FastAPI has resolved.
        message: The message.
        title: How the log names the topic.
        hub: The hub of the app, which counts failures.
        is_cancelled: Whether the connection has cancelled it, since the client is gone.

    Raises:
        CancelledError: The connection has cancelled it.
    """
    given = {name: arguments[name] for name in handler.names}
    given[handler.parameter] = message

    async def run() -> None:
        if handler.synchronous:
            await run_in_thread(partial(handler.function, **given))
        else:
            await handler.function(**given)

    match await run_for_client(hub, title, run, is_cancelled, what="the handler of its messages"):
        case Completed():
            return None
        case RunRefused(_, status, detail):
            return error_of(status, detail)
        case Failed():
            return codes.INTERNAL
        case Cancelled(error):
            raise error


def recovered(
    watched: Watched[Any, Any], ticket: Ticket, command: Subscribe, wire: PubWire, *, has_room: bool
) -> tuple[SubscribeResult, Ticket]:
    """Where a subscription begins, as the client is told, and as the engine is.

    What the reply has no room for follows as pushes.

    Raises:
        Refused: 112, the client cannot go on from where it was, and wants to hear of that.
    """
    log, kind = ticket.log, watched.retention.kind
    is_stream = kind == "last"
    result = SubscribeResult(
        recoverable=True,
        positioned=is_stream,
        epoch=log.epoch,
        offset=log.position_at(ticket.cursor).offset,
        was_recovering=command.recover,
        delta=wire.deltas is not None,
    )
    if not command.recover:
        return result, ticket
    if kind == "table":  # its rows follow as pushes
        return result._replace(recovered=not ticket.is_lost), ticket
    if ticket.is_lost:
        if command.flag & UNRECOVERABLE_FLAG:
            raise Refused(codes.UNRECOVERABLE)
        return result._replace(offset=log.position.offset), ticket._replace(cursor=log.head, is_lost=False)
    told, cursor = _missed(ticket, wire) if has_room else ((), ticket.cursor)
    result = result._replace(publications=told, recovered=is_stream or log.head > 0, offset=command.offset)
    return result, ticket._replace(cursor=cursor)


def _missed(ticket: Ticket, wire: PubWire) -> tuple[Sequence[Pub] | bytes, int]:
    """What a client has missed, as much as fits into a reply, and up to where."""
    if wire.is_shared:  # the very same bytes for all who come back to here
        chunk = ticket.log.read(ticket.cursor, wire.in_reply())
        return chunk.data, chunk.cursor
    entries = up_to(ticket.log.since(ticket.cursor, MOST_PUBLICATIONS), MOST_BYTES)
    return wire.publications(entries), ticket.log.cursor_at(entries[-1].position.offset) if entries else ticket.cursor
