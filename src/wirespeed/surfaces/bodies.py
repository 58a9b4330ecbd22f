"""What a response's body is made of: JSON Lines, Server-Sent Events, or bytes; and which of them a client wants."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from ..codec import Encoder, as_json
from ..definitions import Stream
from ..frames import BINARY, messages

_LINE_END = re.compile(rb"\r\n|\r|\n")
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_EVENTS = "text/event-stream"
_JSON = ("application/jsonl", "application/x-ndjson", "application/json")


class Body(ABC):
    """How the values of one response become its body."""

    media_type: ClassVar[str]
    tells: ClassVar[bool] = True
    """Whether errors, and the end, can be told in the body."""
    complete: ClassVar[bytes] = b""
    """What the body ends with when all values are in it."""
    beat: ClassVar[bytes] = b""
    """What a quiet body gets, so that proxies keep it; empty where every byte would be taken for a value."""

    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        """The encoder for values, where it is another one than WebSockets have."""
        return encoder

    @abstractmethod
    def values(self, frames: bytes) -> bytes:
        """The part of the body for some frames."""

    @abstractmethod
    def error(self, frame: bytes) -> bytes:
        """The part of the body for an error frame."""


class JsonLines(Body):
    """One value of JSON per line."""

    media_type = "application/jsonl"
    beat = b" "  # It begins the next line, and JSON allows it there. An empty line would be an error to most clients.

    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        return as_json(encoder)

    def values(self, frames: bytes) -> bytes:
        return b"".join([payload + b"\n" for _, payload in messages(frames)])

    def error(self, frame: bytes) -> bytes:
        return self.values(frame)


class Events(Body):
    """Server-Sent Events, as a browser's ``EventSource`` has them: one per value, then one of the kind ``complete``."""

    media_type = _EVENTS
    complete = b"event: complete\ndata:\n\n"
    beat = b":\n\n"  # a comment

    def values(self, frames: bytes) -> bytes:
        return b"".join([event(payload) for _, payload in messages(frames)])

    def error(self, frame: bytes) -> bytes:
        return b"event: error\n" + self.values(frame)


class Octets(Body):
    """Bytes as they were yielded, one after the other. An error cuts the body off: it is never taken for complete."""

    media_type = "application/octet-stream"
    tells = False

    def values(self, frames: bytes) -> bytes:
        return b"".join([payload for _, payload in messages(frames)])

    def error(self, frame: bytes) -> bytes:
        return b""


def event(payload: bytes, name: str = "") -> bytes:
    """One event, a ``data`` line for each line of its payload.

    Args:
        payload: What it carries.
        name: Its type; none for ``message``.
    """
    data = payload if b"\n" not in payload and b"\r" not in payload else b"\ndata: ".join(_LINE_END.split(payload))
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % data


def body_of(stream: Stream, accept: str | None) -> Body:
    """What a client gets of a stream.

    Args:
        stream: Of bytes, or of anything else.
        accept: The request's ``Accept`` header.
    """
    if stream.encoder.opcode == BINARY:
        return Octets()
    return Events() if accepts_events(accept) else JsonLines()


def accepts_events(accept: str | None) -> bool:
    """Whether a client would rather have Server-Sent Events than JSON (RFC 9110, section 12.5.1).

    Of two that are wanted equally, the one that is named more closely wins, and JSON otherwise.

    Args:
        accept: The request's ``Accept`` header.
    """
    ranges = dict(_ranges(accept or "*/*"))
    return _wanted(ranges, _EVENTS) > max(_wanted(ranges, each) for each in _JSON)


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """The media ranges and how much each is wanted; one that makes no sense is left out."""
    for each in accept.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        quality = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
        if _QUALITY.fullmatch(quality):
            yield name, float(quality)


def _wanted(ranges: dict[str, float], media_type: str) -> tuple[float, int]:
    """How much a media type is wanted, and how closely it is named: the closest range counts."""
    names = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next(((ranges[name], -distance) for distance, name in enumerate(names) if name in ranges), (0.0, 0))
