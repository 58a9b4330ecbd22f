"""Bodies: the values of a run as JSON Lines, Server-Sent Events or bytes; and the choice of one for a client."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from ..codec import Encoder, as_json
from ..definitions import Stream
from ..frames import BINARY, TEXT
from ..raw import RawJSON, on_one_line

_LINE_END = re.compile(rb"\r\n|\r|\n")
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")
_EVENTS = "text/event-stream"
_JSON = ("application/jsonl", "application/x-ndjson", "application/json")

_MOST_RANGES = 50
"""Media ranges of one header that are read, and parameters of one range: a header may have 60,000."""


class Body(ABC):
    """The form of the body of one response."""

    media_type: ClassVar[str]
    tells: ClassVar[bool] = True
    """True if the body has a form for errors and for its completion."""
    complete: ClassVar[bytes] = b""
    """The bytes behind the last value of a complete body."""
    beat: ClassVar[bytes] = b""
    """The bytes that keep a quiet body open; empty if clients would take every byte for a value."""

    @abstractmethod
    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        """Return the encoder that turns values into parts of the body, by the encoder for WebSockets."""

    @abstractmethod
    def error(self, error: bytes) -> bytes:
        """Return the part of the body for an error, which is given as JSON."""


class JsonLines(Body):
    """One value of JSON per line."""

    media_type = "application/jsonl"
    beat = b" "  # It begins the next line, and JSON allows it there. An empty line would be an error to most clients.

    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        encode = as_json(encoder).encode
        if encode is RawJSON.__bytes__:
            return Encoder(TEXT, lambda value: on_one_line(bytes(value)) + b"\n")
        return Encoder(TEXT, lambda value: encode(value) + b"\n")

    def error(self, error: bytes) -> bytes:
        return error + b"\n"


class Events(Body):
    """Server-Sent Events, for a browser's ``EventSource``: one per value, then one of the type ``complete``."""

    media_type = _EVENTS
    complete = b"event: complete\ndata:\n\n"
    beat = b":\n\n"  # a comment

    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        encode = encoder.encode
        return Encoder(TEXT, lambda value: event(encode(value)))

    def error(self, error: bytes) -> bytes:
        return event(error, "error")


class Octets(Body):
    """Bytes as they were yielded, one after the other. An error leaves the body incomplete."""

    media_type = "application/octet-stream"
    tells = False

    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        return encoder

    def error(self, error: bytes) -> bytes:
        return b""


def event(payload: bytes, name: str = "") -> bytes:
    """Return one event, with a ``data`` line for each line of its payload."""
    data = payload if b"\n" not in payload and b"\r" not in payload else b"\ndata: ".join(_LINE_END.split(payload))
    return (b"event: %b\n" % name.encode() if name else b"") + b"data: %b\n\n" % data


def body_of(stream: Stream, accept: str | None) -> Body:
    """Return the body that a client gets from a stream."""
    if stream.encoder.opcode == BINARY:
        return Octets()
    return Events() if accepts_events(accept) else JsonLines()


def accepts_events(accept: str | None) -> bool:
    """Return True if a client prefers Server-Sent Events to JSON (RFC 9110, section 12.5.1).

    Of two equal preferences, the one that is named more closely wins; if they are equal in that, too, JSON wins.
    """
    ranges = dict(_ranges(accept or "*/*"))
    return _wanted(ranges, _EVENTS) > max(_wanted(ranges, each) for each in _JSON)


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Yield the media ranges and the quality of each; leave out a range whose quality is malformed."""
    for each in accept.lower().split(",", _MOST_RANGES)[:_MOST_RANGES]:
        name, *parameters = (part.strip() for part in each.split(";", _MOST_RANGES))
        quality = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
        if _QUALITY.fullmatch(quality):
            yield name, float(quality)


def _wanted(ranges: dict[str, float], media_type: str) -> tuple[float, int]:
    """Return the quality of a media type, and how closely it is named: the closest range counts."""
    names = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next(((ranges[name], -distance) for distance, name in enumerate(names) if name in ranges), (0.0, 0))
