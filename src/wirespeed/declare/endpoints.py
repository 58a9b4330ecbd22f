"""What all endpoints that FastAPI gets have in common."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import Parameter
from typing import Any, TypeVar

from pydantic.errors import PydanticUserError
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import plain_type
from ..definitions import Call, Intake, Stream, Watched
from ..errors import DeclarationError
from .signature import plain_function

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Built = TypeVar("Built")

Definition = Stream | Call | Watched[Any, Any]
Taking = TypeVar("Taking", Stream, Call)
"""What takes the messages of one client at a time."""

HIDDEN = "wirespeed_connection"
"""The parameter by which FastAPI hands the connection over."""


def definition_of(endpoint: object) -> Definition | None:
    """What an endpoint serves; None if it is not one of ours."""
    return getattr(endpoint, "__wirespeed__", None)


def hidden(kind: type) -> Parameter:
    """The parameter for the connection."""
    return Parameter(HIDDEN, Parameter.KEYWORD_ONLY, annotation=kind)


def named(endpoint: Endpoint, definition: Definition, function: Any, parameters: Sequence[Parameter]) -> Endpoint:
    """An endpoint under the function's name, with what FastAPI is to resolve as its parameters.

    Args:
        endpoint: The endpoint.
        definition: What it serves.
        function: What the user wrote; None for nothing.
        parameters: What FastAPI resolves, the connection included.
    """
    if function is not None:
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(endpoint, name, getattr(function, name, getattr(plain_function(function), name)))
    keyword_only = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
    endpoint.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    endpoint.__wirespeed__ = definition  # type: ignore[attr-defined]
    return endpoint


def websocket_endpoint(
    definition: Taking,
    parameters: Sequence[Parameter],
    serve: Callable[[WebSocket, Taking, Mapping[str, Any]], Awaitable[None]],
) -> Callable[..., Awaitable[None]]:
    """What FastAPI calls with the resolved parameters, and with the connection, however the user calls that.

    Args:
        definition: What it serves.
        parameters: What FastAPI resolves: all but the message.
        serve: Serves one client.
    """
    own = next((each.name for each in parameters if _is_websocket(each.annotation)), None)
    if own is None:
        parameters = [*parameters, hidden(WebSocket)]

    async def endpoint(**arguments: Any) -> None:
        websocket = arguments.pop(HIDDEN) if own is None else arguments[own]
        await serve(websocket, definition, arguments)

    return named(endpoint, definition, definition.function, parameters)


def post_endpoint(
    definition: Taking,
    parameters: Sequence[Parameter],
    respond: Callable[[Request, Taking, Mapping[str, Any]], Awaitable[Response]] | None,
) -> Callable[..., Awaitable[Response]] | None:
    """What FastAPI calls with the resolved parameters and the request.

    Args:
        definition: What it serves.
        parameters: What FastAPI resolves: all of them.
        respond: Answers one request; None if it is not to be had over HTTP.

    Returns:
        The endpoint; None where there can be none.
    """
    if respond is None or not _fits_http(definition):
        return None

    async def endpoint(**arguments: Any) -> Response:
        return await respond(arguments.pop(HIDDEN), definition, arguments)

    return named(endpoint, definition, definition.function, [*parameters, hidden(Request)])


def _is_websocket(annotation: Any) -> bool:
    annotation = plain_type(annotation)
    return inspect.isclass(annotation) and issubclass(annotation, WebSocket)


def _fits_http(definition: Stream | Call) -> bool:
    """Whether a request can carry what it takes: one message, which FastAPI takes for JSON or text."""
    takes_bytes = definition.decoder is not None and definition.decoder.kind is bytes
    return definition.intake is not Intake.ALL and not takes_bytes


def check_path(what: str, path: object) -> None:
    """Refuses what is no path.

    Raises:
        DeclarationError: FastAPI would take it, and nobody would find it.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise DeclarationError(what, f"a path starts with '/': write {f'/{path}'!r}")


def built(what: str, build: Callable[[Any], Built], annotation: Any, place: str) -> Built:
    """What Pydantic makes of a type.

    Raises:
        DeclarationError: Pydantic does not know it.
    """
    try:
        return build(annotation)
    except PydanticUserError as error:
        problem = f"the type of {place}, {annotation!r}, is not one that Pydantic knows: {error.message}"
        raise DeclarationError(what, problem) from error
