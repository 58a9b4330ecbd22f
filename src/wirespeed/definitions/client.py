"""Clients that can be reached: those of the multiplexed surface."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from ..codec import json_of
from ..identity import Sender, check_time
from .connection import Connection


class Reachable(Protocol):
    """One connection, as the app may reach it; all methods are called in its event loop."""

    @property
    def sender(self) -> Sender:
        """The client, as others see it."""

    def tell(self, data: bytes) -> None:
        """Sends a message, in JSON."""

    def disconnect(self, code: int, reason: str) -> None:
        """Closes the connection."""

    def channels(self) -> list[str]:
        """What it is subscribed to."""

    def subscribe(self, channel: str, data: bytes) -> None:
        """Subscribes it to a channel, and tells it data in JSON; empty for none."""

    def unsubscribe(self, channel: str) -> None:
        """Ends its subscription to a channel."""

    def refresh(self, expires_at: float | None) -> None:
        """Says until when it may stay."""


class Client:
    """A client that is connected to the multiplexed surface, as ``live.clients()`` gives it.

    Its methods may be called from any thread, and do nothing once it is gone.

    Args:
        connection: Its connection.
        loop: The connection's event loop.
        link: What carries the connection; None if that is not known.
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
        """Names this connection; another one of the same user has another."""
        return self._connection.sender.client

    @property
    def user(self) -> str:
        """Who it is; empty for anonymous."""
        return self._connection.sender.user

    @property
    def address(self) -> str:
        """Its address and port, as the server or a trusted proxy reports it; empty if unknown."""
        return "" if self._link is None else self._link.address

    @property
    def transport(self) -> str:
        """What carries its connection: ``"websocket"``, ``"http_stream"`` or ``"sse"``; empty if unknown."""
        return "" if self._link is None else self._link.transport

    @property
    def lane(self) -> str:
        """The name of its lane, as in ``live.statistics().lanes``; empty if unknown."""
        return "" if self._link is None else self._link.lane

    @property
    def age(self) -> float:
        """Seconds since its connection was opened."""
        return 0.0 if self._link is None else self._link.age

    @property
    def waiting(self) -> int:
        """Bytes that wait for it in this process; those in the kernel come on top."""
        return 0 if self._link is None else self._link.waiting

    @property
    def channels(self) -> list[str]:
        """What it is subscribed to, as it spells it."""
        return self._connection.channels()

    def send(self, data: Any) -> None:
        """Sends it a message, which SDKs hand over as an event of the connection.

        Args:
            data: Anything that Pydantic makes JSON of.

        Raises:
            PydanticSerializationError: It does not; nothing was sent.
        """
        self._do(self._connection.tell, json_of(data))

    def disconnect(self, code: int = 3503, reason: str = "force disconnect") -> None:
        """Disconnects it.

        Args:
            code: 3000 to 3499 and 4000 to 4499 make it connect again, 3500 to 3999 and 4500 to 4999 do not.
            reason: What it is told; up to 123 bytes.

        Raises:
            ValueError: It is no such code.
        """
        if not 3000 <= code < 5000:
            raise ValueError(f"a code to disconnect with is from 3000 to 4999, not {code}")
        self._do(self._connection.disconnect, code, reason)

    def subscribe(self, channel: str, data: Any = None) -> None:
        """Subscribes it to a channel, if the app admits that as it would if the client had asked.

        Args:
            channel: The path of a feed or topic.
            data: What it is told with it; anything that Pydantic makes JSON of.

        Raises:
            PydanticSerializationError: It does not; nothing was done.
        """
        self._do(self._connection.subscribe, channel, b"" if data is None else json_of(data))

    def unsubscribe(self, channel: str) -> None:
        """Ends its subscription to a channel.

        Args:
            channel: As the client spells it, or with or without the leading slash.
        """
        self._do(self._connection.unsubscribe, channel)

    def refresh(self, expires_at: float | None) -> None:
        """Says until when it may stay without a new token.

        Args:
            expires_at: Unix time, in seconds; None for ever.

        Raises:
            TypeError: It is no number.
            ValueError: It is infinite or NaN.
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
