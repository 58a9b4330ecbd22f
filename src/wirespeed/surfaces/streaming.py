"""Streaming responses: the body is written as its content comes, until it is complete or the client leaves.

A POST to a stream, Server-Sent Events of a feed or topic, and the multiplexed connection over HTTP share this core.
"""

import logging
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from math import inf

from anyio import CancelScope, move_on_after
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..hub import Hub
from ..isolation import isolated
from ..lanes.http import HttpLane
from .admitted import Admitted, identity_in
from .reader import Reader
from .recheck import recheck_raw
from .session import CLOSE_TIMEOUT, SERVICE_RESTART

logger = logging.getLogger("wirespeed")

STOPPING = "The server is restarting."
"""The reason that a client gets when the server ends its response."""

# A proxy that compresses holds a value back until the next one comes; `no-transform` forbids it (RFC 9111, 5.2.2.6).
HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
# Starlette's GZipMiddleware compresses in spite of `no-transform`, unless a response has an encoding, or is one of
# Server-Sent Events. RFC 9110, 8.4.1, would rather not see `identity` here, but nothing else keeps the middleware away.
NOT_COMPRESSED = {"content-encoding": "identity"}

_STOPPED = "wirespeed.stopped"


def note_stop(scope: Scope) -> None:
    """Note in a scope that the server has stopped before its response began: a server says so only once."""
    scope[_STOPPED] = True


class StreamedResponse(StreamingResponse, Reader, Admitted):
    """A response that the hub counts as a connection, for one request."""

    transport = "sse"
    """The kind of transport, as operators see it."""
    lane: HttpLane

    def __init__(self, hub: Hub, title: str, headers: Mapping[str, str], media_type: str) -> None:
        StreamingResponse.__init__(self, (), headers=headers, media_type=media_type)
        self.hub = hub
        self.title = title
        self.is_gone = False
        """True if the client has left, or was given up."""
        self.is_over = False
        """True if the response ends: it is complete, or the client has left or has to go."""
        self._has_to_go = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, to its end."""
        if scope["method"] == "HEAD":  # it has no body to wait for
            await self._send_empty(send)
        else:
            await self._serve(scope, receive, send)
            if self.is_gone and not self.lane.started:
                # Servers drop it. Without an answer, Starlette's BaseHTTPMiddleware would raise an error.
                with suppress(Exception):  # servers raise errors of any kind for a client that has left
                    await self._send_empty(send)
        if self.background is not None:
            await self.background()

    async def _send_empty(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b""})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        Reader.__init__(self, receive)  # not before: the task that serves the request reads it
        self.lane = self.hub.lanes.http(receive, send, self.raw_headers, self._shut_down)
        self.lane.on_lost = self._lost
        self.identity = identity_in(scope)
        connected = self.hub.sessions.connected(self, scope, self.transport, self.title)
        with connected, self.hub.lanes.heartbeat().of(self.lane, self._beat()):
            self.admit(self.hub, scope)
            if self.definition is not None:
                recheck_raw(self.hub, self, self.definition, scope)
            self.hub.sessions.accepted()
            try:
                await self._begin()
                if _STOPPED in scope:  # before there was a lane
                    self._shut_down()
                await self._read_until_over()
            finally:
                # Shielded, because test clients cancel again and again. Dependencies must outlive what uses them.
                with CancelScope(shield=True):
                    with isolated("A response could not be ended in order."):
                        await self._end()
                    with isolated("A response could not be closed in order."), move_on_after(self._patience()):
                        with move_on_after(CLOSE_TIMEOUT if self._has_to_go else inf):
                            await self._close()
                    await self.lane.finish()

    async def close(self, code: int, reason: str) -> None:
        """End the response, and wait until it has ended."""
        self._go(code, reason)
        await self.over()

    def _shut_down(self) -> None:
        self._go(SERVICE_RESTART, STOPPING)

    # What subclasses do

    @abstractmethod
    async def _begin(self) -> None:
        """Start what fills the body."""

    @abstractmethod
    async def _end(self) -> None:
        """End what fills the body, and wait until it has ended."""

    async def _close(self) -> None:
        """Complete the body, unless the client has left."""
        if not self.is_gone:
            await self.lane.end()

    def _beat(self) -> bytes:
        """Return the bytes that keep a quiet response open and mean nothing to the client; empty for none."""
        return b":\n\n"  # a comment (HTML, section 9.2)

    def _go(self, code: int, reason: str) -> None:
        """End the response from any task: the client has two seconds to accept what was written."""
        self._has_to_go = True
        self._over()

    # How it ends

    async def _read(self) -> None:
        try:
            while not self.is_over and (await self._receive_event())["type"] != "http.disconnect":
                pass
        except Exception as error:  # servers raise errors of any kind for a client that has left
            logger.debug("%s: a client was given up because receive failed: %r", self.title, error)
        self.is_gone = self.is_gone or not self.is_over

    def _lost(self) -> None:
        self.is_gone = True
        self._over()

    def _over(self) -> None:
        self.is_over = True
        self._stop_reading()
