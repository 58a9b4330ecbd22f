"""Logs whose values grow: a text, or one text field of a table's rows. Watchers get what was appended, not the whole.

Each payload ends with its text, so that it grows at its end: a text is its own payload, and in the JSON of a row, the
field that grows comes last. A piece of it is escaped as it is inside the JSON string.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from sys import maxsize
from typing import Any

from pydantic_core import to_json

from ..errors import LogFull, NoSuchRow
from .base import Encode, Encoded, Failed, Piece, State, Wire
from .cache import Chunk, Tally
from .latest import LatestLog
from .record import ROW_END
from .table import Change, Place, TableLog, row_key, row_name

_MARKS = 32 * 1024
"""Pieces of one text whose ends are known. A watcher that is further behind gets the whole text."""
_MARK = 16
"""Bytes that each of them takes."""


class Text:
    """A payload that grows, with the places where its pieces end.

    Args:
        number: Number of the entry with the whole payload.
        payload: The payload.
        end: Bytes that follow the text.
    """

    __slots__ = ("_bytes", "_end", "_ends", "_numbers")

    def __init__(self, number: int, payload: bytes, end: bytes = b"") -> None:
        self._end = end
        self._bytes = bytearray(payload.removesuffix(end))
        self._numbers = array("Q", [number])
        self._ends = array("Q", [len(self._bytes)])

    @property
    def size(self) -> int:
        """Bytes of the payload, and of the ends of its pieces that are known."""
        return len(self._bytes) + len(self._end) + _MARK * (len(self._numbers) - 1)

    @property
    def first(self) -> int:
        """Number of the first entry from which a watcher can continue."""
        return self._numbers[0]

    def add(self, number: int, piece: bytes) -> None:
        """Append a piece, which is the entry with a number."""
        if not piece:  # it ends where the one before ends
            return
        self._bytes += piece
        self._numbers.append(number)
        self._ends.append(len(self._bytes))
        if len(self._numbers) > _MARKS:
            del self._numbers[: _MARKS // 2], self._ends[: _MARKS // 2]

    def length_at(self, cursor: int) -> int | None:
        """Return the length of the text as a watcher at a cursor has it; None if it needs the whole."""
        at = bisect_right(self._numbers, cursor) - 1
        return None if at < 0 else self._ends[at]

    def after(self, length: int) -> bytes:
        """Return the text behind a length."""
        return bytes(self._bytes[length:])

    def whole(self) -> bytes:
        """Return the payload."""
        return bytes(self._bytes) + self._end


class TextLog(LatestLog):
    """The newest text, which may grow. A slow watcher gets all that it has missed as one piece.

    Args:
        size: Bytes from which on the text does not grow any more.
    """

    __slots__ = ("_most", "_text")

    def __init__(
        self, epoch: str, encode: Encode, failed: Failed, tally: Tally | None = None, *, size: int = maxsize
    ) -> None:
        super().__init__(epoch, encode, failed, tally)
        self._most = size
        self._text: Text | None = None

    def append(self, value: Any, offset: int, now: float) -> None:
        """See :meth:`Log.append`; a piece without a text before it begins the text.

        Raises:
            LogFull: The text has no room for a piece.
        """
        if type(value) is Piece and (payload := self._newest() if self._text is None else b"") is not None:
            self._grow_text(payload, value.payload, offset)
            return
        super().append(Encoded(value.payload) if type(value) is Piece else value, offset, now)
        self._text = None

    def _grow_text(self, payload: bytes, piece: bytes, offset: int) -> None:
        self._follow(offset)
        if self.size >= self._most:
            raise LogFull(0, self._most)
        if self._text is None:
            self._text, self._payload = Text(self.head, payload), None
        self.head = offset
        self._text.add(offset, piece)
        self._cache.clear()
        self._grow(self._text.size - self.size)

    def read(self, cursor: int, wire: Wire) -> Chunk:
        """See :meth:`Log.read`; the whole text as one entry, or all that was appended since."""
        text = self._text
        length = text.length_at(cursor) if text is not None and wire.grows and cursor < self.head else None
        if text is None or length is None:
            chunk = super().read(cursor, wire)
            return chunk if cursor else chunk._replace(skipped=0)
        held = self._cache.get(wire, cursor)
        if held is None:
            position = self.position
            data = wire.piece(None, to_json(text.after(length).decode()), position)
            held = Chunk(wire.join([data], position), self.head, self.head - cursor, 0, 0)
            self._cache.put(wire, cursor, held)
        return held

    def beginning(self, replay: int = 0) -> int:
        """See :meth:`Log.beginning`; a new watcher reads the whole text."""
        return 0

    def resume(self, position: Any) -> int | None:
        """See :meth:`Log.resume`; a watcher that has a part of the text reads the rest."""
        cursor = self.cursor_at(position.offset)
        first = self.head if self._text is None else self._text.first
        return max(cursor, first - 1, 0) if position.epoch == self.epoch and cursor <= self.head else None

    def _continues(self, newest: int, at: int, held: Sequence[tuple[int, State]]) -> bool:
        """Return True if nothing is new: the text before may differ otherwise."""
        return at == newest

    def _newest(self) -> bytes | None:
        return super()._newest() if self._text is None else self._text.whole()

    def _clear(self) -> None:
        super()._clear()
        self._text = None


class GrowingTable(TableLog):
    """A table whose rows end with a text that may grow. A slow watcher gets what it has missed of each row at once.

    Args:
        field: Name of the text in the JSON of a row.
    """

    __slots__ = ("_field",)

    def __init__(self, epoch: str, tally: Tally | None = None, *, field: str, **options: Any) -> None:
        super().__init__(epoch, tally, **options)
        self._field = to_json(field)

    def append(self, value: Any, offset: int, now: float) -> None:
        """See :meth:`TableLog.append`.

        Raises:
            NoSuchRow: A piece belongs to a row that does not exist.
        """
        if type(value) is not Piece:
            super().append(value, offset, now)
            return
        self._follow(offset)
        old = self._rows.get(row_name(value.row))
        text = None if old is None or old.gone else self._text_of(old)
        if old is None or text is None:
            raise NoSuchRow(value.row)
        if self.size >= self._size:
            raise LogFull(self._most, self._size)
        before = text.size
        text.add(offset, value.payload)
        self._grow(text.size - before)
        change = Change(old.name, old.row, None, None, offset, False, True, old.marks, old.key, text=text)
        old.text = None
        self.head = offset
        self._rows[old.name] = change
        self._changes.append(change)
        self._offsets.append(offset)
        self._cache.clear()
        self._discard(old)

    def _text_of(self, change: Change) -> Text | None:
        """Return the text of a row, which begins to grow if it has not; None if the row cannot be encoded."""
        if change.text is None and (payload := self._payload(change)) is not None:
            change.text, change.payload = Text(change.offset, payload, ROW_END), None
        text: Text | None = change.text
        return text

    def _written(self, change: Change, wire: Wire, place: Place) -> bytes | None:
        length = self._length_at(change.text, place) if wire.grows and not change.gone else None
        if length is None:
            return super()._written(change, wire, place)
        appended = b'{%b:"%b"}' % (self._field, change.text.after(length))
        return wire.piece(change.key or row_key(change.row), appended, self.position_at(change.offset))

    def _length_at(self, text: Text | None, place: Place) -> int | None:
        """Return the length of a row's text that a watcher certainly has; None if it needs the whole row.

        A watcher that has read a part of the changes may have the row as it was when it began to read, or as it was
        when it read that part.
        """
        length = None if text is None or not place.known else text.length_at(place.known)
        return length if text is None or length == text.length_at(place.offset) else None

    def _payload(self, change: Change) -> bytes | None:
        return super()._payload(change) if change.text is None else change.text.whole()

    def _discard(self, change: Change) -> int:
        size = 0 if change.text is None else change.text.size
        change.text = None
        return size + super()._discard(change)

    def _cursor(self, end: int, place: Place) -> int:
        # The rows that follow may have grown before: from here on, a watcher has them as they were when it began.
        return end if end == self.head else Place(end, max(place.begun, end), place.known).cursor()
