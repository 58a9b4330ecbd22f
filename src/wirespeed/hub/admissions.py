"""Admissions: the connections of each user and session, and the revocations that end them."""

import time
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ..definitions import Criteria, Revocable
from ..identity import Identity

MOST_RECENT = 10_000
"""Revocations that are remembered for clients whose guards still run. A client that has waited for more is refused."""

EXPIRED = "The session has expired."
_MOST_SECONDS = 1e9
"""Seconds of a timer, which no event loop finds too many."""


class Admissions:
    """The connections that clients with an identity hold, and the end of what they were admitted to.

    Attributes:
        count: Number of revocations so far. A client notes it before its guards run, and is checked against all later
            revocations when it is admitted: otherwise a revocation in between would miss it.
        others: Everything that was admitted beside connections: runs that outlive theirs.
    """

    def __init__(self) -> None:
        self.count = 0
        self.others: dict[Revocable, None] = {}
        self._recent: deque[Criteria] = deque(maxlen=MOST_RECENT)
        self._holders: dict[tuple[str, str], dict[Revocable, None]] = {}
        self._names: dict[Revocable, set[tuple[str, str]]] = {}
        self._at_end: dict[Revocable, list[Callable[[], None]]] = {}

    def note(self, holder: Revocable, identity: Identity) -> None:
        """Note that a connection, or something on it, was admitted for an identity."""
        for name in _names(identity):
            self._holders.setdefault(name, {})[holder] = None
            self._names.setdefault(holder, set()).add(name)

    def expire(self, holder: Revocable, expires_at: float | None, end: Callable[[int, str], None]) -> None:
        """End a connection when the session of its client expires.

        Args:
            expires_at: Unix time in seconds; None for never.
            end: Called with the status 401 and the reason.
        """
        if expires_at is not None:
            delay = min(max(expires_at - time.time(), 0.0), _MOST_SECONDS)
            self.at_end(holder, get_running_loop().call_later(delay, end, 401, EXPIRED).cancel)

    def at_end(self, holder: Revocable, callback: Callable[[], None]) -> None:
        """Call a function when a connection is forgotten."""
        self._at_end.setdefault(holder, []).append(callback)

    def forget(self, holder: Revocable) -> None:
        """Forget a connection that is over."""
        self.others.pop(holder, None)
        for name in self._names.pop(holder, ()):
            holders = self._holders[name]
            del holders[holder]
            if not holders:
                del self._holders[name]
        for callback in self._at_end.pop(holder, ()):
            callback()

    def is_revoked(self, since: int, identity: Identity, place: str) -> bool:
        """Return True if what a client is admitted to was revoked while its guards ran.

        Args:
            since: The count of revocations before its guards ran.
            place: The name of the key, or the title of the stream; empty for a connection.
        """
        later = self.count - since
        if not later:
            return False
        if later > len(self._recent):
            return True
        return any(each.fits(identity) and each.covers(place) for each in list(self._recent)[-later:])

    def revoke(self, criteria: Criteria, connections: Iterable[Revocable]) -> list[Callable[[], None]]:
        """Return a function for each connection and subscription that criteria fit: it ends it.

        Args:
            connections: All connections, for criteria without a user and a session.
        """
        self.count += 1
        self._recent.append(criteria)
        return list(self._ends(criteria, connections))

    def _ends(self, criteria: Criteria, connections: Iterable[Revocable]) -> Iterator[Callable[[], None]]:
        name = next(_names(Identity(user=criteria.user or "", session=criteria.session or "")), None)
        for holder in list(chain(connections, self.others) if name is None else self._holders.get(name, ())):
            yield from holder.ends(criteria)


def _names(identity: Identity) -> Iterator[tuple[str, str]]:
    """Yield the names by which connections with an identity are found, the one of the fewest connections first."""
    if identity.session:
        yield "session", identity.session
    if identity.user:
        yield "user", identity.user
