"""Deltas, applied by an independent reader."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirespeed.centrifuge.fossil import MAX_SIZE, delta

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"

WORDS = st.sampled_from(["price ", "Привет ", "😀", "é", "e\u0301", "漢字", '{"a":1}', "0", "hello world ", "\n"])
TEXTS = st.lists(WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=30).map("".join)


def applied(base: bytes, patch: bytes) -> bytes:
    """Apply a patch to a base, checking all of its rules."""
    at = 0

    def number() -> int:
        nonlocal at
        value = 0
        while chr(patch[at]) in DIGITS:
            value = value * 64 + DIGITS.index(chr(patch[at]))
            at += 1
        at += 1
        return value

    target, size = b"", number()
    assert patch[at - 1 : at] == b"\n"
    while True:
        value = number()
        match patch[at - 1 : at]:
            case b"@":
                place = number()
                assert patch[at - 1 : at] == b","
                assert place + value <= len(base)
                target += base[place : place + value]
            case b":":
                target += patch[at : at + value]
                at += value
            case b";":
                padded = target + bytes(-len(target) % 4)
                words = [int.from_bytes(padded[i : i + 4]) for i in range(0, len(padded), 4)]
                assert (len(target), at, value) == (size, len(patch), sum(words) % 2**32)
                return target
            case other:
                raise AssertionError(other)


@given(TEXTS, st.data())
def test_patches_of_texts_are_texts_and_make_the_target(text: str, data: st.DataObject) -> None:
    """Whatever changed, the patch is shorter, valid UTF-8, and gives the target; or there is none."""
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, len(text)))
    changed = data.draw(TEXTS) + text[:at] + data.draw(TEXTS) + text[end:] + text[at:end]
    base, target = text.encode(), changed.encode()
    patch = delta(base, target)
    if patch is not None:
        assert len(patch) < len(target)
        assert applied(base, patch) == target
        assert patch.decode()


@given(st.binary(max_size=300), st.binary(max_size=60), st.integers(0, 300), st.integers(0, 300))
def test_patches_of_bytes_make_the_target(base: bytes, new: bytes, at: int, end: int) -> None:
    """Bytes that are not text are patched as well."""
    target = base[:at] + new + base[end:]
    patch = delta(base, target)
    assert patch is None or applied(base, patch) == target


def test_a_small_change_is_a_small_patch() -> None:
    """Equal bytes at both ends are copied, also around a difference."""
    base = b'{"text":"%b","i":0,"more":"%b"}' % (b"hello world " * 20, b"goodbye " * 20)
    target = base.replace(b'"i":0', b'"i":12345').replace(b"goodbye goodbye", b"good day goodbye", 1)
    patch = delta(base, target)
    assert patch is not None
    assert applied(base, patch) == target
    assert len(patch) < 60


def test_moved_blocks_are_copied() -> None:
    """Bytes from elsewhere in the base are copied."""
    first, second = b"abcdefgh" * 40, bytes(range(256))
    patch = delta(first + second, second + first)
    assert patch is not None
    assert applied(first + second, patch) == second + first
    assert len(patch) < 100


@pytest.mark.parametrize(
    ("base", "target"), [(b"", b""), (b"a", b""), (b"abc", b"xyz"), (b"x" * (MAX_SIZE + 1), b"x"), (b"a", b"a")]
)
def test_there_is_no_patch_where_it_would_not_be_shorter(base: bytes, target: bytes) -> None:
    """If the patch would not be shorter, there is none."""
    assert delta(base, target) is None


class Counted(bytes):
    """Bytes that count the bytes copied out of them."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        Counted.copied += len(part) if isinstance(part, bytes) else 1
        return part


K = 1024
SHUFFLED = [bytes([each % 251, each // 251]) * 8 for each in range(4 * K)]
HARD = [
    (b"\x80" * 16 * K, b"\x80" * 32 * K),
    (b"\x80" * 32 * K + b"a", b"b" + b"\x80" * 32 * K + b"c"),
    (b"\x80\xbf" * 16 * K, b"\xbf\x80" * 32 * K),
    (bytes(60 * K), (bytes(16) + b"a") * 3 * K),
    (b"".join(SHUFFLED), b"".join(SHUFFLED[::-1])),
    (b"".join(SHUFFLED), bytes(range(256)) * 256),
]


@pytest.mark.parametrize(("base", "target"), HARD, ids=range(len(HARD)))
def test_time_is_linear(base: bytes, target: bytes) -> None:
    """For any bytes, the work is at most a few times their size, and the patch is right."""
    Counted.copied = 0
    patch = delta(Counted(base), Counted(target))
    assert Counted.copied < 20 * MAX_SIZE
    if patch is not None:
        assert applied(base, patch) == target


@given(st.binary(max_size=400), st.binary(max_size=400), st.data())
def test_patches_of_any_bytes(one: bytes, other: bytes, data: st.DataObject) -> None:
    """Bytes that are not text have patches, too."""
    base, target = one + b"\x80" * 40 + other, other + one + b"\x80" * data.draw(st.integers(0, 80))
    patch = delta(base, target)
    assert patch is None or applied(base, patch) == target
