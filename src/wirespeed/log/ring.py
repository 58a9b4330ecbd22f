"""A log of the last entries, bounded in their number, their bytes and their age."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import repeat
from typing import Any

from .base import Encode, Encoded, Entry, Log, Marks, Wire, piece
from .cache import PIECE, Cache, Chunk, Tally
from .position import Position

BLOCK = 32 * 1024
"""Bytes between two edges at which reads of watchers that are far behind end. Watchers that began at different entries
meet at an edge, and share the chunks from there on."""

_BLOCKS = 4 * PIECE
_FEW = 32


class RingLog(Log):
    """The last entries, encoded when they are appended; a slow watcher loses entries that fall off."""

    __slots__ = (
        "_base", "_blocks", "_bytes", "_dead", "_encode", "_ends", "_marks", "_most", "_payloads", "_recent",
        "_seconds", "_times",
    )  # fmt: skip

    def __init__(
        self, epoch: str, encode: Encode, tally: Tally | None = None, *, entries: int, size: int, seconds: float | None
    ) -> None:
        super().__init__(epoch, tally)
        self._encode = encode
        self._most = entries
        self._bytes = size
        self._seconds = seconds
        # _recent has chunks of readers that are near the head, and is void after each append; _blocks has those that
        # end at an edge, and stay valid.
        # One slot per entry, the oldest first; the first _dead of them have been dropped. Ends count the bytes of all
        # entries since the log began, _base those before the first slot.
        self._payloads: list[bytes] = []
        self._ends: list[int] = []
        self._times: list[float] = []
        self._marks: dict[int, Marks] = {}  # by offset, of those entries only that have some
        self._dead = 0
        self._base = 0
        self._recent = Cache(self.tally)
        self._blocks = Cache(self.tally, _BLOCKS)

    def append(self, value: Any, offset: int, now: float) -> None:
        marks: Marks | None = None
        if type(value) is Encoded:
            payload, _, marks = value
        else:
            payload = self._encode(value)
        if offset != self.head + 1:  # checked after the encoder, which may have published itself
            self._follow(offset)
        self.head = offset
        self._ends.append((self._ends[-1] if self._ends else self._base) + len(payload))
        self._payloads.append(payload)
        if marks is not None:
            self._marks[offset] = marks
        self._grow(len(payload))
        if self._recent.size:
            self._recent.clear()
        if len(self._payloads) - self._dead > self._most or self.size > self._bytes:
            self._trim(self._bytes)
        if self._seconds is not None:
            self._times.append(now)
            self.expire(now)

    def read(self, cursor: int, wire: Wire) -> Chunk:
        """See :meth:`Log.read`; readers that are far behind read up to common edges, so that they fall into step."""
        start = max(cursor, self.head - self._held())
        if start >= self.head:
            return Chunk(b"", start, 0, 0, start - cursor)
        chunk = self._recent.get(wire, start) or self._blocks.get(wire, start) or self._chunk(start, wire)
        return chunk if start == cursor else chunk._replace(lost=start - cursor)

    def beginning(self, replay: int = 0) -> int:
        """See :meth:`Log.beginning`; only :meth:`expire` drops entries that are too old."""
        return self.head - min(replay, self._held())

    def resume(self, position: Position) -> int | None:
        """See :meth:`Log.resume`; ``None`` if an entry since then has fallen off."""
        cursor = self.cursor_at(position.offset)
        return cursor if position.epoch == self.epoch and self.head - self._held() <= cursor <= self.head else None

    def entries(self) -> list[Entry]:
        return self.since(0, self._held())

    def since(self, cursor: int, most: int) -> list[Entry]:
        start = max(cursor, self.head - self._held())
        first = len(self._payloads) - (self.head - start)
        payloads = self._payloads[first : first + max(most, 0)]
        places = self._positions(start + 1, start + len(payloads))
        return [
            Entry(place, payload, None, self._marks.get(number))
            for number, (place, payload) in enumerate(zip(places, payloads, strict=True), start + 1)
        ]

    def newest(self, most: int | None = None, *, from_end: bool = False) -> list[Entry]:
        return self.since(self.head - 1, 1)

    def expire(self, now: float) -> None:
        if self._seconds is None:
            return
        few = self._dead + _FEW
        while self._dead < len(self._payloads) and now - self._times[self._dead] > self._seconds:
            if self._dead < few:
                self._drop()
            else:  # after a quiet time, there may be hundreds of thousands
                self._drop_until(bisect_left(self._times, now - self._seconds, self._dead + 1))
        self._tidy()

    def shrink(self, size: int) -> None:
        self._trim(size)

    def _caches(self) -> Iterable[Cache]:
        return (self._recent, self._blocks)

    def _held(self) -> int:
        return len(self._payloads) - self._dead

    def _trim(self, size: int) -> None:
        while (held := len(self._payloads) - self._dead) > self._most or (self.size > size and held > 1):
            self._drop()
        self._tidy()

    def _drop(self) -> None:
        self._grow(-len(self._payloads[self._dead]))
        self._payloads[self._dead] = b""
        if self._marks:
            self._marks.pop(self.head - self._held() + 1, None)
        self._dead += 1

    def _drop_until(self, until: int) -> None:
        """Drop the entries before a slot, together."""
        first, count = self.head - self._held() + 1, until - self._dead
        self._grow(self._ends[self._dead - 1] - self._ends[until - 1])
        self._payloads[self._dead : until] = repeat(b"", count)
        for offset in range(first, first + count if self._marks else first):
            self._marks.pop(offset, None)
        self._dead = until

    def _tidy(self) -> None:
        dead = self._dead
        if dead > _FEW and dead > len(self._payloads) // 2:
            self._base = self._ends[dead - 1]
            del self._payloads[:dead], self._ends[:dead], self._times[:dead]
            self._dead = 0
            if self._numbering is not None:
                self._numbering.forget(self.head - self._held())

    def _clear(self) -> None:
        self._grow(-self.size)
        for each in (self._payloads, self._ends, self._times):
            each.clear()
        self._marks.clear()
        self._dead = self._base = 0
        for cache in self._caches():
            cache.clear()

    def _chunk(self, start: int, wire: Wire) -> Chunk:
        first = len(self._payloads) - (self.head - start)
        before = self._ends[first - 1] if first else self._base
        if self._ends[-1] - before <= PIECE:
            chunk = self._joined(start, first, len(self._payloads), wire)
            self._recent.put(wire, start, chunk)
            return chunk
        edge = bisect_left(self._ends, (before // BLOCK + 1) * BLOCK, first)
        chunk = self._joined(start, first, edge + 1, wire)
        self._blocks.put(wire, start, chunk)
        return chunk

    def _joined(self, start: int, first: int, end: int, wire: Wire) -> Chunk:
        end = min(end, first + wire.most)
        last = start + end - first
        places = self._positions(start + 1, last)
        marks = map(self._marks.get, range(start + 1, last + 1)) if self._marks else repeat(None)
        parts = piece(map(wire.value, self._payloads[first:end], places, marks))
        cursor = start + len(parts)
        return Chunk(wire.join(parts, self.position_at(cursor)), cursor, len(parts), 0, 0)
