"""JSON texts: reading them strictly, finding their parts, and values that are passed on byte for byte."""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn, final

from pydantic.errors import PydanticUserError
from pydantic_core import from_json

_LARGE = re.compile(r"[eE]\+?\d{3}")
_LONG = re.compile(r"(?<!\d)\d{300}")  # begins at the first digit only: otherwise each digit of 299 would look for 300
_SPACES = frozenset(" \t\n\r")
_scan: Callable[[str, int], tuple[Any, int]]
_scan = json.JSONDecoder(parse_int=len, parse_float=len).scan_once  # type: ignore[attr-defined]


class NotJSON(ValueError):
    """A text is not JSON, or contains what JSON cannot carry: NaN, 1e999, half a surrogate pair, endless nesting."""


def read_json(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        NotJSON: It is not JSON in UTF-8, or contains what JSON cannot carry.
    """
    try:
        value = from_json(text, allow_inf_nan=False)
        check_numbers(text.decode())
    except ValueError as error:
        raise NotJSON(str(error)) from None
    return value


def check_numbers(text: Any) -> None:
    """Raise NotJSON if a number of a JSON text is NaN or becomes infinite. The validator finds any other error."""
    if not _may_be_infinite(text):
        return
    with suppress(json.JSONDecodeError, RecursionError):
        # Integers too: as a float, one of 309 digits becomes infinite, and JavaScript has no others.
        json.loads(text, parse_float=_finite, parse_int=_finite, parse_constant=_finite)


def _may_be_infinite(text: str) -> bool:
    # This runs for each message: several simple searches take a third of the time of one pattern for everything.
    return (
        "NaN" in text
        or "Infinity" in text
        or _LARGE.search(text) is not None
        or (len(text) > 300 and _LONG.search(text) is not None)
    )


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise NotJSON(f"number out of range: {number:.20}")
    return value


@final
class RawJSON:
    """One JSON value that is passed on byte for byte: duplicate keys, ``-0``, all digits, and white space.

    As the type of messages or of values, it spares decoding and encoding them.

    Args:
        text: The JSON, as text or in UTF-8.

    Raises:
        ValueError: It is not one JSON value in UTF-8, or contains what JSON cannot carry: NaN, a number beyond the
            range of a double, half a surrogate pair, or more than 200 levels.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str | bytes) -> None:
        self._text = text.encode() if isinstance(text, str) else bytes(memoryview(text))
        read_json(self._text)

    def __bytes__(self) -> bytes:
        return self._text

    def __str__(self) -> str:
        return self._text.decode()

    def __repr__(self) -> str:
        return f"RawJSON({self._text!r})"

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, RawJSON) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def value(self) -> Any:
        """Return the value in Python's types. Of duplicate keys, the last one counts."""
        return from_json(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> NoReturn:
        problem = (
            "RawJSON is a whole message or value, and not a part of one, which Pydantic would decode: use RawJSON "
            "itself, or JsonValue for a part"
        )
        raise PydanticUserError(problem, code=None)


def field_of(raw: RawJSON, name: str) -> Any:
    """Return a field of an object.

    Raises:
        ValueError: It is not an object with this field.
    """
    value = raw.value()
    if not isinstance(value, dict) or name not in value:
        raise ValueError(f"expected an object with the field {name!r}")
    return value[name]


def on_one_line(text: bytes) -> bytes:
    """Return a JSON text without line ends, which in JSON can only be white space."""
    return text.replace(b"\n", b"").replace(b"\r", b"") if b"\n" in text or b"\r" in text else text


# Parts of a JSON text, which has been read before: these functions find no errors


def member(text: str, *names: str) -> str:
    """Return the text of a member of an object, or of a member of a member; empty if there is none.

    Of duplicate names, the last one counts.
    """
    start, end, _ = _member(text, names, _skipped(text, 0))
    return text[start:end]


def end_of(text: str, at: int) -> int:
    """Return the end of the value at a place."""
    return _scan(text, at)[1]


def elements(text: str) -> Iterator[str]:
    """Yield the texts of the elements of an array."""
    at = _next(text, _skipped(text, 0))
    while text[at] != "]":
        end = _scan(text, at)[1]
        yield text[at:end]
        at = _next(text, end, ",")


def _member(text: str, names: tuple[str, ...], at: int) -> tuple[int, int, int]:
    """Return the start and end of a member of the value at a place, and the end of the value."""
    if not names:
        end = _scan(text, at)[1]
        return at, end, end
    if text[at] != "{":
        return 0, 0, _scan(text, at)[1]
    start = end = 0
    at = _next(text, at)
    while text[at] != "}":
        name, at = _scan(text, at)
        at = _next(text, at, ":")
        if name == names[0]:
            start, end, at = _member(text, names[1:], at)
        else:
            at = _scan(text, at)[1]
        at = _next(text, at, ",")
    return start, end, at + 1


def _next(text: str, at: int, separator: str = "[{") -> int:
    """Return the place behind a separator, if there is one, and behind the white space around it."""
    at = _skipped(text, at)
    return _skipped(text, at + 1) if text[at] in separator else at


def _skipped(text: str, at: int) -> int:
    """Return the place behind white space."""
    while text[at : at + 1] in _SPACES:
        at += 1
    return at
