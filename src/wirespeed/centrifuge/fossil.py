"""Fossil deltas (section 8 of the protocol page): patches that turn the previous payload into the next one."""

MAX_SIZE = 64 * 1024
"""Bytes of a payload above which no delta is made."""

PROBES = 6 * 1024
"""Places of the target that are looked up in the base: about a millisecond. The rest of the target is inserted."""

_COPY = 16
"""Number of probes that take as long as one copy."""

_BLOCK = 16
_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"


def delta(base: bytes, target: bytes) -> bytes | None:
    """Return a patch that turns ``base`` into ``target``; None if it would not be shorter than ``target``.

    The patch of two texts is a text, too: copies and inserts begin and end between characters. The time is linear in
    the size, whatever the bytes are.
    """
    if max(len(base), len(target)) > MAX_SIZE:
        return None
    is_text = _is_text(target)
    room = min(len(base), len(target))
    start = _before_character(target, _common(base, 0, target, 0, room), is_text=is_text)
    end = _same_end(base, target, room - start)
    end -= _to_character(target, len(target) - end, is_text=is_text)
    parts = [_number(len(target)), b"\n"]
    if start:
        parts.append(_copy(start, 0))
    _middle(base, target, start, len(target) - end, parts, is_text=is_text)
    if end:
        parts.append(_copy(end, len(base) - end))
    parts.append(_number(_checksum(target)) + b";")
    patch = b"".join(parts)
    return patch if len(patch) < len(target) else None


def _middle(base: bytes, target: bytes, at: int, end: int, parts: list[bytes], *, is_text: bool) -> None:
    """Append the patch between the common start and end: copies of blocks anywhere in the base, and inserts."""
    blocks: dict[bytes, int] = {}
    if end - at >= _BLOCK:
        for place in range(0, len(base) - _BLOCK + 1, _BLOCK):
            blocks.setdefault(base[place : place + _BLOCK], place)
    inserted = at
    probes = PROBES if blocks else 0
    while probes > 0 and at + _BLOCK <= end:
        probes -= 1
        place = blocks.get(target[at : at + _BLOCK], -1)
        if place < 0:
            at += 1
            continue
        probes -= _COPY
        until = at + _common(base, place, target, at, min(len(base) - place, end - at))
        skip = _to_character(target, at, is_text=is_text)
        until = _before_character(target, until, is_text=is_text)
        _insert(target, inserted, at + skip, parts)
        parts.append(_copy(until - at - skip, place + skip))
        at = inserted = until
    _insert(target, inserted, end, parts)


def _is_text(target: bytes) -> bool:
    """Return True for UTF-8. Only there do characters have borders, at most three bytes away."""
    try:
        target.decode()
    except UnicodeDecodeError:
        return False
    return True


def _common(base: bytes, place: int, target: bytes, at: int, most: int) -> int:
    """Return the number of equal bytes from two places on.

    The comparison takes steps that grow, and that shrink after the first difference. They add up to a few times the
    result, so that many copies cost no more than the target's size.
    """
    size, step, grows = 0, 32, True
    while step and size < most:
        step = min(step, most - size)
        if base[place + size : place + size + step] == target[at + size : at + size + step]:
            size += step
            step = step * 2 if grows else step // 2
        else:
            grows = False
            step //= 2
    # If steps shrank too early, equal bytes are left, fewer than the last step.
    while size < most and base[place + size] == target[at + size]:
        size += 1
    return size


def _same_end(base: bytes, target: bytes, room: int) -> int:
    """Return the number of equal bytes at the end."""
    return _common(base[len(base) - room :][::-1], 0, target[len(target) - room :][::-1], 0, room)


def _to_character(text: bytes, at: int, *, is_text: bool) -> int:
    """Return the number of bytes from a place to the next start of a character."""
    size = 0
    while is_text and at + size < len(text) and text[at + size] & 0xC0 == 0x80:
        size += 1
    return size


def _before_character(text: bytes, at: int, *, is_text: bool) -> int:
    """Return the last start of a character up to a place."""
    while is_text and 0 < at < len(text) and text[at] & 0xC0 == 0x80:
        at -= 1
    return at


def _insert(target: bytes, start: int, end: int, parts: list[bytes]) -> None:
    if start < end:
        parts.append(_number(end - start) + b":" + target[start:end])


def _copy(size: int, place: int) -> bytes:
    return _number(size) + b"@" + _number(place) + b","


def _number(value: int) -> bytes:
    """Return a number in Fossil's base 64."""
    digits = bytearray()
    while True:
        digits.append(_DIGITS[value & 63])
        value >>= 6
        if not value:
            return bytes(reversed(digits))


def _checksum(target: bytes) -> int:
    """Return the sum of the big-endian words of 32 bits, modulo 2**32."""
    padded = target + b"\0" * (-len(target) % 4)
    # Four sums of every fourth byte are faster than a sum of unpacked words.
    parts = (sum(padded[each::4]) << shift for each, shift in enumerate((24, 16, 8, 0)))
    return sum(parts) & 0xFFFFFFFF
