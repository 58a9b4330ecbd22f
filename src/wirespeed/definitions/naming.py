"""Names of definitions in errors and logs."""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo

PLACEHOLDER = re.compile(r"{([^}:]*)(?::([^}]*))?}")
"""A parameter in a path, and the name of its convertor, such as ``path``."""


def title(kind: str, path: str, function: Callable[..., Any]) -> str:
    """Return the name of a definition in errors and logs: ``stream '/count' (count)``."""
    return f"{kind} {path!r} ({name_of(function)})"


def named(function: Any) -> Any:
    """Return what gives a function its name and its docs: itself, the one under a ``partial``, or an object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__qualname__") else type(function)


def name_of(function: Any) -> str:
    """Return the name of a function, or that of a callable object's class, without the functions around it."""
    return str(named(function).__qualname__).rpartition("<locals>.")[2]


def words_of(path: str) -> str:
    """Return a name for what has a path and no function: ``news_today`` for ``/news/today``."""
    return "_".join(re.findall(r"\w+", PLACEHOLDER.sub("", path))) or "root"


def placeholders(path: str) -> list[str]:
    """Return the names of a path's parameters."""
    return [name for name, _ in PLACEHOLDER.findall(path)]


def spellings(field: FieldInfo, name: str) -> tuple[str, ...]:
    """Return the names by which clients write a parameter or a field, the preferred one first, as FastAPI reads them.

    Args:
        name: The name in Python, for a field without an alias.
    """
    match field.validation_alias:
        case str(alias) if alias:
            return (alias,)
        case AliasChoices(choices=choices) if choices and not any(isinstance(each, AliasPath) for each in choices):
            return tuple(map(str, choices))
    return (field.alias or name,)


def spellings_in(model: type[BaseModel]) -> Mapping[str, tuple[str, ...]]:
    """Return the names by which clients write each field of a model, the preferred one first."""
    config = model.model_config
    if config.get("validate_by_alias") is False:
        return {name: (name,) for name in model.model_fields}
    by_name = config.get("validate_by_name", config.get("populate_by_name", False))
    found = {name: spellings(field, name) for name, field in model.model_fields.items()}
    return {name: (*each, name) if by_name and name not in each else each for name, each in found.items()}
