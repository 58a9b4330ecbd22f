"""Declarations of topics as plain data, by which processes without the app's code can publish to them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

from annotated_types import Ge, Gt, Interval, Le, Len, Lt, MaxLen, MinLen, MultipleOf
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from ..codec import adapter, plain_type
from ..errors import DeclarationError
from ..log.kinds import LogKind
from ..log.record import Retention
from ..raw import RawJSON, field_of
from ..readback import name_in_json, name_in_python
from ..spelling import spelled
from .key import Key, Made, plain_parameter
from .values import type_of_row, values_of
from .watched import TopicDefinition, Watched, WatchedOptions

_PLAIN = (str, int, float, bool, NoneType, date, datetime, time, timedelta, Decimal, UUID)
_TYPES = {each.__name__: each for each in _PLAIN}
_VALUES = {"json": Any, "text": str, "bytes": bytes, "raw": RawJSON}


class _Parameter(BaseModel):
    """A parameter of a key."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

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
    """Name in JSON of the field that identifies a row; None in logs without rows."""
    row: str | dict[Literal["literal", "union"], tuple[Any, ...]] | None = None
    """Type of that field, which every process knows; None if only the app knows it."""
    text: str | None = None
    """Name of the text that grows in the JSON of a row; empty if it is the value, None if nothing grows."""
    key: tuple[_Parameter, ...]


def declaration_of(watched: Watched[Any, Any], retention: Retention) -> Declaration:
    """Return the declaration of a topic, whose logs retain what an app's settings allow."""
    encoding = {str: "text", bytes: "bytes", RawJSON: "raw"}.get(plain_type(watched.value_type), "json")
    key = tuple(_declared(plain_parameter(each)) for each in watched.key.parameters)
    values = watched.log_kind.values
    text = None if values.grow is None else values.field
    by = row = None
    if watched.options.by is not None:
        by = name_in_json(watched.adapter, watched.options.by)
        row = _text_of(type_of_row(watched.value_type, watched.options.by))
    return Declaration.model_validate(
        {"retention": retention, "encoding": encoding, "by": by, "row": row, "text": text, "key": key}
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
    row_of = None
    if by is not None:
        row_of = partial(_field, by if value_type is None else name_in_python(adapter(value_type), by), by)
    values = values_of(type_, row_of, declared.text)
    if declared.row is not None:
        values = replace(values, row=partial(_read, TypeAdapter(_type_of(declared.row))))
    return TopicDefinition(
        path=path,
        title=title,
        key=Key(title, [_parameter(title, each) for each in declared.key]),
        value_type=type_,
        log_kind=LogKind(declared.retention, values),
        options=WatchedOptions(keep="latest", by=by, retain=None),  # the retention has what they would say
    )


def _read(type_: TypeAdapter[Any], row: Any) -> Any:
    """Return the key of a row as the app reads it, which may know the text 1.50 as a number."""
    try:
        return type_.validate_python(row)
    except ValidationError:  # values are not validated here
        return row


def _field(name: str, in_json: str, value: Any) -> Any:
    """Return the field of a row that identifies it.

    Args:
        name: Its name in mappings: that in JSON, unless the type of the rows is known.
    """
    if isinstance(value, RawJSON):
        return field_of(value, in_json)
    return value[name] if isinstance(value, Mapping) else getattr(value, _attribute(value.__class__, in_json))


@lru_cache(maxsize=1000)
def _attribute(kind: type, in_json: str) -> str:
    try:
        return name_in_python(TypeAdapter(kind), in_json)
    except PydanticUserError:  # not a type of Pydantic's
        return in_json


def _declared(parameter: Parameter) -> _Parameter:
    text, default = _text_of(parameter.annotation), parameter.default
    if text is None or default is Parameter.empty or isinstance(default, Made):
        return _Parameter(name=parameter.name, type=text)
    plain = TypeAdapter(parameter.annotation).dump_python(default, mode="json", warnings=False)
    declared = _Parameter(name=parameter.name, type=text, default=(plain,))
    return declared if _is_carried(declared, default) else _Parameter(name=parameter.name, type=None)


def _is_carried(declared: _Parameter, default: Any) -> bool:
    """Return True if a process elsewhere has the same default: a date that may also be text would be text there."""
    there = _Parameter.model_validate_json(declared.model_dump_json())
    try:
        return spelled(TypeAdapter(_type_of(there.type)).validate_python(there.default[0])) == spelled(default)
    except ValidationError:  # such as None, which is passed as it is
        return bool(there.default[0] == default)


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


_BOUNDS = (Gt, Ge, Lt, Le, Interval, MultipleOf, MinLen, MaxLen, Len)
"""Metadata that leaves each value as it is: the app refuses the others. Further checks are known only to the app."""


def _only_checks(metadata: object) -> bool:
    """Return True if a part of an ``Annotated`` leaves the values as they are."""
    if isinstance(metadata, FieldInfo):
        return all(map(_only_checks, metadata.metadata))
    return isinstance(metadata, (*_BOUNDS, str))


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
