"""The items of the outbox: what waits for the broker, with the receipts that wait with it."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from ..brokers.broker import Stored
from ..definitions import Receipt, settle


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

    def settle(self, result: Stored) -> None:
        """Give all receipts the result."""
        position, error = (None, result) if isinstance(result, Exception) else (result, None)
        for receipt in [self.receipt, *(self.replaced or ())]:
            if receipt is not None:
                settle(receipt, position, error)
