"""Tables whose rows are read in an order: by the value of a field."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cmp_to_key
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from math import isnan
from types import NoneType
from typing import Any, Self
from uuid import UUID

from .base import Entry, Wire
from .cache import PIECE, Chunk
from .table import Change, Place, TableLog

_BITS = 64
_LAST = object()
"""The rank of rows without a value, which come last."""
_PLACE = 64
"""Bytes that a row's place in the order takes, approximately: a pointer, and a number or the head of a text."""
_FEW = 8
_SHARE = 128
"""If more than one row of this number has changed, it is faster to sort all of them."""


class OrderedCursor(int):
    """The cursor of a watcher that has read a part of the rows in order.

    As a number it is below those of :class:`Place`. It knows the place of the last row that was read, even if that has
    changed since: the log does not have to remember where its watchers are.

    Args:
        begun: Head when the watcher began.
        left: Rows that it may read in order, at most: as many as there were, less those that it has read.
        rank: Rank of the row.
        offset: Number of the row's change.
        by_text: True if the order was that of texts.
    """

    begun: int
    left: int
    rank: Any
    offset: int
    by_text: bool

    def __new__(cls, begun: int, left: int, rank: Any, offset: int, *, by_text: bool) -> Self:
        cursor = super().__new__(cls, -((2 | by_text) << 4 * _BITS | begun << _BITS | offset))
        cursor.begun, cursor.left, cursor.rank, cursor.offset, cursor.by_text = begun, left, rank, offset, by_text
        return cursor


class OrderedTable(TableLog):
    """A table that new watchers read in an order, before they read its changes.

    Rows with the same value are in the order of their last changes, which all processes know.

    A watcher in between knows the head at which it began, and the last row that it has read. Rows that have changed
    since then are left out, and follow as changes; the others do not move. If its place is not known any more, because
    values of other types have come, it reads all rows in the order of their changes, which always has an end.

    Nothing is ordered before the rows are first read in order. From then on, each read moves the rows that have changed
    since the one before. If too many have, it orders all of them.

    Args:
        order: Returns the value to order by, of a row's payload, which is :func:`sortable`; None for rows that come
            last. It never raises.
        descending: True if the largest comes first.
    """

    __slots__ = ("_by_text", "_descending", "_kinds", "_order", "_ordered", "_replaced", "_upto")

    def __init__(self, *args: Any, order: Callable[[bytes], Any], descending: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._order = order
        self._descending = descending
        # The rows in order at the head _upto, None if they are not known; those among them that have changed since;
        # and whether they are ordered as text, since they have values of several types.
        self._ordered: list[Change] | None = None
        self._upto = 0
        self._replaced: list[Change] = []
        self._by_text = False
        # The number of ranks of each kind; those of different kinds never compare. Under None are those of other types.
        self._kinds: Counter[type | None] = Counter()

    def entries(self) -> list[Entry]:
        """See :meth:`Log.entries`; in order."""
        return self.newest()

    def read(self, cursor: int, wire: Wire) -> Chunk:
        """See :meth:`TableLog.read`; from cursor 0 on, all rows in order."""
        reading = cursor if isinstance(cursor, OrderedCursor) else None
        if (cursor and reading is None) or cursor >= self.head:
            return super().read(cursor, wire)
        if reading is not None and reading.begun < self._floor:
            return Chunk(b"", 0, 0, 0, self.head)
        chunk = self._cache.get(wire, cursor)
        if chunk is None:
            chunk = self._ordered_chunk(reading, wire)
            self._cache.put(wire, cursor, chunk)
        return chunk

    def _ordered_chunk(self, reading: OrderedCursor | None, wire: Wire) -> Chunk:
        rows = self._in_order()
        at, begun, most = 0, self.head, len(rows)
        if reading is not None:
            begun, most = reading.begun, reading.left
            at = -1 if most <= 0 else self._place_after(reading, rows)
        if at < 0:
            return super().read(Place(0, begun, 0).cursor(), wire)
        left = (rows[each] for each in range(at, len(rows)) if rows[each].offset <= begun)
        parts, size, read, following = [], 0, 0, next(left, None)
        while (change := following) is not None:
            read += 1
            following = next(left, None)
            # Not the row's own position: one that resumes before it has all rows must not look complete.
            part = self._row(change, wire, begun if following is None else begun - 1)
            if part is not None:
                parts.append(part)
                size += len(part)
            if size >= PIECE or read >= wire.most:
                break
        if change is None or following is None:
            return Chunk(wire.join(parts, self.position_at(begun)), begun, len(parts), 0, 0)
        cursor = OrderedCursor(begun, most - read, change.rank, change.offset, by_text=self._by_text)
        return Chunk(wire.join(parts, self.position_at(begun - 1)), cursor, len(parts), 0, 0)

    def _place_after(self, reading: OrderedCursor, rows: list[Change]) -> int:
        """Return the index of the first row that a watcher has not read; -1 if that is not known any more."""
        key = cmp_to_key(self._compare)
        if reading.by_text == self._by_text:
            try:
                return bisect_right(rows, key(reading), key=key)
            except Exception:  # its value is of another type than those of today
                return -1
        return -1

    def _row(self, change: Change, wire: Wire, offset: int) -> bytes | None:
        """Return the bytes of a row; None if it has changed meanwhile, or cannot be encoded."""
        if change.over or (payload := self._payload(change)) is None:
            return None
        return wire.row(self._key(change), payload, self.position_at(offset), change.marks)

    def _whole(self, *, from_end: bool = False) -> Iterable[Change]:
        rows = self._in_order()
        return reversed(rows) if from_end else rows

    def _in_order(self) -> list[Change]:
        """Return the rows in order."""
        rows, head = self._ordered, self.head
        if rows is None or self._upto != head:
            replaced = self._replaced
            self._ordered, self._replaced = None, []
            rows = self._sorted() if rows is None else self._moved(rows, replaced)
            _drop_ranks(replaced)
            if self.head == head:  # otherwise, what gives the values to order by has published itself
                self._ordered, self._upto = rows, head
        return rows

    def _moved(self, rows: list[Change], replaced: list[Change]) -> list[Change]:
        """Return the rows in order, from those of an earlier head."""
        changed = self._changes[bisect_right(self._offsets, self._upto) :]
        changed = [each for each in changed if not each.over and not each.gone]
        if len(changed) > self._bearable(rows):
            return self._sorted()
        for each in changed:
            self._rank(each)
        if self._by_text and not self._is_mixed():
            return self._sorted()  # the values may be of one type again
        key = cmp_to_key(self._compare)
        try:
            for each in replaced:
                if rows.pop(bisect_left(rows, key(each), key=key)) is not each:
                    return self._sorted()  # values that compare in no order
            for each in changed:
                insort(rows, each, key=key)
        except Exception:  # values of several types, now
            return self._sorted()
        return rows

    def _sorted(self) -> list[Change]:
        """Return the rows in order, sorted. Their changes are in the order of those of equal rows."""
        rows = [each for each in self._changes if not each.over and not each.gone]
        for each in rows:
            self._rank(each)
        known = [each for each in rows if each.rank is not _LAST]
        try:
            known.sort(key=_rank, reverse=self._descending)
            self._by_text = False
        except Exception:  # values of several types
            known = sorted((each for each in rows if each.rank is not _LAST), key=_text, reverse=self._descending)
            self._by_text = True
        return known + [each for each in rows if each.rank is _LAST]

    def _is_mixed(self) -> bool:
        """Return True if rows are certainly in the order of text, since they have values that never compare."""
        return len(self._kinds) > 1 and None not in self._kinds

    def _compare(self, one: Change | OrderedCursor, other: Change | OrderedCursor) -> int:
        """Return a number below 0 if a row comes before another one."""
        first, second = one.rank, other.rank
        if first is _LAST or second is _LAST:
            return (first is _LAST) - (second is _LAST) or one.offset - other.offset
        if self._by_text:
            first, second = str(first), str(second)
        if self._descending:
            first, second = second, first
        return -1 if first < second else 1 if second < first else one.offset - other.offset

    def _rank(self, change: Change) -> None:
        """Take the value by which a row is ordered, once."""
        if change.rank is None:
            payload = self._payload(change)
            rank = None if payload is None else self._order(payload)
            change.rank = _LAST if rank is None else rank
            self._grow_beside(_size_of(change.rank))
            self._count(change.rank, 1)

    def _count(self, rank: Any, more: int) -> None:
        if rank is not _LAST:
            kind = _KINDS.get(type(rank))
            self._kinds[kind] += more
            if not self._kinds[kind]:
                del self._kinds[kind]

    def _discard(self, change: Change) -> int:
        if change.rank is not None:
            self._grow_beside(-_size_of(change.rank))
            self._count(change.rank, -1)
            self._replaced.append(change)
            if self._ordered is None or len(self._replaced) > self._bearable(self._ordered):
                self._forget()
        return super()._discard(change)

    def _bearable(self, rows: list[Change]) -> int:
        """Return how many rows may have changed, for the others to be left where they are."""
        return max(len(rows) // _SHARE, _FEW)

    def _clear(self) -> None:
        super()._clear()
        self._kinds.clear()
        self._forget()

    def _forget(self) -> None:
        _drop_ranks(self._replaced)
        self._ordered, self._replaced = None, []


def sortable(value: Any) -> Any:
    """Return a value by which rows can be ordered, as it is; None for NaN, which is neither before nor after others.

    Values of the app's own types may be in no total order: a set is before another one only if it is a part of it.
    Then some rows would never be read, and others again and again.

    Raises:
        TypeError: The value is not known to have an order in which any two of its type are.
    """
    kind = type(value)
    if kind in _SORTABLE:
        return value
    if isinstance(value, float):
        return None if isnan(value) else float.__float__(value)
    if isinstance(value, Decimal):
        return None if Decimal.is_nan(value) else Decimal(value)
    if isinstance(value, str):  # an enum, say
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if kind in (list, tuple):
        made = list(map(sortable, value))
        if None not in made:
            return made
    raise TypeError(f"values of {kind.__qualname__} may be in no order")


_SORTABLE = frozenset(
    (
        int, str, bool, NoneType, bytes, date, datetime, time, timedelta, UUID, Fraction, IPv4Address, IPv6Address,
        IPv4Network, IPv6Network,
    )
)  # fmt: skip

_KINDS: Mapping[type, type] = {
    **{kind: kind for kind in (str, bytes, date, timedelta, UUID)},
    **dict.fromkeys((int, bool, float, Decimal), float),
}
"""Exact types of values, with their kind: those of one kind always compare, those of two never do. Lists, say, have
none: it depends on what is in them."""


def _drop_ranks(rows: list[Change]) -> None:
    for each in rows:
        each.rank = None


def _rank(change: Change) -> Any:
    return change.rank


def _text(change: Change) -> str:
    return str(change.rank)


def _size_of(rank: Any) -> int:
    return _PLACE + (len(rank) if isinstance(rank, str | bytes | list | tuple) else 0)
