"""The processes of a simulated network: their messages to each other, and the members that they store."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from wirespeed.brokers.cluster import Attendance, Control, MemberStore, StoredMember
from wirespeed.errors import BrokerDown

BEAT = 10.0
"""Seconds between two beats of a process."""
ALIVE = 40.0
"""Seconds after its last beat in which a process counts."""
PARTING = 10.0
"""Seconds after its orderly end in which its members count."""


class Told(NamedTuple):
    """A message from process to process."""

    sender: str
    message: bytes


class Hall:
    """The server's knowledge of the processes of an app.

    Attributes:
        alive: Time until which each process is known to live.
        present: Time until which the members of each process count.
        members: The members of each name, by process and client.
    """

    def __init__(self) -> None:
        self.alive: dict[str, float] = {}
        self.present: dict[str, float] = {}
        self.members: dict[str, dict[tuple[str, str], StoredMember]] = {}

    def beat(self, process: str, now: float, alive: float, present: float) -> tuple[bool, list[str], set[str]]:
        """Note that a process lives; return whether it was known, and which live and count."""
        self.look(now)
        is_known = process in self.present
        self.alive[process], self.present[process] = now + alive, now + present
        self.look(now)
        return is_known, list(self.alive), set(self.present)

    def look(self, now: float) -> None:
        """Forget the processes whose time is over."""
        for known in (self.alive, self.present):
            for process in [each for each, until in known.items() if until <= now]:
                del known[process]

    def put(
        self, process: str, name: str, joined: Sequence[StoredMember], left: Sequence[str], *, is_whole: bool
    ) -> None:
        """Store members of a process."""
        members = self.members.setdefault(name, {})
        for at in [at for at in members if at[0] == process and (is_whole or at[1] in left)]:
            del members[at]
        members.update({(process, each.client): each for each in joined})

    def read(self, name: str, most: int) -> Attendance:
        """Return the members that count."""
        members = self.members.get(name, {})
        here = [each for (process, _), each in members.items() if process in self.present]
        some = [each.data for each in here[:most]]
        return Attendance(len(here), len({each.user for each in here}), some, len(here) < len(members))

    def sweep(self, name: str) -> list[bytes]:
        """Remove the members that do not count."""
        members = self.members.get(name, {})
        return [members.pop(at).data for at in list(members) if at[0] not in self.present]


class Messages(Protocol):
    """The broker of a process, and its way to the server."""

    async def request(self, operation: Callable[[], Any]) -> Any:
        """Perform an operation at the server."""

    def send_to(self, process: str | None, message: Told) -> None:
        """Send a message to one process, or to all others."""

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something until the broker is left."""


class SimulatedControl(Control):
    """The way of one process to the others."""

    def __init__(self, broker: Messages, hall: Hall, process: str) -> None:
        self.process = process
        self.receive = lambda *_: None
        self.beaten = lambda *_: None
        self._broker = broker
        self._hall = hall
        self._before: set[str] = set()

    def tell(self, message: bytes, process: str | None = None) -> None:
        self._broker.send_to(process, Told(self.process, message))

    async def processes(self) -> Collection[str]:
        return await self.beat()

    async def beat(self, alive: float = ALIVE, present: float = ALIVE) -> list[str]:
        """Announce that this process lives."""
        now = asyncio.get_running_loop().time()
        before = self._before
        beat = partial(self._hall.beat, self.process, now, alive, present)
        living: list[str]
        is_known, living, self._before = await self._broker.request(beat)
        if alive:
            self.beaten(is_known, not before <= self._before)
        return living

    async def beats(self) -> None:
        """Announce it again and again."""
        while True:
            try:
                await self.beat()
            except BrokerDown:
                await asyncio.sleep(1)
            else:
                await asyncio.sleep(BEAT)


class SimulatedMembers(MemberStore):
    """The members, as one process sees them."""

    def __init__(self, broker: Messages, hall: Hall, process: str) -> None:
        self._broker = broker
        self._hall = hall
        self._process = process

    async def put(
        self, name: str, joined: Sequence[StoredMember], left: Sequence[str], *, is_whole: bool = False
    ) -> None:
        await self._broker.request(lambda: self._hall.put(self._process, name, joined, left, is_whole=is_whole))

    async def read(self, name: str, most: int) -> Attendance:
        found: Attendance = await self._at(lambda: self._hall.read(name, most))
        return found

    async def sweep(self, name: str) -> Sequence[bytes]:
        gone: list[bytes] = await self._at(lambda: self._hall.sweep(name))
        return gone

    async def _at(self, operation: Callable[[], Any]) -> Any:
        def perform() -> Any:
            self._hall.look(asyncio.get_running_loop().time())
            return operation()

        return await self._broker.request(perform)
