"""The routes of the multiplexed connection, which are plain ones, like those of FastAPI's docs."""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ..surfaces.multiplex.emulation import serve_emulation, serve_http_stream, serve_sse
from ..surfaces.multiplex.site import Site
from ..surfaces.multiplex.websocket import serve_multiplexed
from ..surfaces.streaming import note_stop
from .browser import serve_script
from .serving import check_origin, refusing_when_unavailable, required_serving
from .upgrade import require_upgrade

CENTRIFUGO = "/connection"
"""Prefix that Centrifugo uses; its emulation endpoint is not below it but beside it."""


def multiplex_routes(prefix: str) -> list[BaseRoute]:
    """Return the routes below a prefix.

    Raises:
        ValueError: The prefix is not a path.
    """
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ValueError(f"prefix must be a path such as '/live', not {prefix!r}")
    route, emulation = partial(_Route, include_in_schema=False), _checked(serve_emulation)
    beside = [route("/emulation", emulation, methods=["POST"])] if prefix == CENTRIFUGO else []
    return [
        WebSocketRoute(f"{prefix}/websocket", _websocket),
        route(f"{prefix}/websocket", require_upgrade, methods=["GET"]),
        route(f"{prefix}/http_stream", _checked(serve_http_stream), methods=["POST"]),
        route(f"{prefix}/sse", _checked(serve_sse), methods=["GET"]),
        route(f"{prefix}/emulation", emulation, methods=["POST"]),
        route(f"{prefix}/wirespeed.js", serve_script, methods=["GET"]),
        *beside,
    ]


class _Route(Route):
    """A route that notes a stop of the server: a response that is yet to begin would not learn of it."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        lanes = required_serving(scope["app"]).hub.lanes
        with lanes.notified_of_stop(receive, partial(note_stop, scope)):
            await super().handle(scope, receive, send)


async def _websocket(websocket: WebSocket) -> None:
    await check_origin(websocket)
    with refusing_when_unavailable():
        await serve_multiplexed(websocket, required_serving(websocket.app).site)


def _checked(serve: Callable[[Request, Site], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that refuses pages of other origins."""

    async def endpoint(request: Request) -> Response:
        await check_origin(request)
        with refusing_when_unavailable():
            return await serve(request, required_serving(request.app).site)

    return endpoint
