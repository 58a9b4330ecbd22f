"""Arguments in addresses, as FastAPI reads them for the endpoint of a definition."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from inspect import Parameter
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from starlette.datastructures import QueryParams

from ..errors import InvalidKey
from .dependencies import dependant_of


def dependant_of_url(what: str, path: str, parameters: Iterable[Parameter]) -> Dependant:
    """Return FastAPI's model of parameters of a path and its query."""

    def stub() -> None: ...

    by_name = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in parameters]
    stub.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]
    return dependant_of(what, path, stub)


def arguments_of(
    what: str, dependant: Dependant, names: Collection[str], in_path: Mapping[str, Any], query: str
) -> dict[str, Any]:
    """Return the validated arguments in the path and the query of an address.

    Args:
        what: Name of the definition, in errors.
        dependant: FastAPI's model of the endpoint, or of its parameters.
        names: Names of the parameters that are read.
        in_path: Values of the parameters in the path.

    Raises:
        InvalidKey: One of them is missing or does not validate.
    """
    read: list[tuple[list[Any], Any]] = [(dependant.path_params, in_path), (dependant.query_params, QueryParams(query))]
    arguments: dict[str, Any] = {}
    for fields, given in read:
        values, errors = request_params_to_args([each for each in fields if each.name in names], given)
        for error in errors:
            raise InvalidKey(what, _problem(error))
        arguments |= values
    return arguments


def _problem(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"][1:]))
    if error["type"] == "missing":
        return f"missing a required argument: {place!r}"
    return f"{place}={error['input']!r:.100}: {error['msg']}"
