"""Names of definitions: errors and logs name a function as a reader would look for it."""

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
