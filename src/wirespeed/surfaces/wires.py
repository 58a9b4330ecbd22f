"""The wires of raw WebSockets and of Server-Sent Events: the bytes of an entry, of a loss and of a reset."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic_core import to_json

from ..codec import plain_type
from ..definitions import Watched
from ..frames import BINARY, HEADERS, TEXT, frame
from ..log.base import Marks, Wire
from ..log.position import Position
from .bodies import event


def quoted(payload: bytes) -> bytes:
    """Return text as a JSON string."""
    return to_json(payload.decode())


def row_of(row: bytes, payload: bytes) -> bytes:
    """Return the JSON of a table's row; ``row`` is its key as JSON."""
    return b'{"key":%b,"value":%b}' % (row, payload)


def piece_of(row: bytes | None, appended: bytes) -> bytes:
    """Return the JSON that says what was appended to a text, or to the text of a table's row."""
    return b'{"append":%b}' % appended if row is None else b'{"key":%b,"append":%b}' % (row, appended)


def removed_row(row: bytes) -> bytes:
    """Return the JSON that says that a table's row was removed."""
    return b'{"key":%b,"removed":true}' % row


class RawWire(Wire):
    """The messages of a raw WebSocket: a value is a message, a table's row ``{"key": ..., "value": ...}``.

    With positions, all of them are JSON objects that begin with ``"position": "epoch:offset"``. If pieces of a text may
    come, they are objects, too: ``{"value": ...}`` and ``{"append": ...}``.

    Args:
        as_json: Returns the JSON of a payload, for values in objects; None if a value is the whole message.
    """

    def __init__(
        self,
        opcode: int,
        as_json: Callable[[bytes], bytes] | None = None,
        *,
        positions: bool = False,
        grows: bool = False,
    ) -> None:
        self._short, self._long = HEADERS[opcode]
        self._as_json = as_json
        self._positions = positions
        self.grows = grows

    def value(self, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        if self._as_json is not None:
            payload = self._as_json(payload)
            if self._positions:
                payload = b'{"position":"%b","value":%b}' % (str(position).encode(), payload)
            else:
                payload = b'{"value":%b}' % payload
        try:
            return self._short[len(payload)] + payload
        except IndexError:
            return self._long(len(payload)) + payload

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        """Return a message of the row's key and value."""
        return self._object(row_of(row, payload), position)

    def removed(self, row: bytes, position: Position) -> bytes:
        """Return a message of ``{"key": ..., "removed": true}``."""
        return self._object(removed_row(row), position)

    def piece(self, row: bytes | None, appended: bytes, position: Position) -> bytes:
        """Return a message of ``{"append": text}``, in a table of ``{"key": ..., "append": {field: text}}``."""
        return self._object(piece_of(row, appended), position)

    def _object(self, content: bytes, position: Position) -> bytes:
        return frame(TEXT, self._content(content, position))

    def _content(self, content: bytes, position: Position) -> bytes:
        return b'{"position":"%b",%b' % (str(position).encode(), content[1:]) if self._positions else content

    def lost(self, count: int | None) -> bytes:
        """Return a message of ``{"lost": 17}``; null if the number is unknown."""
        return frame(TEXT, b'{"lost":%b}' % json.dumps(count).encode())

    def reset(self) -> bytes:
        return frame(TEXT, b'{"reset":true}')


class EventWire(Wire):
    """Server-Sent Events. The ``id`` is the position, so that ``Last-Event-ID`` resumes (HTML, section 9.2)."""

    def __init__(self, *, grows: bool) -> None:
        self.grows = grows

    def value(self, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        """Return an event of the type ``message``."""
        return b"id: %b\n%b" % (str(position).encode(), event(payload))

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        """Return an event of ``{"key": ..., "value": ...}``."""
        return self.value(row_of(row, payload), position, None)

    def removed(self, row: bytes, position: Position) -> bytes:
        """Return an event of ``{"key": ..., "removed": true}``."""
        return self.value(removed_row(row), position, None)

    def piece(self, row: bytes | None, appended: bytes, position: Position) -> bytes:
        """Return an event of the type ``append`` with the text as a JSON string, in a table an event of
        ``{"key": ..., "append": {field: text}}``."""
        if row is not None:
            return self.value(piece_of(row, appended), position, None)
        return b"id: %b\n%b" % (str(position).encode(), event(appended, "append"))

    def lost(self, count: int | None) -> bytes:
        """Return an event of the type ``lost`` with the number; null if it is unknown."""
        return event(json.dumps(count).encode(), "lost")

    def reset(self) -> bytes:
        """Return an event of the type ``reset``: the rows that follow are the whole table."""
        return event(b"", "reset")


@cache
def event_wire(*, grows: bool) -> Wire:
    """Return the wire of Server-Sent Events."""
    return EventWire(grows=grows)


def raw_wire(watched: Watched[Any, Any], *, positions: bool, grows: bool = False) -> Wire:
    """Return the wire of a feed or topic on raw WebSockets: one object for all of a kind, so that they share bytes."""
    kind = plain_type(watched.value_type)
    return _raw_wire(kind if kind in (str, bytes) else None, positions=positions, grows=grows)


@cache
def _raw_wire(kind: Any, *, positions: bool, grows: bool) -> Wire:
    as_json = (quoted if kind is str else bytes) if positions or grows else None
    return RawWire(BINARY if kind is bytes and as_json is None else TEXT, as_json, positions=positions, grows=grows)
