"""The contract of a broker: it carries records between the processes of an app."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Self

from ..log.position import Position
from ..log.record import Record, Replica, Retention
from .cluster import Control, MemberStore


class Post(NamedTuple):
    """Records that are published to one log at once. A post is stored as a whole, and only once."""

    name: str
    """Name of the log."""
    retention: Retention
    """The entries that the log retains; the same for every post to this name."""
    records: Sequence[Record]
    """The records, the oldest first; at least one."""
    writer: str
    """Random name of the process that publishes. :class:`Control` has another name for it."""
    batch: int
    """Number of the post among those of its writer to this name; it grows. A post that is sent again keeps it."""
    fence: str | None = None
    """Token of the lease that the writer holds; None if it holds none, as for topics that are not being loaded."""
    loads: bool = False
    """True if the log begins again with these records, in a new epoch, and counts as loaded from now on. Such a post
    may have no records; then it has no results, or a single one that is an error. It is within the log's bounds."""


class Range(NamedTuple):
    """Records of one log, as they were at one moment."""

    at: Position
    """The newest entry of the log; offset 0 if there was none."""
    follows: bool
    """True if nothing is missing between the position that was given and the first record, removals included."""
    entries: Sequence[tuple[int, Record]]
    """The records with their offsets, the oldest first."""
    is_ended: bool = False
    """True if the log was ended after its newest entry."""
    tag: bytes = b""
    """Tag of the newest entry, if this broker uses tags to recognize a forked log; see :mod:`.repair`."""
    is_loaded: bool = False
    """True if this life of the log began with a post that ``loads``, and has lost nothing since."""


class Health(NamedTuple):
    """State of the connection to a broker."""

    state: Literal["ok", "stale", "down"]
    """``"ok"``; ``"stale"`` if replicas may be out of date; ``"down"`` if the broker cannot be reached."""
    since: float | None = None
    """Time in seconds of the event loop's clock at which ``"stale"`` or ``"down"`` began; None if it is ``"ok"``."""
    problem: str = ""
    """Reason for which the broker cannot be reached, for the log."""


class Claim(NamedTuple):
    """Request of one process for the lease of one log."""

    name: str
    """Name of the log."""
    token: str
    """Random name of the claim. Posts of its holder carry it as their fence."""
    seconds: float
    """Seconds after which the lease is free and the watchers of this process are forgotten, unless it claims again."""
    is_watched: bool
    """True if this process has watchers of the log. Otherwise a lease is renewed, but not taken."""
    renews: bool = False
    """True if the token has held the lease. If the lease is free now, it stays free: late posts of the holder must not
    be stored behind those of others."""
    note: bytes = b""
    """Note of the holder for the other processes, which replaces its last one; empty for none."""


class Lease(NamedTuple):
    """State of the lease of one log, after a claim."""

    is_held: bool
    """True if the claim's token holds the lease."""
    is_watched: bool
    """True if any process has watchers of the log."""
    left: float
    """Seconds after which the lease is free, unless its holder renews it; 0 if it is free."""
    began: Position
    """Newest entry of the log when the holder took the lease; offset 0 if there was none."""
    note: bytes = b""
    """Note of the holder; if the lease is closed, that of the last holder."""
    is_closed: bool = False
    """True if the last holder has closed the lease: no process gets it for the seconds that are left."""


class Leases(ABC):
    """Lets one process at a time publish to a log: the holder of the log's lease.

    Posts without the holder's token as their fence are refused with ``Fenced``, and also if the lease is free. Time is
    the server's, so a process that is paused, or whose clock steps, never makes a second holder.
    """

    @abstractmethod
    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease | None]:
        """Take leases that are free, renew those that the claims' tokens hold, and note which logs have watchers here.

        It takes one round trip, and at most half the time of the shortest lease.

        Returns:
            The state of each lease; None if it is unknown, because the broker cannot be reached. Where a broker has
            several servers, those that answer are not affected by the others.
        """

    @abstractmethod
    async def release(
        self, name: str, token: str, *, forgets: bool = False, note: bytes = b"", closes: float = 0.0
    ) -> None:
        """Free a lease if the token holds it, and send the notice ``b"vacant"`` to all processes.

        The watchers of this process are forgotten.

        Args:
            name: Name of the log.
            token: Token of the claim.
            forgets: True to drop the log as well, if the token holds the lease and no other process has watchers.
            note: Note for processes that claim the lease while it is closed.
            closes: Seconds for which no process gets the lease.

        Raises:
            BrokerDown: It is unknown whether the lease is free.
        """


Stored = Position | Exception
"""Result for one record: its position, ``Unchanged`` for the removal of a missing row, or why it was not stored."""


class Broker(ABC):
    """Carries the records of each log to every process that has the log attached.

    The records of one log have one order, which is the same in all processes. Offsets grow within an epoch. No position
    ever stands for two different records: a broker that has lost entries begins a new epoch.

    All methods are called in the event loop in which the broker was entered.

    Attributes:
        leases: The leases of the logs; None if this broker has none.
        members: The members of the logs; None if this broker does not store them.
        control: The way to the other processes; None if this broker has none.
    """

    leases: Leases | None = None
    members: MemberStore | None = None
    control: Control | None = None

    @property
    @abstractmethod
    def health(self) -> Health:
        """State of the connection. The broker must verify it: a connection that delivers nothing is not ``"ok"``."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Connect. If the broker cannot be reached, it is ``"down"``, and connects as soon as it can be."""

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect. Replicas are not called any more. It may be called again and never raises."""

    @abstractmethod
    async def publish(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
        """Store posts and deliver them to all replicas, in one round trip.

        Each post is atomic: readers see all of its stored records, without others in between, or none. Posts to one
        name are stored in the order in which their writer sends them. A record is stored at most once: the broker
        remembers the newest batch of each writer and name, for as long as the log lives, and answers a post that is
        sent again with the same results. The caller sends no other post to a name before it has the results.

        Returns:
            The results of each post, one for each of its records. ``LogFull`` refuses a single record, ``Fenced`` and
            ``TopicComplete`` a whole post. The results of a post are ``BrokerDown`` if they are unknown; the caller
            sends it again.

        Raises:
            BrokerDown: The results are unknown. The caller sends the same posts again.
        """

    @abstractmethod
    async def attach(
        self, name: str, retention: Retention, replica: Replica, since: Position | None = None
    ) -> Callable[[], None]:
        """Keep a replica up to date from now on. When this returns, the replica has begun.

        The replica is given every record of the log in order, each at most once, and none is left out without a
        ``begin``. A log that does not exist is created, so that its epoch is known. If this raises or is cancelled, the
        replica is not called any more.

        Args:
            name: Name of the log; a process attaches it once at a time.
            retention: The entries that the log retains.
            replica: The copy to keep up to date.
            since: Position of the copy, if it has one from earlier. If nothing was lost since, the replica is given
                only newer records; otherwise it begins.

        Returns:
            A function that detaches the replica. It never waits; when it returns, the replica is not called any more.

        Raises:
            ValueError: The name is attached already.
            BrokerDown: The broker cannot be reached.
        """

    @abstractmethod
    async def read(
        self, name: str, retention: Retention, since: Position | None = None, limit: int | None = None
    ) -> Range | None:
        """Return the retained records of a log, as of a moment after this call began.

        Args:
            name: Name of the log; it need not be attached.
            retention: The entries that the log retains.
            since: Return only records after this position. If the log does not know it, all records are returned and
                ``Range.follows`` is False.
            limit: Number of records to return at most, the newest; None for all. With 0, only the state of the log.

        Returns:
            The records, without those that are too old; None if there is no such log.

        Raises:
            BrokerDown: The broker cannot be reached.
        """

    @abstractmethod
    async def end(self, name: str, retention: Retention, fence: str | None = None) -> Position | None:
        """End a log: the run that published to it is over.

        Every replica is given ``completed`` after all records that were published before, even if its process missed
        the announcement. Ending a log that has ended does nothing.

        If ``retention.keeps_end`` is set, the log is complete, and one that does not exist is created. A replica that
        attaches is given its records and then ``completed``. Its records are refused with ``TopicComplete``, until
        ``retention.retain`` seconds after the end: then there is no such log, even if a process has it attached.

        Otherwise the next publication to a log of the newest value or of rows begins a new epoch, and a replica that
        attaches before holds nothing; a log of the last records continues. Ending a log that does not exist does
        nothing.

        Args:
            name: Name of the log.
            retention: The entries that the log retains.
            fence: Token of the lease that the caller holds; None if the log has no lease.

        Returns:
            The position of the newest entry; None if there is no such log.

        Raises:
            Fenced: Another process holds the lease. Nothing was changed.
            BrokerDown: It is unknown whether the log has ended. The caller may try again.
        """

    @abstractmethod
    async def empty(self, name: str, retention: Retention) -> None:
        """Drop the records of a log, and its end; it begins a new epoch. A log that does not exist stays so.

        Every replica begins again, with what was published since. The log's lease and the batches of its writers stay.

        Raises:
            BrokerDown: It is unknown whether the log is empty. The caller may try again.
        """

    @abstractmethod
    def notify(self, name: str, message: bytes) -> None:
        """Send a notice to the replicas of a log in all processes, this one included.

        It never waits and is not stored: each replica gets the notice at most once, and in any order with records.
        """
