"""Canonical text of Python values: equal values have the same text, and different values never do.

The text does not depend on the process. It is made from the values themselves, not from their JSON: that omits fields,
hides secrets and rounds numbers.
"""

import dataclasses
import inspect
import re
import typing
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import copy
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PurePath, PureWindowsPath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, cast, get_args, get_origin
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    EmailStr,
    FutureDate,
    FutureDatetime,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    Json,
    NaiveDatetime,
    PastDate,
    PastDatetime,
    Secret,
    SecretBytes,
    SecretStr,
)
from typing_extensions import is_typeddict

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_.~-]*\Z", re.ASCII)

SECRETS = (SecretStr, SecretBytes, Secret)


class Unspellable(TypeError):
    """A value has no canonical text."""


def spelled(value: object) -> str:
    """Return the canonical text of a value.

    Integers are written as they are, and so is text that begins with a letter. Everything else gets the name of its
    type or quotes, so that ``1``, ``"1"``, ``True`` and ``1.0`` differ.

    Raises:
        Unspellable: The value, or a part of it, is of a type without a canonical text.
    """
    kind = type(value)
    if kind is int:
        return str(value)
    if isinstance(value, Enum):
        name = str(value.value) if isinstance(value, Flag) else value.name
        return f"{_name(kind)}({_quoted(name)})"
    if isinstance(value, str):
        text = str.__str__(value)  # a subclass may show itself otherwise, and is equal
        return text if _BARE.match(text) else f"'{_quoted(text)}'"
    for types, spell in _SPELLERS:
        if isinstance(value, types):
            return spell(value)
    if dataclasses.is_dataclass(kind):
        return _of_fields(kind, _dataclass_items(value), ())
    raise Unspellable(f"a value of type {kind.__qualname__} cannot identify a key or a row: use a str, int or model")


def _name(kind: type) -> str:
    return _quoted(kind.__qualname__.rpartition("<locals>.")[2])


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _all(values: Iterable[object]) -> str:
    return ",".join(map(spelled, values))


def _number(value: float) -> str:
    return f"float({float.__add__(value, 0.0)!r})"  # -0.0 + 0.0 is 0.0


def _complex(value: complex) -> str:
    return f"complex({_quoted(str(complex.__add__(value, 0j)))})"  # as for floats, in both of its parts


def _decimal(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return f"Decimal({Decimal.__str__(value)})"
    significant = "".join(map(str, digits)).lstrip("0")
    text = significant.rstrip("0")
    if not text:
        return "Decimal(0)"
    return f"Decimal({'-' * sign}{text}e{exponent + len(significant) - len(text)})"


def _datetime(value: datetime) -> str:
    if value.utcoffset() is None:
        return f"datetime({datetime.isoformat(value.replace(tzinfo=None))})"
    try:
        return f"datetime({datetime.isoformat(value.astimezone(UTC).replace(tzinfo=None))}Z)"
    except OverflowError:  # the instant is outside the years of a datetime in UTC
        return f"datetime({value - _EPOCH}Z)"


def _time(value: time) -> str:
    if value.utcoffset() is None:
        return f"time({time.isoformat(value.replace(tzinfo=None))})"
    return f"time({_since_midnight(value)}Z)"


def _since_midnight(value: time) -> timedelta:
    """Return the time since midnight in UTC, which is below 0 or above a day if it is another day there."""
    since = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return since - (value.utcoffset() or timedelta(0))


def uniform(value: Any) -> Any:
    """Return a value whose JSON is the same for all values with one canonical text; at any depth.

    A decimal loses its trailing zeros, an instant is in UTC, and what has no order is sorted.
    """
    if isinstance(value, Enum):
        return uniform(value.value)
    for types, make in _UNIFORM:
        if isinstance(value, types):
            return make(value)
    if dataclasses.is_dataclass(type(value)):
        return _uniform_fields(value, _dataclass_items(value))
    return value


def _uniform_decimal(value: Decimal) -> Decimal:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return value
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    exponent = exponent + len(text) - len(significant) if significant else 0
    if 0 < exponent <= _ZEROS:  # 100, and not 1E+2
        significant, exponent = significant + "0" * exponent, 0
    return Decimal((sign if significant else 0, tuple(map(int, significant or "0")), exponent))


_NAMES = (str, int, float, bool, NoneType)
"""Types of what may name a member of a JSON object."""

_ZEROS = 64
"""Zeros at the end of a whole decimal that are written, rather than an exponent."""


def _uniform_datetime(value: datetime) -> datetime:
    try:
        return value if value.utcoffset() is None else value.astimezone(UTC)
    except OverflowError:  # the instant is outside the years of a datetime in UTC
        return value


def _uniform_time(value: time) -> time:
    if value.utcoffset() is None:
        return value
    since = _since_midnight(value)
    hours = since // timedelta(hours=1)
    offset = timedelta(hours=max(0, -hours) + min(0, 23 - hours))  # not 0 if it is another day in UTC
    return (_EPOCH + since + offset).time().replace(tzinfo=timezone(offset))


def _uniform_mapping(value: Mapping[Any, Any]) -> dict[Any, Any]:
    items = {name if type(name) in _NAMES else str(uniform(name)): uniform(each) for name, each in value.items()}
    return {name: items[name] for name in sorted(items, key=str)}


def _uniform_fields(value: Any, fields: Iterable[tuple[str, Any]]) -> Any:
    made = copy(value)
    for name, each in fields:
        object.__setattr__(made, name, uniform(each))
    return made


_UNIFORM: list[tuple[type | tuple[type, ...], Callable[[Any], Any]]] = [
    (float, lambda value: float.__add__(value, 0.0)),
    (bytearray, bytes),
    (Decimal, _uniform_decimal),
    (datetime, _uniform_datetime),
    (time, _uniform_time),
    (PureWindowsPath, lambda value: PureWindowsPath(str(value).lower())),
    (BaseModel, lambda value: _uniform_fields(value, [*value.__dict__.items()])),
    ((list, tuple, deque), lambda value: list(map(uniform, value))),
    ((set, frozenset), lambda value: list(map(uniform, sorted(value, key=_order_in_set)))),
    (dict, _uniform_mapping),
]


def _order_in_set(value: Any) -> str:
    try:
        return spelled(value)
    except Unspellable:
        return str(value)


def _mapping(value: Mapping[Any, Any]) -> str:
    return "{" + ",".join(sorted(f"{spelled(name)}:{spelled(each)}" for name, each in value.items())) + "}"


def _tuple(value: tuple[Any, ...]) -> str:
    # A tuple and a list have the same text: how a `Sequence` was passed decides which of them arrives.
    name = _name(type(value)) if hasattr(value, "_fields") else ""
    return f"{name}[{_all(value)}]"


def _model(value: BaseModel) -> str:
    kind = type(value)
    extra = value.__pydantic_extra__ or {}
    held = value.__dict__
    return _of_fields(kind, [(name, held[name]) for name in kind.model_fields if name in held], extra.items())


def _dataclass_items(value: Any) -> list[tuple[str, Any]]:
    return [(each.name, getattr(value, each.name)) for each in dataclasses.fields(value) if hasattr(value, each.name)]


def _of_fields(kind: type, fields: Iterable[tuple[str, Any]], extra: Iterable[tuple[str, Any]]) -> str:
    text = ",".join(f"{_quoted(name)}={spelled(each)}" for name, each in fields)
    more = ",".join(sorted(f"{_quoted(name)}={spelled(each)}" for name, each in extra))
    return f"{_name(kind)}({text};{more})" if more else f"{_name(kind)}({text})"


def _path(value: PurePath) -> str:
    # The flavour tells paths apart, and not the class: PurePosixPath("a") == Path("a") == PosixPath("a").
    text = PurePath.__str__(value)
    if isinstance(value, PureWindowsPath):
        return f"PureWindowsPath({_quoted(text.lower())})"  # the case of letters tells none apart
    return f"PurePosixPath({_quoted(text)})"


def _text(value: object) -> str:
    # The class of the family, and not that of the value: an instance of a subclass is equal, and Pydantic passes it on.
    kind: Any = next(each for each in _AS_TEXT if isinstance(value, each))
    return f"{kind.__name__}({_quoted(kind.__str__(value))})"


_AS_TEXT: tuple[type, ...] = (
    UUID, Fraction, ZoneInfo, IPv4Interface, IPv4Address, IPv4Network, IPv6Interface, IPv6Address, IPv6Network, AnyUrl,
)  # fmt: skip
"""Types for which equal values have the same `str`; subclasses of each other come first."""

_SPELLERS: list[tuple[type | tuple[type, ...], Callable[[Any], str]]] = [
    (bool, lambda value: f"bool({value})"),
    (int, lambda value: int.__repr__(value)),
    (NoneType, lambda value: "None()"),
    (float, _number),
    ((bytes, bytearray), lambda value: f"bytes({bytes(value).hex()})"),
    (Decimal, _decimal),
    (datetime, _datetime),
    (date, lambda value: f"date({date.isoformat(value)})"),
    (time, _time),
    (timedelta, lambda value: f"timedelta({timedelta.__str__(value)})"),
    (complex, _complex),
    (PurePath, _path),
    (BaseModel, _model),
    (tuple, _tuple),
    ((list, deque), lambda value: f"[{_all(value)}]"),
    ((set, frozenset), lambda value: f"set({','.join(sorted(map(spelled, value)))})"),
    (dict, _mapping),
    (_AS_TEXT, _text),
]

_LEAVES: tuple[type, ...] = (
    str, int, float, bool, NoneType, bytes, bytearray, Decimal, date, time, timedelta, list, tuple, set, frozenset,
    dict, deque, complex, PurePath, *_AS_TEXT,
)  # fmt: skip

_STAND_INS: tuple[Any, ...] = (
    AwareDatetime, NaiveDatetime, PastDate, FutureDate, PastDatetime, FutureDatetime, EmailStr, IPvAnyAddress,
    IPvAnyInterface, IPvAnyNetwork,
)  # fmt: skip
"""Annotations that only validate: their values have a type of the leaves."""


def problems(annotation: Any) -> Iterator[str]:
    """Yield the reasons why values of a type have no canonical text, as sentences for the developer."""
    yield from _Walk().problems(annotation)


def classes_in(annotation: Any) -> frozenset[type]:
    """Return the classes with fields, such as models, in an annotation."""
    walk = _Walk()
    for _ in walk.problems(annotation):
        pass
    return frozenset(kind for kind, _ in walk.seen)


def subclass_in(value: object, declared: Collection[type]) -> type | None:
    """Return the class of a model or dataclass in a value that is only a subclass of a declared one; None without."""
    kind, parts = type(value), cast("Iterable[object]", ())
    if isinstance(value, BaseModel):
        parts = (*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values())
    elif dataclasses.is_dataclass(kind):
        parts = [each for _, each in _dataclass_items(value)]
    elif isinstance(value, Mapping):
        return subclass_in([*value, *value.values()], declared)
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        return next((found for each in value if (found := subclass_in(each, declared)) is not None), None)
    if kind not in declared and any(each in declared for each in kind.__mro__):
        return kind
    return subclass_in(list(parts), declared) if parts else None


class _Walk:
    """A walk over all types in an annotation."""

    def __init__(self) -> None:
        self._named: dict[str, type] = {}
        self._keeps_extra = False
        """True inside a class that keeps fields that it does not declare: plain classes in it do so as well."""
        self.seen: set[tuple[type, bool]] = set()
        """Classes with fields, each with whether it keeps those that it does not declare."""

    def problems(self, annotation: Any) -> Iterator[str]:
        annotation = _plain(annotation)
        origin = get_origin(annotation)
        if annotation in (Any, object, Ellipsis, Json, *_STAND_INS) or origin is Literal or isinstance(annotation, str):
            return
        if isinstance(annotation, TypeVar):
            yield from self._each((annotation.__bound__, *annotation.__constraints__))
        elif isinstance(annotation, type) and origin is None:
            yield from self._class(annotation)
        elif _is_container(origin):
            yield from self._each(get_args(annotation))
        else:
            yield from self._class(origin or annotation)

    def _each(self, annotations: Iterable[Any]) -> Iterator[str]:
        for each in annotations:
            if each is not None:
                yield from self.problems(each)

    def _class(self, kind: Any) -> Iterator[str]:
        if inspect.isclass(kind) and issubclass(kind, SECRETS):
            yield (
                f"{kind.__name__} is a secret, but keys appear in logs and at brokers: check the secret in "
                "dependencies=[Depends(...)], and use what it identifies, such as a user's id, as the key"
            )
        elif not inspect.isclass(kind) or not _is_spellable(kind):
            yield (
                f"values of {_called(kind)} cannot be compared by their parts: use str, int, bool, float, Decimal, "
                "datetime, UUID, an Enum, a Literal, or a model or collection of these"
            )
        else:
            yield from self._known(kind)

    def _known(self, kind: type) -> Iterator[str]:
        if issubclass(kind, _LEAVES) and not _has_names(kind):
            return
        name = _name(kind)
        if self._named.setdefault(name, kind) is not kind:
            yield f"two different classes are named {kind.__name__}: give them different names"
        elif not issubclass(kind, Enum):
            yield from self._fields(kind)

    def _fields(self, kind: type) -> Iterator[str]:
        config = getattr(kind, "model_config", getattr(kind, "__pydantic_config__", None))
        keeps_extra = self._keeps_extra if config is None else config.get("extra") == "allow"
        if (kind, keeps_extra) in self.seen:
            return
        self.seen.add((kind, keeps_extra))
        if keeps_extra and dataclasses.is_dataclass(kind):
            yield (
                f"{kind.__name__} is a dataclass that keeps fields that it does not declare, which are not part of a "
                'key: use a model with extra="allow", or another setting of `extra`'
            )
        if issubclass(kind, BaseModel) and kind.__private_attributes__:
            yield (
                f"{kind.__name__} has private attributes, which are not part of a key: use a model without them, or "
                "make them fields"
            )
        around, self._keeps_extra = self._keeps_extra, keeps_extra
        yield from self._each(_hints(kind))
        self._keeps_extra = around


def plain_type(annotation: Any) -> Any:
    """Return the type inside ``Annotated``, ``NewType`` and type aliases."""
    return _unwrapped(annotation)[0]


def metadata_of(annotation: Any) -> tuple[Any, ...]:
    """Return what ``Annotated`` adds to the type that :func:`plain_type` returns, the innermost first."""
    return _unwrapped(annotation)[1]


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    metadata: tuple[Any, ...] = ()
    while True:
        if get_origin(annotation) is Annotated:
            metadata = (*annotation.__metadata__, *metadata)
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__") and type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation, metadata


def _plain(annotation: Any) -> Any:
    plain = plain_type(annotation)
    return NoneType if plain is None else plain


def _is_container(origin: Any) -> bool:
    if origin in (Union, UnionType):
        return True
    return inspect.isclass(origin) and issubclass(origin, Collection)


def _is_spellable(kind: type) -> bool:
    if issubclass(kind, (*_LEAVES, Enum, BaseModel)) or dataclasses.is_dataclass(kind) or is_typeddict(kind):
        return True
    return kind.__module__ == "collections.abc" and issubclass(kind, Collection)


def _has_names(kind: type) -> bool:
    is_named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return is_named_tuple or is_typeddict(kind) or issubclass(kind, Enum) or dataclasses.is_dataclass(kind)


def _hints(kind: type) -> Collection[Any]:
    if issubclass(kind, BaseModel):
        return [field.annotation for field in kind.model_fields.values()]
    try:
        return typing.get_type_hints(kind, include_extras=True).values()
    except Exception:  # a name that exists only where the class was defined: its values are checked when spelled
        return ()


def _called(kind: Any) -> str:
    return kind.__name__ if inspect.isclass(kind) else str(kind)
