"""All that Wirespeed knows of the private parts of FastAPI and Starlette.

Each part has a fallback that is right, if slower or less precise. :func:`missing` names the parts that the installed
versions do not have.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from enum import Enum
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import Route
from starlette.types import Receive, Scope
from starlette.websockets import WebSocket


def missing() -> Iterator[str]:
    """Yield the names of parts that the installed versions do not have, with the effect of each."""

    async def never(*_: object) -> Any:
        raise NotImplementedError

    if not hasattr(APIRouter, "_get_routes_version"):
        yield "APIRouter._get_routes_version (finding a route takes longer)"
    if not hasattr(RouteContext(Route("/", never)), "_route_context"):
        yield "RouteContext._route_context (OpenAPI may show a path twice that includes of one router share)"
    if not _has_inclusions():
        yield "_IncludedRouter.include_context (AsyncAPI does not show the tags of include_router())"
    if not hasattr(AsyncExitStack(), "_exit_callbacks"):
        yield "AsyncExitStack._exit_callbacks (an idle connection with a handler takes 4 KiB more)"
    if not hasattr(WebSocket({"type": "websocket"}, never, never), "_receive"):
        yield "WebSocket._receive (connections take the portable lane, which is slower)"


def routes_version(app: FastAPI) -> object:
    """Return a value that changes when routes are added to an app, or to a router that it includes."""
    count = getattr(app.router, "_get_routes_version", None)
    return (count() if count is not None else sum(1 for _ in iter_route_contexts(app.routes)), len(app.routes))


def route_path(scope: Scope) -> str:
    """Return the path of a request below the root path of its app, as Starlette's router sees it."""
    path: str = scope["path"]
    below = path.removeprefix(scope.get("root_path", ""))
    return below if not below or below.startswith("/") else path


def shown_in_openapi(context: RouteContext) -> Any:
    """Return the object whose ``include_in_schema`` decides about a route: an included route has a copy of its own."""
    return getattr(context, "_route_context", None) or context.original_route


class Inclusion(NamedTuple):
    """The documentation that ``include_router()`` adds to each route of a router."""

    tags: Sequence[str | Enum] = ()
    deprecated: bool | None = None
    include_in_schema: bool = True
    responses: Mapping[int | str, dict[str, Any]] = {}


def inclusions(app: FastAPI) -> Mapping[int, Inclusion]:
    """Return the inclusions of an app's routes, by the ``id`` of what :func:`shown_in_openapi` returns."""
    return {id(place): _inclusion(context) for place, context in _included(app.routes, None)}


def _included(routes: Sequence[Any], context: Any) -> Iterator[tuple[Any, Any]]:
    for each in routes:
        if (inner := getattr(each, "include_context", None)) is not None and hasattr(each, "effective_candidates"):
            yield from _included(each.effective_candidates(), inner)
        elif context is not None:
            yield each, context


def _inclusion(context: Any) -> Inclusion:
    none: Any = Inclusion()
    return Inclusion(*(getattr(context, name, getattr(none, name)) for name in Inclusion._fields))


def _has_inclusions() -> bool:
    app, inner = APIRouter(), APIRouter()
    try:
        app.include_router(inner)
        return all(hasattr(each, "include_context") and hasattr(each, "effective_candidates") for each in app.routes)
    except AttributeError:
        return False


def tracer_provider(app: FastAPI) -> Any:
    """Return the provider of OpenTelemetry's tracers with which FastAPI traces an app; None if it does not.

    Older versions of FastAPI have no telemetry of their own; then it is the provider of the program.
    """
    config = getattr(app, "_telemetry", {})
    if not (config.get("tracing", True) and config.get("operation_spans", True)):
        return None
    if (provider := config.get("tracer_provider")) is None:
        trace = sys.modules.get("opentelemetry.trace")  # a program that traces has imported it
        provider = None if trace is None else trace.get_tracer_provider()
    return None if type(provider).__name__ in ("ProxyTracerProvider", "NoOpTracerProvider") else provider


def name_span(scope: Scope, path: str | None) -> None:
    """Name the span that FastAPI's own telemetry makes for a handshake by the path of its route."""
    telemetry = scope.get("fastapi.telemetry")
    span, method = getattr(telemetry, "span", None), getattr(telemetry, "span_method", "WS")
    if span is not None and path:
        span.update_name(f"{method} {path}")
        span.set_attribute("http.route", path)


def has_open_dependencies(scope: Scope) -> bool:
    """Return whether a dependency with ``yield`` is waiting for the endpoint to end, or might be."""
    stacks = [scope.get(name) for name in ("fastapi_inner_astack", "fastapi_function_astack")]
    return any(getattr(stack, "_exit_callbacks", True) for stack in stacks)


def receive_of(websocket: WebSocket) -> Receive:
    """Return the ``receive`` that an endpoint's WebSocket was made with, which leads to the server's own object."""
    receive: Receive = getattr(websocket, "_receive", websocket.receive)
    return receive
