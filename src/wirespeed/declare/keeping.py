"""From the options of a feed or topic to the kind of its logs."""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, TypeGuard, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json
from typing_extensions import is_typeddict

from ..codec import adapter, has_serializer, plain_type, serializes_field
from ..definitions import AfterEnd, WatchedOptions, values_of
from ..errors import DeclarationError
from ..isolation import failure
from ..log.kinds import LogKind
from ..log.ordered import sortable
from ..log.record import Retention
from ..raw import RawJSON, field_of
from ..readback import field_reader, name_in_json, reader, sent_field

RECHECK = "recheck must be a number of seconds above 0, or None for never"


def log_kind_of(what: str, type_: Any, options: WatchedOptions) -> LogKind:
    """Return the kind of a feed's or topic's logs; each app bounds them by its settings.

    Raises:
        DeclarationError: The options do not fit together.
        pydantic.errors.PydanticUserError: Pydantic cannot serialise the type.
    """
    for problem in _problems(options):
        raise DeclarationError(what, problem)
    row_of = None if options.by is None else _row_of(what, type_, options.by)
    values = values_of(type_, row_of, _text_of(what, type_, options))
    if options.order_by is not None:
        field, descending = options.order_by.removeprefix("-"), options.order_by.startswith("-")
        values = dataclasses.replace(values, order=_order_of(what, type_, field), descending=descending)
    return LogKind(_retention(options), values)


def _order_of(what: str, type_: Any, field: str) -> Callable[[bytes], Any]:
    """Return a function from the payload of a row to the value to order by; None for a row without one.

    Raises:
        DeclarationError: The rows have no such field, or it is not sent.
    """
    plain = plain_type(type_)
    names = _fields(plain)
    if names is not None and field not in names:
        problem = f"order_by={field!r} is not a field of {plain.__name__}, which has {', '.join(sorted(names))}"
        raise DeclarationError(what, problem)
    sent = sent_field(adapter(type_), field)
    if sent is not None and sent.is_excluded:
        raise DeclarationError(what, f"order_by={field!r} is excluded, and rows are ordered by what is sent of them")
    ways = [*_values_in(type_, field)]
    name = field if sent is None else sent.name

    def order(payload: bytes) -> Any:
        for way in ways:
            try:
                value = way(payload)
            except BaseException as error:  # of the app's own validators; the row still has to be shown
                failure(error)
            else:
                return _rank(value, payload, name)
        return None

    return order


def _rank(value: Any, payload: bytes, name: str) -> Any:
    """Return the value to order by: a field as Python has it, or else as JSON has it, by its name there."""
    with suppress(TypeError):
        return sortable(value)
    sent = from_json(payload)
    in_json = sent.get(name) if isinstance(sent, dict) else None  # a serializer may send something else
    with suppress(TypeError):
        return sortable(in_json)
    return str(in_json)


def _values_in(type_: Any, field: str) -> Iterator[Callable[[bytes], Any]]:
    """Yield ways from the payload of a row to the value of a field, as Python has it, in the order of preference.

    Text would put the number 10 of a ``Decimal`` before 9. A validator of the field may need the whole row.
    """
    plain = plain_type(type_)
    if plain is RawJSON:
        yield lambda payload: from_json(payload)[field]
        return
    read, names = reader(TypeAdapter(type_)), _fields(plain)
    value_in = itemgetter(field) if names is None or is_typeddict(plain) else attrgetter(field)
    if names is not None:
        yield field_reader(TypeAdapter(type_), field)
    yield lambda payload: value_in(read(payload))


def _retention(options: WatchedOptions) -> Retention:
    retain, keep = math.inf if options.retain is None else options.retain, options.keep
    retention = Retention("latest", retain=retain, keeps_end=options.after_end == "keep")
    if options.by is not None:
        return retention._replace(kind="table")
    if keep == "latest":
        return retention
    if isinstance(keep, timedelta):
        return retention._replace(kind="last", entries=sys.maxsize, seconds=keep.total_seconds())
    return retention._replace(kind="last", entries=keep)


def _problems(options: WatchedOptions) -> list[str]:
    """Return a sentence for each option that is wrong, or that does not fit the others."""
    newest_only = options.keep == "latest"
    rate, replay, retain = options.max_rate, options.replay, options.retain
    checks = {
        "keep must be 'latest', a number of entries, or a timedelta": not _is_keep(options.keep),
        "by= makes a table, which keeps the newest value of each row: leave keep= out": (
            options.by is not None and not newest_only
        ),
        "order_by= orders the rows of a table: name the field of a row's key with by=": (
            options.order_by is not None and options.by is None
        ),
        "order_by= and grows= do not go together: leave one of them out": (
            options.order_by is not None and options.grows is not False
        ),
        "replay= needs a log with more than the newest value: write keep=100, for example": newest_only and replay != 0,
        "on_lag= needs a log with more than the newest value: a slow watcher of this one skips to the newest": (
            newest_only and options.on_lag is not None
        ),
        f"replay= is more than the {options.keep} entries that keep= retains: raise keep=, or lower replay=": (
            isinstance(options.keep, int) and isinstance(replay, int) and replay > options.keep
        ),
        "replay must be a number of entries, 0 or more": not isinstance(replay, int) or replay < 0,
        "on_lag must be 'close' or 'skip'": options.on_lag not in (None, "close", "skip"),
        "after_end must be 'keep' or 'restart'": options.after_end not in get_args(AfterEnd),
        "max_rate must be at least 1 per second": rate is not None and not is_number(rate, least=1),
        RECHECK: not is_recheck(options.recheck),
        "history must be True, 'resume' or False": options.history not in (True, "resume", False),
        "history= withholds earlier values, and the newest one is all that this log has: leave it out": (
            newest_only and options.history is not True
        ),
        "replay= sends the earlier values that history= withholds: leave one of them out": (
            replay != 0 and options.history is not True
        ),
        "retain must be a number of seconds, 0 or more, or None for as long as there is room": (
            retain is not None and not is_number(retain)
        ),
    }
    return [problem for problem, is_so in (checks | _about_growth(options)).items() if is_so]


def _about_growth(options: WatchedOptions) -> dict[str, bool]:
    """Return sentences about ``grows``, each with whether it applies."""
    return {
        "grows= needs a text, of which only the newest is kept: write keep='latest'": (
            options.grows is not False and options.keep != "latest"
        ),
        "grows=True is for values that are texts; in a table, write the name of the field: grows='text'": (
            options.grows is True and options.by is not None
        ),
        "grows='...' names a field of a table's rows: write by=, too, or grows=True for values that are texts": (
            isinstance(options.grows, str) and options.by is None
        ),
        "the field that grows cannot be the one that identifies the row": (
            options.by is not None and options.grows == options.by
        ),
    }


def is_recheck(seconds: object) -> bool:
    """Return True if the option ``recheck`` has a valid value."""
    return seconds is None or (is_number(seconds) and 0 < seconds < math.inf)


def is_number(value: object, *, least: float = 0.0) -> TypeGuard[float]:
    """Return True for a number of at least ``least``, or infinity; NaN and ints too large for a float are refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return least <= value <= sys.float_info.max or value == math.inf


def _is_keep(keep: object) -> bool:
    if isinstance(keep, timedelta):
        return keep > timedelta(0)
    return keep == "latest" or (isinstance(keep, int) and not isinstance(keep, bool) and keep > 0)


def _text_of(what: str, type_: Any, options: WatchedOptions) -> str | None:
    """Return the name in JSON of the text that grows; empty if it is the value, None if nothing grows."""
    plain, name = plain_type(type_), options.grows
    if name is False:
        return None
    if name is True:
        if plain is not str:
            raise DeclarationError(what, "grows=True needs values of the type str")
        if has_serializer(type_):
            raise DeclarationError(
                what, "grows=True sends what is appended as it is: leave out the serializer of the type"
            )
        return ""
    if plain is RawJSON:
        raise DeclarationError(what, "grows= needs values that are encoded here, which RawJSON is not")
    hints = _hints(plain)
    if hints is not None and plain_type(hints.get(name)) is not str:
        raise DeclarationError(what, f"grows={name!r} needs a field of the type str with this name")
    if serializes_field(type_, name):
        raise DeclarationError(
            what,
            f"grows={name!r} sends pieces as they are: leave out the serializer of the field, or of the whole type",
        )
    return name_in_json(TypeAdapter(type_), name)


def _hints(plain: Any) -> dict[str, Any] | None:
    """Return the fields of a type with their types; None if any field may be there."""
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return {name: field.annotation for name, field in plain.model_fields.items()}
    return get_type_hints(plain, include_extras=True) if _fields(plain) is not None else None


def _row_of(what: str, type_: Any, by: str) -> Callable[[Any], Any]:
    plain = plain_type(type_)
    if plain is RawJSON:
        return partial(field_of, name=by)
    if (get_origin(plain) or plain) is dict or get_origin(plain) is Mapping:
        return itemgetter(by)
    names = _fields(plain)
    if names is None:
        raise DeclarationError(what, f"by={by!r} needs values with fields: a model, a dataclass, a TypedDict or a dict")
    if by not in names:
        raise DeclarationError(
            what, f"by={by!r} is not a field of {plain.__name__}, which has {', '.join(sorted(names))}"
        )
    return itemgetter(by) if is_typeddict(plain) else attrgetter(by)


def _fields(plain: Any) -> set[str] | None:
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return set(plain.model_fields)
    if dataclasses.is_dataclass(plain):
        return {field.name for field in dataclasses.fields(plain)}
    if is_typeddict(plain):
        return set(plain.__annotations__)
    return None
