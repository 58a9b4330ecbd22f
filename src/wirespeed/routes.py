"""HTTP routes of definitions; the app's own routes take precedence over them, whatever the order of declaration."""

import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from .codec import few
from .frameworks import routes_version, shown_in_openapi

_NAME = re.compile(r"\(\?P<\w+>")

_ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
"""Methods of a route that names none: an ASGI app, which takes all of them."""

_Place = tuple[str, str]
Matches = Callable[[Scope], tuple[Match, Scope]]


class LiveRoute(APIRoute):
    """A route that yields to a route of the app with the same method and a path of the same shape.

    It also does not answer where its router is included with a dependency that takes a WebSocket. OpenAPI shows it
    wherever it answers.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        app = scope.get("app")
        if match is Match.NONE or not isinstance(app, FastAPI):
            return match, child_scope
        yields = _table(app).yields(self, scope)
        return (Match.NONE, {}) if yields else (match, child_scope)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler with a limit to the errors in a 422, because each quotes the client's data."""
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise RequestValidationError(few(error.errors()), body=error.body) from None

        return handle_bounded


@dataclass
class _Table:
    """The routes to which the definitions' routes of one app yield."""

    version: object
    rivals: dict[int, list[Matches]] = field(default_factory=dict)
    """Routes of the app, by the ``id`` of the route that yields to them."""
    unfit: dict[int, list[Matches]] = field(default_factory=dict)
    """Places where a route cannot work, by its ``id``."""
    hidden: list[Any] = field(default_factory=list)
    """Objects that hide from OpenAPI the places where routes do not answer."""

    def yields(self, route: LiveRoute, scope: Scope) -> bool:
        """Return whether a route leaves a request to others."""
        unfit, rivals = self.unfit.get(id(route), ()), self.rivals.get(id(route), ())
        as_get = {**scope, "method": "GET"}  # a route that answers GET also gets HEAD
        scopes = [scope, as_get] if scope.get("method") == "HEAD" else [scope]
        return any(here(scope)[0] is not Match.NONE for here in unfit) or any(
            takes(each)[0] is Match.FULL for takes in rivals for each in scopes
        )


def settle(app: FastAPI) -> Callable[[RouteContext], bool]:
    """Hide from OpenAPI the routes that yield to others; call it when all routes are declared.

    Returns:
        A function that returns True if a route answers, and does not yield.
    """
    hidden = set(map(id, _table(app).hidden))
    return lambda context: id(shown_in_openapi(context)) not in hidden


def document(app: FastAPI) -> None:
    """Call :func:`settle` before each OpenAPI document of the app."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        settle(app)
        return original()

    app.openapi = openapi  # type: ignore[method-assign]


def _table(app: FastAPI) -> _Table:
    table: _Table | None = getattr(app.state, "wirespeed_routes", None)
    version = routes_version(app)
    if table is None or table.version != version:
        table = app.state.wirespeed_routes = _made(app, version)
    return table


def _made(app: FastAPI, version: object) -> _Table:
    table = _Table(version)
    contexts = list(iter_route_contexts(app.routes))
    theirs = _by_place(context for context in contexts if not isinstance(context.original_route, LiveRoute))
    for context in contexts:
        if isinstance(route := context.original_route, LiveRoute):
            rivals = [rival.matches for place in _places(context) for rival in theirs.get(place, ())]
            unfit = [_own_matches(context, route)] if _wants_websocket(context.dependant) else []
            table.rivals.setdefault(id(route), []).extend(rivals)
            table.unfit.setdefault(id(route), []).extend(unfit)
            if rivals or unfit:
                table.hidden.append(shown_in_openapi(context))
                table.hidden[-1].include_in_schema = False
    return table


def _by_place(contexts: Iterable[RouteContext]) -> Mapping[_Place, Sequence[RouteContext]]:
    places: dict[_Place, list[RouteContext]] = {}
    for context in contexts:
        if isinstance(context.original_route, Route):
            for place in _places(context):
                places.setdefault(place, []).append(context)
    return places


def shape_of(pattern: str) -> str:
    """Return the shape of a path from its regular expression: it ignores the names of parameters."""
    return _NAME.sub("(", pattern)


def _places(context: RouteContext) -> Iterator[_Place]:
    """Yield the shape of a path, which ignores the names of its parameters, with each method."""
    shape = shape_of(context.path_regex.pattern)
    for method in context.methods or _ALL_METHODS:
        yield shape, method
        if method == "HEAD" and isinstance(context.original_route, LiveRoute):
            yield shape, "GET"


def _own_matches(context: RouteContext, route: LiveRoute) -> Matches:
    own = partial(APIRoute.matches, route)
    matches: Matches = getattr(context, "matches", own)
    # The context of a route that was not included would call the route's own `matches` again.
    return own if getattr(matches, "__self__", None) is route else matches


def _wants_websocket(dependant: Dependant) -> bool:
    return dependant.websocket_param_name is not None or any(map(_wants_websocket, dependant.dependencies))
