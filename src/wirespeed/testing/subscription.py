"""A subscription of a multiplexed connection, from the client's side."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..log.position import Position
from .delivered import Arrival, Delivered, OtherClient, SubscriptionEnded
from .websocket import RECENT

COMPLETE = 2000
"""Code by which the server ends a subscription that is complete."""

Ask = Callable[..., Awaitable[dict[str, Any]]]
"""Sends a command, and returns its result."""


class ClientSubscription:
    """One subscription. :meth:`MultiplexedClient.subscribe` makes it.

    Attributes:
        channel: Name of the channel.
        received: The last values that were received.
        timeout: Seconds to wait for anything.
    """

    def __init__(
        self, channel: str, delivered: Delivered, ask: Ask, timeout: float, read_on: Callable[[], None]
    ) -> None:
        self.channel = channel
        self.received: deque[Any] = deque(maxlen=RECENT)
        self.timeout = timeout
        self._delivered = delivered
        self._ask = ask
        self._read_on = read_on

    # The values

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
        arrival = await self._delivered.values.take(
            seconds, lambda: f"nothing came from {self.channel} within {seconds:g} s"
        )
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
        return len(self._delivered.values.items)

    def take_waiting(self) -> list[Any]:
        """Return all values that have arrived and were not received yet, without waiting for more."""
        taken = [each.value for each in self._delivered.values.items]
        self._delivered.values.items.clear()
        self._read_on()
        return taken

    async def joined(self) -> OtherClient:
        """Return the next client that has joined, with ``join_leave=True``. Raise as :meth:`receive` does."""
        return await self._delivered.joined.take(self.timeout, lambda: f"no one joined {self.channel}")

    async def left(self) -> OtherClient:
        """Return the next client that has left, with ``join_leave=True``. Raise as :meth:`receive` does."""
        return await self._delivered.left.take(self.timeout, lambda: f"no one left {self.channel}")

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

    # Commands

    async def send(self, message: Any) -> None:
        """Send a further message to a duplex stream, or a message to a topic's handler.

        Raises:
            CommandFailed: The app refused the message.
        """
        await self._ask("publish", self.channel, channel=self.channel, data=message)

    async def unsubscribe(self) -> None:
        """End the subscription, and wait for the server's answer."""
        await self._ask("unsubscribe", self.channel, channel=self.channel)
        self._delivered.end(SubscriptionEnded(self.channel, 0, "the client has unsubscribed"))

    # Its state

    @property
    def data(self) -> Any:
        """Data of the server's answer; None if there is none."""
        return self._delivered.data

    @property
    def position(self) -> Position | None:
        """Position from which the client would resume; None if it cannot."""
        return self._delivered.position

    @property
    def recovered(self) -> bool:
        """True if the client has missed nothing since the position from which it resumed."""
        return self._delivered.recovered

    @property
    def ended_by(self) -> Exception | None:
        """Error by which the subscription has ended, or the connection; None before that."""
        return self._delivered.ended_by
