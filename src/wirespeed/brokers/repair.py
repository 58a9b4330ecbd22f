"""Gap repair: keeps a replica equal to the broker's log, although messages are lost, repeated, reordered or late.

It is shared by all brokers and does no I/O. A broker reports events to one ``Repair`` per attached log, with the time.
The repair calls the replica, and returns a ``Read`` when it needs records from the broker. The broker performs the read
and reports the ``Range``.

Messages form a chain: each names the offset of the entry before it. As long as the chain holds, records are appended
as they arrive. Where it breaks, further messages are held, and one read closes the gap.

A replica that raises may have a part of what it was given. It begins again, after a pause that grows each time.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from ..isolation import isolated, log_error
from ..log.position import Position
from ..log.record import Record, Replica, Retention, contents, standing
from .broker import Range

CHECK = 25.0
"""Seconds without a message after which the head of a log is read, because the loss of its last message shows nowhere;
a fifth more or less for each log, so that not all are read at once."""

RETRY = 0.5
"""Seconds after which a read that has failed is tried again, or a replica that has raised begins again. While a replica
raises, the seconds double each time, up to those of a check."""

_LOST = (1 << 53) - 1
"""An offset that no log reaches: a position with it makes the broker begin a new epoch."""

_EPOCHS = 16
"""Epochs that are remembered after their end."""

_BESIDE = 256
"""Bytes that a message, and each of its records, is counted for beside its contents while it is held."""

MOST_HELD = 32 * 1024 * 1024
"""Bytes of messages that all replicas of a broker hold together."""


class Message(NamedTuple):
    """Records that were stored at once, as the broker announces them to all processes."""

    epoch: str
    """Epoch of the log."""
    previous: int
    """Offset of the entry before the first record."""
    entries: Sequence[tuple[int, Record]]
    """The records with their offsets; empty if the message announces the end of the log after ``previous``, or with -1
    there, that the log was emptied."""
    tag: bytes = b""
    """Random tag of the last record. It distinguishes two logs that are numbered alike; not every broker needs it."""

    @property
    def last(self) -> int:
        """Offset of the newest entry that the message knows of."""
        return self.entries[-1][0] if self.entries else self.previous


class Read(NamedTuple):
    """A request to read all records after a position, as of a moment after this request was made."""

    since: Position | None
    """Position of the replica; None if it has none."""
    tag: bytes
    """Tag of the entry at ``since``. If the broker has stored another one there, the range does not follow."""


class Holding:
    """The bound of what the replicas of one broker hold together.

    Args:
        most: Bytes that they may hold.

    Attributes:
        used: Bytes that they hold.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self.used = 0
        self._most = most

    @property
    def is_exceeded(self) -> bool:
        """True if the replicas hold more than they may."""
        return self.used > self._most


class State(Enum):
    """State of one replica."""

    DOWN = auto()
    """There is no subscription. Messages are ignored: the read that follows the subscription includes them."""
    FILLING = auto()
    """Records are missing, or may be. Messages are held until a range has arrived."""
    LIVE = auto()
    """The replica continues with the next message of the chain."""


class Repair:
    """Keeps one replica equal to one log.

    Every input that returns a ``Read`` asks the broker to perform it and to report the result to :meth:`ranged`, or its
    failure to :meth:`failed`. No more than one read is in progress: the result of an earlier one is ignored.

    Args:
        since: Position of the copy, if it has one from earlier.
        jitter: Number from 0 to 1 that distributes the checks of many quiet logs over time.
        holding: The bound that all replicas of a broker share; one of its own if it is None.

    Attributes:
        state: The state of the replica.
        head: Position of the newest entry that the replica has; None before it has begun.
        tag: Tag of that entry.
        alarms: Number of messages that repeated an offset of an earlier message. An ordered subscription never does
            that, so each is a sign that the broker has lost entries and assigned their offsets again.
        size: Bytes of the messages that are held, at most ``retention.size`` if there is more than one.
    """

    def __init__(
        self,
        replica: Replica,
        retention: Retention,
        since: Position | None = None,
        jitter: float = 0.5,
        holding: Holding | None = None,
    ) -> None:
        self.state = State.DOWN
        self.head = since
        self.tag = b""
        self.alarms = 0
        self.size = 0
        self._replica = replica
        self._retention = retention
        self._check = CHECK * (0.8 + 0.4 * jitter)
        self._holding = holding or Holding()
        self._quiet_since = 0.0
        self._reading: Read | None = None
        self._left: deque[str] = deque(maxlen=_EPOCHS)
        """The epochs that the log had before."""
        self._has_begun = self._is_ended = self._is_stale = False
        self._failures = 0
        """Number of times that the replica has raised since it last began. If there are any, it has to begin again."""
        self._newest = -1
        """The newest offset that a message of this subscription had."""
        self._is_doubtful = False
        """True if a message has raised an alarm, or was dropped, since the read in progress began."""
        self._held: list[Message] = []
        self._known = 0
        """Number of messages that were held when the read in progress began: its range includes all they announce."""

    # Inputs

    def subscribed(self, now: float) -> Read:
        """Note that the broker has acknowledged a subscription; it delivers all messages from now on.

        The head is read every time: a second subscription does not continue the first.
        """
        self._forget()
        return self._fill(now)

    def disconnected(self, now: float) -> None:
        """Note that the subscription was lost."""
        self.close()
        self._mark_stale(now)

    def _mark_stale(self, now: float) -> None:
        if self._has_begun and not self._is_stale:  # before it has begun, the caller of attach() still waits
            self._is_stale = True
            with isolated("A replica could not be marked as stale."):
                self._replica.stale(now)

    def close(self) -> None:
        """Stop calling the replica, and drop what is held."""
        self._forget()
        self.state = State.DOWN
        self._reading = None

    def message(self, message: Message, now: float) -> Read | None:
        """Take a message of the subscription."""
        if self.state is State.DOWN:
            return None
        try:
            return self._take(message, now)
        except Exception as error:
            self._raised(error, now)
            return None

    def _take(self, message: Message, now: float) -> Read | None:
        is_repeated = self._is_repeated(message)
        if self.state is State.FILLING:
            self._hold(message)
            self._is_doubtful = self._is_doubtful or is_repeated
            return None
        self._quiet_since = now
        if is_repeated:
            return self._fill(now)
        if self._apply(message):
            return None
        self._hold(message)
        return self._fill(now)

    def ranged(self, read: Read, range_: Range, now: float) -> Read | None:
        """Take the result of a read."""
        if read is not self._reading:
            return None
        self._reading = None
        self._quiet_since = now
        try:
            return self._take_range(read, range_, now)
        except Exception as error:
            self._raised(error, now)
            return None

    def _take_range(self, read: Read, range_: Range, now: float) -> Read | None:
        if range_.at.epoch in self._left and read.since != (lost := Position(range_.at.epoch, _LOST)):
            # A server that was behind has come back: it would assign offsets again that stood for other entries.
            self.state = State.FILLING
            return self._read(Read(lost, b""))
        # The values of a run that is over must not be taken for current ones by a replica that opens the log.
        is_over = not self._has_begun and range_.is_ended and not self._stays()
        fits = self._fits(read, range_)
        if fits and self._failures:
            return self._read(Read(None, b""))  # this range is only what follows
        if fits and not is_over:
            self._extend(range_)
        elif self.state is State.LIVE:
            # Only a quiet log was checked. Messages that came meanwhile were not held, and may be missing in the range.
            return self._fill(now)
        else:
            self._begin(range_, () if is_over else range_.entries)
        self._settle(range_)
        self.state = State.LIVE
        return self._release(now)

    def _stays(self) -> bool:
        """Return True if the records of a run that is over are still to be given to new replicas."""
        return self._retention.kind == "last" or self._retention.keeps_end

    def _settle(self, range_: Range) -> None:
        if self._is_stale:
            self._replica.stale(None)
            self._is_stale = False
        if range_.is_ended and range_.at == self.head:
            if self._has_begun or self._retention.keeps_end:  # otherwise the run that it is opened for is yet to come
                self._complete()
            self._is_ended = True
        self._has_begun = True

    def failed(self, read: Read, now: float) -> None:
        """Note that a read has failed while the subscription is healthy; :meth:`due` tries again after a while."""
        if read is self._reading:
            self._wait(now, RETRY)

    def _raised(self, error: Exception, now: float) -> None:
        """Note that the replica has raised; :meth:`due` lets it begin again after a while."""
        log_error(error, "A copy of a log at the broker could not be updated. It is read again.")
        self._forget_held()  # the next read includes it
        self._wait(now, min(RETRY * 2 ** min(self._failures, 10), self._check))
        self._failures += 1
        self.state = State.FILLING
        self._is_stale = False  # or not: the replica may have taken a part of the call
        self._mark_stale(now)

    def _wait(self, now: float, seconds: float) -> None:
        """Read nothing for a while."""
        self._reading = None
        self._quiet_since = now - self._check + seconds

    def due(self, now: float) -> Read | None:
        """Let time pass: return a read if a quiet log has to be checked, or a failed read repeated.

        The broker calls this about once per second for all logs, and performs the reads in one round trip.
        """
        if self.state is State.DOWN or self._reading is not None or now - self._quiet_since < self._check:
            return None
        return self._read()

    # The chain

    def _is_repeated(self, message: Message) -> bool:
        if self.head is None or message.epoch != self.head.epoch:
            return False
        if message.last > self._newest:
            self._newest = message.last
            return False
        self.alarms += bool(message.entries)
        return bool(message.entries)

    def _apply(self, message: Message) -> bool:
        """Append the records of a message; return False if the chain is broken there."""
        assert self.head is not None
        epoch, head = self.head
        if message.epoch != epoch:
            return False
        if message.entries and message.last <= head:
            return True  # the range that closed the last gap included it
        if message.previous == head:
            self._append(message.entries)
        elif self._retention.kind == "latest" and (newest := _newest(message.entries)):
            self._append(newest)  # a newer value stands for all before it
        else:
            return message.last < head
        if message.entries:
            self.tag = message.tag
        else:
            self._complete()
        return True

    def _append(self, entries: Sequence[tuple[int, Record]]) -> None:
        assert self.head is not None
        epoch, head = self.head
        for offset, record in entries:
            if offset > head:
                self._replica.append(head, offset, record)
                self._is_ended = self._is_stale = False
                head = offset
        if head != self.head.offset:
            self.head = Position(epoch, head)

    def _complete(self) -> None:
        if not self._is_ended:
            self._replica.completed()
            self._is_ended = True

    # Reading

    def _fill(self, now: float) -> Read:
        self.state = State.FILLING
        self._quiet_since = now
        return self._read()

    def _read(self, read: Read | None = None) -> Read:
        self._known = len(self._held)
        self._is_doubtful = False
        self._reading = read or Read(self.head, self.tag)
        return self._reading

    def _fits(self, read: Read, range_: Range) -> bool:
        """Return True if the replica only needs to append what is in a range."""
        is_next = read.since is not None and range_.follows
        return is_next and self.head is not None and range_.at.epoch == self.head.epoch

    def _extend(self, range_: Range) -> None:
        assert self.head is not None
        before = self.head.offset
        self._append(range_.entries)
        if self.head.offset > before:
            self.tag = range_.tag

    def _begin(self, range_: Range, entries: Sequence[tuple[int, Record]]) -> None:
        self._replica.begin(range_.at, entries)
        if self.head is not None and self.head.epoch != range_.at.epoch:
            self._left.append(self.head.epoch)
        self.head, self.tag = range_.at, range_.tag
        self._newest = -1
        self._is_ended = self._is_stale = False
        self._failures = 0

    # Messages that wait for a range

    def _hold(self, message: Message) -> None:
        self._held.append(message)
        self._count(_size(message))
        # What is dropped here is found missing by the messages after it, and read.
        while len(self._held) > 1 and self.size > self._retention.size:
            self._count(-_size(self._held.pop(0)))
            self._known = max(self._known - 1, 0)
        if self._holding.is_exceeded:
            self._forget_held()
            self._is_doubtful = True  # no message is left that would find them missing

    def _release(self, now: float) -> Read | None:
        """Apply the messages that were held; read again if the chain is broken between them."""
        known, held = self._known, self._held
        self._forget_held()
        for message in sorted(held[:known], key=_last):
            self._apply(message)  # where it does not fit, the range is newer
        for message in sorted(held[known:], key=_last):
            if not self._apply(message):
                self._hold(message)
        return self._fill(now) if self._held or self._is_doubtful else None

    def _forget(self) -> None:
        self._forget_held()
        self._newest = -1

    def _forget_held(self) -> None:
        self._count(-self.size)
        self._held, self._known = [], 0

    def _count(self, size: int) -> None:
        self.size += size
        self._holding.used += size


def _newest(entries: Sequence[tuple[int, Record]]) -> Sequence[tuple[int, Record]]:
    """Return the newest value and the pieces behind it; nothing if the pieces continue an earlier value."""
    records = standing([record for _, record in entries])
    return entries[len(entries) - len(records) :] if records and not records[0].grows else ()


def _last(message: Message) -> int:
    return message.last


def _size(message: Message) -> int:
    return _BESIDE + sum(_BESIDE + contents(record) for _, record in message.entries)
