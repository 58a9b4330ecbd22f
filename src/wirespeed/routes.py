"""Our HTTP routes beside the user's own: theirs win, whatever the order of declaration."""

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
"""Of a route that names none: an ASGI app, which takes all."""

_Place = tuple[str, str]
Matches = Callable[[Scope], tuple[Match, Scope]]


class LiveRoute(APIRoute):
    """A route that yields to a user's route of the same method and of a path of the same shape.

    It is also not there for where it was included with dependencies that want a WebSocket. OpenAPI shows it
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
        """Return FastAPI's handler, whose 422 tells of a few errors only: each one quotes what the client has sent."""
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise RequestValidationError(few(error.errors()), body=error.body) from None

        return handle_bounded


@dataclass
class _Table:
    """What our routes of one app yield to.

    Args:
        version: Of the app's routes, when this was made.
    """

    version: object
    rivals: dict[int, list[Matches]] = field(default_factory=dict)
    """Users' routes, by the ``id`` of ours."""
    unfit: dict[int, list[Matches]] = field(default_factory=dict)
    """Ours, where they cannot work."""

    def yields(self, route: LiveRoute, scope: Scope) -> bool:
        """Whether a route of ours leaves a request to others."""
        unfit, rivals = self.unfit.get(id(route), ()), self.rivals.get(id(route), ())
        as_get = {**scope, "method": "GET"}  # who answers a GET is asked for the HEAD, too
        scopes = [scope, as_get] if scope.get("method") == "HEAD" else [scope]
        return any(here(scope)[0] is not Match.NONE for here in unfit) or any(
            takes(each)[0] is Match.FULL for takes in rivals for each in scopes
        )


def settle(app: FastAPI) -> None:
    """Hides from OpenAPI those of our routes that yield; to be called when all routes are declared."""
    _table(app)


def document(app: FastAPI) -> None:
    """Settles, whenever the app's OpenAPI document is asked for."""
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
                shown_in_openapi(context).include_in_schema = False
    return table


def _by_place(contexts: Iterable[RouteContext]) -> Mapping[_Place, Sequence[RouteContext]]:
    places: dict[_Place, list[RouteContext]] = {}
    for context in contexts:
        if isinstance(context.original_route, Route):
            for place in _places(context):
                places.setdefault(place, []).append(context)
    return places


def _places(context: RouteContext) -> Iterator[_Place]:
    """A path's shape, in which the names of its parameters do not matter, with each method."""
    shape = _NAME.sub("(", context.path_regex.pattern)
    for method in context.methods or _ALL_METHODS:
        yield shape, method
        if method == "HEAD" and isinstance(context.original_route, LiveRoute):
            yield shape, "GET"


def _own_matches(context: RouteContext, route: LiveRoute) -> Matches:
    own = partial(APIRoute.matches, route)
    matches: Matches = getattr(context, "matches", own)
    # Asking a route that was not included would ask its own `matches` again.
    return own if getattr(matches, "__self__", None) is route else matches


def _wants_websocket(dependant: Dependant) -> bool:
    return dependant.websocket_param_name is not None or any(map(_wants_websocket, dependant.dependencies))
