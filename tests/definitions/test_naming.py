"""Naming: errors and logs call things as a reader would find them."""

import functools
from typing import Any

import pytest

from wirespeed.definitions import name_of, title


def price() -> None:
    """A function."""


class Counter:
    def count(self) -> None:
        """A method."""

    def __call__(self) -> None:
        """A callable object."""


def nested() -> Any:
    """Gives a function from within a function."""

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
    """A function is called by its own name, an object by its class, and what is wrapped by what is in it."""
    assert name_of(function) == name
    assert title("feed", "/x", function) == f"feed '/x' ({name})"
