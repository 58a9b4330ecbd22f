"""Descriptions of definitions as plain data, from which documents about an app can be made."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from inspect import Parameter
from typing import Any, Literal, NamedTuple

from ..codec import plain_type
from .key import Made, plain_parameter, spellings_of
from .naming import named, placeholders
from .stream import Call, Intake, Stream
from .watched import FeedDefinition, Watched

Encoding = Literal["json", "text", "bytes"]
Definition = Stream | Call | Watched[Any, Any]


class Placed(NamedTuple):
    """A definition, and where an app serves it."""

    path: str
    """Path with the prefixes of all routers."""
    definition: Definition
    http: bool
    """True if an HTTP request of this path reaches the definition: GET for feeds and topics, POST for the others."""


class ParameterDescription(NamedTuple):
    """A path or query parameter."""

    name: str
    """Name in URLs."""
    place: Literal["path", "query"]
    type: Any
    """Declared type, with its ``Annotated`` metadata."""
    is_required: bool
    default: Any
    """Value if the parameter is missing; None if it is required, or made for each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A definition as plain data.

    Args:
        kind: ``"stream"``, ``"call"``, ``"feed"`` or ``"topic"``.
        doc: The docstring of the function; empty if there is none.
        parameters: The path and query parameters; for feeds and topics, they are the key.
        intake: The messages that a client sends, see :class:`Intake`; for topics, ``EACH`` if it has a handler.
        encoding: The form of a value on the wire.
        message_encoding: The form of a message on a raw WebSocket; None if there are none.
    """

    kind: str
    path: str
    title: str
    doc: str
    parameters: tuple[ParameterDescription, ...]
    intake: Intake
    message_type: Any
    value_type: Any
    encoding: Encoding
    message_encoding: Encoding | None
    options: Mapping[str, Any]
    surfaces: tuple[Literal["websocket", "multiplexed", "get", "post", "sse"], ...]


_ENCODINGS: Mapping[Any, Encoding] = {str: "text", bytes: "bytes"}


def describe(definitions: Iterable[Placed]) -> tuple[Description, ...]:
    """Return the descriptions of definitions."""
    return tuple(map(_description, definitions))


def _description(placed: Placed) -> Description:
    path, definition, http = placed
    return Description(
        kind=definition.kind,
        path=path,
        title=definition.title,
        doc=(definition.function and inspect.getdoc(named(definition.function))) or "",
        parameters=tuple(_parameter(path, each) for each in definition.url_parameters),
        intake=definition.intake,
        message_type=definition.message_type,
        value_type=definition.value_type,
        encoding=_encoding(definition.value_type),
        message_encoding=None if definition.intake is Intake.NOTHING else _encoding(definition.message_type),
        options=_options(definition),
        surfaces=("websocket", "multiplexed", *(_methods(definition) if http else ())),
    )


def _encoding(annotation: Any) -> Encoding:
    return _ENCODINGS.get(plain_type(annotation), "json")


def _methods(definition: Definition) -> tuple[Literal["get", "post", "sse"], ...]:
    if isinstance(definition, Call):
        return ("post",)
    events: tuple[Literal["sse"], ...] = () if plain_type(definition.value_type) is bytes else ("sse",)
    if not isinstance(definition, Watched):
        return ("post", *events)
    return ("get", *events) if definition.options.history is True else events


def _parameter(path: str, declared: Parameter) -> ParameterDescription:
    plain = plain_parameter(declared)
    place: Literal["path", "query"] = "path" if declared.name in placeholders(path) else "query"
    is_plain = plain.default is not Parameter.empty and not isinstance(plain.default, Made)
    default = plain.default if is_plain else None
    return ParameterDescription(
        spellings_of(declared)[0], place, plain.annotation, plain.default is Parameter.empty, default
    )


def _options(definition: Definition) -> dict[str, Any]:
    match definition:
        case FeedDefinition():
            return asdict(definition.options) | {"linger": definition.linger, "run": definition.run}
        case Watched():
            return asdict(definition.options)
        case Stream():
            return {"overlap": definition.overlap, "resume": definition.resume, "recheck": definition.recheck}
        case Call():
            return {}
