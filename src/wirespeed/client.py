"""A Python client for scripts and services: a thin typed layer over the official ``centrifuge-python``.

::

    async for price in watch("http://localhost:8000", "price/BTC", float):
        print(price)

Install with ``pip install "wirespeed[client]"``. A lost connection is made again, with growing delays. The values that
were missed meanwhile come first.
"""

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload
from urllib.parse import urlsplit, urlunsplit

from pydantic import TypeAdapter

from .codec import plain_type
from .definitions import Publication, Publications
from .definitions import SourceHealth as SourceHealth
from .errors import WirespeedError
from .log.position import Position
from .pieces import GROWS, Pieces, opening, optional, payload
from .raw import RawJSON

try:
    import centrifuge
except ImportError as error:  # pragma: no cover - the extra is missing
    raise ImportError('wirespeed.client needs centrifuge-python: pip install "wirespeed[client]"') from error

T = TypeVar("T")

COMPLETE = 2000, "complete"
"""Code and reason by which the server ends a subscription that is complete."""

BACKLOG = 10_000
"""Values that may wait by default."""

CLOSE_TIMEOUT = 2.0
"""Seconds that the SDK may take to close its socket."""

PATH = "/live/websocket"

GetToken = Callable[[], Awaitable[str]]


@dataclass(eq=False)
class ServerRefused(WirespeedError):
    """The server refused a request, or ended a subscription or the connection."""

    what: str
    """Path of the request."""
    code: int
    """Code of the protocol."""
    reason: str
    """Reason given by the server."""
    status: int | None = None
    """HTTP status with which the app refused; None if it has no part in the refusal."""
    detail: Any = None
    """Detail of the app's ``HTTPException``; for a status of 422, FastAPI's list of errors."""

    @classmethod
    def explained(cls, what: str, code: int, reason: str) -> "ServerRefused":
        """Return the error for a reason that may be JSON of message, status and detail."""
        try:
            said = json.loads(reason) if reason.startswith("{") else {}
            return cls(what, code, said.get("message", reason), said.get("status"), said.get("detail"))
        except (ValueError, RecursionError):
            return cls(what, code, reason)

    def __str__(self) -> str:
        return f"{self.what}: {self.reason} ({self.code})"


@dataclass(eq=False)
class ValuesLost(WirespeedError):
    """Values were lost: the connection was lost for longer than the server keeps them."""

    what: str
    """Path of the feed or topic."""

    def __str__(self) -> str:
        return f"{self.what}: values were lost; to continue without them, use watch(..., lossy=True)"


@dataclass(eq=False)
class TooSlow(WirespeedError):
    """Values arrive faster than the code takes them."""

    what: str
    """Path of the feed, topic or stream."""
    backlog: int
    """Number of values that may wait."""

    def __str__(self) -> str:
        return f"{self.what}: over {self.backlog} values wait; to skip to the newest, use watch(..., newest=True)"


@dataclass(frozen=True, slots=True)
class PresentClient:
    """A client that is subscribed to a feed or topic."""

    client: str
    """Id of the connection."""
    user: str
    """Id of the user; empty for an anonymous client."""
    info: Any = None
    """Public data about the client, ``Identity.info``."""
    grant: Any = None
    """Public data of the client's token for this channel, ``Grant.info``."""


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
    url: str, *, token: str = "", get_token: GetToken | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator["ClientConnection"]:
    """Connect to a server. Leaving the context disconnects.

    Args:
        url: URL of the server, such as ``http://localhost:8000``; with the path of its multiplexed connection if that
            is not ``/live/websocket``.
        token: Token by which the server identifies the user.
        get_token: Returns a new token when the last one has expired.
        headers: Headers of the handshake.
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


class ClientConnection:
    """One connection for any number of watches and calls. :func:`connect` makes it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._ended: tuple[int, str] | None = None
        client.events = _Ended(self)
        self._watches: set[_Arrivals[Any]] = set()

    @overload
    def watch(self, path: str, type: type[T], **options: Unpack[SubscribeOptions]) -> AsyncGenerator[T, None]: ...

    @overload
    def watch(self, path: str, type: Any = Any, **options: Unpack[SubscribeOptions]) -> AsyncGenerator[Any, None]: ...

    async def watch(
        self,
        path: str,
        type: Any = Any,  # noqa: A002
        *,
        message: Any = None,
        messages: AsyncIterable[Any] | None = None,
        newest: bool = False,
        lossy: bool = False,
        backlog: int = BACKLOG,
        on_status: Callable[[SourceHealth], object] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Yield the values of a feed or topic, or of one run of a stream, as they arrive.

        A lost connection is made again. The values of a feed or topic with ``keep=N`` then resume where they left off,
        and each arrives once. So does a stream that is declared with ``resume=``; other streams run again from their
        beginning. Leaving the loop, or cancelling it, ends the subscription.

        Args:
            path: Path of the feed, topic or stream, with or without the leading slash.
            type: Type of its values; each value is validated.
            message: Message for a stream.
            messages: Further messages for a duplex stream; each waits until the one before it was accepted. Its end
                ends nothing. Its exception, a refusal, or a connection that is lost before the answer ends the loop.
            newest: True to keep only the newest value waiting.
            lossy: True to continue after values were lost.
            backlog: Number of values that may wait.
            on_status: Called when the health of a feed's or topic's source changes, as soon as the client learns it;
                values that arrived before may still wait. What it raises ends the watch.

        Raises:
            ServerRefused: The server refused the subscription, or ended it or the connection.
            ValuesLost: Values were lost.
            TooSlow: Too many values are waiting.
            pydantic.ValidationError: A value does not fit the type.
        """
        watch: _Arrivals[Any] = _Arrivals(path, type, 1 if newest else backlog, newest=newest, lossy=lossy)
        watch.on_status = on_status
        data = opening(message, has_status=on_status is not None)
        subscription = self._client.new_subscription(self._channel(path), events=watch, data=data)
        self._watches.add(watch)
        if self._ended is not None:
            watch.fail(ServerRefused.explained(path, *self._ended))
        sending: asyncio.Task[None] | None = None
        try:
            await subscription.subscribe()
            if messages is not None:
                sending = asyncio.create_task(self._pass_on(messages, subscription, watch))
            async for value in watch:
                yield value
        finally:
            self._watches.discard(watch)
            if sending is not None:
                sending.cancel()
                await asyncio.wait([sending])
            await subscription.unsubscribe()
            self._client.remove_subscription(subscription)

    async def _pass_on(self, messages: AsyncIterable[Any], subscription: Any, watch: "_Arrivals[Any]") -> None:
        """Send further messages to a stream; a failure ends its watch."""
        try:
            async for message in messages:
                await _ready(subscription)
                with self._refusing(watch.path):
                    await subscription.publish(payload(message))
        except Exception as error:
            watch.fail(error)

    def _channel(self, path: str) -> str:
        """Return a channel of the path that is not in use on this connection."""
        separator = "&" if "?" in path else "?"
        # Empty query parameters make another name of the same key, so a path can be watched several times.
        names = (path if not number else path + separator + "&" * number for number in itertools.count())
        return next(name for name in names if self._client.get_subscription(name) is None)

    @overload
    async def call(self, path: str, message: Any, type: type[T]) -> T: ...

    @overload
    async def call(self, path: str, message: Any = None, type: Any = Any) -> Any: ...

    async def call(self, path: str, message: Any = None, type: Any = Any) -> Any:  # noqa: A002
        """Make a call, and return its value.

        Args:
            path: Path of the call, with or without the leading slash.
            message: Message for the call.
            type: Type of its value, which is validated.

        Raises:
            ServerRefused: The server refused the call, or it failed.
            TimeoutError: No answer arrived in time.
            pydantic.ValidationError: The value does not fit the type.
        """
        with self._refusing(path):
            result = await self._client.rpc(path, payload(message))
        return _decoder(type)(result.data)

    async def publish(self, path: str, message: Any) -> None:
        """Send a message to a topic's handler.

        Args:
            path: Path of the topic, with or without the leading slash.
            message: The message.

        Raises:
            ServerRefused: The server refused the message.
            TimeoutError: No answer arrived in time.
        """
        with self._refusing(path):
            await self._client.publish(path, payload(message))

    @overload
    async def history(
        self, path: str, type: type[T], *, limit: int = ..., since: Position | None = ..., reverse: bool = ...
    ) -> Publications[T]: ...

    @overload
    async def history(
        self, path: str, type: Any = Any, *, limit: int = ..., since: Position | None = ..., reverse: bool = ...
    ) -> Publications[Any]: ...

    async def history(
        self,
        path: str,
        type: Any = Any,  # noqa: A002
        *,
        limit: int = -1,
        since: Position | None = None,
        reverse: bool = False,
    ) -> Publications[Any]:
        """Return values of the log of a feed or topic with ``keep=N``, and the log's position.

        Args:
            path: Path of the feed or topic, with or without the leading slash.
            type: Type of its values; each value is validated.
            limit: Highest number of values; the server returns at most 300. With 0, only the position is returned.
            since: Position behind which the values begin; with ``reverse``, before which they begin.
            reverse: True for the newest values first.

        Raises:
            ServerRefused: The server refused the request.
            TimeoutError: No answer arrived in time.
            pydantic.ValidationError: A value does not fit the type.
        """
        place = None if since is None else centrifuge.StreamPosition(offset=since.offset, epoch=since.epoch)
        with self._refusing(path):
            result = await self._client.history(path, limit=limit, since=place, reverse=reverse)
        decode = _decoder(type)
        entries = (
            Publication(Position(result.epoch, each.offset), decode(each.data or b""), each.tags or {})
            for each in result.publications
        )
        return Publications(entries, Position(result.epoch, result.offset))

    async def presence(self, path: str) -> list[PresentClient]:
        """Return the clients that are subscribed to a feed or topic with ``presence=True``, at most 1,000 of them.

        Args:
            path: Path of the feed or topic, with or without the leading slash.

        Raises:
            ServerRefused: The server refused the request.
            TimeoutError: No answer arrived in time.
        """
        with self._refusing(path):
            result = await self._client.presence(path)
        return [
            PresentClient(each.client, each.user, optional(each.conn_info), optional(each.chan_info))
            for each in result.clients.values()
        ]

    @contextmanager
    def _refusing(self, path: str) -> Iterator[None]:
        """Raise our own errors for those of the SDK."""
        try:
            yield
        except centrifuge.ReplyError as error:
            raise ServerRefused.explained(path, error.code, error.message) from None
        except centrifuge.OperationTimeoutError as error:
            raise TimeoutError(f"{path}: {error}") from None
        except centrifuge.ClientDisconnectedError:
            ended = self._ended or (0, "the connection was lost before the answer arrived")
            raise ServerRefused.explained(path, *ended) from None

    def end(self, code: int, reason: str) -> None:
        """Fail all watches: the connection has ended, and is not made again."""
        self._ended = code, reason
        for watch in list(self._watches):
            watch.fail(ServerRefused.explained(watch.path, code, reason))


class _Ended(centrifuge.ClientEventHandler):  # type: ignore[misc]
    """Passes the end of the SDK's connection on."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def on_disconnected(self, ctx: Any) -> None:
        self._connection.end(ctx.code, ctx.reason)


class _Arrivals(centrifuge.SubscriptionEventHandler, Generic[T]):  # type: ignore[misc]
    """The values of one watch that have arrived and were not taken yet."""

    def __init__(self, path: str, type_: Any, most: int, *, newest: bool, lossy: bool) -> None:
        self.path = path
        self._decode = _decoder(type_)
        self._most, self._newest, self._lossy = most, newest, lossy
        self._waiting: deque[bytes] = deque()
        self._whole: Pieces | None = None
        self._arrived = asyncio.Event()
        self._over = False
        self._error: Exception | None = None
        self.on_status: Callable[[SourceHealth], object] | None = None
        self._is_live = True

    def _status(self, health: SourceHealth) -> None:
        self._is_live = health.state == "live"
        try:
            if self.on_status is not None and not self._over:
                self.on_status(health)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End the watch with an error, after the values that are waiting. Do nothing if it is over already."""
        if not self._over:
            self._error, self._over = error, True
            self._arrived.set()

    async def on_publication(self, ctx: Any) -> None:
        if self.on_status is not None and not ctx.pub.offset and "status" in ctx.pub.tags:
            self._status(SourceHealth(**json.loads(ctx.pub.tags["status"])))
            return
        data = ctx.pub.data or b""
        if self._newest:
            data = self._of(data)
            self._waiting.clear()
        if len(self._waiting) >= self._most:
            self.fail(TooSlow(self.path, self._most))
        if not self._over:
            self._waiting.append(data)
            self._arrived.set()

    def _of(self, data: bytes) -> bytes:
        """Return the whole value; each value that arrives has to pass here once, in order."""
        return data if self._whole is None else self._whole.of(data)

    async def on_subscribed(self, ctx: Any) -> None:
        if self._whole is None and ctx.data == GROWS:
            self._whole = Pieces()
        if ctx.positioned and ctx.was_recovering and not ctx.recovered and not self._lossy:
            self.fail(ValuesLost(self.path))
        if not self._is_live:  # unless the server says otherwise next
            self._status(SourceHealth.ago("live"))

    async def on_unsubscribed(self, ctx: Any) -> None:
        if (ctx.code, ctx.reason) != COMPLETE:
            self.fail(ServerRefused.explained(self.path, ctx.code, ctx.reason))
        self._over = True
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._values()

    async def _values(self) -> AsyncIterator[T]:
        while True:
            while self._waiting:
                data = self._waiting.popleft()
                yield self._decode(data if self._newest else self._of(data))
            if self._over:
                break
            self._arrived.clear()
            await self._arrived.wait()
        if self._error is not None:
            raise self._error


async def _ready(subscription: Any) -> None:
    """Wait until a subscription is live, however long its connection is lost."""
    while True:
        with suppress(centrifuge.OperationTimeoutError):
            await subscription.ready()
            return


def _decoder(type_: Any) -> Callable[[bytes], Any]:
    """Return a function that decodes a value."""
    kind = plain_type(type_)
    return kind if kind in (bytes, RawJSON) else TypeAdapter(type_).validate_json
