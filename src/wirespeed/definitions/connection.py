"""Open connections on any surface, as application code sees them."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from ..identity import Identity
from ..lanes.lane import Lane
from .revocation import Revocable


class Subscribed(NamedTuple):
    """One thing that a client gets, as operators see it."""

    channel: str
    """Path of a definition with its key, as the client spells it."""
    kind: str
    """Kind of the definition."""
    lag: int | None
    """Number of entries that the client has not got; None for streams and calls."""
    painted_age: float | None = None
    """Seconds for which the oldest value that was sent has not been painted; None if unknown."""


class Closable(Revocable, Protocol):
    """The object that serves one connection."""

    @property
    def lane(self) -> Lane:
        """The lane of the connection."""

    @property
    def identity(self) -> Identity:
        """Identity of the client, as its guards have found it."""

    def subscribed(self) -> list[Subscribed]:
        """Return what the client gets; nothing on a multiplexed connection, which knows its own subscriptions."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, and wait until it has ended."""


class Connection:
    """One open connection, as ``live.connections()`` returns it.

    Its attributes may be read, and :meth:`close` called, from any thread.

    Args:
        session: The object that serves the connection, in the running event loop.
        scope: The ASGI scope of the connection.
        transport: The transport.
        number: Number of the connection in its process.
    """

    __slots__ = (
        "_address",
        "_began",
        "_closing",
        "_is_asked",
        "_loop",
        "_number",
        "_session",
        "client",
        "path",
        "transport",
        "user",
    )

    def __init__(self, session: Closable, scope: Mapping[str, Any], transport: str, number: int = 0) -> None:
        self.path: str = scope.get("path", "")
        """Path of the request, as the client spelled it."""
        self.transport = transport
        """Transport: ``"websocket"``, ``"sse"``, ``"http_stream"``, or ``"post"`` for a stream that answers a POST."""
        self.user = ""
        """User of the client, if it has connected with an identity or its guards have found one; otherwise empty."""
        self.client = ""
        """Id of the client of a multiplexed connection, as others see it; otherwise empty."""
        self._number = number
        self._address = scope.get("client")
        self._began = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._closing: asyncio.Task[None] | None = None
        self._is_asked = False

    def __repr__(self) -> str:
        return f"<Connection {self.path!r} from {self.address or 'an unknown address'} by {self.transport}>"

    @property
    def id(self) -> str:
        """Id of the connection in its process: that of the client of a multiplexed connection, otherwise a number."""
        return self.client or str(self._number)

    @property
    def address(self) -> str:
        """Address and port of the client, as the server or a trusted proxy reports them; empty if unknown."""
        if not self._address:
            return ""
        host, port = self._address[0], self._address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"

    @property
    def lane(self) -> str:
        """Name of the lane, as in ``live.statistics().lanes``."""
        return self._session.lane.name

    @property
    def age(self) -> float:
        """Seconds since the connection was opened."""
        return time.monotonic() - self._began

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client in this process; the kernel may hold more."""
        with suppress(RuntimeError, AttributeError):  # of transports that are closed
            return self._session.lane.waiting()
        return 0

    def close(self, code: int = 3503, reason: str = "force disconnect") -> None:
        """Close the connection; nothing happens if it has ended.

        Args:
            code: The close code of a WebSocket, from 3000 to 4999. The SDKs of the multiplexed connection reconnect
                after 3000 to 3499 and 4000 to 4499. A response ends without a code, and an ``EventSource`` reconnects.
            reason: The reason that the client gets; up to 123 bytes.

        Raises:
            ValueError: The code is outside that range.
        """
        if not 3000 <= code < 5000:
            raise ValueError(f"code must be from 3000 to 4999, not {code}")
        # Only the first call counts: others would wait for the loop, without a bound.
        if not self._is_asked and not self._loop.is_closed():
            self._is_asked = True
            self._loop.call_soon_threadsafe(self._close, code, reason)

    def _close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(self._session.close(code, reason))
