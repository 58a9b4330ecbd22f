"""What the app can do to one client of the multiplexed surface, beside publishing."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from ...centrifuge import codes
from ...centrifuge.codec import writable
from ...centrifuge.codes import Disconnect
from ...centrifuge.messages import MessagePush, RefreshPush, Subscribe, SubscribePush
from ...centrifuge.peer import Peer
from ...identity import Sender
from .entries import Client, SubscribeEntry
from .entry import Entry

MOST_UNREAD = 256 * 1024
"""Bytes of the app's own messages that may wait for a client that does not read."""

_PUSH = 64
"""Bytes of a push beside its data, or so."""


class Reached(Client, Protocol):
    """The connection, as it is reached."""

    session: Peer

    def write(self) -> None:
        """Hands over what the protocol has to say."""

    def schedule(self) -> None:
        """Deadlines have changed."""

    def ttl(self, expires_at: float | None) -> int:
        """Whole seconds until a point in Unix time."""

    def deadline(self, expires_at: float | None) -> float:
        """A point in Unix time, by the loop's clock."""

    def spawn(self, begin: Callable[[], Coroutine[Any, Any, None]], entry: Entry | None) -> None:
        """Begins something that ends with the connection."""

    async def subscribe(self, entry: SubscribeEntry) -> None:
        """Enters the app for a subscription."""

    def begin(self, entry: SubscribeEntry) -> None:
        """The client knows that it is subscribed."""

    def leave(self, disconnect: Disconnect) -> None:
        """Ends the connection."""


class Reach:
    """What :class:`~wirespeed.Client` does to a connection, in its event loop.

    Args:
        connection: The connection.
    """

    __slots__ = ("_connection", "_unread")

    def __init__(self, connection: Reached) -> None:
        self._connection = connection
        self._unread = 0
        """Bytes of what the app has said since there was room for it the last time."""

    @property
    def sender(self) -> Sender:
        """The client, as others see it."""
        return self._connection.sender

    def tell(self, data: bytes) -> None:
        """Sends a message, in JSON."""
        self._push(MessagePush(data), len(data))

    def _push(self, push: MessagePush | SubscribePush | RefreshPush, size: int) -> None:
        """Write what the app says. A client that does not take it in is disconnected before too much waits for it."""
        connection = self._connection
        if connection.outlet.writable():
            self._unread = 0
        self._unread += size + _PUSH
        if self._unread > MOST_UNREAD:
            connection.leave(codes.SLOW)
            return
        connection.session.push(push)
        connection.write()

    def disconnect(self, code: int, reason: str) -> None:
        """Closes the connection."""
        self._connection.leave(Disconnect(code, writable(reason)))

    def channels(self) -> list[str]:
        """What it is subscribed to."""
        return [channel for channel, state in list(self._connection.session.subscriptions.items()) if state.is_live]

    def subscribe(self, channel: str, data: bytes) -> None:
        """Subscribes it to a channel, if the app admits that, and tells it data in JSON; empty for none."""
        connection = self._connection
        state = None if connection.is_over else connection.session.add_server_side(channel)
        if state is not None:
            entry = SubscribeEntry(connection, state, Subscribe(0, channel), lambda entry: self._added(entry, data))
            connection.spawn(partial(connection.subscribe, entry), entry)

    def _added(self, entry: SubscribeEntry, data: bytes) -> None:
        result, channel = entry.result, entry.state.channel
        entry.state.is_live = True
        push = SubscribePush(channel, result.recoverable, result.epoch, result.offset, result.positioned, data)
        self._push(push, len(data))
        self._connection.begin(entry)

    def unsubscribe(self, channel: str) -> None:
        """Ends its subscription to a channel, with or without the leading slash."""
        connection = self._connection
        for spelling in (channel, f"/{channel}", channel.removeprefix("/")):
            state = connection.session.subscriptions.get(spelling)
            if state is not None and state.is_live:
                connection.end_subscription(state, codes.SERVER_UNSUBSCRIBE)
                return

    def refresh(self, expires_at: float | None) -> None:
        """Says until when it may stay."""
        connection = self._connection
        connection.session.expiry = connection.deadline(expires_at)
        self._push(RefreshPush(expires_at is not None, connection.ttl(expires_at)), 0)
        connection.schedule()
