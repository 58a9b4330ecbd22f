"""A Python client: a thin typed layer over the official ``centrifuge-python``, for scripts and services.

::

    async for price in watch("http://localhost:8000", "price/BTC", float):
        print(price)

Needs ``pip install "wirespeed[client]"``. A lost connection is made again, with growing delays; what was missed
meanwhile comes first.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload
from urllib.parse import urlsplit, urlunsplit

from pydantic import TypeAdapter
from pydantic_core import to_json

from .codec import plain_type
from .errors import WirespeedError

try:
    import centrifuge
except ImportError as error:  # pragma: no cover - the extra is missing
    raise ImportError('wirespeed.client needs centrifuge-python: pip install "wirespeed[client]"') from error

T = TypeVar("T")

COMPLETE = 2000
"""How the server ends a subscription that has nothing more to tell."""

BACKLOG = 10_000
CLOSE_TIMEOUT = 2.0
PATH = "/live/websocket"

GetToken = Callable[[], Awaitable[str]]


class ServerRefused(WirespeedError):
    """The server refuses something, or has ended it.

    Args:
        what: The path.
        code: The protocol's number.
        reason: What the server says.
    """

    def __init__(self, what: str, code: int, reason: str) -> None:
        super().__init__(what, code, reason)
        self.what = what
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what}: {self.reason} ({self.code})"


class ValuesLost(WirespeedError):
    """Values were lost for good: the connection was away for longer than the server keeps them.

    Args:
        what: The path.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}: values were lost while the connection was; watch(..., lossy=True) goes on without them"


class TooSlow(WirespeedError):
    """Values come faster than they are taken.

    Args:
        what: The path.
        backlog: How many may wait.
    """

    def __init__(self, what: str, backlog: int) -> None:
        super().__init__(what, backlog)
        self.what = what
        self.backlog = backlog

    def __str__(self) -> str:
        return f"{self.what}: over {self.backlog} values wait to be taken; watch(..., newest=True) skips to the newest"


class WatchOptions(TypedDict, total=False):
    """How something is watched; what each means is said at :meth:`ClientConnection.watch`."""

    message: Any
    newest: bool
    lossy: bool
    backlog: int


class Options(WatchOptions, total=False):
    """With those of the connection; what each means is said at :func:`connect`."""

    token: str
    get_token: GetToken | None
    headers: dict[str, str] | None


@overload
def watch(url: str, path: str, type: type[T], **options: Unpack[Options]) -> AsyncGenerator[T, None]: ...


@overload
def watch(url: str, path: str, type: Any = Any, **options: Unpack[Options]) -> AsyncGenerator[Any, None]: ...


async def watch(url: str, path: str, type: Any = Any, **options: Unpack[Options]) -> AsyncGenerator[Any, None]:  # noqa: A002
    """Watches one feed, topic or stream, over a connection of its own; see :meth:`ClientConnection.watch`."""
    of_watch: Any = {name: each for name, each in options.items() if name in WatchOptions.__annotations__}
    of_connection: Any = {name: each for name, each in options.items() if name not in of_watch}
    async with (
        connect(url, **of_connection) as connection,
        aclosing(connection.watch(path, type, **of_watch)) as values,
    ):
        async for value in values:
            yield value


@asynccontextmanager
async def connect(
    url: str, *, token: str = "", get_token: GetToken | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator["ClientConnection"]:
    """Connects to a server; the connection goes with the end of the context.

    Args:
        url: The server's, such as ``http://localhost:8000``; with the path of the multiplexed surface if that is not at
            ``/live/websocket``.
        token: What the server knows its user by.
        get_token: Gives a new token when the last one has expired.
        headers: Of the handshake.
    """
    client = centrifuge.Client(
        address_of(url), token=token, get_token=get_token, headers=headers, use_protobuf=True, name="wirespeed"
    )
    connection = ClientConnection(client)
    await client.connect()
    try:
        yield connection
    finally:
        await client.disconnect()
        # The SDK closes its socket in a task of its own, which would not outlive a loop that ends here.
        if closing := set(getattr(client, "_background_tasks", ())):
            await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)


def address_of(url: str) -> str:
    """The address of the multiplexed surface of a server."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ValueError(f"a server's URL is like http://localhost:8000, not {url!r}")
    path = PATH if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


class ClientConnection:
    """One connection, on which much can be watched; made by :func:`connect`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ended: tuple[int, str] | None = None
        client.events = _Ended(self)
        self._watches: set[_Watch[Any]] = set()

    @overload
    def watch(self, path: str, type: type[T], **options: Unpack[WatchOptions]) -> AsyncGenerator[T, None]: ...

    @overload
    def watch(self, path: str, type: Any = Any, **options: Unpack[WatchOptions]) -> AsyncGenerator[Any, None]: ...

    async def watch(
        self,
        path: str,
        type: Any = Any,  # noqa: A002
        *,
        message: Any = None,
        newest: bool = False,
        lossy: bool = False,
        backlog: int = BACKLOG,
    ) -> AsyncGenerator[Any, None]:
        """The values of a feed or topic, or of one run of a stream, as they come.

        A lost connection is made again, and the values of a log with more than the newest go on where they were: each
        comes once. A stream runs again from its beginning. Leaving the loop, or cancelling it, ends the subscription.

        Args:
            path: Its path; with or without the leading slash.
            type: Of its values, which are validated.
            message: What a stream takes.
            newest: Whether only the newest value waits to be taken.
            lossy: Whether to go on where values were lost for good.
            backlog: How many values may wait to be taken.

        Raises:
            ServerRefused: The server does not admit it, or has ended it, or the connection, for good.
            ValuesLost: Values were lost for good.
            TooSlow: Too many values wait to be taken.
            pydantic.ValidationError: A value is not of the type.
        """
        watch: _Watch[Any] = _Watch(path, type, 1 if newest else backlog, newest=newest, lossy=lossy)
        data = b"" if message is None else to_json(message)
        subscription = self._client.new_subscription(self._channel(path), events=watch, data=data or None)
        self._watches.add(watch)
        if self._ended is not None:
            watch.fail(ServerRefused(path, *self._ended))
        try:
            await subscription.subscribe()
            async for value in watch:
                yield value
        finally:
            self._watches.discard(watch)
            await subscription.unsubscribe()
            self._client.remove_subscription(subscription)

    def _channel(self, path: str) -> str:
        """The path's channel; a further one for whoever watches the same at the same time."""
        separator = "&" if "?" in path else "?"
        # Empty query parameters change nothing but the spelling.
        names = (path if not number else path + separator + "&" * number for number in itertools.count())
        return next(name for name in names if self._client.get_subscription(name) is None)

    @overload
    async def call(self, path: str, message: Any, type: type[T]) -> T: ...

    @overload
    async def call(self, path: str, message: Any = None, type: Any = Any) -> Any: ...

    async def call(self, path: str, message: Any = None, type: Any = Any) -> Any:  # noqa: A002
        """Calls a call.

        Args:
            path: Its path; with or without the leading slash.
            message: What it takes.
            type: Of its value, which is validated.

        Raises:
            ServerRefused: The server does not do it.
            TimeoutError: There was no answer in time.
            pydantic.ValidationError: The value is not of the type.
        """
        with self._refusing(path):
            result = await self._client.rpc(path, to_json(message))
        return _decoder(type)(result.data)

    async def publish(self, path: str, message: Any) -> None:
        """Sends a message to a topic's handler.

        Args:
            path: Its path; with or without the leading slash.
            message: The message.

        Raises:
            ServerRefused: The server does not take it.
            TimeoutError: There was no answer in time.
        """
        with self._refusing(path):
            await self._client.publish(path, to_json(message))

    @contextmanager
    def _refusing(self, path: str) -> Iterator[None]:
        """Around a command: raises our own errors for the SDK's."""
        try:
            yield
        except centrifuge.ReplyError as error:
            raise ServerRefused(path, error.code, error.message) from None
        except centrifuge.OperationTimeoutError as error:
            raise TimeoutError(f"{path}: {error}") from None
        except centrifuge.ClientDisconnectedError:
            raise ServerRefused(path, *(self._ended or (0, "the connection has ended"))) from None

    def end(self, code: int, reason: str) -> None:
        """The connection has ended, and is not made again."""
        self._ended = code, reason
        for watch in list(self._watches):
            watch.fail(ServerRefused(watch.path, code, reason))


class _Ended(centrifuge.ClientEventHandler):  # type: ignore[misc]
    """Tells a connection's watches that there is no connection any more."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def on_disconnected(self, ctx: Any) -> None:
        self._connection.end(ctx.code, ctx.reason)


class _Watch(centrifuge.SubscriptionEventHandler, Generic[T]):  # type: ignore[misc]
    """What has come and was not taken."""

    def __init__(self, path: str, type_: Any, most: int, *, newest: bool, lossy: bool) -> None:
        self.path = path
        self._decode = _decoder(type_)
        self._most = most
        self._newest = newest
        self._lossy = lossy
        self._waiting: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._over = False
        self._error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """The watch is over; what has come before is taken first."""
        self._error = self._error or error
        self._over = True
        self._arrived.set()

    async def on_publication(self, ctx: Any) -> None:
        if self._newest:
            self._waiting.clear()
        if len(self._waiting) >= self._most:
            self.fail(TooSlow(self.path, self._most))
        if not self._over:
            self._waiting.append(ctx.pub.data or b"")
            self._arrived.set()

    async def on_subscribed(self, ctx: Any) -> None:
        if ctx.positioned and ctx.was_recovering and not ctx.recovered and not self._lossy:
            self.fail(ValuesLost(self.path))

    async def on_unsubscribed(self, ctx: Any) -> None:
        if ctx.code != COMPLETE:
            self.fail(ServerRefused(self.path, ctx.code, ctx.reason))
        self._over = True
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._values()

    async def _values(self) -> AsyncIterator[T]:
        while True:
            while self._waiting:
                yield self._decode(self._waiting.popleft())
            if self._over:
                break
            self._arrived.clear()
            await self._arrived.wait()
        if self._error is not None:
            raise self._error


def _decoder(type_: Any) -> Callable[[bytes], Any]:
    """Makes a value of its bytes."""
    return bytes if plain_type(type_) is bytes else TypeAdapter(type_).validate_json
