"""Arguments in addresses, as FastAPI reads them."""

import inspect
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import pytest
from fastapi import Query
from pydantic import AliasChoices, BaseModel, Field

from wirespeed.declare import arguments_of, dependant_of_url
from wirespeed.errors import InvalidKey


class Filters(BaseModel):
    """A model of query parameters."""

    low: int = Field(0, alias="from")
    tags: list[str] = []


def one(number: int) -> None: ...


def alias(user_id: Annotated[int, Query(alias="user")] = 0) -> None: ...


def choices(x: Annotated[int, Query(validation_alias=AliasChoices("p", "q"))] = 0) -> None: ...


def optional(ids: Annotated[list[int] | None, Query()] = None) -> None: ...


def sequence(ids: Annotated[Sequence[int], Query()] = ()) -> None: ...


def queue(ids: Annotated[deque[int], Query()]) -> None: ...


def model(found: Annotated[Filters, Query()]) -> None: ...


def read(function: Callable[..., None], path: dict[str, Any], query: str) -> dict[str, Any]:
    """Return the arguments of a function in an address."""
    parameters = inspect.signature(function).parameters
    template = "/" + "".join(f"{{{name}}}" for name in path)
    dependant = dependant_of_url("topic '/x'", template, parameters.values())
    return arguments_of("topic '/x'", dependant, parameters.keys(), path, query)


@pytest.mark.parametrize(
    ("function", "path", "query", "arguments"),
    [
        (one, {"number": "5"}, "number=6", {"number": 5}),
        (alias, {}, "user_id=5", {"user_id": 0}),
        (alias, {}, "user=5&user=6", {"user_id": 6}),
        (choices, {}, "q=6&p=5", {"x": 5}),
        (choices, {}, "q=6", {"x": 6}),
        (optional, {}, "ids=1&ids=2", {"ids": [1, 2]}),
        (optional, {}, "ids=1", {"ids": [1]}),
        (optional, {}, "", {"ids": None}),
        (sequence, {}, "ids=1&ids=2", {"ids": [1, 2]}),
        (queue, {}, "ids=1", {"ids": deque([1])}),
        (model, {}, "from=1&tags=a&tags=b", {"found": Filters.model_validate({"from": 1, "tags": ["a", "b"]})}),
    ],
)
def test_arguments(function: Callable[..., None], path: dict[str, Any], query: str, arguments: dict[str, Any]) -> None:
    """Lists, models and other names are read as everywhere in FastAPI, and the path wins."""
    assert read(function, path, query) == arguments


@pytest.mark.parametrize(
    ("function", "path", "query", "problem"),
    [
        (one, {"number": "x"}, "", "number='x': Input should be a valid integer"),
        (queue, {}, "", "missing a required argument: 'ids'"),
        (model, {}, "from=x", "from='x': Input should be a valid integer"),
    ],
)
def test_problems(function: Callable[..., None], path: dict[str, Any], query: str, problem: str) -> None:
    """An error names the parameter as clients write it."""
    with pytest.raises(InvalidKey, match=problem):
        read(function, path, query)
