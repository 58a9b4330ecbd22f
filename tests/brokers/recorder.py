"""A replica that checks each call against everything that was ever stored."""

from collections.abc import Mapping, Sequence

import pytest

from wirespeed.log.position import Position
from wirespeed.log.record import Record, Retention


class Recorder:
    """Takes records as a hub would, and fails the test for a call that breaks a promise.

    Args:
        truth: Everything that was ever stored, by epoch; None if it is not known.
        retention: The entries that the log retains.

    Attributes:
        at: The position of the newest entry; None before the replica has begun.
        entries: The entries since the replica last began, the ones that it began with included.
        is_stale: True if the connection is lost.
        completed_at: Positions at which the replica was completed.
        notices: The notices that it got.
    """

    def __init__(self, truth: Mapping[str, Sequence[tuple[int, Record]]] | None, retention: Retention) -> None:
        self._truth = truth
        self._retention = retention
        self.at: Position | None = None
        self.entries: list[tuple[int, Record]] = []
        self.begins = 0
        self.is_stale = False
        self.completed_at: list[Position] = []
        self.notices: list[bytes] = []

    def begin(self, at: Position, held: Sequence[tuple[int, Record]]) -> None:
        self.at = at
        self.entries = list(held)
        offsets = [offset for offset, _ in held]
        promise(offsets == sorted(set(offsets)))
        promise(not offsets or offsets[-1] <= at.offset)
        promise(all(record.payload is not None for _, record in held))
        self.begins += 1
        self.is_stale = False

    def append(self, previous: int, offset: int, record: Record) -> None:
        assert self.at is not None
        promise(previous == self.at.offset < offset)
        if self._truth is not None:
            stored = self._truth[self.at.epoch]
            promise((offset, record) in stored)
            promise(self._retention.kind != "last" or not [each for each, _ in stored if previous < each < offset])
        self.at = Position(self.at.epoch, offset)
        self.entries.append((offset, record))
        self.is_stale = False

    def stale(self, since: float | None) -> None:
        promise(self.is_stale or since is not None)
        self.is_stale = since is not None

    def completed(self) -> None:
        assert self.at is not None
        self.completed_at.append(self.at)

    def notice(self, message: bytes) -> None:
        assert self.at is not None
        self.notices.append(message)

    def payloads(self) -> list[bytes | None]:
        """Return the payloads of all entries since the replica last began."""
        return [record.payload for _, record in self.entries]

    def positions(self) -> list[Position]:
        """Return the positions of all entries since the replica last began."""
        return [Position(self.at.epoch, offset) for offset, _ in self.entries] if self.at else []

    def rows(self) -> dict[bytes | None, bytes]:
        """Return the payloads of a table's rows."""
        newest = {record.row: record.payload for _, record in self.entries}
        return {row: payload for row, payload in newest.items() if payload is not None}


def promise(is_kept: bool) -> None:
    """Fail the test if a promise is broken, not by an error: those of replicas are logged, and they begin again."""
    if not is_kept:
        pytest.fail("a broker has broken a promise")
