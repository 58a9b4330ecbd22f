"""Server-Sent Events of a feed or topic (HTML, section 9.2): one response watches one key."""

from collections.abc import Awaitable, Callable
from math import inf

from anyio import CancelScope, move_on_after
from starlette.types import Receive, Scope, Send

from ..hub import Hub
from ..hub.engine import Engine, Ticket
from ..hub.watcher import Listener, Watcher
from ..isolation import isolated
from ..lanes.lane import Lane
from .formats import event
from .http import HEADERS, SessionResponse
from .reader import Reader
from .refusals import LAST_RUN_GOES_ON, refusing
from .session import CLOSE_TIMEOUT
from .wires import EVENTS

COMPLETE_ID = "complete"
"""The id of a feed's last event: who comes again with it is told that there is no more."""

Enter = Callable[[], Awaitable[Ticket]]

_OPENING = b":\n\n"


class EventsResponse(SessionResponse):
    """A response whose body is what comes under a key.

    Args:
        hub: The hub of the app.
        engine: Its engine.
        name: The key's name.
        enter: Takes note of where the client begins.
        rate: Most writes per second; None for no limit.
    """

    def __init__(self, hub: Hub, engine: Engine, name: str, enter: Enter, rate: int | None) -> None:
        super().__init__((), headers=HEADERS | {"vary": "accept"}, media_type="text/event-stream")
        self.hub = hub
        self.engine = engine
        self.name = name
        self.title = name
        self.rate = rate
        self._enter = enter
        self._ticket: Ticket | None = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here and not in the endpoint: a response that is never sent must not hold a place.
        with refusing(self.hub, scope, LAST_RUN_GOES_ON):
            self._ticket = await self._enter()
        try:
            await super()._serve(scope, receive, send)
        finally:
            if self._ticket is not None:
                self.engine.leave(self._ticket)

    def watch(self, lane: Lane, listener: Listener) -> Watcher:
        """Begin to watch, once."""
        assert self._ticket is not None
        watcher = self.engine.watch(self._ticket, lane, EVENTS, listener, self.rate)
        self._ticket = None
        return watcher

    def session(self, receive: Receive, send: Send) -> "EventsSession":
        return EventsSession(self, receive, send)


class EventsSession(Reader):
    """One client of one key, from its request to the end of the response.

    Args:
        response: What is watched.
        receive: ASGI's ``receive`` of the request.
        send: ASGI's ``send`` of the request.
    """

    __slots__ = ("_ended", "_is_told_to_go", "_response", "_watcher", "lane")

    def __init__(self, response: EventsResponse, receive: Receive, send: Send) -> None:
        super().__init__(receive)
        self._response = response
        self._ended = False
        self._is_told_to_go = False
        self._watcher: Watcher | None = None
        self.lane: Lane = response.hub.http_lane(receive, send, response.raw_headers, self._go)
        self.lane.on_lost = self._end

    async def run(self) -> None:
        """Writes what comes, until the client is gone or everything is said."""
        response = self._response
        self.lane.write(_OPENING, 0)  # so that the client knows at once that it is connected
        with response.engine.heartbeat.of(self.lane):
            try:
                self._watcher = response.watch(self.lane, self)
                await self._read_until_over()
            finally:
                # Shielded, because test clients cancel again and again.
                with CancelScope(shield=True):
                    with isolated("A connection could not be ended in order."), move_on_after(self._patience()):
                        if self._watcher is not None:
                            response.engine.unwatch(response.name, self._watcher)
                        with move_on_after(CLOSE_TIMEOUT if self._is_told_to_go else inf):
                            await self.lane.close(0)
                    await self.lane.finish()

    async def close(self, code: int, reason: str) -> None:
        """Ends the response and waits until that is done; code and reason are for WebSockets."""
        self._go()
        await self.over()

    async def _read(self) -> None:
        while not self._ended and (await self._receive_event())["type"] != "http.disconnect":
            pass

    def _go(self) -> None:
        """The server ends the response: the client has 2 s to take what was written."""
        self._is_told_to_go = True
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._stop_reading()

    # What the engine tells

    def completed(self) -> None:
        """The feed is complete."""
        self.lane.write(b"id: %b\n" % COMPLETE_ID.encode() + event(b"", "complete"), 1)
        self._end()

    def fell_behind(self, lost: int) -> None:
        """The client was too slow: when it comes again, it is told what it has lost."""
        self._end()

    def not_served(self) -> None:
        """The client could not be served."""
        self._end()
