"""Declarations of topics as plain data, by which processes without the app's code can publish to them."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

from annotated_types import BaseMetadata
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from ..codec import plain_type
from ..errors import DeclarationError
from ..log.kinds import LogKind
from ..log.record import Retention
from ..raw import RawJSON, field_of
from .key import Key, Made, plain_parameter
from .values import values_of
from .watched import TopicDefinition, Watched, WatchedOptions

_PLAIN = (str, int, float, bool, NoneType, date, datetime, time, timedelta, Decimal, UUID)
_TYPES = {each.__name__: each for each in _PLAIN}
_VALUES = {"json": Any, "text": str, "bytes": bytes, "raw": RawJSON}


class _Parameter(BaseModel):
    """A parameter of a key."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str | dict[Literal["literal", "union"], tuple[Any, ...]] | None
    """Type that every process knows; None if only the app knows it."""
    default: tuple[Any, ...] = ()
    """Default as JSON, if there is one."""


class Declaration(BaseModel):
    """A topic as plain data."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    retention: Retention
    """The entries that its logs retain, with the bounds of the app's settings."""
    encoding: Literal["json", "text", "bytes", "raw"]
    by: str | None
    text: str | None = None
    """Name of the text that grows in the JSON of a row; empty if it is the value, None if nothing grows."""
    key: tuple[_Parameter, ...]


def declaration_of(watched: Watched[Any, Any], retention: Retention) -> Declaration:
    """Return the declaration of a topic, whose logs retain what an app's settings allow."""
    encoding = {str: "text", bytes: "bytes", RawJSON: "raw"}.get(plain_type(watched.value_type), "json")
    key = tuple(_declared(plain_parameter(each)) for each in watched.key.parameters)
    values = watched.log_kind.values
    text = None if values.grow is None else values.field
    return Declaration.model_validate(
        {"retention": retention, "encoding": encoding, "by": watched.options.by, "text": text, "key": key}
    )


def topic_of(path: str, declared: Declaration, value_type: Any = None) -> TopicDefinition[..., Any]:
    """Return a topic that an app elsewhere has declared.

    Args:
        value_type: The type of the values, if it is known here; None for anything that can be serialised.

    Raises:
        DeclarationError: Its key has a type that only the app knows.
    """
    title, by = f"topic {path!r}", declared.by
    type_ = _VALUES[declared.encoding] if value_type is None else value_type
    row_of = None if by is None else partial(_field, by)
    return TopicDefinition(
        path=path,
        title=title,
        key=Key(title, [_parameter(title, each) for each in declared.key]),
        value_type=type_,
        log_kind=LogKind(declared.retention, values_of(type_, row_of, declared.text)),
        options=WatchedOptions(keep="latest", by=by, retain=None),  # the retention has what they would say
    )


def _field(by: str, value: Any) -> Any:
    if isinstance(value, RawJSON):
        return field_of(value, by)
    return value[by] if isinstance(value, Mapping) else getattr(value, by)


def _declared(parameter: Parameter) -> _Parameter:
    default: tuple[Any, ...] = ()
    if parameter.default is not Parameter.empty and not isinstance(parameter.default, Made):
        default = (TypeAdapter(Any).dump_python(parameter.default, mode="json"),)
    return _Parameter(name=parameter.name, type=_text_of(parameter.annotation), default=default)


def _text_of(annotation: Any) -> Any:
    """Return a type as JSON; None if it is the app's own, or changes values, as validators do."""
    if isinstance(annotation, NewType):
        return _text_of(annotation.__supertype__)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _text_of(args[0]) if all(map(_only_checks, args[1:])) else None
    if annotation in (None, *_PLAIN):
        return NoneType.__name__ if annotation is None else annotation.__name__
    if origin is Literal:
        return {"literal": args} if all(type(each) in (str, int, bool, NoneType) for each in args) else None
    members = [_text_of(each) for each in args] if origin in (Union, UnionType) else [None]
    return None if None in members else {"union": members}


def _only_checks(metadata: object) -> bool:
    """Return True if a part of an ``Annotated`` leaves the values as they are."""
    if isinstance(metadata, FieldInfo):
        return all(map(_only_checks, metadata.metadata))
    return isinstance(metadata, BaseMetadata | str)


def _parameter(title: str, declared: _Parameter) -> Parameter:
    if declared.type is None:
        problem = (
            f"its key has {declared.name!r}, whose type only the app knows: import the app, and use Publisher(app)"
        )
        raise DeclarationError(title, problem)
    default = declared.default[0] if declared.default else Parameter.empty
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return Parameter(declared.name, kind, default=default, annotation=_type_of(declared.type))


def _type_of(text: Any) -> Any:
    if isinstance(text, str):
        return _TYPES[text]
    if "literal" in text:
        return Literal[tuple(text["literal"])]
    return Union[tuple(map(_type_of, text["union"]))]  # noqa: UP007 - of as many as there are
