"""Server-Sent Events of a feed or topic (HTML, section 9.2): one response watches one key."""

from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from ..codec import error_json
from ..definitions import SourceHealth, SourceRefusal, Watched
from ..hub import Hub
from ..hub.watcher import Listener
from ..log.base import Wire
from .bodies import event
from .refusals import refusing
from .runs import message_of
from .streaming import HEADERS, StreamedResponse
from .watching import AdmittedWatcher, Watching
from .wishes import Wish

COMPLETE_ID = "complete"
"""The id of a feed's last event: a client that reconnects with it learns that nothing follows."""
REFUSED_ID = "refused"
"""The id of the last event for a client that may not stay: it learns that it need not reconnect."""
_MAY_RETURN = (401, 429)
"""Statuses below 500 after which a client reconnects: its session may have been renewed."""

_OPENING = b":\n\n"


class EventsResponse(AdmittedWatcher, StreamedResponse, Listener):
    """A response whose body is the values of a key, as they come."""

    def __init__(
        self, hub: Hub, watched: Watched[Any, Any], arguments: Mapping[str, Any], wish: Wish, wire: Wire
    ) -> None:
        super().__init__(hub, watched.title, HEADERS | {"vary": "accept"}, "text/event-stream")
        self._rate = wish.rate
        self._wire = wire
        self._asked = (watched, arguments, wish.since)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Entered here and not in the endpoint: a response that is never sent must not hold a place.
        watched, arguments, since = self._asked
        async with Watching(self.hub, refusing(self.hub, scope), watched, arguments, since) as self._watching:
            await super()._serve(scope, receive, send)

    def refuse(self, status: int, detail: Any) -> None:
        """Write an event of the type ``error``, and end the response: the client may not stay."""
        self.stop()
        message = message_of(status, detail)
        error = error_json(status, message, detail)
        is_final = status < 500 and status not in _MAY_RETURN
        self.lane.write((b"id: %b\n" % REFUSED_ID.encode() if is_final else b"") + event(error, "error"), 1)
        self._go(status, message)

    async def _begin(self) -> None:
        self.lane.write(_OPENING, 0)  # the client sees at once that it is connected
        self._watching.begin(self.lane, self._wire, self, self._rate)

    async def _end(self) -> None:
        self._watching.leave()

    # What the engine reports

    def completed(self) -> None:
        """Write the last event: the feed is complete."""
        self.lane.write(b"id: %b\n" % COMPLETE_ID.encode() + event(b"", "complete"), 1)
        self._over()

    def fell_behind(self, lost: int) -> None:
        """End the response: the client was too slow. When it reconnects, it learns how many values it lost."""
        self._over()

    def health(self, health: SourceHealth) -> None:
        """Write an event of the type ``status``: the health of the source has changed."""
        self.lane.write(event(health.as_json().encode(), "status"), 0)

    def refused(self, refusal: SourceRefusal) -> None:
        """Write an event of the type ``error``: the feed's generator refuses the client."""
        status, detail, *_ = refusal
        self.lane.write(event(error_json(status, message_of(status, detail), detail), "error"), 1)
        self._over()

    def not_served(self) -> None:
        """End the response: the client could not be served."""
        self._over()
