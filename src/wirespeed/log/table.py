"""A log of the newest entry per row, in the order of their last changes."""

import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any, ClassVar, NamedTuple

from pydantic_core import to_jsonable_python

from ..errors import LogFull
from ..isolation import failure
from ..spelling import SECRETS, Unspellable, spelled
from .base import IMMUTABLE, Encode, Encoded, Entry, Failed, Log, Marks, Removed, State, Wire
from .cache import PIECE, Cache, Chunk, Tally
from .position import Position

_FEW = 32
_BITS = 64


@dataclass(slots=True, eq=False)
class Change:
    """The last change of a row: a payload, a value that is encoded when it is first read, or a removal."""

    name: Hashable
    row: Any
    value: Any
    payload: bytes | None
    offset: int
    gone: bool
    encoded: bool
    marks: Marks | None
    key: bytes | None = None
    over: bool = False
    text: Any = None
    """The payload of a row that has grown, in a table whose rows can."""
    rank: Any = None
    """The value by which the row is ordered, in a table with an order; None if it is not known."""


class Place(NamedTuple):
    """The place of a watcher in a table, which a cursor stands for."""

    offset: int
    """Number up to which it has read."""
    begun: int
    """Head when it began to read the table. In the middle of the table, it needs the removals since then."""
    known: int
    """Number of which it has all rows as they were then; 0 if it has not read the whole table yet."""

    def cursor(self) -> int:
        """Return the cursor of a place in the middle, which is below 0: others at the same offset may need more."""
        return -(self.known << 2 * _BITS | self.begun << _BITS | self.offset)


class TableLog(Log):
    """The newest value of each row; a slow watcher skips to it.

    A removed row leaves a tombstone for watchers that know the row. Tombstones are dropped once all watchers have
    passed them, or when the table has more of them than it may have rows: a watcher that still needs one starts over.

    Args:
        row_of: Returns the row of a value: a key that JSON knows, or else its text. Keys that clients cannot
            distinguish name one row, and so do equal ones, see :func:`row_name`.
    """

    __slots__ = (
        "_beside", "_cache", "_changes", "_encode", "_failed", "_floor", "_graves", "_most", "_offsets", "_over",
        "_row_of", "_rows", "_size",
    )  # fmt: skip

    conflates: ClassVar[bool] = True

    def __init__(
        self,
        epoch: str,
        tally: Tally | None = None,
        *,
        encode: Encode,
        failed: Failed,
        row_of: Callable[[Any], Any],
        rows: int,
        size: int,
    ) -> None:
        super().__init__(epoch, tally)
        self._encode = encode
        self._failed = failed
        self._row_of = row_of
        self._most = rows
        self._size = size
        # By offset, with those among them that newer ones have replaced (_over, their number); and by row. _graves has
        # the tombstones, the oldest first, and _floor is the number of the newest one that was dropped.
        self._changes: list[Change] = []
        self._offsets: list[int] = []
        self._over = 0
        self._rows: dict[Any, Change] = {}
        self._graves: OrderedDict[Any, Change] = OrderedDict()
        self._floor = 0
        self._beside = 0  # bytes of the size that are not payloads; it is the payloads that make a table full
        self._cache = Cache(self.tally)

    @property
    def tombstones(self) -> int:
        """Number of removed rows that are remembered."""
        return len(self._graves)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self._rows) - len(self._graves)

    def has_row(self, row: Any) -> bool:
        change = self._rows.get(row_name(row))
        return change is not None and not change.gone

    def append(self, value: Any, offset: int, now: float) -> None:
        """See :meth:`Log.append`; a removal takes a number even if the row does not exist.

        Raises:
            LogFull: The value would be a further row, and there is no room for one.
            Exception: Errors of ``row_of`` and the encoder.
        """
        gone = type(value) is Removed
        row, payload, marks = (value.row, None, None) if gone else self._taken(value)
        if offset != self.head + 1:  # checked after the encoder, which may have published itself
            self._follow(offset)
        is_plain = type(row) in _PLAIN
        name = row if is_plain else row_name(row)
        old = self._rows.get(name)
        if not gone and (old is None or old.gone):
            self._admit()
        self.head = offset
        kept = value if payload is None else None
        self._rows[name] = change = Change(name, row, kept, payload, offset, gone, payload is not None, marks)
        if old is not None:  # a row keeps the spelling that clients know
            change.key = old.key
        if not is_plain and change.key is None:  # a list may change
            change.key = row_key(row)
        self._changes.append(change)
        self._offsets.append(offset)
        if self._cache.size:
            self._cache.clear()
        grown = 0 if payload is None else len(payload)
        if old is not None:
            if old.gone:
                del self._graves[name]
            grown -= self._discard(old)
        if grown:
            self._grow(grown)
        if gone:
            self._bury(change)

    def _taken(self, value: Any) -> tuple[Any, bytes | None, Marks | None]:
        """Return the row of a value, the payload of one that can change, and its marks."""
        kind = type(value)
        if kind is Encoded:
            return value.row, value.payload, value.marks
        return self._row_of(value), None if kind in IMMUTABLE else self._encode(value), None

    def read(self, cursor: int, wire: Wire) -> Chunk:
        """See :meth:`Log.read`; each row that changed since ``cursor``, once, and from cursor 0 on no tombstones.

        Entries and skipped ones add up to how far the cursor moves on; what is skipped may date from before the
        watcher, in the pieces that follow its first. From cursor 0 on nothing counts as skipped. Between the first and
        the last piece of a whole table the cursor is a number below 0, see :class:`Place`. If ``lost`` is not 0, all
        that was read before is void: the cursor is 0 again.
        """
        if cursor >= self.head:
            return Chunk(b"", cursor, 0, 0, 0)
        place = place_of(cursor)
        if 0 < place.begun < self._floor:
            return Chunk(b"", 0, 0, 0, self.head - place.offset)
        chunk = self._cache.get(wire, cursor)
        if chunk is None:
            chunk = self._chunk(cursor, wire)
            self._cache.put(wire, cursor, chunk)
        return chunk

    def beginning(self, replay: int = 0) -> int:
        """See :meth:`Log.beginning`; a new watcher reads the whole table."""
        return 0

    def resume(self, position: Position) -> int | None:
        """See :meth:`Log.resume`; a watcher that does not have the newest entry reads the whole table."""
        return self.head if position == self.position else None

    def entries(self) -> list[Entry]:
        """See :meth:`Log.entries`; encodes the rows that no watcher has read yet."""
        return self.since(0, len(self._rows))

    def since(self, cursor: int, most: int) -> list[Entry]:
        """See :meth:`Log.since`; encodes the rows that no watcher has read yet."""
        return self._held(self._since(cursor, self.head), max(most, 0))

    def newest(self, most: int | None = None, *, from_end: bool = False) -> list[Entry]:
        """See :meth:`Log.newest`; encodes no more rows than it returns."""
        return self._held(self._whole(from_end=from_end), most)

    def payloads(self, most: int | None = None) -> list[bytes]:
        """See :meth:`Log.payloads`; in a tenth of the time, for the bodies of responses."""
        payloads = (payload for each in self._whole() if (payload := self._payload(each)) is not None)
        return list(islice(payloads, most))

    def _whole(self, *, from_end: bool = False) -> Iterable[Change]:
        """Return the rows, in the order in which they are shown."""
        changes = reversed(self._changes) if from_end else self._changes
        return (each for each in changes if not each.over and not each.gone)

    def _held(self, rows: Iterable[Change], most: int | None) -> list[Entry]:
        """Return the first rows that can be encoded."""
        entries = (
            Entry(self.position_at(each.offset), payload, each.row, each.marks, each.key)
            for each in rows
            if (payload := self._payload(each)) is not None
        )
        return list(islice(entries, most))

    def difference(self, rows: Iterable[Encoded], newer: Mapping[Hashable, State]) -> list[Encoded | Removed]:
        """Return the changes after which the table consists of some rows: removals first, then rows that exist.

        In this order, a table with room for the rows has room after each change.

        Args:
            newer: The changes that this log is yet to get, by the identity of their rows.
        """
        held: dict[Hashable, Any] = {name: each for name, each in self._rows.items() if not each.gone}
        held = {name: each for name, each in (held | dict(newer)).items() if type(each) is not Removed}
        wanted = {row_name(each.row): each for each in rows}
        changed = [each for name, each in wanted.items() if name in held and not self._is_same(held[name], each)]
        return [
            *(Removed(each.row) for name, each in held.items() if name not in wanted),
            *changed,
            *(each for name, each in wanted.items() if name not in held),
        ]

    def _is_same(self, held: Change | State, row: Encoded) -> bool:
        if isinstance(held, Change):
            return self._payload(held) == row.payload and held.marks == row.marks
        return held == row

    def behind(self, cursor: int) -> int:
        return self.head - place_of(cursor).offset

    def passed(self, cursor: int) -> None:
        """See :meth:`Log.passed`: tombstones up to there."""
        super().passed(cursor)
        while self._graves and next(iter(self._graves.values())).offset <= cursor:
            self._unbury()

    def _continues(self, newest: int, at: int, held: Sequence[tuple[int, State]]) -> bool:
        """Return True if nothing is new: removals are not retained, so readers need the whole table otherwise."""
        return at == newest

    def _clear(self) -> None:
        self._grow(-self.size)
        self._cache.clear()
        self._changes, self._offsets, self._over = [], [], 0
        self._rows, self._graves = {}, OrderedDict()
        self._floor = self.head
        self._beside = 0

    def _skip_to(self, offset: int) -> None:
        """See :meth:`Log._skip_to`; the number belongs to the row that was removed."""
        self.head += 1
        super()._skip_to(offset)

    def _caches(self) -> Iterable[Cache]:
        return (self._cache,)

    def _admit(self) -> None:
        if self.rows >= self._most or self.size - self._beside >= self._size:
            raise LogFull(self._most, self._size)

    def _grow_beside(self, size: int) -> None:
        self._beside += size
        self._grow(size)

    def _bury(self, change: Change) -> None:
        self._graves[change.name] = change
        if len(self._graves) > self._most:
            self._unbury()

    def _unbury(self) -> None:
        name, change = self._graves.popitem(last=False)
        del self._rows[name]
        self._floor = change.offset
        self._grow(-self._discard(change))

    def _discard(self, change: Change) -> int:
        """Forget a change that another one replaces; return its bytes, which are still counted."""
        size = 0 if change.payload is None else len(change.payload)
        change.over, change.row, change.value, change.payload, change.key = True, None, None, None, None
        self._over += 1
        if self._over > _FEW and self._over > len(self._changes) // 2:
            self._changes = [each for each in self._changes if not each.over]
            self._offsets = [each.offset for each in self._changes]
            self._over = 0
            if self._numbering is not None and self._offsets:
                self._numbering.forget(self._offsets[0])
        return size

    def _since(self, offset: int, known: int) -> Iterator[Change]:
        """Yield the changes after a number; of removals, those after the head that a watcher knows."""
        for at in range(bisect_right(self._offsets, offset), len(self._changes)):
            change = self._changes[at]
            if not change.over and (change.offset > known or not change.gone):
                yield change

    def _chunk(self, cursor: int, wire: Wire) -> Chunk:
        place = place_of(cursor)
        offset, begun, _ = place = place._replace(begun=place.begun or self.head)
        parts, size, end, most = [], 0, self.head, wire.most
        for read, change in enumerate(self._since(offset, begun), 1):
            part = self._written(change, wire, place)
            if part is not None:
                parts.append(part)
                size += len(part)
            if size >= PIECE or read >= most:
                end = change.offset
                break
        data = wire.join(parts, self.position_at(end))
        skipped = end - offset - len(parts) if cursor else 0
        return Chunk(data, self._cursor(end, place), len(parts), skipped, 0)

    def _cursor(self, end: int, place: Place) -> int:
        """Return the cursor of a watcher that has read on from a place, up to a number."""
        return end if end >= place.begun else place._replace(offset=end).cursor()

    def _written(self, change: Change, wire: Wire, place: Place) -> bytes | None:
        """Return the bytes of a change for a watcher that has read up to a place; None if it cannot be encoded."""
        position = self.position_at(change.offset)
        if change.gone:
            return wire.removed(change.key or self._key(change), position)
        payload = self._payload(change)
        return None if payload is None else wire.row(change.key or self._key(change), payload, position, change.marks)

    def _key(self, change: Change) -> bytes:
        """Return the key of a row as JSON."""
        if change.key is None:
            change.key = row_key(change.row)
        return change.key

    def _payload(self, change: Change) -> bytes | None:
        if not change.encoded:
            value, change.value, change.encoded = change.value, None, True
            try:
                change.payload = self._encode(value)
            except BaseException as error:
                self._failed(failure(error), value)
            else:
                self._grow(len(change.payload))
        return change.payload


def place_of(cursor: int) -> Place:
    """Return the place that a cursor stands for."""
    if cursor >= 0:
        return Place(cursor, cursor, cursor)
    mask = (1 << _BITS) - 1
    return Place(-cursor & mask, -cursor >> _BITS & mask, -cursor >> 2 * _BITS)


_PLAIN = (str, int)


def row_name(row: Any) -> Hashable:
    """Return the identity of a row: equal for keys that are equal, or that clients cannot distinguish.

    1 and 1.0 are one number to clients, and NaN, whose JSON is text, is that text. True is another row than 1.

    Raises:
        Unspellable: It is a secret.
    """
    kind = type(row)
    if kind in _PLAIN:
        return row  # type: ignore[no-any-return]
    if isinstance(row, Enum):
        return row_name(row.value)
    if isinstance(row, str):
        return str.__str__(row)
    if isinstance(row, int) and kind is not bool:
        return int(row)
    if isinstance(row, float):
        return int(row) if row.is_integer() else float(row) if row == row else str(row)
    try:
        return "", spelled(row)
    except Unspellable:
        if isinstance(row, SECRETS):  # all of them look alike to clients
            raise
        return "", row_key(row)


def row_key(row: Any) -> bytes:
    """Return a row's key as JSON, spelled as Pydantic does in values. It never fails: no row may hold up others."""
    try:
        default = partial(to_jsonable_python, fallback=str)
        return json.dumps(row, separators=(",", ":"), default=default, allow_nan=False).encode()
    except Exception:
        return json.dumps(_text(row)).encode()


def entry_key(entry: Entry) -> bytes:
    """Return the key of a table's entry as JSON, as watchers have it."""
    return row_key(entry.row) if entry.key is None else entry.key


def _text(row: Any) -> str:
    try:
        return str(row)
    except Exception:
        return object.__repr__(row)
