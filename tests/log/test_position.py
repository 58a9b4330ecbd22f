"""Positions: what goes out as text comes back as it was, and nothing else comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirespeed.log.position import Position, positions

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@given(epoch=st.text(ALPHABET, min_size=1, max_size=32), offset=st.integers(0, 10**18 - 1))
def test_text_of_a_position_is_read_back(epoch: str, offset: int) -> None:
    """Any position survives its own text."""
    position = Position(epoch, offset)
    assert str(position) == f"{epoch}:{offset}"
    assert Position.parse(str(position)) == position
    assert type(Position.parse(str(position))) is Position


@pytest.mark.parametrize(
    "text",
    ["", ":", "a", "a:", ":1", "a:-1", "a:1:2", "a:1 ", " a:1", "a:1\n", "a:1.0", "a:+1", "a:1_0", "é:1", "a-b:1"],
)
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    """A text that no position has is an error that shows it."""
    with pytest.raises(ValueError, match="epoch:offset") as caught:
        Position.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["a" * 33 + ":1", "a:" + "1" * 19, "a:\N{ARABIC-INDIC DIGIT ONE}", "x" * 1_000_000])
def test_long_and_foreign_texts_are_refused_in_one_line(text: str) -> None:
    """Bounds and ASCII hold, and the error stays short."""
    with pytest.raises(ValueError, match="epoch:offset") as caught:
        Position.parse(text)
    assert len(str(caught.value)) < 150


def test_run_of_positions_has_both_ends() -> None:
    """Positions in bulk are those made one by one."""
    run = list(positions("a", 3, 5))
    assert run == [Position("a", 3), Position("a", 4), Position("a", 5)]
    assert {type(each) for each in run} == {Position}
    assert list(positions("a", 3, 2)) == []
