"""Errors have one base and hold plain data; ``str()`` builds the text."""

import pickle
from pathlib import Path

import pytest

import wirespeed
from wirespeed import errors
from wirespeed.errors import (
    BacklogFull,
    BindingError,
    BrokerDown,
    BrokerFull,
    BrokerRefused,
    DeclarationError,
    Fenced,
    InboxFull,
    InvalidKey,
    InvalidMessage,
    InvalidToken,
    InvalidValue,
    LogFull,
    NoSuchRow,
    NotLoaded,
    RunGone,
    SourceError,
    Stopped,
    TokenExpired,
    TokensUnavailable,
    TooManyLogs,
    TopicComplete,
    Unavailable,
    WatchEnded,
    WirespeedError,
)

EVERY = [
    (DeclarationError("stream '/count' (count)", "it is a coroutine"), "stream '/count' (count): it is a coroutine"),
    (BindingError("This app has a Live already."), "This app has a Live already."),
    (InvalidKey("topic '/orders'", "user_id: missing"), "topic '/orders': no such key: user_id: missing"),
    (
        InvalidValue("topic '/orders'", {"loc": ("lines", 0), "msg": "Field required", "input": {}}),
        "topic '/orders': the value does not fit at lines.0: Field required, not {}",
    ),
    (
        InvalidValue("topic '/orders'", {"loc": (), "msg": "Input should be a valid integer", "input": "x" * 500}),
        f"topic '/orders': the value does not fit: Input should be a valid integer, not '{'x' * 99}",
    ),
    (Stopped("topic '/orders'"), "topic '/orders': not published, because the app has stopped"),
    (
        BacklogFull("topic '/orders'", 10),
        (
            "topic '/orders': refused, because 10 bytes are waiting already. Check that the app has started, that "
            "nothing blocks its event loop, and that its broker can be reached."
        ),
    ),
    (
        WatchEnded("feed '/price' (price)", "it was too slow", lost=3),
        "feed '/price' (price): a loop over its values has ended: it was too slow",
    ),
    (LogFull(0, 1024), "the text cannot grow any more (at most 1024 bytes)"),
    (NoSuchRow(7), "the table has no row 7 to append to; publish the row first"),
    (TopicComplete("/jobs"), "/jobs: not published, because it is complete; publish under another key"),
    (RunGone("it has ended"), "The run cannot be resumed: it has ended."),
    (SourceError("closed"), "closed"),
    (SourceError(), "the source fails"),
    (LogFull(100, 1024), "the table has no room for another row (at most 100 rows and 1024 bytes)"),
    (TooManyLogs(100), "too many keys are watched at a time (at most 100)"),
    (NotLoaded("topic '/rooms'"), "topic '/rooms': not loaded: its loader failed"),
    (BrokerDown("the connection was lost"), "the connection was lost"),
    (BrokerFull("OOM command not allowed"), "OOM command not allowed"),
    (BrokerRefused("/orders", "too large"), "/orders: not published: too large"),
    (Fenced("/price"), "/price: not published, because another process runs this generator now"),
    (InvalidMessage("a: Field required", [{"loc": ["body", "a"]}]), "a: Field required"),
    (
        InboxFull(messages=256, size=1024),
        "too many messages are waiting to be handled (at most 256 messages and 1024 bytes)",
    ),
    (TokensUnavailable("the keys cannot be fetched: timed out"), "the keys cannot be fetched: timed out"),
    (InvalidToken("it is for another user"), "it is for another user"),
    (TokenExpired(), "token expired"),
    (Unavailable("later"), "later"),
]


def test_every_error_is_in_the_table() -> None:
    """The tests below cover every error."""
    kinds = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, WirespeedError)}
    assert kinds == {WirespeedError, *(type(error) for error, _ in EVERY)}


@pytest.mark.parametrize(("error", "text"), EVERY)
def test_text_says_it_in_one_line(error: WirespeedError, text: str) -> None:
    """``str()`` of an error is a sentence that a person can read."""
    assert str(error) == text


@pytest.mark.parametrize(("error", "text"), EVERY)
def test_error_survives_pickling(error: WirespeedError, text: str) -> None:
    """An error keeps its data when it passes through a process pool, also if it was made with keyword arguments."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == text
    assert vars(copy) == vars(error)


def test_tree_is_drawn_in_the_docstring() -> None:
    """The docstring of the module names every error."""
    assert errors.__doc__ is not None
    assert all(type(error).__name__ in errors.__doc__ for error, _ in EVERY)


def test_developers_errors_are_public() -> None:
    """An error that a developer may want to catch can be imported from the package, and is in the reference."""
    internal: set[type[WirespeedError]] = {InvalidMessage, InboxFull, Fenced, RunGone}
    reference = (Path(__file__).parents[1] / "docs/reference.md").read_text()
    kinds: set[type[WirespeedError]] = {WirespeedError, *(type(error) for error, _ in EVERY)}
    for kind in kinds - internal:
        assert getattr(wirespeed, kind.__name__) is kind
        assert kind.__name__ in reference.partition("## Errors")[2]
    assert not any(hasattr(wirespeed, kind.__name__) for kind in internal)
