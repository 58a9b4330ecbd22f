"""Tables whose rows are read in an order: by the value of a field."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .base import Entry, Wire
from .cache import PIECE, Chunk
from .table import Change, TableLog

_BITS = 64
_READING = 1 << 4 * _BITS
"""Cursors below its negative are of watchers that read the whole table in order."""


ORDERS = 8
"""Orders that are remembered, for watchers that have begun at different heads and have not read all rows."""


class OrderedTable(TableLog):
    """A table that new watchers read in an order, before they read its changes.

    A watcher in between knows the head at which it began, and how many rows are left. Rows that have changed since then
    are left out, and follow as changes. If the table forgets the order, it sorts what is left of these rows again: the
    last ones of them include all that the watcher needs.

    Args:
        order: Returns the value to order by, of a row's payload; None for rows that come last.
        descending: True if the largest comes first.
    """

    __slots__ = ("_descending", "_order", "_sorted")

    def __init__(self, *args: Any, order: Callable[[bytes], Any], descending: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._order = order
        self._descending = descending
        self._sorted: OrderedDict[int, list[Change]] = OrderedDict()
        """The rows in order, by the head at which watchers have begun to read them; the one used last is the last."""

    def entries(self) -> list[Entry]:
        """See :meth:`Log.entries`; in order."""
        return self.newest()

    def newest(self, most: int | None = None, *, from_end: bool = False) -> list[Entry]:
        """See :meth:`Log.newest`; in order. The rows are sorted once, until one changes."""
        rows = self._read_by(self.head)
        return self._held(reversed(rows) if from_end else rows, most)

    def read(self, cursor: int, wire: Wire) -> Chunk:
        """See :meth:`TableLog.read`; from cursor 0 on, all rows in order."""
        if (cursor and cursor > -_READING) or cursor >= self.head:
            return super().read(cursor, wire)
        begun, left = _place(cursor) if cursor else (self.head, -1)
        if begun < self._floor:
            return Chunk(b"", 0, 0, 0, self.head)
        chunk = self._cache.get(wire, cursor)
        if chunk is None:
            chunk = self._ordered_chunk(begun, left, wire)
            self._cache.put(wire, cursor, chunk)
        return chunk

    def _ordered_chunk(self, begun: int, left: int, wire: Wire) -> Chunk:
        rows = self._read_by(begun)
        at = 0 if left < 0 else max(len(rows) - left, 0)
        parts, size, read = [], 0, 0
        for change in rows[at:]:
            read += 1
            # Not the row's own position: one that resumes before it has all rows must not look complete.
            part = self._row(change, wire, begun if at + read == len(rows) else begun - 1)
            if part is not None:
                parts.append(part)
                size += len(part)
            if size >= PIECE or read >= wire.most:
                break
        left = len(rows) - at - read
        data = wire.join(parts, self.position_at(begun - 1 if left else begun))
        return Chunk(data, -(_READING | begun << _BITS | left) if left else begun, len(parts), 0, 0)

    def _row(self, change: Change, wire: Wire, offset: int) -> bytes | None:
        """Return the bytes of a row; None if it has changed meanwhile, or cannot be encoded."""
        if change.over or (payload := self._payload(change)) is None:
            return None
        return wire.row(self._key(change), payload, self.position_at(offset), change.marks)

    def _read_by(self, begun: int) -> list[Change]:
        """Return the rows in order as watchers read them that have begun at a head."""
        rows = self._sorted.pop(begun, None) or self._in_order(begun)
        self._sorted[begun] = rows
        if len(self._sorted) > ORDERS:
            self._sorted.popitem(last=False)
        return rows

    def _in_order(self, begun: int) -> list[Change]:
        """Return the rows that have not changed since a head, in order."""
        rows = [each for each in self._rows.values() if not each.gone and each.offset <= begun]
        for each in rows:
            if each.rank is None and (payload := self._payload(each)) is not None:
                each.rank = self._order(payload)
        known = [each for each in rows if each.rank is not None]
        try:
            known.sort(key=_rank, reverse=self._descending)
        except TypeError:  # values of several types
            known.sort(key=_text, reverse=self._descending)
        return known + [each for each in rows if each.rank is None]

    def _clear(self) -> None:
        super()._clear()
        self._sorted.clear()


def _rank(change: Change) -> Any:
    return change.rank


def _text(change: Change) -> str:
    return str(change.rank)


def _place(cursor: int) -> tuple[int, int]:
    """Return the head at which a watcher began to read in order, and the number of rows that are left."""
    mask = (1 << _BITS) - 1
    return -cursor >> _BITS & mask, -cursor & mask
