"""How often a client may send."""


class Rate:
    """A token bucket that holds one second's worth.

    Args:
        per_second: How many events may pass in a second.
        now: The time, in seconds of any clock that does not go back.
    """

    __slots__ = ("_at", "_per_second", "_tokens")

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._tokens = max(per_second, 1.0)
        self._at = now

    def admits(self, now: float, events: int = 1) -> bool:
        """Return whether so many more events may pass at ``now``; if so, they count. They pass together or not at all.

        Args:
            now: The time.
            events: The number of events.
        """
        most = max(self._per_second, 1.0)
        self._tokens = min(self._tokens + (now - self._at) * self._per_second, most)
        self._at = now
        if self._tokens < events:
            return False
        self._tokens -= events
        return True
