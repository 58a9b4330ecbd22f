"""JSON texts that are passed on byte for byte."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from wirespeed import RawJSON, raw
from wirespeed.raw import NotJSON, elements, field_of, member

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("text", ['{"a": 1, "a":2}', "-0", "1.10", ' \r\n[1 , "\\u0041"]\t', '"é"', "1" * 309, "null"])
def test_text_is_kept(text: str) -> None:
    """The text stays as it was given, as text or in UTF-8, and is read as Python reads JSON."""
    raw = RawJSON(text)
    assert (bytes(raw), str(raw), len(raw)) == (text.encode(), text, len(text.encode()))
    assert (raw, hash(raw)) == (RawJSON(bytearray(text.encode())), hash(RawJSON(text)))  # type: ignore[arg-type]
    assert raw != text
    assert raw.value() == json.loads(text)
    assert repr(raw) == f"RawJSON({text.encode()!r})"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{}{}", "{} x", "01", "1.", "{'a': 1}", '{"a": 1,}', "NaN", "-Infinity", "1e999", "-1e400", "1" * 5000,
        "9" * 309, f'{{"a": -{"9" * 309}}}', f"[{'1' * 4300}]",
        '"\\ud800"', '"\ud83d"', '"\t"', "\ufeff{}", b"\xef\xbb\xbf{}", b'"\xff"', '{"a":1}'.encode("utf-16"),
        "[" * 300 + "]" * 300, "[" * 100_000,
    ],
    ids=lambda text: repr(text)[:12],
)  # fmt: skip
def test_anything_else_is_refused(text: str | bytes) -> None:
    """A text that some reader of JSON would not understand is refused, with a ValueError."""
    with pytest.raises((NotJSON, UnicodeEncodeError)):
        RawJSON(text)


def test_large_integers_within_the_range_of_a_double() -> None:
    """An integer that a double can stand for is read, with all of its digits."""
    for text in ("9" * 308, f"-1{'0' * 308}", f'"{"9" * 309}"'):
        assert RawJSON(text).value() == json.loads(text)


def test_digits_are_looked_at_once() -> None:
    """A long number is looked for at its first digit only: 64 KB of runs of 299 digits took 60 ms otherwise."""
    assert raw._LONG.search("x" + "9" * 300 + "x")
    assert [at for at in range(600) if raw._LONG.match("9" * 900, at)] == [0]
    assert str(RawJSON(f'"{"9" * 299}"')) == f'"{"9" * 299}"'


@pytest.mark.parametrize("wrong", [None, 5, {"a": 1}])
def test_other_types_are_refused(wrong: Any) -> None:
    """Only text and bytes are JSON; Python values are not encoded."""
    with pytest.raises(TypeError):
        RawJSON(wrong)


def test_it_is_no_part_of_a_value() -> None:
    """Pydantic would decode a part of a value, so a model with such a field cannot be declared."""
    with pytest.raises(PydanticUserError, match="whole message or value"):

        class Model(BaseModel):
            part: RawJSON

    with pytest.raises(PydanticUserError, match="use RawJSON itself"):
        TypeAdapter(list[RawJSON])


@given(VALUES, VALUES, st.sampled_from([None, 1]))
def test_parts_are_found(value: Any, other: Any, indent: int | None) -> None:
    """The text of a member or an element is the one that reads as its value, whatever is around it."""
    fields = {"other": other, "in": {"data": 1, "more": other}, "data": other}
    text = json.dumps({**fields, "in": {"more": other, "data": value}}, indent=indent)
    assert json.loads(member(text, "in", "data")) == value
    assert (member(text, "in", "none"), member(text, "none"), member(text, "data", "none", "deep")) == ("", "", "")
    assert [json.loads(each) for each in elements(json.dumps([value, other], indent=indent))] == [value, other]


def test_the_last_of_duplicates_counts() -> None:
    """The last one of duplicate names counts, as for every reader."""
    assert member('{"a": {"b": 1}, "a": {"b": 2, "b":3 }}', "a", "b") == "3"
    assert field_of(RawJSON('{"a": 1, "a": 2}'), "a") == 2
    assert math.isclose(field_of(RawJSON('{"a": 1.10}'), "a"), 1.1)


@pytest.mark.parametrize("text", ["{}", "[1]", "5", '{"b":1}'])
def test_missing_field_is_an_error(text: str) -> None:
    """A row without its key cannot be stored."""
    with pytest.raises(ValueError, match="expected an object with the field 'a'"):
        field_of(RawJSON(text), "a")
