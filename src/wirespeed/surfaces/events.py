"""Server-Sent Events of a feed or topic (HTML, section 9.2): one response watches one key."""

from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any

from anyio import CancelScope, move_on_after
from starlette.types import Receive, Scope, Send

from ..definitions import Watched
from ..hub import Hub
from ..isolation import isolated
from ..lanes.http import HttpLane
from .bodies import event
from .http import HEADERS, SessionResponse
from .reader import Reader
from .session import CLOSE_TIMEOUT
from .watching import Watching
from .wires import EVENTS
from .wishes import Wish

COMPLETE_ID = "complete"
"""The id of a feed's last event: who comes again with it is told that there is no more."""

_OPENING = b":\n\n"


class EventsResponse(SessionResponse):
    """A response whose body is the values of a key, as they come.

    Args:
        hub: The hub of the app.
        watched: The feed or topic.
        arguments: The key, as FastAPI resolved it.
        wish: What the client asked for.
    """

    def __init__(self, hub: Hub, watched: Watched[Any, Any], arguments: Mapping[str, Any], wish: Wish) -> None:
        super().__init__((), headers=HEADERS | {"vary": "accept"}, media_type="text/event-stream")
        self.hub = hub
        self.title = watched.title
        self.rate = wish.rate
        self._ask = partial(Watching, watched=watched, arguments=arguments, since=wish.since)
        self._watching: Watching | None = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Entered here and not in the endpoint: a response that is never sent must not hold a place.
        async with self._ask(self.hub, scope) as self._watching:
            await super()._serve(scope, receive, send)

    def session(self, receive: Receive, send: Send) -> "EventsSession":
        assert self._watching is not None
        return EventsSession(self, self._watching, receive, send)


class EventsSession(Reader):
    """One client of one key, from its request to the end of the response.

    Args:
        response: The response.
        watching: The client's place among the watchers of the key.
        receive: ASGI's ``receive`` of the request.
        send: ASGI's ``send`` of the request.
    """

    __slots__ = ("_ended", "_is_told_to_go", "_rate", "_watching", "lane")

    def __init__(self, response: EventsResponse, watching: Watching, receive: Receive, send: Send) -> None:
        super().__init__(receive)
        self._rate = response.rate
        self._watching = watching
        self._ended = False
        self._is_told_to_go = False
        self.lane: HttpLane = response.hub.http_lane(receive, send, response.raw_headers, self._go)
        self.lane.on_lost = self._end

    async def run(self) -> None:
        """Writes what comes, until the client is gone or everything is said."""
        self.lane.write(_OPENING, 0)  # so that the client knows at once that it is connected
        with self._watching.engine.heartbeat.of(self.lane):
            try:
                self._watching.begin(self.lane, EVENTS, self, self._rate)
                await self._read_until_over()
            finally:
                # Shielded, because test clients cancel again and again.
                with CancelScope(shield=True):
                    with isolated("A connection could not be ended in order."), move_on_after(self._patience()):
                        self._watching.leave()
                        with move_on_after(CLOSE_TIMEOUT if self._is_told_to_go else inf):
                            await self.lane.end()
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

    def stale(self, since: float | None) -> None:
        """Nothing: clients do not learn about it yet."""

    def not_served(self) -> None:
        """The client could not be served."""
        self._end()
