"""Names of definitions: errors and logs name a function as a reader would look for it."""

import functools
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel, Field

from wirespeed.definitions import name_of, spellings_in, title


def price() -> None:
    """A function."""


class Counter:
    def count(self) -> None:
        """A method."""

    def __call__(self) -> None:
        """A callable object."""


def nested() -> Any:
    """Return a function that is defined inside a function."""

    def inner() -> None:
        """The function."""

    return inner


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (price, "price"),
        (Counter().count, "Counter.count"),
        (Counter(), "Counter"),
        (functools.partial(price), "price"),
        (functools.partial(functools.partial(Counter())), "Counter"),
        (nested(), "inner"),
    ],
)
def test_name_of_a_callable(function: Any, name: str) -> None:
    """A function has its own name, an object the name of its class, and a wrapper the name of what it wraps."""
    assert name_of(function) == name
    assert title("feed", "/x", function) == f"feed '/x' ({name})"


class Plain(BaseModel):
    """A model with names for clients."""

    one: int = Field(1, alias="first")
    two: int = Field(2, validation_alias=AliasChoices("second", "zweitens"))
    three: int = 3


class ByName(Plain, populate_by_name=True):
    """A model that is also read by its names in Python."""


class OnlyByName(Plain, validate_by_alias=False, validate_by_name=True):
    """A model that is read by its names in Python only."""


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (Plain, [("first",), ("second", "zweitens"), ("three",)]),
        (ByName, [("first", "one"), ("second", "zweitens", "two"), ("three",)]),
        (OnlyByName, [("one",), ("two",), ("three",)]),
    ],
)
def test_fields_of_a_model(model: type[BaseModel], names: list[tuple[str, ...]]) -> None:
    """Names in Python count only without an alias, or where the model says so."""
    assert [*spellings_in(model).values()] == names
