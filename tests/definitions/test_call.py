"""Names of calls in errors and logs."""

import functools
from typing import Any

import pytest

from wirespeed.codec import decoder, encoder
from wirespeed.definitions import Call, Intake


def add(numbers: list[int]) -> int:
    """A function."""
    return sum(numbers)


def call(function: Any) -> Call:
    """Return a call of a function."""
    return Call(
        path="/add",
        function=function,
        value_type=int,
        encoder=encoder(int),
        intake=Intake.EACH,
        parameter="numbers",
        message_type=list[int],
        decoder=decoder(list[int]),
        synchronous=True,
    )


@pytest.mark.parametrize("function", [add, functools.partial(add, [1])])
def test_title_names_the_function(function: Any) -> None:
    """Logs and errors name a call by its path and its function."""
    assert call(function).title == "call '/add' (add)"
