"""Clients of multiplexed connections, as application code reaches them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from ..codec import json_of, read_json
from ..identity import Identity, Sender, check_time
from .connection import Connection, Subscribed
from .inlet import Inlet


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

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """Identity with which the client has connected."""

    @abstractmethod
    def subscribed(self) -> list[Subscribed]:
        """Return what the client is subscribed to."""

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


ACTIONS = frozenset({"tell", "disconnect", "subscribe", "unsubscribe", "refresh"})
"""The methods of :class:`Reachable` that act on the client."""


class Reach(ABC):
    """The actions on one client, or on several."""

    __slots__ = ()

    @abstractmethod
    def _do(self, action: str, *arguments: Any) -> None:
        """Perform one of ``ACTIONS``, with the arguments of the method of :class:`Reachable`."""

    def send(self, data: Any) -> None:
        """Send the client a message, which SDKs deliver as an event of the connection.

        Args:
            data: The message, of any type that Pydantic can serialise.

        Raises:
            PydanticSerializationError: Pydantic cannot serialise it; nothing was sent.
        """
        self._do("tell", json_of(data))

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
        self._do("disconnect", code, reason)

    def subscribe(self, channel: str, data: Any = None) -> None:
        """Subscribe the client to a channel, if the app admits the subscription as if the client had asked for it.

        Args:
            channel: The path of a feed or topic.
            data: The data that the client gets with the subscription, of any type that Pydantic can serialise.

        Raises:
            PydanticSerializationError: Pydantic cannot serialise the data; nothing was done.
        """
        self._do("subscribe", channel, b"" if data is None else json_of(data))

    def unsubscribe(self, channel: str) -> None:
        """End the client's subscription to a channel.

        Args:
            channel: The channel; a leading slash makes no difference.
        """
        self._do("unsubscribe", channel)

    def refresh(self, expires_at: float | None) -> None:
        """Set the time until which the client may stay without a new token.

        Args:
            expires_at: Unix time, in seconds; None for no limit.

        Raises:
            TypeError: The time is not a number.
            ValueError: The time is infinite or NaN.
        """
        check_time(expires_at)
        self._do("refresh", expires_at)


class Client(Reach):
    """A client of a multiplexed connection, as ``live.clients()`` returns it.

    Its methods may be called from any thread, and do nothing once the client has left. In another thread than the event
    loop's, they raise :class:`~wirespeed.BacklogFull` if too many actions wait for the loop.

    Args:
        connection: The multiplexed connection.
        loop: The event loop of the connection.
        link: The WebSocket or response that carries the connection; None if unknown.
        before: Called before each action: what was begun for a group of clients comes first.
        inlet: The way of actions from other threads.
    """

    __slots__ = ("_before", "_connection", "_inlet", "_link", "_loop")

    def __init__(
        self,
        connection: Reachable,
        loop: asyncio.AbstractEventLoop,
        link: Connection | None = None,
        before: "Callable[[Client], None] | None" = None,
        inlet: Inlet | None = None,
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._before = before
        self._inlet = inlet or Inlet()
        self._link = link
        if link is not None:
            link.user, link.client = connection.sender.user, connection.sender.client

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
    def info(self) -> Any:
        """Public information about the client, :attr:`Identity.info` in the types of JSON; None if there is none."""
        info = self._connection.sender.info
        return read_json(info) if info else None

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

    def _do(self, action: str, *arguments: Any) -> None:
        self._inlet.call(self._loop, f"An action on client {self.id}", self._act, action, *arguments)

    def _act(self, action: str, *arguments: Any) -> None:
        if self._before is not None:
            self._before(self)
        perform(self, action, arguments)


def perform(client: Client, action: str, arguments: Sequence[Any]) -> None:
    """Perform one of ``ACTIONS`` on a client, in its event loop, with the arguments of the method of Reachable."""
    getattr(client._connection, action)(*arguments)


def reached(client: Client) -> Reachable:
    """Return the multiplexed connection of a client."""
    return client._connection


class ListedClient(NamedTuple):
    """A client of any process, as ``all_clients().list()`` returns it; each field as that of :class:`Client`."""

    id: str
    user: str
    address: str
    transport: str
    lane: str
    age: float
    waiting: int
    channels: Sequence[str]
    process: str
    """Random name of the process that the client is connected to; empty without a broker."""
    info: Any = None


class ClientGroup(Reach):
    """Clients in all processes of the app, as ``all_clients()`` of an app, feed or topic returns them.

    Its methods do what those of :class:`Client` do, with each client that is connected at that moment, in any process.
    They never wait, and may be called from any thread. Other processes act at most once, and a moment later.

    All of them raise :class:`~wirespeed.BrokerDown` if other processes cannot be reached; the clients of this process
    have been reached then. In another thread than the event loop's, this is logged instead, and they raise
    :class:`~wirespeed.BacklogFull` if too many actions wait for the loop. A message and its selection may have 1 MiB; a
    larger one raises ``ValueError``.

    Args:
        perform: Performs an action with each client.
        find: Returns the clients, at most a number of each process.
    """

    __slots__ = ("_find", "_perform")

    def __init__(
        self, perform: Callable[..., None], find: Callable[[int, float], Awaitable[list[ListedClient]]]
    ) -> None:
        self._perform = perform
        self._find = find

    def _do(self, action: str, *arguments: Any) -> None:
        self._perform(action, *arguments)

    async def list(self, most: int = 1000, timeout: float = 2.0) -> list[ListedClient]:
        """Return the clients of all processes.

        Args:
            most: Number of clients of each process that are returned at most.
            timeout: Seconds to wait for the answers of other processes. The clients of a process that does not answer
                are left out.

        The answer of another process has 1 MiB at most, as JSON, which suffices for hundreds of clients with 128
        channels each. The newest clients beyond that are left out.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        return await self._find(most, timeout)
