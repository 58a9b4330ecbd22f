"""Wires that a test can read, and values whose encoding it can count."""

import json
from collections import Counter
from typing import Any, NamedTuple

from wirespeed.log.base import Log, Marks, Wire
from wirespeed.log.cache import Chunk
from wirespeed.log.position import Position


class Told(NamedTuple):
    """One entry as it was on the wire: its row is ``None`` outside of tables, its payload if it is a removal."""

    position: Position
    row: Any
    payload: bytes | None


class Telling(Wire):
    """A wire with a header of a minimum size in front of each entry."""

    def __init__(self, overhead: int = 0) -> None:
        self.overhead = overhead
        self.written = 0

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        return self._entry(position, "null", payload)

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        return self._entry(position, row.decode(), payload)

    def removed(self, row: bytes, position: Position) -> bytes:
        return self._entry(position, row.decode(), None)

    def _entry(self, position: Position, row: str, payload: bytes | None) -> bytes:
        self.written += 1
        length = "null" if payload is None else str(len(payload))
        header = f'["{position.epoch}",{position.offset},{row},{length}]'
        return header.ljust(self.overhead).encode() + b"\n" + (payload or b"")


def told(data: bytes) -> list[Told]:
    """Parse the output of a telling wire."""
    entries, at = [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        epoch, offset, row, length = json.loads(data[at:end])
        at = end + 1 + (length or 0)
        entries.append(Told(Position(epoch, offset), row, None if length is None else data[end + 1 : at]))
    return entries


def payloads(chunk: Chunk) -> list[bytes | None]:
    """Return the payloads of a chunk, in order."""
    return [each.payload for each in told(chunk.data)]


def pieces(log: Log, cursor: int, wire: Wire) -> list[Chunk]:
    """Yield chunks until the reader has everything."""
    chunks = []
    while (chunk := log.read(cursor, wire)).cursor != cursor:
        chunks.append(chunk)
        cursor = chunk.cursor
    return chunks


class Encoder:
    """Encodes texts; raises on "bad", and records its calls and failures."""

    def __init__(self) -> None:
        self.asked = Counter[str]()
        self.failures: list[tuple[str, str]] = []

    def __call__(self, value: str) -> bytes:
        self.asked[value] += 1
        if "bad" in value:
            raise ValueError(f"cannot encode {value}")
        if "panic" in value:
            raise SystemExit(f"cannot encode {value}")
        return value.encode()

    def failed(self, error: Exception, value: str) -> None:
        """Record a failure."""
        self.failures.append((str(error), value))
