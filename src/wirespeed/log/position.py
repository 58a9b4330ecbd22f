"""Where in a log a watcher is."""

import re
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import NamedTuple, Self

_TEXT = re.compile(r"([A-Za-z0-9]{1,32}):([0-9]{1,18})")


class Position(NamedTuple):
    """The last entry that was read; its text, ``epoch:offset``, can be handed out to clients.

    Args:
        epoch: Which life of the log; ASCII letters and digits only, at most 32.
        offset: The number of the entry; entries are numbered from 1 on, 0 is before the first.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what ``str()`` of a position gave.

        Raises:
            ValueError: It is anything else.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"not a position of the form epoch:offset: {text[:60]!r}")
        return cls(match[1], int(match[2]))


class Unchanged(Position):
    """The head of a log that a publication has left as it was: the removal of a row that is not there."""

    __slots__ = ()


def positions(epoch: str, first: int, last: int) -> Iterator[Position]:
    """The positions from offset ``first`` to ``last``, both included."""
    # Half the time of calling the class for each: there is one per entry that is sent.
    return map(partial(tuple.__new__, Position), zip(repeat(epoch), range(first, last + 1), strict=False))
