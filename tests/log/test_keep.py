"""Kinds of logs: each of them takes values that carry more, where it was told of such."""

from typing import Any, NamedTuple

import pytest

from tests.log.telling import Encoder, Telling, payloads
from wirespeed.log.base import Entry, Log, Marked, MarkedPayload, Removed
from wirespeed.log.keep import Keep, Last, Latest, Table, marking

TAGS = {"side": "buy"}


class Wrapped(NamedTuple):
    """What carries a value in the tests; a wrong one cannot be opened."""

    value: str
    is_wrong: bool = False


def opened(wrapped: Wrapped) -> Marked:
    """What it carries."""
    if wrapped.is_wrong:
        raise ValueError(f"cannot open {wrapped.value}")
    return Marked(wrapped.value, TAGS, "ada")


def keeps() -> list[tuple[Keep, Encoder]]:
    """One of each kind, with its encoder."""
    encoders = [Encoder() for _ in range(3)]
    common: list[dict[str, Any]] = [{"encode": each, "failed": each.failed, "retain": 0.0} for each in encoders]
    kinds = [
        Latest(**common[0]),
        Last(entries=10, size=1000, **common[1]),
        Table(row_of=lambda value: value[0], rows=10, size=1000, **common[2]),
    ]
    return list(zip(kinds, encoders, strict=True))


def log_of(keep: Keep, *values: object) -> Log:
    """A log of a kind that takes wrapped values, too."""
    log = marking(keep, Wrapped, opened).log("e")
    for value in values:
        log.append(value, log.head + 1, 0.0)
    return log


def marks(entries: list[Entry]) -> list[tuple[bytes, Any]]:
    """Payloads, and who has published those that carry more."""
    return [(bytes(each.payload), getattr(each.payload, "info", None)) for each in entries]


@pytest.mark.parametrize("kind", range(3))
def test_values_that_carry_more(kind: int) -> None:
    """The value inside is encoded, once, and what came with it is at its payload; on a wire there is no difference."""
    keep, encode = keeps()[kind]
    log = log_of(keep, Wrapped("abc"))
    [payload] = [entry.payload for entry in log.entries()]
    assert isinstance(payload, MarkedPayload)
    assert (payload, payload.tags, payload.info) == (b"abc", TAGS, "ada")
    assert payloads(log.read(0, Telling())) == [b"abc"]
    assert log.read(0, Telling()) == log_of(keeps()[kind][0], "abc").read(0, Telling())
    assert (encode.asked, log.size) == ({"abc": 1}, 3)


@pytest.mark.parametrize("kind", range(3))
def test_plain_values_stay_plain(kind: int) -> None:
    """A value that carries nothing is a payload of plain bytes, whatever came before."""
    log = log_of(keeps()[kind][0], Wrapped("abc"), "axy")
    assert type(log.newest()[-1].payload) is bytes
    assert log.newest()[-1].payload == b"axy"


def test_table_looks_inside() -> None:
    """A row is that of the value inside: plain values, marked ones and removals meet in it."""
    log = log_of(keeps()[2][0], "a1", Wrapped("a2"), Wrapped("b1"), Wrapped("c1"), "b2", Removed("c"))
    assert marks(log.entries()) == [(b"a2", "ada"), (b"b2", None)]


@pytest.mark.parametrize("kind", range(3))
def test_what_cannot_be_encoded_inside(kind: int) -> None:
    """A value that can change and fails to encode, or to open, fails where it is appended; nothing was appended."""
    keep, _ = keeps()[kind]
    log = log_of(keep, Wrapped("good"))
    with pytest.raises(ValueError, match="cannot encode bad"):
        log.append(Wrapped("bad"), 2, 0.0)
    with pytest.raises(ValueError, match="cannot open x"):
        log.append(Wrapped("x", is_wrong=True), 2, 0.0)
    assert [entry.payload for entry in log.entries()] == [b"good"]
    assert log.head == 1
