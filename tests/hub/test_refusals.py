"""Refusals: counted, and logged in bounds."""

import logging

import pytest

from wirespeed.hub.refusals import Refusals


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged lines."""
    return [record.getMessage() for record in caplog.records]


def test_each_is_counted_and_a_flood_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A flood of one reason leaves the log readable, and does not hide another reason."""
    refusals = Refusals(lambda: 0.0)
    with caplog.at_level(logging.INFO, "wirespeed"):
        for _ in range(10_000):
            refusals.note("unknown channel", "nothing")
        refusals.note("permission denied", "mine", "not yours")
    assert refusals.counts == {"unknown channel": 10_000, "permission denied": 1}
    assert lines(caplog) == ["'nothing': refused: unknown channel", "'mine': refused: permission denied: not yours"]


def test_line_says_how_many_were_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The next line about a reason has the number of omitted ones."""
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    with caplog.at_level(logging.INFO, "wirespeed"):
        for _ in range(5):
            refusals.note("rate")
        now[0] = 10.0
        refusals.note("rate")
    assert lines(caplog) == ["refused: rate", "refused: rate (4 more since the last line)"]


def test_line_of_ones_own_is_bounded_as_well(caplog: pytest.LogCaptureFixture) -> None:
    """A more detailed line is as rare as others, and as printable."""
    refusals = Refusals(lambda: 0.0)
    for _ in range(1000):
        refusals.note("origin", level=logging.WARNING, line="refused a page\x1b")
    assert refusals.counts == {"origin": 1000}
    assert lines(caplog) == ["refused a page\\x1b"]


def test_levels_have_lines_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    """A flood at INFO does not hide a warning about the same reason."""
    refusals = Refusals(lambda: 0.0)
    with caplog.at_level(logging.INFO, "wirespeed"):
        for _ in range(1000):
            refusals.note("permission denied", "mine")
        refusals.note("permission denied", level=logging.WARNING, line="a server-side subscription")
    assert lines(caplog) == ["'mine': refused: permission denied", "a server-side subscription"]


def test_what_clients_choose_is_printable(caplog: pytest.LogCaptureFixture) -> None:
    """A client's text cannot write escape sequences or lines of its own."""
    with caplog.at_level(logging.INFO, "wirespeed"):
        Refusals(lambda: 0.0).note("unknown channel", "a\x1b[31m\nERROR b", "c\x1b\n")
    [line] = lines(caplog)
    assert line.isprintable()
