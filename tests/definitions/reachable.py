"""A connection that can be reached, and takes note of it."""

import threading
from typing import Any

from wirespeed.identity import Sender


class Connection:
    """A connection that takes note of what is done to it, and in which thread."""

    def __init__(self, client: str, user: str = "") -> None:
        self.sender = Sender(user=user, client=client)
        self.done: list[tuple[Any, ...]] = []
        self.threads: set[int] = set()

    def _note(self, *done: Any) -> None:
        self.done.append(done)
        self.threads.add(threading.get_ident())

    def tell(self, data: bytes) -> None:
        """Sends a message."""
        self._note("tell", data)

    def disconnect(self, code: int, reason: str) -> None:
        """Closes the connection."""
        self._note("disconnect", code, reason)

    def channels(self) -> list[str]:
        """What it is subscribed to."""
        return ["a", "/b"]

    def subscribe(self, channel: str, data: bytes) -> None:
        """Subscribes it to a channel."""
        self._note("subscribe", channel, data)

    def unsubscribe(self, channel: str) -> None:
        """Ends its subscription to a channel."""
        self._note("unsubscribe", channel)

    def refresh(self, expires_at: float | None) -> None:
        """Says until when it may stay."""
        self._note("refresh", expires_at)
