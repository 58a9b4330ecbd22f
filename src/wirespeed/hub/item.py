"""The items of the outbox: what waits for the broker, with the receipts that wait with it."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from ..brokers.broker import Stored
from ..definitions import Receipt, settle
from ..log.record import Record, grown

PIECE_BYTES = 64 * 1024
"""Bytes after which pieces of a growing text are not joined any further: the broker refuses values that are too large.
"""


@dataclass(slots=True, eq=False)
class Item:
    """One record that waits, or a value that is encoded when it is sent, and the receipts that wait with it."""

    value: Any
    size: int
    receipt: Receipt | None
    more: list[bytes] | None = None
    """Pieces of a growing text that follow the value."""
    replaced: WeakSet[Receipt] | None = None
    """Receipts of values that this one has replaced. They are not kept alive: a topic that publishes without end while
    the broker is down must not gather receipts that nothing awaits."""

    def replace(self, old: "Item") -> None:
        """Take over the receipts of a value that this one replaces."""
        self.replaced = old.replaced
        if old.receipt is not None:
            if self.replaced is None:
                self.replaced = WeakSet()
            self.replaced.add(old.receipt)

    def extend(self, old: "Item") -> None:
        """Continue a waiting value or piece with this piece, which takes its place."""
        self.more = old.more or []
        self.more.append(self.value.payload)
        self.value = old.value
        self.size += old.size
        self.replace(old)

    def parts(self, record: Record, *, is_row: bool) -> "list[tuple[Item, Record]]":
        """Return the record of the value, or of the piece, with the pieces behind it; several records if it is large.

        The last one has the receipts.

        Args:
            is_row: True if the record belongs to a row of a table.
        """
        payload = record.payload or b""
        parts, size = [(record, [payload])], len(payload)
        for piece in self.more or ():
            if size + len(piece) > PIECE_BYTES:
                parts.append((Record(b"", record.row, grows=True), []))
                size = 0
            parts[-1][1].append(piece)
            size += len(piece)
        *full, last = [
            each._replace(payload=grown(first, b"".join(more), has_row=is_row and not each.grows))
            for each, (first, *more) in parts
        ]
        self.size -= sum(len(each.payload or b"") for each in full)
        return [*((Item(each, len(each.payload or b""), None), each) for each in full), (self, last)]

    def settle(self, result: Stored) -> None:
        """Give all receipts the result."""
        position, error = (None, result) if isinstance(result, Exception) else (result, None)
        for receipt in [self.receipt, *(self.replaced or ())]:
            if receipt is not None:
                settle(receipt, position, error)
