"""Payloads that carry more: to all who do not ask they are bytes."""

from tests.log.telling import Telling
from wirespeed.log.base import Encoded, MarkedPayload, Removed, size_of
from wirespeed.log.position import Position

MARKED = MarkedPayload(b'{"a":1}', {"side": "buy"}, "ada")


def test_marked_payload_is_its_bytes() -> None:
    """It is equal to its bytes, hashed like them and as long as they are, and has what it was given."""
    assert MARKED == b'{"a":1}'
    assert ({b'{"a":1}': 1}[MARKED], len(MARKED)) == (1, 7)
    assert (MARKED.tags, MARKED.info) == ({"side": "buy"}, "ada")


def test_what_is_made_of_it_is_plain() -> None:
    """Whatever bytes a wire makes of it, they carry nothing: they may be held for long, and by all."""
    made = [b"".join([MARKED]), b"%b" % MARKED, b"x" + MARKED, b"" + MARKED, MARKED[:], bytes(MARKED)]
    assert [type(each) for each in made] == [bytes] * len(made)
    assert made == [MARKED, MARKED, b"x" + bytes(MARKED), MARKED, MARKED, MARKED]


def test_wire_that_knows_nothing_of_it() -> None:
    """A wire writes it as it writes the same bytes without anything."""
    position = Position("e", 1)
    assert Telling().value(MARKED, position) == Telling().value(bytes(MARKED), position)


def test_all_that_waits_counts() -> None:
    """What waits for the loop counts its payload, its tags and the row that it removes."""
    least = size_of(Encoded(b""))
    assert size_of(Encoded(b"x" * 1000)) == least + 1000
    assert size_of(Encoded(MarkedPayload(b"x", {"side": "y" * 1000}, None))) == least + 1005
    assert size_of(Removed("x" * 1000)) >= least + 1000
