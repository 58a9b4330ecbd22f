"""Fossil deltas, section 8 of the protocol page: what makes a payload of the one before it."""

MAX_SIZE = 64 * 1024
"""Bytes of a payload above which none is made."""

_BLOCK = 16
_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"


def delta(base: bytes, target: bytes) -> bytes | None:
    """A patch that makes ``target`` of ``base``; None where that is not shorter.

    Copies and inserts begin and end between characters of UTF-8, so that the patch of two texts is a text, too.
    """
    if max(len(base), len(target)) > MAX_SIZE:
        return None
    start = _same_start(base, target)
    end = _same_end(base, target, start)
    parts = [_number(len(target)), b"\n"]
    if start:
        parts.append(_copy(start, 0))
    _middle(base, target, start, len(target) - end, parts)
    if end:
        parts.append(_copy(end, len(base) - end))
    parts.append(_number(_checksum(target)) + b";")
    patch = b"".join(parts)
    return patch if len(patch) < len(target) else None


def _middle(base: bytes, target: bytes, at: int, end: int, parts: list[bytes]) -> None:
    """What lies between the two ends that are alike: copies of blocks that the base has anywhere, and inserts."""
    blocks: dict[bytes, int] = {}
    if end - at >= _BLOCK:
        for place in range(0, len(base) - _BLOCK + 1, _BLOCK):
            blocks.setdefault(base[place : place + _BLOCK], place)
    inserted = at
    while blocks and at + _BLOCK <= end:
        place = blocks.get(target[at : at + _BLOCK], -1)
        if place < 0:
            at += 1
            continue
        size = _BLOCK + _same_start(base[place + _BLOCK :], target[at + _BLOCK : end])
        skip = _to_character(target, at)
        size = _to_character_before(target, at, size)
        if size - skip < _BLOCK // 2:
            at += 1
            continue
        _insert(target, inserted, at + skip, parts)
        parts.append(_copy(size - skip, place + skip))
        at = inserted = at + size
    _insert(target, inserted, end, parts)


def _same_start(base: bytes, target: bytes) -> int:
    """How many bytes are alike from the start on, in whole characters."""
    size = _common(base, target)
    return _to_character_before(target, 0, size)


def _common(base: bytes, target: bytes) -> int:
    """How many bytes are alike from the start on: found by halves, as comparing slices is fast."""
    low, high = 0, min(len(base), len(target))
    while low < high:
        middle = (low + high + 1) // 2
        if base[low:middle] == target[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same_end(base: bytes, target: bytes, start: int) -> int:
    """How many bytes are alike at the end, in whole characters, less what is alike at the start."""
    room = min(len(base), len(target)) - start
    size = _common(base[len(base) - room :][::-1], target[len(target) - room :][::-1])
    return size - _to_character(target, len(target) - size)


def _to_character(text: bytes, at: int) -> int:
    """How many bytes it is to the start of a character."""
    size = 0
    while at + size < len(text) and size < 4 and text[at + size] & 0xC0 == 0x80:
        size += 1
    return size


def _to_character_before(text: bytes, at: int, size: int) -> int:
    """``size``, shortened so that it ends before the start of a character."""
    while size > 0 and at + size < len(text) and text[at + size] & 0xC0 == 0x80:
        size -= 1
    return size


def _insert(target: bytes, start: int, end: int, parts: list[bytes]) -> None:
    if start < end:
        parts.append(_number(end - start) + b":" + target[start:end])


def _copy(size: int, place: int) -> bytes:
    return _number(size) + b"@" + _number(place) + b","


def _number(value: int) -> bytes:
    """A number in base 64."""
    digits = bytearray()
    while True:
        digits.append(_DIGITS[value & 63])
        value >>= 6
        if not value:
            return bytes(reversed(digits))


def _checksum(target: bytes) -> int:
    """The sum of the big-endian words of 32 bits."""
    padded = target + b"\0" * (-len(target) % 4)
    # Four sums of every fourth byte: faster than taking the words apart.
    parts = (sum(padded[each::4]) << shift for each, shift in enumerate((24, 16, 8, 0)))
    return sum(parts) & 0xFFFFFFFF
