"""Positions: places in a log that a client can resume from."""

import re
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import NamedTuple, Self

_TEXT = re.compile(r"([A-Za-z0-9]{1,32}):([0-9]{1,18})")


class Position(NamedTuple):
    """The place after an entry; its text, ``epoch:offset``, is given to clients.

    Args:
        epoch: Name of the life of the log; up to 32 ASCII letters and digits.
        offset: Number of the entry; the first one has 1 or more, and 0 is before it.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the position of a text.

        Raises:
            ValueError: It is not the text of a position.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"not a position of the form epoch:offset: {text[:60]!r}")
        return cls(match[1], int(match[2]))


class Unchanged(Position):
    """Position of a publication that has changed nothing: the removal of a row that does not exist."""

    __slots__ = ()


def positions(epoch: str, first: int, last: int) -> Iterator[Position]:
    """Return the positions from offset ``first`` to ``last``, both included."""
    # Half the time of calling the class for each: there is one per entry that is sent.
    return map(partial(tuple.__new__, Position), zip(repeat(epoch), range(first, last + 1), strict=False))
