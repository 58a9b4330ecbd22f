"""The directory: a log of the broker with the declarations of an app's topics, for processes without the app's code."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ..brokers.broker import Broker, Stored
from ..errors import BrokerDown
from ..isolation import log_error
from ..log.position import Position
from ..log.record import Record, Retention
from .outbox import Outbox
from .shared import answering

logger = logging.getLogger("wirespeed")

NAME = "directory"
"""Name of the log. Those of topics are paths, which begin with a slash."""

RETENTION = Retention("table", rows=10_000, size=8 * 1024 * 1024, retain=float("inf"))

RETRY = 1.0
"""Seconds between two attempts to read the directory while the broker cannot be reached."""

_OTHER = (
    "topic %r: another app, or another version of this one, has declared it differently at this broker. If it is "
    "another app, give each app a namespace of its own: Live(app, namespace=...)."
)


class Directory:
    """The directory, as this process knows it.

    Args:
        own: The declarations of this process's topics, by path, as JSON; empty in a process that only reads.

    Attributes:
        declared: All declarations, by path, as JSON.
    """

    def __init__(self, broker: Broker, outbox: Outbox, own: Mapping[str, bytes]) -> None:
        self.declared: dict[str, bytes] = {}
        self._broker = broker
        self._outbox = outbox
        self._own = own
        self._has_begun = False

    async def open(self) -> None:
        """Read the directory, and be notified of changes from now on.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        async with answering():
            await self._broker.attach(NAME, RETENTION, self)

    async def open_soon(self) -> None:
        """Open the directory as soon as the broker can be reached."""
        while True:
            try:
                await self.open()
                return
            except BrokerDown:
                pass
            except Exception as error:  # whatever it is, it may work later
                log_error(error, "The topics of this app could not be declared at the broker; it tries again.")
            await asyncio.sleep(RETRY)

    # Called by the broker

    def begin(self, at: Position, held: Sequence[tuple[int, Record]]) -> None:
        self.declared.clear()
        for _, record in held:
            self._take(record)
        for path, text in self._own.items():
            # The newest version of an app has the last word: earlier ones leave it as it is.
            if path not in self.declared or (not self._has_begun and self.declared[path] != text):
                self._declare(Record(text, json.dumps(path).encode()))
        self._has_begun = True

    def append(self, previous: int, offset: int, record: Record) -> None:
        self._take(record)

    def _take(self, record: Record) -> None:
        if record.row is None or record.payload is None:
            return
        path = json.loads(record.row)
        self.declared[path] = record.payload
        if self._own.get(path, record.payload) != record.payload:
            logger.warning(_OTHER, path)

    def _declare(self, record: Record) -> None:
        # Beyond the bound: when a broker returns empty, the outbox may be full, and no one would declare it later.
        self._outbox.queue(NAME, RETENTION, _unchanged, _noted).put(record)

    def stale(self, since: float | None) -> None:
        """Do nothing: what is known stays known."""

    def completed(self) -> None:
        """Do nothing: no one ends this log."""

    def notice(self, message: bytes) -> None:
        """Do nothing: no one sends any."""


def _unchanged(record: Any) -> Record:
    assert isinstance(record, Record)
    return record


def _noted(result: Stored, record: Any) -> None:
    if isinstance(result, Exception):
        log_error(result, "A topic could not be declared at the broker.")
