"""The kinds of entry: what a subscription, a call, or a command about a channel that is not subscribed wants."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

from starlette.websockets import WebSocket

from ...centrifuge import codes
from ...centrifuge.messages import (
    History,
    Presence,
    PresenceStats,
    Pub,
    Publish,
    Result,
    Rpc,
    RpcResult,
    Subscribe,
    SubscribeResult,
)
from ...centrifuge.peer import Subscription
from ...codec import json_of
from ...definitions import Call, Stream, Watched
from ...frames import BINARY
from ...frameworks import has_open_dependencies
from ...hub.clock import FRAME_RATE
from ...hub.engine import Ticket
from ...identity import Grant
from ..calls import called
from ..refusals import LAST_RUN_GOES_ON, refusing
from ..wishes import wish_of
from .asking import answer, position_of
from .entry import Entry, ttl_of
from .payloads import NO_BATCHES, NOT_BOTH, ONLY_PROTOBUF, Refused, decoded
from .reserved import Asked, asked
from .run import RunSubscriber, lane_of
from .site import Site
from .subscriber import Owner, Subscriber, WatchSubscriber, handled
from .window import Window
from .wires import PubWire, text_as_data


class Client(Owner, Protocol):
    """The connection, as entries see it."""

    site: Site
    is_over: bool
    recovering: int
    """Bytes of publications that the reply to the connect command has room for."""

    def answering(self) -> AbstractAsyncContextManager[None]:
        """Wait for room for an answer that may be long; one of them is made at a time."""

    def window(self, sent: int) -> Window:
        """A window for one subscription, whose reply carries so many publications."""


def size_of(publications: Sequence[Pub] | bytes) -> int:
    """Return the bytes of the publications in a reply."""
    return len(publications) if isinstance(publications, bytes) else sum(len(each.data) for each in publications)


class SubscribeEntry(Entry):
    """A subscription.

    Args:
        client: The connection.
        state: What the protocol knows of it.
        command: What the client wants.
        opened: Called when the app admits it: it begins as soon as its client knows.
    """

    def __init__(
        self, client: Client, state: Subscription, command: Subscribe, opened: Callable[["SubscribeEntry"], None]
    ) -> None:
        super().__init__()
        self.client = client
        self.state = state
        self.command = command
        self.grant: Grant | None = None
        self.result = SubscribeResult()
        self._opened = opened

    def _open(self, subscriber: Subscriber, result: SubscribeResult) -> None:
        self.result = result
        if self.grant is not None and self.grant.expires_at is not None:
            left = self.grant.expires_at - time.time()
            self.state.expiry = asyncio.get_running_loop().time() + left
            self.result = result._replace(expires=True, ttl=ttl_of(left))
        self.state.holder = subscriber
        self.admitted = True
        self._opened(self)

    async def watch(self, websocket: WebSocket, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> None:
        client, command = self.client, self.command
        wants = self._asked(watched.is_binary).wants
        wish = wish_of(watched, websocket.query_params)
        engine = await client.hub.engine()
        values = watched.key.pick(arguments)
        name = client.hub.name(watched, watched.key.text(values))
        info = self._chan_info()
        since = position_of(command.epoch, command.offset) if command.recover else None
        wire = client.site.wire(client.codec, command, watched, name, batches=wants.batches)
        subscriber = WatchSubscriber(client, self.state, watched, arguments, engine=engine, name=name, chan_info=info)
        is_long = command.recover and not self.state.is_server_side
        async with client.answering() if is_long else nullcontext():
            with refusing(client.hub, websocket.scope, LAST_RUN_GOES_ON), self.counted_once():
                ticket = await engine.enter(watched, name, values, since)
            if client.is_over:
                engine.leave(ticket)
                return
            with engine.holding(ticket):
                result = self._prepared(
                    subscriber, ticket, wire, wish.rate or FRAME_RATE, acknowledges=wants.acknowledges
                )
            self._open(subscriber, result)
        if subscriber.handler is not None and has_open_dependencies(websocket.scope):
            await subscriber.stay()

    def _prepared(
        self, subscriber: WatchSubscriber, ticket: Ticket, wire: PubWire, rate: int, *, acknowledges: bool
    ) -> SubscribeResult:
        client, is_extra = self.client, self.state.is_server_side
        try:
            has_room = not is_extra or client.recovering > 0
            result = subscriber.prepare(ticket, self.command, wire, rate, has_room=has_room)
        except Refused as error:
            raise self.refused(error.error) from None
        if is_extra:
            client.recovering -= size_of(result.publications)
        if acknowledges:
            subscriber.window = client.window(1 if result.publications else 0)
        return result

    def _asked(self, is_binary: bool) -> Asked:
        """What the client's data asks for, where its format can carry the values."""
        if is_binary and self.client.codec.opcode != BINARY:
            raise self.refused(ONLY_PROTOBUF)
        try:
            found = asked(self.command.data)
        except Refused as error:
            raise self.refused(error.error) from None
        if found.wants.batches and (is_binary or self.command.tf is not None):
            raise self.refused(NO_BATCHES if is_binary else NOT_BOTH)
        return found

    def _chan_info(self) -> bytes:
        return b"" if self.grant is None or self.grant.info is None else json_of(self.grant.info)

    async def stream(self, websocket: WebSocket, stream: Stream, arguments: Mapping[str, Any]) -> None:
        client, command = self.client, self.command
        wants, data = self._asked(stream.encoder.opcode == BINARY)
        window = client.window(0) if wants.acknowledges else None
        lane = lane_of(client, command.channel, text_as_data(stream.encoder), window, batches=wants.batches)
        run = RunSubscriber(client, self.state, stream, arguments, lane=lane, window=window)
        try:
            run.take(data)
        except Refused as error:
            raise self.refused(error.error) from None
        if client.is_over:
            return
        self._open(run, SubscribeResult())
        self.is_counted = True
        if not run.is_over:  # it may be unsubscribed in the same moment
            await run.run()


class RpcEntry(Entry):
    """A call.

    Args:
        client: The connection.
        command: The command.
    """

    def __init__(self, client: Client, command: Rpc) -> None:
        super().__init__()
        self.client = client
        self.command = command
        self.result: RpcResult | None = None

    async def call(self, websocket: WebSocket, call: Call, arguments: Mapping[str, Any]) -> None:
        codec, hub = self.client.codec, self.client.hub
        if call.encoder.opcode == BINARY and codec.opcode != BINARY:
            raise self.refused(ONLY_PROTOBUF)
        given = dict(arguments)
        if call.parameter is not None and call.decoder is not None:
            try:
                given[call.parameter] = decoded(call.decoder, self.command.data, codec, hub, call.title)
            except Refused as error:
                raise self.refused(error.error) from None
        self.is_counted = True
        self.result = RpcResult(await called(call, hub, given, lambda: self.client.is_over))
        self.is_counted = False
        self.admitted = True


class VisitEntry(Entry):
    """A command about a channel that its client is not subscribed to: whoever might subscribe may do it.

    Args:
        client: The connection.
        command: The command.
        answered: Called with the answer to a question.
    """

    def __init__(
        self,
        client: Client,
        command: Publish | Presence | PresenceStats | History,
        answered: Callable[[Result], None],
    ) -> None:
        super().__init__()
        self.client = client
        self.command = command
        self._answered = answered

    async def watch(self, websocket: WebSocket, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> None:
        try:
            if isinstance(self.command, Publish):
                await self._publish(self.command, watched, arguments)
            else:
                await self._ask(websocket, self.command, watched, arguments)
        except Refused as error:
            raise self.refused(error.error) from None
        self.admitted = True

    async def _publish(self, command: Publish, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> None:
        client = self.client
        handler = watched.handler
        if handler is None:
            raise Refused(codes.PERMISSION_DENIED)
        message = decoded(handler.decoder, command.data, client.codec, client.hub, watched.title)
        error = await handled(handler, arguments, message, watched.title, client.hub, lambda: client.is_over)
        if error is not None:
            raise Refused(error)

    async def _ask(
        self,
        websocket: WebSocket,
        command: Presence | PresenceStats | History,
        watched: Watched[Any, Any],
        arguments: Mapping[str, Any],
    ) -> None:
        hub = self.client.hub
        engine = await hub.engine()
        values = watched.key.pick(arguments)
        name = hub.name(watched, watched.key.text(values))
        with refusing(hub, websocket.scope, LAST_RUN_GOES_ON), self.counted_once():
            ticket = await engine.enter(watched, name, values, None)
        try:
            async with self.client.answering():
                self._answered(answer(command, watched, ticket.log, hub.members, name))
        finally:
            engine.leave(ticket)
