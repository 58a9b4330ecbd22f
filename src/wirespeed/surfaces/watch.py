"""The raw WebSocket of a feed or topic: one connection watches one key, one value per message."""

from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket

from ..codec import error_json
from ..definitions import Handler, SourceHealth, SourceRefusal, Watched
from ..frames import TEXT, frame
from ..frameworks import has_open_dependencies, receive_of
from ..hub import Hub
from ..hub.watcher import Listener
from .carry import carry_on
from .handling import Handled, Handling
from .refusals import refusing
from .runs import message_of
from .session import INTERNAL_ERROR, NORMAL, TRY_AGAIN_LATER, Session, close_code_of
from .watching import AdmittedWatcher, Watching, check_key
from .wires import raw_wire
from .wishes import wants_pieces, wants_positions, wish_of


async def serve_watcher(
    websocket: WebSocket, watched: Watched[Any, Any], hub: Hub, arguments: Mapping[str, Any]
) -> None:
    """Accept a client, and write the values of a key to it until it leaves.

    If no middleware in between has to see the messages, the session goes on in our own, and this returns before the
    client leaves.

    Raises:
        HTTPException: 414, the key is too long; 422, a wish is invalid; 503, too many keys are watched, or the feed is
            still stopping its previous run.
    """
    check_key(hub, watched, arguments)
    query = websocket.query_params
    wish = wish_of(watched, query)
    positions = wants_positions(watched, query)
    grows = wants_pieces(watched, query)
    wire = raw_wire(watched, positions=positions, grows=grows)
    # Entered before the accept: a client that sees itself connected misses no value.
    async with Watching(hub, refusing(hub, websocket.scope), watched, arguments, wish.since) as watching:
        session = WatchSession(
            websocket, hub, watching, has_notices=positions or grows or watched.retention.kind == "table"
        )
        try:
            await session.accept(websocket, watched.title)
            if watching.ticket is not None:  # otherwise it was revoked already
                watching.begin(session.lane, wire, session, wish.rate)
        except BaseException:
            hub.sessions.leave(session)
            raise
        stays = False
        if watched.handler is not None:
            session.handle(watched.handler, arguments)
            stays = has_open_dependencies(websocket.scope)
        if not stays and session.lane.is_direct and carry_on(session, websocket.scope, receive_of(websocket)):
            watching.keep()
            return
        await session.run()


class WatchSession(AdmittedWatcher, Session, Listener):
    """One client of one key, from the accept to the end."""

    failed = "The handler failed."
    __slots__ = ("_handling", "_has_notices", "_watching")

    def __init__(self, websocket: WebSocket, hub: Hub, watching: Watching, *, has_notices: bool) -> None:
        super().__init__(receive_of(websocket), hub.lanes.websocket(receive_of(websocket), websocket.send), hub)
        self._watching = watching
        self._has_notices = has_notices
        self._handling: Handling | None = None

    def refuse(self, status: int, detail: Any) -> None:
        """End the watch now, and the session soon; messages that wait for the handler are dropped."""
        self.stop()
        if self._handling is not None:
            self._handling.drop()
        super().refuse(status, detail)

    def unwatch(self) -> None:
        """End the watch: the client has left."""
        self._hub.sessions.leave(self)
        self._watching.leave()

    def handle(self, handler: Handler, arguments: Mapping[str, Any]) -> None:
        """Take messages from now on."""
        title, room = self._watching.watched.title, self._hub.settings.max_inbox_bytes
        self._handling = Handling(self._hub, title, handler, arguments, room, self._handled, self._broken)

    # What the engine reports

    def completed(self) -> None:
        """Close the connection: the feed or topic is complete."""
        self._leave(NORMAL, f"The {self._watching.watched.kind} is complete.")

    def fell_behind(self, lost: int) -> None:
        """Close the connection: the client was too slow."""
        self._leave(TRY_AGAIN_LATER, f"Too slow: {lost} values were lost. Reconnect to resume.")

    def refused(self, refusal: SourceRefusal) -> None:
        """Send an error frame, and close the connection: the feed's generator refuses the client."""
        status, detail, close, _ = refusal
        message = message_of(status, detail)
        if close is None:
            self.lane.write(frame(TEXT, error_json(status, message, detail)), 1)
        self._leave(*(close or (close_code_of(status), message)))

    def not_served(self) -> None:
        """Close the connection: the client could not be served."""
        self._leave(INTERNAL_ERROR, f"The {self._watching.watched.kind} failed.")

    def health(self, health: SourceHealth) -> None:
        """Send ``{"status": ...}`` to a client whose other messages are objects of ours, too."""
        if self._has_notices:
            self.lane.write(frame(TEXT, b'{"status":%b}' % health.as_json().encode()), 0)

    # What the client sends

    async def _end(self) -> None:
        self.unwatch()
        if self._handling is not None:
            await self._handling.finish()

    async def _take(self, message: str | bytes) -> None:
        watched, handling = self._watching.watched, self._handling
        if handling is None:
            self._hub.refused("invalid message")
            await self._tell(422, f"This {watched.kind} takes no messages.")
        else:
            await self._queue(handling, message, handling.handler.decoder, watched.title)

    async def _handled(self, about: None, ended: Handled) -> None:
        await self._answer(ended)
