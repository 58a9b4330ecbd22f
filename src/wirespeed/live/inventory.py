"""The definitions of an app, as its routes serve them."""

from collections.abc import Iterator

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIWebSocketRoute, RouteContext, iter_route_contexts
from starlette.routing import compile_path

from ..declare import definition_of
from ..definitions import Definition, Description, Placed, Watched, describe
from ..errors import DeclarationError
from ..hub import Hub
from ..routes import LiveRoute, settle, shape_of


def definitions_of(app: FastAPI) -> Iterator[tuple[Placed, RouteContext]]:
    """Yield each definition of an app with its WebSocket route, in the order of the routes."""
    answers = settle(app)
    routes = list(iter_route_contexts(app.routes))
    over_http = {
        (route.path, id(definition_of(route.endpoint)))
        for route in routes
        if isinstance(route.original_route, LiveRoute) and answers(route)
    }
    for route in routes:
        definition = definition_of(route.endpoint)
        if definition is not None and isinstance(route.original_route, APIWebSocketRoute):
            yield Placed(route.path or definition.path, definition, (route.path, id(definition)) in over_http), route


def bind_all(app: FastAPI, hub: Hub) -> list[tuple[Placed, RouteContext]]:
    """Make all feeds and topics of an app known to its hub; return all definitions in the order of the routes.

    Raises:
        DeclarationError: Two definitions have the same path, maybe by the prefixes of their routers.
    """
    definitions = list(definitions_of(app))
    places: dict[str, Definition] = {}
    for (path, definition, _), route in definitions:
        _check_same(path, definition, places.setdefault(shape_of(route.path_regex.pattern), definition))
    # In the order of their paths: a router may be included twice, and the first path names the logs.
    for placed, _ in sorted(definitions, key=lambda each: each[0].path):
        if isinstance(placed.definition, Watched):
            hub.bind(placed.definition, placed.path)
    return definitions


def check_free(routes: APIRouter, definition: Definition) -> None:
    """Check that no other definition of a router, and of those that it includes so far, has a definition's path.

    Raises:
        DeclarationError: One has it. A path leads to one definition, and clients would never reach the other.
    """
    path = routes.prefix + definition.path
    shape = shape_of(compile_path(path)[0].pattern)
    for route in iter_route_contexts(routes.routes):
        other = definition_of(route.endpoint)
        if other is not None and shape_of(route.path_regex.pattern) == shape:
            _check_same(path, definition, other)


def _check_same(path: str, definition: Definition, other: Definition) -> None:
    if other is not definition:
        problem = f"{other.title} has the path {path!r} already, and a path leads to one of them: choose another path"
        raise DeclarationError(definition.title, problem)


def describe_app(app: FastAPI) -> tuple[Description, ...]:
    """Return the description of everything that an app declares, routers with their prefixes included."""
    return describe(placed for placed, _ in definitions_of(app))
