"""Log records are printable, whatever text clients put into them."""

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wirespeed.printable import printable

logger = logging.getLogger("wirespeed")

EVIL = "a\x1b[31m\nERROR forged\r\u202e\ud83d"


@given(st.text())
def test_any_text(text: str) -> None:
    """Every text becomes printable, and printable text is unchanged."""
    assert printable(text).isprintable()
    assert (printable(text) == text) == text.isprintable()


@pytest.mark.parametrize("argument", [EVIL, ValueError(EVIL)])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["%s: x", "%r: x"]))
def test_arguments(caplog: pytest.LogCaptureFixture, argument: Any, line: str) -> None:
    """Texts and exceptions are escaped in every form."""
    caplog.clear()
    logger.warning(line, argument)
    assert caplog.messages[0].isprintable()
    assert "forged" in caplog.messages[0]


def test_error_without_a_text(caplog: pytest.LogCaptureFixture) -> None:
    """An error whose text cannot be read is logged by its type."""

    class Bad(Exception):
        def __str__(self) -> str:
            raise AttributeError

    logger.warning("failed: %s", Bad())
    assert caplog.messages == ["failed: a Bad, whose str() fails"]


def test_other_arguments(caplog: pytest.LogCaptureFixture) -> None:
    """Numbers and other values are unchanged, and so is a line without arguments."""
    logger.warning("%d of %s", 7, None)
    logger.warning("100 %")
    assert caplog.messages == ["7 of None", "100 %"]


FORGED = "2026-01-01 ERROR wirespeed: forged"


@pytest.mark.parametrize("notes", [(), (FORGED,), (f"a\n{FORGED}", "", "Traceback (most recent call last):", FORGED)])
def test_messages_forge_no_lines(caplog: pytest.LogCaptureFixture, notes: tuple[str, ...]) -> None:
    """No line of a message or note begins where a line of the log would, also in causes and groups."""
    inner = ValueError(f"a\n{FORGED}\n\n{FORGED}")
    for note in notes:
        inner.add_note(note)
    for cause in (inner, ExceptionGroup(f"b\n{FORGED}", [inner])):
        try:
            raise RuntimeError(f"c\r{FORGED}\n{FORGED}") from cause
        except RuntimeError:
            logger.exception("It failed.")
    lines = caplog.text.splitlines()
    assert sum("forged" in line for line in lines) >= 8
    assert not [line for line in lines if line.startswith("2026")]
    assert sum(line.startswith("Traceback") for line in lines) == 2
    assert lines.count("RuntimeError: c\\r" + FORGED) == 2


def test_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    """The message of an exception cannot put escape sequences into its traceback."""
    try:
        raise ValueError("a\x1b[31m")
    except ValueError:
        logger.exception("It failed.")
    assert "ValueError: a\\x1b[31m" in caplog.text
    assert "\x1b" not in caplog.text
    assert caplog.records[0].exc_info
