"""The decorators, which make definitions and their routes."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from typing import Any, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from fastapi import APIRouter, Depends, params

from ..declare import Declared, declare_call, declare_feed, declare_stream, declare_topic
from ..definitions import (
    Feed,
    FeedDefinition,
    KeepOption,
    OnLag,
    Overlap,
    Placed,
    Tagged,
    Topic,
    Watched,
    WatchOptions,
    describe,
    name_of,
)
from .openapi import documented
from .place import Place
from .serving import PostRoute, answer_call, check_origin, respond_stream, serve_call, serve_stream

CallFunction = TypeVar("CallFunction", bound=Callable[..., Any])
Function = TypeVar("Function", bound=Callable[..., AsyncIterable[Any] | Iterable[Any]])
P = ParamSpec("P")
T = TypeVar("T")


class DeclaresFeed(Protocol):
    """Makes a feed of a generator; its type is that of the values, with tags or without."""

    @overload
    def __call__(self, function: Callable[P, AsyncIterable[Tagged[T]] | Iterable[Tagged[T]]]) -> Feed[P, T]: ...

    @overload
    def __call__(self, function: Callable[P, AsyncIterable[T | Tagged[T]] | Iterable[T | Tagged[T]]]) -> Feed[P, T]: ...


class TopicOptions(TypedDict, total=False):
    """The options of ``live.topic``; what they mean is said at ``live.feed``."""

    keep: KeepOption
    by: str
    replay: int
    on_lag: OnLag
    max_rate: float
    retain: float | None
    presence: bool
    join_leave: bool
    deltas: bool
    dependencies: Sequence[params.Depends]
    name: str
    http: bool


class Declares(ABC):
    """The decorators, the same on ``Live`` and ``LiveRouter``."""

    @property
    @abstractmethod
    def _routes(self) -> APIRouter:
        """Where routes are added."""

    def _bind(self, watched: Watched[Any, Any]) -> None:
        """Makes a feed or topic known to the app, where that is known already."""

    def stream(
        self,
        path: str,
        *,
        overlap: Overlap = "queue",
        dependencies: Sequence[params.Depends] | None = None,
        name: str | None = None,
        http: bool = True,
    ) -> Callable[[Function], Function]:
        """Makes a stream of a generator: it is run for one client, once per message that the client sends.

        The message is the parameter that FastAPI would take for the body: a model, dataclass, TypedDict or list, or
        what is marked with ``Message()``. An ``AsyncIterator[T]`` parameter makes it duplex: one run from accept on,
        with all messages. Without a message it runs once, from accept on; then the connection closes with 1000. All
        other parameters, and ``Depends``, are resolved once, when the client connects.

        A client that leaves cancels the run: the generator's ``finally`` blocks run, within a second. A synchronous
        generator runs in a worker thread and is closed at the value that it yields next.

        A POST to its path runs it once, too, with the body as the message, and answers with JSON Lines, or with
        Server-Sent Events if the client asks for them. Duplex streams, streams that take bytes, and those that want a
        ``WebSocket`` have no POST; one that the app declares itself is used in its place.

        Args:
            path: The path, as for any FastAPI route.
            overlap: What a message does that comes during a run: ``"queue"`` waits for its end, ``"replace"`` cancels
                it.
            dependencies: As for any FastAPI route.
            name: The route's name for ``url_path_for``; the function's by default.
            http: Whether it can be had by POST.

        Returns:
            A decorator that gives back the function as it was.

        Raises:
            DeclarationError: From the decorator: the function cannot be a stream as it stands.
        """

        def decorate(function: Function) -> Function:
            guards = [Depends(check_origin), *(dependencies or ())]
            respond = respond_stream if http else None
            declared = declare_stream(
                path, function, serve_stream, respond=respond, overlap=overlap, dependencies=guards
            )
            self._add_routes(path, declared, name, guards)
            return function

        return decorate

    def call(
        self,
        path: str,
        *,
        dependencies: Sequence[params.Depends] | None = None,
        name: str | None = None,
        http: bool = True,
    ) -> Callable[[CallFunction], CallFunction]:
        """Makes a call of a function: it takes one message, and gives one value.

        The message is found as in a :meth:`stream`, and so is everything else. Over a bare WebSocket each message is
        answered with one value, one after the other; over HTTP it is a POST, and by the Centrifuge protocol an ``rpc``
        whose method is the path. A plain ``def`` runs in a worker thread. Without a message it is called once, from
        accept on; then the connection closes with 1000.

        Args:
            path: The path, as for any FastAPI route.
            dependencies: As for any FastAPI route.
            name: The route's name for ``url_path_for``; the function's by default.
            http: Whether it can be had by POST.

        Returns:
            A decorator that gives back the function as it was.

        Raises:
            DeclarationError: From the decorator: the function cannot be a call as it stands.
        """

        def decorate(function: CallFunction) -> CallFunction:
            guards = [Depends(check_origin), *(dependencies or ())]
            respond = answer_call if http else None
            declared = declare_call(path, function, serve_call, respond=respond, dependencies=guards)
            self._add_routes(path, declared, name, guards)
            return function

        return decorate

    def _add_routes(self, path: str, declared: Declared[Any], name: str | None, guards: list[params.Depends]) -> None:
        self._routes.add_api_websocket_route(path, declared.endpoint, name=name, dependencies=guards)
        if declared.http is not None:
            self._routes.add_api_route(
                path,
                declared.http,
                methods=["POST"],
                name=name,
                dependencies=guards,
                route_class_override=PostRoute,
                **documented(*describe([Placed(path, declared.definition, http=True)])),
            )

    def feed(
        self,
        path: str,
        *,
        keep: KeepOption = "latest",
        by: str | None = None,
        replay: int = 0,
        on_lag: OnLag | None = None,
        max_rate: float | None = None,
        linger: float = 5.0,
        retain: float | None = 300.0,
        presence: bool = False,
        join_leave: bool = False,
        deltas: bool = False,
        dependencies: Sequence[params.Depends] | None = None,
        name: str | None = None,
        http: bool = True,
    ) -> DeclaresFeed:
        """Makes a feed of a generator: it is run once, for all who watch it, and only while somebody does.

        Its parameters are its key, path and query parameters only; each key has a run of its own. A generator that
        raises is started again, after growing delays; when it ends by itself, its watchers are told and closed with
        1000. A synchronous generator runs in a worker thread.

        A GET to its path gives the newest value, and Server-Sent Events to clients that ask for them.

        Args:
            path: The path, as for any FastAPI route.
            keep: What is kept for watchers that are slow or return: ``"latest"``, so many entries, or a ``timedelta``.
            by: The field that names a row, which makes it a table: the newest value of each row is kept.
            replay: How many of the last entries a new watcher gets first; for logs with more than the newest.
            on_lag: What a watcher gets that was too slow for its log: ``"close"``, it is closed with 1013 and may come
                back; ``"skip"``, it is told how many entries it has lost. For logs with more than the newest.
            max_rate: How often per second a watcher is written to at most; in classes of 1, 2, 5, 10, 20, 30 and 60.
            linger: Seconds for which the generator goes on after its last watcher has left.
            retain: Seconds for which a log with more than the newest is kept after its last watcher; None for as long
                as there is room.
            presence: Whether clients of the multiplexed surface may ask who else of them watches.
            join_leave: Whether they are told who comes and goes.
            deltas: Whether they may ask for publications as deltas; for logs with more than the newest.
            dependencies: What guards each watcher; they do not guard the generator, which serves all.
            name: The route's name for ``url_path_for``; the function's by default.
            http: Whether it can be had by GET.

        Returns:
            A decorator that gives a :class:`~wirespeed.Feed` in place of the function.

        Raises:
            DeclarationError: From the decorator: the function cannot be a feed as it stands.
        """
        watch_options = WatchOptions(
            keep=keep,
            by=by,
            replay=replay,
            on_lag=on_lag,
            max_rate=max_rate,
            retain=retain,
            presence=presence,
            join_leave=join_leave,
            deltas=deltas,
        )
        guards = list(dependencies or ())

        def decorate(function: Callable[P, AsyncIterable[T] | Iterable[T]]) -> Feed[P, T]:
            feed: FeedDefinition[P, T] = cast("Any", declare_feed)(
                path, function, watch_options, linger=linger, dependencies=guards
            )
            Place(self._routes, feed, guards, name=name or name_of(function), http=http).declare()
            self._bind(feed)
            return Feed(feed)

        return cast("DeclaresFeed", decorate)

    @overload
    def topic(self, path: str, type: type[T], **options: Unpack[TopicOptions]) -> Topic[[], T]: ...

    @overload
    def topic(self, path: str, type: Any, **options: Unpack[TopicOptions]) -> Topic[[], Any]: ...

    def topic(self, path: str, type: Any, **options: Unpack[TopicOptions]) -> Topic[[], Any]:  # noqa: A002
        """Makes a topic: what code publishes to, from anywhere, and many watch.

        Without a key it is assigned, ``news = live.topic("/news", Article)``. With a key it decorates a function that
        says what the key is, and is never called::

            @live.topic("/orders/{user_id}", Order, keep=1000)
            def orders(user_id: int) -> None:
                "The orders of one user."

            orders.publish(order, user_id=5)

        Args:
            path: The path, as for any FastAPI route.
            type: The type of its values.
            **options: ``keep`` is 100 entries, or ``"latest"`` with ``by``; ``retain`` is 3600 seconds after the last
                watcher and the last publication; all others are those of :meth:`feed`.

        Returns:
            The topic; as a decorator it gives the topic with that key.

        Raises:
            DeclarationError: It cannot be a topic as it stands.
        """
        unknown = sorted(options.keys() - TopicOptions.__optional_keys__)
        if unknown:
            raise TypeError(f"live.topic() has no option {unknown[0]!r}")
        defaults: dict[str, Any] = {"keep": 100 if options.get("by") is None else "latest", "retain": 3600.0}
        given = {name: value for name, value in options.items() if name in WatchOptions.__slots__}
        guards = list(options.get("dependencies") or ())
        topic = declare_topic(path, type, WatchOptions(**(defaults | given)), dependencies=guards)
        place = Place(self._routes, topic, guards, name=options.get("name"), http=options.get("http", True))
        place.declare()
        self._bind(topic)
        return Topic(topic, place.take_key, place.take_handler)
