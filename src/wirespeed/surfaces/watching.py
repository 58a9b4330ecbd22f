"""The watching core: one client's place among the watchers of one key, from its entry to its end."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException

from ..definitions import Watched
from ..hub import Hub
from ..hub.engine import Engine
from ..hub.live_key import Ticket
from ..hub.watcher import Listener, Watcher
from ..isolation import isolated
from ..lanes.lane import Sink
from ..log.base import Log, Wire
from ..log.position import Position
from .admitted import Admitted


def check_key(hub: Hub, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> None:
    """Refuse a long key in the address of a raw surface: its name may be kept when the client has left.

    The multiplexed connection has its own check, of the channel as the client spells it.

    Raises:
        HTTPException: 414.
    """
    most = hub.settings.max_key_bytes
    if len(unquote_to_bytes(watched.key.text(watched.key.pick(arguments)))) > most:
        raise HTTPException(414, f"The key is longer than {most} bytes.")


class Watching:
    """One client that watches one key: an async context manager, which the raw WebSocket, SSE and multiplex share.

    Args:
        refusing: Turns an ``Unavailable``, and a ``TimeoutError`` if the feed is still stopping its previous run, into
            the answer of the surface.

    Entering it reserves a place: every value published from then on is for this client. :meth:`begin` starts the
    watch. Leaving it gives the place back or ends the watch, unless :meth:`keep` has handed it to a new owner.
    """

    __slots__ = ("_asked", "_is_kept", "_is_over", "engine", "log", "name", "ticket", "watched", "watcher")

    engine: Engine
    log: Log
    """The log of the key."""
    name: str

    def __init__(
        self,
        hub: Hub,
        refusing: AbstractContextManager[None],
        watched: Watched[Any, Any],
        arguments: Mapping[str, Any],
        since: Position | None = None,
    ) -> None:
        self._asked = (hub, refusing, arguments, since)
        self._is_kept = False
        self._is_over = False
        self.watched = watched
        self.ticket: Ticket | None = None
        """The reserved place; None once the watch has begun. Its cursor may be moved before that."""
        self.watcher: Watcher | None = None
        """The watcher; None before the watch begins and after its end."""

    async def __aenter__(self) -> Self:
        hub, refusing, arguments, since = self._asked
        del self._asked  # a scope that is kept takes kilobytes for as long as the watch lasts
        with refusing:
            values = self.watched.key.pick(arguments)
            self.name = hub.name(self.watched, self.watched.key.text(values))
            self.engine = await hub.engine()
            self.ticket = await self.engine.enter(self.watched, self.name, values, since)
        self.log = self.ticket.log
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or not self._is_kept:
            self.leave()

    def begin(self, sink: Sink, wire: Wire, listener: Listener, rate: int | None) -> None:
        """Start the watch: write what the log has for the client now, and the rest as it comes.

        Args:
            listener: The object that learns how the watch ends. It may learn so, and may call :meth:`leave`, before
                this returns.
            rate: The most writes per second; None for no limit.
        """
        ticket, self.ticket = self.ticket, None
        if ticket is None:  # the place was given back meanwhile
            return
        try:
            watcher = self.engine.watch(ticket, sink, wire, listener, rate)
        except BaseException:
            self.engine.leave(ticket)
            raise
        self.watcher = watcher
        if self._is_over:
            self.leave()

    def keep(self) -> Self:
        """Hand the place or the watch to a new owner, which has to call :meth:`leave`; leaving the block without an
        error changes nothing then."""
        self._is_kept = True
        return self

    def stop(self) -> None:
        """Write what was published so far, as far as the client has room, and nothing that comes."""
        if self.watcher is not None:
            with isolated("%s: what was published first could not be written.", self.name):
                self.watcher.catch_up()
        self.leave()

    def lag(self) -> int:
        """Return the number of entries that the client has not got."""
        return 0 if self.watcher is None else self.watcher.lag

    def leave(self) -> None:
        """Give the place back, or end the watch; nothing happens if either was done before."""
        self._is_over = True
        ticket, self.ticket = self.ticket, None
        watcher, self.watcher = self.watcher, None
        if ticket is not None:
            self.engine.leave(ticket)
        if watcher is not None:
            self.engine.unwatch(self.name, watcher)


class AdmittedWatcher(Admitted):
    """A connection that watches one key."""

    __slots__ = ()

    _watching: Watching

    @property
    def definition(self) -> Watched[Any, Any]:
        return self._watching.watched

    @property
    def place(self) -> str:
        return self._watching.name

    def lag(self) -> int:
        return self._watching.lag()

    def stop(self) -> None:
        self._watching.stop()
