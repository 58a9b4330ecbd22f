"""The way from an endpoint to the surface that serves it, and the refusals before that."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import responses
from typing import Any, NamedTuple, TypeVar, cast

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import websocket_request_validation_exception_handler
from fastapi.exceptions import WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ..codec import few
from ..declare import definition_of
from ..definitions import Call, Definition, Stream, Watched
from ..errors import BindingError, InvalidToken, TokenExpired, TokensUnavailable, Unavailable
from ..hub import Hub
from ..routes import LiveRoute
from ..surfaces.admitted import check_revoked, mark
from ..surfaces.answers import token_answer
from ..surfaces.calls import respond_once, serve_calls
from ..surfaces.get import answer
from ..surfaces.http import BoundedRequest, respond
from ..surfaces.kept import serve_kept
from ..surfaces.kept_http import respond_kept
from ..surfaces.multiplex.admission import admission_of
from ..surfaces.multiplex.site import Site
from ..surfaces.origin import Origins, server_origin
from ..surfaces.refusals import RETRY_AFTER, is_counted, mark_counted, noting, unavailable
from ..surfaces.resume import resumption_of
from ..surfaces.streaming import note_stop
from ..surfaces.watch import serve_watcher
from ..surfaces.websocket import serve

Defined = TypeVar("Defined", bound=Definition)
Serve = Callable[[WebSocket, Defined, Mapping[str, Any]], Awaitable[None]]

EXPLAINS = "wirespeed_explains"
"""Name of the attribute of endpoints that are ours, and do not serve a definition of the app."""

HEADERS_SIZE = 64 * 1024
"""Largest number of bytes of a request's address and headers; some of uvicorn's parsers have no such limit."""


class Serving(NamedTuple):
    """The objects that serve the connections of one app."""

    hub: Hub
    origins: Origins
    site: Site
    prefix: str | None
    """Path of the multiplexed connection; None if there is none."""


def serving_of(app: Any) -> Serving | None:
    """Return the objects that serve an app's connections; None without a ``Live``."""
    serving = getattr(app.state, "wirespeed", None)
    return serving if isinstance(serving, Serving) else None


def required_serving(app: Any) -> Serving:
    """Return the objects that serve an app's connections.

    Raises:
        BindingError: The app has no ``Live``.
    """
    serving = serving_of(app)
    if serving is None:
        raise BindingError("The app includes a LiveRouter but has no Live; write live = Live(app).")
    return serving


def check_size(connection: HTTPConnection) -> None:
    """Refuse requests with long headers, which are kept as long as the connection.

    Raises:
        HTTPException: 431.
    """
    scope = connection.scope
    size = sum(len(name) + len(value) for name, value in scope["headers"])
    if size + len(scope["path"]) + len(scope.get("query_string", b"")) > HEADERS_SIZE:
        raise HTTPException(431, f"The address and the headers are larger than {HEADERS_SIZE} bytes.")


async def check_origin(connection: HTTPConnection) -> None:
    """Refuse requests with long headers, and pages of other origins.

    Raises:
        HTTPException: 431 for long headers; 403 for a page, while the log names the setting that would admit it.
    """
    if admission_of(connection.scope) is not None:  # the headers of a command are those of its connection
        return
    check_size(connection)
    serving = required_serving(connection.app)
    origin, host = connection.headers.get("origin"), connection.headers.get("host")
    scheme = connection.scope.get("scheme", "http")
    if serving.origins.admits(origin, host, scheme):
        return
    line = (
        f"{connection.url.path}: refused a page of origin {origin!r}; Live(app, allowed_origins=[{origin!r}]) would "
        f"admit it. The server's own origin is {server_origin(host, scheme)!r}, from the Host header {host!r}."
    )
    serving.hub.refused("origin", level=logging.WARNING, line=line)
    mark_counted(connection.scope)
    raise HTTPException(403, f"Pages of origin {origin!r} may not connect here.")


def note_refusal(hub: Hub, scope: Scope, status: int) -> None:
    """Count an answer that refuses a client of a definition; refused commands are counted elsewhere."""
    if definition_of(scope.get("endpoint")) is not None and admission_of(scope) is None and not is_counted(scope):
        hub.refused(f"status {status:d}", scope["path"], responses.get(status, ""))


@contextmanager
def refusing_when_unavailable() -> Iterator[None]:
    """Answer 503 once the app has stopped, since some servers accept connections until the very end; or if it needs a
    broker to start that cannot be reached."""
    try:
        yield
    except Unavailable as error:
        raise unavailable(error) from None


def _served(serve: Callable[[WebSocket, Defined, Hub, Mapping[str, Any]], Awaitable[None]]) -> Serve[Defined]:
    """Return the function that serves a WebSocket, or captures the admission of a command."""

    async def serve_or_capture(websocket: WebSocket, definition: Defined, arguments: Mapping[str, Any]) -> None:
        if (admission := admission_of(websocket.scope)) is not None:
            await admission.capture(definition, arguments, websocket)
            return
        with refusing_when_unavailable():
            await serve(websocket, definition, required_serving(websocket.app).hub, arguments)

    return serve_or_capture


async def _serve_stream(websocket: WebSocket, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> None:
    asked = resumption_of(stream, websocket)
    await (
        serve(websocket, stream, hub, arguments)
        if asked is None
        else serve_kept(websocket, stream, hub, arguments, asked)
    )


serve_stream = _served(_serve_stream)
serve_call = _served(serve_calls)
serve_watched = _served(serve_watcher)


async def respond_stream(request: Request, stream: Stream, arguments: Mapping[str, Any]) -> Response:
    hub = required_serving(request.app).hub
    asked = resumption_of(stream, request)
    if asked is None:
        return respond(request, stream, hub, arguments)
    return respond_kept(request, stream, hub, arguments, asked)


async def answer_call(request: Request, call: Call, arguments: Mapping[str, Any]) -> Response:
    hub = required_serving(request.app).hub
    check_revoked(hub, request.scope, call.title)
    return await respond_once(call, hub, arguments)


async def get_watched(request: Request, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> Response:
    """Answer a GET of a feed or topic."""
    check_size(request)
    with refusing_when_unavailable():
        return await answer(request, watched, required_serving(request.app).hub, arguments)


class CountedRoute(LiveRoute):
    """A route of a definition, whose refusals are counted at no cost to the app's own routes."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub = required_serving(scope["app"]).hub
        refused = partial(note_refusal, hub)
        mark(hub, scope)
        try:
            with hub.lanes.notified_of_stop(receive, partial(note_stop, scope)):
                await super().handle(scope, receive, noting(scope, send, refused))
        except HTTPException as error:  # a 405, which is answered further out
            refused(scope, error.status_code)
            raise


class PostRoute(CountedRoute):
    """A route whose body is one message, with the size limit of messages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            return await handle(BoundedRequest(request, required_serving(request.app).hub))

        return handle_bounded


def explain_refusals(app: FastAPI) -> None:
    """Let clients of definitions learn why they are refused. The app's own handlers stay as they are."""
    handlers: dict[Any, Any] = cast("Any", app.exception_handlers)
    if handlers.get(WebSocketRequestValidationError) is websocket_request_validation_exception_handler:
        handlers[WebSocketRequestValidationError] = _refuse_invalid
    handlers.setdefault(WebSocketException, _refuse)
    handlers.setdefault(Unavailable, _refuse_unavailable)
    for kind in (InvalidToken, TokenExpired, TokensUnavailable):
        handlers.setdefault(kind, _refuse_token)


async def _refuse_unavailable(connection: HTTPConnection, error: Unavailable) -> Response:
    """Answer 503, on the app's own routes, too: they publish, or read what was published."""
    return JSONResponse({"detail": error.advice}, 503, RETRY_AFTER)


async def _refuse_token(connection: HTTPConnection, error: Exception) -> Response:
    """Answer as ``current_identity`` does, on the app's own routes, too: they share guards with definitions."""
    answer = token_answer(error)
    assert answer is not None
    return JSONResponse({"detail": answer.detail}, answer.status_code, answer.headers)


async def _refuse_invalid(websocket: WebSocket, error: WebSocketRequestValidationError) -> None:
    """Answer 422 with FastAPI's detail, if the server can answer a handshake with a response."""
    if _can_explain(websocket):
        content = {"detail": jsonable_encoder(few(error.errors()))}
        await websocket.send_denial_response(JSONResponse(content, status_code=422))
    else:
        await websocket_request_validation_exception_handler(websocket, error)


async def _refuse(connection: HTTPConnection, error: WebSocketException) -> Response | None:
    """Answer 403 with the reason, if the server can answer a handshake with a response."""
    refusal = JSONResponse({"detail": error.reason, "code": error.code}, status_code=403)
    if not isinstance(connection, WebSocket):  # a POST whose dependency was written for WebSockets
        if not _is_ours(connection.scope.get("endpoint")):
            raise error
        return refusal
    if _can_explain(connection):
        await connection.send_denial_response(refusal)
    else:
        await connection.close(error.code, error.reason)
    return None


def _can_explain(websocket: WebSocket) -> bool:
    is_ours = _is_ours(websocket.scope.get("endpoint"))
    return is_ours and "websocket.http.response" in websocket.scope.get("extensions", {})


def _is_ours(endpoint: object) -> bool:
    return definition_of(endpoint) is not None or getattr(endpoint, EXPLAINS, False)
