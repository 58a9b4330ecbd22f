"""Presence: which clients are subscribed to what, where that is to be told."""

from typing import Protocol, runtime_checkable

from ..centrifuge.messages import ClientInfo


@runtime_checkable
class Member(Protocol):
    """A subscription of a client."""

    info: ClientInfo

    def joined(self, info: ClientInfo) -> None:
        """Somebody has come, or this one itself."""

    def left(self, info: ClientInfo) -> None:
        """Somebody else has gone."""


class Presence:
    """The members of each key, in the order in which they came."""

    def __init__(self) -> None:
        self._members: dict[str, dict[Member, None]] = {}

    def join(self, name: str, member: Member) -> None:
        """A client has come; all are told, itself included."""
        members = self._members.setdefault(name, {})
        members[member] = None
        for each in list(members):
            each.joined(member.info)

    def leave(self, name: str, member: Member) -> None:
        """A client has gone; the others are told. Nothing happens if it was not there."""
        members = self._members.get(name, {})
        if member not in members:
            return
        del members[member]
        if not members:
            del self._members[name]
        for each in list(members):
            each.left(member.info)

    def members(self, name: str) -> list[ClientInfo]:
        """Who is there."""
        return [each.info for each in self._members.get(name, ())]
