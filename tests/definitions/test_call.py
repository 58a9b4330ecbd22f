"""Calls: what they are called, and what they take."""

import functools
from typing import Any

import pytest

from wirespeed.codec import decoder, encoder
from wirespeed.definitions import Call, Intake


def add(numbers: list[int]) -> int:
    """A function."""
    return sum(numbers)


def call(function: Any = add, parameter: str | None = "numbers") -> Call:
    """A call of a function."""
    decode = None if parameter is None else decoder(list[int])
    return Call("/add", function, encoder(int), parameter, decode, synchronous=True)


@pytest.mark.parametrize("function", [add, functools.partial(add, [1])])
def test_title_names_the_function(function: Any) -> None:
    """Logs and errors name it by its path and its function."""
    assert call(function).title == "call '/add' (add)"


@pytest.mark.parametrize(("parameter", "intake"), [("numbers", Intake.EACH), (None, Intake.NOTHING)])
def test_intake(parameter: str | None, intake: Intake) -> None:
    """It is called for each message, or once if it takes none."""
    assert call(parameter=parameter).intake is intake
