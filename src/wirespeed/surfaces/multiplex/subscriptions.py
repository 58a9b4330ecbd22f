"""The subscriptions of one connection. The path of a subscribe, from its command to its watch, is one method here."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codes import Error, ProtocolError
from ...centrifuge.peer import kept_of
from ...centrifuge.subscription import Event, State, Subscription
from ...definitions import Stream, Watched
from ...identity import Grant, Identity
from ..recheck import Recheck, seconds_of
from .admission import Admission
from .channels import ChannelName, Found
from .credentials import Credentials
from .inbound import Inbound, Work
from .kept import KeptSubscription
from .link import Delivery, Link
from .refusal import CommandRefused, unsubscription_of
from .reserved import acknowledged
from .run import Run
from .watch import Watch

AboutChannel = m.Publish | m.Presence | m.PresenceStats | m.History
"""The commands about a channel that have an answer."""


class _AtConnect(NamedTuple):
    """A server-side subscription of a connect: its result is part of the reply to the connect."""

    decided: "asyncio.Future[m.SubscribeResult | Error]"
    """Has the result when the app has admitted the subscription, or the error if it refuses it."""
    replied: "asyncio.Future[None]"
    """Done when the reply to the connect is written."""


@dataclass(slots=True, eq=False)
class Subscriptions:
    """The subscriptions of one connection, from the client's command or the server's decision to their ends."""

    _link: Link
    _credentials: Credentials
    _inbound: Inbound
    _schedule: Callable[[], None]
    """Called when a deadline has changed."""

    # What the client asks for

    def begin(self, command: m.Subscribe) -> None:
        subscription = self._link.peer.subscriptions[command.channel]
        self._inbound.undertake(command, partial(self._serving, subscription, None), self._inbound.asking)

    def add(self, channel: str, data: bytes) -> None:
        """Begin a subscription that the app wants for the client, which gets data in JSON with it; empty for none."""
        subscription = None if self._link.is_over else self._link.peer.add_server_side(channel)
        if subscription is not None:
            self._inbound.undertake(m.Subscribe(0, channel), partial(self._serving, subscription, data))

    async def connect(
        self, channels: Collection[str], command: m.Connect, replied: "asyncio.Future[None]"
    ) -> dict[str, m.SubscribeResult]:
        """Begin the subscriptions that a connect comes with; return the results of those that the app admits.

        Raises:
            CommandRefused: 503, something was not available. The client connects again: otherwise it would lack a
                subscription without knowing.
        """
        decisions: dict[Subscription[Delivery], asyncio.Future[m.SubscribeResult | Error]] = {}
        for channel in channels:
            since = command.subs.get(channel)
            wanted = m.Subscribe(0, channel) if since is None else since._replace(channel=channel, id=0)
            subscription = self._link.peer.add_server_side(channel, kept_of(wanted))
            if subscription is not None:
                decided = decisions[subscription] = self._link.loop.create_future()
                self._inbound.undertake(wanted, partial(self._serving, subscription, _AtConnect(decided, replied)))
        if decisions:
            await asyncio.wait(decisions.values())
        results: dict[str, m.SubscribeResult] = {}
        for subscription, decision in decisions.items():
            result = decision.result()
            if isinstance(result, Error):
                if result.code == HTTPStatus.SERVICE_UNAVAILABLE:
                    raise CommandRefused(result)
            elif subscription.state is State.ANSWERED:  # one that the app had admitted may be over
                results[subscription.channel] = result
        return results

    # Subscriptions

    async def _serving(
        self, subscription: Subscription[Delivery], via: _AtConnect | bytes | None, work: Work[m.Subscribe]
    ) -> None:
        """Serve a subscription; what it keeps counts until the end of that."""
        subscription.is_served = True
        try:
            await self._serve(subscription, via, work)
        finally:
            self._link.peer.served(subscription)

    async def _serve(
        self, subscription: Subscription[Delivery], via: _AtConnect | bytes | None, work: Work[m.Subscribe]
    ) -> None:
        """Take a subscription the whole way: admit, enter, reply, and then watch or run.

        Args:
            via: How the client learns of it: by the reply to its subscribe if None, by the reply to its connect, or
                by a push that carries this data.
        """
        command, link = work.command, self._link
        since = link.hub.sessions.admissions.count  # the verification of a token may have read the old state, too
        error: Error | None = codes.INTERNAL
        try:
            found, name = link.site.publishing(command.channel)
            grant = await self._credentials.grant(command.token, command.channel, link.has_ended)
            token = command.token if grant is None else ""
            own = self._credentials.identity  # the client may refresh it while the guards run
            admitting = self._credentials.admission(link, found, name, work.context, token, grant, subscribes=True)
            admitting.since = since
            async with admitting as admission:
                delivery = self._delivery(subscription, admission, command, grant)
                async with self._entered(subscription, command, delivery):
                    self._check(subscription, delivery, admission, own)
                    result = self._admitted(subscription, delivery, command, grant)
                    await self._reply(subscription, result, command.id, via)
                    work.free()
                    if subscription.is_live():
                        delivery.start()
                    if subscription.is_live() and (seconds := seconds_of(found.definition)) is not None:
                        again = partial(self._again, found, name, token, delivery)
                        delivery.recheck = Recheck(link.hub, seconds, again, partial(self._refuse, subscription))
                self._inbound.decided()
                if admission.is_open() or isinstance(delivery, Run):
                    work.keep()
                    if self._inbound:  # the unsubscribe may be next: then a run never starts
                        await asyncio.sleep(0)
                    await delivery.stay()
            error = None
        except CommandRefused as refused:
            error = refused.error
        finally:
            if subscription.is_undecided():
                self._not_subscribed(subscription, command, error or codes.INTERNAL, via)
            elif error is not None and not link.is_over:
                link.unsubscribe(subscription, codes.FAILED)  # nothing happens if it has ended already

    @asynccontextmanager
    async def _entered(
        self, subscription: Subscription[Delivery], command: m.Subscribe, delivery: Watch | Run
    ) -> AsyncIterator[None]:
        """Enter what serves a subscription. A reply that recovers may be long: it is made when there is room for it."""
        is_long = command.recover and not subscription.is_server_side
        room: AbstractAsyncContextManager[None] = self._link.answering() if is_long else nullcontext()
        # A loader may take long: other subscriptions do not wait for it. A kept run is taken over when there is room.
        first, second = (delivery, room) if isinstance(delivery, Watch) else (room, delivery)
        async with first, second:
            yield

    def _again(self, found: Found, name: ChannelName, token: str, delivery: Watch | Run) -> Admission:
        """Return another decision of the app about a client that it has admitted."""
        return self._credentials.admission(
            self._link, found, name, copy_context(), token, delivery.grant, subscribes=True, afresh=True
        )

    def _refuse(self, subscription: Subscription[Delivery], status: int, detail: Any) -> None:
        if status != HTTPStatus.UNAUTHORIZED or self._link.peer.expiry > self._link.loop.time():
            self._link.unsubscribe(subscription, unsubscription_of(status, detail))  # otherwise a new token is awaited

    def _delivery(
        self, subscription: Subscription[Delivery], admission: Admission, command: m.Subscribe, grant: Grant | None
    ) -> Watch | Run:
        """Return the object that is going to serve a subscription."""
        match admission.definition:
            case Stream(resume=None) as stream:
                return Run(self._link, subscription, stream, admission.arguments, command, grant)
            case Stream() as stream:
                return KeptSubscription(
                    self._link, subscription, stream, admission.arguments, command, grant, admission.identity
                )
            case Watched() as watched:
                return Watch(self._link, subscription, watched, admission, command, grant)
            case _:
                raise CommandRefused(codes.UNKNOWN_CHANNEL)

    def _check(
        self, subscription: Subscription[Delivery], delivery: Watch | Run, admission: Admission, own: Identity
    ) -> None:
        """Take note of the identity that the guards have found, if it is not the connection's own.

        Raises:
            CommandRefused: 103, what the guards have admitted was revoked meanwhile.
        """
        link, identity = self._link, admission.identity
        admission.check_revoked(delivery.place)
        if identity is not own and link.transport is not None and not link.is_over:
            delivery.identity = identity
            link.hub.sessions.admissions.note(link.transport, identity)
            if identity.expires_at is not None:  # no token can renew it
                subscription.ends_at = link.deadline(identity.expires_at)
                self._schedule()

    def _admitted(
        self, subscription: Subscription[Delivery], delivery: Watch | Run, command: m.Subscribe, grant: Grant | None
    ) -> m.SubscribeResult:
        """Take note that the app admits the client; return the reply."""
        if self._link.is_over:
            raise asyncio.CancelledError
        result = delivery.reply(command)
        if grant is not None and grant.expires_at is not None:
            subscription.expiry = self._link.deadline(grant.expires_at)
            result = result._replace(expires=True, ttl=self._link.ttl(grant.expires_at))
        subscription.on(Event.ADMITTED)
        subscription.delivery = delivery
        self._link.hub.sessions.admissions.enter(delivery)
        return result

    async def _reply(
        self, subscription: Subscription[Delivery], result: m.SubscribeResult, id_: int, via: _AtConnect | bytes | None
    ) -> None:
        """Let the client know that it is subscribed: publications follow."""
        channel, link = subscription.channel, self._link
        match via:
            case None:
                link.peer.subscribed(id_, subscription, result)
                link.write()
                if result.expires:
                    self._schedule()
            case bytes(data):
                subscription.on(Event.REPLIED)
                push = m.SubscribePush(
                    channel, result.recoverable, result.epoch, result.offset, result.positioned, data
                )
                link.say(link.codec.push(push))
            case _AtConnect():
                via.decided.set_result(result)
                try:
                    await asyncio.wait([via.replied])  # others wait for it, too: it must not be cancelled
                except asyncio.CancelledError:
                    if not (link.is_over or via.replied.done()):  # middleware has ended the app's call
                        link.peer.ended(subscription, Event.ENDED)
                    raise

    def _not_subscribed(
        self, subscription: Subscription[Delivery], command: m.Subscribe, error: Error, via: _AtConnect | bytes | None
    ) -> None:
        if not subscription.is_server_side and not self._link.is_over:
            self._link.peer.not_subscribed(command.id, subscription.channel, error)
            self._link.write()
        else:
            self._link.peer.ended(subscription, Event.REFUSED)
        if isinstance(via, _AtConnect):
            via.decided.set_result(error)
        if self._link.is_over:
            return
        if subscription.is_server_side:
            line = f"{subscription.channel}: the app refuses a server-side subscription: {error.message}"
            self._link.hub.refused(codes.name_of(error), level=logging.WARNING, line=line)
        self._inbound.decided()

    def unsubscribe(self, command: m.Unsubscribe) -> None:
        subscription = self._link.peer.subscriptions.get(command.channel)
        if subscription is not None:
            self._link.part(subscription)
        self._link.peer.unsubscribed(command.id, command.channel)

    def do(self, command: AboutChannel) -> bool:
        """Do a command about a channel, if the client is subscribed to it; return True if it is."""
        subscription = self._link.peer.subscriptions.get(command.channel)
        if subscription is None:
            return False
        assert subscription.delivery is not None
        try:
            if isinstance(command, m.Publish):
                subscription.delivery.publish(command)
            else:
                self._link.peer.reply(command.id, subscription.delivery.answer(command))
        except CommandRefused as refused:
            self._link.peer.refuse(command.id, refused.error, command.channel)
        return True

    def acknowledge(self, command: m.Send) -> None:
        """Take the client's acknowledgements; other messages have no receiver."""
        counts = acknowledged(command.data)
        if counts is None:
            raise ProtocolError(codes.NO_SEND, "a message that has no receiver")
        for channel, count in counts.items():
            subscription = self._link.peer.subscriptions.get(channel)
            if subscription and subscription.delivery and subscription.delivery.window:
                subscription.delivery.window.acknowledge(count)
