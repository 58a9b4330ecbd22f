"""The link to one client of the multiplexed surface: the protocol's state, and the way out.

Everything that serves the client shares its link. It writes by it, and asks it for what all share: who the client is,
how old what it has not acknowledged may be, and whether it is still there. The way in is :mod:`.inbound`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from time import perf_counter
from typing import Protocol
from uuid import uuid4

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Disconnect, Error, ProtocolError, Unsubscription, is_final
from ...centrifuge.peer import Peer, ignored, kept
from ...centrifuge.subscription import Event, Subscription
from ...definitions import Revocable
from ...definitions.connection import Closable
from ...hub.clock import SLICE
from ...hub.engine import Engine
from ...identity import Grant, Identity, Sender
from ...isolation import isolated
from ...lanes.outlet import Framing, Outlet
from ...runs.inbox import Budget
from ..admitted import REVOKED
from ..recheck import Recheck
from .past import MOST_BYTES
from .refusal import unsubscription_of
from .site import Site
from .window import RoundTrip, Window

logger = logging.getLogger("wirespeed")

MOST_UNREAD = 256 * 1024
"""Bytes of the app's own messages that may wait for a client that does not read."""

_LEFT = 15
"""Runs that the client has left that are remembered, beside the newest one."""


class Transport(Closable, Protocol):
    """The transport of one connection: a WebSocket, or a response."""

    def leave(self, disconnect: Disconnect) -> None:
        """Close the connection soon, after everything that was written."""


class Delivery(Revocable, Protocol):
    """The source of one subscription's publications: the watch of a feed or topic, or the run of a stream."""

    window: Window | None
    """The publications that the client has not acknowledged; None if it does not acknowledge."""

    identity: Identity | None
    """Identity that its guards have found; None if it is that of the connection."""
    grant: Grant | None
    """The grant of the newest token of the subscription; None without one."""
    recheck: Recheck | None
    """The guards that are checked again; None if they are not."""

    def end(self) -> None:
        """End: the subscription is over."""

    def publish(self, command: m.Publish) -> None:
        """Take a publication of the client, or raise ``CommandRefused``."""

    def answer(self, command: m.History | m.Presence | m.PresenceStats) -> m.Result | bytes:
        """Return the answer to a question about the channel, or raise ``CommandRefused``."""

    def news_first(self, until: float | None = None) -> None:
        """Write what was published so far: something comes that has to be behind it.

        What takes longer than until a time, of ``perf_counter``, follows it: a filter may have much to read.
        """


class Link:
    """The link to one client."""

    __slots__ = (
        "_is_final", "_is_flushing", "_round_trip", "_turn", "_unread", "codec", "engine", "hub", "inbox", "is_over",
        "kept", "left_runs", "loop", "outlet", "peer", "recovering", "sender", "site", "transport",
    )  # fmt: skip

    def __init__(
        self, site: Site, transport: Transport, codec: Codec, framing: Framing, engine: Engine, *, pings: bool
    ) -> None:
        self.site = site
        self.hub = site.hub
        self.codec = codec
        self.engine = engine
        self.loop = engine.loop
        self.transport: Transport | None = transport
        self.sender = Sender(client=str(uuid4()))
        """The client, as others see it."""
        self.is_over = False
        self.inbox = Budget(site.hub.settings.max_inbox_bytes)
        """Bytes of the messages that wait for the handlers and streams of this connection."""
        self.recovering = MOST_BYTES
        """Bytes of publications that the reply to the connect command still has room for."""
        self.kept: set[asyncio.Task[None]] | None = None
        """Tasks that end by themselves before the connection has ended; None if there were none so far."""
        self.left_runs: tuple[str, ...] = ()
        """The newest runs with ``resume=`` that the client has left: a subscribe after that begins a new one."""
        self._is_final = False
        self.peer: Peer[Delivery] = Peer(codec, self.hub.settings, self.loop.time(), pings)
        self.peer.on_error = self._note_error
        self.peer.on_replaced = self.part
        self.outlet = Outlet(transport.lane, framing, engine.outlets.ready)
        self.outlet.on_failed = self.hub.sessions.failed
        self._unread = 0
        """Bytes of the app's own messages since there was room for them the last time."""
        self._is_flushing = False
        self._round_trip: RoundTrip | None = None
        self._turn = asyncio.Lock()

    def has_ended(self) -> bool:
        """Return True once the connection is over, which cancels what it has begun."""
        return self.is_over

    # Writing

    def write(self) -> None:
        """Hand over what the peer has to say; it leaves with the loop's next turn."""
        self._hand_over()
        if not self._is_flushing:
            self._is_flushing = True
            self.loop.call_soon(self.flush)

    def _hand_over(self) -> None:
        if data := self.peer.take():
            self.outlet.write(data, 1)

    def say(self, message: bytes) -> None:
        """Write what the app says. A client that does not take it in is disconnected before too much waits for it.

        It leaves with the outlet's next turn of the clock: the app may say it to all clients at once.
        """
        if self.outlet.writable():
            self._unread = 0
        self._unread += len(message)
        if self._unread > MOST_UNREAD:
            self.leave(codes.SLOW)
            return
        self.peer.say(message)
        self._hand_over()

    def flush(self) -> None:
        """Let everything leave that was written."""
        self._is_flushing = False
        try:
            self.outlet.flush()
        except Exception as error:
            self.outlet.failed(error)

    def news_first(self) -> None:
        """Write what was published so far, on all channels: something comes that has to be behind it."""
        until = perf_counter() + SLICE  # for all of them together
        for subscription in list(self.peer.subscriptions.values()):
            if subscription.delivery is not None:
                with isolated("%s: what was published first could not be written.", subscription.channel):
                    subscription.delivery.news_first(until)

    def published(self, id_: int, error: Error | None) -> None:
        """Answer a publish command; what it has published goes first."""
        self.news_first()
        if error is None:
            self.peer.reply(id_, m.PublishResult())
        else:
            self.peer.refuse(id_, error)
        self.write()

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Wait for room for an answer that may be long; only one of them is made at a time."""
        async with self._turn:
            await self.outlet.drained()
            yield

    def window(self, sent: int) -> Window:
        """Return a window for one subscription, of which some publications are sent in the reply."""
        self._round_trip = self._round_trip or RoundTrip()
        return Window(self.loop.time, self._round_trip, sent)

    # Ends

    def revoke(self, subscription: Subscription[Delivery]) -> None:
        """End a subscription: the client's access to it was revoked."""
        self.unsubscribe(subscription, unsubscription_of(403, REVOKED))

    def unsubscribe(self, subscription: Subscription[Delivery], why: Unsubscription) -> None:
        """End a subscription, and let the client know why; nothing happens if it has ended already."""
        if self.peer.subscriptions.get(subscription.channel) is not subscription:
            return
        if subscription.is_server_side and why is codes.INSUFFICIENT:
            problem = f"{subscription.channel} has outrun the client"
            self.disconnect_for(ProtocolError(codes.INSUFFICIENT_STATE, problem))
            return
        # Forgotten first: what is written now may be the end of the feed, which would end the subscription again.
        self.peer.ended(subscription, Event.ENDED)
        self.part(subscription)
        self.peer.unsubscribe(subscription.channel, why)
        self.write()

    def part(self, subscription: Subscription[Delivery]) -> None:
        """Let what serves a subscription write its last news, and end."""
        delivery = self.taken(subscription)
        if delivery is not None:
            delivery.news_first()
            delivery.end()

    def taken(self, subscription: Subscription[Delivery]) -> Delivery | None:
        """Take what serves a subscription from it; return it, if there is any: it has to end."""
        delivery, subscription.delivery = subscription.delivery, None
        if delivery is not None:
            self.hub.sessions.admissions.forget(delivery)
        return delivery

    def keep(self, task: "asyncio.Task[None]") -> None:
        """Wait at the end of the connection for a task that ends by itself."""
        self.kept = self.kept or set()
        self.kept.add(task)
        task.add_done_callback(self.kept.discard)

    def note_left(self, run: str) -> None:
        """Note that the client's subscription to a run is over."""
        if not self.is_over:
            self.left_runs = (*self.left_runs[-_LEFT:], run)

    def ending(self, disconnect: Disconnect) -> None:
        """Note why the server ends the connection."""
        self._is_final = is_final(disconnect)

    def may_return(self) -> bool:
        """Return True if the connection is lost, so that its client may return."""
        return self.is_over and not self._is_final

    def leave(self, disconnect: Disconnect) -> None:
        if self.transport is not None:
            self.transport.leave(disconnect)

    def disconnect_for(self, error: ProtocolError) -> None:
        """End the connection of a client that has broken the protocol."""
        logger.debug("A client is disconnected: %s", error)
        self.hub.refused(error.disconnect.reason, said=error.problem)
        self.leave(error.disconnect)

    def _note_error(self, error: Error, about: str) -> None:
        if not self.is_over:  # commands in progress were cancelled then, and not refused
            self.hub.refused(codes.name_of(error), about, error.message)

    def forget(self) -> None:
        """Let go of everything that leads back here: the connection has ended."""
        self.peer.subscriptions.clear()
        self.peer.on_error = ignored
        self.peer.on_replaced = kept
        self.outlet.lane.on_writable = None
        self.transport = None

    # Time

    def ttl(self, expires_at: float | None) -> int:
        """Return the whole seconds until a point in Unix time, from one to what 32 bits hold; 0 for none."""
        return 0 if expires_at is None else min(max(round(expires_at - time.time()), 1), 2**31 - 1)

    def deadline(self, expires_at: float | None) -> float:
        """Return a point in Unix time by the loop's clock; infinite for none."""
        return inf if expires_at is None else self.loop.time() + expires_at - time.time()
