"""Options of connections and of watches."""

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, TypedDict

from ..definitions import SourceHealth

BACKLOG = 10_000
"""Values that may wait by default."""

GetToken = Callable[[], Awaitable[str]]


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
