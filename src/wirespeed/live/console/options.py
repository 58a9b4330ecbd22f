"""The option ``console=``, and the rule that decides whether an app has the console."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import NamedTuple

from fastapi import FastAPI, params
from fastapi.dependencies.models import Dependant

from ...declare import check_guards, dependant_of
from ...errors import DeclarationError

VARIABLE = "WIRESPEED_CONSOLE"

WHAT = "the console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The options of the console, for ``Live(app, console=...)``.

    Args:
        dependencies: The dependencies that a request has to pass: for the page, its files, its data, the
            ``asyncapi.json`` and everything else that belongs to the console. Without any, the console is on in
            development only.
        disconnect: True if the console may disconnect clients.

    Raises:
        DeclarationError: An entry is not a dependency, or takes a ``Request``, a ``WebSocket`` or a body: it has to
            work for requests and for WebSockets, so it takes ``starlette.requests.HTTPConnection``.
    """

    dependencies: Sequence[params.Depends] = field(default=())
    disconnect: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dependencies", tuple(self.dependencies))
        check_guards(WHAT, "/", self.dependencies)
        for each in self.dependencies:
            if each.dependency is not None:
                _check_websocket(dependant_of(WHAT, "/", each.dependency))


def _check_websocket(dependant: Dependant) -> None:
    if dependant.websocket_param_name is not None:
        raise DeclarationError(
            WHAT,
            f"{dependant.websocket_param_name!r} of a dependency is a WebSocket, which the request for its page is "
            "not: let it take starlette.requests.HTTPConnection",
        )
    for each in dependant.dependencies:
        _check_websocket(each)


class Decision(NamedTuple):
    """The decision whether an app has the console."""

    console: Console | None
    """The options; None if it has none."""
    reason: str
    """The reason, for the log."""
    is_surprising: bool = False
    """True if the log should warn: it is open to everyone, or it is off although it was asked for."""


def decide(app: FastAPI, given: Console | EllipsisType | None, prefix: str | None) -> Decision:
    """Return whether an app has the console.

    Raises:
        ValueError: ``WIRESPEED_CONSOLE`` is neither 0 nor 1, or a console that was asked for has no prefix.
    """
    switch = os.environ.get(VARIABLE, "")
    if switch not in ("", "0", "1"):
        raise ValueError(f"{VARIABLE} must be 0 or 1, not {switch!r}")
    if given is None:
        return Decision(None, "Live(app, console=None)")
    if prefix is None:
        if not isinstance(given, EllipsisType):
            raise ValueError("console needs a prefix, below which it is")
        return Decision(None, "Live(app, prefix=None)")
    if switch == "0":
        return Decision(None, f"{VARIABLE}=0")
    console = Console() if isinstance(given, EllipsisType) else given
    if console.dependencies:
        return Decision(console, "its dependencies guard it")
    if (why := _development(app)) is not None:
        return Decision(console, f"open to everyone who can reach this server, because of {why}", is_surprising=True)
    wanted = not isinstance(given, EllipsisType)
    return Decision(None, "it has no dependencies, and the app is not in development", is_surprising=wanted)


def _development(app: FastAPI) -> str | None:
    """Return the sign that an app is in development; None if there is none."""
    if app.debug:
        return "FastAPI(debug=True)"
    if os.environ.get(VARIABLE) == "1":
        return f"{VARIABLE}=1"
    if os.environ.get("FASTAPI_ENV") == "development":
        return "FASTAPI_ENV=development, which `fastapi dev` sets"
    return None
