"""Refusals of clients: counted, and logged at a rate that a flood of refusals cannot exceed."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable

from ..rate import Rate

logger = logging.getLogger("wirespeed")

LINES_PER_SECOND = 1.0
"""Most lines per second about one reason."""


class Lines:
    """The rate of log lines, for each of several kinds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rates: dict[Hashable, Rate] = {}
        self._silent: Counter[Hashable] = Counter()

    def next(self, kind: Hashable) -> str | None:
        """Return the end of the next line of a kind; None if there are too many lines of its kind."""
        now = self._clock()
        rate = self._rates.get(kind)
        if rate is None:
            rate = self._rates[kind] = Rate(LINES_PER_SECOND, now)
        if not rate.admits(now):
            self._silent[kind] += 1
            return None
        silent = self._silent.pop(kind, 0)
        return f" ({silent} more since the last line)" if silent else ""


class Refusals:
    """The counts of refusals by their reason, and a log of some of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._lines = Lines(clock)

    def note(
        self, reason: str, about: str = "", said: str = "", level: int = logging.INFO, times: int = 1, *, line: str = ""
    ) -> None:
        """Count a refusal, and log it unless there were too many lines about its reason.

        Args:
            reason: A word or two, the same for all of a kind.
            about: The path, channel or method that the client asked for; may be any text of the client's.
            said: The message to the client, or a note for the operator.
        """
        self.counts[reason] += times
        if not logger.isEnabledFor(level):
            return
        more = self._lines.next((reason, level))
        if more is None:
            return
        subject = f"{about!r}: " if about else ""
        reason_given = f": {said}" if said and said != reason else ""
        logger.log(level, "%s%s", line or f"{subject}refused: {reason}{reason_given}", more)
