"""What watchers were given, counted as it happens."""


class Figures:
    """What the watchers of one feed or topic were given so far, counted as it happens."""

    __slots__ = ("bytes", "delivered", "failed", "flush_time", "flushes", "lost", "published", "restarts", "skipped")

    def __init__(self) -> None:
        self.published = self.delivered = self.skipped = self.lost = self.bytes = self.flushes = 0
        self.restarts = self.failed = 0
        self.flush_time = 0.0
