"""WebSocket handshakes that arrive as plain GETs, because a proxy has dropped their ``Upgrade`` header."""

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from .serving import required_serving

_HANDSHAKE = (b"sec-websocket-key", b"sec-websocket-version")
_SENTENCE = (
    "This address expects a WebSocket, but the request arrived without its Upgrade header. If the client sent one, "
    "a proxy has dropped it: configure the proxy to pass on Upgrade and Connection."
)


_LINE = "a WebSocket handshake arrived without its Upgrade header, which a proxy has probably dropped"


def is_handshake(scope: Scope) -> bool:
    """Return whether an HTTP request is a WebSocket handshake without the headers that proxies drop."""
    return scope["method"] == "GET" and any(name in _HANDSHAKE for name, _ in scope["headers"])


async def require_upgrade(request: Request) -> Response:
    """Answer 426 (RFC 9110, section 15.5.22)."""
    if is_handshake(request.scope):
        hub = required_serving(request.app).hub
        hub.refused("upgrade", request.scope["path"], _LINE, logging.WARNING)
    return JSONResponse({"detail": _SENTENCE}, 426, {"upgrade": "websocket", "connection": "upgrade"})
