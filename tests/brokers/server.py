"""The state of a simulated broker: what a server such as Redis would hold, without any network."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import NamedTuple

from wirespeed.brokers.broker import Claim, Lease, Post, Range, Stored
from wirespeed.brokers.repair import Message, Read
from wirespeed.errors import Fenced, LogFull, NoSuchRow, TopicComplete
from wirespeed.log.position import Position, Unchanged
from wirespeed.log.record import Record, Retention, whole


class Held(NamedTuple):
    """A lease at the server."""

    token: str
    until: float
    began: Position
    note: bytes = b""


@dataclass
class StoredLog:
    """One log at the server."""

    epoch: str
    retention: Retention
    entries: list[tuple[int, Record]] = field(default_factory=list)
    """The retained entries with their offsets; of tables, removals included."""
    tags: dict[int, bytes] = field(default_factory=dict)
    """Tags of all entries that were ever stored, by offset."""
    head: int = 0
    floor: int = 0
    """Offset up to which entries that a reader may need have been dropped."""
    is_ended: bool = False
    is_grown: bool = False
    """True if the newest record was a piece."""
    is_loaded: bool = False
    batches: dict[str, tuple[int, list[Stored]]] = field(default_factory=dict)
    """The newest batch of each writer, with its results."""

    def rows(self) -> set[bytes | None]:
        """Return the keys of the rows that the table has."""
        return {record.row for _, record in self.entries if record.payload is not None}


class Server:
    """The logs of a broker, with operations that are atomic, as those of a server are.

    Args:
        random: Source of epochs and tags.
        is_sparse: True if all logs are numbered together, so that the offsets of one log have holes.
        clock: The server's clock.

    Attributes:
        truth: Everything that was ever stored, by epoch.
        leases: The lease of each log that has one.
        watched: The processes that have watchers of a log, and until when.
        closed: The notes of leases that are closed, and until when.
    """

    def __init__(self, random: Random, *, is_sparse: bool = False, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.truth: dict[str, list[tuple[int, Record]]] = {}
        self.leases: dict[str, Held] = {}
        self.watched: dict[str, dict[object, float]] = {}
        self.closed: dict[str, tuple[bytes, float]] = {}
        self._clock = clock
        self.logs: dict[str, StoredLog] = {}
        self._random = random
        self._is_sparse = is_sparse
        self._sequence = 0

    def _epoch(self) -> str:
        epoch = f"{self._random.getrandbits(32):08x}"
        self.truth[epoch] = []
        return epoch

    def open(self, name: str, retention: Retention) -> StoredLog:
        """Return a log, which is created if it does not exist."""
        if name not in self.logs:
            self.logs[name] = StoredLog(self._epoch(), retention)
        return self.logs[name]

    def publish(self, post: Post) -> tuple[list[Stored], Message | None]:
        """Store a post, once; return the results, and the message that announces it."""
        log = self.open(post.name, post.retention)
        if self.holder(post.name) != post.fence:
            return [Fenced(post.name)] * max(len(post.records), 1), None
        if (batch := log.batches.get(post.writer)) and batch[0] == post.batch:
            return batch[1], None
        is_complete = log.is_ended and post.retention.keeps_end
        if is_complete and not post.loads:
            return [TopicComplete(post.name)] * len(post.records), None
        if post.loads or (log.is_ended and post.retention.kind != "last"):
            log = self.logs[post.name] = StoredLog(self._epoch(), post.retention, is_loaded=post.loads)
        log.is_ended = is_complete
        previous, tag = log.head, self._random.randbytes(4)
        results = [self._store(log, record, tag) for record in post.records]
        log.batches[post.writer] = post.batch, results
        stored = [(offset, record) for offset, record in self.truth[log.epoch] if offset > previous]
        self._trim(log)
        if post.loads and not stored:
            return results, Message(log.epoch, -1, ())
        return results, Message(log.epoch, previous, stored, tag) if stored else None

    def _store(self, log: StoredLog, record: Record, tag: bytes) -> Stored:
        if log.retention.kind == "table" and record.row not in (rows := log.rows()):
            if record.grows:
                return NoSuchRow(json.loads(record.row or b"null"))
            if record.payload is None:
                return Unchanged(log.epoch, log.head)
            if len(rows) >= log.retention.rows:
                return LogFull(log.retention.rows, log.retention.size)
        if record.grows and sum(len(each.payload or b"") for _, each in log.entries) >= log.retention.size:
            return LogFull(log.retention.rows, log.retention.size)
        self._sequence += self._random.randint(1, 3)
        log.head = self._sequence if self._is_sparse else log.head + 1
        log.tags[log.head] = tag
        before = [each for _, each in log.entries if each.row == record.row][-1:] if record.grows else []
        log.is_grown = record.grows
        if log.retention.kind == "table":
            log.entries = [each for each in log.entries if each[1].row != record.row]
        log.entries.append((log.head, whole([*before, record])))
        self.truth[log.epoch].append((log.head, record))
        return Position(log.epoch, log.head)

    def _trim(self, log: StoredLog) -> None:
        most = {"latest": 1, "last": log.retention.entries}.get(log.retention.kind)
        if most is not None and len(log.entries) > most:
            log.floor = log.entries[-most - 1][0]
            del log.entries[:-most]

    def read(self, name: str, retention: Retention, read: Read, limit: int | None = None) -> Range:
        """Return the records of a log; a new epoch begins if the reader's position stands for another entry here."""
        log = self.open(name, retention)
        since = read.since
        if since is not None and since.epoch == log.epoch and self._is_forked(log, since, read.tag):
            log = self._fork(name, log)
        follows = since is not None and since.epoch == log.epoch
        after = since.offset if since is not None and follows else 0
        floor = log.floor if retention.kind != "latest" else log.head if log.is_grown else 0
        if after < floor:
            follows, after = False, 0
        entries = [each for each in log.entries if each[0] > after]
        if not follows:
            entries = [each for each in entries if each[1].payload is not None]
        most = len(entries) if limit is None else limit
        tag = log.tags.get(log.head, b"")
        kept = entries[len(entries) - most :]
        return Range(Position(log.epoch, log.head), follows, kept, log.is_ended, tag, log.is_loaded)

    def _is_forked(self, log: StoredLog, since: Position, tag: bytes) -> bool:
        return since.offset > log.head or bool(tag and log.tags.get(since.offset) != tag)

    def _fork(self, name: str, log: StoredLog) -> StoredLog:
        """Begin a new epoch with the entries that are left."""
        epoch = self._epoch()
        self.truth[epoch] = list(log.entries)
        self.logs[name] = replace(log, epoch=epoch, is_loaded=False)
        return self.logs[name]

    def end(self, name: str, retention: Retention, fence: str | None = None) -> Message | None:
        """End a log; return the message that announces it."""
        if self.holder(name) != fence:
            raise Fenced(name)
        log = self.open(name, retention) if retention.keeps_end else self.logs.get(name)
        if log is None or log.is_ended:
            return None
        log.is_ended = True
        return Message(log.epoch, log.head, ())

    def empty(self, name: str) -> Message | None:
        """Empty a log; return the message that announces it."""
        log = self.logs.get(name)
        if log is None:
            return None
        self.logs[name] = StoredLog(self._epoch(), log.retention, batches=log.batches, is_loaded=log.is_loaded)
        return Message(self.logs[name].epoch, -1, ())

    # Leases

    def holder(self, name: str) -> str | None:
        """Return the token that holds the lease of a log."""
        held = self.leases.get(name)
        return held.token if held is not None and held.until > self._clock() else None

    def claim(self, process: object, claim: Claim) -> Lease:
        """Take or renew the lease of a log, and note whether a process has watchers of it."""
        now, holder, log = self._clock(), self.holder(claim.name), self.logs.get(claim.name)
        closing, closed_until = self.closed.get(claim.name, (b"", 0.0))
        is_closed = holder is None and closed_until > now
        if holder is None and claim.is_watched and not claim.renews and not is_closed:
            began = Position("", 0) if log is None else Position(log.epoch, log.head)
            self.leases[claim.name] = Held(claim.token, now + claim.seconds, began, claim.note)
        elif holder == claim.token:
            held = self.leases[claim.name]
            self.leases[claim.name] = held._replace(until=now + claim.seconds, note=claim.note)
        watched = self.watched.setdefault(claim.name, {})
        watched.pop(process, None)
        if claim.is_watched:
            watched[process] = now + claim.seconds
        is_watched = any(until > now for until in watched.values())
        if is_closed:
            return Lease(False, is_watched, closed_until - now, Position("", 0), closing, is_closed=True)
        if self.holder(claim.name) is None:
            return Lease(False, is_watched, 0.0, Position("", 0))
        token, until, began, note = self.leases[claim.name]
        return Lease(token == claim.token, is_watched, until - now, began, note)

    def release(
        self, process: object, name: str, token: str, *, forgets: bool, note: bytes = b"", closes: float = 0.0
    ) -> bool:
        """Free a lease, or close it; return True if the token held it."""
        watched = self.watched.get(name, {})
        watched.pop(process, None)
        if self.holder(name) != token:
            return False
        del self.leases[name]
        if closes:
            self.closed[name] = note, self._clock() + closes
        if forgets and not any(until > self._clock() for until in watched.values()):
            self.logs.pop(name, None)
        return True

    # Faults

    def forget(self, name: str) -> None:
        """Lose a log, as if memory had been needed for others."""
        self.logs.pop(name, None)

    def truncate(self, name: str, count: int) -> None:
        """Drop the oldest entries of a log; of a table, the removals that it remembers."""
        if (log := self.logs.get(name)) is None or log.retention.kind == "latest":
            return
        if log.retention.kind == "table":
            log.entries = [each for each in log.entries if each[1].payload is not None]
            log.floor = log.head
        elif count and log.entries:
            log.floor = log.entries[:count][-1][0]
            del log.entries[:count]

    def lose(self, name: str, count: int) -> None:
        """Lose the newest entries, as a failover does: their offsets are given to other records from now on.

        All connections break at the same time, and a table loses the rows that the entries have changed.
        """
        if (log := self.logs.get(name)) is None or not count:
            return
        truth = self.truth[log.epoch]
        for offset, _ in truth[-count:]:
            log.tags.pop(offset, None)
        del truth[-count:]
        log.head = truth[-1][0] if truth else 0
        log.entries = [each for each in log.entries if each[0] <= log.head]
        if log.retention.kind == "latest" and not log.is_grown and not log.entries:
            log.entries = truth[-1:]  # the server still had it when the lost one was published
        log.floor = min(log.floor, log.head)
        log.batches.clear()
