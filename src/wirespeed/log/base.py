"""The base class of logs, with the states that they take and the wires that they use."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from sys import maxsize
from types import NoneType
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from ..identity import Sender
from .cache import PIECE, Cache, Chunk, Tally
from .numbering import Numbering
from .position import Position, positions

IMMUTABLE: Mapping[type, Callable[[Any], int]] = {
    kind: kind.__sizeof__  # type: ignore[misc]
    for kind in (int, float, bool, str, bytes, NoneType, Decimal, date, datetime, time, timedelta, UUID)
}
"""Exact types whose values cannot change after they were appended, so that they may be encoded later. Each has the
function that returns how many bytes a value takes until then."""

Encode = Callable[[Any], bytes]
"""Makes the payload of a value."""
Failed = Callable[[Exception, Any], None]
"""Called with the error and the value, if a value cannot be encoded."""


class Removed(NamedTuple):
    """The removal of a row, which a table takes instead of a value."""

    row: Any


class Append:
    """Text for the end of a growing text, to be yielded by a feed with ``grows=`` instead of the whole value.

    Args:
        text: The text.
        row: In a table, the key of the row whose text grows.
    """

    __slots__ = ("row", "text")

    def __init__(self, text: str, row: Any = None) -> None:
        self.text = text
        self.row = row

    def __repr__(self) -> str:
        return f"Append({self.text!r})" if self.row is None else f"Append({self.text!r}, row={self.row!r})"


class Marks(NamedTuple):
    """The data that travels beside the payload of a value."""

    tags: Mapping[str, str]
    """Text by name, by which clients of the Centrifuge protocol may filter publications."""
    sender: Sender | None = None
    """The client on whose behalf the value was published; None if it was published by the app itself."""


class Encoded(NamedTuple):
    """The state of a value, which a log takes instead of the value: its payload, its row in a table, its marks."""

    payload: bytes
    row: Any = None
    marks: Marks | None = None


class Piece(NamedTuple):
    """The state of an :class:`Append`: bytes for the end of a payload that can grow, see :mod:`.growing`."""

    payload: bytes
    row: Any = None


class Spoilt(NamedTuple):
    """A value that could not be encoded when its state was taken, with the error."""

    error: Exception
    value: Any


class Swap(NamedTuple):
    """The state of a whole table, which takes the place of all that it holds: those of its rows."""

    rows: Sequence[Encoded | Piece | Removed | Spoilt]


State = Encoded | Piece | Removed | Spoilt
"""Anything that may wait to be appended: nothing in it changes any more."""

_BESIDE = 512
"""Bytes that a waiting state takes beside its payload, approximately."""


def size_of(state: State | Swap | None) -> int:
    """Return how many bytes a state takes while it waits."""
    if type(state) is Swap:
        return sum(map(size_of, state.rows))
    if type(state) is Encoded:
        tags = {} if state.marks is None else state.marks.tags
        return _BESIDE + len(state.payload) + sum(len(name) + len(tag) for name, tag in tags.items())
    if type(state) is Piece:
        return _BESIDE + len(state.payload)
    return _BESIDE + (len(repr(state.row)) if isinstance(state, Removed) else 0)


class Wire(ABC):
    """The format in which a watcher receives entries, and what it has to know beside them.

    Logs keep the bytes of a shared wire by its identity: the same arguments have to give the same bytes, and all
    watchers that want the same should have the same object.
    """

    __slots__ = ()

    most: int = maxsize
    """The most entries that are read at once, for a wire that takes long for each and may drop it."""

    grows: bool = False
    """True if its client applies the pieces of a growing text. Otherwise, it gets the whole text each time."""

    @property
    def is_shared(self) -> bool:
        """True if several watchers may have it. Logs do not keep the bytes of one that has a single watcher."""
        return True

    @abstractmethod
    def value(self, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        """Return the bytes of an entry of a log without rows; empty if the watcher does not get it."""

    @abstractmethod
    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        """Return the bytes of the new value of a table's row; ``row`` is the row's key as JSON."""

    def piece(self, row: bytes | None, appended: bytes, position: Position) -> bytes:
        """Return the bytes of what was appended to a text, for a wire that ``grows``.

        Args:
            row: Key of the table's row as JSON; None in logs without rows.
            appended: The text as a JSON string; in a table, an object with the string under the name of its field.
        """
        return b""

    @abstractmethod
    def removed(self, row: bytes, position: Position) -> bytes:
        """Return the bytes that report the removal of a table's row; ``row`` is the row's key as JSON."""

    def join(self, parts: Sequence[bytes], position: Position) -> bytes:
        """Return the bytes of all entries that are read at once; ``position`` is that of the last one."""
        return b"".join(parts)

    def lost(self, count: int | None) -> bytes:
        """Return the bytes that report a loss of entries; None if their number is unknown. Empty if the wire that
        :meth:`after` returns reports it, or if the loss is not reported."""
        return b""

    def reset(self) -> bytes:
        """Return the bytes that announce that the whole table follows, whatever the client holds."""
        return b""

    def after(self, lost: int, cursor: int) -> "Wire":
        """Return the wire for a watcher that has lost entries after a cursor; the same one if :meth:`lost` reports
        the loss."""
        return self


class Entry(NamedTuple):
    """One entry that a log holds; ``row`` is the row's key in tables, None in other logs."""

    position: Position
    payload: bytes
    row: Any
    marks: Marks | None = None
    key: bytes | None = None
    """The row's key in JSON, as watchers have it; None if it is yet to be made of a row that cannot change."""


class Log(ABC):
    """The log of one key.

    Its entries have local numbers from 1 on, without holes. A cursor is the number of the last entry that was read. A
    position has the offset of an entry instead, and the epoch of the log. In a log of this process, an entry's offset
    is its number. A log that copies the log of a broker has the broker's epochs and offsets, and may begin anywhere.

    Attributes:
        head: Number of the newest entry; 0 if there has been none.
        epoch: Name of the life of the log; empty until a copy of a broker's log has begun.
        broken: Number before which an unknown number of entries is missing, because the epoch has changed; a cursor
            below it has lost them.
        size: Bytes held as payloads. A newest value that is not encoded yet counts as its object.
        is_complete: True if no entry follows: the log has ended, and stays so.
        conflates: True if a slow watcher skips entries, since newer ones stand for them, rather than loses them.
    """

    __slots__ = ("_numbering", "broken", "epoch", "head", "is_complete", "size", "tally")

    conflates: ClassVar[bool] = False

    def __init__(self, epoch: str, tally: Tally | None) -> None:
        self.epoch = epoch
        self.tally = Tally() if tally is None else tally
        self.head = self.broken = 0
        self.size = 0
        self.is_complete = False
        self._numbering: Numbering | None = None

    @property
    def position(self) -> Position:
        """Position of the newest entry; that before the first one if there has been none."""
        return self.position_at(self.head)

    def reaches(self, position: Position) -> bool:
        """Return True if a position is one of this life of the log, and not after the newest entry."""
        return position.epoch == self.epoch and position.offset <= self.position.offset

    def position_at(self, cursor: int) -> Position:
        """Return the position of the last entry that was read at a cursor."""
        return Position(self.epoch, cursor if self._numbering is None else self._numbering.offset(cursor))

    def cursor_at(self, offset: int) -> int:
        """Return the cursor after the entry with an offset; below 0 if it was before all that this log has seen."""
        return offset if self._numbering is None else self._numbering.number(offset)

    def _positions(self, first: int, last: int) -> Iterable[Position]:
        """Return the positions of the entries from one to another."""
        return (
            positions(self.epoch, first, last)
            if self._numbering is None
            else map(self.position_at, range(first, last + 1))
        )

    @abstractmethod
    def append(self, value: Any, offset: int, now: float) -> None:
        """Add the newest entry.

        Args:
            value: The value, or ``Encoded``, or ``Removed`` in a table.
            offset: Local number that the caller expects the entry to have: ``head + 1``. It differs if the encoder has
                published to the same log.
            now: The time, in seconds of any clock that does not go back.

        Raises:
            ValueError: The entry would have another number. Nothing was appended, as with other errors.
            Exception: Errors of the encoder. Only values of :data:`IMMUTABLE` types may be encoded later.
        """

    def append_at(self, state: "State", offset: int, now: float) -> None:
        """Add the newest entry of a broker's log, which follows the newest one of this log.

        Raises:
            ValueError: The offset is not above that of the newest entry.
        """
        if self._numbering is None:
            self._numbering = Numbering(0, 0)
        number = self.head + 1
        if not self._numbering.continues(number, offset):
            if offset <= (newest := self.position.offset):
                raise ValueError(f"entry {offset} cannot follow entry {newest}")
            self._numbering.note(number, offset)
        self.append(state, number, now)

    def begin(self, at: Position, held: Sequence[tuple[int, "State"]], now: float) -> None:
        """Replace the entries by those that a broker retains.

        If these continue the entries of this log, readers do not notice. Otherwise all cursors have lost entries.

        Args:
            at: Position of the broker's newest entry.
            held: The retained entries up to ``at``, with their offsets, the oldest first.
        """
        newest = self.position.offset
        if at.epoch == self.epoch and self._continues(newest, at.offset, held):
            held = [each for each in held if each[0] > newest]
        else:
            self._break(at, held)
        for offset, state in held:
            self.append_at(state, offset, now)
        if self.position.offset < at.offset:
            self._skip_to(at.offset)

    def _continues(self, newest: int, at: int, held: Sequence[tuple[int, "State"]]) -> bool:
        """Return True if retained entries include the newest entry of this log, or it is the broker's newest."""
        return at == newest or any(offset == newest for offset, _ in held)

    def _break(self, at: Position, held: Sequence[tuple[int, "State"]]) -> None:
        """Drop all entries. Cursors before the next one are recognizably behind, wherever they are."""
        first = held[0][0] if held else at.offset + 1
        if at.epoch == self.epoch:
            self.head += max(first - self.position.offset - 1, 1)
        elif self.epoch:  # otherwise no reader has been here
            self.head += 1
            self.broken = self.head
        self._clear()
        self.epoch = at.epoch
        self._numbering = Numbering(self.head + 1, first)

    def empty(self) -> None:
        """Drop all entries of a log of this process; the log begins again after a number that stands for no entry.

        All cursors have lost entries, as after :meth:`begin` in another epoch.
        """
        self.head += 1
        self.broken = self.head
        self._clear()

    @abstractmethod
    def _clear(self) -> None:
        """Drop all entries."""

    def _skip_to(self, offset: int) -> None:
        """Note that the broker's newest entry, with this offset, is not retained."""
        assert self._numbering is not None
        self._numbering.note(self.head, offset)

    @abstractmethod
    def read(self, cursor: int, wire: Wire) -> Chunk:
        """Return what follows a cursor, up to the first entry that makes it 64 KiB or is the last of ``wire.most``.

        Nothing follows the head.

        The same cursor, head and shared wire give the very same bytes object, as long as it is among those read lately.
        """

    @abstractmethod
    def beginning(self, replay: int = 0) -> int:
        """Return the cursor of a new watcher that gets ``replay`` earlier entries, if the log has them."""

    @abstractmethod
    def resume(self, position: Position) -> int | None:
        """Return the cursor of a returning watcher; None if entries since then are missing."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Return all entries that are held, in order; of a table its rows, as they last changed."""

    @abstractmethod
    def since(self, cursor: int, most: int) -> list[Entry]:
        """Return at most ``most`` of the entries after a cursor that are still held, the oldest first.

        Missing entries are left out without notice. Of a table these are the rows that have changed since and still
        exist; a watcher, which has to hear of removals, uses :meth:`read`.
        """

    def newest(self, most: int | None = None, *, from_end: bool = False) -> list[Entry]:
        """Return the newest entry, if any is held; of a table its rows, as :meth:`entries` does.

        Args:
            most: The most rows of a table to return; None for all.
            from_end: True to return the last rows of a table, the last one first.
        """
        return self.entries()

    def payloads(self, most: int | None = None) -> list[bytes]:
        """Return the payloads of :meth:`newest`."""
        return [each.payload for each in self.newest(most)]

    def behind(self, cursor: int) -> int:
        """Return the number of entries after a cursor, those that are not held any more included."""
        return self.head - cursor

    def expire(self, now: float) -> None:
        """Drop entries that are too old."""

    def passed(self, cursor: int) -> None:
        """Drop what only watchers before a cursor would need, since there are none. Clear the caches, too.

        The hub calls this when a log is closed, and for a table that has gathered many tombstones.
        """
        for cache in self._caches():
            cache.clear()

    def shrink(self, size: int) -> None:
        """Drop the oldest entries until at most ``size`` bytes are held, but never the newest, nor rows of a table."""

    def has_row(self, row: Any) -> bool:
        """Return True if a row exists; only tables have rows."""
        return False

    def leave(self) -> None:
        """Stop counting in the tally that it was made with: the log is dropped, but watchers may still read it."""
        self.tally.size -= self.size
        self.tally = Tally()
        self.tally.size = self.size
        for cache in self._caches():
            cache.move(self.tally)

    def _caches(self) -> Iterable[Cache]:
        """Return the caches, which have bytes ready for watchers."""
        return ()

    def _follow(self, offset: int) -> None:
        if offset != self.head + 1:
            raise ValueError(f"entry {offset} cannot follow entry {self.head}")

    def _grow(self, size: int) -> None:
        self.size += size
        self.tally.size += size


def piece(parts: Iterable[bytes]) -> list[bytes]:
    """Return the first of ``parts``, up to the one that makes it 64 KiB."""
    taken, size = [], 0
    for part in parts:
        taken.append(part)
        size += len(part)
        if size >= PIECE:
            break
    return taken
