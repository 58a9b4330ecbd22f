"""The entrance by which commands of the multiplexed surface enter the app: our own definitions, and nothing else.

The name of a channel is a path, and a path may lead anywhere. So the entrance looks the path up before the app is
called. Middleware may still change it: a gate in front of the app's routes lets a command through to our definitions
only. The gate knows the route already, so that an app with two hundred others pays nothing for them.
"""

import inspect
import math
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Mount, NoMatchFound, WebSocketRoute
from starlette.types import Receive, Scope, Send

from ..declare import definition_of
from ..definitions import Call, Definition, Watched
from ..frameworks import name_span, route_path, routes_version
from ..surfaces.carry import CarryOn
from ..surfaces.multiplex.admission import admission_of
from ..surfaces.multiplex.channels import Found
from .upgrade import is_handshake, require_upgrade

_WAY = "wirespeed.way"

_LOOK_EVERY = 0.1
"""Seconds between two looks whether routes have changed: with hundreds of them each takes longer than all the rest."""

_PATHS = 10_000
"""Paths whose route is remembered."""

_PATH_SIZE = 255
"""Characters of a path that is remembered: clients choose paths, and requests may have very long ones."""


_PLAIN_HANDLERS = ("fastapi.exception_handlers", "wirespeed.live.serving")
"""Modules of the exception handlers that every app has."""


class _Way(NamedTuple):
    """The way of a path: to one of our routes, maybe in a mounted app."""

    found: Found
    route: RouteContext
    child_scope: Scope


class Entrance:
    """Knows the definitions of one app by their paths.

    Attributes:
        apart: Definitions that are not the app's own: commands never reach them, only the checks of their guards do.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.apart: set[Definition] = set()
        self._version: object = None
        self._looked = -math.inf
        self._ways: dict[str, _Way | None] = {}
        self._candidates: list[tuple[str, RouteContext]] = []
        self._has_calls: bool | None = None
        self._is_observed = True

    def find(self, path: str) -> Found | None:
        """Return what a path leads to; None if that is not one of our definitions."""
        way = self.way(path)
        return None if way is None else way.found

    def has_calls(self) -> bool:
        """Return whether the app, or an app mounted into it, has any call."""
        self._look()
        if self._has_calls is None:
            self._has_calls = any(map(_leads_to_call, self._candidates))
        return self._has_calls

    def way(self, path: str) -> "_Way | None":
        """Return the way to the definition of a path: FastAPI's, which is the first route that matches."""
        now = monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._look()
        if len(path) > _PATH_SIZE:
            return self._sought(path)
        if path not in self._ways:
            if len(self._ways) >= _PATHS:
                self._ways.clear()
            self._ways[path] = self._sought(path)
        return self._ways[path]

    def _look(self) -> None:
        """Read the routes again if some have come or gone."""
        version = routes_version(self._app)
        if version != self._version:
            self._version = version
            self._ways.clear()
            self._has_calls = None
            self._is_observed = _is_observed(self._app)
            contexts = iter_route_contexts(self._app.routes)
            routes = [each for each in contexts if isinstance(each.original_route, (WebSocketRoute, Mount))]
            # With the text that all paths of a route begin with: most routes are passed over by that.
            self._candidates = [((each.path or "").partition("{")[0].rstrip("/"), each) for each in routes]

    def _sought(self, path: str) -> "_Way | None":
        scope: Scope = {"type": "websocket", "path": path, "root_path": "", "headers": [], "path_params": {}}
        for beginning, context in self._candidates:
            if not path.startswith(beginning):
                continue
            match, child_scope = context.matches(scope)
            if match is not Match.FULL:
                continue
            if isinstance(context.original_route, Mount):
                return self._mounted(context, child_scope, path)
            definition = definition_of(context.endpoint)
            if definition is None:
                return None
            return _Way(Found(definition, self._app, self._stays_open(definition, context)), context, child_scope)
        return None

    def _stays_open(self, definition: object, context: RouteContext) -> Callable[[], bool]:
        """Return a function that says whether the app's call has to last as long as what it admits.

        It has to if dependencies with ``yield`` must stay open: those of streams and calls, and those of a topic whose
        handler uses them. Streams and calls also stay within middleware and exception handlers of the app's own.
        """
        if isinstance(definition, Watched):
            if definition.handler is None:
                return lambda: False
        elif self._is_observed:
            return lambda: True
        if _may_yield(context):
            return lambda: True
        app = self._app
        return lambda: bool(app.dependency_overrides)

    def _mounted(self, route: RouteContext, child_scope: Scope, path: str) -> "_Way | None":
        """Return the way into a mounted app that has definitions of its own, through this app and its middleware."""
        entrance = entrance_of(route.app)
        inner = None if entrance is None else entrance.find(path.removeprefix(child_scope["root_path"]))
        return None if inner is None else _Way(Found(inner.definition, self._app), route, child_scope)


class Gate(BaseRoute):
    """The first of an app's routes: it lets commands through to our definitions, and refuses them everywhere else."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._matched: str | None = None

    @property
    def path(self) -> str:
        """The path of the route that the last command leads to.

        Tracing looks for the first route that matches a scope and reads its path at once. Without this, the spans of
        subscriptions have no route.

        Raises:
            AttributeError: The last command leads nowhere.
        """
        if self._matched is None:
            raise AttributeError("path")
        return self._matched

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match every command, and handshakes of our WebSockets that a proxy has made plain GETs of."""
        if scope["type"] == "http":
            is_lost = is_handshake(scope) and self._entrance.way(route_path(scope)) is not None
            return (Match.FULL, {_WAY: None}) if is_lost else (Match.NONE, {})
        admission = admission_of(scope)
        if admission is None or admission.wanted in self._entrance.apart:
            return Match.NONE, {}
        way = self._entrance.way(route_path(scope))
        self._matched = None if way is None else way.route.path
        if way is None:
            return Match.FULL, {_WAY: None}
        child_scope = {**way.child_scope, "path_params": dict(way.child_scope["path_params"]), _WAY: way}
        if isinstance(way.route.original_route, Mount):
            root_path = scope.get("root_path", "")
            child_scope["root_path"] = root_path + way.child_scope["root_path"]
            child_scope["app_root_path"] = scope.get("app_root_path", root_path)
        return Match.FULL, child_scope

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on to the route.

        Raises:
            HTTPException: 404, middleware has changed the path to one that leads to none of our definitions.
        """
        way = scope.pop(_WAY)
        if scope["type"] == "http":
            response = await require_upgrade(Request(scope, receive))
            await response(scope, receive, send)
            return
        if way is None:
            raise HTTPException(404)
        admission = admission_of(scope)
        if admission is not None and not admission.lets_in(way.found):
            return
        if not isinstance(way.route.original_route, Mount):
            name_span(scope, way.route.path)
        await way.route.handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Raise an error: a gate has no path of its own."""
        raise NoMatchFound(name, path_params)


def entrance_of(app: Any) -> Entrance | None:
    """Return the entrance of an app; None without a ``Live``."""
    entrance = getattr(getattr(app, "state", None), "wirespeed_entrance", None)
    return entrance if isinstance(entrance, Entrance) else None


def _leads_to_call(candidate: tuple[str, RouteContext]) -> bool:
    route = candidate[1]
    if isinstance(route.original_route, Mount):
        entrance = entrance_of(route.app)
        return entrance is not None and entrance.has_calls()
    return isinstance(definition_of(route.endpoint), Call)


def _is_observed(app: FastAPI) -> bool:
    """Return True if the app has middleware or exception handlers that see how a stream or call ends."""
    middleware = (each.cls for each in app.user_middleware)
    if any(not isinstance(each, type) or not issubclass(each, (CarryOn, BaseHTTPMiddleware)) for each in middleware):
        return True
    return any(each.__module__ not in _PLAIN_HANDLERS for each in app.exception_handlers.values())


def _may_yield(route: Any) -> bool:
    """Return True if a route may have dependencies with ``yield``: callables that are not plain functions may."""
    dependant = getattr(route, "dependant", None)
    return dependant is None or any(map(_yields, dependant.dependencies))


def _yields(dependant: Any) -> bool:
    call = dependant.call
    is_plain = inspect.isfunction(call) and not hasattr(call, "__wrapped__")
    if not is_plain or inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        return True
    return any(map(_yields, dependant.dependencies))
