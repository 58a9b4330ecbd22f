"""Clients of multiplexed connections, as application code reaches them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from ..codec import json_of
from ..identity import Sender, check_time
from .connection import Connection


class Reachable(ABC):
    """One multiplexed connection; all methods are called in its event loop."""

    __slots__ = ()

    @property
    @abstractmethod
    def sender(self) -> Sender:
        """Client, as others see it."""

    @abstractmethod
    def tell(self, data: bytes) -> None:
        """Send a message of JSON."""

    @abstractmethod
    def disconnect(self, code: int, reason: str) -> None:
        """Close the connection."""

    @abstractmethod
    def channels(self) -> list[str]:
        """Return the channels that the client is subscribed to."""

    @abstractmethod
    def subscribe(self, channel: str, data: bytes) -> None:
        """Subscribe the client to a channel and send it data of JSON with the subscription; empty for none."""

    @abstractmethod
    def unsubscribe(self, channel: str) -> None:
        """End the client's subscription to a channel."""

    @abstractmethod
    def refresh(self, expires_at: float | None) -> None:
        """Set the time until which the client may stay."""


class Client:
    """A client of a multiplexed connection, as ``live.clients()`` returns it.

    Its methods may be called from any thread, and do nothing once the client has left.

    Args:
        connection: The multiplexed connection.
        loop: The event loop of the connection.
        link: The WebSocket or response that carries the connection; None if unknown.
    """

    __slots__ = ("_connection", "_link", "_loop")

    def __init__(self, connection: Reachable, loop: asyncio.AbstractEventLoop, link: Connection | None = None) -> None:
        self._connection = connection
        self._loop = loop
        self._link = link
        if link is not None:
            link.user = connection.sender.user

    def __repr__(self) -> str:
        return f"<Client {self.id} of user {self.user!r}>"

    @property
    def id(self) -> str:
        """Id of the connection; each connection of a user has its own."""
        return self._connection.sender.client

    @property
    def user(self) -> str:
        """User of the client; empty if it is anonymous."""
        return self._connection.sender.user

    @property
    def address(self) -> str:
        """Address and port, as the server or a trusted proxy reports them; empty if unknown."""
        return "" if self._link is None else self._link.address

    @property
    def transport(self) -> str:
        """Transport: ``"websocket"``, ``"http_stream"`` or ``"sse"``; empty if unknown."""
        return "" if self._link is None else self._link.transport

    @property
    def lane(self) -> str:
        """Name of the lane, as in ``live.statistics().lanes``; empty if unknown."""
        return "" if self._link is None else self._link.lane

    @property
    def age(self) -> float:
        """Seconds since the connection was opened."""
        return 0.0 if self._link is None else self._link.age

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client in this process; the kernel may hold more."""
        return 0 if self._link is None else self._link.waiting

    @property
    def channels(self) -> list[str]:
        """Channels that the client is subscribed to, as it spells them."""
        return self._connection.channels()

    def send(self, data: Any) -> None:
        """Send the client a message, which SDKs deliver as an event of the connection.

        Args:
            data: The message, of any type that Pydantic can serialise.

        Raises:
            PydanticSerializationError: Pydantic cannot serialise it; nothing was sent.
        """
        self._do(self._connection.tell, json_of(data))

    def disconnect(self, code: int = 3503, reason: str = "force disconnect") -> None:
        """Disconnect the client.

        Args:
            code: A code from 3000 to 4999. SDKs reconnect after 3000 to 3499 and 4000 to 4499, not after the others.
            reason: The reason that the client gets; up to 123 bytes.

        Raises:
            ValueError: The code is outside 3000 to 4999.
        """
        if not 3000 <= code < 5000:
            raise ValueError(f"code must be from 3000 to 4999, not {code}")
        self._do(self._connection.disconnect, code, reason)

    def subscribe(self, channel: str, data: Any = None) -> None:
        """Subscribe the client to a channel, if the app admits the subscription as if the client had asked for it.

        Args:
            channel: The path of a feed or topic.
            data: The data that the client gets with the subscription, of any type that Pydantic can serialise.

        Raises:
            PydanticSerializationError: Pydantic cannot serialise the data; nothing was done.
        """
        self._do(self._connection.subscribe, channel, b"" if data is None else json_of(data))

    def unsubscribe(self, channel: str) -> None:
        """End the client's subscription to a channel.

        Args:
            channel: The channel; a leading slash makes no difference.
        """
        self._do(self._connection.unsubscribe, channel)

    def refresh(self, expires_at: float | None) -> None:
        """Set the time until which the client may stay without a new token.

        Args:
            expires_at: Unix time, in seconds; None for no limit.

        Raises:
            TypeError: The time is not a number.
            ValueError: The time is infinite or NaN.
        """
        check_time(expires_at)
        self._do(self._connection.refresh, expires_at)

    def _do(self, method: Callable[..., None], *arguments: Any) -> None:
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            method(*arguments)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(method, *arguments)
