"""Members: the clients that are subscribed to a key, with announcements of those that join and leave."""

from collections import Counter
from collections.abc import Callable, Hashable
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

from ..identity import Sender
from ..isolation import for_each
from ..lanes.outlet import LIMIT, Outlet
from .clock import Clock

MOST_ANSWERS = 8 * 1024 * 1024
"""Bytes of answers to who is present that are kept; beyond it, the oldest ones go."""

BATCH = 32
"""Members that are notified at once, before it is another turn of the clock."""

ANNOUNCED = 4096
"""Announcements that are made at once, for all of these members together."""

_STYLES = 8
"""Styles whose announcements are kept during a turn. Clients choose how they spell a channel: each may do it alone."""


@runtime_checkable
class Member(Protocol):
    """A client's subscription to a key."""

    sender: Sender

    @property
    def outlet(self) -> Outlet:
        """The way to its client."""

    @property
    def style(self) -> tuple[Hashable, Hashable]:
        """The format of its announcements, and the address in them: members of equal style share the bytes."""

    def announcement(self, sender: Sender, *, joins: bool) -> bytes:
        """Return the message that a client joins or leaves, in the member's format and without an address."""

    def addressing(self) -> Callable[[bytes], bytes]:
        """Return the function that adds the member's address to an announcement."""

    def painted_age(self) -> float | None:
        """Return the seconds for which the oldest value that was sent has not been painted; None if unknown."""


class _Event(NamedTuple):
    """A member joins or leaves."""

    sender: Sender
    joins: bool


class _Styled(NamedTuple):
    """The announcements of a turn, in one style."""

    messages: list[bytes]
    pieces: list[tuple[bytes, int]]
    """All of them, joined."""


class _Group:
    """The members of one key, and the events that they have not heard of; a turn of the clock announces all of them.

    A member that does not read loses announcements, as they would pile up otherwise.
    """

    def __init__(self) -> None:
        self.members: dict[Member, int] = {}
        """Each member with the number of the first event that it hears of: its own joining."""
        self.clients: Counter[str] = Counter()
        self.users: Counter[str] = Counter()
        """Number of members of each client and user: any client may ask for the counts, as often as it likes."""
        self.announces = False
        self._events: list[_Event] = []
        self._count = 0
        self._announced: list[_Event] = []
        self._first = 0
        self._pending: list[Member] = []
        self._encoded: dict[Hashable, list[bytes]] = {}
        """The announcements of this turn in each format, without an address."""
        self._styled: dict[Hashable, _Styled] = {}

    def join(self, member: Member, clock: Clock | None) -> None:
        self.announces = clock is not None
        self.members[member] = self._count
        self.clients[member.sender.client] += 1
        self.users[member.sender.user] += 1
        self.note(member.sender, clock, joins=True)

    def leave(self, member: Member, clock: Clock | None) -> None:
        del self.members[member]
        for counter, name in ((self.clients, member.sender.client), (self.users, member.sender.user)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
        self.note(member.sender, clock, joins=False)

    def note(self, sender: Sender, clock: Clock | None, *, joins: bool) -> None:
        """Note that a client has joined or left, in this process or another."""
        if clock is None or not self.members:
            return
        self._count += 1
        self._events.append(_Event(sender, joins))
        if len(self._events) == 1:
            clock.wake(self)

    # Called by the clock

    def begin(self) -> None:
        """Take the events so far; later ones belong to the next turn."""
        while self._pending:  # a flush begins a turn before the last one is done
            self.step()
        self._announced, self._events = self._events, []
        self._first = self._count - len(self._announced)
        self._pending = list(self.members)[::-1]

    def step(self) -> bool:
        """Notify some members; return whether there are more."""
        most = min(BATCH, max(ANNOUNCED // max(len(self._announced), 1), 1))
        some = [self._pending.pop() for _ in range(min(most, len(self._pending)))]
        for_each(some, self._serve, lambda member, error: member.outlet.failed(error))
        if not self._pending:
            self._announced, self._encoded, self._styled = [], {}, {}
        return bool(self._pending)

    def _serve(self, member: Member) -> None:
        if member not in self.members or not member.outlet.writable():
            return
        since = self.members[member] - self._first
        styled = self._styled.get(member.style) or self._style(member)
        pieces = styled.pieces if since <= 0 else _in_pieces(styled.messages[since:])
        for piece, count in pieces:
            if not member.outlet.offer(piece, count):
                return

    def _style(self, member: Member) -> _Styled:
        """Return the announcements in the style of a member."""
        format_, _ = member.style
        if format_ not in self._encoded:
            self._encoded[format_] = [member.announcement(each.sender, joins=each.joins) for each in self._announced]
        messages = list(map(member.addressing(), self._encoded[format_]))
        styled = _Styled(messages, _in_pieces(messages))
        if len(self._styled) >= _STYLES:
            del self._styled[next(iter(self._styled))]
        self._styled[member.style] = styled
        return styled


def _in_pieces(messages: list[bytes]) -> list[tuple[bytes, int]]:
    """Join messages into pieces that fit into an outlet; return each with its number of messages."""
    pieces: list[tuple[bytes, int]] = []
    at = size = 0
    for number, message in enumerate(messages):
        if size and size + len(message) > LIMIT:
            pieces.append((b"".join(messages[at:number]), number - at))
            at, size = number, 0
        size += len(message)
    if at < len(messages):
        pieces.append((b"".join(messages[at:]), len(messages) - at))
    return pieces


class OnChange(Protocol):
    """Called for a client that has joined a key with its first subscription, or left it with its last one."""

    def __call__(self, name: str, sender: Sender, *, joins: bool, is_announced: bool) -> None:
        """Note the change; it is announced if the members of the key hear of each other."""


class Members:
    """The members of each key in this process, in the order in which they joined."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._answers: dict[str, dict[Hashable, bytes]] = {}
        """The answers to who is present in each format, of the keys whose members have not changed since."""
        self._size = 0
        """Bytes of these answers."""
        self._parts = False
        self._on_change: OnChange | None = None

    def join(self, name: str, member: Member, clock: Clock | None = None) -> None:
        """Add a member.

        Args:
            clock: The clock by which all members, the new one included, hear of it; None if they do not.
        """
        self._forget(name)
        group = self._groups.setdefault(name, _Group())
        group.join(member, clock)
        if self._on_change is not None and group.clients[member.sender.client] == 1:
            self._on_change(name, member.sender, joins=True, is_announced=clock is not None)

    def leave(self, name: str, member: Member, clock: Clock | None = None) -> None:
        """Remove a member, and announce it; do nothing if it is not there. The arguments are those of :meth:`join`."""
        group = self._groups.get(name)
        if group is None or member not in group.members:
            return
        self._forget(name)
        if self._parts:
            clock = None
        group.leave(member, clock)
        if not group.members:
            del self._groups[name]
        if self._on_change is not None and not self._parts and member.sender.client not in group.clients:
            self._on_change(name, member.sender, joins=False, is_announced=clock is not None)

    def share(self, on_change: OnChange | None) -> None:
        """Let other processes know of all changes from now on, or not any more."""
        self._on_change = on_change
        self._parts = False

    def part(self) -> None:
        """Note that all members of this process are about to leave, because it stops.

        If there are other processes, they are to join there, and must not appear to leave before.
        """
        self._parts = self._on_change is not None

    def announce(self, name: str, sender: Sender, clock: Clock, *, joins: bool) -> None:
        """Announce a client that has joined or left in another process."""
        group = self._groups.get(name)
        if group is not None and group.announces:
            group.note(sender, clock, joins=joins)

    def may_announce(self, name: str) -> bool:
        """Return False if the members of a key do not hear of each other, as far as this process knows."""
        return name not in self._groups or self._groups[name].announces

    def names(self) -> list[str]:
        """Return the keys with members."""
        return list(self._groups)

    def counts(self, name: str) -> tuple[int, int]:
        """Return how many clients and how many users a key has."""
        group = self._groups.get(name)
        return (0, 0) if group is None else (len(group.clients), len(group.users))

    def answer(self, name: str, style: Hashable, encode: Callable[[], bytes]) -> bytes:
        """Return the answer to who is present in a format: all that ask share it until a member changes."""
        answer = self._answers.get(name, {}).get(style)
        if answer is None:
            answer = encode()
            if name in self._groups:
                self._answers.setdefault(name, {})[style] = answer
                self._size += len(answer)
                while self._size > MOST_ANSWERS:
                    self._forget(next(iter(self._answers)))
        return answer

    def _forget(self, name: str) -> None:
        self._size -= sum(map(len, self._answers.pop(name, {}).values()))

    def senders(self, name: str, most: int | None = None) -> list[Sender]:
        """Return the members of a key as others see them, at most ``most``."""
        group = self._groups.get(name)
        return [] if group is None else [each.sender for each in islice(group.members, most)]
