"""The portable lane: one ordinary ASGI message for each value. Works on every server."""

from collections.abc import Iterator
from typing import Any, ClassVar

from ..frames import TEXT, messages
from .lane import WebSocketLane
from .sending import SendingLane


class AsgiLane(SendingLane, WebSocketLane):
    """A lane that splits frames again and sends each message by a ``websocket.send``."""

    name: ClassVar[str] = "asgi"

    def _events(self, piece: bytes) -> Iterator[dict[str, Any]]:
        for opcode, payload in messages(piece):
            content = {"text": payload.decode()} if opcode == TEXT else {"bytes": payload}
            yield {"type": "websocket.send", **content}
