"""Watches: subscriptions to feeds and topics."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Error, Unsubscription
from ...centrifuge.subscription import Subscription
from ...codec import json_of
from ...definitions import Criteria, SourceHealth, SourceRefusal, Watched
from ...errors import InboxFull
from ...hub.clock import FRAME_RATE, Clock
from ...hub.watcher import Listener
from ...identity import Grant, Identity, Sender
from ...lanes.lane import Sink
from ...lanes.outlet import Outlet
from ...log.position import Position
from ...runs.outcome import Cancelled, Completed, Failed, Refused
from ..handling import Handled, Handling
from ..recheck import Recheck
from ..runs import Invalid, note_unanswered
from ..watching import Watching
from ..wishes import wants_pieces, wish_of
from .admission import Admission
from .credentials import granted
from .link import Delivery, Link
from .past import answer, bytes_of, recovered
from .payloads import decoded, inbox_full, size_of
from .refusal import TEMPORARY, CommandRefused, error_by, error_of, refusing
from .reserved import GROWS, wanted
from .window import Window, WindowedOutlet
from .wires import PubWire, info_of

NOT_HANDLED = codes.PERMISSION_DENIED._replace(message="The subscription has ended.", name="subscription ended")
"""Error of a publish command whose subscription has ended before its handler."""


class Watch(Watching, Listener):
    """A subscription to a feed or topic.

    The listener of its watcher, and a member of its channel's presence.

    Raises:
        CommandRefused: 107 or 108, the client wants what the feed or topic, or its format, does not offer.
    """

    __slots__ = (
        "_arguments", "_batches", "_grows", "_handling", "_is_told", "_link", "_over", "_rate", "_subscription",
        "_wants_status", "_wire", "grant", "identity", "recheck", "sender", "window",
    )  # fmt: skip

    def __init__(
        self,
        link: Link,
        subscription: Subscription[Delivery],
        watched: Watched[Any, Any],
        admission: Admission,
        command: m.Subscribe,
        grant: Grant | None,
    ) -> None:
        wants, _ = wanted(command, link.codec, is_binary=watched.is_binary)
        since = Position(command.epoch, command.offset) if command.recover else None
        super().__init__(link.hub, refusing(), watched, admission.arguments, since)
        self._link = link
        self.sender = granted(link.sender, grant)
        self.window: Window | None = link.window(0) if wants.acknowledges else None
        self.identity: Identity | None = None
        self.grant = grant
        self.recheck: Recheck | None = None
        self._arguments = admission.arguments if watched.handler is not None else None
        self._batches = wants.batches
        self._wants_status = wants.status
        self._handling: Handling | None = None
        self._over: asyncio.Event | None = None
        try:
            self._rate = wish_of(watched, admission.query).rate or FRAME_RATE
            self._is_told = wants.appends and watched.options.grows is not False
            self._grows = wants_pieces(watched, admission.query) or self._is_told
        except HTTPException as error:
            raise CommandRefused(error_of(error.status_code, error.detail)) from None
        self._subscription = subscription
        self._wire: PubWire | None = None

    @property
    def place(self) -> str:
        return self.name

    # From the beginning to the end

    def reply(self, command: m.Subscribe) -> m.SubscribeResult:
        """Return the reply to the subscribe; after it, the watch can start."""
        assert self.ticket is not None
        link, is_server_side = self._link, self._subscription.is_server_side
        if command.recover:  # there was a wait for room meanwhile: the log may have dropped what follows its position
            key, log, values, *_ = self.ticket
            self.ticket = key.ticket(log, values, Position(command.epoch, command.offset))
        self._wire = link.site.wire(
            link.codec, command, self.watched, self.name, batches=self._batches, grows=self._grows
        )
        has_room = not is_server_side or link.recovering > 0
        result, self.ticket = recovered(self.watched, self.ticket, command, self._wire, has_room=has_room)
        if is_server_side:
            link.recovering -= bytes_of(result.publications)
        if self.window is not None and result.publications:
            self.window.sent()
        return result._replace(data=GROWS) if self._is_told else result

    def start(self) -> None:
        """Start to watch: the client knows that it is subscribed."""
        assert self._wire is not None
        outlet: Sink = self._link.outlet
        if self.window is not None:
            figures = self.engine.publishing.figures[self.watched]
            self.window.painted = figures.painted
            outlet = WindowedOutlet(self._link.outlet, self.window, figures)
        self.begin(outlet, self._wire, self, self._rate)
        self.keep()
        if self._has_members() and self._subscription.is_live():  # a complete feed has ended it already
            self._link.hub.members.join(self.name, self, self._clock())

    async def stay(self) -> None:
        """Keep the dependencies open that the topic's handler uses, until the end."""
        self._over = asyncio.Event()
        if not self._subscription.is_live():
            self._over.set()
        try:
            await self._over.wait()
        finally:
            if self._handling is not None:
                await self._handling.finish()

    def end(self) -> None:
        self.leave()
        if self.recheck is not None:
            self.recheck.stop()
        if self._has_members():
            self._link.hub.members.leave(self.name, self, self._clock())
        if self._over is not None:
            self._over.set()
        elif self._handling is not None:
            self._link.keep(self._link.loop.create_task(self._handling.finish()))

    def _has_members(self) -> bool:
        return self.watched.options.presence or self.watched.options.join_leave

    def ends(self, _: Criteria) -> list[Callable[[], None]]:
        self.stop()  # at once, however many subscriptions end before this one
        return [partial(self._link.revoke, self._subscription)]

    def news_first(self, until: float | None = None) -> None:
        if self.watcher is not None:
            self.watcher.catch_up(until)

    # The listener of the watcher

    def completed(self) -> None:
        """End the subscription: the feed is complete."""
        self._unsubscribe(codes.COMPLETE)

    def fell_behind(self, lost: int) -> None:
        """End the subscription: the client was too slow."""
        self._unsubscribe(codes.INSUFFICIENT)

    def health(self, health: SourceHealth) -> None:
        """Send ``{"wirespeed": {"status": {channel: ...}}}`` to a client that has asked for it."""
        channel, status = self._subscription.channel, health.as_json()
        if self._wants_status == "tag":
            pub = m.Pub(b"null", 0, tags={"status": status})
            self._link.say(self._link.codec.push(m.PublicationPush(channel, pub)))
        elif self._wants_status:
            data = b'{"wirespeed":{"status":{%b:%b}}}' % (
                json_of(channel),
                status.encode(),
            )
            self._link.say(self._link.codec.push(m.MessagePush(data)))

    def refused(self, refusal: SourceRefusal) -> None:
        """End the subscription with the refusal of the feed's generator. If it is temporary, SDKs subscribe again."""
        error = error_of(refusal.status, refusal.detail)
        is_own = refusal.status < 500 or refusal.status in TEMPORARY
        code = codes.COMPLETE.code + refusal.status if is_own else codes.FAILED.code
        self._unsubscribe(Unsubscription(code, error.message, error))

    def not_served(self) -> None:
        """End the subscription: the client could not be served."""
        self._unsubscribe(codes.FAILED)

    def painted_age(self) -> float | None:
        return None if self.window is None else self.window.age()

    def _unsubscribe(self, why: Unsubscription) -> None:
        self._link.unsubscribe(self._subscription, why)

    # The member of the channel's presence

    @property
    def style(self) -> tuple[Codec, str]:
        return self._link.codec, self._subscription.channel

    def announcement(self, sender: Sender, *, joins: bool) -> bytes:
        """Return the push that a client joins or leaves, without the channel."""
        push = m.JoinPush if joins else m.LeavePush
        return self._link.codec.about(push("", info_of(sender)))

    def addressing(self) -> Callable[[bytes], bytes]:
        """Return what makes pushes about the channel."""
        return self._link.codec.pushes(self._subscription.channel)

    @property
    def outlet(self) -> Outlet:
        return self._link.outlet

    def _clock(self) -> Clock | None:
        """Return the clock by which members learn of each other; None if they do not."""
        return self.engine.clock if self.watched.options.join_leave else None

    # What the client sends

    def answer(self, command: m.History | m.Presence | m.PresenceStats) -> m.Result | bytes:
        self.log.expire(self._link.loop.time())
        return answer(command, self.watched, self.log, self._link.hub.members, self.name, self._link.codec)

    def publish(self, command: m.Publish) -> None:
        handler, link, title = self.watched.handler, self._link, self.watched.title
        if handler is None or self._arguments is None:
            raise CommandRefused(codes.PERMISSION_DENIED)
        message = decoded(handler.decoder, command.data, link.codec, link.hub, title)
        if self._handling is None:
            self._handling = Handling(
                link.hub, title, handler, self._arguments, link.inbox, self._handled, self._broken
            )
        try:
            self._handling.offer(message, size_of(command) + handler.decoder.weight(command.data), command.id)
        except InboxFull as error:
            raise CommandRefused(inbox_full(error)) from None

    async def _handled(self, id_: int, ended: Handled) -> None:
        if not isinstance(ended, Cancelled):
            self._link.published(id_, handler_error(ended))
        elif not self._link.is_over:  # the client has left this channel, or had to
            self._link.published(id_, NOT_HANDLED)

    def _broken(self, error: BaseException) -> None:
        note_unanswered(self._link.hub, error)
        self._link.leave(codes.SERVER_ERROR)


def handler_error(ended: Handled) -> Error | None:
    """Return the error that the sender of a message gets; None if the topic's handler has taken it.

    Raises:
        CancelledError: The client has left.
    """
    match ended:
        case Completed():
            return None
        case Refused() as refused:
            return error_by(refused)
        case Failed() | Invalid():
            return codes.INTERNAL
        case Cancelled(error):
            raise error
