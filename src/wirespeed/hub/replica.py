"""Replicas: the copies of a broker's logs in this process, and the way from values to records and back."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..identity import Sender
from ..log.base import Encoded, Log, Marks, Piece, Removed, State
from ..log.position import Position
from ..log.record import Record
from ..log.table import row_key
from ..spelling import SECRETS, Unspellable, uniform
from .logs import LogReader


def record_of(state: Encoded | Piece | Removed, *, has_row: bool = False) -> Record:
    """Return the record of a state, as it travels."""
    if isinstance(state, Removed):
        return Record(None, _row(state.row))
    row = _row(state.row) if has_row else None
    if isinstance(state, Piece):
        return Record(state.payload, row, grows=True)
    if state.marks is None:
        return Record(state.payload, row)
    return Record(state.payload, row, state.marks.tags, sender_json(state.marks.sender))


def state_of(record: Record) -> State:
    """Return the state that :func:`record_of` has written."""
    row = None if record.row is None else json.loads(record.row)
    if record.payload is None:
        return Removed(row)
    if record.grows:
        return Piece(record.payload, row)
    if not record.tags and not record.sender:
        return Encoded(record.payload, row)
    return Encoded(record.payload, row, Marks(record.tags, sender_of(record.sender)))


def _row(row: Any) -> bytes:
    """Return the text by which a broker and all clients know a row: one for all keys with the same ``row_name``.

    It is made of the key alone. The first spelling, which a log in memory keeps, is not known to all processes.

    Raises:
        Unspellable: It is a secret.
    """
    if isinstance(row, SECRETS):
        raise Unspellable("a secret cannot identify a row: its key is shown to clients, and all secrets look alike")
    row = row if type(row) in (str, int) else uniform(row)
    return row_key(int(row) if isinstance(row, float) and row.is_integer() else row)


def sender_json(sender: Sender | None) -> bytes:
    """Return public information about a client, as it travels; empty for none."""
    if sender is None:
        return b""
    info, channel_info = sender.info.decode(), sender.channel_info.decode()
    fields = {"client": sender.client, "user": sender.user, "info": info, "channel_info": channel_info}
    return json.dumps(fields, separators=(",", ":")).encode()


def sender_of(text: bytes) -> Sender | None:
    """Return the client that :func:`sender_json` has described."""
    if not text:
        return None
    fields = json.loads(text)
    info, channel_info = fields["info"].encode(), fields["channel_info"].encode()
    return Sender(client=fields["client"], user=fields["user"], info=info, channel_info=channel_info)


def ignored(since: float | None) -> None:
    """Do nothing: the copy of a log that is read only once is never out of date."""


@dataclass(slots=True, eq=False)
class LogReplica:
    """A log that a broker keeps up to date; see :class:`~wirespeed.log.record.Replica`."""

    log: Log
    reader: LogReader | None
    """The reader of the log; None while no one reads it."""
    _now: Callable[[], float]
    _grown: Callable[[Log], None]
    """Called after the log has grown."""
    _keeps_end: bool = False
    """True if the log is complete once it has ended."""
    on_stale: Callable[[float | None], None] = ignored
    """Called when the log is out of date, with the time since when, and when it is up to date again, with None."""
    _is_stale: bool = False

    def begin(self, at: Position, held: Sequence[tuple[int, Record]]) -> None:
        self.log.is_complete = False
        self.log.begin(at, [(offset, state_of(record)) for offset, record in held], self._now())
        self._grown(self.log)
        self._continues()
        if self.reader is not None:
            self.reader.restarted()

    def append(self, previous: int, offset: int, record: Record) -> None:
        self.log.append_at(state_of(record), offset, self._now())
        self._grown(self.log)
        if self._is_stale:
            self._continues()
        if self.reader is not None:
            self.reader.news()

    def stale(self, since: float | None) -> None:
        if since is None:
            self._continues()
        else:
            self._is_stale = True
            self.on_stale(since)

    def _continues(self) -> None:
        if self._is_stale:
            self._is_stale = False
            self.on_stale(None)

    def completed(self) -> None:
        self.log.is_complete = self._keeps_end
        if self.reader is not None:
            self.reader.completed()

    def notice(self, message: bytes) -> None:
        if self.reader is not None:
            self.reader.notice(message)
