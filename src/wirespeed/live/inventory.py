"""The definitions of an app, as its routes serve them."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.routing import APIWebSocketRoute, RouteContext, iter_route_contexts

from ..declare import definition_of
from ..definitions import Description, Placed, Watched, describe
from ..frameworks import shown_in_openapi
from ..hub import Hub
from ..routes import LiveRoute, settle


def definitions_of(app: FastAPI) -> Iterator[tuple[Placed, RouteContext]]:
    """Yield each definition of an app with its WebSocket route, in the order of the routes."""
    settle(app)
    routes = list(iter_route_contexts(app.routes))
    over_http = {
        (route.path, id(definition_of(route.endpoint)))
        for route in routes
        if isinstance(route.original_route, LiveRoute) and shown_in_openapi(route).include_in_schema
    }
    for route in routes:
        definition = definition_of(route.endpoint)
        if definition is not None and isinstance(route.original_route, APIWebSocketRoute):
            yield Placed(route.path or definition.path, definition, (route.path, id(definition)) in over_http), route


def bind_all(app: FastAPI, hub: Hub) -> list[tuple[Placed, RouteContext]]:
    """Make all feeds and topics of an app known to its hub; return all definitions in the order of the routes."""
    definitions = list(definitions_of(app))
    # In the order of their paths: a router may be included twice, and the first path names the logs.
    for placed, _ in sorted(definitions, key=lambda each: each[0].path):
        if isinstance(placed.definition, Watched):
            hub.bind(placed.definition, placed.path)
    return definitions


def describe_app(app: FastAPI) -> tuple[Description, ...]:
    """Return the description of everything that an app declares, routers with their prefixes included."""
    return describe(placed for placed, _ in definitions_of(app))
