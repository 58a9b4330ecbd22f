"""Contracts for what processes share beside logs: messages to each other, and the members of each log."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple


class Control(ABC):
    """Carries small messages between the processes of an app, each at most once.

    Attributes:
        process: Random name of this process.
        receive: Called in the event loop with the sender's name and each message; the hub sets it. A process that does
            not set it, such as one that only publishes, does not announce itself to the others.
        beaten: Called in the event loop when the broker has noted that this process is alive, at most 60 seconds apart
            while it can be reached, with two flags: True if the broker has what this process has stored as members, as
            far as it knows; and True if the members of another process have ceased to count. The hub sets it.
    """

    process: str
    receive: Callable[[str, bytes], None]
    beaten: Callable[[bool, bool], None]

    @abstractmethod
    def tell(self, message: bytes, process: str | None = None) -> None:
        """Send a message to one process, or to all others. It never waits; a process that is gone gets nothing.

        Raises:
            BrokerDown: The broker cannot be reached, or takes no more messages now.
        """

    @abstractmethod
    async def processes(self) -> Collection[str]:
        """Return the names of the processes that are alive, this one included.

        A process that stops in an orderly way is not alive any more; one that is killed counts for up to 60 seconds.

        Raises:
            BrokerDown: The broker cannot be reached.
        """


class StoredMember(NamedTuple):
    """A member of a log, as the broker stores it."""

    client: str
    """Id of the client, which no other client of any process has."""
    user: str
    """User of the client; empty if it is anonymous."""
    data: bytes
    """Anything else about the client."""


class Attendance(NamedTuple):
    """The members of a log in all processes, as of one moment."""

    clients: int
    """Number of clients."""
    users: int
    """Number of different users."""
    some: Sequence[bytes]
    """The data of clients, as many as were asked for at most."""
    has_dead: bool = False
    """True if members of processes that have died are stored, too; they are not part of the other figures."""


class MemberStore(ABC):
    """The members of each log, as the processes of an app have stored them.

    Each process stores its own members. They count as long as the process lives. Those of a process that was killed
    count for 60 seconds at most. Those of a process that stops in an orderly way count for some 10 seconds more, in
    which its clients have time to join elsewhere. A broker that has this has a :class:`Control` as well.
    """

    @abstractmethod
    async def put(
        self, name: str, joined: Sequence[StoredMember], left: Sequence[str], *, is_whole: bool = False
    ) -> None:
        """Store members of this process.

        What is stored of a name is forgotten an hour after the last call for this name.

        Args:
            name: Name of the log.
            joined: The members to store, each in place of one with the same client.
            left: The ids of clients to remove.
            is_whole: True to remove all other members that this process has stored under the name.

        Raises:
            BrokerDown: It is unknown whether they were stored. The caller stores them whole after the next beat.
        """

    @abstractmethod
    async def read(self, name: str, most: int) -> Attendance:
        """Return the members of a log in all processes, with the data of at most ``most`` of them.

        Raises:
            BrokerDown: The broker cannot be reached.
        """

    @abstractmethod
    async def sweep(self, name: str) -> Sequence[bytes]:
        """Remove the members of processes that do not count any more, and return their data; each to one caller only.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
