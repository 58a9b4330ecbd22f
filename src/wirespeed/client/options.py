"""Options of connections and of watches."""

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Literal, NamedTuple, TypedDict

from ..definitions import SourceHealth

BACKLOG = 10_000
"""Values that may wait by default."""

GetToken = Callable[[], Awaitable[str]]


class ConnectionChange(NamedTuple):
    """A change of a connection, as ``on_connection`` learns it."""

    state: Literal["connected", "connecting", "closed"]
    """``connecting`` if it is lost, or an attempt to connect has failed; it is made again until it is ``closed``."""
    reason: str = ""
    """Reason of the server, of the network or of the SDK; empty for ``connected``."""


OnConnection = Callable[[ConnectionChange], object]


class SubscribeOptions(TypedDict, total=False):
    """The options of :meth:`ClientConnection.watch`."""

    message: Any
    messages: AsyncIterable[Any] | None
    newest: bool
    lossy: bool
    backlog: int
    on_status: Callable[[SourceHealth], object] | None


class Options(SubscribeOptions, total=False):
    """The options of :meth:`ClientConnection.watch` and of :func:`connect`."""

    token: str
    get_token: GetToken | None
    headers: dict[str, str] | None
    on_connection: OnConnection | None
    timeout: float
