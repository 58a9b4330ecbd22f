"""Connecting to a server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar, Unpack, overload
from urllib.parse import urlsplit, urlunsplit

import centrifuge

from .connection import ClientConnection
from .options import GetToken, OnConnection, Options, SubscribeOptions

T = TypeVar("T")

CLOSE_TIMEOUT = 2.0
"""Seconds that the SDK may take to close its socket."""

PATH = "/live/websocket"


@overload
def watch(url: str, path: str, type: type[T], **options: Unpack[Options]) -> AsyncGenerator[T, None]: ...


@overload
def watch(url: str, path: str, type: Any = Any, **options: Unpack[Options]) -> AsyncGenerator[Any, None]: ...


async def watch(url: str, path: str, type: Any = Any, **options: Unpack[Options]) -> AsyncGenerator[Any, None]:  # noqa: A002
    """Watch one feed, topic or stream, over its own connection. See :meth:`ClientConnection.watch`."""
    of_watch: Any = {name: each for name, each in options.items() if name in SubscribeOptions.__annotations__}
    of_connection: Any = {name: each for name, each in options.items() if name not in of_watch}
    async with (
        connect(url, **of_connection) as connection,
        aclosing(connection.watch(path, type, **of_watch)) as values,
    ):
        async for value in values:
            yield value


@asynccontextmanager
async def connect(
    url: str,
    *,
    token: str = "",
    get_token: GetToken | None = None,
    headers: dict[str, str] | None = None,
    on_connection: OnConnection | None = None,
) -> AsyncIterator[ClientConnection]:
    """Connect to a server. Leaving the context disconnects.

    Args:
        url: URL of the server, such as ``http://localhost:8000``; with the path of its multiplexed connection if that
            is not ``/live/websocket``.
        token: Token by which the server identifies the user.
        get_token: Returns a new token when the last one has expired.
        headers: Headers of the handshake.
        on_connection: Called when the connection is made, is lost, or cannot be made. What it raises ends all watches.
    """
    client = centrifuge.Client(
        address_of(url), token=token, get_token=get_token, headers=headers, use_protobuf=True, name="wirespeed"
    )
    connection = ClientConnection(client, on_connection)
    await client.connect()
    try:
        yield connection
    finally:
        await client.disconnect()
        # The SDK closes its socket in a background task. If the loop ends now, that task would never run.
        if closing := set(getattr(client, "_background_tasks", ())):
            await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)


def address_of(url: str) -> str:
    """Return the address of a server's multiplexed connection."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ValueError(f"{url!r} is not the URL of a server; write one like http://localhost:8000")
    path = PATH if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))
