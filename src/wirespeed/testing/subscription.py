"""A subscription of a multiplexed connection, from the client's side."""

import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from ..errors import WirespeedError
from ..log.position import Position
from .mailbox import Mailbox
from .websocket import RECENT

COMPLETE = 2000
"""Code by which the server ends a subscription that is complete."""

Ask = Callable[..., Awaitable[dict[str, Any]]]
"""Sends a command, and returns its result."""


class Explained(NamedTuple):
    """The reason for a refusal: a text; and status and detail if the app refuses."""

    reason: str
    status: int | None = None
    detail: Any = None


def explained(reason: str) -> Explained:
    """Take a reason apart that may be JSON of message, status and detail."""
    try:
        said = json.loads(reason) if reason.startswith("{") else None
    except ValueError:
        said = None
    return Explained(said.get("message", ""), said.get("status"), said.get("detail")) if said else Explained(reason)


@dataclass(eq=False)
class CommandFailed(WirespeedError):
    """The app refused a command, or could not serve it. The connection stays open."""

    what: str
    """Command and path, such as ``subscribe price/BTC``."""
    code: int
    """Code of the protocol."""
    reason: str
    """Reason for the client."""
    status: int | None = None
    """HTTP status with which the app refused; None if it has no part in the refusal."""
    detail: Any = None
    """Detail of the app's ``HTTPException``; for a status of 422, FastAPI's list of errors."""

    def __str__(self) -> str:
        status = "" if self.status is None else f", status {self.status}"
        return f"{self.what}: {self.reason} ({self.code}{status})"


@dataclass(eq=False)
class SubscriptionEnded(WirespeedError):
    """The server has ended a subscription."""

    channel: str
    """Channel."""
    code: int
    """Code of the protocol: 2000 if the feed, topic or run is complete."""
    reason: str
    """Reason for the client."""
    status: int | None = None
    """HTTP status with which the app refused; None if it has no part in the end."""
    detail: Any = None
    """Detail of the app's ``HTTPException``."""

    def __str__(self) -> str:
        status = "" if self.status is None else f", status {self.status}"
        return f"the subscription to {self.channel} has ended: {self.reason} ({self.code}{status})"


class OtherClient(NamedTuple):
    """A client as others see it: in presence, when it joins or leaves, and as the sender of a publication."""

    client: str
    """Id of its connection."""
    user: str
    """Id of its user; empty if it is anonymous."""
    info: Any = None
    """``Identity.info``."""
    grant: Any = None
    """``Grant.info``."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "OtherClient":
        """Return the client in an answer of the protocol."""
        return cls(told["client"], told["user"], told.get("conn_info"), told.get("chan_info"))


class Arrival(NamedTuple):
    """A value as it has arrived."""

    value: Any
    position: Position | None = None
    """Its position in the log; None for the values of a stream without ``resume=``."""
    tags: Mapping[str, str] = MappingProxyType({})
    """Tags that were published beside it."""
    sender: OtherClient | None = None
    """The client on whose behalf it was published; None if the app itself has published it."""


class ClientSubscription:
    """One subscription. :meth:`MultiplexedClient.subscribe` makes it.

    Attributes:
        channel: Name of the channel.
        data: Data of the server's answer; None if there is none.
        position: Position from which the client would resume; None if it cannot.
        recovered: True if the client has missed nothing since the position from which it resumed.
        received: The last values that were received.
        timeout: Seconds to wait for anything.
        ended_by: The error by which the subscription has ended, or the connection; None before that.
    """

    def __init__(self, channel: str, ask: Ask, timeout: float, read_on: Callable[[], None]) -> None:
        self.channel = channel
        self.data: Any = None
        self.position: Position | None = None
        self.recovered = False
        self.received: deque[Any] = deque(maxlen=RECENT)
        self.ended_by: Exception | None = None
        self._ask = ask
        self.timeout = timeout
        self._read_on = read_on
        self._values: Mailbox[Arrival] = Mailbox()
        self._joined: Mailbox[OtherClient] = Mailbox()
        self._left: Mailbox[OtherClient] = Mailbox()

    # What the test receives

    async def receive(self) -> Any:
        """Return the next value.

        Raises:
            SubscriptionEnded: The server has ended the subscription, and all values were received.
            Closed: The connection has ended, and all values were received.
            TimeoutError: No value arrived in time.
        """
        return (await self.receive_arrival()).value

    async def receive_arrival(self, timeout: float | None = None) -> Arrival:
        """Return the next value with its position, tags and sender. Raise as :meth:`receive` does.

        Args:
            timeout: Seconds to wait; None for those of the client.
        """
        seconds = self.timeout if timeout is None else timeout
        arrival = await self._values.take(seconds, lambda: f"nothing came from {self.channel} within {seconds:g} s")
        self.received.append(arrival.value)
        self._read_on()
        return arrival

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield all values until the feed, topic or run is complete. Raise as :meth:`receive` does."""
        while True:
            try:
                value = await self.receive()
            except SubscriptionEnded as ended:
                if ended.code == COMPLETE:
                    return
                raise
            yield value

    @property
    def waiting(self) -> int:
        """Number of values that have arrived and were not received yet."""
        return len(self._values.items)

    def take_waiting(self) -> list[Any]:
        """Return all values that have arrived and were not received yet, without waiting for more."""
        taken = [each.value for each in self._values.items]
        self._values.items.clear()
        self._read_on()
        return taken

    async def joined(self) -> OtherClient:
        """Return the next client that has joined, with ``join_leave=True``. Raise as :meth:`receive` does."""
        return await self._joined.take(self.timeout, lambda: f"no one joined {self.channel}")

    async def left(self) -> OtherClient:
        """Return the next client that has left, with ``join_leave=True``. Raise as :meth:`receive` does."""
        return await self._left.take(self.timeout, lambda: f"no one left {self.channel}")

    async def ended(self) -> SubscriptionEnded:
        """Return how the server has ended the subscription; values that arrive before that are dropped.

        Raises:
            Closed: The connection has ended.
            TimeoutError: The subscription did not end in time.
        """
        while True:
            try:
                await self.receive_arrival()
            except SubscriptionEnded as ended:
                return ended

    # What the test sends

    async def send(self, message: Any) -> None:
        """Send a further message to a duplex stream, or a message to a topic's handler.

        Raises:
            CommandFailed: The app refused the message.
        """
        await self._ask("publish", self.channel, channel=self.channel, data=message)

    async def unsubscribe(self) -> None:
        """End the subscription, and wait for the server's answer."""
        await self._ask("unsubscribe", self.channel, channel=self.channel)
        self.end(SubscriptionEnded(self.channel, 0, "the client has unsubscribed"))

    # What the connection reports

    def begin(self, result: Mapping[str, Any]) -> None:
        """Take the server's answer to a subscribe."""
        self.ended_by = None
        for each in (self._values, self._joined, self._left):
            each.reopen()
        self.data = result.get("data")
        self.recovered = bool(result.get("recovered"))
        if result.get("recoverable"):
            self.position = Position(result.get("epoch", ""), result.get("offset", 0))
        for pub in result.get("publications", ()):
            self.publication(pub)

    def publication(self, pub: Mapping[str, Any]) -> None:
        """Take a publication."""
        position = None
        if "offset" in pub and self.position is not None:
            position = self.position = Position(self.position.epoch, pub["offset"])
        sender = OtherClient.of(pub["info"]) if "info" in pub else None
        self._values.put(Arrival(pub["data"], position, pub.get("tags", {}), sender))

    def join(self, info: Mapping[str, Any]) -> None:
        """Take the information that a client has joined."""
        self._joined.put(OtherClient.of(info))

    def leave(self, info: Mapping[str, Any]) -> None:
        """Take the information that a client has left."""
        self._left.put(OtherClient.of(info))

    def end(self, error: Exception) -> None:
        """End the subscription: nothing arrives any more. Do nothing if it has ended already."""
        self.ended_by = self.ended_by or error
        for each in (self._values, self._joined, self._left):
            each.end(error)
