"""A log of the newest value only. A value that cannot change is encoded when it is read."""

from collections.abc import Iterable
from typing import Any, ClassVar

from ..isolation import failure
from .base import IMMUTABLE, Encode, Encoded, Entry, Failed, Log, Marks, Wire
from .cache import Cache, Chunk, Tally
from .position import Position


class LatestLog(Log):
    """The newest value; a slow watcher skips to it."""

    __slots__ = ("_cache", "_encode", "_encoded", "_failed", "_marks", "_payload", "_value")

    conflates: ClassVar[bool] = True

    def __init__(self, epoch: str, encode: Encode, failed: Failed, tally: Tally | None = None) -> None:
        super().__init__(epoch, tally)
        self._encode = encode
        self._failed = failed
        self._value: Any = None
        self._encoded = True
        self._payload: bytes | None = None
        self._marks: Marks | None = None
        self._cache = Cache(self.tally)

    def append(self, value: Any, offset: int, now: float) -> None:
        """See :meth:`Log.append`; if the encoder raises, the previous value stays."""
        payload = marks = None
        size_of = IMMUTABLE.get(kind := type(value))
        if size_of is None:
            if kind is Encoded:
                payload, _, marks = value
            else:
                payload = self._encode(value)
        if offset != self.head + 1:  # checked after the encoder, which may have published itself
            self._follow(offset)
        self.head = offset
        if self._cache.size:
            self._cache.clear()
        self._payload, self._marks = payload, marks
        if payload is None:
            assert size_of is not None
            self._value, self._encoded = value, False
            size = size_of(value)
        else:
            self._value, self._encoded = None, True
            size = len(payload)
        if size != (old := self.size):
            self.size = size
            self.tally.size += size - old

    def read(self, cursor: int, wire: Wire) -> Chunk:
        """See :meth:`Log.read`; always one entry, or none."""
        missed = self.head - cursor
        if missed <= 0:
            return Chunk(b"", cursor, 0, 0, 0)
        chunk = self._cache.get(wire, 0)  # one entry for all cursors, which read the same
        if chunk is None:
            payload = self._newest()
            if payload is None:
                return Chunk(b"", self.head, 0, missed, 0)
            position = self.position
            chunk = Chunk(wire.join([wire.value(payload, position, self._marks)], position), self.head, 1, 0, 0)
            self._cache.put(wire, 0, chunk)
        return chunk if missed == 1 else chunk._replace(skipped=missed - 1)

    def beginning(self, replay: int = 0) -> int:
        """See :meth:`Log.beginning`; the newest value is what a new watcher reads first."""
        return max(self.head - 1, 0)

    def resume(self, position: Position) -> int | None:
        """See :meth:`Log.resume`; the newest value is read unless the watcher has it; others do not count."""
        cursor = self.cursor_at(position.offset)
        return max(cursor, self.head - 1) if position.epoch == self.epoch and cursor <= self.head else None

    def entries(self) -> list[Entry]:
        """See :meth:`Log.entries`; encodes the newest value."""
        payload = self._newest()
        return [] if payload is None else [Entry(self.position, payload, None, self._marks)]

    def since(self, cursor: int, most: int) -> list[Entry]:
        """See :meth:`Log.since`; the newest value, or nothing."""
        return self.entries() if cursor < self.head and most > 0 else []

    def _newest(self) -> bytes | None:
        if not self._encoded:
            value, self._value, self._encoded = self._value, None, True
            try:
                self._payload = self._encode(value)
            except BaseException as error:
                self._grow(-self.size)
                self._failed(failure(error), value)
            else:
                self._grow(len(self._payload) - self.size)
        return self._payload

    def _clear(self) -> None:
        self._cache.clear()
        self._grow(-self.size)
        self._value = self._payload = self._marks = None
        self._encoded = True

    def _caches(self) -> Iterable[Cache]:
        return (self._cache,)
