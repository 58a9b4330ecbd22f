"""Connecting to a server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, ParamSpec, TypeVar, Unpack, overload
from urllib.parse import urlsplit, urlunsplit

import centrifuge

from ..definitions import RowChange, Watchable
from .bound import Bound, asked
from .connection import ClientConnection
from .options import GetToken, OnConnection, Options, SubscribeOptions

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_TIMEOUT = 2.0
"""Seconds that the SDK may take to close its socket."""

PATH = "/live/websocket"

TIMEOUT = 5.0
"""Seconds that the server may take to answer, by default."""


@overload
def watch(url: str, path: str, /, type: type[T], **options: Unpack[Options]) -> AsyncGenerator[T, None]: ...


@overload
def watch(url: str, path: str, /, type: Any = Any, **options: Unpack[Options]) -> AsyncGenerator[Any, None]: ...


@overload
def watch(url: str, bound: Bound[T], /, **options: Unpack[Options]) -> AsyncGenerator[T, None]: ...


@overload
def watch(url: str, feed: Watchable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]: ...


@overload
def watch(
    url: str, stream: Callable[P, AsyncIterable[T] | Iterator[T]], /, *args: P.args, **kwargs: P.kwargs
) -> AsyncGenerator[T, None]: ...


async def watch(url: str, watched: Any, /, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
    """Watch one feed, topic or stream, over its own connection. See :meth:`ClientConnection.watch`."""
    bound, of_watch, of_connection = _split(watched, args, options)
    async with connect(url, **of_connection) as connection, aclosing(connection.watch(bound, **of_watch)) as values:
        async for value in values:
            yield value


@overload
def changes(url: str, bound: Bound[T], /, **options: Unpack[Options]) -> AsyncGenerator[RowChange[T], None]: ...


@overload
def changes(
    url: str, table: Watchable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> AsyncGenerator[RowChange[T], None]: ...


async def changes(url: str, table: Any, /, *args: Any, **options: Any) -> AsyncGenerator[RowChange[Any], None]:
    """Watch one table, over its own connection. See :meth:`ClientConnection.changes`."""
    bound, of_watch, of_connection = _split(table, args, options)
    async with connect(url, **of_connection) as connection, aclosing(connection.changes(bound, **of_watch)) as found:
        async for change in found:
            yield change


def _split(
    watched: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Bound[Any], dict[str, Any], dict[str, Any]]:
    """Return what is watched, the options of the watch, and those of the connection."""
    bound, more = asked(watched, args, options, frozenset(Options.__annotations__))
    of_watch = {name: each for name, each in more.items() if name in SubscribeOptions.__annotations__}
    return bound, of_watch, {name: each for name, each in more.items() if name not in of_watch}


@asynccontextmanager
async def connect(
    url: str,
    *,
    token: str = "",
    get_token: GetToken | None = None,
    headers: dict[str, str] | None = None,
    on_connection: OnConnection | None = None,
    timeout: float = TIMEOUT,
) -> AsyncIterator[ClientConnection]:
    """Connect to a server. Leaving the context disconnects.

    Args:
        url: URL of the server, such as ``http://localhost:8000``; with the path of its multiplexed connection if that
            is not ``/live/websocket``.
        token: Token by which the server identifies the user.
        get_token: Returns a new token when the last one has expired.
        headers: Headers of the handshake.
        timeout: Seconds that the server may take to answer a call, a publication, or a question.
        on_connection: Called when the connection is made, is lost, or cannot be made. What it raises ends all watches,
            also later ones; and this context, if it has not been entered yet.
    """
    client = centrifuge.Client(
        address_of(url),
        token=token,
        get_token=get_token,
        headers=headers,
        timeout=timeout,
        use_protobuf=True,
        name="wirespeed",
    )
    connection = ClientConnection(client, on_connection)
    try:
        await client.connect()  # in a task of the SDK, which a cancellation does not reach
        connection.check()
        yield connection
    finally:
        await client.disconnect()
        # The SDK closes its socket in a background task. If the loop ends now, that task would never run.
        if closing := set(getattr(client, "_background_tasks", ())):
            _, late = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)
            for task in late:  # it waits for get_token, say
                task.cancel()


def address_of(url: str) -> str:
    """Return the address of a server's multiplexed connection."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ValueError(f"{url!r} is not the URL of a server; write one like http://localhost:8000")
    path = PATH if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))
