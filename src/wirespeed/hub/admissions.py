"""Admissions: the connections of each user and session, and the revocations that end them."""

import time
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable, Iterator

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
    """

    def __init__(self) -> None:
        self.count = 0
        self._recent: deque[Criteria] = deque(maxlen=MOST_RECENT)
        self._holders: dict[tuple[str, str], dict[Revocable, None]] = {}
        self._names: dict[Revocable, set[tuple[str, str]]] = {}
        self._places: dict[str, dict[str, dict[Revocable, None]]] = {}
        """Everything that was admitted, by its place, and these by the name of the feed."""
        self._at_end: dict[Revocable, list[Callable[[], None]]] = {}

    def note(self, holder: Revocable, identity: Identity) -> None:
        """Note that a connection, or something on it, was admitted for an identity."""
        for name in _names(identity):
            self._holders.setdefault(name, {})[holder] = None
            self._names.setdefault(holder, set()).add(name)

    def enter(self, holder: Revocable) -> None:
        """Note that a connection, a subscription or a run was admitted to its place; nothing happens if it has none."""
        if holder.place:
            self._places.setdefault(_feed(holder.place), {}).setdefault(holder.place, {})[holder] = None

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
        """Forget a connection, a subscription or a run that is over."""
        self._leave(holder)
        for name in self._names.pop(holder, ()):
            holders = self._holders[name]
            del holders[holder]
            if not holders:
                del self._holders[name]
        for callback in self._at_end.pop(holder, ()):
            callback()

    def _leave(self, holder: Revocable) -> None:
        places = self._places.get(_feed(holder.place), {})
        holders = places.get(holder.place, {})
        holders.pop(holder, None)
        if not holders and places.pop(holder.place, None) is not None and not places:
            del self._places[_feed(holder.place)]

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

    def revoke(self, criteria: Criteria) -> list[Callable[[], None]]:
        """Return a function for each connection and subscription that criteria fit: it ends it."""
        self.count += 1
        self._recent.append(criteria)
        return [end for holder in self._asked(criteria) for end in holder.ends(criteria)]

    def _asked(self, criteria: Criteria) -> list[Revocable]:
        """Return what criteria may fit, without a look at anything else."""
        name = next(_names(Identity(user=criteria.user or "", session=criteria.session or "")), None)
        if name is not None:
            return list(self._holders.get(name, ()))
        places = self._places.get(_feed(criteria.name or ""), {})
        if criteria.key is not None:
            return list(places.get(criteria.key, ()))
        return [holder for place, holders in places.items() if criteria.covers(place) for holder in holders]


def _feed(place: str) -> str:
    """Return the name of a feed or topic, from that of one of its keys, or the title of a stream."""
    return place.partition("?")[0]


def _names(identity: Identity) -> Iterator[tuple[str, str]]:
    """Yield the names by which connections with an identity are found, the one of the fewest connections first."""
    if identity.session:
        yield "session", identity.session
    if identity.user:
        yield "user", identity.user
