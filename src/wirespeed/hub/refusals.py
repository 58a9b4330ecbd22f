"""Refusals of clients: counted, and logged at a rate that a flood of refusals cannot exceed."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from ..isolation import Lines

logger = logging.getLogger("wirespeed")


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
