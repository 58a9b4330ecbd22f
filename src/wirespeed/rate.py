"""Limits on how often a client may send."""


class Rate:
    """A token bucket that holds the events of one second.

    Args:
        now: Time in seconds of any clock that does not go backwards.
    """

    __slots__ = ("_at", "_per_second", "_tokens")

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._tokens = max(per_second, 1.0)
        self._at = now

    def admits(self, now: float, events: int = 1) -> bool:
        """Let some events pass, all of them or none. Return True if they passed, and count them."""
        most = max(self._per_second, 1.0)
        self._tokens = min(self._tokens + (now - self._at) * self._per_second, most)
        self._at = now
        if self._tokens < events:
            return False
        self._tokens -= events
        return True
