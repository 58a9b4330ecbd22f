"""Between values and bytes: what a generator yields, and what a client sends."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NewType, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from .errors import InvalidMessage
from .frames import BINARY, TEXT, frame

T = TypeVar("T")

MAX_DETAIL = 20
MAX_DETAIL_SIZE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Encoder(Generic[T]):
    """Turns the values of one type into payloads.

    A ``str`` is a text frame as it is, ``bytes`` a binary frame, everything else JSON by Pydantic's rules for the type.
    """

    opcode: int
    encode: Callable[[T], bytes]
    """One value to one payload. Raises whatever the value's type raises when a value does not fit it."""


@dataclass(frozen=True, slots=True)
class Decoder(Generic[T]):
    """Turns messages of clients into values of one type: text for ``str``, binary for ``bytes``, else JSON text."""

    kind: type[str] | type[bytes] | None
    adapter: TypeAdapter[T]

    def decode(self, message: str | bytes) -> T:
        """The value of one message.

        Raises:
            InvalidMessage: The message is of the wrong kind, is not JSON, or does not validate.
        """
        if not isinstance(message, self.kind or str):
            raise InvalidMessage(_wrong_kind(message, self.kind))
        try:
            if self.kind is None:
                return self.adapter.validate_json(message)
            return self.adapter.validate_python(message)
        except ValidationError as error:
            raise _invalid(error) from None


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


def decoder(annotation: Any) -> Decoder[Any]:
    """The decoder of what a stream takes; constraints in ``Annotated`` hold.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic knows no way to validate the type.
    """
    kind = plain_type(annotation)
    return Decoder(kind if kind in (str, bytes) else None, TypeAdapter(annotation))


def error_frame(code: int, message: str, detail: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """The frame that tells a client what went wrong: ``{"error": {"code", "message", "detail"}}``.

    Args:
        code: An HTTP status code.
        message: One sentence.
        detail: FastAPI's list of validation errors, where there is one.
    """
    error: dict[str, Any] = {"code": code, "message": message}
    if detail:
        error["detail"] = _bounded(detail)
    return frame(TEXT, json.dumps({"error": error}, separators=(",", ":"), default=str).encode())


def plain_type(annotation: Any) -> Any:
    """The type under ``Annotated``, ``NewType`` and type aliases."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__") and type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def _binary(value: Any) -> bytes:
    # bytes(5) would be five zeros: only what is bytes already may pass.
    return bytes(memoryview(value))


def _json_encode(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    to_json = adapter.serializer.to_json
    if not _has_aliases(adapter):
        return to_json
    # FastAPI serialises by alias. The argument is left out where it changes nothing: it costs 0.1 µs per value.
    return lambda value: to_json(value, by_alias=True)


def _has_aliases(adapter: TypeAdapter[Any]) -> bool:
    try:
        named, aliased = (adapter.json_schema(by_alias=way, mode="serialization") for way in (False, True))
    except Exception:
        return True
    return named != aliased


def _wrong_kind(message: str | bytes, kind: type[str] | type[bytes] | None) -> str:
    got = "text" if isinstance(message, str) else "binary"
    expected = {str: "text messages", bytes: "binary messages", None: "JSON in text messages"}[kind]
    return f"This stream takes {expected}; this one is {got}."


def _invalid(error: ValidationError) -> InvalidMessage:
    detail = json.loads(error.json(include_url=False))
    for item in detail:
        item["loc"] = ["body", *item["loc"]]
    first = detail[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return InvalidMessage(f"{where}: {first['msg']}" if where else first["msg"], detail)


def _bounded(detail: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first errors, without the client's own input where it is long: an answer may not dwarf its question."""
    first = list(detail[:MAX_DETAIL])
    if len(json.dumps(first, default=str)) <= MAX_DETAIL_SIZE:
        return first
    return [{key: value for key, value in item.items() if key != "input"} for item in first]
