"""Mishaps: the last errors of keys and definitions, for operators. Nothing is written while all goes well."""

import time
from collections import OrderedDict, deque
from typing import NamedTuple

from ..isolation import one_line

MOST = 5
"""Errors that are remembered of one place."""
MOST_PLACES = 1000
"""Places with errors; beyond it, the one whose last error is the oldest is forgotten."""


class Mishap(NamedTuple):
    """One error."""

    at: float
    """Unix time in seconds."""
    text: str
    """Type and message of the error, on one line."""


class Mishaps:
    """The last errors of each place: of a key by its name, or of a definition by its title."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, deque[Mishap]] = OrderedDict()

    def note(self, place: str, error: BaseException) -> None:
        if place not in self._places:
            if len(self._places) >= MOST_PLACES:
                self._places.popitem(last=False)
            self._places[place] = deque(maxlen=MOST)
        self._places[place].append(Mishap(time.time(), one_line(error)))
        self._places.move_to_end(place)

    def of(self, *places: str) -> list[Mishap]:
        """Return the last errors of some places together, the newest first."""
        return sorted((each for place in places for each in self._places.get(place, ())), reverse=True)[:MOST]
