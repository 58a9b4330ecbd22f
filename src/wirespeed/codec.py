"""Between values and bytes: what a generator yields, and what a client sends."""

import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from .errors import InvalidMessage
from .frames import BINARY, TEXT, frame
from .spelling import plain_type as plain_type
from .weight import weight_of

T = TypeVar("T")

MAX_DETAIL = 20
"""Errors of one message that its sender is told of."""
MAX_ERRORS = 200
"""Errors of one message above which only their number is told: to describe a thousand takes 10 ms and more."""
MAX_DEPTH = 10
"""Parts of the place of an error."""
MAX_TEXT = 400
"""Characters of anything that an error quotes."""


_LARGE = re.compile(r"[eE]\+?\d{3}")
_LONG = re.compile(r"\d{300}")


class NotJSON(ValueError):
    """A text is not JSON, or holds what JSON cannot carry: NaN, 1e999, half of a surrogate pair, endless nesting."""


@dataclass(frozen=True, slots=True)
class Encoder(Generic[T]):
    """Turns the values of one type into payloads.

    A ``str`` is a text frame as it is, ``bytes`` a binary frame, everything else JSON by Pydantic's rules for the type.
    """

    opcode: int
    encode: Callable[[T], bytes]
    """One value to one payload.

    Raises what cannot be serialised. A value of another type than announced goes as JSON of what it is, with
    Pydantic's warning: checking would cost 1.5 µs per value, many times the encoding.
    """


@dataclass(frozen=True, slots=True)
class Decoder(Generic[T]):
    """Turns messages of clients into values of one type: text for ``str``, binary for ``bytes``, else JSON text."""

    kind: type[str] | type[bytes] | None
    adapter: TypeAdapter[T]

    def weight(self, message: str | bytes) -> int:
        """Return the bytes that count for the value of a message, beside those of the message."""
        return weight_of(message) if self.kind is None else 0

    def decode(self, message: str | bytes) -> T:
        """The value of one message.

        Raises:
            InvalidMessage: The message is of the wrong kind, is not JSON, or does not validate.
        """
        if not isinstance(message, self.kind or str):
            raise InvalidMessage(_wrong_kind(message, self.kind))
        try:
            if self.kind is None:
                _check_numbers(message)
                return self.adapter.validate_json(message)
            return self.adapter.validate_python(message)
        except ValidationError as error:
            invalid = _invalid(error)
        except NotJSON as error:
            invalid = InvalidMessage(f"Invalid JSON: {error}")
        raise invalid  # out here, so that it does not keep Pydantic's error, with all of its lines, as its context


def encoder(annotation: Any) -> Encoder[Any]:
    """The encoder of what a generator says it yields.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic knows no way to serialise the type.
    """
    kind = plain_type(annotation)
    if kind is str:
        return Encoder(TEXT, str.encode)
    if kind is bytes:
        return Encoder(BINARY, _binary)
    return Encoder(TEXT, _json_encode(TypeAdapter(annotation)))


def as_json(plain: Encoder[Any]) -> Encoder[Any]:
    """The encoder for where everything is JSON: a ``str`` is a JSON string there, with its quotes."""
    return _JSON_TEXT if plain.encode is str.encode else plain


def decoder(annotation: Any) -> Decoder[Any]:
    """The decoder of what a stream takes; constraints in ``Annotated`` hold.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic knows no way to validate the type.
    """
    kind = plain_type(annotation)
    return Decoder(kind if kind in (str, bytes) else None, TypeAdapter(annotation))


def read_json(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        NotJSON: It is not JSON in UTF-8, or holds what JSON cannot carry.
    """
    try:
        value = from_json(text, allow_inf_nan=False)
        _check_numbers(text.decode())
    except ValueError as error:
        raise NotJSON(str(error)) from None
    return value


def _check_numbers(text: Any) -> None:
    """Raise NotJSON if a number of a JSON text is NaN or becomes infinite; what else is wrong is left to others."""
    if not _may_be_infinite(text):
        return
    try:
        json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (json.JSONDecodeError, RecursionError):
        pass
    except NotJSON:
        raise
    except ValueError:  # more digits than Python reads
        raise NotJSON("number out of range") from None


def _may_be_infinite(text: str) -> bool:
    # Each message passes here: several simple searches take a third of the time of one pattern for all of it.
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


def json_of(value: Any) -> bytes:
    """Return a value of any type as JSON: NaN and infinite numbers are null, as in all that Pydantic serialises.

    Raises:
        PydanticSerializationError: Pydantic makes no JSON of it.
    """
    return to_json(value, inf_nan_mode="null")


def name_value(error: Exception, value: object) -> None:
    """Note on an encoder's error which value it was, for the log."""
    try:
        error.add_note(f"while encoding the value {value!r:.200}")
    except Exception:  # the user's __repr__
        error.add_note(f"while encoding a {type(value).__name__}, whose repr() fails")


def error_frame(code: int, message: str, detail: Any = None) -> bytes:
    """The frame that tells a client what went wrong: ``{"error": {"code", "message", "detail"}}``.

    Args:
        code: An HTTP status code.
        message: One sentence.
        detail: More, where there is more; FastAPI's list for a validation error.
    """
    error: dict[str, Any] = {"code": code, "message": message}
    if detail:
        error["detail"] = _json_safe(detail)
    return frame(TEXT, json.dumps({"error": error}, separators=(",", ":")).encode())


def _binary(value: Any) -> bytes:
    # bytes(5) would be five zeros: only what is bytes already may pass.
    return bytes(memoryview(value))


def _json_encode(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    encode = adapter.serializer.to_json
    if not _has_aliases(adapter):
        return encode
    # FastAPI serialises by alias. The argument is left out where it changes nothing: it costs 0.1 µs per value.
    return lambda value: encode(value, by_alias=True)


def _has_aliases(adapter: TypeAdapter[Any]) -> bool:
    try:
        named, aliased = (adapter.json_schema(by_alias=way, mode="serialization") for way in (False, True))
    except Exception:
        return True
    return named != aliased


def _json_text(value: Any) -> bytes:
    return to_json(str.__str__(value))  # which refuses None, and all else that is not text, as the other encoders do


_JSON_TEXT: Encoder[Any] = Encoder(TEXT, _json_text)


def _wrong_kind(message: str | bytes, kind: type[str] | type[bytes] | None) -> str:
    got = "text" if isinstance(message, str) else "binary"
    expected = {str: "text messages", bytes: "binary messages", None: "text messages of JSON"}[kind]
    return f"What is taken here are {expected}; this one is {got}."


def _invalid(error: ValidationError) -> InvalidMessage:
    """What FastAPI would say of the body, bounded: an answer may not dwarf its question, nor take longer."""
    if (count := error.error_count()) > MAX_ERRORS:
        return InvalidMessage(f"The message has {count} errors.")
    detail = few(error.errors(include_url=False), ("body",))
    where = ".".join(str(part) for part in detail[0]["loc"][1:])
    return InvalidMessage(f"{where}: {detail[0]['msg']}" if where else detail[0]["msg"], detail)


def few(errors: Sequence[Any], place: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return some of Pydantic's errors for the eyes of a client; what is too long is cut, or left out.

    Args:
        errors: All of them.
        place: What their places begin with.
    """
    return [_told(item, place) for item in errors[:MAX_DETAIL]]


def _told(item: Any, place: tuple[str, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "type": item["type"],
        "loc": [*place, *(_cut(part) for part in item["loc"][: MAX_DEPTH + 1 - len(place)])],
        "msg": _cut(item["msg"]),
    }
    for key in ("input", "ctx"):
        value = _json_safe(item.get(key))
        if key in item and len(json.dumps(value)) <= MAX_TEXT:
            told[key] = value
    return told


def _cut(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= MAX_TEXT else part[:MAX_TEXT] + "…"


def _json_safe(value: Any) -> Any:
    """Return a value as JSON has it: NaN is null, bytes are text, and what JSON has not is in ASCII."""
    if isinstance(value, bytes):  # a body that is not JSON, nor perhaps UTF-8
        return value.decode(errors="replace")
    with suppress(Exception):
        return json.loads(to_json(value, inf_nan_mode="null", fallback=str))
    with suppress(Exception):  # a number of more digits than Python writes, or the user's __repr__
        return ascii(value)
    return None
