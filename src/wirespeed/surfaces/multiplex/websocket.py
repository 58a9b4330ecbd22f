"""The multiplexed surface over a WebSocket."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Disconnect
from ...centrifuge.json_codec import JSON
from ...centrifuge.protobuf import PROTOBUF
from ...definitions import Criteria
from ...frameworks import receive_of
from ...hub.engine import Engine
from ..carry import carry_on
from ..session import POLICY_VIOLATION, SERVICE_RESTART, Session
from .credentials import Credentials
from .session import MultiplexSession
from .site import Site

_SUBPROTOCOLS = {"centrifuge-json": JSON, "centrifuge-protobuf": PROTOBUF}

TITLE = "multiplexed connection"

SHUTDOWN_RATE = 1000
"""Connections per second that are closed at a shutdown, within one second at most: their clients reconnect at once."""


async def serve_multiplexed(websocket: WebSocket, site: Site) -> None:
    """Accept a client, and serve its commands until it leaves."""
    engine = await site.hub.engine()
    offered = websocket.scope.get("subprotocols", ())
    chosen = next((each for each in _SUBPROTOCOLS if each in offered), None)
    session = MultiplexWebSocket(websocket, site, engine, _codec(websocket, chosen))
    try:
        await session.accept(websocket, TITLE, chosen)
    except BaseException:
        session.unwatch()
        raise
    if not (session.lane.is_direct and carry_on(session, websocket.scope, receive_of(websocket))):
        await session.run()


def _codec(connection: HTTPConnection, chosen: str | None) -> Codec:
    if chosen is not None:
        return _SUBPROTOCOLS[chosen]
    query = connection.query_params
    return PROTOBUF if "protobuf" in (query.get("cf_protocol"), query.get("format")) else JSON


class MultiplexWebSocket(Session):
    """One WebSocket of the multiplexed surface, from accept to the end."""

    failed = "internal server error"
    __slots__ = ("_session",)

    def __init__(self, websocket: WebSocket, site: Site, engine: Engine, codec: Codec) -> None:
        lane = site.hub.lanes.websocket(receive_of(websocket), websocket.send, on_shutdown=self.shut_down)
        super().__init__(receive_of(websocket), lane, site.hub)
        credentials = Credentials(websocket.scope, site.authenticator, site.hub)
        pings = websocket.query_params.get("cf_ws_frame_ping_pong") != "true"
        self._session = MultiplexSession(site, self, codec, site.framing(codec), engine, credentials, pings=pings)

    def leave(self, disconnect: Disconnect) -> None:
        """Close the connection soon, after everything that was written."""
        self._session.say_goodbye(disconnect)
        self._leave(*disconnect)

    def shut_down(self) -> None:
        """Close the connection because the server stops, and not in the same moment as all others."""
        self._hub.members.part()
        spread = min(1.0, len(self._hub.sessions) / SHUTDOWN_RATE)
        asyncio.get_running_loop().call_later(random.uniform(0, spread), self.leave, codes.SHUTDOWN)  # noqa: S311

    def refuse(self, status: int, detail: Any) -> None:
        """End the connection of a client that middleware has identified; others are by their connect command."""
        self.leave(codes.CONNECTION_EXPIRED if status == 401 else codes.REVOKED)

    def ends(self, criteria: Criteria) -> list[Callable[[], None]]:
        return self._session.ends(criteria)

    def unwatch(self) -> None:
        """End the session: the client has left."""
        self._hub.sessions.leave(self)
        self._session.end()

    async def close(self, code: int, reason: str) -> None:
        """Close the connection and wait until the session has ended; clients know a restart by a code of their own."""
        self.leave(codes.SHUTDOWN if code == SERVICE_RESTART else Disconnect(code, reason))
        await self.over()

    async def _end(self) -> None:
        self.unwatch()
        await self._session.ended()

    async def _take(self, message: str | bytes) -> None:
        await self._session.inbound.receive(message)

    async def _refuse(self, why: str, code: int, reason: str) -> None:
        self._hub.refused(why)
        self.leave(codes.TOO_MANY_COMMANDS if code == POLICY_VIOLATION else codes.BAD_PROTOCOL)
