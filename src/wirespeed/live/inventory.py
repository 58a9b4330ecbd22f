"""The definitions of an app, as its routes serve them."""

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute, RouteContext, iter_route_contexts
from starlette.routing import compile_path

from ..declare import definition_of
from ..definitions import Definition, Description, Placed, TakesMessages, Watched, describe
from ..errors import BindingError, DeclarationError
from ..frameworks import routes_version
from ..hub import Hub
from ..routes import LiveRoute, settle, shape_of

_apps: WeakSet[FastAPI] = WeakSet()
"""The apps that have a ``Live``: a script that imports a definition does not say which app serves it."""


def note(app: FastAPI) -> None:
    """Note that an app has a ``Live``."""
    _apps.add(app)


def place_of(target: Watched[Any, Any] | Callable[..., Any]) -> Placed:
    """Return a feed or topic, or the stream or call of a function, with the path at which an app serves it.

    Raises:
        BindingError: No app of this process serves it, or apps serve it at several paths.
    """
    places = {
        placed.path: placed
        for app in list(_apps)
        for placed in _placed(app)
        if placed.definition is target or placed.definition.function == target
    }
    found = list(places.values())
    if len(found) == 1:
        return found[0]
    if found:
        paths = " and ".join(sorted(places))
        raise BindingError(f"{found[0].definition.title} is served at {paths}: give one of the paths")
    name = target.title if isinstance(target, Watched) else repr(target)
    raise BindingError(
        f"{name} is not a feed, topic, stream or call of an app in this process: import the module that includes it in "
        "an app, or give its path"
    )


def _placed(app: FastAPI) -> list[Placed]:
    """Return the definitions of an app; they are read again only if its routes have changed."""
    version = routes_version(app)
    known: tuple[object, list[Placed]] | None = getattr(app.state, "wirespeed_placed", None)
    if known is None or known[0] != version:
        known = app.state.wirespeed_placed = version, [placed for placed, _ in definitions_of(app)]
    return known[1]


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
    """Make all definitions of an app known to its hub; return all definitions in the order of the routes.

    Raises:
        DeclarationError: Two definitions have the same path, maybe by the prefixes of their routers.
    """
    definitions = list(definitions_of(app))
    places: dict[str, Definition] = {}
    for (path, definition, _), _ in definitions:
        take_place(places, path, definition)
    # In the order of their paths: a router may be included twice, and the first path names the logs.
    for placed, _ in sorted(definitions, key=lambda each: each[0].path):
        if isinstance(placed.definition, Watched):
            hub.bind(placed.definition, placed.path)
        elif isinstance(placed.definition, TakesMessages):
            hub.running.bind(placed.definition, placed.path)
    return definitions


def take_place(places: dict[str, Definition], path: str, definition: Definition) -> None:
    """Note that a definition has a path, among those that have theirs.

    Raises:
        DeclarationError: Another one has it. A path leads to one definition, and clients would never reach the other.
    """
    other = places.setdefault(shape_of(compile_path(path)[0].pattern), definition)
    if other is not definition:
        problem = f"{other.title} has the path {path!r} already, and a path leads to one of them: choose another path"
        raise DeclarationError(definition.title, problem)


def describe_app(app: FastAPI) -> tuple[Description, ...]:
    """Return the description of everything that an app declares, routers with their prefixes included."""
    return describe(placed for placed, _ in definitions_of(app))
