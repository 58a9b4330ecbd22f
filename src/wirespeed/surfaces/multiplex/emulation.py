"""The multiplexed surface over HTTP: answers in one long response, commands in requests beside it.

For where WebSockets do not pass. Section 11 of the protocol page; ``http_stream`` and ``sse``.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Disconnect, ProtocolError
from ...centrifuge.json_codec import JSON
from ...centrifuge.messages import Connect, DisconnectPush, Malformed
from ...centrifuge.protobuf import PROTOBUF
from ...definitions import Criteria
from ...frames import BINARY
from ...hub.engine import Engine
from ...hub.turns import in_turns
from ...lanes.outlet import Framing
from ..http import BoundedRequest
from ..session import SERVICE_RESTART
from ..streaming import HEADERS, NOT_COMPRESSED, StreamedResponse
from .credentials import Credentials
from .session import MultiplexSession
from .site import EMULATION, Beside, Site
from .websocket import TITLE

logger = logging.getLogger("wirespeed")

OCTETS = "application/octet-stream"

FAREWELL = 0.25
"""Seconds that a client has to leave by itself after a disconnect, before its response is ended."""

_SSE_OPENING = b"\r\n"

_REFUSALS = {
    404: "There is no such connection.",
    413: "The commands are too large to reach the process that holds the connection.",
    429: "Too many commands wait for the client to take in their answers.",
}


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
    if not await _only_connects(commands):
        site.hub.refused("sse")
        return JSONResponse({"detail": "A GET connects, and can do nothing else."}, 400)
    engine = await site.hub.engine()
    return EmulatedResponse(request, site, engine, JSON, commands, "text/event-stream", events=True)


async def serve_emulation(request: Request, site: Site) -> Response:
    """Accept commands for a connection whose answers are sent in another response."""
    codec = PROTOBUF if request.headers.get("content-type", "").startswith(OCTETS) else JSON
    body = await BoundedRequest(request, site.hub).body()
    try:
        emulated = codec.emulation(body)
    except ProtocolError:
        return JSONResponse({"detail": codes.BAD_REQUEST.message}, 400)
    if emulated.node == site.node:
        status = site.receive(codec, emulated)
    else:
        status = await _forwarded(site, codec, emulated.node, body)
    if status == 404:
        site.hub.refused("emulation")
    return Response(status_code=204) if status == 204 else JSONResponse({"detail": _REFUSALS[status]}, status)


async def _forwarded(site: Site, codec: Codec, node: str, body: bytes) -> int:
    """Let the process that holds a connection receive its commands; return the status."""
    if not site.hub.has_broker():
        _warn_of_other_processes(site)
        return 404
    try:
        answer = await site.hub.processes.ask(EMULATION, (b"b" if codec.opcode == BINARY else b"t") + body, node)
    except ValueError:
        return 413
    return int(answer) if answer in (b"204", b"429") else 404


def _warn_of_other_processes(site: Site) -> None:
    if not site.knows_of_others:  # once: clients write the name of the node, and may write anything
        site.knows_of_others = True
        logger.warning(
            "A client sent commands for a connection over HTTP that another process holds, or held before a restart. "
            "With several workers, such connections need a broker: Live(app, broker=...)."
        )


async def _only_connects(commands: str) -> bool:
    others = 0
    with suppress(ProtocolError):  # the connection is going to answer it
        async for [command] in in_turns(JSON.commands(commands), 1):
            others += not isinstance(command, Connect | Malformed)
    return not others


def _as_frame(codec: Codec, body: bytes) -> str | bytes:
    if codec.opcode == BINARY:
        return body
    return body.decode(errors="surrogateescape")  # a text that is not UTF-8 is not JSON either, and refused as such


def _events(messages: bytes) -> bytes:
    return b"".join([b"data: %b\n\n" % message for message in JSON.split(messages)])


class EmulatedResponse(StreamedResponse):
    """A multiplexed connection over HTTP, from its request to the end of the response."""

    _session: MultiplexSession

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
        super().__init__(site.hub, TITLE, headers, media_type)
        self.transport = "sse" if events else "http_stream"
        self._site = site
        self._codec = codec
        self._commands = commands
        framing = Framing(_events if events else bytes)
        credentials = Credentials(request.scope, site.authenticator, site.hub)
        self._make_session = partial(
            MultiplexSession, site, self, codec, framing, engine, credentials, is_emulated=True
        )

    async def _begin(self) -> None:
        self._session = self._make_session()
        if self.transport == "sse":
            self.lane.write(_SSE_OPENING, 0)  # so that the browser opens it at once
        self._site.emulated[self._session.key] = Beside(self._codec, self._session.inbound.receive_beside)
        await self._session.inbound.receive(self._commands)

    async def _end(self) -> None:
        del self._site.emulated[self._session.key]
        self._session.end()
        await self._session.ended()

    async def _close(self) -> None:
        if self._has_to_go:
            await self._farewell()
        await super()._close()

    def _beat(self) -> bytes:
        return b""  # the protocol has pings

    async def _farewell(self) -> None:
        """Let a disconnected client leave first: a page that sees the end of the stream before takes it for a cut."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                while (await self._receive_event())["type"] != "http.disconnect":
                    pass

    def refuse(self, status: int, detail: Any) -> None:
        """End the connection of a client that middleware has identified; others are by their connect command."""
        self.leave(codes.CONNECTION_EXPIRED if status == 401 else codes.REVOKED)

    def ends(self, criteria: Criteria) -> list[Callable[[], None]]:
        return self._session.ends(criteria)

    def leave(self, disconnect: Disconnect) -> None:
        """End the response, after everything that was written and the reason of the end."""
        if self.is_over:
            return
        self._session.say_goodbye(disconnect)
        outlet = self._session.link.outlet
        outlet.write(self._codec.push(DisconnectPush(*disconnect)), 1)
        outlet.flush()
        super()._go(disconnect.code, disconnect.reason)

    def _go(self, code: int, reason: str) -> None:  # clients know a restart by a code of their own
        if code == SERVICE_RESTART:
            self._site.hub.members.part()
        self.leave(codes.SHUTDOWN if code == SERVICE_RESTART else Disconnect(code, reason))
