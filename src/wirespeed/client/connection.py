"""One connection of the official SDK, for any number of watches and calls."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ParamSpec, TypeVar, Unpack, overload

import centrifuge

from ..definitions import Publication, Publications, RowChange, Topic, Watchable
from ..log.position import Position
from ..pieces import opening, optional, payload
from ..runs.outcome import Failed, run_now, run_once
from .arrivals import Arrivals, decoder
from .bound import Bound, asked, bind, checked_message
from .changes import changes_of, rows_of
from .errors import ServerRefused
from .options import BACKLOG, ConnectionChange, OnConnection, SubscribeOptions

P = ParamSpec("P")
T = TypeVar("T")

_WATCH = frozenset(SubscribeOptions.__annotations__)
_HISTORY = frozenset({"limit", "since", "reverse"})


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


class ClientConnection:
    """One connection for any number of watches and calls. :func:`.connect` makes it."""

    def __init__(self, client: Any, on_connection: OnConnection | None = None) -> None:
        self._client = client
        self._on_connection = on_connection
        self._ended: tuple[int, str] | None = None
        self._raised: Exception | None = None
        client.events = _SdkEvents(self)
        self._watches: set[Arrivals[Any]] = set()

    @overload
    def watch(self, path: str, /, type: type[T], **options: Unpack[SubscribeOptions]) -> AsyncGenerator[T, None]: ...

    @overload
    def watch(
        self, path: str, /, type: Any = Any, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[Any, None]: ...

    @overload
    def watch(self, bound: Bound[T], /, **options: Unpack[SubscribeOptions]) -> AsyncGenerator[T, None]: ...

    @overload
    def watch(self, feed: Watchable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]: ...

    @overload
    def watch(
        self, stream: Callable[P, AsyncIterable[T] | Iterator[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[T, None]: ...

    async def watch(self, watched: Any, /, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
        """Yield the values of a feed or topic, or of one run of a stream, as they arrive.

        A lost connection is made again. The values of a feed or topic with ``keep=N`` then resume where they left off,
        and each arrives once. So does a stream that is declared with ``resume=``; other streams run again from their
        beginning. Leaving the loop, or cancelling it, ends the subscription.

        Args:
            watched: Path of the feed, topic or stream, with or without the leading slash. Or the definition itself,
                with the values of its key as further arguments; for a stream, those of its function. Its values then
                have the declared type. Or a :func:`bind` of it, with these options.
            type: For a path, type of its values; each value is validated.
            message: For a path, message for a stream.
            messages: For a path, further messages for a duplex stream; each waits until the one before it was accepted.
                Its end ends nothing. Its exception, a refusal, or a connection that is lost before the answer ends the
                loop.
            newest: True to keep only the newest value waiting.
            lossy: True to continue after values were lost.
            backlog: Number of values that may wait.
            on_status: Called when the health of a feed's or topic's source changes, as soon as the client learns it;
                values that arrived before may still wait. What it raises ends the watch.

        Raises:
            ServerRefused: The server refused the subscription, or ended it or the connection.
            ValuesLost: Values were lost.
            TooSlow: Too many values are waiting.
            BindingError: No app in this process has the definition.
            InvalidKey: An argument is missing, unknown or does not validate.
            TypeError: It is a table, see :meth:`changes`; or there is no such option.
            pydantic.ValidationError: A value does not fit the type.
        """
        bound, more = asked(watched, args, options, _WATCH)
        if bound.is_table:
            raise TypeError(f"{bound.path} is a table; use changes()")
        async with aclosing(self._publications(bound, **more)) as publications:
            async for publication in publications:
                yield publication.value

    @overload
    def changes(
        self, bound: Bound[T], /, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[RowChange[T], None]: ...

    @overload
    def changes(
        self, table: Watchable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncGenerator[RowChange[T], None]: ...

    async def changes(self, table: Any, /, *args: Any, **options: Any) -> AsyncGenerator[RowChange[Any], None]:
        """Yield all rows of a table, and then each change, as :meth:`watch` yields values.

        Args:
            table: The feed or topic, with the values of its key as further arguments; or a :func:`bind` of it.
            **options: The options of :meth:`watch`, with a :func:`bind`.

        Raises:
            The errors of :meth:`watch`, and:
            TypeError: It is not a table.
        """
        bound, more = asked(table, args, options, _WATCH)
        if not bound.is_table:
            raise TypeError(f"{bound.path} is not a table; use watch()")
        async with aclosing(self._publications(replace(bound, type=changes_of(bound.type)), **more)) as publications:
            async for publication in publications:
                yield publication.value.change()

    @overload
    def publications(
        self, path: str, /, type: type[T], *, since: Position | None = None, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[Publication[T], None]: ...

    @overload
    def publications(
        self, path: str, /, type: Any = Any, *, since: Position | None = None, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[Publication[Any], None]: ...

    @overload
    def publications(
        self, bound: Bound[T], /, *, since: Position | None = None, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[Publication[T], None]: ...

    async def publications(self, watched: Any, /, *args: Any, **options: Any) -> AsyncGenerator[Publication[Any], None]:
        """Yield the values of a feed or topic with their positions and tags, as :meth:`watch` yields the values.

        Args:
            watched: Path of the feed, topic or stream, with or without the leading slash; or a :func:`bind` of it.
            type: For a path, type of its values; each value is validated.
            since: Position from which to resume, such as the last one that an earlier process has seen. For a feed or
                topic with ``keep=N``, everything since arrives, or ``ValuesLost`` is raised.
            **options: The options of :meth:`watch`.

        Raises:
            WirespeedError: An error of :meth:`watch`.
        """
        since = options.pop("since", None)
        bound, more = asked(watched, args, options, _WATCH)
        if bound.is_table:
            raise TypeError(f"{bound.path} is a table; use changes()")
        async with aclosing(self._publications(bound, since, **more)) as publications:
            async for publication in publications:
                yield publication

    async def _publications(
        self, bound: Bound[Any], since: Position | None = None, **options: Unpack[SubscribeOptions]
    ) -> AsyncGenerator[Publication[Any], None]:
        if bound.kind == "call":
            raise TypeError(f"{bound.path} is a call; use call()")
        newest, on_status = options.get("newest", False), options.get("on_status")
        path, messages = bound.path, options.get("messages", bound.messages)
        most = 1 if newest else options.get("backlog", BACKLOG)
        watch: Arrivals[Any] = Arrivals(path, bound.type, most, newest=newest, lossy=options.get("lossy", False))
        watch.on_status = on_status
        subscription = self._client.new_subscription(
            self._channel(path),
            events=watch,
            data=opening(options.get("message", bound.message), has_status=on_status is not None),
            get_state=None if since is None else self._beginning(path, since, watch),
        )
        self._watches.add(watch)
        if self._ended is not None:
            watch.fail(ServerRefused.explained(path, *self._ended))
        if self._raised is not None:
            watch.fail(self._raised)
        sending: asyncio.Task[None] | None = None
        try:
            await subscription.subscribe()
            if messages is not None:
                sending = asyncio.create_task(self._pass_on(messages, subscription, watch))
            async for publication in watch:
                yield publication
        finally:
            self._watches.discard(watch)
            if sending is not None:
                sending.cancel()
            try:  # a cancellation may come now, too
                await subscription.unsubscribe()
            finally:
                self._client.remove_subscription(subscription)
                if sending is not None:
                    await asyncio.wait([sending])

    def _beginning(self, path: str, since: Position, watch: "Arrivals[Any]") -> Callable[[str], Awaitable[Any]]:
        """Return the function by which the SDK learns where a subscription begins.

        The SDK calls it again if the server does not have the position any more, and whenever it has raised.
        """
        times = itertools.count()

        async def begin(channel: str) -> Any:
            if not next(times):
                return centrifuge.StreamPosition(offset=since.offset, epoch=since.epoch)
            watch.lose()
            try:
                rest = await self._client.history(path, limit=1)
            except centrifuge.ReplyError as error:
                if not error.temporary:  # the server withholds the past, or refuses the watch, too, which then ends
                    self._client.get_subscription(channel)._get_state = None
                raise
            offset = rest.publications[0].offset - 1 if rest.publications else rest.offset
            return centrifuge.StreamPosition(offset=offset, epoch=rest.epoch)

        return begin

    async def _pass_on(self, messages: AsyncIterable[Any], subscription: Any, watch: "Arrivals[Any]") -> None:
        """Send further messages to a stream. Their end ends nothing; any other end ends the watch, too."""

        async def pass_each() -> None:
            async for message in messages:
                await _ready(subscription)
                with self._refusing(watch.path):
                    await subscription.publish(payload(message))

        outcome = await run_once(pass_each, is_cancelled=lambda: watch not in self._watches)
        if isinstance(outcome, Failed):
            watch.fail(outcome.exception)

    def _channel(self, path: str) -> str:
        """Return a channel of the path that is not in use on this connection."""
        separator = "&" if "?" in path else "?"
        # Empty query parameters make another name of the same key, so a path can be watched several times.
        names = (path if not number else path + separator + "&" * number for number in itertools.count())
        return next(name for name in names if self._client.get_subscription(name) is None)

    @overload
    async def call(self, path: str, /, message: Any, type: type[T]) -> T: ...

    @overload
    async def call(self, path: str, /, message: Any = None, type: Any = Any) -> Any: ...

    @overload
    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    async def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    async def call(self, call: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Make a call, and return its value.

        Args:
            call: Path of the call, with or without the leading slash. Or the function itself, with its arguments: the
                message, and the parameters of the path and the query. Its value then has the declared type.
            message: For a path, message for the call.
            type: For a path, type of its value, which is validated.

        Raises:
            ServerRefused: The server refused the call, or it failed.
            TimeoutError: No answer arrived in time.
            BindingError: No app in this process has the call.
            InvalidKey: An argument is missing, unknown or does not validate.
            pydantic.ValidationError: The value does not fit the type.
        """
        bound = _called(call, *args, **kwargs) if isinstance(call, str) else bind(call, *args, **kwargs)
        if bound.kind not in (None, "call"):
            raise TypeError(f"{bound.path} is a {bound.kind}, not a call; use watch()")
        with self._refusing(bound.path):
            result = await self._client.rpc(bound.path, payload(bound.message))
        return decoder(bound.type)(result.data)

    @overload
    async def publish(self, topic: str | Bound[Any], message: Any, /) -> None: ...

    @overload
    async def publish(self, topic: Topic[P, Any], message: Any, /, *args: P.args, **kwargs: P.kwargs) -> None: ...

    async def publish(self, topic: Any, message: Any, /, *args: Any, **kwargs: Any) -> None:
        """Send a message to a topic's handler.

        Args:
            topic: Path of the topic, with or without the leading slash; or the topic itself, with the values of its key
                as further arguments; or a :func:`bind` of it.
            message: The message.

        Raises:
            ServerRefused: The server refused the message.
            TimeoutError: No answer arrived in time.
            BindingError: No app in this process has the topic.
            InvalidKey: A value of the key is missing, unknown or does not validate; or the message does not.
        """
        bound, _ = asked(topic, args, kwargs, frozenset())
        with self._refusing(bound.path):
            await self._client.publish(bound.path, payload(checked_message(bound, message)))

    @overload
    async def history(
        self, path: str, /, type: type[T], *, limit: int = ..., since: Position | None = ..., reverse: bool = ...
    ) -> Publications[T]: ...

    @overload
    async def history(
        self, path: str, /, type: Any = Any, *, limit: int = ..., since: Position | None = ..., reverse: bool = ...
    ) -> Publications[Any]: ...

    @overload
    async def history(
        self, bound: Bound[T], /, *, limit: int = ..., since: Position | None = ..., reverse: bool = ...
    ) -> Publications[T]: ...

    @overload
    async def history(self, feed: Watchable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Publications[T]: ...

    async def history(self, watched: Any, /, *args: Any, **options: Any) -> Publications[Any]:
        """Return values of the log of a feed or topic with ``keep=N``, or the rows of a table, and the log's position.

        Args:
            watched: Path of the feed or topic, with or without the leading slash; or the feed or topic itself, with the
                values of its key as further arguments; or a :func:`bind` of it, with these options.
            type: For a path, type of its values; each value is validated.
            limit: Highest number of values; the server returns at most 300. With 0, only the position is returned.
            since: Position behind which the values begin; with ``reverse``, before which they begin.
            reverse: True for the newest values first.

        Raises:
            ServerRefused: The server refused the request.
            TimeoutError: No answer arrived in time.
            BindingError: No app in this process has the feed or topic.
            InvalidKey: A value of the key is missing, unknown or does not validate.
            pydantic.ValidationError: A value does not fit the type.
        """
        bound, more = asked(watched, args, options, _HISTORY)
        since = more.get("since")
        place = None if since is None else centrifuge.StreamPosition(offset=since.offset, epoch=since.epoch)
        with self._refusing(bound.path):
            result = await self._client.history(
                bound.path, limit=more.get("limit", -1), since=place, reverse=more.get("reverse", False)
            )
        decode = rows_of(bound.type) if bound.is_table else decoder(bound.type)
        entries = (
            Publication(Position(result.epoch, each.offset), decode(each.data or b""), each.tags or {})
            for each in result.publications
        )
        return Publications(entries, Position(result.epoch, result.offset))

    @overload
    async def presence(self, watched: str | Bound[Any], /) -> list[PresentClient]: ...

    @overload
    async def presence(
        self, watched: Watchable[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> list[PresentClient]: ...

    async def presence(self, watched: Any, /, *args: Any, **kwargs: Any) -> list[PresentClient]:
        """Return the clients that are subscribed to a feed or topic with ``presence=True``, at most 1,000 of them.

        Args:
            watched: Path of the feed or topic, with or without the leading slash; or the feed or topic itself, with the
                values of its key as further arguments; or a :func:`bind` of it.

        Raises:
            ServerRefused: The server refused the request.
            TimeoutError: No answer arrived in time.
            BindingError: No app in this process has the feed or topic.
            InvalidKey: A value of the key is missing, unknown or does not validate.
        """
        bound, _ = asked(watched, args, kwargs, frozenset())
        with self._refusing(bound.path):
            result = await self._client.presence(bound.path)
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

    def changed(self, change: ConnectionChange) -> None:
        """Pass a change of the connection to the application."""
        if self._on_connection is None:
            return
        outcome = run_now(partial(self._on_connection, change))
        if isinstance(outcome, Failed):
            self._raised = self._raised or outcome.exception
            for watch in list(self._watches):
                watch.fail(outcome.exception)

    def check(self) -> None:
        """Raise what the application's function for changes has raised."""
        if self._raised is not None:
            raise self._raised

    def end(self, code: int, reason: str) -> None:
        """Fail all watches: the connection has ended, and is not made again."""
        self._ended = code, reason
        for watch in list(self._watches):
            watch.fail(ServerRefused.explained(watch.path, code, reason))


class _SdkEvents(centrifuge.ClientEventHandler):  # type: ignore[misc]
    """Passes the changes of the SDK's connection on."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def on_connected(self, ctx: Any) -> None:
        self._connection.changed(ConnectionChange("connected"))

    async def on_connecting(self, ctx: Any) -> None:
        if ctx.code:  # 0 is the first attempt, which no failure precedes
            self._connection.changed(ConnectionChange("connecting", ctx.reason))

    async def on_error(self, ctx: Any) -> None:
        self._connection.changed(ConnectionChange("connecting", str(ctx.error) or type(ctx.error).__name__))

    async def on_disconnected(self, ctx: Any) -> None:
        self._connection.end(ctx.code, ctx.reason)
        self._connection.changed(ConnectionChange("closed", ctx.reason))


def _called(path: str, message: Any = None, type: Any = Any) -> Bound[Any]:  # noqa: A002
    """Return a call by its path."""
    return Bound(path, type, message=message)


async def _ready(subscription: Any) -> None:
    """Wait until a subscription is live, however long its connection is lost."""
    while True:
        with suppress(centrifuge.OperationTimeoutError):
            await subscription.ready()
            return
