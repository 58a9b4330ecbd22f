"""The endpoints that FastAPI gets for definitions."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import Parameter
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic.errors import PydanticUserError
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..codec import plain_type
from ..definitions import Definition, named
from ..errors import DeclarationError

Built = TypeVar("Built")
Connection = TypeVar("Connection", WebSocket, Request)
Defined = TypeVar("Defined", bound=Definition)
Result = TypeVar("Result")

Serve = Callable[[Connection, Defined, Mapping[str, Any]], Awaitable[Result]]
"""Serves one connection of a definition, with the arguments that FastAPI resolved."""

HIDDEN = "wirespeed_connection"
"""Name of the parameter by which FastAPI passes the connection, if the function has none for it."""


class Declared(NamedTuple, Generic[Defined]):
    """A definition and the endpoints that FastAPI gets for it."""

    definition: Defined
    endpoint: Callable[..., Awaitable[None]]
    """Endpoint of the WebSocket route."""
    http: Callable[..., Awaitable[Response]] | None
    """Endpoint of the HTTP route: GET for feeds and topics, POST for streams and calls; None if there is none."""


def definition_of(endpoint: object) -> Definition | None:
    """Return the definition that an endpoint serves; None if it is not one of ours."""
    return getattr(endpoint, "__wirespeed__", None)


def endpoint_of(
    kind: type[Connection],
    definition: Defined,
    parameters: Sequence[Parameter],
    serve: Serve[Connection, Defined, Result],
) -> Callable[..., Awaitable[Result]]:
    """Return an endpoint with the name and docs of a definition's function."""
    own = next((each.name for each in parameters if _is_a(kind, each.annotation)), None)
    if own is None:
        parameters = [*parameters, Parameter(HIDDEN, Parameter.KEYWORD_ONLY, annotation=kind)]

    async def endpoint(**arguments: Any) -> Result:
        connection = arguments.pop(HIDDEN) if own is None else arguments[own]
        return await serve(connection, definition, arguments)

    function = definition.function
    if function is not None:
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(endpoint, name, getattr(named(function), name))
    keyword_only = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
    endpoint.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    endpoint.__wirespeed__ = definition  # type: ignore[attr-defined]
    return endpoint


def _is_a(kind: type, annotation: Any) -> bool:
    annotation = plain_type(annotation)
    return inspect.isclass(annotation) and issubclass(annotation, kind)


def check_path(what: str, path: object) -> None:
    """Check a path: FastAPI would accept one without a slash, but no client could reach it.

    Raises:
        DeclarationError: The path does not start with a slash.
    """
    if not isinstance(path, str) or not path.startswith("/"):
        raise DeclarationError(what, f"a path starts with '/': write {f'/{path}'!r}")


def built(what: str, build: Callable[[Any], Built], annotation: Any, place: str) -> Built:
    """Return what a function builds of a type.

    Raises:
        DeclarationError: Pydantic does not know the type.
    """
    try:
        return build(annotation)
    except PydanticUserError as error:
        problem = f"the type of {place}, {annotation!r}, is not one that Pydantic knows: {error.message}"
        raise DeclarationError(what, problem) from error
