"""A log that holds the newest value only, and encodes it when somebody reads it."""

from typing import Any, ClassVar

from .base import Chunk, Encode, Entry, Failed, Log, Tally, Wire
from .position import Position


class LatestLog(Log):
    """The newest value; whoever is slow skips to it.

    Args:
        epoch: Names this life of the log.
        encode: Makes a payload of a value, at most once per value and only when it is read.
        failed: Told once of a value that ``encode`` raises on; readers pass over it.
        tally: Counts the log's bytes together with those of others.
    """

    __slots__ = ("_encode", "_encoded", "_failed", "_payload", "_value", "_written")

    conflates: ClassVar[bool] = True

    def __init__(self, epoch: str, encode: Encode, failed: Failed, tally: Tally | None = None) -> None:
        super().__init__(epoch, tally)
        self._encode = encode
        self._failed = failed
        self._value: Any = None
        self._encoded = True
        self._payload: bytes | None = None
        self._written: dict[Wire, bytes] = {}

    def append(self, value: Any, offset: int, now: float) -> None:
        """See :meth:`Log.append`; the value is not encoded yet, so that this raises for a wrong offset only."""
        if offset != self.head + 1:
            self._follow(offset)
        self.head = offset
        self._value = value
        if self._encoded:
            self._forget()

    def read(self, cursor: int, wire: Wire) -> Chunk:
        """See :meth:`Log.read`; always one entry, or none."""
        missed = self.head - cursor
        if missed <= 0:
            return Chunk(b"", cursor, 0, 0, 0)
        data = self._written.get(wire)
        if data is None:
            payload = self._newest()
            if payload is None:
                return Chunk(b"", self.head, 0, missed, 0)
            position = Position(self.epoch, self.head)
            data = self._written[wire] = wire.join([wire.value(payload, position)], position)
        return Chunk(data, self.head, 1, missed - 1, 0)

    def beginning(self, replay: int = 0) -> int:
        """See :meth:`Log.beginning`; the newest value is what a new watcher reads first."""
        return max(self.head - 1, 0)

    def resume(self, position: Position) -> int | None:
        """See :meth:`Log.resume`; the newest value is read unless it is known, what came between does not count."""
        if position.epoch != self.epoch or position.offset > self.head:
            return None
        return max(position.offset, self.head - 1)

    def entries(self) -> list[Entry]:
        """See :meth:`Log.entries`; encodes the newest value."""
        payload = self._newest()
        return [] if payload is None else [Entry(Position(self.epoch, self.head), payload, None)]

    def since(self, cursor: int, most: int) -> list[Entry]:
        """See :meth:`Log.since`; the newest value, or nothing."""
        return self.entries() if cursor < self.head and most > 0 else []

    def _newest(self) -> bytes | None:
        if not self._encoded:
            value, self._value, self._encoded = self._value, None, True
            try:
                self._payload = self._encode(value)
            except Exception as error:
                self._failed(error, value)
            else:
                self._grow(len(self._payload))
        return self._payload

    def _forget(self) -> None:
        self._encoded = False
        self._written.clear()
        if self._payload is not None:
            self._grow(-len(self._payload))
            self._payload = None
