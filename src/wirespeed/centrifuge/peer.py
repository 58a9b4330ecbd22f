"""The server's side of one connection, as a state machine: no I/O, no await, no clock.

The contract has four verbs. :meth:`Peer.receive` takes a frame and gives the commands in it that are in order; it
answers the others itself. The code that serves a command reports how that ended, for example with :meth:`Peer.reply`.
:meth:`Peer.take` gives the bytes to send. :meth:`Peer.tick` has to be called at :attr:`Peer.deadline`. A
:class:`~.codes.ProtocolError` from any of them ends the connection.

=========== ======================= ==========================================
State       Commands that may come  Events that end it
=========== ======================= ==========================================
new         connect                 connect → connecting; the deadline (3502)
connecting  all but connect         connected() → connected; refuse() → refused; the deadline (3004)
connected   all but connect         a pong without a ping, no pong (3012), expiry (3005)
refused     none                    the deadline (3502)
=========== ======================= ==========================================

Each subscription has a state of its own, see :mod:`.subscription`.
"""

from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from enum import Enum
from math import inf
from typing import Any, Generic, TypeVar

from ..settings import Settings
from ..weight import weight_of
from . import codes
from . import messages as m
from .codec import MAX_FIELDS, Codec
from .codes import Error, ProtocolError, Unsubscription
from .subscription import Event, Subscription
from .subscription import State as SubscriptionState
from .tags import VALUE, check, size_of

S = TypeVar("S")
"""The type of the objects that serve subscriptions."""

OURS = "wirespeed"
"""Name by which our own clients connect, which understand errors with a status and a detail."""

UNRECOVERABLE_FLAG = 2
"""Bit of ``Subscribe.flag``: the client wants an error if its position cannot be recovered."""

_POSITION = 30
"""Fields that one position of a connect command counts for, with all that belongs to it."""


class State(Enum):
    """The states of a connection."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


def ignored(error: Error, about: str) -> None:
    """Do nothing."""


def kept(subscription: Subscription[Any]) -> None:
    """Do nothing."""


@dataclass(slots=True, eq=False)
class Peer(Generic[S]):
    """The server's side of one connection; the time is in seconds of any monotonic clock, in all methods."""

    codec: Codec
    _settings: Settings
    now: InitVar[float]
    _sends_pings: bool = True
    _is_ours: bool = False
    """True if the client is one of our own."""
    state: State = State.NEW
    subscriptions: dict[str, Subscription[S]] = field(default_factory=dict)
    expiry: float = inf
    """The time by which the client should have refreshed the connection."""
    on_error: Callable[[Error, str], None] = ignored
    """Called with each error that answers a command, and with the channel or method of the command."""
    on_replaced: Callable[[Subscription[S]], None] = kept
    """Called with a server-side subscription that ends, because a client of our own subscribes to its channel."""
    connect_by: float = inf
    _ending: list[Subscription[S]] = field(default_factory=list)
    """Those that are over, and are still served."""
    _out: list[bytes] = field(default_factory=list)
    _ping_at: float = inf
    _pings: int = 0
    _pong_by: float = inf

    def __post_init__(self, now: float) -> None:
        self.connect_by = now + self._settings.connect_timeout

    # What the client sends

    def receive(self, frame: str | bytes) -> Iterator[m.Command]:
        """Return the commands of a frame that are in order, one after the other; answer the others.

        Raises:
            ProtocolError: The client broke the protocol; the commands before that are good.
        """
        for command in self.codec.commands(frame, _most_fields(self._settings)):
            if isinstance(command, m.Malformed):
                self._refuse_malformed(command)
            elif self.admits(command):
                yield command

    def _refuse_malformed(self, command: m.Malformed) -> None:
        if self.state is State.NEW and command.connects:
            self._begin()
        elif self.state is State.NEW or self.state is State.REFUSED:
            raise _bad("a command without a connection")
        if command.id:
            self.refuse(command.id, _because(command.problem))
        else:
            self.on_error(_because(command.problem), "")

    def admits(self, command: m.Command) -> bool:
        """Return True if a command is in order now; answer it if not.

        A subscribe that has waited for the end of a previous subscription has to be checked again.

        Raises:
            ProtocolError: The client broke the protocol.
        """
        if isinstance(command, m.Connect):
            return self._admits_connect(command)
        if self.state is State.NEW or self.state is State.REFUSED:
            raise _bad("a command without a connection")
        match command:
            case m.Pong():
                self._ponged()
                return False
            case m.Ping():
                raise _bad("a ping from the client")
            case m.Send():
                return True
            case m.Rpc():
                return self._unless(command.id, self._too_long("method", command.method), command.method)
            case m.Refresh(token=token):
                return self._unless(command.id, None if token else _because("the refresh has no token"))
            case _:
                return self._admits_channel(command)

    def _admits_connect(self, command: m.Connect) -> bool:
        self._begin()
        self._is_ours = command.name == OURS
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
        self, command: m.Subscribe | m.Unsubscribe | m.Publish | m.Presence | m.PresenceStats | m.History | m.SubRefresh
    ) -> bool:
        error = self._too_long("channel", command.channel) if command.channel else _because("the channel is empty")
        match command:
            case _ if error is not None:
                pass
            case m.Subscribe():
                error = self._subscribing(command)
            case m.History(since=since, reverse=True) if since is not None and since.offset == 0:
                error = codes.BAD_REQUEST
            case m.SubRefresh(token=token, type=kind):
                known = command.channel in self.subscriptions
                error = codes.PERMISSION_DENIED if not known else codes.NOT_AVAILABLE if kind else None
                error = error or (None if token else codes.BAD_REQUEST)
            case m.Publish(type=kind) if kind:
                error = codes.NOT_AVAILABLE
        return self._unless(command.id, error, command.channel)

    def _unless(self, id_: int, error: Error | None, about: str = "") -> bool:
        """Answer a command with an error, if there is one; return whether the command is in order."""
        if error is not None:
            self._fail(id_, error, about)
        return error is None

    def _too_long(self, what: str, name: str) -> Error | None:
        most = self._settings.max_channel_bytes
        if len(name.encode()) <= most:
            return None
        return _because(f"the {what}'s name has over {most} bytes")

    def _subscribing(self, command: m.Subscribe) -> Error | None:
        """Add a subscription; return the error if the command does not allow that."""
        if command.delta not in ("", "fossil"):
            return _because(f"the delta {command.delta[:20]!r} is unknown")
        if command.type:
            return codes.NOT_AVAILABLE._replace(message="only stream subscriptions are available")
        known = self.subscriptions.get(command.channel)
        if known is not None and known.is_server_side and self._is_ours:
            if not known.is_live():
                return None  # the command waits until the app has decided about it, and comes back
            self.on_replaced(known)
            self.ended(known, Event.UNSUBSCRIBED)
            known = None
        if known is not None and known.state is not SubscriptionState.LEAVING:
            return codes.ALREADY_SUBSCRIBED
        if len(self.subscriptions) >= self._settings.max_subscriptions:
            return codes.LIMIT_EXCEEDED
        size = kept_of(command)
        if error := _wrong_filter(command) or self._too_large(size):
            return error
        if known is None:
            new: Subscription[S] = Subscription(command.channel, is_server_side=False, size=size)
            self.subscriptions[command.channel] = new
        return None

    def _too_large(self, size: int) -> Error | None:
        if self._has_room_for(size):
            return None
        most = self._settings.max_subscription_bytes
        what = "filters, data and tokens" if self._ends_in_time() else "data of streams that have not ended yet"
        return codes.LIMIT_EXCEEDED._replace(message=f"{what} of over {most} bytes")

    def _has_room_for(self, size: int) -> bool:
        if not size:
            return True
        used = sum(each.size for each in self.subscriptions.values())
        return size + used <= self._settings.max_subscription_bytes and self._ends_in_time()

    def _ends_in_time(self) -> bool:
        """Return True if those that are over and still served do not keep too much.

        They have a bound of their own: a client may replace all of its subscriptions at once.
        """
        return sum(each.size for each in self._ending) <= self._settings.max_subscription_bytes

    # What the server reports

    def take(self) -> bytes:
        """Return the bytes to send, as joined messages; empty if there are none."""
        out, self._out = self._out, []
        return b"".join(out)

    def connected(self, id_: int, result: m.ConnectResult, now: float, first_ping: float) -> None:
        """Answer the connect command: the client is connected, with the server-side subscriptions in ``result``.

        Args:
            first_ping: Part of the interval, 0 to 1, after which the first ping is sent: it spreads the pings of many.
        """
        self.state = State.CONNECTED
        self.connect_by = inf
        for channel in result.subs:
            self.subscriptions[channel].on(Event.REPLIED)
        if self._sends_pings:
            result = result._replace(ping=max(round(self._settings.ping_interval), 1), pong=True)
            self._ping_at = now + self._settings.ping_interval * first_ping
        self._out.append(self.codec.reply(id_, result))

    def _fail(self, id_: int, error: Error, about: str = "") -> None:
        shown = error._replace(message=error.explained()) if self._is_ours else error
        self._out.append(self.codec.error(id_, shown))
        self.on_error(error, about)

    def refuse(self, id_: int, error: Error, about: str = "") -> None:
        """Answer a command with an error; after a refused connect, the connection can only close."""
        if self.state is State.CONNECTING:
            self.state = State.REFUSED
        self._fail(id_, error, about)

    def reply(self, id_: int, result: m.Result | bytes) -> None:
        """Answer a command with its result, or with the body of one that was encoded before."""
        encode = self.codec.reply_of if isinstance(result, bytes) else self.codec.reply
        self._out.append(encode(id_, result))  # type: ignore[arg-type]

    def push(self, push: m.Push) -> None:
        """Send something that is not an answer to a command."""
        self.say(self.codec.push(push))

    def say(self, message: bytes) -> None:
        """Send a message that was encoded before."""
        self._out.append(message)

    def add_server_side(self, channel: str, size: int = 0) -> Subscription[S] | None:
        """Add a subscription that the server wants for the client; return None if there already is one.

        Raises:
            ProtocolError: The filters and data of all subscriptions are too large.
        """
        if channel in self.subscriptions:
            return None
        if not self._has_room_for(size):
            raise ProtocolError(codes.CHANNEL_LIMIT, "filters and data of server-side subscriptions are too large")
        subscription: Subscription[S] = Subscription(channel, is_server_side=True, size=size)
        self.subscriptions[channel] = subscription
        return subscription

    def subscribed(self, id_: int, subscription: Subscription[S], result: m.SubscribeResult) -> None:
        """Answer a subscribe: publications follow."""
        subscription.on(Event.REPLIED)
        self._out.append(self.codec.reply(id_, result))

    def not_subscribed(self, id_: int, channel: str, error: Error) -> None:
        """Answer a subscribe with an error, and forget the subscription if there was to be one."""
        self._end(channel, Event.REFUSED)
        self._fail(id_, error, channel)

    def unsubscribed(self, id_: int, channel: str) -> None:
        """Answer an unsubscribe; there may have been no subscription."""
        self._end(channel, Event.UNSUBSCRIBED)
        self._out.append(self.codec.reply(id_, m.UnsubscribeResult()))

    def unsubscribe(self, channel: str, why: Unsubscription) -> None:
        """Let the client know why a subscription has ended."""
        reason = why.error.explained() if self._is_ours and why.error is not None else why.reason
        self.push(m.UnsubscribePush(channel, why.code, reason))

    def ended(self, subscription: Subscription[S], event: Event) -> None:
        """Forget a subscription without a word to the client."""
        self._end(subscription.channel, event)

    def _end(self, channel: str, event: Event) -> None:
        subscription = self.subscriptions.pop(channel, None)
        if subscription is not None:
            subscription.on(event)
            if subscription.is_served and subscription.size:
                self._ending.append(subscription)

    def served(self, subscription: Subscription[S]) -> None:
        """Note that the code that served a subscription has ended: if that is over, its filter and data are gone."""
        subscription.is_served = False
        if subscription in self._ending:
            self._ending.remove(subscription)

    # Time

    @property
    def deadline(self) -> float:
        """The time at which :meth:`tick` has to be called next; infinite for never."""
        first = min(self.connect_by, self._ping_at, self._pong_by, self.expiry + self._settings.refresh_timeout)
        late = self._settings.refresh_timeout
        return min([first, *(min(each.ends_at, each.expiry + late) for each in self.subscriptions.values())])

    def tick(self, now: float, *, is_behind: bool = False) -> list[Subscription[S]]:
        """Send a ping if one is due.

        Args:
            is_behind: True if bytes from or to the client have had to wait since the last ping. The pong may wait
                among them, and gets another interval.

        Returns:
            The subscriptions that have expired or end now; the caller has to end them.

        Raises:
            ProtocolError: The client has not connected, answered a ping, or refreshed its connection in time.
        """
        if now >= self.connect_by and self.state is State.CONNECTING:
            raise ProtocolError(codes.SERVER_ERROR, "no answer to the connect in time")
        if now >= self.connect_by:
            raise ProtocolError(codes.STALE, "no connect in time")
        if now >= self._pong_by and is_behind:
            self._pong_by = now + self._settings.ping_interval
        if now >= self._pong_by:
            raise ProtocolError(codes.NO_PONG, "no pong in time")
        if now >= self.expiry + self._settings.refresh_timeout:
            raise ProtocolError(codes.CONNECTION_EXPIRED, "no refresh in time")
        if now >= self._ping_at:
            self._ping_at = now + self._settings.ping_interval
            self._pings += 1
            if self._pong_by == inf:
                self._pong_by = now + self._settings.pong_timeout
            self._out.append(self.codec.ping)
        last = now - self._settings.refresh_timeout
        return [each for each in self.subscriptions.values() if each.expiry <= last or each.ends_at <= now]


def _most_fields(settings: Settings) -> int:
    """Return the most fields of one command, which are enough for all positions and values that the settings allow."""
    return max(MAX_FIELDS, settings.max_subscriptions * _POSITION, settings.max_subscription_bytes // VALUE)


def _because(problem: str) -> Error:
    """Return the error of a command that the client should not have sent like this."""
    return codes.BAD_REQUEST._replace(message=problem)


def _wrong_filter(command: m.Subscribe) -> Error | None:
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


def kept_of(command: m.Subscribe) -> int:
    """Return the bytes of a command that are kept as long as the subscription lasts."""
    data = len(command.data) + weight_of(command.data) if command.data else 0
    return data + len(command.token) + len(command.epoch) + (0 if command.tf is None else size_of(command.tf))


def _bad(problem: str) -> ProtocolError:
    return ProtocolError(codes.BAD_PROTOCOL, problem)
