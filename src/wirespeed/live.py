"""Live and LiveRouter: what a FastAPI developer holds in hand."""

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fastapi import APIRouter, Depends, FastAPI, WebSocketException
from fastapi import params as fastapi_params
from fastapi.encoders import jsonable_encoder
from fastapi.exception_handlers import websocket_request_validation_exception_handler
from fastapi.exceptions import WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from .declare import check_route, declare_stream, definition_of
from .definitions import Overlap, Stream
from .errors import BindingError
from .hub import Hub, Statistics
from .settings import Settings
from .surfaces.origin import Origins
from .surfaces.websocket import serve

logger = logging.getLogger("wirespeed")

Function = TypeVar("Function", bound=Callable[..., AsyncIterable[Any] | Iterable[Any]])


class _Declares(ABC):
    """The decorators, the same on ``Live`` and ``LiveRouter``."""

    @abstractmethod
    def _add(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None,
        dependencies: list[fastapi_params.Depends],
    ) -> None:
        """Adds one WebSocket route."""

    def stream(
        self,
        path: str,
        *,
        overlap: Overlap = "queue",
        dependencies: Sequence[fastapi_params.Depends] | None = None,
        name: str | None = None,
    ) -> Callable[[Function], Function]:
        """Makes a stream of a generator: it is run for one client, once per message that the client sends.

        The message is the parameter that FastAPI would take for the body: a model, dataclass, TypedDict or list, or
        what is marked with ``Message()``. An ``AsyncIterator[T]`` parameter makes it duplex: one run from accept on,
        with all messages. Without a message it runs once, from accept on; then the connection closes with 1000. All
        other parameters, and ``Depends``, are resolved once, when the client connects.

        A client that leaves cancels the run: the generator's ``finally`` blocks run, within a second. A synchronous
        generator runs in a worker thread and is closed at the value that it yields next.

        Args:
            path: The path, as for any FastAPI route.
            overlap: What a message does that comes during a run: ``"queue"`` waits for its end, ``"replace"`` cancels
                it.
            dependencies: As for any FastAPI route.
            name: The route's name for ``url_path_for``; the function's by default.

        Returns:
            A decorator that gives back the function as it was.

        Raises:
            DeclarationError: From the decorator: the function cannot be a stream as it stands.
        """

        def decorate(function: Function) -> Function:
            guards = [Depends(_check_origin), *(dependencies or ())]
            declared = declare_stream(path, function, _serve, overlap=overlap, dependencies=guards)
            self._add(path, declared.endpoint, name, guards)
            return function

        return decorate


class LiveRouter(APIRouter, _Declares):
    """To :class:`Live` what ``APIRouter`` is to ``FastAPI``: declares streams for ``app.include_router(router)``.

    Takes the arguments of ``APIRouter``. The app that includes it needs a ``Live``; its startup fails otherwise.
    """

    if not TYPE_CHECKING:  # APIRouter's signature stands, for type checkers and editors

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.include_router(APIRouter(lifespan=_requires_live))

    def _add(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None,
        dependencies: list[fastapi_params.Depends],
    ) -> None:
        self.add_api_websocket_route(path, endpoint, name=name, dependencies=dependencies)


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
        self._explain_refusals()

    def statistics(self) -> Statistics:
        """What the app's connections do now and have done so far; cheap enough to ask for often."""
        return self._hub.statistics()

    def _add(
        self,
        path: str,
        endpoint: Callable[..., Any],
        name: str | None,
        dependencies: list[fastapi_params.Depends],
    ) -> None:
        # FastAPI.add_api_websocket_route would do the same, less the type of the dependencies.
        self._app.router.add_api_websocket_route(path, endpoint, name=name, dependencies=dependencies)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        for route in iter_route_contexts(app.routes):
            stream = definition_of(route.endpoint)
            if stream is not None:
                check_route(stream, route.dependant)
        async with self._hub:
            yield

    def _explain_refusals(self) -> None:
        """Clients of our routes are told why they are refused; other routes, and handlers of the user's, stay as is."""
        handlers: dict[Any, Any] = cast("Any", self._app.exception_handlers)
        if handlers.get(WebSocketRequestValidationError) is websocket_request_validation_exception_handler:
            handlers[WebSocketRequestValidationError] = _refuse_invalid
        handlers.setdefault(WebSocketException, _refuse)

    def _refuse_foreign(self, websocket: WebSocket) -> None:
        """Refuses pages of other origins.

        Raises:
            HTTPException: 403; the log names the setting that would admit the page.
        """
        origin, host = websocket.headers.get("origin"), websocket.headers.get("host")
        if self._origins.admits(origin, host):
            return
        self._hub.refused("origin")
        logger.warning(
            "%s: refused a page of origin %r; Live(app, allowed_origins=[%r]) would admit it",
            websocket.url.path,
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


async def _check_origin(websocket: WebSocket) -> None:
    _required_live(websocket.app)._refuse_foreign(websocket)


async def _serve(websocket: WebSocket, stream: Stream, arguments: Mapping[str, Any]) -> None:
    await serve(websocket, stream, _required_live(websocket.app)._hub, arguments)


async def _refuse_invalid(websocket: WebSocket, error: WebSocketRequestValidationError) -> None:
    """Answers 422 with FastAPI's detail, where the server can answer a handshake with a response."""
    if _can_explain(websocket):
        content = {"detail": jsonable_encoder(error.errors())}
        await websocket.send_denial_response(JSONResponse(content, status_code=422))
    else:
        await websocket_request_validation_exception_handler(websocket, error)


async def _refuse(websocket: WebSocket, error: WebSocketException) -> None:
    """Answers 403 with the reason, where the server can answer a handshake with a response."""
    if _can_explain(websocket):
        content = {"detail": error.reason, "code": error.code}
        await websocket.send_denial_response(JSONResponse(content, status_code=403))
    else:
        await websocket.close(error.code, error.reason)


def _can_explain(websocket: WebSocket) -> bool:
    is_ours = definition_of(websocket.scope.get("endpoint")) is not None
    return is_ours and "websocket.http.response" in websocket.scope.get("extensions", {})
