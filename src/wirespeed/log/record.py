"""Records: the entries of a log as they travel between processes, and the receiver of a process's copy of a log."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from .position import Position

ROW_END = b'"}'
"""End of the payload of a row whose text grows."""


class Record(NamedTuple):
    """One entry of a log as it travels: plain data that any broker can store, without Python objects."""

    payload: bytes | None
    """The encoded value; None if the row was removed."""
    row: bytes | None = None
    """Key of the table's row, as JSON; None in logs without rows."""
    tags: Mapping[str, str] = MappingProxyType({})
    """Tags that were published beside the value."""
    sender: bytes = b""
    """Public information about the client that published the value, as JSON; empty if there is none."""
    grows: bool = False
    """True if the payload is a piece for the end of the value before it, see :func:`grown`."""


def grown(payload: bytes, piece: bytes, *, has_row: bool) -> bytes:
    """Return a payload with a piece at its end; the JSON of a row ends with the text that grows."""
    return payload.removesuffix(ROW_END) + piece + ROW_END if has_row else payload + piece


def whole(records: Iterable[Record]) -> Record:
    """Return the record of a value that has grown, of its own and those of the pieces behind it.

    Without a value, the pieces are the value.
    """
    first, *pieces = records
    more = b"".join(piece.payload or b"" for piece in pieces)
    if not more and not first.grows:
        return first
    return first._replace(payload=grown(first.payload or b"", more, has_row=first.row is not None), grows=False)


def standing(records: Sequence[Record]) -> Sequence[Record]:
    """Return the last records of a log of the newest value that say what it is: the newest value, and the pieces behind
    it. If the first of them is a piece, they continue the value before."""
    whole_at = (at for at in range(len(records) - 1, -1, -1) if not records[at].grows)
    return records[next(whole_at, 0) :]


def contents(record: Record) -> int:
    """Return the bytes of everything that a record has."""
    payload, row, tags, sender, _ = record
    size = len(payload or b"") + len(row or b"") + len(sender)
    return size + sum(len(name) + len(tag) for name, tag in tags.items()) if tags else size


class Retention(NamedTuple):
    """The entries that a broker retains of one log. It is plain data, and equal in all processes of an app."""

    kind: Literal["latest", "table", "last"]
    """``"latest"``: the newest record. ``"table"``: the newest record of each row. ``"last"``: the last records."""
    entries: int = 0
    """Number of records that a log of the last records retains."""
    seconds: float | None = None
    """Age in seconds at which a log of the last records drops a record; None if records do not age."""
    size: int = 0
    """Bytes of payloads that a log retains; the newest record is always retained. A table takes no further row."""
    rows: int = 0
    """Number of rows that a table may have."""
    retain: float = 0.0
    """Seconds that a log is retained after its last publication while no process has it attached; may be infinite."""
    keeps_end: bool = False
    """True if a log that has ended is complete: it takes no more records, and is retained from its end on, whether or
    not a process has it attached. False if the next record begins another run."""


class Replica(Protocol):
    """One process's copy of one log. A broker calls these methods in the event loop, never concurrently.

    The sequence of calls describes the broker's log: ``begin`` comes first, and every ``append`` continues the entry
    before it. After a call that raises, the copy is stale, and begins again after a while.
    """

    def begin(self, at: Position, held: Sequence[tuple[int, Record]]) -> None:
        """Replace the copy by the records that the broker retains.

        It is called first, and again whenever continuity is lost: in a new epoch, or after a gap that cannot be filled.

        Args:
            at: The newest entry of the log. Offset 0 precedes the first entry.
            held: The retained records up to ``at`` with their offsets, the oldest first.
        """

    def append(self, previous: int, offset: int, record: Record) -> None:
        """Add the next record.

        Args:
            previous: Offset of the entry before it. It is always the newest offset that this copy has been given.
            offset: Offset of the record. Offsets grow, but a broker may leave holes between them.
            record: The record.
        """

    def stale(self, since: float | None) -> None:
        """Note that the copy is no longer kept up to date, or that it is up to date again.

        Args:
            since: Time in seconds of the event loop's clock at which the connection was lost; None if the connection is
                back and nothing was missed. ``append`` and ``begin`` end the state, too.
        """

    def completed(self) -> None:
        """Note that the feed's generator has ended by itself, in whichever process it ran.

        All records that were published before have been given to this copy.
        """

    def notice(self, message: bytes) -> None:
        """Take a notice that a process has sent to all replicas of the log.

        Args:
            message: A word, and what belongs to it after a space. Replicas ignore words that they do not know.
        """
