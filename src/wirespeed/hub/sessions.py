"""Sessions: the open connections of an app, their figures, and how they are closed."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, NamedTuple

from ..definitions import Connection, Criteria, LoopLag
from ..definitions.connection import Closable
from ..isolation import isolated
from ..lanes.lane import Traffic
from .admissions import Admissions
from .refusals import Refusals

logger = logging.getLogger("wirespeed")

STOP_TIMEOUT = 5.0
"""Seconds that connections have to close when the app stops."""


class Statistics(NamedTuple):
    """The figures of one app's connections."""

    connections: int
    """Number of open connections."""
    lanes: Mapping[str, int]
    """Number of open connections by lane: ``"uvicorn"`` is the fast lane, ``"asgi"`` the portable one, and ``"http"``
    the body of a response."""
    accepted: int
    """Number of connections accepted so far."""
    refused: Mapping[str, int]
    """Number of refusals so far, by reason."""
    runs: int
    """Number of runs in progress."""
    failed: int
    """Number of runs of user code that failed: that ended with an exception that means no refusal."""
    messages: int
    """Number of messages written so far."""
    bytes: int
    """Number of bytes written so far, with the headers of the frames."""
    loop_lag: LoopLag = LoopLag()
    """Lateness of the event loop's timers in the last ten seconds."""


class Sessions:
    """The open connections of one app.

    Attributes:
        admissions: The users and sessions of their clients.
        loop: The event loop of the newest connection; None before the first one.
    """

    def __init__(self, refusals: Refusals, stall_timeout: float) -> None:
        self._refusals = refusals
        self._stall_timeout = stall_timeout
        self._open: dict[Closable, Connection | None] = {}
        self._numbers = count(1)
        self._lanes: Counter[str] = Counter()
        self.admissions = Admissions()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._accepted = self._runs = self._failed = 0

    def __len__(self) -> int:
        return len(self._open)

    def join(
        self, session: Closable, scope: Mapping[str, Any] | None = None, transport: str = "websocket", title: str = ""
    ) -> None:
        """Count a connection as open."""
        self.loop = asyncio.get_running_loop()
        connection = None if scope is None else Connection(session, scope, transport, next(self._numbers))
        self._open[session] = connection
        self._lanes[session.lane.name] += 1
        if connection is not None and logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s is on the %s lane", title, connection.address or "a client", session.lane.name)

    def leave(self, session: Closable) -> None:
        """Count a connection as closed."""
        if session not in self._open:
            return
        connection = self._open.pop(session)
        self._lanes[session.lane.name] -= 1
        self.admissions.forget(session)
        if connection is not None and session.lane.stalled:
            user = f" of user {connection.user!r}" if connection.user else ""
            client = f"the client{user} at {connection.address or 'an unknown address'} ({connection.transport})"
            said = f"{client} accepted no data for {self._stall_timeout:g} s while data was waiting, and was cut off"
            self._refusals.note("stalled", connection.path, said, logging.WARNING)

    @contextmanager
    def connected(
        self, session: Closable, scope: Mapping[str, Any] | None = None, transport: str = "websocket", title: str = ""
    ) -> Iterator[None]:
        """Count a connection as open within a block; the arguments are those of :meth:`join`."""
        self.join(session, scope, transport, title)
        try:
            yield
        finally:
            self.leave(session)

    def connection(self, session: object) -> Connection | None:
        """Return an open connection, by the object that serves it."""
        return self._open.get(session)  # type: ignore[call-overload,no-any-return]

    def newest(self) -> Iterator[tuple[Closable, Connection]]:
        """Yield all open connections, each behind the object that serves it, the newest first.

        Those that close meanwhile are left out.
        """
        # The copy has no further objects in it: 100,000 tuples would occupy Python's search for cycles for 0.2 s.
        for session in reversed(list(self._open)):
            connection = self._open.get(session)
            if connection is not None:
                yield session, connection

    def find(self, id_: str) -> tuple[Closable, Connection] | None:
        """Return an open connection by its id, behind the object that serves it."""
        return next(((session, each) for session, each in self._open.items() if each and each.id == id_), None)

    def connections(self) -> list[Connection]:
        return [each for each in list(self._open.values()) if each is not None]

    def revoked(self, criteria: Criteria) -> list[Callable[[], None]]:
        """Return a function for each connection and subscription that a revocation ends: it ends it."""
        return self.admissions.revoke(criteria)

    def accepted(self) -> None:
        """Count a connection that was accepted."""
        self._accepted += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count a run as in progress within a block."""
        self._runs += 1
        try:
            yield
        finally:
            self._runs -= 1

    def failed(self) -> None:
        self._failed += 1

    def statistics(self, traffic: Traffic, loop_lag: LoopLag) -> Statistics:
        """Return the figures of the connections."""
        return Statistics(
            connections=len(self._open),
            lanes={lane: count for lane, count in list(self._lanes.items()) if count},
            accepted=self._accepted,
            refused=dict(self._refusals.counts),
            runs=self._runs,
            failed=self._failed,
            messages=traffic.messages,
            bytes=traffic.bytes,
            loop_lag=loop_lag,
        )

    async def close(self) -> None:
        """Close all connections, and ask their clients to reconnect: some servers stop the app before them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT), asyncio.TaskGroup() as closing:
                for session in list(self._open):
                    closing.create_task(self._close(session))

    async def _close(self, session: Closable) -> None:
        with isolated("A connection could not be closed properly."):
            await session.close(1012, "The server is restarting.")
