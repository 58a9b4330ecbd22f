"""Wire formats of the surfaces that need no protocol of their own: raw WebSocket frames, and Server-Sent Events."""

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from ..codec import plain_type
from ..definitions import Watched
from ..frames import BINARY, TEXT, frame
from ..hub.watcher import Format
from ..log.base import Marks, Wire
from ..log.position import Position
from .formats import event


class RawWire(Wire):
    """Raw WebSocket frames: a value is a message, a table's row ``{"key": ..., "value": ...}``.

    Args:
        opcode: Of the frames of values.
    """

    def __init__(self, opcode: int) -> None:
        self._opcode = opcode

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """One message."""
        return frame(self._opcode, payload)

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """``{"key": ..., "value": ...}``."""
        return frame(TEXT, b'{"key":%b,"value":%b}' % (row, payload))

    def removed(self, row: bytes, position: Position) -> bytes:
        """``{"key": ..., "removed": true}``."""
        return frame(TEXT, b'{"key":%b,"removed":true}' % row)

    def lost(self, count: int | None) -> bytes:
        """``{"lost": 17}``, or null for nobody knows how many."""
        return frame(TEXT, b'{"lost":%b}' % json.dumps(count).encode())

    def after(self, lost: int, cursor: int) -> "RawWire":
        """The same: it was told."""
        return self

    def reset(self) -> bytes:
        """``{"reset": true}``."""
        return frame(TEXT, b'{"reset":true}')


class PositionWire(RawWire):
    """Raw WebSocket frames that tell positions: ``{"position": "epoch:offset", "value": ...}``.

    Args:
        as_json: Makes JSON of a payload.
    """

    def __init__(self, as_json: Callable[[bytes], bytes]) -> None:
        super().__init__(TEXT)
        self._as_json = as_json

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """``{"position": ..., "value": ...}``."""
        return frame(TEXT, b'{"position":"%b","value":%b}' % (_spelled(position), self._as_json(payload)))

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """``{"position": ..., "key": ..., "value": ...}``."""
        content = (_spelled(position), row, self._as_json(payload))
        return frame(TEXT, b'{"position":"%b","key":%b,"value":%b}' % content)

    def removed(self, row: bytes, position: Position) -> bytes:
        """``{"position": ..., "key": ..., "removed": true}``."""
        return frame(TEXT, b'{"position":"%b","key":%b,"removed":true}' % (_spelled(position), row))


class EventWire(Wire):
    """Server-Sent Events; ``id`` is the position, so that ``Last-Event-ID`` resumes (HTML, section 9.2)."""

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """An event of the type ``message``."""
        return b"id: %b\n%b" % (_spelled(position), event(payload))

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """An event with ``{"key": ..., "value": ...}``."""
        return self.value(b'{"key":%b,"value":%b}' % (row, payload), position)

    def removed(self, row: bytes, position: Position) -> bytes:
        """An event with ``{"key": ..., "removed": true}``."""
        return self.value(b'{"key":%b,"removed":true}' % row, position)

    def lost(self, count: int | None) -> bytes:
        """An event of the type ``lost``, with the number, or null for nobody knows how many."""
        return event(json.dumps(count).encode(), "lost")

    def after(self, lost: int, cursor: int) -> "EventWire":
        """The same: it was told."""
        return self

    def reset(self) -> bytes:
        """An event of the type ``reset``: what comes next is the whole table."""
        return event(b"", "reset")


def _spelled(position: Position) -> bytes:
    return str(position).encode()


def _quoted(payload: bytes) -> bytes:
    return to_json(payload.decode())


def _as_it_is(payload: bytes) -> bytes:
    return payload


_RAW = {str: RawWire(TEXT), bytes: RawWire(BINARY)}
_JSON = RawWire(TEXT)
_POSITIONS = {str: PositionWire(_quoted)}
_JSON_POSITIONS = PositionWire(_as_it_is)
EVENTS = EventWire()


def format_of(watched: Watched[Any, Any], *, positions: bool) -> Format:
    """The raw WebSocket's format for a feed or topic: the same object for all, so that bytes are shared.

    Args:
        watched: The feed or topic; positions cannot be told of ``bytes``.
        positions: Whether each value comes with its position.
    """
    kind = plain_type(watched.type)
    if positions:
        return _POSITIONS.get(kind, _JSON_POSITIONS)
    return _RAW.get(kind, _JSON)
