"""Errors: one base, plain data, a text that is built when it is read."""

import pickle

import pytest

import wirespeed
from wirespeed import errors
from wirespeed.errors import (
    BindingError,
    DeclarationError,
    InboxFull,
    InvalidMessage,
    LogFull,
    TooManyLogs,
    WirespeedError,
)

EVERY = [
    (DeclarationError("stream '/count' (count)", "it is a coroutine"), "stream '/count' (count): it is a coroutine"),
    (BindingError("This app has a Live already."), "This app has a Live already."),
    (LogFull(100, 1024), "the table has no room for a further row (at most 100, together at most 1024 bytes)"),
    (TooManyLogs(100), "too many logs are watched at a time (at most 100)"),
    (InvalidMessage("a: Field required", [{"loc": ["body", "a"]}]), "a: Field required"),
    (InboxFull(256, 1024), "too many messages wait to be handled (at most 256, together at most 1024 bytes)"),
]


def test_every_error_is_in_the_table() -> None:
    """The tests below hold for all errors that there are."""
    kinds = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, WirespeedError)}
    assert kinds == {WirespeedError, *(type(error) for error, _ in EVERY)}


@pytest.mark.parametrize(("error", "text"), EVERY)
def test_text_says_it_in_one_line(error: WirespeedError, text: str) -> None:
    """``str()`` of an error is what a person reads."""
    assert str(error) == text


@pytest.mark.parametrize(("error", "text"), EVERY)
def test_error_survives_pickling(error: WirespeedError, text: str) -> None:
    """An error goes through process pools and comes out with its data."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == text
    assert vars(copy) == vars(error)


def test_tree_is_drawn_in_the_docstring() -> None:
    """The docstring of the module names every error."""
    assert errors.__doc__ is not None
    assert all(type(error).__name__ in errors.__doc__ for error, _ in EVERY)


def test_developers_errors_are_public() -> None:
    """What a developer may want to catch can be imported from the package."""
    assert wirespeed.WirespeedError is WirespeedError
    assert wirespeed.DeclarationError is DeclarationError
    assert wirespeed.BindingError is BindingError
