"""Checks of dependencies when they are declared; FastAPI itself would fail only at the first connection."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import FastAPIError
from pydantic.errors import PydanticUserError

from ..definitions import name_of
from ..errors import DeclarationError


def check_guards(what: str, path: str, guards: Iterable[object]) -> None:
    """Check the entries of ``dependencies=``.

    Raises:
        DeclarationError: An entry is not a dependency, or cannot work on a WebSocket.
    """
    for guard in guards:
        call = guard.dependency if isinstance(guard, params.Depends) else None
        if not callable(call):
            problem = f"{guard!r} in dependencies= is not a dependency: write Depends(your_function)"
            raise DeclarationError(what, problem)
        check_dependencies(what, dependant_of(what, path, call))


def dependant_of(what: str, path: str, call: Callable[..., Any]) -> Dependant:
    """Return FastAPI's model of a callable.

    Raises:
        DeclarationError: FastAPI cannot fill its parameters.
    """
    try:
        return get_dependant(path=path, call=call)
    except (FastAPIError, AssertionError, PydanticUserError, NameError, RuntimeError) as error:
        # The text before and after is about response models, which WebSockets do not have.
        reason = str(error).partition(" If you are using")[0].rpartition("Hint: ")[2].partition("\n")[0]
        raise DeclarationError(
            what,
            "FastAPI cannot fill its parameters; each must have a type that Pydantic knows, or come from Depends(...): "
            f"{reason}",
        ) from error


def check_own(what: str, dependant: Dependant) -> None:
    """Check a function's own parameters and their dependencies.

    Raises:
        DeclarationError: A parameter is a request, or a dependency takes a body.
    """
    if dependant.request_param_name is not None:
        raise DeclarationError(
            what,
            f"{dependant.request_param_name!r} is a Request, which a WebSocket does not have: "
            "take starlette.requests.HTTPConnection",
        )
    for dependency in dependant.dependencies:
        check_dependencies(what, dependency)


def check_dependencies(what: str, dependant: Dependant) -> None:
    """Check a dependency, or a route with all that routers and the app have added, and its own dependencies.

    Raises:
        DeclarationError: One of them takes a request or a body.
    """
    name = name_of(dependant.call)
    if dependant.request_param_name is not None:
        raise DeclarationError(
            what,
            f"its dependency {name} takes a Request, which a WebSocket does not have: let it take "
            "starlette.requests.HTTPConnection, which requests and WebSockets have in common",
        )
    if dependant.body_params:
        raise DeclarationError(
            what,
            f"its dependency {name} takes a body ({dependant.body_params[0].name!r}), and there is none when a client "
            "connects: take the message in the function's own signature",
        )
    for dependency in dependant.dependencies:
        check_dependencies(what, dependency)
