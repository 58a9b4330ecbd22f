"""Live and LiveRouter: what a FastAPI developer holds in hand."""

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fastapi import APIRouter, Depends, FastAPI, WebSocketException
from fastapi import params as fastapi_params
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import websocket_request_validation_exception_handler
from fastapi.exceptions import WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIWebSocketRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from .declare import check_route, declare_stream, definition_of
from .definitions import Overlap, Stream
from .errors import BindingError
from .hub import Hub, Statistics
from .routes import LiveRoute, document, settle
from .settings import Settings
from .surfaces.formats import documented
from .surfaces.http import BoundedRequest, respond
from .surfaces.origin import Origins
from .surfaces.websocket import serve

logger = logging.getLogger("wirespeed")

Function = TypeVar("Function", bound=Callable[..., AsyncIterable[Any] | Iterable[Any]])


class _Declares(ABC):
    """The decorators, the same on ``Live`` and ``LiveRouter``."""

    @property
    @abstractmethod
    def _routes(self) -> APIRouter:
        """Where routes are added."""

    def stream(
        self,
        path: str,
        *,
        overlap: Overlap = "queue",
        dependencies: Sequence[fastapi_params.Depends] | None = None,
        name: str | None = None,
        http: bool = True,
    ) -> Callable[[Function], Function]:
        """Makes a stream of a generator: it is run for one client, once per message that the client sends.

        The message is the parameter that FastAPI would take for the body: a model, dataclass, TypedDict or list, or
        what is marked with ``Message()``. An ``AsyncIterator[T]`` parameter makes it duplex: one run from accept on,
        with all messages. Without a message it runs once, from accept on; then the connection closes with 1000. All
        other parameters, and ``Depends``, are resolved once, when the client connects.

        A client that leaves cancels the run: the generator's ``finally`` blocks run, within a second. A synchronous
        generator runs in a worker thread and is closed at the value that it yields next.

        A POST to its path runs it once, too, with the body as the message, and answers with JSON Lines, or with
        Server-Sent Events if the client asks for them. Duplex streams, streams that take bytes, and those that want a
        ``WebSocket`` have no POST; one that the app declares itself is used in its place.

        Args:
            path: The path, as for any FastAPI route.
            overlap: What a message does that comes during a run: ``"queue"`` waits for its end, ``"replace"`` cancels
                it.
            dependencies: As for any FastAPI route.
            name: The route's name for ``url_path_for``; the function's by default.
            http: Whether it can be had by POST.

        Returns:
            A decorator that gives back the function as it was.

        Raises:
            DeclarationError: From the decorator: the function cannot be a stream as it stands.
        """

        def decorate(function: Function) -> Function:
            guards = [Depends(_check_origin), *(dependencies or ())]
            answer = _respond if http else None
            declared = declare_stream(path, function, _serve, respond=answer, overlap=overlap, dependencies=guards)
            self._routes.add_api_websocket_route(path, declared.endpoint, name=name, dependencies=guards)
            if declared.post is not None:
                self._add_post(path, declared.post, name, guards, documented(declared.stream, declared.item))
            return function

        return decorate

    def _add_post(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None,
        guards: list[fastapi_params.Depends],
        documentation: dict[str, Any],
    ) -> None:
        self._routes.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            name=name,
            dependencies=guards,
            route_class_override=_PostRoute,
            **documentation,
        )


class LiveRouter(APIRouter, _Declares):
    """To :class:`Live` what ``APIRouter`` is to ``FastAPI``: declares streams for ``app.include_router(router)``.

    Takes the arguments of ``APIRouter``. The app that includes it needs a ``Live``; its startup fails otherwise.
    """

    if not TYPE_CHECKING:  # APIRouter's signature stands, for type checkers and editors

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.include_router(APIRouter(lifespan=_requires_live))

    @property
    def _routes(self) -> APIRouter:
        return self


class Live(_Declares):
    """Live data for one FastAPI app.

    Args:
        app: The app. It keeps everything of its own: lifespan, exception handlers, middleware.
        allowed_origins: Origins whose pages may connect beside the server's own, such as
            ``"https://app.example.com"``; ``"null"`` admits pages opened from a file, ``"*"`` everyone.
        settings: The limits; the defaults are safe to serve with.

    Raises:
        BindingError: The app has a ``Live`` already.
        ValueError: An entry of ``allowed_origins`` is not an origin.
    """

    def __init__(self, app: FastAPI, *, allowed_origins: Iterable[str] = (), settings: Settings | None = None) -> None:
        if not isinstance(app, FastAPI):
            raise BindingError(f"Live takes a FastAPI app, not {app!r}; on a router, use LiveRouter")
        if _live_of(app) is not None:
            raise BindingError("This app has a Live already; use that one, and LiveRouter in other modules.")
        self._app = app
        self._origins = Origins(allowed_origins)
        self._hub = Hub(settings or Settings())
        app.state.wirespeed = self
        app.include_router(APIRouter(lifespan=self._lifespan))
        document(app)
        self._explain_refusals()

    def statistics(self) -> Statistics:
        """What the app's connections do now and have done so far; cheap enough to ask for often."""
        return self._hub.statistics()

    @property
    def _routes(self) -> APIRouter:
        return self._app.router

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        for route in iter_route_contexts(app.routes):
            stream = definition_of(route.endpoint)
            if stream is not None and isinstance(route.original_route, APIWebSocketRoute):
                check_route(stream, route.dependant)
        settle(app)
        async with self._hub:
            yield

    def _explain_refusals(self) -> None:
        """Clients of our routes are told why they are refused; other routes, and handlers of the user's, stay as is."""
        handlers: dict[Any, Any] = cast("Any", self._app.exception_handlers)
        if handlers.get(WebSocketRequestValidationError) is websocket_request_validation_exception_handler:
            handlers[WebSocketRequestValidationError] = _refuse_invalid
        handlers.setdefault(WebSocketException, _refuse)

    def _refuse_foreign(self, connection: HTTPConnection) -> None:
        """Refuses pages of other origins.

        Raises:
            HTTPException: 403; the log names the setting that would admit the page.
        """
        origin, host = connection.headers.get("origin"), connection.headers.get("host")
        if self._origins.admits(origin, host):
            return
        self._hub.refused("origin")
        logger.warning(
            "%s: refused a page of origin %r; Live(app, allowed_origins=[%r]) would admit it",
            connection.url.path,
            origin,
            origin,
        )
        raise HTTPException(403, f"Pages of origin {origin!r} may not connect here.")


def _live_of(app: Any) -> Live | None:
    live = getattr(app.state, "wirespeed", None)
    return live if isinstance(live, Live) else None


def _required_live(app: Any) -> Live:
    live = _live_of(app)
    if live is None:
        raise BindingError("A LiveRouter was included in an app that has no Live: write live = Live(app).")
    return live


@asynccontextmanager
async def _requires_live(app: FastAPI) -> AsyncIterator[None]:
    _required_live(app)
    yield


async def _check_origin(connection: HTTPConnection) -> None:
    _required_live(connection.app)._refuse_foreign(connection)


async def _serve(websocket: WebSocket, stream: Stream, arguments: Mapping[str, Any]) -> None:
    await serve(websocket, stream, _required_live(websocket.app)._hub, arguments)


def _respond(request: Request, stream: Stream, arguments: Mapping[str, Any]) -> Response:
    return respond(request, stream, _required_live(request.app)._hub, arguments)


class _PostRoute(LiveRoute):
    """Runs a stream once; the body is a message, and bounded as messages are."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            return await handle(BoundedRequest(request, _required_live(request.app)._hub))

        return handle_bounded


async def _refuse_invalid(websocket: WebSocket, error: WebSocketRequestValidationError) -> None:
    """Answers 422 with FastAPI's detail, where the server can answer a handshake with a response."""
    if _can_explain(websocket):
        content = {"detail": jsonable_encoder(error.errors())}
        await websocket.send_denial_response(JSONResponse(content, status_code=422))
    else:
        await websocket_request_validation_exception_handler(websocket, error)


async def _refuse(connection: HTTPConnection, error: WebSocketException) -> Response | None:
    """Answers 403 with the reason, where the server can answer a handshake with a response."""
    refusal = JSONResponse({"detail": error.reason, "code": error.code}, status_code=403)
    if not isinstance(connection, WebSocket):  # a POST whose dependency was written for WebSockets
        if definition_of(connection.scope.get("endpoint")) is None:
            raise error
        return refusal
    if _can_explain(connection):
        await connection.send_denial_response(refusal)
    else:
        await connection.close(error.code, error.reason)
    return None


def _can_explain(websocket: WebSocket) -> bool:
    is_ours = definition_of(websocket.scope.get("endpoint")) is not None
    return is_ours and "websocket.http.response" in websocket.scope.get("extensions", {})
