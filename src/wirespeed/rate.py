"""How often a client may send."""


class Rate:
    """A token bucket that holds one second's worth.

    Args:
        per_second: How many events may pass in a second.
        now: The time, in seconds of any clock that does not go back.
    """

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._tokens = max(per_second, 1.0)
        self._at = now

    def admits(self, now: float) -> bool:
        """Whether one more event may pass at ``now``; if so, it counts."""
        gained = (now - self._at) * self._per_second
        self._tokens = min(self._tokens + gained, max(self._per_second, 1.0))
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
