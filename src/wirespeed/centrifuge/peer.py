"""One connection, from the server's side, as a state machine: no I/O, no await, no clock.

The contract: :meth:`Peer.receive` takes what came and gives the commands that are in order; those that are not it
answers itself. Whoever serves the commands says what came of them, and :meth:`Peer.take` gives what is to be sent.
:meth:`Peer.tick` is called at :attr:`Peer.deadline`. A :class:`~.codes.ProtocolError` ends the connection.

State       what may come           what ends it
=========== ======================= ==========================================
new         connect                 connect → connecting; the deadline (3502)
connecting  everything but connect  connected() → connected; refuse() → refused; the deadline (3004)
connected   everything but connect  a pong without a ping, no pong (3012), expiry (3005)
refused     nothing                 the deadline (3502)
=========== ======================= ==========================================
"""

from collections.abc import Callable, Iterator
from enum import Enum
from math import inf
from typing import Any, NamedTuple

from ..weight import weight_of
from . import codes
from .codec import Codec
from .codes import Error, ProtocolError
from .messages import (
    Command,
    Connect,
    ConnectResult,
    History,
    Malformed,
    Ping,
    Pong,
    Presence,
    PresenceStats,
    Publish,
    Push,
    Refresh,
    Result,
    Rpc,
    Send,
    SubRefresh,
    Subscribe,
    SubscribeResult,
    Unsubscribe,
    UnsubscribeResult,
)
from .tags import check, size_of

UNRECOVERABLE_FLAG = 2
"""Of ``Subscribe.flag``: a position that cannot be recovered is to be an error."""


class Limits(NamedTuple):
    """What one connection may, and how long it may take; times in seconds."""

    channels: int = 128
    channel_size: int = 255
    """Bytes of a channel's name."""
    ping: float = 25.0
    """Between two pings; 0 for none."""
    pong: float = 8.0
    """Until the answer to a ping; less than ``ping``."""
    connect: float = 15.0
    """Until the connect command."""
    refresh: float = 25.0
    """After the expiry of a connection or subscription, for a new token."""
    subscriptions_size: int = 256 * 1024
    """Bytes that the filters and the data of all subscriptions may have together."""


class State(Enum):
    """Of a connection."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


class Subscription:
    """What a connection knows of one of its channels.

    Args:
        channel: As the client spells it.
        is_server_side: Whether the server has subscribed the client.
        size: Bytes of its filter and data, which are kept as long as it goes on.
    """

    __slots__ = ("channel", "expiry", "holder", "is_ending", "is_live", "is_server_side", "size")

    def __init__(self, channel: str, *, is_server_side: bool, size: int = 0) -> None:
        self.channel = channel
        self.size = size
        self.is_server_side = is_server_side
        self.is_live = False
        """Whether the client was told that it is subscribed."""
        self.is_ending = False
        """Whether the client has unsubscribed before it was told that it is subscribed: it may subscribe again."""
        self.expiry = inf
        """When the client should have refreshed it."""
        self.holder: Any = None
        """For whoever serves it."""


class Peer:
    """The server's side of one connection.

    Args:
        codec: The connection's format.
        limits: What it may.
        now: The time, in seconds of any clock that does not go back, as in all methods.
    """

    __slots__ = (
        "_limits",
        "_out",
        "_ping_at",
        "_pings",
        "_pong_by",
        "codec",
        "connect_by",
        "expiry",
        "on_error",
        "state",
        "subscriptions",
    )

    def __init__(self, codec: Codec, limits: Limits, now: float) -> None:
        self.codec = codec
        self.state = State.NEW
        self.subscriptions: dict[str, Subscription] = {}
        self.expiry = inf
        """When the client should have refreshed the connection."""
        self.on_error: Callable[[Error, str], None] = _ignored
        """Called with each error that answers a command, and the channel or method that it is about."""
        self.connect_by = now + limits.connect
        self._limits = limits
        self._out: list[bytes] = []
        self._ping_at = inf
        self._pings = 0
        self._pong_by = inf

    # What the client sends

    def receive(self, frame: str | bytes) -> Iterator[Command]:
        """The commands of a frame that are in order, one after the other; others are answered here.

        Raises:
            ProtocolError: The client broke the protocol; the commands before it stand.
        """
        for command in self.codec.commands(frame):
            if isinstance(command, Malformed):
                self._refuse_malformed(command)
            elif self.admits(command):
                yield command

    def _refuse_malformed(self, command: Malformed) -> None:
        if self.state is State.NEW and command.connects:
            self._begin()
        elif self.state is State.NEW or self.state is State.REFUSED:
            raise _bad("a command without a connection")
        if command.id:
            self.refuse(command.id, _because(command.problem))
        else:
            self.on_error(_because(command.problem), "")

    def admits(self, command: Command) -> bool:
        """Whether a command is in order now; asked again for a subscribe that has waited for the end of another one.

        Raises:
            ProtocolError: The client broke the protocol.
        """
        if isinstance(command, Connect):
            return self._admits_connect(command)
        if self.state is State.NEW or self.state is State.REFUSED:
            raise _bad("a command without a connection")
        match command:
            case Pong():
                self._ponged()
                return False
            case Ping():
                raise _bad("a ping from the client")
            case Send():
                return True
            case Rpc():
                return self._unless(command.id, self._too_long("method", command.method), command.method)
            case Refresh(token=token):
                return self._unless(command.id, None if token else _because("the refresh has no token"))
            case _:
                return self._admits_channel(command)

    def _admits_connect(self, command: Connect) -> bool:
        self._begin()
        error = next((error for each in command.subs.values() if (error := _wrong_filter(each))), None)
        if error is not None:
            self.refuse(command.id, error)
        return error is None

    def _begin(self) -> None:
        if self.state is not State.NEW:
            raise _bad("a second connect")
        self.state = State.CONNECTING

    def _ponged(self) -> None:
        if not self._pings:
            raise _bad("a pong without a ping")
        self._pings -= 1
        if not self._pings:
            self._pong_by = inf

    def _admits_channel(
        self, command: Subscribe | Unsubscribe | Publish | Presence | PresenceStats | History | SubRefresh
    ) -> bool:
        error = self._too_long("channel", command.channel) if command.channel else _because("the channel is empty")
        match command:
            case _ if error is not None:
                pass
            case Subscribe():
                error = self._subscribing(command)
            case History(since=since, reverse=True) if since is not None and since.offset == 0:
                error = codes.BAD_REQUEST
            case SubRefresh(token=token, type=kind):
                known = command.channel in self.subscriptions
                error = codes.PERMISSION_DENIED if not known else codes.NOT_AVAILABLE if kind else None
                error = error or (None if token else codes.BAD_REQUEST)
            case Publish(type=kind) if kind:
                error = codes.NOT_AVAILABLE
        return self._unless(command.id, error, command.channel)

    def _unless(self, id_: int, error: Error | None, about: str = "") -> bool:
        """Answer a command with an error, if there is one; return whether the command is in order."""
        if error is not None:
            self._fail(id_, error, about)
        return error is None

    def _too_long(self, what: str, name: str) -> Error | None:
        most = self._limits.channel_size
        if len(name.encode()) <= most:
            return None
        return _because(f"the {what}'s name has over {most} bytes")

    def _subscribing(self, command: Subscribe) -> Error | None:
        """Takes note of a subscription, or says why not."""
        if command.delta not in ("", "fossil"):
            return _because(f"the delta {command.delta[:20]!r} is unknown")
        if command.type:
            return codes.NOT_AVAILABLE._replace(message="only stream subscriptions are available")
        known = self.subscriptions.get(command.channel)
        if known is not None and not known.is_ending:
            return codes.ALREADY_SUBSCRIBED
        if len(self.subscriptions) >= self._limits.channels:
            return codes.LIMIT_EXCEEDED
        size = kept_of(command)
        if error := _wrong_filter(command) or self._too_large(size):
            return error
        if known is None:
            self.subscriptions[command.channel] = Subscription(command.channel, is_server_side=False, size=size)
        return None

    def _too_large(self, size: int) -> Error | None:
        if self._has_room_for(size):
            return None
        most = self._limits.subscriptions_size
        return codes.LIMIT_EXCEEDED._replace(message=f"filters and data of over {most} bytes")

    def _has_room_for(self, size: int) -> bool:
        if not size:
            return True
        return size + sum(each.size for each in self.subscriptions.values()) <= self._limits.subscriptions_size

    # What the server says

    def take(self) -> bytes:
        """What is to be sent, as joined messages; empty if there is nothing."""
        out, self._out = self._out, []
        return b"".join(out)

    def connected(self, id_: int, result: ConnectResult, now: float, first_ping: float) -> None:
        """The client is connected, with the server-side subscriptions that ``result`` names.

        Args:
            id_: Of the connect command.
            result: What the client is told; how it is pinged is added.
            now: The time.
            first_ping: The part of the ping's interval after which the first one comes, 0 to 1: it spreads them.
        """
        self.state = State.CONNECTED
        self.connect_by = inf
        for channel in result.subs:
            self._live(channel)
        if self._limits.ping:
            result = result._replace(ping=max(round(self._limits.ping), 1), pong=True)
            self._ping_at = now + self._limits.ping * first_ping
        self._out.append(self.codec.reply(id_, result))

    def _fail(self, id_: int, error: Error, about: str = "") -> None:
        self._out.append(self.codec.error(id_, error))
        self.on_error(error, about)

    def refuse(self, id_: int, error: Error, about: str = "") -> None:
        """Answer a command with an error; after a connect that was refused, the connection can only close.

        Args:
            id_: The command's.
            error: The error.
            about: The channel or method of the command.
        """
        if self.state is State.CONNECTING:
            self.state = State.REFUSED
        self._fail(id_, error, about)

    def reply(self, id_: int, result: Result) -> None:
        """A command was done."""
        self._out.append(self.codec.reply(id_, result))

    def push(self, push: Push) -> None:
        """The client is told something that it did not ask for."""
        self._out.append(self.codec.push(push))

    def add_server_side(self, channel: str, size: int = 0) -> Subscription | None:
        """The server is about to subscribe the client; None if it is subscribed, or about to be.

        Args:
            channel: The channel.
            size: Bytes of the filter and the data that the client wants it with.
        """
        if channel in self.subscriptions:
            return None
        if not self._has_room_for(size):
            raise ProtocolError(codes.CHANNEL_LIMIT, "filters and data of server-side subscriptions are too large")
        self.subscriptions[channel] = subscription = Subscription(channel, is_server_side=True, size=size)
        return subscription

    def subscribed(self, id_: int, channel: str, result: SubscribeResult) -> None:
        """A subscription has begun; publications follow."""
        self._live(channel)
        self._out.append(self.codec.reply(id_, result))

    def not_subscribed(self, id_: int, channel: str, error: Error) -> None:
        """A subscription has not begun."""
        self.subscriptions.pop(channel, None)
        self._fail(id_, error, channel)

    def unsubscribed(self, id_: int, channel: str) -> None:
        """A subscription has ended, as the client wanted; there may have been none."""
        self.subscriptions.pop(channel, None)
        self._out.append(self.codec.reply(id_, UnsubscribeResult()))

    def _live(self, channel: str) -> None:
        subscription = self.subscriptions.get(channel)
        if subscription is not None:
            subscription.is_live = True

    # Time

    @property
    def deadline(self) -> float:
        """When :meth:`tick` is to be called next; infinite for never."""
        first = min(self.connect_by, self._ping_at, self._pong_by, self.expiry + self._limits.refresh)
        expiring = [each.expiry for each in self.subscriptions.values() if each.expiry != inf]
        return min(first, min(expiring) + self._limits.refresh) if expiring else first

    def tick(self, now: float, *, is_behind: bool = False) -> list[Subscription]:
        """Sends a ping if one is due.

        Args:
            now: The time.
            is_behind: Whether what was sent, or what the client has sent, has had to wait since the last ping. The
                pong may wait there, too, and has another interval between two pings.

        Returns:
            The subscriptions that have expired; whoever serves them ends them.

        Raises:
            ProtocolError: The client is not connected, has not answered a ping, or not refreshed its connection in
                time.
        """
        if now >= self.connect_by and self.state is State.CONNECTING:
            raise ProtocolError(codes.SERVER_ERROR, "no answer to the connect in time")
        if now >= self.connect_by:
            raise ProtocolError(codes.STALE, "no connect in time")
        if now >= self._pong_by and is_behind:
            self._pong_by = now + self._limits.ping
        if now >= self._pong_by:
            raise ProtocolError(codes.NO_PONG, "no pong in time")
        if now >= self.expiry + self._limits.refresh:
            raise ProtocolError(codes.CONNECTION_EXPIRED, "no refresh in time")
        if now >= self._ping_at:
            self._ping_at = now + self._limits.ping
            self._pings += 1
            if self._pong_by == inf:
                self._pong_by = now + self._limits.pong
            self._out.append(self.codec.ping)
        last = now - self._limits.refresh
        return [each for each in self.subscriptions.values() if each.expiry <= last]


def _because(problem: str) -> Error:
    """Return the error of a command that the client should not have sent like this."""
    return codes.BAD_REQUEST._replace(message=problem)


def _wrong_filter(command: Subscribe) -> Error | None:
    """Return why the filter of a subscription cannot be used; None if it can be, or if there is none."""
    if command.tf is None:
        return None
    if command.delta:
        return _because("a tags filter and a delta exclude each other")
    try:
        check(command.tf)
    except ValueError as error:
        return _because(f"the tags filter: {error}")
    return None


def kept_of(command: Subscribe) -> int:
    """Return the bytes of a command that are kept as long as the subscription goes on."""
    data = len(command.data) + weight_of(command.data) if command.data else 0
    return data + (0 if command.tf is None else size_of(command.tf))


def _bad(problem: str) -> ProtocolError:
    return ProtocolError(codes.BAD_PROTOCOL, problem)


def _ignored(error: Error, about: str) -> None:
    """Do nothing."""
