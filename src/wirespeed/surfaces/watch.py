"""The raw WebSocket of a feed or topic: one connection watches one key, one value per message."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.websockets import WebSocket, WebSocketState

from ..definitions import Handler, Topic, Watched
from ..errors import InboxFull, InvalidMessage
from ..hub import Hub
from ..hub.engine import Engine, Ticket
from ..hub.watcher import Format, Watcher
from ..runs.inbox import Inbox
from ..runs.outcome import Cancelled, Completed, Failed, Refused, run_in_thread
from ..runs.overlap import QueuedRuns
from .carry import carry_on, has_open_dependencies
from .refusals import LAST_RUN_GOES_ON, refusing
from .runs import run_for_client
from .session import INTERNAL_ERROR, NORMAL, POLICY_VIOLATION, TRY_AGAIN_LATER, Session, size_of
from .wires import format_of
from .wishes import wants_positions, wish_of

HANDLING_TIMEOUT = 2.0
"""Seconds that a topic's handler has for the messages of a client that has left, before it is cancelled."""


async def serve_watcher(
    websocket: WebSocket, watched: Watched[Any, Any], hub: Hub, arguments: Mapping[str, Any]
) -> None:
    """Accepts a client, and tells it what comes under a key until it is gone.

    Where nobody in between needs to see it, the session goes on in the middleware, and this returns before.

    Args:
        websocket: The connection, not accepted yet.
        watched: What the client watches.
        hub: The hub of the app.
        arguments: The key, and what the topic's handler takes beside the message, as FastAPI resolved them.

    Raises:
        HTTPException: 422, a wish cannot be understood; 503, too many keys are watched, or the last run does not end.
    """
    query = websocket.query_params
    wish = wish_of(watched, query)
    wire = format_of(watched, positions=wants_positions(watched, query))
    engine = await hub.engine()
    values = watched.key.pick(arguments)
    name = hub.name(watched, watched.key.text(values))
    with refusing(hub, websocket.scope, LAST_RUN_GOES_ON):  # before the accept: who is connected misses nothing
        ticket = await engine.enter(watched, name, values, wish.since)
    with engine.holding(ticket):
        session = WatchSession(websocket, hub, engine, watched, name)
        hub.join(
            session, websocket.scope, title=watched.title
        )  # before the accept, so that an app that stops meanwhile closes this one, too
        try:
            if websocket.application_state is WebSocketState.CONNECTING:  # a dependency may have accepted
                await websocket.accept()
            hub.accepted()
            session.lane.accepted()
            session.watch(ticket, wire, wish.rate)
        except BaseException:
            hub.leave(session)
            raise
    stays = False
    if isinstance(watched, Topic) and watched.handler is not None:
        session.handle(watched.handler, arguments)
        stays = has_open_dependencies(websocket.scope)
    if not stays and session.lane.is_direct and carry_on(session, websocket.scope, websocket._receive):
        return
    await session.run()


class WatchSession(Session):
    """One client of one key, from accept to the end."""

    failed = "The handler failed."
    __slots__ = ("_arguments", "_engine", "_handler", "_name", "_runs", "_watched", "_watcher")

    def __init__(self, websocket: WebSocket, hub: Hub, engine: Engine, watched: Watched[Any, Any], name: str) -> None:
        super().__init__(websocket._receive, hub.lane(websocket._receive, websocket.send), hub)
        self._engine = engine
        self._watched = watched
        self._name = name
        self._watcher: Watcher | None = None
        self._handler: Handler | None = None
        self._arguments: Mapping[str, Any] = {}
        self._runs: QueuedRuns | None = None

    def watch(self, ticket: Ticket, wire: Format, rate: int | None) -> None:
        """Begins to watch."""
        self._watcher = self._engine.watch(ticket, self.lane, wire, self, rate)

    def unwatch(self) -> None:
        """Ends to watch: the client is no more."""
        self._hub.leave(self)
        if self._watcher is not None:
            self._engine.unwatch(self._name, self._watcher)

    def handle(self, handler: Handler, arguments: Mapping[str, Any]) -> None:
        """Takes messages from now on.

        Args:
            handler: What takes each.
            arguments: Its arguments beside the message.
        """
        settings = self._hub.settings
        self._handler = handler
        self._arguments = {name: arguments[name] for name in handler.names}
        self._runs = QueuedRuns(self._handle, Inbox(settings.max_inbox_messages, settings.max_inbox_bytes))
        self._runs.start()

    # What the engine tells

    def completed(self) -> None:
        """The feed is complete."""
        self._leave(NORMAL, "The feed is complete.")

    def fell_behind(self, lost: int) -> None:
        """The client was too slow."""
        self._leave(TRY_AGAIN_LATER, f"Too slow: {lost} values were lost. Connect again to go on.")

    def not_served(self) -> None:
        """The client could not be served."""
        self._leave(INTERNAL_ERROR, f"The {self._watched.kind} failed.")

    # What the client sends

    async def _begin(self) -> None:
        """Everything has begun."""

    async def _end(self) -> None:
        self.unwatch()
        if self._runs is not None:
            # What a client says before it leaves was said.
            with suppress(TimeoutError):
                async with asyncio.timeout(HANDLING_TIMEOUT):
                    await self._runs.idle()
            await self._runs.stop()

    async def _take(self, message: str | bytes) -> None:
        if self._handler is None or self._runs is None:
            self._hub.refused("invalid message")
            await self._tell_invalid(InvalidMessage(f"This {self._watched.kind} takes no messages."))
            return
        try:
            item = self._decoded(self._handler.decoder, message, self._watched.title)
            self._runs.offer(item, size_of(message) + self._handler.decoder.weight(message))
        except InboxFull as error:
            await self._refuse("inbox full", POLICY_VIOLATION, f"Not taken: {error}.")

    async def _handle(self, message: Any) -> None:
        """One message, in its turn."""
        if isinstance(message, InvalidMessage):
            await self._tell_invalid(message)
            return
        runs = self._runs
        outcome = await run_for_client(
            self._hub,
            self._watched.title,
            lambda: self._call_handler(message),
            lambda: runs is not None and runs.cancelling,
            what="the handler of its messages",
        )
        match outcome:
            case Refused():
                await self._tell_refused(outcome)
            case Failed():
                await self._tell(500, self.failed)
            case Completed() | Cancelled():
                pass

    async def _call_handler(self, message: Any) -> None:
        assert self._handler is not None
        arguments = {**self._arguments, self._handler.parameter: message}
        if self._handler.synchronous:
            await run_in_thread(partial(self._handler.function, **arguments))
        else:
            await self._handler.function(**arguments)
