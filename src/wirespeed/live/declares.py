"""The decorators, which make definitions and their routes."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from fastapi import APIRouter, Depends, params

from ..declare import Declared, declare_call, declare_feed, declare_stream, declare_topic
from ..definitions import (
    AfterEnd,
    Definition,
    Feed,
    FeedDefinition,
    HistoryOption,
    KeepOption,
    OnLag,
    Overlap,
    Placed,
    RunOption,
    Snapshot,
    Tagged,
    Topic,
    Watched,
    WatchedOptions,
    describe,
    name_of,
)
from ..log.base import Append
from .inventory import take_place
from .openapi import Documentation, checked, documented, note
from .serving import PostRoute, answer_call, check_origin, respond_stream, serve_call, serve_stream
from .watched import WatchedRoutes

CallFunction = TypeVar("CallFunction", bound=Callable[..., Any])
Function = TypeVar("Function", bound=Callable[..., AsyncIterable[Any] | Iterable[Any]])
P = ParamSpec("P")
T = TypeVar("T")


class DeclaresFeed(Protocol):
    """A decorator that makes a feed of a generator; the type of the feed is that of the values without their tags."""

    @overload
    def __call__(self, function: Callable[P, AsyncIterable[Tagged[T]] | Iterable[Tagged[T]]]) -> Feed[P, T]: ...

    @overload
    def __call__(self, function: Callable[P, AsyncIterable[Snapshot[T]] | Iterable[Snapshot[T]]]) -> Feed[P, T]: ...

    @overload
    def __call__(
        self, function: Callable[P, AsyncIterable[T | Tagged[T] | Snapshot[T]] | Iterable[T | Tagged[T] | Snapshot[T]]]
    ) -> Feed[P, T]: ...

    @overload
    def __call__(
        self, function: Callable[P, AsyncIterable[T | Tagged[T] | Append] | Iterable[T | Tagged[T] | Append]]
    ) -> Feed[P, T]: ...


class TopicOptions(Documentation, total=False):
    """The options of ``live.topic``; see :meth:`Declares.feed` for their meanings."""

    keep: KeepOption
    by: str
    order_by: str
    replay: int
    on_lag: OnLag
    max_rate: float
    retain: float | None
    presence: bool
    join_leave: bool
    deltas: bool
    history: HistoryOption
    recheck: float | None
    grows: bool | str
    dependencies: Sequence[params.Depends]
    name: str
    http: bool


class Declares(ABC):
    """The decorators, the same on ``Live`` and ``LiveRouter``."""

    _declared: dict[str, Definition]
    """The definitions, by the shapes of their paths."""

    @property
    @abstractmethod
    def _routes(self) -> APIRouter:
        """Router to which routes are added."""

    def _take(self, definition: Definition) -> None:
        """Note a definition. Routers are checked against each other when the app starts."""
        take_place(self._declared, self._routes.prefix + definition.path, definition)

    def _check_complete(self) -> None:
        """Check that each topic has its key.

        Raises:
            DeclarationError: The path of a topic has parameters that no function has declared.
        """
        for definition in self._declared.values():
            if isinstance(definition, Watched):
                definition.check_complete()

    def _bind(self, watched: Watched[Any, Any]) -> None:
        """Tell the app about a feed or topic, if the app is known already."""

    def stream(
        self,
        path: str,
        *,
        overlap: Overlap = "queue",
        resume: float | None = None,
        recheck: float | None = None,
        dependencies: Sequence[params.Depends] | None = None,
        name: str | None = None,
        http: bool = True,
        **documentation: Unpack[Documentation],
    ) -> Callable[[Function], Function]:
        """Make a stream of a generator, which runs for one client, once per message that the client sends.

        The parameter that FastAPI would treat as the body takes the message: a model, dataclass, TypedDict or list, or
        a parameter that is marked with ``Message()``. An ``AsyncIterator[T]`` parameter takes all messages and makes
        the stream duplex: it runs once, as soon as the connection is accepted. A stream without a message also runs
        once; then the connection closes with 1000. All other parameters, and ``Depends``, are resolved once, when the
        client connects.

        If the client leaves, the run is cancelled and the generator's ``finally`` blocks run within a second. A
        synchronous generator runs in a worker thread and is closed at the next value that it yields.

        A POST to the path runs the generator once, with the body as the message, and is answered with JSON Lines, or
        with Server-Sent Events if the client asks for them. A duplex stream, a stream that takes bytes and a stream
        with a ``WebSocket`` parameter have no POST. A POST route of the app's own takes precedence.

        Args:
            path: The path, as for any FastAPI route.
            overlap: The treatment of a message that arrives during a run: with ``"queue"`` it waits until the run ends,
                with ``"replace"`` it cancels the run.
            resume: Seconds that a run and its latest values stay after the connection is lost, so that a client that
                reconnects resumes the run; by default, a run ends with its connection.
            recheck: Seconds after which the dependencies are called again for each client, and again; one that they
                refuse then is ended with their status. By default, they are called once.
            dependencies: The dependencies, as for any FastAPI route.
            name: The route's name for ``url_path_for``; the function's name by default.
            http: True if POST is offered.
            **documentation: ``summary``, ``description``, ``response_description``, ``tags``, ``deprecated``,
                ``include_in_schema`` and ``responses`` in OpenAPI and AsyncAPI, as for any FastAPI route.

        Returns:
            A decorator that returns the function unchanged.

        Raises:
            DeclarationError: From the decorator: the function cannot be a stream.
        """

        respond = respond_stream if http else None
        declare = partial(
            declare_stream, serve=serve_stream, respond=respond, overlap=overlap, resume=resume, recheck=recheck
        )
        return self._decorator(path, declare, dependencies, name, checked(documentation, "stream"))

    def call(
        self,
        path: str,
        *,
        dependencies: Sequence[params.Depends] | None = None,
        name: str | None = None,
        http: bool = True,
        **documentation: Unpack[Documentation],
    ) -> Callable[[CallFunction], CallFunction]:
        """Make a call of a function, which takes one message and returns one value.

        The message and all other parameters are found as in a :meth:`stream`. On a raw WebSocket, messages are
        answered one after the other, each with one value. Over HTTP, the call is a POST; in the Centrifuge protocol, it
        is an ``rpc`` whose method is the path. A plain ``def`` runs in a worker thread. A function without a message is
        called once, as soon as the connection is accepted; then the connection closes with 1000.

        Args:
            path: The path, as for any FastAPI route.
            dependencies: The dependencies, as for any FastAPI route.
            name: The route's name for ``url_path_for``; the function's name by default.
            http: True if POST is offered.
            **documentation: The options of :meth:`stream` for OpenAPI and AsyncAPI.

        Returns:
            A decorator that returns the function unchanged.

        Raises:
            DeclarationError: From the decorator: the function cannot be a call.
        """

        declare = partial(declare_call, serve=serve_call, respond=answer_call if http else None)
        return self._decorator(path, declare, dependencies, name, checked(documentation, "call"))

    def _decorator(
        self,
        path: str,
        declare: Callable[..., Declared[Any]],
        dependencies: Sequence[params.Depends] | None,
        name: str | None,
        documentation: Mapping[str, Any],
    ) -> Callable[[Any], Any]:
        guards = [Depends(check_origin), *(dependencies or ())]

        def decorate(function: Any) -> Any:
            declared = declare(path, function, dependencies=guards)
            self._take(declared.definition)
            self._routes.add_api_websocket_route(path, declared.endpoint, name=name, dependencies=guards)
            note(declared.endpoint, self._routes, documentation)
            if declared.http is not None:
                self._routes.add_api_route(
                    path,
                    declared.http,
                    methods=["POST"],
                    name=name,
                    dependencies=guards,
                    route_class_override=PostRoute,
                    **documented(*describe([Placed(path, declared.definition, http=True)]), options=documentation),
                )
            return function

        return decorate

    def feed(
        self,
        path: str,
        *,
        keep: KeepOption = "latest",
        by: str | None = None,
        order_by: str | None = None,
        replay: int = 0,
        on_lag: OnLag | None = None,
        max_rate: float | None = None,
        linger: float = 5.0,
        run: RunOption = "once",
        after_end: AfterEnd = "keep",
        retain: float | None = 300.0,
        presence: bool = False,
        join_leave: bool = False,
        deltas: bool = False,
        history: HistoryOption = True,
        recheck: float | None = None,
        grows: bool | str = False,
        dependencies: Sequence[params.Depends] | None = None,
        name: str | None = None,
        http: bool = True,
        **documentation: Unpack[Documentation],
    ) -> DeclaresFeed:
        """Make a feed of a generator, which runs once, shared by everyone who watches it, while it is being watched.

        The parameters of the function are the key: path and query parameters, nothing else. Each key has its own run. A
        generator that raises is started again, after growing delays. When it ends by itself, the feed is complete: its
        watchers are notified and closed with 1000. A synchronous generator runs in a worker thread. If the app has a
        broker, one of its processes runs the generator; if that process ends, another one starts it again.

        A GET of the path returns the newest value, or Server-Sent Events if the client asks for them.

        Args:
            path: The path, as for any FastAPI route.
            keep: The entries that the log keeps for watchers that are slow or reconnect: ``"latest"`` keeps the newest,
                a number keeps that many, and a ``timedelta`` keeps those that are not older.
            by: The field that identifies a row. It makes the feed a table, which keeps the newest value of each row.
            order_by: The field by which the rows of a table are ordered, or ``"-field"`` for the largest first: in a
                GET, in history and ``snapshot()``, and in what a new watcher gets first. Without it, rows are in the
                order of their last changes.
            replay: The number of entries that a new watcher gets first; needs a log with more than the newest entry.
            on_lag: The treatment of a watcher that was too slow for its log: ``"close"``, the default, closes it with
                1013, and it may reconnect; ``"skip"`` sends it the number of entries that it lost. Needs a log with
                more than the newest entry.
            max_rate: The largest number of writes to a watcher per second; the classes are 1, 2, 5, 10, 20, 30 and 60.
            linger: Seconds that the generator continues after its last watcher has left.
            run: In an app with a broker, ``"once"`` runs the generator of a key in one process for the watchers of all
                processes; ``"each"`` runs it in each process that has watchers, for those only.
            after_end: ``"keep"`` keeps a complete feed complete for ``retain`` seconds: clients that come meanwhile get
                the values and the completion. ``"restart"`` runs the generator again for them.
            retain: Seconds that a log with more than the newest entry is kept after its last watcher has left, and a
                complete one after its end; None keeps it for as long as there is room.
            presence: True if clients of multiplexed connections may ask who else watches.
            join_leave: True if clients of multiplexed connections are notified when others start or stop watching.
            deltas: True if clients of multiplexed connections may ask for values as differences from the previous one;
                needs a log with more than the newest entry.
            history: The earlier values that clients may have: with True, they may ask for them and resume; with
                ``"resume"``, they may only resume; with False, they get new values only, and learn what they missed.
            recheck: Seconds after which the dependencies are called again for each watcher, and again; one that they
                refuse then is ended with their status. By default, they are called once.
            grows: True if the values are texts to whose end the generator appends: it yields ``Append(text)``, and
                watchers get only what was appended. In a table, the name of the field with the text; the generator
                yields ``Append(text, row=key)``.
            dependencies: The dependencies of each watcher; they do not apply to the generator, which serves all.
            name: The route's name for ``url_path_for``; the function's name by default.
            http: True if GET is offered.
            **documentation: The options of :meth:`stream` for OpenAPI and AsyncAPI.

        Returns:
            A decorator that returns a :class:`~wirespeed.Feed` in place of the function.

        Raises:
            DeclarationError: From the decorator: the function cannot be a feed.
        """
        watch_options = WatchedOptions(
            keep=keep, by=by, order_by=order_by, replay=replay, on_lag=on_lag, max_rate=max_rate, retain=retain,
            presence=presence, join_leave=join_leave, deltas=deltas, history=history, recheck=recheck,
            after_end=after_end, grows=grows,
        )  # fmt: skip
        guards, shown = list(dependencies or ()), checked(documentation, "feed")

        def decorate(function: Callable[P, AsyncIterable[T] | Iterable[T]]) -> Feed[P, T]:
            feed: FeedDefinition[P, T] = cast("Any", declare_feed)(
                path, function, watch_options, linger=linger, run=run, dependencies=guards
            )
            self._take(feed)
            WatchedRoutes(self._routes, feed, guards, name or name_of(function), http, shown).declare()
            self._bind(feed)
            return Feed(feed)

        return cast("DeclaresFeed", decorate)

    @overload
    def topic(self, path: str, type: type[T], **options: Unpack[TopicOptions]) -> Topic[[], T]: ...

    @overload
    def topic(self, path: str, type: Any, **options: Unpack[TopicOptions]) -> Topic[[], Any]: ...

    def topic(self, path: str, type: Any, **options: Unpack[TopicOptions]) -> Topic[[], Any]:  # noqa: A002
        """Make a topic, to which application code publishes values from anywhere.

        Assign a topic without a key: ``news = live.topic("/news", Article)``. With a key, let it decorate a function
        whose parameters declare the key; the function is never called::

            @live.topic("/orders/{user_id}", Order, keep=1000)
            def orders(user_id: int) -> None:
                "The orders of one user."

            orders.publish(order, user_id=5)

        Args:
            path: The path, as for any FastAPI route.
            type: The type of its values.
            **options: The options of :meth:`feed` that are not about a generator, with other defaults: ``keep`` is 100
                entries, or ``"latest"`` with ``by`` or ``grows``; ``retain`` is 3600 seconds after the last watcher and
                the last publication.

        Returns:
            The topic; as a decorator, it returns the topic with the key.

        Raises:
            DeclarationError: The options do not fit together, or Pydantic does not know the type.
        """
        checked(options, "topic", TopicOptions)
        newest_only = options.get("by") is not None or options.get("grows", False) is not False
        defaults: dict[str, Any] = {"keep": "latest" if newest_only else 100, "retain": 3600.0}
        given = {name: value for name, value in options.items() if name in WatchedOptions.__slots__}
        guards = list(options.get("dependencies") or ())
        topic = declare_topic(path, type, WatchedOptions(**(defaults | given)), dependencies=guards)
        self._take(topic)
        routes = WatchedRoutes(self._routes, topic, guards, options.get("name"), options.get("http", True), options)
        routes.declare()
        self._bind(topic)
        return Topic(topic, routes.take_key, routes.take_handler, routes.take_loader)
