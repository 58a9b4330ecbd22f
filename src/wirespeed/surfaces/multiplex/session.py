"""One client of the multiplexed surface, whatever carries its frames: its commands, and what comes of them.

A command that has its answer at once gets it in :meth:`MultiplexSession._do`. All others are works, see
:mod:`.inbound`, and each goes straight down in a task of its own. Subscriptions have a module to themselves,
:mod:`.subscriptions`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import partial
from itertools import count
from math import inf
from typing import Any
from urllib.parse import unquote_plus
from uuid import uuid4

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codec import Codec, writable
from ...centrifuge.codes import Disconnect, Error, ProtocolError
from ...centrifuge.subscription import Event, Subscription
from ...codec import json_of
from ...definitions import Call, Criteria, Reachable, Stream, Subscribed, Watched
from ...frames import BINARY
from ...hub.engine import Engine
from ...identity import Identity, Sender
from ...isolation import isolated, log_error
from ...lanes.outlet import Framing
from ..calls import called
from ..handling import handle
from ..watching import Watching
from .admission import Admission
from .channels import ChannelName, Found
from .credentials import Credentials
from .inbound import Inbound, Room, Work
from .link import Delivery, Link, Transport
from .past import answer, present
from .payloads import check_format, decoded
from .refusal import CommandRefused, refusing
from .site import Site
from .subscriptions import AboutChannel, Subscriptions
from .watch import Watch, handler_error


class MultiplexSession(Reachable):
    """One client: its commands, and what comes of them. The app reaches it by :class:`wirespeed.Client`.

    Args:
        is_emulated: True if commands come beside the frames, so that the client has to know how to address them.
    """

    __slots__ = (
        "_credentials", "_due", "_full_at", "_numbers", "_subscriptions", "_timer", "inbound", "key", "link",
    )  # fmt: skip

    def __init__(
        self,
        site: Site,
        transport: Transport,
        codec: Codec,
        framing: Framing,
        engine: Engine,
        credentials: Credentials,
        *,
        is_emulated: bool = False,
        pings: bool = True,
    ) -> None:
        self.key = str(uuid4()) if is_emulated else ""
        """A secret, by which commands find the session that come beside its frames."""
        self._credentials = credentials
        self.link = link = Link(site, transport, codec, framing, engine, pings=pings)
        self.inbound = inbound = Inbound(link, self._do)
        """The way in, which takes the frames."""
        self._numbers = count(1)
        """The numbers of refreshes, in the order in which the client has sent them."""
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        """The time at which the timer rings: not every handle of uvloop knows it."""
        self._full_at = -inf
        """The time at which the client was behind last: bytes that it had not taken filled the lane."""
        self._subscriptions = Subscriptions(link, credentials, inbound, self._schedule)
        transport.lane.on_writable = self._has_room
        self._schedule()

    # The way in

    def _do(self, command: m.Command) -> None:
        """Do what a command asks for, or begin it; each ends in a reply, in its time."""
        match command:
            case m.Connect():
                self.inbound.undertake(command, self._connect)
            case m.Unsubscribe():
                self._subscriptions.unsubscribe(command)
            case m.Send():
                self._subscriptions.acknowledge(command)
            case _ if self.inbound.is_busy():
                self._refuse(command, codes.TOO_MANY_REQUESTS)
            case m.Subscribe():
                self._subscriptions.begin(command)
            case m.Publish() | m.Presence() | m.PresenceStats() | m.History():
                self._ask(command)
            case m.Rpc():
                self._begin_call(command)
            case m.Refresh():
                self._begin(command, partial(self._refresh, next(self._numbers)))
            case m.SubRefresh():
                subscription = self.link.peer.subscriptions.get(command.channel)
                self._begin(command, partial(self._sub_refresh, subscription, next(self._numbers)))

    def _ask(self, command: AboutChannel) -> None:
        if isinstance(command, m.Presence | m.PresenceStats) and self.link.hub.attendance is not None:
            self._begin(command, self._present)
        elif not self._subscriptions.do(command):
            self._begin(command, self._visit)

    def _begin(
        self, command: Any, serve: Callable[[Work[Any]], Awaitable[None]], room: Room | None = None, expected: int = 0
    ) -> None:
        """Begin a command that takes time, when there is room for its answer."""
        self.inbound.undertake(command, partial(self._answer, serve), room or self.inbound.asking, expected)

    def _refuse(self, command: Any, error: Error) -> None:
        if isinstance(command, m.Subscribe):
            self.link.peer.not_subscribed(command.id, command.channel, error)
        else:
            self.link.peer.refuse(command.id, error, getattr(command, "method", getattr(command, "channel", "")))

    async def _answer(self, serve: Callable[[Work[Any]], Awaitable[None]], work: Work[Any]) -> None:
        """Do a command, and answer it with an error if that fails in any way."""
        error: Error | None = codes.INTERNAL
        try:
            await serve(work)
            error = None
        except CommandRefused as refused:
            error = refused.error
        finally:
            if error is not None and not self.link.is_over:
                self.link.news_first()
                self._refuse(work.command, error)
            self.link.write()

    # Commands that need no subscription

    async def _visit(self, work: Work[Any]) -> None:
        """Do a command about a channel that the client is not subscribed to: a client that may subscribe may do it."""
        command: AboutChannel = work.command
        link = self.link
        found, name = self.link.site.publishing(command.channel)
        async with self._credentials.admission(link, found, name, work.context) as admission:
            watched = admission.definition
            if not isinstance(watched, Watched):
                raise CommandRefused(codes.UNKNOWN_CHANNEL)
            if isinstance(command, m.Publish):
                values = watched.key.pick(admission.arguments)
                admission.check_revoked(link.hub.name(watched, watched.key.text(values)))
                await self._handle(watched, admission, command)
            else:
                # A loader may take long: other answers do not wait for it.
                async with Watching(link.hub, refusing(), watched, admission.arguments) as place, link.answering():
                    admission.check_revoked(place.name)
                    link.peer.reply(command.id, await self._answered(command, place))
                    link.write()
        if isinstance(command, m.Publish):
            link.published(command.id, None)

    async def _present(self, work: Work[m.Presence | m.PresenceStats]) -> None:
        """Answer who is present, which other processes know, too."""
        command, link = work.command, self.link
        subscription = link.peer.subscriptions.get(command.channel)
        delivery = None if subscription is None else subscription.delivery
        if not isinstance(delivery, Watch):
            await self._visit(work)
            return
        async with link.answering():
            link.peer.reply(command.id, await self._answered(command, delivery))
            link.write()

    async def _answered(self, command: m.Presence | m.PresenceStats | m.History, place: Watching) -> m.Result | bytes:
        attendance = self.link.hub.attendance
        if attendance is None or isinstance(command, m.History):
            return answer(command, place.watched, place.log, self.link.hub.members, place.name, self.link.codec)
        return await present(command, place.watched, attendance, place.name)

    async def _handle(self, watched: Watched[Any, Any], admission: Admission, command: m.Publish) -> None:
        handler = watched.handler
        if handler is None:
            raise CommandRefused(codes.PERMISSION_DENIED)
        message = decoded(handler.decoder, command.data, self.link.codec, self.link.hub, watched.title)
        ended = await handle(self.link.hub, watched.title, handler, admission.arguments, message, self.link.has_ended)
        error = handler_error(ended)
        if error is not None:
            raise CommandRefused(error)

    def _begin_call(self, command: m.Rpc) -> None:
        found = self.link.site.find_channel(command.method)
        if found is None or not isinstance(found[0].definition, Call):
            self._refuse(command, codes.METHOD_NOT_FOUND if self.link.site.has_calls() else codes.NOT_AVAILABLE)
            return
        expected = self.link.site.expected(found[0].definition)
        self._begin(command, partial(self._call, *found), self.inbound.calling, expected)

    async def _call(self, found: Found, name: ChannelName, work: Work[m.Rpc]) -> None:
        command, link = work.command, self.link
        async with self._credentials.admission(link, found, name, work.context) as admission:
            call = admission.definition
            if not isinstance(call, Call):
                raise CommandRefused(codes.UNKNOWN_CHANNEL)
            admission.check_revoked(call.title)
            check_format(link.codec, is_binary=call.encoder.opcode == BINARY)
            arguments = dict(admission.arguments)
            if call.parameter is not None and call.decoder is not None:
                arguments[call.parameter] = decoded(call.decoder, command.data, link.codec, self.link.hub, call.title)
            data = await called(call, self.link.hub, arguments, link.has_ended)
        link.news_first()
        self.link.site.answered(found.definition, len(data))
        link.peer.reply(command.id, m.RpcResult(data))

    # The connection

    async def _connect(self, work: Work[m.Connect]) -> None:
        """Connect the client. Meanwhile it is read, so that its end is noticed; what it sends waits."""
        link, since = self.link, self.link.hub.sessions.admissions.count
        try:
            identity = await self._credentials.connect(work.command, link.has_ended)
            self._identified(identity, since)
            await self._connected(identity, work.command)
        except CommandRefused as refused:
            self._refuse(work.command, refused.error)
        except ProtocolError as error:
            link.disconnect_for(error)
            return
        except Exception as error:
            self.link.hub.sessions.failed()
            log_error(error, "A client could not be connected.")
            link.leave(codes.SERVER_ERROR)
            return
        self.inbound.is_connecting = False
        self.inbound.go_on()

    def _identified(self, identity: Identity, since: int) -> None:
        """Take note of the identity of the client.

        Raises:
            ProtocolError: 3507, it was revoked while the client was identified.
        """
        admissions = self.link.hub.sessions.admissions
        if admissions.is_revoked(since, identity, ""):
            raise ProtocolError(codes.REVOKED, "revoked while it connected")
        if self.link.transport is not None and not self.link.is_over:
            admissions.note(self.link.transport, identity)

    async def _connected(self, identity: Identity, command: m.Connect) -> None:
        link, replied = self.link, self.link.loop.create_future()
        info = b"" if identity.info is None else json_of(identity.info)
        link.sender = replace(link.sender, user=identity.user, info=info)
        if len(identity.subscriptions) > self.link.hub.settings.max_subscriptions:
            raise ProtocolError(codes.CHANNEL_LIMIT, "more server-side subscriptions than a client may have")
        results = await self._subscriptions.connect(identity.subscriptions, command, replied)
        if link.is_over:
            return
        link.peer.expiry = link.deadline(identity.expires_at)
        result = m.ConnectResult(
            client=link.sender.client,
            version=self.link.site.version,
            expires=identity.expires_at is not None,
            ttl=link.ttl(identity.expires_at),
            data=b"" if identity.data is None else json_of(identity.data),
            subs=results,
            session=self.key,
            node=self.link.site.node if self.key else "",
        )
        first_ping = random.uniform(0.5, 1)  # noqa: S311 - spreads the load
        link.peer.connected(command.id, result, link.loop.time(), first_ping)
        link.write()
        replied.set_result(None)
        self.link.hub.reachable.join(self, link.loop, self.link.hub.sessions.connection(link.transport))
        self._schedule()

    async def _refresh(self, number: int, work: Work[m.Refresh]) -> None:
        link, since = self.link, self.link.hub.sessions.admissions.count
        try:
            is_newest = await self._credentials.refresh(work.command.token, number, link.has_ended)
            identity = self._credentials.identity
            if is_newest:
                self._identified(identity, since)
        except ProtocolError as error:
            link.disconnect_for(error)
            return
        if is_newest:
            link.peer.expiry = link.deadline(identity.expires_at)
            self._schedule()
        expires, ttl = identity.expires_at is not None, link.ttl(identity.expires_at)
        link.peer.reply(work.command.id, m.RefreshResult(link.sender.client, self.link.site.version, expires, ttl))

    async def _sub_refresh(
        self, subscription: Subscription[Delivery] | None, number: int, work: Work[m.SubRefresh]
    ) -> None:
        command, link = work.command, self.link
        grant = await self._credentials.grant(command.token, command.channel, link.has_ended)
        if grant is None:
            raise CommandRefused(codes.NOT_AVAILABLE)
        if subscription is None or subscription.delivery is None:  # over by now; there may be a later one
            raise CommandRefused(codes.PERMISSION_DENIED)
        if number > subscription.refreshed:
            subscription.refreshed = number
            subscription.delivery.grant = grant
            subscription.expiry = link.deadline(grant.expires_at)
            self._schedule()
        newest = subscription.delivery.grant or grant
        link.peer.reply(command.id, m.SubRefreshResult(newest.expires_at is not None, link.ttl(newest.expires_at)))

    # Deadlines and room

    def _schedule(self) -> None:
        """Set the timer: a deadline may have changed."""
        deadline = self.link.peer.deadline
        if self._timer is not None:
            if self._due <= deadline:
                return
            self._timer.cancel()
        self._due = deadline
        self._timer = None if deadline == inf else self.link.loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        link = self.link
        if link.is_over:
            return
        try:
            now = link.loop.time()
            is_behind = self.inbound.size > 0 or now - self._full_at < link.hub.settings.ping_interval
            for subscription in link.peer.tick(now, is_behind=is_behind or not link.outlet.writable()):
                if subscription.is_server_side:
                    raise ProtocolError(codes.SUBSCRIPTION_EXPIRED, f"no refresh of {subscription.channel} in time")
                link.unsubscribe(subscription, codes.EXPIRED_SUBSCRIPTION)
        except ProtocolError as error:
            link.disconnect_for(error)
            return
        except Exception as error:  # a connection without its timer would never be pinged again
            link.outlet.failed(error)
            return
        link.write()
        self._schedule()

    def _has_room(self) -> None:
        self._full_at = self.link.loop.time()
        for subscription in self.link.peer.subscriptions.values():
            if isinstance(subscription.delivery, Watch) and subscription.delivery.watcher is not None:
                with isolated("%s: a watcher could not be woken.", subscription.channel):
                    subscription.delivery.watcher.wake()
        self.inbound.go_on_soon()

    # The app reaches the client, in the connection's event loop

    @property
    def sender(self) -> Sender:
        return self.link.sender

    def tell(self, data: bytes) -> None:
        self.link.say(self.link.site.message(self.link.codec, data))

    def disconnect(self, code: int, reason: str) -> None:
        self.link.leave(Disconnect(code, writable(reason)))

    @property
    def identity(self) -> Identity:
        return self._credentials.identity

    def subscribed(self) -> list[Subscribed]:
        live = [(channel, each) for channel, each in self.link.peer.subscriptions.items() if each.is_live()]
        return [_subscribed(channel, each.delivery) for channel, each in live]

    def channels(self) -> list[str]:
        return [channel for channel, each in list(self.link.peer.subscriptions.items()) if each.is_live()]

    def subscribe(self, channel: str, data: bytes) -> None:
        self._subscriptions.add(channel, data)

    def unsubscribe(self, channel: str) -> None:
        """End the client's subscription to a channel, with or without the leading slash."""
        for spelling in (channel, f"/{channel}", channel.removeprefix("/")):
            subscription = self.link.peer.subscriptions.get(spelling)
            if subscription is not None and subscription.is_live():
                self.link.unsubscribe(subscription, codes.SERVER_UNSUBSCRIBE)
                return

    def refresh(self, expires_at: float | None) -> None:
        self.link.peer.expiry = self.link.deadline(expires_at)
        self.link.say(self.link.codec.push(m.RefreshPush(expires_at is not None, self.link.ttl(expires_at))))
        self._schedule()

    # The end

    def ends(self, criteria: Criteria) -> list[Callable[[], None]]:
        """Stop the watches that criteria fit, and return the functions that end the connection, or subscriptions."""
        own = self._credentials.identity
        is_all = criteria.name is None and criteria.fits(own)
        served = [each.delivery for each in self.link.peer.subscriptions.values() if each.delivery is not None]
        ends = [
            end
            for each in served
            if is_all or (criteria.fits(each.identity or own) and criteria.covers(each.place))
            for end in each.ends(criteria)
        ]
        return [self._revoke] if is_all else ends

    def _revoke(self) -> None:
        """End the connection, and at once everything that it has begun."""
        self.link.leave(codes.REVOKED)
        self.end()

    def say_goodbye(self, disconnect: Disconnect) -> None:
        """Take no more commands, and write what was published before the connection ends."""
        self.link.ending(disconnect)
        self.inbound.stop()
        self.link.news_first()
        self.link.write()
        self.link.flush()

    def end(self) -> None:
        """End everything that the connection has begun: it is over."""
        if self.link.is_over:
            return
        self.link.is_over = True
        self.link.hub.reachable.leave(self.link.sender)
        self.inbound.stop()
        if self._timer is not None:
            self._timer.cancel()
        for subscription in list(self.link.peer.subscriptions.values()):
            subscription.on(Event.LOST)
            delivery = self.link.taken(subscription)
            if delivery is not None:
                with isolated("%s: a subscription could not be ended.", subscription.channel):
                    delivery.end()
        for task in self.inbound.tasks:
            task.cancel()

    async def ended(self) -> None:
        """Wait until everything that the connection has begun has ended."""
        await self.inbound.ended()
        # Nothing leads back from here, so that all memory is freed at once, and not by Python's search for cycles.
        self.link.forget()


def _subscribed(channel: str, delivery: Delivery | None) -> Subscribed:
    """Return what operators see of a subscription."""
    age = None if delivery is None or delivery.window is None else delivery.window.age()
    if isinstance(delivery, Watch):
        watched = delivery.watched
        return Subscribed(_shown(channel, watched.key.by_spelling), watched.kind, delivery.lag(), age)
    return Subscribed(_shown(channel, ()), Stream.kind, None, age)


def _shown(channel: str, names: Collection[str]) -> str:
    """Return a channel with only those parts of its query string that its key has: guards may take tokens from it."""
    path, _, query = channel.partition("?")
    kept = "&".join(each for each in query.split("&") if unquote_plus(each.partition("=")[0]) in names)
    return f"{path}?{kept}" if kept else path
