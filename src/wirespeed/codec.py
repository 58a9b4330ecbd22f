"""Codecs: encoders turn the values of user code into bytes, and decoders turn clients' messages into values."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import PlainValidator, TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, from_json, to_json

from .errors import InvalidMessage
from .frames import BINARY, TEXT
from .isolation import annotate, failure
from .raw import NotJSON as NotJSON
from .raw import RawJSON, check_numbers
from .raw import read_json as read_json
from .spelling import plain_type as plain_type
from .weight import weight_of

T = TypeVar("T")

MAX_DETAIL = 20
"""Most errors of one message that its sender receives."""
MAX_ERRORS = 200
"""Errors of one message above which its sender receives only the number: describing 1,000 takes over 10 ms."""
MAX_DETAIL_SIZE = 64 * 1024
"""Most bytes of the detail of a refusal as JSON; a larger one is not sent."""
MAX_DEPTH = 10
"""Most parts of an error's location."""
MAX_TEXT = 400
"""Most characters of anything that an error quotes."""

_TOO_MANY = "The message has {count} errors, too many to list."


@dataclass(frozen=True, slots=True)
class Encoder(Generic[T]):
    """Turns the values of one type into payloads.

    A ``str`` becomes a text frame and ``bytes`` a binary frame, unchanged; a ``RawJSON`` is JSON already. Everything
    else becomes JSON by Pydantic's rules for the type.
    """

    opcode: int
    encode: Callable[[T], bytes]
    """Function that encodes one value as one payload.

    It raises the serializer's error for a value that cannot be serialised. A value of another type than declared is
    serialised by its own type, with Pydantic's warning: checking would cost 1.5 µs per value, many times the encoding.
    """
    text: Callable[[T], str] | None = None
    """Function that returns the text of one value, if payloads are text that is not JSON."""


@dataclass(frozen=True, slots=True)
class Decoder(Generic[T]):
    """Turns messages of clients into values of one type: text for ``str``, binary for ``bytes``, else JSON text."""

    kind: type[str] | type[bytes] | None
    adapter: TypeAdapter[T]

    def weight(self, message: str | bytes) -> int:
        """Return the bytes to charge for the value of a message, beside those of the message."""
        return weight_of(message) if self.kind is None else 0

    def decode(self, message: str | bytes) -> T:
        """Return the value of one message.

        Raises:
            InvalidMessage: The message has the wrong kind, is not JSON, or does not validate.
        """
        if not isinstance(message, self.kind or str):
            raise InvalidMessage(_wrong_kind(message, self.kind))
        try:
            if self.kind is None:
                check_numbers(message)
                return self.adapter.validate_json(message)
            return self.adapter.validate_python(message)
        except ValidationError as error:
            invalid = _invalid(error)
        except NotJSON as error:
            invalid = InvalidMessage(f"Invalid JSON: {error}")
        # Raised in the except block, it would keep Pydantic's error, with all of its lines, as its context.
        raise invalid


class RawDecoder(Decoder[RawJSON]):
    """Turns messages of JSON text into values that have it as it is."""

    __slots__ = ()

    def weight(self, message: str | bytes) -> int:
        """Return 0: the value is the text of the message."""
        return 0

    def decode(self, message: str | bytes) -> RawJSON:
        """See :meth:`Decoder.decode`."""
        if not isinstance(message, str):
            raise InvalidMessage(_wrong_kind(message, None))
        try:
            return self.adapter.validate_python(RawJSON(message))
        except ValidationError as error:
            invalid = _invalid(error)
        except ValueError as error:
            invalid = InvalidMessage(f"Invalid JSON: {error}")
        raise invalid


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Return the validator of a type in Python.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic does not know the type.
    """
    if plain_type(annotation) is not RawJSON:
        return TypeAdapter(annotation)
    metadata = getattr(annotation, "__metadata__", ())
    return TypeAdapter(Annotated[Any, PlainValidator(_raw), *metadata])


def _raw(value: Any) -> RawJSON:
    if type(value) is not RawJSON:
        raise ValueError("expected RawJSON: write RawJSON(text)")
    return value


def encoder(annotation: Any) -> Encoder[Any]:
    """Return the encoder of a type that a generator yields.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic cannot serialise the type.
    """
    kind = plain_type(annotation)
    if kind in (str, bytes):
        return _plain_encoder(kind, TypeAdapter(annotation))
    if kind is RawJSON:
        return Encoder(TEXT, RawJSON.__bytes__)
    return Encoder(TEXT, _json_encode(TypeAdapter(annotation)))


def _plain_encoder(kind: type, adapter: TypeAdapter[Any]) -> Encoder[Any]:
    """Return the encoder of text or bytes. A serializer in ``Annotated`` applies, and has to return the same type.

    Text is serialised as it is inside JSON, and so are its serializers for JSON only. Bytes are never sent as JSON.
    """
    is_text = kind is str
    if not _has_serializer(adapter.core_schema):
        # All of them raise for everything that is not text, or not bytes.
        return Encoder(TEXT, str.encode, str.__str__) if is_text else Encoder(BINARY, _binary)

    def serialised(value: Any) -> Any:
        made = adapter.dump_python(value, mode="json" if is_text else "python")
        if not isinstance(made, str if is_text else bytes | bytearray | memoryview):
            raise TypeError(f"a serializer of {kind.__name__} has to return {kind.__name__}, not {type(made).__name__}")
        return made

    if is_text:
        return Encoder(TEXT, lambda value: serialised(value).encode(), serialised)
    return Encoder(BINARY, lambda value: _binary(serialised(value)))


def has_serializer(annotation: Any) -> bool:
    """Return True if the user's code turns values of a type into other values to send."""
    return _has_serializer(TypeAdapter(annotation).core_schema)


def serializes_field(annotation: Any, name: str) -> bool:
    """Return True if the user's code turns a field of a type, or its values as a whole, into other values to send."""
    members = get_args(plain_type(annotation))
    if members and any(map(has_serializer, _texts_in(members[-1]))):  # in the values of a dict
        return True
    schema: Any = TypeAdapter(annotation).core_schema
    named: dict[str, Any] = {}
    while "serialization" not in schema and ("schema" in schema or "schema_ref" in schema):
        named |= {each["ref"]: each for each in schema.get("definitions", ())}
        schema = schema["schema"] if "schema" in schema else named[schema["schema_ref"]]
    fields = schema.get("fields", {})  # a list in dataclasses
    found = fields.get(name) if isinstance(fields, dict) else next((f for f in fields if f["name"] == name), None)
    return "serialization" in schema or _has_serializer(found, named)


def _texts_in(annotation: Any) -> Iterator[Any]:
    """Yield the types of text in a union, or the one type if it is text."""
    plain = plain_type(annotation)
    if plain is str:
        yield annotation
    elif get_origin(plain) in (Union, UnionType):
        for each in get_args(plain):
            yield from _texts_in(each)


def _has_serializer(schema: Any, named: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Return True if a schema has a serializer. The schemas to which it refers by name may not be recursive."""
    if isinstance(schema, dict):
        parts = [*schema.values(), named.get(schema.get("schema_ref", ""))]
        return "serialization" in schema or any(_has_serializer(each, named) for each in parts)
    return isinstance(schema, list) and any(_has_serializer(each, named) for each in schema)


def text_last(encode: Callable[[Any], bytes], name: str) -> Callable[[Any], bytes]:
    """Return the encoder of objects with a text that grows: the field with this name is the last of their JSON."""

    def encode_with_text(value: Any) -> bytes:
        fields = from_json(encode(value))
        text = fields.pop(name, None) if type(fields) is dict else None
        if type(text) is not str:
            raise TypeError(f"the field {name!r} grows, so it must be text")
        return to_json(fields | {name: text})

    return encode_with_text


def piece_of_text(text: str) -> bytes:
    """Return text as it is inside a JSON string."""
    return to_json(text)[1:-1]


def as_json(plain: Encoder[Any]) -> Encoder[Any]:
    """Return the encoder for a place where every value is JSON: there, a ``str`` is a JSON string with quotes."""
    text = plain.text
    return plain if text is None else Encoder(TEXT, lambda value: to_json(text(value)))


def decoder(annotation: Any) -> Decoder[Any]:
    """Return the decoder of a type of messages. Constraints in ``Annotated`` apply.

    Raises:
        pydantic.errors.PydanticUserError: Pydantic cannot validate the type.
    """
    kind = plain_type(annotation)
    if kind is RawJSON:
        return RawDecoder(None, adapter(annotation))
    return Decoder(kind if kind in (str, bytes) else None, TypeAdapter(annotation))


def json_of(value: Any) -> bytes:
    """Return a value of any type as JSON. NaN and infinite numbers become null, as Pydantic does everywhere.

    Raises:
        PydanticSerializationError: Pydantic cannot serialise the value.
    """
    if type(value) is RawJSON:
        return bytes(value)
    return to_json(value, inf_nan_mode="null")


def name_value(error: Exception, value: object) -> None:
    """Add the value to the error that an encoder raised for it, for the log."""
    try:
        note = f"while encoding the value {value!r:.200}"
    except BaseException as raised:  # the user's __repr__
        failure(raised)
        note = f"while encoding a {type(value).__name__}, whose repr() fails"
    annotate(error, note)


def error_json(code: int, message: str, detail: Any = None) -> bytes:
    """Return the JSON that reports an error to a client: ``{"error": {"code", "message", "detail"}}``.

    Args:
        detail: Details for the client; a text is omitted, because it is the message.
    """
    error: dict[str, Any] = {"code": code, "message": message}
    if detail is not None and not isinstance(detail, str) and (safe := safe_detail(detail)) is not None:
        error["detail"] = safe
    return json.dumps({"error": error}, separators=(",", ":")).encode()


def safe_detail(detail: Any) -> Any:
    """Return the detail of a refusal in the types of JSON; None if it is too large to be sent."""
    safe = _json_safe(detail)
    return safe if len(json.dumps(safe)) <= MAX_DETAIL_SIZE else None


def _binary(value: Any) -> bytes:
    # bytes(5) would be five zeros, so accept only what is bytes already.
    return bytes(memoryview(value))


def _json_encode(adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    encode = adapter.serializer.to_json
    if not _may_have_aliases(dict(adapter.core_schema)):
        return encode
    # FastAPI serialises by alias. For types without aliases, omit the argument: it costs 0.1 µs per value.
    return lambda value: encode(value, by_alias=True)


_OF_ANY_TYPE = {
    "any",
    "arguments",
    "call",
    "callable",
    "function-plain",
    "is-instance",
    "is-subclass",
    "missing-sentinel",
}
"""Schemas of values that are serialised by their own types, which may be models with aliases."""


def _may_have_aliases(schema: Any) -> bool:
    """Return True if values of a schema, or what is in them, may have fields with other names in JSON.

    What a serializer of the app returns may be of any type, and so may fields that a model does not know.
    """
    if not isinstance(schema, dict):
        return isinstance(schema, list | tuple) and any(map(_may_have_aliases, schema))
    kind = schema.get("type")
    return (
        (isinstance(kind, str) and kind in _OF_ANY_TYPE)
        or not schema.keys().isdisjoint(("alias", "serialization", "serialization_alias"))
        or "allow" in (schema.get("extra_behavior"), schema.get("extra_fields_behavior"))
        or bool(schema.get("polymorphic_serialization"))
        or any(map(_may_have_aliases, schema.values()))
    )


def _wrong_kind(message: str | bytes, kind: type[str] | type[bytes] | None) -> str:
    got = "text" if isinstance(message, str) else "binary"
    expected = {str: "a text", bytes: "a binary", None: "a JSON text"}[kind]
    return f"Expected {expected} message, got a {got} one."


def _invalid(error: ValidationError) -> InvalidMessage:
    """Return FastAPI's error for the body, bounded: an answer may not be far larger or slower than its message."""
    if (count := error.error_count()) > MAX_ERRORS:
        return InvalidMessage(_TOO_MANY.format(count=count))
    detail = few(error.errors(include_url=False), ("body",))
    where = ".".join(str(part) for part in detail[0]["loc"][1:])
    return InvalidMessage(f"{where}: {detail[0]['msg']}" if where else detail[0]["msg"], detail)


def _with_few_errors(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        if (count := error.error_count()) <= MAX_ERRORS:
            raise
    raise PydanticCustomError("too_many_errors", _TOO_MANY, {"count": count})


FEW_ERRORS = WrapValidator(_with_few_errors)
"""Metadata for the type of a body: its errors become one if there are more than :data:`MAX_ERRORS`.

FastAPI describes all errors, and its routes limit only what clients receive.
"""


def few(errors: Sequence[Any], place: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the first of Pydantic's errors for a client, with everything that is too long cut or omitted."""
    return [_bounded(item, place) for item in errors[:MAX_DETAIL]]


def _bounded(item: Any, place: tuple[str, ...]) -> dict[str, Any]:
    bounded: dict[str, Any] = {
        "type": item["type"],
        "loc": [*place, *(_cut(part) for part in item["loc"][: MAX_DEPTH + 1 - len(place)])],
        "msg": _cut(item["msg"]),
    }
    for key in ("input", "ctx"):
        if key not in item or _is_long(item[key]):
            continue
        value = _json_safe(item[key])
        if len(json.dumps(value)) <= MAX_TEXT:
            bounded[key] = value
    return bounded


def _is_long(value: Any) -> bool:
    """Return True if so much is in a value that its JSON is too long to quote. To encode all of it may take 10 ms."""
    size, parts = 0, [value]
    while parts and size <= MAX_TEXT:
        part = parts.pop()
        size += 1  # each part has a character at least
        if isinstance(part, str | bytes | list | tuple | dict):
            size += len(part)  # and a container as many separators
            if size <= MAX_TEXT and not isinstance(part, str | bytes):
                parts += [*part, *part.values()] if isinstance(part, dict) else part
    return size > MAX_TEXT


def _cut(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= MAX_TEXT else part[:MAX_TEXT] + "…"


def _json_safe(value: Any) -> Any:
    """Return a value in the types of JSON. NaN becomes null, bytes become text, and other types become ASCII text."""
    if isinstance(value, bytes):  # a body that is not JSON, and perhaps not UTF-8
        return value.decode(errors="replace")
    with suppress(Exception):
        return json.loads(to_json(value, inf_nan_mode="null", fallback=str))
    with suppress(Exception):  # half a surrogate pair, which JSON can carry as an escape
        return json.loads(json.dumps(value, allow_nan=False))
    with suppress(Exception):  # a number with more digits than Python writes, or an error in the user's __repr__
        return ascii(value)
    return None
