"""What all endpoints that FastAPI gets have in common."""

import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any, TypeVar

from pydantic.errors import PydanticUserError

from ..definitions import Stream, Watched
from ..errors import DeclarationError
from .signature import plain_function

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Built = TypeVar("Built")

Definition = Stream | Watched[Any, Any]

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
