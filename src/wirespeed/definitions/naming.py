"""How errors and logs name what was declared."""

import functools
import re
from collections.abc import Callable
from typing import Any

_PLACEHOLDER = re.compile(r"{([^}:]*)(?::[^}]*)?}")


def title(kind: str, path: str, function: Callable[..., Any]) -> str:
    """How errors and logs name something declared: ``stream '/count' (count)``."""
    return f"{kind} {path!r} ({name_of(function)})"


def name_of(function: Any) -> str:
    """How a reader would find a callable: a function's own name, or that of a callable object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return str(named.__qualname__).rpartition("<locals>.")[2]


def placeholders(path: str) -> list[str]:
    """Return the names of a path's parameters."""
    return _PLACEHOLDER.findall(path)
