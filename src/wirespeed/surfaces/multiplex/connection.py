"""One client of the multiplexed surface, whatever carries its frames: its commands, and what comes of them."""

import asyncio
import logging
import random
from dataclasses import replace
from functools import partial
from uuid import uuid4

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Error, ProtocolError, Unsubscription
from ...centrifuge.messages import (
    Command,
    Connect,
    ConnectResult,
    History,
    Presence,
    PresenceStats,
    Publish,
    PublishResult,
    Refresh,
    RefreshResult,
    Result,
    Rpc,
    Send,
    SubRefresh,
    SubRefreshResult,
    Subscribe,
    Unsubscribe,
    UnsubscribePush,
)
from ...centrifuge.peer import Subscription, kept_of
from ...codec import json_of
from ...definitions import Call
from ...errors import InvalidToken, TokenExpired
from ...hub.engine import Engine
from ...identity import Grant, Identity, Sender
from ...lanes.outlet import Framing
from ...runs.outcome import Cancelled, Completed, Failed, run_once
from ...runs.outcome import Refused as RunRefused
from .asking import MOST_BYTES
from .credentials import SENDER, Credentials, sender_of, token_refusal
from .entries import RpcEntry, SubscribeEntry, VisitEntry
from .entry import Channel, Entry
from .line import Begin, Line, settled
from .payloads import Refused, load_of, size_of
from .reach import Reach
from .refusal import error_of
from .reserved import acknowledged
from .room import TASK, Charge
from .site import Found, Site
from .subscriber import Subscriber, WatchSubscriber
from .transport import Transport

logger = logging.getLogger("wirespeed")

_AboutChannel = Publish | Presence | PresenceStats | History


class Connection(Line):
    """One client: its commands, and what comes of them.

    Args:
        site: What it shares with all others.
        transport: What carries its frames.
        codec: Its format.
        framing: Makes frames of messages.
        engine: The engine.
        credentials: Who it is, as far as the handshake says.
        is_emulated: Whether its commands come beside its frames, so that it has to know how to address them.
        pings: Whether the protocol's own pings are sent.
    """

    __slots__ = ("_credentials", "_waiting", "key", "recovering", "sender")

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
        super().__init__(site, transport, codec, framing, engine, pings=pings)
        self.sender = Sender(client=str(uuid4()))
        self.key = str(uuid4()) if is_emulated else ""
        """By which commands that come beside find it; a secret."""
        self._credentials = credentials
        self._waiting: dict[str, list[Command]] = {}
        self.recovering = MOST_BYTES
        """Bytes of publications that the reply to the connect command has room for."""

    # The connection

    async def _connect(self, command: Connect) -> None:
        try:
            identity = await self._credentials.connect(command, self.has_ended)
        except Refused as error:
            self.session.refuse(command.id, error.error)
            return
        if not self.is_over:
            await self._connected(identity, command)

    async def _connected(self, identity: Identity, command: Connect) -> None:
        info = b"" if identity.info is None else json_of(identity.info)
        self.sender = replace(self.sender, user=identity.user, info=info)
        entries = await self._server_side(identity, command)
        if self.is_over:
            return
        now = self._loop.time()
        self.session.expiry = self.deadline(identity.expires_at)
        result = ConnectResult(
            client=self.sender.client,
            version=self.site.version,
            expires=identity.expires_at is not None,
            ttl=self.ttl(identity.expires_at),
            data=b"" if identity.data is None else json_of(identity.data),
            subs={entry.state.channel: entry.result for entry in entries},
            session=self.key,
            node=self.site.node if self.key else "",
        )
        self.session.connected(command.id, result, now, random.uniform(0.5, 1))  # noqa: S311 - spreads the load
        self.write()
        for entry in entries:
            self.begin(entry)
        self.hub.reachable.join(Reach(self), self._loop, self.hub.connection(self._transport))
        self.schedule()

    async def _server_side(self, identity: Identity, command: Connect) -> list[SubscribeEntry]:
        """Resolves the subscriptions that come with the identity; those that the app refuses are left out."""
        if len(identity.subscriptions) > self.site.limits.channels:
            raise ProtocolError(codes.CHANNEL_LIMIT, "more server-side subscriptions than a client may have")
        entering: list[SubscribeEntry] = []
        tasks: list[asyncio.Future[None]] = []
        for channel in identity.subscriptions:
            since = command.subs.get(channel)
            wanted = Subscribe(0, channel) if since is None else since._replace(channel=channel, id=0)
            state = self.session.add_server_side(channel, kept_of(wanted))
            if state is None:
                continue
            ready: asyncio.Future[None] = self._loop.create_future()
            entry = SubscribeEntry(self, state, wanted, partial(settled, ready))
            entering.append(entry)
            tasks.append(ready)
            self.spawn(partial(self.subscribe, entry, ready), entry)
        if tasks:
            await asyncio.wait(tasks)
        return [entry for entry in entering if entry.admitted]

    async def _refresh(self, command: Refresh) -> None:
        try:
            identity = await self._credentials.refresh(command.token, self.has_ended)
        except Refused as error:
            self.session.refuse(command.id, error.error)
        except ProtocolError as error:
            self.disconnect_for(error)
            return
        else:
            expires, ttl = identity.expires_at is not None, self.ttl(identity.expires_at)
            self.session.expiry = self.deadline(identity.expires_at)
            self.session.reply(command.id, RefreshResult(self.sender.client, self.site.version, expires, ttl))
            self.schedule()
        self.write()

    # Commands

    def _do(self, command: Command) -> None:
        """Begins what a command asks for; each ends in a reply, in its time."""
        channel: str = getattr(command, "channel", "")
        state = self.session.subscriptions.get(channel)
        if state is not None and not state.is_live and (state.is_ending or not isinstance(command, Subscribe)):
            self._wait(state, command)
            return
        match command:
            case Subscribe():
                self._subscribe(command)
            case Unsubscribe():
                self._unsubscribe(command)
            case Send():
                self._acknowledged(command)
            case _ if self.is_busy():
                self.session.refuse(getattr(command, "id", 0), codes.TOO_MANY_REQUESTS, channel)
            case Publish() | Presence() | PresenceStats() | History():
                self._about_channel(command)
            case Rpc():
                self._rpc(command)
            case Refresh():
                self._ask(partial(self._refresh, command), None, command)
            case SubRefresh():
                self._ask(partial(self._sub_refresh, command), None, command)

    def _ask(self, begin: Begin, entry: Entry | None, command: Refresh | SubRefresh | _AboutChannel) -> None:
        size = size_of(command)
        self.undertake(begin, entry, command, size, Charge(self.asking, TASK + load_of(command, size)))

    def _rpc(self, command: Rpc) -> None:
        found = self.site.find_channel(command.method)
        if found is None or not isinstance(found[0].definition, Call):
            error = codes.METHOD_NOT_FOUND if self.site.has_calls() else codes.NOT_AVAILABLE
            self.session.refuse(command.id, error, command.method)
            return
        expected = self.site.answers.expected(found[0].definition)
        size = size_of(command)
        charge = Charge(self.calling, TASK + load_of(command, size) + expected)
        entry = RpcEntry(self, command)
        self.undertake(partial(self._call, entry, *found), entry, command, size, charge)

    def _acknowledged(self, command: Send) -> None:
        """A client says which publications it is done with; nobody takes other messages."""
        counts = acknowledged(command.data)
        if counts is None:
            raise ProtocolError(codes.NO_SEND, "a message that nobody takes")
        for channel, count in counts.items():
            state = self.session.subscriptions.get(channel)
            if state is not None and state.holder is not None and state.holder.window is not None:
                state.holder.window.acknowledge(count)

    def _subscribe(self, command: Subscribe) -> None:
        if self.is_busy():
            self.session.not_subscribed(command.id, command.channel, codes.TOO_MANY_REQUESTS)
            return
        size = size_of(command)
        charge = Charge(self.asking, TASK + load_of(command, size))
        entry = SubscribeEntry(
            self, self.session.subscriptions[command.channel], command, partial(self._subscribed, charge)
        )
        self.undertake(partial(self.subscribe, entry), entry, command, size, charge)

    def _wait(self, state: Subscription, command: Command) -> None:
        """A command waits for the outcome of a subscription."""
        waiting = self._waiting.setdefault(state.channel, [])
        if len(waiting) < self.hub.settings.max_inbox_messages and not self.is_busy():
            self.commands.add(size_of(command))
            self._begun += 1
            waiting.append(command)
            state.is_ending = state.is_ending or isinstance(command, Unsubscribe)
        else:
            self.session.refuse(getattr(command, "id", 0), codes.TOO_MANY_REQUESTS, state.channel)

    def done(self, id_: int, error: Error | None) -> None:
        """A publish command was done, or was not; its own publication goes first."""
        self.news_first()
        if error is None:
            self.session.reply(id_, PublishResult())
        else:
            self.session.refuse(id_, error)
        self.write()

    def _about_channel(self, command: _AboutChannel) -> None:
        state = self.session.subscriptions.get(command.channel)
        if state is None:
            entry = VisitEntry(self, command, partial(self._answered, command.id))
            self._ask(partial(self._visit, entry), entry, command)
            return
        try:
            if isinstance(command, Publish):
                state.holder.publish(command)
            elif isinstance(state.holder, WatchSubscriber):
                self.session.reply(command.id, state.holder.answer(command))
            else:
                raise Refused(codes.NOT_AVAILABLE)
        except Refused as error:
            self.session.refuse(command.id, error.error, command.channel)

    async def _visit(self, entry: VisitEntry) -> None:
        id_ = entry.command.id
        found = self.site.find_channel(entry.command.channel)
        if found is None or isinstance(found[0].definition, Call):
            self.session.refuse(id_, codes.UNKNOWN_CHANNEL, entry.command.channel)
        else:
            await self._enter(entry, *found)
            if not entry.admitted:
                self.session.refuse(id_, entry.error or codes.INTERNAL, entry.command.channel)
            elif isinstance(entry.command, Publish):
                self.done(id_, None)
        self.write()

    def _answered(self, id_: int, result: Result) -> None:
        self.session.reply(id_, result)
        self.write()

    async def _call(self, entry: RpcEntry, found: Found, channel: Channel) -> None:
        id_ = entry.command.id
        await self._enter(entry, found, channel)
        self.news_first()
        if entry.admitted and entry.result is not None:
            self.site.answers.seen(found.definition, len(entry.result.data))
            self.session.reply(id_, entry.result)
        else:
            self.session.refuse(id_, entry.error or codes.INTERNAL, entry.command.method)
        self.write()

    async def _enter(
        self, entry: Entry, found: Found, channel: Channel, token: str = "", grant: Grant | None = None
    ) -> None:
        """Let the app decide on a command. However that ends, it ends this command only."""
        scope = self._credentials.scope(channel, entry, token, grant)
        scope[SENDER] = sender_of(self.sender, grant)
        outcome = await run_once(lambda: found.app(scope, entry.receive, entry.send), token_refusal, self.has_ended)
        match outcome:
            case Completed() | Cancelled():
                return
            case RunRefused(TokenExpired()):
                error = codes.TOKEN_EXPIRED
            case RunRefused(InvalidToken()):
                error = codes.UNAUTHORIZED
            case RunRefused(_, status, detail):
                error = error_of(status, detail)
            case Failed(failure):
                error = codes.INTERNAL
                logger.error("%s: a command failed", found.definition.title, exc_info=failure)
                if not entry.is_counted:
                    self.hub.failed()
        entry.error = entry.error or error

    # Subscriptions

    async def subscribe(self, entry: SubscribeEntry, ready: "asyncio.Future[None] | None" = None) -> None:
        """Enters the app for a subscription; what the app admits begins in :meth:`_subscribed`."""
        command, state = entry.command, entry.state
        try:
            found = self.site.find_channel(command.channel)
            if found is None or isinstance(found[0].definition, Call):
                entry.error = codes.UNKNOWN_CHANNEL
                return
            grant = await self._credentials.grant(command.token, command.channel, self.has_ended)
            entry.grant = grant
            await self._enter(entry, *found, "" if grant is not None else command.token, grant)
        except Refused as error:
            entry.error = error.error
        finally:
            if not entry.admitted:
                self._not_subscribed(entry, state)
            if ready is not None:
                settled(ready)

    def _not_subscribed(self, entry: SubscribeEntry, state: Subscription) -> None:
        error = entry.error or codes.INTERNAL
        if state.is_server_side:
            self.session.subscriptions.pop(state.channel, None)
            if not self.is_over:
                line = f"{state.channel}: the app refuses a server-side subscription: {error.message}"
                self.hub.refused(codes.name_of(error), level=logging.WARNING, line=line)
            self._go_on(state.channel)
            return
        self.session.not_subscribed(entry.command.id, state.channel, error)
        self.write()
        self._go_on(state.channel)

    def _subscribed(self, charge: Charge, entry: SubscribeEntry) -> None:
        """The app admits a subscription of the client."""
        self.session.subscribed(entry.command.id, entry.state.channel, entry.result)
        self.write()
        self.begin(entry)
        if entry.result.expires:
            self.schedule()
        charge.free()

    def begin(self, entry: SubscribeEntry) -> None:
        """The client knows that it is subscribed: publications follow."""
        if entry.state.holder is not None:  # it has not ended before its client knew
            entry.state.holder.begin()
        self._go_on(entry.state.channel)

    def _go_on(self, channel: str) -> None:
        """What has waited for a subscription's outcome."""
        if channel not in self._waiting:
            return
        waiting = self._waiting.pop(channel)
        self._begun -= len(waiting)
        for command in waiting:
            self.commands.give(size_of(command))
        self._held.put_back(waiting)  # they are done while there is room for their answers
        if not self._is_going:
            self._carry_on()

    def _unsubscribe(self, command: Unsubscribe) -> None:
        state = self.session.subscriptions.get(command.channel)
        if state is not None:
            state.holder.news_first()
            state.holder.end()
        self.session.unsubscribed(command.id, command.channel)

    def end_subscription(self, state: Subscription, why: Unsubscription) -> None:
        """A subscription is over, and the client is told why."""
        holder: Subscriber | None = state.holder
        if self.session.subscriptions.get(state.channel) is not state:
            return
        if state.is_server_side and why is codes.INSUFFICIENT:
            self.disconnect_for(ProtocolError(codes.INSUFFICIENT_STATE, f"{state.channel} has outrun the client"))
            return
        del self.session.subscriptions[state.channel]
        if holder is not None:
            holder.news_first()
            holder.end()
        self.session.push(UnsubscribePush(state.channel, *why))
        self.write()

    async def _sub_refresh(self, command: SubRefresh) -> None:
        try:
            grant = await self._credentials.grant(command.token, command.channel, self.has_ended)
            state = self.session.subscriptions.get(command.channel)
            if grant is None or state is None:
                raise Refused(codes.NOT_AVAILABLE if grant is None else codes.PERMISSION_DENIED)
        except Refused as error:
            self.session.refuse(command.id, error.error, command.channel)
        else:
            state.expiry = self.deadline(grant.expires_at)
            ttl = self.ttl(grant.expires_at)
            self.session.reply(command.id, SubRefreshResult(grant.expires_at is not None, ttl))
            self.schedule()
        self.write()

    def end(self) -> None:
        """The connection is over: what it has begun ends."""
        self.hub.reachable.leave(self.sender)
        super().end()
