"""The multiplexed surface over HTTP: answers in one long response, commands in requests beside it.

For where WebSockets do not pass. Section 11 of the protocol page; ``http_stream`` and ``sse``.
"""

import asyncio
import logging
from contextlib import suppress
from math import inf

from anyio import CancelScope, move_on_after
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Send

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Disconnect, ProtocolError
from ...centrifuge.json_codec import JSON
from ...centrifuge.messages import Connect, DisconnectPush, Malformed
from ...centrifuge.protobuf import PROTOBUF
from ...frames import BINARY
from ...hub import Hub
from ...hub.engine import Engine
from ...isolation import isolated
from ...lanes.http import HttpLane
from ...lanes.outlet import Framing
from ..http import HEADERS, NOT_COMPRESSED, BoundedRequest, SessionResponse
from ..reader import Reader
from ..session import CLOSE_TIMEOUT
from .credentials import Credentials
from .session import MultiplexSession
from .site import Beside, Site
from .websocket import SERVICE_RESTART, TITLE

logger = logging.getLogger("wirespeed")

OCTETS = "application/octet-stream"

FAREWELL = 0.25
"""Seconds that a client has to go by itself, once it was told why it has to."""

_SSE_OPENING = b"\r\n"


async def serve_http_stream(request: Request, site: Site) -> Response:
    """Answers a POST whose body has the first commands with a stream of replies: lines of JSON, or Protobuf."""
    codec = PROTOBUF if request.headers.get("content-type", "").startswith(OCTETS) else JSON
    body = await BoundedRequest(request, site.hub).body()
    media_type = OCTETS if codec is PROTOBUF else "application/json"
    return EmulatedResponse(request, site, await site.hub.engine(), codec, _as_frame(codec, body), media_type)


async def serve_sse(request: Request, site: Site) -> Response:
    """Answers a GET whose query has the connect command with Server-Sent Events, one for each reply.

    Anything else has to be posted: pages of all origins can make a browser GET, with its cookies.
    """
    commands = request.query_params.get("cf_connect", "")
    if not _only_connects(commands):
        site.hub.refused("sse")
        return JSONResponse({"detail": "A GET connects, and can do nothing else."}, 400)
    engine = await site.hub.engine()
    return EmulatedResponse(request, site, engine, JSON, commands, "text/event-stream", events=True)


async def serve_emulation(request: Request, site: Site) -> Response:
    """Takes commands for a connection whose answers go another way."""
    codec = PROTOBUF if request.headers.get("content-type", "").startswith(OCTETS) else JSON
    body = await BoundedRequest(request, site.hub).body()
    try:
        emulated = codec.emulation(body)
    except ProtocolError:
        return JSONResponse({"detail": codes.BAD_REQUEST.message}, 400)
    if emulated.node != site.node:
        _warn_of_other_processes(site)
    connection = site.emulated.get(emulated.session)
    if emulated.node != site.node or connection is None or connection.codec is not codec:
        site.hub.refused("emulation")
        return JSONResponse({"detail": "There is no such connection."}, 404)
    if not connection.receive(emulated.data):
        return JSONResponse({"detail": "Too many commands wait for the client to take in their answers."}, 429)
    return Response(status_code=204)


def _warn_of_other_processes(site: Site) -> None:
    if not site.knows_of_others:  # once: clients write the name of the node, and may write anything
        site.knows_of_others = True
        logger.warning(
            "A client sent commands for a connection over HTTP that another process holds, or held before a restart. "
            "Without sticky sessions, such connections fail with several workers; run one worker."
        )


def _only_connects(commands: str) -> bool:
    try:
        return all(isinstance(command, Connect | Malformed) for command in JSON.commands(commands))
    except ProtocolError:
        return True  # which the connection tells


def _as_frame(codec: Codec, body: bytes) -> str | bytes:
    if codec.opcode == BINARY:
        return body
    return body.decode(errors="surrogateescape")  # what is no UTF-8 is no JSON either, and refused as such


def _events(messages: bytes) -> bytes:
    return b"".join([b"data: %b\n\n" % message for message in JSON.split(messages)])


class EmulatedResponse(SessionResponse):
    """A response whose body is what a connection is told.

    Args:
        request: The request.
        site: What it shares with all others.
        engine: The engine.
        codec: Its format.
        commands: The first commands.
        media_type: Of the body.
        events: Whether the body is of Server-Sent Events.
    """

    def __init__(
        self,
        request: Request,
        site: Site,
        engine: Engine,
        codec: Codec,
        commands: str | bytes,
        media_type: str,
        *,
        events: bool = False,
    ) -> None:
        headers = HEADERS | {"cache-control": "no-store, no-transform"} | ({} if events else NOT_COMPRESSED)
        super().__init__((), headers=headers, media_type=media_type)
        self.hub: Hub = site.hub
        self.title = TITLE
        self.transport = "sse" if events else "http_stream"
        self.site = site
        self.engine = engine
        self.codec = codec
        self.commands = commands
        self.events = events
        self.credentials = Credentials(request.scope, site.authenticator, site.hub)

    def session(self, receive: Receive, send: Send) -> "EmulatedSession":
        return EmulatedSession(self, receive, send)


class EmulatedSession(Reader):
    """One connection over HTTP, from its request to the end of the response.

    Args:
        response: What it answers.
        receive: ASGI's ``receive`` of the request.
        send: ASGI's ``send`` of the request.
    """

    __slots__ = ("_ended", "_response", "_session", "lane")

    def __init__(self, response: EmulatedResponse, receive: Receive, send: Send) -> None:
        super().__init__(receive)
        self._response = response
        self._ended = False
        site = response.site
        self.lane: HttpLane = site.hub.http_lane(receive, send, response.raw_headers, self._shut_down)
        self.lane.on_lost = self._end
        framing = Framing(_events if response.events else _as_they_are)
        self._session = MultiplexSession(
            site, self, response.codec, framing, response.engine, response.credentials, is_emulated=True
        )

    async def run(self) -> None:
        """Serves the connection until the client is gone, or told to go."""
        if self._response.events:
            self.lane.write(_SSE_OPENING, 0)  # so that the browser opens it at once
        emulated = self._response.site.emulated
        emulated[self._session.key] = Beside(self._response.codec, self._session.receive_beside)
        try:
            await self._session.receive(self._response.commands)
            await self._read_until_over()
        finally:
            # Shielded, because test clients cancel again and again.
            with CancelScope(shield=True):
                del emulated[self._session.key]
                with isolated("A connection could not be ended in order."), move_on_after(self._patience()):
                    self._session.end()
                    await self._session.ended()
                    if self._ended:
                        await self._farewell()
                    with move_on_after(CLOSE_TIMEOUT if self._ended else inf):
                        await self.lane.end()
                await self.lane.finish()

    async def _farewell(self) -> None:
        """Lets a client that was told to go do it: pages that see the end of the stream first take it for a cut."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                while (await self._receive_event())["type"] != "http.disconnect":
                    pass

    def leave(self, disconnect: Disconnect) -> None:
        """Ends the response, after the news that it ends, and why."""
        if self._ended:
            return
        self._session.say_goodbye()
        outlet = self._session.link.outlet
        outlet.write(self._response.codec.push(DisconnectPush(*disconnect)), 1)
        outlet.flush()
        self._end()

    async def close(self, code: int, reason: str) -> None:
        """End the response and wait until that is done; clients know a restart by a code of their own."""
        self.leave(codes.SHUTDOWN if code == SERVICE_RESTART else Disconnect(code, reason))
        await self.over()

    def _shut_down(self) -> None:
        self.leave(codes.SHUTDOWN)

    async def _read(self) -> None:
        while not self._ended and (await self._receive_event())["type"] != "http.disconnect":
            pass

    def _end(self) -> None:
        self._ended = True
        self._stop_reading()


def _as_they_are(messages: bytes) -> bytes:
    return messages
