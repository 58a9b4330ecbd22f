"""``Live``, which adds live data to an app, and ``LiveRouter``."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI

from ..brokers.broker import Broker
from ..brokers.url import NAMESPACE, named
from ..declare import check_dependencies
from ..definitions import (
    BrokerHealth,
    Client,
    ClientGroup,
    Connection,
    Criteria,
    Feed,
    Revocation,
    RunStatistics,
    Topic,
    Watchable,
    Watched,
    WatchStatistics,
    key_of,
    watched_of,
)
from ..errors import BindingError
from ..frameworks import missing
from ..hub import ClusterStatistics, Hub, Statistics
from ..routes import document
from ..settings import Settings
from ..surfaces.admitted import mark
from ..surfaces.authenticator import Authenticate, Authenticator, authenticator_of
from ..surfaces.carry import CarryOn
from ..surfaces.multiplex.site import Site
from ..surfaces.origin import Origins
from ..surfaces.runs import feed_refusal
from .console import Console, add_console
from .declares import Declares
from .documents import add_document
from .entrance import Entrance, Gate
from .guards import warn_of_middleware
from .inventory import bind_all, definitions_of, note
from .multiplex import multiplex_routes
from .openapi import show_errors
from .publish import add_publish_route, checked_key
from .security import show_security
from .serving import Serving, explain_refusals, note_refusal, required_serving, serving_of
from .siblings import warn_of_siblings
from .telemetry import tracing_of

logger = logging.getLogger("wirespeed")


class LiveRouter(APIRouter, Declares):
    """A router with the decorators of :class:`Live`, for ``app.include_router(router)``.

    It takes the arguments of ``APIRouter``. If the app that includes it has no ``Live``, the app's startup fails.
    """

    if not TYPE_CHECKING:  # APIRouter's signature stands, for type checkers and editors

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._declared = {}
            self.include_router(APIRouter(lifespan=self._starting))

    @asynccontextmanager
    async def _starting(self, app: FastAPI) -> AsyncIterator[None]:
        required_serving(app)
        self._check_complete()
        yield

    @property
    def _routes(self) -> APIRouter:
        return self


class Live(Declares):
    """Live data for one FastAPI app.

    Args:
        app: The app. Its lifespan, exception handlers and middleware stay as they are.
        allowed_origins: The origins whose pages may connect, besides the server's own, such as
            ``"https://app.example.com"``. ``"null"`` admits pages opened from a file, ``"*"`` all pages.
        settings: The limits; the defaults are safe in production.
        authenticate: Identifies clients: an :class:`~wirespeed.Authenticator`, or an async function of a client's
            token, which is empty if it has none, and its handshake. The function returns an
            :class:`~wirespeed.Identity`, or None to refuse the client. Without it, all clients are anonymous.
        prefix: The path of the multiplexed connection, which is at ``/websocket`` below it, with the HTTP fallbacks
            beside; None to leave it out. Centrifugo uses ``"/connection"``.
        publish_key: The key with which other programs may publish by a POST to ``/publish`` below ``prefix``; a long
            random text. None to leave it out.
        broker: The broker that joins the app's processes, such as ``"redis://localhost"``; None for an app with one
            process. By default, the environment's ``WIRESPEED_BROKER``, if it is set.
        broker_required: True if the app does not start while the broker cannot be reached. Otherwise it starts, refuses
            what needs the broker, and connects as soon as it can.
        namespace: The beginning of all names at the broker. It must be the same in all processes of an app. Apps that
            share a server need different ones.
        console: The options of the console, the page at ``prefix`` and a slash that shows what happens; None to leave
            it out. In production, it is there only if it has dependencies: ``Console(dependencies=[Depends(admin)])``.
        telemetry: False to make no spans of OpenTelemetry. Otherwise there are spans of runs, calls and publications if
            FastAPI makes spans of the app's operations.

    Raises:
        BindingError: The app has a ``Live`` already.
        ImportError: The broker needs the extra ``redis``.
        ValueError: An entry of ``allowed_origins`` is not an origin, ``prefix`` is not a path, or ``publish_key``,
            ``broker``, ``namespace`` or the environment's ``WIRESPEED_CONSOLE`` is not valid.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        allowed_origins: Iterable[str] = (),
        settings: Settings | None = None,
        authenticate: Authenticator | Authenticate | None = None,
        prefix: str | None = "/live",
        publish_key: str | None = None,
        broker: str | Broker | EllipsisType | None = ...,
        broker_required: bool = False,
        namespace: str = NAMESPACE,
        console: Console | EllipsisType | None = ...,
        telemetry: bool = True,
    ) -> None:
        if not isinstance(app, FastAPI):
            raise BindingError(f"Live takes a FastAPI app, not {app!r}; for a router, use LiveRouter")
        for part in missing():
            logger.warning("This version of FastAPI or Starlette is not built as expected: it has no %s.", part)
        if serving_of(app) is not None:
            raise BindingError("This app has a Live already; use that one, and LiveRouter in other modules.")
        self._app, self._declared, self._telemetry = app, {}, telemetry
        note(app)
        origins, made = Origins(allowed_origins), named(broker, namespace)
        self._hub = Hub(settings or Settings(), made, broker_required=broker_required, refusal=feed_refusal)
        self._hub.on_start = partial(self._warn, at_startup=False)
        entrance = Entrance(app)
        site = Site(self._hub, entrance.find, authenticator_of(authenticate), entrance.has_calls)
        app.state.wirespeed = Serving(self._hub, origins, site, prefix)
        app.state.wirespeed_entrance = entrance
        self._add_routes(prefix, publish_key, entrance)
        self._console = add_console(app, console, prefix, self._hub, entrance.apart)
        add_document(app, prefix, console.dependencies if isinstance(console, Console) else ())
        app.include_router(APIRouter(lifespan=self._lifespan))
        if app.middleware_stack is None:  # an app that serves already cannot take middleware
            app.add_middleware(CarryOn, refused=partial(note_refusal, self._hub), mark=partial(mark, self._hub))
        document(app)
        show_errors(app)
        show_security(app, authenticate)
        explain_refusals(app)

    def _add_routes(self, prefix: str | None, publish_key: str | None, entrance: Entrance) -> None:
        self._app.router.routes.insert(0, Gate(entrance))
        if publish_key is not None:
            if prefix is None:
                raise ValueError("publish_key needs a prefix, below which programs publish")
            add_publish_route(self._app, f"{prefix}/publish", entrance, checked_key(publish_key))
        if prefix is not None:
            self._app.router.routes.extend(multiplex_routes(prefix))

    def statistics(self) -> Statistics:
        """Return the current figures and the totals of the app's connections; cheap enough to be called often."""
        return self._hub.statistics()

    def health(self) -> BrokerHealth:
        """Return the state of the broker, for probes and alerts; from any thread."""
        return self._hub.health()

    def watching(self) -> Mapping[str, WatchStatistics]:
        """Return the figures of each feed and topic by its path, from the app's start on."""
        return self._hub.watching_all()

    def running(self) -> Mapping[str, RunStatistics]:
        """Return the figures of the runs of each stream and call by its path, from the process's start on."""
        return self._hub.running.statistics()

    def clients(self, user: str | None = None) -> list[Client]:
        """Return the clients of this process's multiplexed connections.

        Args:
            user: The user whose clients are returned; None for all users.
        """
        return self._hub.reachable.of_user(user)

    def all_clients(self, user: str | None = None, *, id: str | None = None) -> ClientGroup:  # noqa: A002
        """Return the clients of multiplexed connections of all processes.

        Each method of the group acts on those that are connected at that moment.

        Args:
            user: The user whose clients they are; None for all users.
            id: The id of the only client; None for all clients.
        """
        return self._hub.group(user, id)

    async def all_statistics(self, timeout: float = 2.0) -> ClusterStatistics:
        """Return the figures of all processes together.

        Args:
            timeout: Seconds to wait for the answers of other processes. A process that does not answer is left out.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        return await self._hub.all_figures(timeout)

    def revoke(
        self,
        *,
        user: str | None = None,
        session: str | None = None,
        feed: Feed[..., Any] | Topic[..., Any] | Callable[..., Any] | None = None,
        key: object = None,
    ) -> Revocation:
        """End what clients were admitted to, on all surfaces and in all processes; never waits, in any thread.

        All criteria that are given have to fit. Without ``feed``, connections end; with it, subscriptions of
        multiplexed connections, and all other connections.

        Args:
            user: The user, as in :attr:`Identity.user`.
            session: The session, as in :attr:`Identity.session`.
            feed: The feed, the topic, or the function of a stream or call.
            key: The key of the feed or topic: its value if it has one parameter, a tuple, or a dict by names.

        Returns:
            The number of connections and subscriptions that have ended, to be awaited.

        Raises:
            ValueError: There are no criteria, one of them is empty, or a key has no feed or topic.
            InvalidKey: The key is not valid.
            BindingError: The app has no such feed, topic, stream or call.
            BacklogFull: Too many actions of threads wait for the event loop; nothing ends.
        """
        if user is None and session is None and feed is None:
            raise ValueError("live.revoke() needs a user, a session or a feed")
        if "" in (user, session):
            raise ValueError("user and session must not be empty: that would revoke all anonymous clients")
        if key is not None and not isinstance(feed, Watchable):
            raise ValueError("a key needs its feed or topic: live.revoke(feed=orders, key=5)")
        return self._hub.revoke(Criteria(user, session, *self._place(feed, key)))

    def _place(self, feed: object, key: object) -> tuple[str | None, str | None]:
        """Return the name of a feed, topic, stream or call, and of one of its keys."""
        if feed is None:
            return None, None
        if isinstance(feed, Watchable):
            watched = watched_of(feed)
            if not self._hub.knows(watched):
                raise BindingError(f"{watched.title} is not part of this app")
            text = None if key is None else key_of(watched, key)
            return self._hub.name(watched, ""), None if text is None else self._hub.name(watched, text)
        found = next(
            (each.definition for each, _ in definitions_of(self._app) if each.definition.function is feed), None
        )
        if found is None:
            raise BindingError(f"{feed!r} is not a feed, topic, stream or call of this app")
        return found.title, None

    def connections(self) -> list[Connection]:
        """Return all open connections of this process: raw WebSockets, multiplexed ones, and responses."""
        return self._hub.sessions.connections()

    @property
    def _routes(self) -> APIRouter:
        return self._app.router

    def _bind(self, watched: Watched[Any, Any]) -> None:
        self._hub.bind(watched, watched.path)

    def _warn(self, *, at_startup: bool) -> None:
        """Log what does not work as the app is served. No lifespan runs in a mounted app: there, it is done later."""
        definitions = [placed.definition for placed, _ in definitions_of(self._app)]
        if definitions:
            warn_of_middleware(self._app)
        if any(isinstance(each, Watched) for each in definitions) and not self._hub.has_broker():
            warn_of_siblings(at_startup=at_startup)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self._check_complete()
        for placed, route in bind_all(app, self._hub):
            check_dependencies(placed.definition.title, route.dependant)
        self._hub.on_start = partial(self._warn, at_startup=True)
        self._hub.traces.tracing = tracing_of(app) if self._telemetry else None
        async with self._hub:
            self._hub.declare()
            async with self._console.running():
                yield
