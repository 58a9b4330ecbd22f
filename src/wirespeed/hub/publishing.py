"""Publishing: the way of a value into the log of a key, whether the key is live or not."""

from collections import defaultdict
from collections.abc import Container
from dataclasses import replace
from functools import partial
from typing import Any

from anyio import CapacityLimiter

from ..brokers.broker import Stored
from ..codec import name_value
from ..definitions import FeedDefinition, Receipt, Watched, settle
from ..errors import BacklogFull
from ..isolation import log_error
from ..log.base import Entry, Marks, Spoilt, State
from ..log.kinds import LogKind
from ..log.position import Position, Unchanged
from ..settings import Settings
from .figures import Figures
from .loads import Loads
from .logs import LocalLogs, Logs
from .mishaps import Mishaps
from .shared import SharedLogs


class Publishing:
    """Publishes to the topics of one app.

    Attributes:
        figures: The figures of each feed and topic.
        loads: The loads of the topics that have a loader.
        mishaps: The last errors of keys and definitions.
    """

    def __init__(
        self,
        local: LocalLogs,
        shared: SharedLogs | None,
        live: Container[str],
        settings: Settings,
        threads: CapacityLimiter,
    ) -> None:
        self.figures: defaultdict[Watched[Any, Any], Figures] = defaultdict(Figures)
        self._local = local
        self._shared = shared
        self._live = live
        self._settings = settings
        self.mishaps = Mishaps()
        self._kinds: dict[Watched[Any, Any], LogKind] = {}
        errors = self.mishaps
        self.loads = Loads(local, shared, threads, settings, self.kind, self.figures, errors, self._publish_held, live)
        self._held = self.loads.held

    def kind(self, watched: Watched[Any, Any]) -> LogKind:
        """Return the kind of the logs of a feed or topic, bounded by the app's settings."""
        if watched not in self._kinds:
            failed = partial(self._not_encoded, watched)
            self._kinds[watched] = bounded(watched.log_kind, self._settings, failed)
        return self._kinds[watched]

    def logs(self, watched: Watched[Any, Any]) -> Logs:
        """Return the logs of a feed or topic. A feed that each process runs for itself has logs of its own there."""
        if self._shared is None or (isinstance(watched, FeedDefinition) and not self.is_run_once(watched)):
            return self._local
        return self._shared

    def is_run_once(self, watched: Watched[Any, Any]) -> bool:
        """Return True if one process runs the generators of a feed for all processes."""
        has_leases = self._shared is not None and self._shared.leases is not None
        return has_leases and isinstance(watched, FeedDefinition) and watched.run == "once"

    def _not_encoded(self, watched: Watched[Any, Any], error: Exception, value: Any) -> None:
        self.figures[watched].failed += 1
        self.mishaps.note(watched.title, error)
        name_value(error, value)
        log_error(error, "%s: a value cannot be encoded.", watched.title, of=watched.title)

    def publish(
        self,
        watched: Watched[Any, Any],
        name: str,
        value: Any,
        marks: Marks | None = None,
        receipt: Receipt | None = None,
    ) -> Receipt:
        """Publish a value; in the loop.

        Raises:
            BacklogFull: Too many values wait for the broker, or until the topic is loaded.
        """
        if self._shared is not None and watched.kind == "topic":
            return self._send(self._shared, watched, name, value, marks, receipt or Receipt(watched.title))
        kind = self.kind(watched)
        position, error = None, None
        try:
            if type(value) is Spoilt:
                raise value.error
            if self._held and name in self._held:
                return self._hold(watched, name, kind.values.state(value, marks), receipt or Receipt(watched.title))
            if marks is not None:
                value = kind.values.taken(value, marks)
            position = self._local.publish(name, kind, value)
        except BacklogFull:
            raise
        except Exception as raised:
            error = raised
            self._failed(watched, name, error)
        else:
            if not self._local.is_open(name):  # a key that is live may still wait for its load
                self._count(watched, position)
        if receipt is None:
            return Receipt(watched.title, position, error=error)
        settle(receipt, position, error)
        return receipt

    def complete(self, watched: Watched[Any, Any], name: str, receipt: Receipt | None = None) -> Receipt:
        """Complete a key of a topic, behind everything that was published before; in the loop.

        Raises:
            BacklogFull: Too many values wait for the broker, or until the topic is loaded.
        """
        receipt, kind = receipt or Receipt(watched.title), self.kind(watched)
        if self._shared is not None:
            try:
                self._shared.complete(name, kind, receipt)
            except BacklogFull as full:
                raise BacklogFull(watched.title, full.waiting) from None
        elif name in self._held:
            self.loads.hold(watched, name, None, receipt)
        else:
            settle(receipt, self._local.complete(name, kind))
        return receipt

    def _hold(self, watched: Watched[Any, Any], name: str, state: State, receipt: Receipt) -> Receipt:
        """Keep a publication until its log is loaded."""
        self.loads.hold(watched, name, state, receipt)
        return receipt

    def _publish_held(self, watched: Watched[Any, Any], name: str, state: State | None, receipt: Receipt) -> None:
        if state is None:
            self.complete(watched, name, receipt)
        else:
            self.publish(watched, name, state, None, receipt)

    def _send(
        self,
        shared: SharedLogs,
        watched: Watched[Any, Any],
        name: str,
        value: Any,
        marks: Marks | None,
        receipt: Receipt,
    ) -> Receipt:
        """Publish a value to all processes; the receipt waits for the broker."""
        kind = self.kind(watched)
        try:
            if type(value) is Spoilt:
                raise value.error
            if marks is not None:
                value = kind.values.taken(value, marks)
            shared.publish(name, kind, value, receipt, partial(self._sent, watched, name))
        except BacklogFull as full:
            raise BacklogFull(watched.title, full.waiting) from None
        except Exception as error:
            self._failed(watched, name, error)
            settle(receipt, None, error)
        return receipt

    def _failed(self, watched: Watched[Any, Any], name: str, error: Exception) -> None:
        self.figures[watched].failed += 1
        self.mishaps.note(name, error)

    def _sent(self, watched: Watched[Any, Any], name: str, result: Stored, value: Any) -> None:
        if isinstance(result, Exception):
            self._failed(watched, name, result)
        elif name not in self._live:
            self._count(watched, result)

    def _count(self, watched: Watched[Any, Any], position: Position) -> None:
        """Count a publication that no live key counts."""
        if type(position) is not Unchanged:
            self.figures[watched].published += 1

    async def held(self, watched: Watched[Any, Any], name: str) -> tuple[list[Entry], Position | None]:
        """Return the entries of a key's log, and its position; None if there is no such log."""
        return await self.logs(watched).held(name, self.kind(watched))


def bounded(kind: LogKind, settings: Settings, failed: Any) -> LogKind:
    """Return the kind of the logs of one app, with the bounds of its settings."""
    retention, values = kind
    if not retention.size:  # an app elsewhere has declared it otherwise, and its settings apply
        rows = settings.max_table_rows if retention.kind == "table" else 0
        size = 0 if retention.kind == "latest" and values.grow is None else settings.max_log_bytes
        retention = retention._replace(size=size, rows=rows)
    return LogKind(retention, replace(values, failed=failed))
