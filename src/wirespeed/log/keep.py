"""What a log retains: the kinds of logs that there are, and their bounds."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from .base import IMMUTABLE, Encoded, Log, Marks, Removed, Spoilt, State, Tally
from .latest import LatestLog
from .ring import RingLog
from .table import TableLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep(ABC):
    """What is common to all kinds.

    Args:
        encode: Makes a payload of a value.
        failed: Called once for each value that ``encode`` raises on, if it is encoded only when it is read.
        retain: The seconds for which a log is kept after its last watcher and its last publication; may be infinite.
        split: Separates a value from its marks; None if no value comes with marks. A log takes such values only as
            their states.
    """

    encode: Callable[[Any], bytes]
    failed: Callable[[Exception, Any], None]
    retain: float
    split: Callable[[Any], tuple[Any, Marks | None]] | None = None

    @abstractmethod
    def log(self, epoch: str, tally: Tally | None = None) -> Log:
        """A new log.

        Args:
            epoch: Names this life of the log.
            tally: Counts its bytes together with those of others.
        """

    def taken(self, value: Any, marks: Marks | None = None) -> Encoded | Removed:
        """Return the state of a value as it is now, to be appended later; in any thread.

        Raises:
            Exception: Errors of ``split``, ``encode`` and ``row_of``.
        """
        if self.split is not None:
            value, marks = self.split(value)
        return self._encoded(value, marks)

    def _encoded(self, value: Any, marks: Marks | None) -> Encoded | Removed:
        return Encoded(self.encode(value), None, marks)

    def state(self, value: Any, marks: Marks | None = None) -> State:
        """Return what :meth:`taken` does, or what stands for a value without a state."""
        if type(value) in (Encoded, Spoilt):
            return value  # type: ignore[no-any-return]
        try:
            return self.taken(value, marks)
        except Exception as error:
            return Spoilt(error, value)

    @property
    def timed(self) -> bool:
        """Whether the log has to know when an entry is appended."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest(Keep):
    """The newest value."""

    def log(self, epoch: str, tally: Tally | None = None) -> Log:
        """See :meth:`Keep.log`."""
        return LatestLog(epoch, self.encode, self.failed, tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Keep):
    """The newest value of each row.

    Args:
        row_of: The row that a value is the newest of: hashable.
        rows: How many rows there may be.
        size: At how many bytes no further row is taken.
    """

    row_of: Callable[[Any], Any]
    rows: int
    size: int

    def log(self, epoch: str, tally: Tally | None = None) -> Log:
        """See :meth:`Keep.log`."""
        return TableLog(
            epoch, tally, encode=self.encode, failed=self.failed, row_of=self.row_of, rows=self.rows, size=self.size
        )

    def _encoded(self, value: Any, marks: Marks | None) -> Encoded | Removed:
        if type(value) is Removed:
            return Removed(_fixed(value.row))
        return Encoded(self.encode(value), _fixed(self.row_of(value)), marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Last(Keep):
    """The last entries; all three bounds hold.

    Args:
        entries: How many there may be.
        seconds: How old they may become, if not of any age.
        size: How many bytes they may have together; the newest always may.
    """

    entries: int
    seconds: float | None = None
    size: int

    def log(self, epoch: str, tally: Tally | None = None) -> Log:
        """See :meth:`Keep.log`."""
        return RingLog(epoch, self.encode, tally, entries=self.entries, size=self.size, seconds=self.seconds)

    @property
    def timed(self) -> bool:
        """See :attr:`Keep.timed`."""
        return self.seconds is not None


def _fixed(row: Any) -> Any:
    return row if type(row) in IMMUTABLE else deepcopy(row)
