"""What clients were refused: counted, and logged so that a flood of refusals cannot flood the log."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from ..rate import Rate

logger = logging.getLogger("wirespeed")

LINES_PER_SECOND = 1.0
"""Most lines per second about one reason."""


class Refusals:
    """The counts of refusals by their reason, and a log of some of them.

    Args:
        clock: Seconds of a clock that does not go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.counts: Counter[str] = Counter()
        self._rates: dict[str, Rate] = {}
        self._silent: Counter[str] = Counter()

    def note(
        self, reason: str, about: str = "", said: str = "", level: int = logging.INFO, times: int = 1, *, line: str = ""
    ) -> None:
        """Count a refusal, and log it unless there were too many lines about its reason.

        Args:
            reason: A word or two, the same for all of a kind.
            about: The path, channel or method that the client asked for; may be any text of the client's.
            said: What the client is told, or what the operator should know.
            level: The level of the line.
            times: The number of messages or commands.
            line: A line in place of the usual one.
        """
        self.counts[reason] += times
        if not logger.isEnabledFor(level):
            return
        now = self._clock()
        rate = self._rates.get(reason)
        if rate is None:
            rate = self._rates[reason] = Rate(LINES_PER_SECOND, now)
        if not rate.admits(now):
            self._silent[reason] += 1
            return
        silent = self._silent.pop(reason, 0)
        subject = f"{about!r}: " if about else ""
        more = f" ({silent} more since the last line)" if silent else ""
        told = f": {said}" if said and said != reason else ""
        logger.log(level, "%s%s", line or f"{subject}refused: {reason}{told}", more)
