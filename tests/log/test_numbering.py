"""Numbering: local numbers of entries, and the offsets that a broker has given to them."""

from hypothesis import given
from hypothesis import strategies as st

from wirespeed.log.numbering import Numbering

STEPS = st.lists(st.integers(1, 4), min_size=1, max_size=50)


@given(first=st.integers(1, 100), start=st.integers(1, 1000), steps=STEPS, forgotten=st.integers(0, 60))
def test_numbers_and_offsets(first: int, start: int, steps: list[int], forgotten: int) -> None:
    """Each entry is found by its offset, an offset in a hole by the entry before it; what is forgotten changes no
    newer entry."""
    numbering, offsets = Numbering(first, start), {first: start}
    for number, step in enumerate(steps, first + 1):
        offsets[number] = offsets[number - 1] + step
        numbering.note(number, offsets[number])
    numbering.forget(first + forgotten)
    for number, offset in offsets.items():
        if number >= first + forgotten:
            assert numbering.offset(number) == offset
            following = offsets.get(number + 1, offset + 1)
            assert [numbering.number(each) for each in range(offset, following)] == [number] * (following - offset)


def test_before_the_first() -> None:
    """Entries before the first one are assumed to have no holes."""
    numbering = Numbering(1, 48)
    assert [numbering.number(offset) for offset in (47, 46, 40)] == [0, -1, -7]
    assert numbering.offset(0) == 47


def test_newest_offset_moves() -> None:
    """The offset of the newest entry may be noted again."""
    numbering = Numbering(1, 5)
    numbering.note(2, 9)
    numbering.note(2, 12)
    numbering.note(3, 13)
    assert [numbering.offset(number) for number in (1, 2, 3)] == [5, 12, 13]
