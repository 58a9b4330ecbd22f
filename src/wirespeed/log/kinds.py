"""Kinds of logs: the entries that a log retains, and the way from values to payloads."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from .base import IMMUTABLE, Append, Encode, Encoded, Failed, Log, Marks, Piece, Removed, Spoilt, State
from .cache import Tally
from .growing import GrowingTable, TextLog
from .latest import LatestLog
from .ordered import OrderedTable
from .record import Retention
from .ring import RingLog
from .table import TableLog


def _ignore(error: Exception, value: Any) -> None:
    """Do nothing; the hub replaces this."""


def _fixed(row: Any) -> Any:
    return row if type(row) in IMMUTABLE else deepcopy(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The way from the values of a log to payloads, rows and marks.

    Args:
        row_of: Returns the row of a value, which is hashable; None in logs without rows.
        grow: Makes a piece of a payload that grows, of a text; None if the values do not grow.
        field: Name of the text in the JSON of a row; empty in logs without rows.
        split: Separates a value from its marks; None if no value comes with marks. A log takes such values only as
            their states.
        order: Returns the value of a payload by which the rows of a table are ordered; None if they are in the order
            of their last changes.
        descending: True if the largest comes first.
        row: Makes the key of a row, which this process may change later, one that it does not change.
        whole: Returns the rows of a value that stands for a whole table, and None for others; None if no value does.
        failed: Called once for each value that cannot be encoded, if it is encoded only when it is read.
    """

    encode: Encode
    row_of: Callable[[Any], Any] | None = None
    row: Callable[[Any], Any] = _fixed
    grow: Encode | None = None
    field: str = ""
    split: Callable[[Any], tuple[Any, Marks | None]] | None = None
    order: Callable[[bytes], Any] | None = None
    descending: bool = False
    whole: Callable[[Any], Iterable[Any] | None] | None = None
    failed: Failed = _ignore

    def taken(self, value: Any, marks: Marks | None = None) -> Encoded | Piece | Removed:
        """Return the state of a value as it is now, to be appended later; in any thread.

        Raises:
            Exception: Errors of ``split``, ``encode``, ``grow`` and ``row_of``.
        """
        if type(value) is Removed:
            return Removed(self.row(value.row))
        if type(value) is Append and self.grow is not None:
            return Piece(self.grow(value.text), self.row(value.row))
        if self.split is not None:
            value, marks = self.split(value)
        row = None if self.row_of is None else self.row(self.row_of(value))
        return Encoded(self.encode(value), row, marks)

    def state(self, value: Any, marks: Marks | None = None) -> State:
        """Return the state of a value, or its error if it has none."""
        if type(value) in (Encoded, Piece, Spoilt):
            return value  # type: ignore[no-any-return]
        try:
            return self.taken(value, marks)
        except Exception as error:
            return Spoilt(error, value)


class LogKind(NamedTuple):
    """A kind of logs: all logs of one feed or topic in one app are of one kind."""

    retention: Retention
    values: Values

    def log(self, epoch: str, tally: Tally | None = None) -> Log:
        (kind, entries, seconds, size, rows, _, _), values = self
        if kind == "last":
            return RingLog(epoch, values.encode, tally, entries=entries, size=size, seconds=seconds)
        if kind == "latest":
            if values.grow is not None:
                return TextLog(epoch, values.encode, values.failed, tally, size=size)
            return LatestLog(epoch, values.encode, values.failed, tally)
        assert values.row_of is not None
        make: Callable[..., TableLog] = TableLog
        if values.grow is not None:
            make = partial(GrowingTable, field=values.field)
        elif values.order is not None:
            make = partial(OrderedTable, order=values.order, descending=values.descending)
        return make(
            epoch, tally, encode=values.encode, failed=values.failed, row_of=values.row_of, rows=rows, size=size
        )
