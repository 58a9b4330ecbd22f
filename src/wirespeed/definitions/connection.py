"""One connection of a client, on whichever surface, as an operator sees it."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from ..lanes.lane import Lane


class Closable(Protocol):
    """What serves a connection."""

    @property
    def lane(self) -> Lane:
        """The lane of the connection."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, and wait until it has ended."""


class Connection:
    """One open connection, as ``live.connections()`` returns it.

    Its attributes may be read, and :meth:`close` called, from any thread.

    Args:
        session: What serves it, in the running event loop.
        scope: Its ASGI scope.
        transport: What carries it.
    """

    __slots__ = ("_address", "_began", "_closing", "_loop", "_session", "path", "transport", "user")

    def __init__(self, session: Closable, scope: Mapping[str, Any], transport: str) -> None:
        self.path: str = scope.get("path", "")
        """The path of its request, as the client spelled it."""
        self.transport = transport
        """``"websocket"``, ``"sse"``, ``"http_stream"``, or ``"post"`` for a stream that answers a POST."""
        self.user = ""
        """The user of a multiplexed connection; empty if it is anonymous, or not known here."""
        self._address = scope.get("client")
        self._began = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.path!r} from {self.address or 'an unknown address'} by {self.transport}>"

    @property
    def address(self) -> str:
        """The client's address and port, as the server or a trusted proxy reports it; empty if unknown."""
        if not self._address:
            return ""
        host, port = self._address[0], self._address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"

    @property
    def lane(self) -> str:
        """The name of its lane, as in ``live.statistics().lanes``."""
        return self._session.lane.name

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._began

    @property
    def waiting(self) -> int:
        """Bytes that wait for the client in this process; those in the kernel come on top."""
        with suppress(RuntimeError, AttributeError):  # of transports that are closed
            return self._session.lane.waiting()
        return 0

    def close(self, code: int = 3503, reason: str = "force disconnect") -> None:
        """Close the connection; nothing happens if it has ended.

        Args:
            code: The close code of a WebSocket, from 3000 to 4999. The SDKs of the multiplexed connection reconnect
                after 3000 to 3499 and 4000 to 4499. A response ends without a code, and an ``EventSource`` reconnects.
            reason: What the client is told; up to 123 bytes.

        Raises:
            ValueError: The code is outside that range.
        """
        if not 3000 <= code < 5000:
            raise ValueError(f"a code to close with is from 3000 to 4999, not {code}")
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._close, code, reason)

    def _close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(self._session.close(code, reason))
