"""A multiplexed connection that records the calls of a client object."""

import threading
from typing import Any

from wirespeed.definitions import Reachable, Subscribed
from wirespeed.identity import Identity, Sender


class Connection(Reachable):
    """A connection that records each call, and the thread of the call."""

    def __init__(self, client: str, user: str = "") -> None:
        self._sender = Sender(user=user, client=client)
        self.done: list[tuple[Any, ...]] = []
        self.threads: set[int] = set()

    @property
    def sender(self) -> Sender:
        return self._sender

    def _note(self, *done: Any) -> None:
        self.done.append(done)
        self.threads.add(threading.get_ident())

    def tell(self, data: bytes) -> None:
        self._note("tell", data)

    def disconnect(self, code: int, reason: str) -> None:
        self._note("disconnect", code, reason)

    @property
    def identity(self) -> Identity:
        return Identity(user=self.sender.user)

    def subscribed(self) -> list[Subscribed]:
        return []

    def channels(self) -> list[str]:
        return ["a", "/b"]

    def subscribe(self, channel: str, data: bytes) -> None:
        self._note("subscribe", channel, data)

    def unsubscribe(self, channel: str) -> None:
        self._note("unsubscribe", channel)

    def refresh(self, expires_at: float | None) -> None:
        self._note("refresh", expires_at)
