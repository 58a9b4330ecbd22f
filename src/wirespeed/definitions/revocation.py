"""Revocations: which clients they end, and their outcomes."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, Protocol

from ..identity import Identity


class Criteria(NamedTuple):
    """The clients that a revocation ends; None for any."""

    user: str | None = None
    session: str | None = None
    name: str | None = None
    """Name of a feed or topic at the hub, or the title of a stream or call."""
    key: str | None = None
    """Name of one of its keys at the hub."""

    @property
    def size(self) -> int:
        """Number of characters of all texts."""
        return sum(len(each or "") for each in self)

    def fits(self, identity: Identity) -> bool:
        """Return True if a client with an identity is one of them."""
        return self.user in (None, identity.user) and self.session in (None, identity.session)

    def covers(self, place: str) -> bool:
        """Return True if they include the clients at a place: at the name of a key, or the title of a stream."""
        if self.key is not None or self.name is None:
            return self.key in (None, place)
        return place == self.name or place.startswith(f"{self.name}?")


class Revocable(Protocol):
    """Something that was admitted for a client."""

    @property
    def place(self) -> str:
        """Name of the key, or title of the stream; empty if it may be at many."""

    def ends(self, criteria: Criteria) -> Iterable[Callable[[], None]]:
        """Return a function for each part that criteria fit, or for the whole: it ends it.

        What watches is stopped by then: the functions are called soon, and others may publish before.
        """


class Revocation:
    """The outcome of :meth:`live.revoke() <wirespeed.Live.revoke>`: the number of connections and subscriptions ended.

    Await it, or call :meth:`result` in a thread. A failure is logged, whether or not either is done.
    """

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: concurrent.futures.Future[int] = concurrent.futures.Future()

    def done(self) -> bool:
        """Return whether the outcome is known."""
        return self._future.done()

    def result(self, timeout: float | None = None) -> int:
        """Wait for the number, in a thread that is not the event loop's.

        Args:
            timeout: Maximum time to wait, in seconds.

        Raises:
            TimeoutError: The time is over; the revocation goes on.
            BrokerDown: Some processes have not confirmed that they have ended their clients. Those of this process
                have been ended.
            BacklogFull: Too many revocations wait for the other processes. The clients of this one have been ended.
        """
        return self._future.result(timeout)

    def __await__(self) -> Generator[Any, None, int]:
        """Wait for the number; raise as :meth:`result` does. Cancelling the wait has no effect on the revocation."""
        return asyncio.shield(asyncio.wrap_future(self._future)).__await__()


def settle_revocation(revocation: Revocation, ended: int, error: Exception | None = None) -> None:
    """Set the outcome of a revocation."""
    if error is None:
        revocation._future.set_result(ended)
    else:
        revocation._future.set_exception(error)
