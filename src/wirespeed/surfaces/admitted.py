"""Clients that were admitted: their identities, and their ends by a revocation or with their sessions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException

from ..definitions import Criteria, Stream, Subscribed, Watched
from ..hub import Hub
from ..identity import ANONYMOUS, Identity
from .refusals import mark_counted

IDENTITY = "wirespeed.identity"
_SINCE = "wirespeed.since"
"""Count of revocations before the guards of a client run, in its scope."""

REVOKED = "Access was revoked."


def mark(hub: Hub, scope: MutableMapping[str, Any]) -> None:
    """Note in a scope how many revocations there were before its guards run."""
    scope[_SINCE] = hub.sessions.admissions.count


def identity_in(scope: Mapping[str, Any]) -> Identity:
    """Return the identity that a client's guards have found; anonymous if they have not looked for one."""
    found = scope.get(IDENTITY)
    return found if isinstance(found, Identity) else ANONYMOUS


def check_revoked(hub: Hub, scope: MutableMapping[str, Any], place: str) -> None:
    """Refuse a client whose access was revoked after its guards had begun.

    Raises:
        HTTPException: 403.
    """
    admissions = hub.sessions.admissions
    if admissions.is_revoked(scope.get(_SINCE, admissions.count), identity_in(scope), place):
        hub.refused("revoked", scope["path"])
        mark_counted(scope)
        raise HTTPException(403, REVOKED)


class Admitted(ABC):
    """One connection that serves one client of one definition."""

    __slots__ = ()

    identity: Identity
    """Identity of the client, as its guards have found it."""

    @property
    def place(self) -> str:
        """Name of the key that the client watches, or title of the stream; empty if it may be at many."""
        return self.definition.title if isinstance(self.definition, Stream) else ""

    @property
    def definition(self) -> Stream | Watched[Any, Any] | None:
        """Definition that the client was admitted to; None if there may be many."""
        return None

    def lag(self) -> int | None:
        """Return the number of entries that the client has not got; None if it does not watch a key."""
        return None

    def subscribed(self) -> list[Subscribed]:
        """Return what the client gets, without a channel: the path of the connection stands for it."""
        definition = self.definition
        return [] if definition is None else [Subscribed("", definition.kind, self.lag())]

    @abstractmethod
    async def close(self, code: int, reason: str) -> None:
        """Close the connection, and wait until it has ended."""

    @abstractmethod
    def refuse(self, status: int, detail: Any) -> None:
        """End the connection from any task: the client may not stay."""

    def stop(self) -> None:
        """Write nothing that is published from now on: the connection ends soon. By default, nothing is."""

    def ends(self, criteria: Criteria) -> list[Callable[[], None]]:
        """Stop the watch, and return a function that ends the connection, if criteria fit it."""
        if not (criteria.fits(self.identity) and criteria.covers(self.place)):
            return []
        self.stop()  # at once, however many connections end before this one
        return [partial(self.refuse, 403, REVOKED)]

    def admit(self, hub: Hub, scope: MutableMapping[str, Any]) -> None:
        """Take note that the guards of the client have admitted it.

        Raises:
            HTTPException: 403, that was revoked while they ran.
        """
        check_revoked(hub, scope, self.place)
        admissions = hub.sessions.admissions
        admissions.enter(self)
        if self.identity is not ANONYMOUS:
            if (connection := hub.sessions.connection(self)) is not None:
                connection.user = self.identity.user
            admissions.note(self, self.identity)
            admissions.expire(self, self.identity.expires_at, self.refuse)
