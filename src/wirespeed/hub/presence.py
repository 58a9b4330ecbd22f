"""Presence: the clients that are subscribed to a key, and the news of those that come and go."""

from collections import Counter
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

from ..centrifuge.codec import Codec
from ..centrifuge.messages import ClientInfo, JoinPush, LeavePush
from ..isolation import for_each
from ..lanes.outlet import LIMIT, Outlet
from .clock import Clock

BATCH = 32
"""Members that are told at once, before it is another turn of the clock."""


@runtime_checkable
class Member(Protocol):
    """A subscription of a client."""

    info: ClientInfo

    @property
    def channel(self) -> str:
        """The channel, as the client spells it."""

    @property
    def codec(self) -> Codec:
        """The format of its connection."""

    @property
    def outlet(self) -> Outlet:
        """The way to its client."""


class _News(NamedTuple):
    """One member has come or gone."""

    kind: type[JoinPush] | type[LeavePush]
    info: ClientInfo


class _Group:
    """The members of one key, and the news that they have not been told; a turn of the clock tells all of it.

    Members that do not read lose news, as it would pile up otherwise.
    """

    def __init__(self) -> None:
        self.members: dict[Member, int] = {}
        """With the number of the first news that each is told: its own coming."""
        self.clients: Counter[str] = Counter()
        self.users: Counter[str] = Counter()
        """The number of members of each client and user: any client may ask for the counts, as often as it likes."""
        self._news: list[_News] = []
        self._count = 0
        self._telling: list[_News] = []
        self._first = 0
        self._pending: list[Member] = []
        self._encoded: dict[tuple[Codec, str], list[bytes]] = {}
        self._joined: dict[tuple[Codec, str], list[tuple[bytes, int]]] = {}

    def join(self, member: Member, clock: Clock | None) -> None:
        self.members[member] = self._count
        self.clients[member.info.client] += 1
        self.users[member.info.user] += 1
        self._tell(_News(JoinPush, member.info), clock)

    def leave(self, member: Member, clock: Clock | None) -> None:
        del self.members[member]
        for counter, name in ((self.clients, member.info.client), (self.users, member.info.user)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
        self._tell(_News(LeavePush, member.info), clock)

    def _tell(self, news: _News, clock: Clock | None) -> None:
        if clock is None or not self.members:
            return
        self._count += 1
        self._news.append(news)
        if len(self._news) == 1:
            clock.wake(self)

    # What the clock calls

    def begin(self) -> None:
        """Take the news so far; what comes from now on is for the next turn."""
        while self._pending:  # a flush begins a turn before the last one is done
            self.step()
        self._telling, self._news = self._news, []
        self._first = self._count - len(self._telling)
        self._pending = list(self.members)[::-1]
        self._encoded, self._joined = {}, {}

    def step(self) -> bool:
        """Tell some members; return whether there are more."""
        some = [self._pending.pop() for _ in range(min(BATCH, len(self._pending)))]
        for_each(some, self._serve, lambda member, error: member.outlet.failed(error))
        return bool(self._pending)

    def _serve(self, member: Member) -> None:
        if member not in self.members:
            return
        since = self.members[member] - self._first
        format_ = member.codec, member.channel
        if format_ not in self._encoded:
            pushes = [member.codec.push(each.kind(member.channel, each.info)) for each in self._telling]
            self._encoded[format_], self._joined[format_] = pushes, _in_pieces(pushes)
        pieces = self._joined[format_] if since <= 0 else _in_pieces(self._encoded[format_][since:])
        for piece, count in pieces:
            if not member.outlet.offer(piece, count):
                return


def _in_pieces(pushes: list[bytes]) -> list[tuple[bytes, int]]:
    """Join pushes to pieces that an outlet has room for, with the number of pushes in each."""
    pieces: list[tuple[bytes, int]] = []
    at = size = 0
    for number, push in enumerate(pushes):
        if size and size + len(push) > LIMIT:
            pieces.append((b"".join(pushes[at:number]), number - at))
            at, size = number, 0
        size += len(push)
    if at < len(pushes):
        pieces.append((b"".join(pushes[at:]), len(pushes) - at))
    return pieces


class Presence:
    """The members of each key, in the order in which they came."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def join(self, name: str, member: Member, clock: Clock | None = None) -> None:
        """Add a member.

        Args:
            name: The key.
            member: The member.
            clock: When all members, itself included, are told of it; None if they are not.
        """
        self._groups.setdefault(name, _Group()).join(member, clock)

    def leave(self, name: str, member: Member, clock: Clock | None = None) -> None:
        """Remove a member, and tell the others; do nothing if it is not there. Takes what :meth:`join` takes."""
        group = self._groups.get(name)
        if group is None or member not in group.members:
            return
        group.leave(member, clock)
        if not group.members:
            del self._groups[name]

    def counts(self, name: str) -> tuple[int, int]:
        """Return how many clients and how many users a key has."""
        group = self._groups.get(name)
        return (0, 0) if group is None else (len(group.clients), len(group.users))

    def members(self, name: str, most: int | None = None) -> list[ClientInfo]:
        """Return the members of a key, at most so many."""
        group = self._groups.get(name)
        return [] if group is None else [each.info for each in islice(group.members, most)]
