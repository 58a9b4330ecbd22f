"""Frames from server to client (RFC 6455, section 5.2): a header of 2, 4 or 10 bytes, then the unmasked payload."""

from collections.abc import Callable, Iterator
from functools import partial
from struct import Struct
from typing import NamedTuple

TEXT = 0x1
BINARY = 0x2

_FIN = 0x80
_UINT16 = Struct("!BBH")
_UINT64 = Struct("!BBQ")


_SHORT = {opcode: tuple(bytes((_FIN | opcode, length)) for length in range(126)) for opcode in (TEXT, BINARY)}


def header(opcode: int, length: int) -> bytes:
    """Return the header of one whole message with a payload of ``length`` bytes."""
    if length < 126:
        return _SHORT[opcode][length]
    if length < 1 << 16:
        return _UINT16.pack(_FIN | opcode, 126, length)
    return _UINT64.pack(_FIN | opcode, 127, length)


class Headers(NamedTuple):
    """The headers that precede payloads.

    Args:
        short: Headers of payloads of up to 125 bytes, indexed by the payload's length.
        long: Returns the header of a payload of any length.
    """

    short: tuple[bytes, ...]
    long: Callable[[int], bytes]


HEADERS = {opcode: Headers(_SHORT[opcode], partial(header, opcode)) for opcode in (TEXT, BINARY)}
"""Headers of whole messages, by opcode."""

NO_HEADERS = Headers((b"",) * 126, lambda length: b"")
"""The headers where nothing precedes a payload."""

COMMAS = Headers((b",",) * 126, lambda length: b",")
"""Headers of the items of a JSON array: a comma each, including the first item."""


def frame(opcode: int, payload: bytes) -> bytes:
    return header(opcode, len(payload)) + payload


def messages(frames: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the opcode and payload of each whole message in some frames that :func:`frame` made."""
    at = 0
    while at < len(frames):
        opcode, length, start = frames[at] & 0x0F, frames[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(frames[start : start + 2]), start + 2
        elif length == 127:
            length, start = int.from_bytes(frames[start : start + 8]), start + 8
        at = start + length
        yield opcode, frames[start:at]
