"""Streams over HTTP: one request, one run, its values in the response's body as they come."""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from math import inf
from typing import Any, Protocol

from anyio import CancelScope, move_on_after
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..codec import NotJSON, error_frame, read_json
from ..definitions import Stream
from ..hub import Hub, Session
from ..lanes.http import HttpLane
from ..lanes.lane import Lane, RunSink
from ..runs.outcome import Failed, Outcome, Refused
from ..runs.pump import pump
from ..runs.tasks import create_task
from ..runs.thread import pump_from_thread
from .bodies import Body, Events, body_of
from .pulse import Pulse
from .reader import CUT_TIMEOUT
from .refusals import mark_counted
from .runs import message_of, run_for_client
from .session import CLOSE_TIMEOUT
from .websocket import FAILED

logger = logging.getLogger("wirespeed")

STOPPING = "The server is restarting."
"""What a client is told, whose run ends for no reason of its own."""

# A proxy that compresses holds a value back until the next one comes; `no-transform` forbids it (RFC 9111, 5.2.2.6).
HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
# Starlette's GZipMiddleware compresses in spite of `no-transform`, unless a response has an encoding, or is one of
# Server-Sent Events. RFC 9110, 8.4.1, would rather not see `identity` here, but nothing else keeps the middleware away.
NOT_COMPRESSED = {"content-encoding": "identity"}


def respond(request: Request, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> StreamingResponse:
    """The response that runs a stream once.

    Args:
        request: The request.
        stream: What is run.
        hub: The hub of the app.
        arguments: The stream's arguments with the message, as FastAPI resolved them.
    """
    accept = ", ".join(request.headers.getlist("accept")) or None
    return RunResponse(stream, hub, arguments, body_of(stream, accept))


class BoundedRequest(Request):
    """A request whose body is one message, and no larger than messages may be.

    Args:
        request: The request.
        hub: The hub of the app, which has the limit.
    """

    def __init__(self, request: Request, hub: Hub) -> None:
        super().__init__(request.scope, request.receive)
        self._hub = hub
        self._message: bytes | None = None

    async def body(self) -> bytes:
        """The message.

        Raises:
            HTTPException: 413, it is too big; 400, the client has left before its end.
        """
        if self._message is None:
            try:
                self._message = await self._read()
            except ClientDisconnect:
                raise HTTPException(400, "The message is incomplete.") from None
        return self._message

    async def json(self) -> Any:
        """The message as JSON; a lone surrogate or an infinite number is as wrong as a missing bracket.

        Raises:
            json.JSONDecodeError: It is not JSON, which FastAPI answers with 422.
        """
        body = await self.body()
        try:
            return read_json(body)
        except NotJSON as error:
            try:
                json.loads(body)
            except json.JSONDecodeError:  # what a route of FastAPI refuses with 422 is refused in the same words
                raise
            except (ValueError, RecursionError):
                pass
            raise json.JSONDecodeError(str(error), "", 0) from None

    async def _read(self) -> bytes:
        body = bytearray()
        with suppress(ValueError):
            self._check(int(self.headers.get("content-length", "0")))
        async for chunk in self.stream():
            body += chunk
            self._check(len(body))
        return bytes(body)

    def _check(self, size: int) -> None:
        if size > self._hub.settings.max_message_bytes:
            self._hub.refused("size", self.scope["path"])
            mark_counted(self.scope)
            raise HTTPException(413, "The message is too big.")


class Serving(Session, Protocol):
    """A session that serves one request."""

    async def run(self) -> None:
        """Serves it, to the end of its response."""


class SessionResponse(StreamingResponse, ABC):
    """A response that a session gives, which the hub counts as a connection. Its body is in no iterator."""

    hub: Hub
    transport: str = "sse"
    """What carries the connection, as operators see it."""
    title: str
    """What the client is connected to, for the log."""

    @abstractmethod
    def session(self, receive: Receive, send: Send) -> Serving:
        """The session for one request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":  # it has no body to wait for
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._serve(scope, receive, send)
        if self.background is not None:
            await self.background()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = self.session(receive, send)
        with self.hub.connected(session, scope, self.transport, self.title):
            self.hub.accepted()
            await session.run()


class RunResponse(SessionResponse):
    """A response whose body is one run.

    Args:
        stream: What is run.
        hub: The hub of the app.
        arguments: All arguments of the stream.
        body: How values become the body.
    """

    transport = "post"

    def __init__(self, stream: Stream, hub: Hub, arguments: Mapping[str, Any], body: Body) -> None:
        headers = HEADERS if body.media_type == Events.media_type else HEADERS | NOT_COMPRESSED
        super().__init__((), headers=headers, media_type=body.media_type)
        self.stream = stream
        self.title = stream.title
        self.hub = hub
        self.arguments = arguments
        self.body_format = body

    def session(self, receive: Receive, send: Send) -> "RunSession":
        return RunSession(self, receive, send)


class RunSession:
    """One run for one request, from its start to the end of the response.

    Args:
        response: What is run, and how.
        receive: ASGI's ``receive`` of the request.
        send: ASGI's ``send`` of the request.
    """

    lane: Lane

    def __init__(self, response: RunResponse, receive: Receive, send: Send) -> None:
        self._stream = response.stream
        self._hub = response.hub
        self._arguments = response.arguments
        self._format = response.body_format
        self._receive = receive
        self._body = self._hub.http_lane(receive, send, response.raw_headers, self._server_stops)
        self._body.on_lost = self._lost
        self.lane = self._body
        self._gone = False
        self._stopping: str | None = None
        self._cancelling = False
        self._is_cut = False
        self._outcome: Outcome[None] | None = None
        self._run: asyncio.Task[None] | None = None
        self._task = asyncio.current_task()

    async def run(self) -> None:
        """Runs the generator; returns when it has ended, and all that it gave is on its way.

        Raises:
            Exception: What the run has failed with: FastAPI answers it, if nothing was written before; dependencies
                roll back, and the server logs it.
        """
        self._run = create_task(self._running())
        watching = asyncio.create_task(self._watch())
        failure: Exception | None = None
        try:
            await asyncio.wait([self._run])
        except asyncio.CancelledError:
            self._is_cut = True
            raise
        finally:
            # Shielded, because test clients cancel again and again; dependencies must outlive the run.
            with CancelScope(shield=True):
                await self._ended(self._run)
                with move_on_after(CUT_TIMEOUT if self._is_cut else inf):
                    failure = await self._part()
                watching.cancel()
                await asyncio.wait([watching])
                await self._body.finish()
        if failure is not None:
            raise failure

    async def _ended(self, run: "asyncio.Task[None]") -> None:
        """Cancels the run once, and waits for its ``finally`` blocks, however long they take."""
        self._cancel()
        while not run.done():
            await asyncio.wait([run])

    async def close(self, code: int, reason: str) -> None:
        """Ends the response and waits until that is done; the code is for WebSockets."""
        self._stop(reason)
        if self._task is not None:
            await asyncio.wait([self._task])

    def _server_stops(self) -> None:
        self._stop(STOPPING)

    def _stop(self, reason: str) -> None:
        self._stopping = self._stopping or reason
        self._cancel()

    def _lost(self) -> None:
        """The client is gone."""
        self._gone = True
        self._cancel()

    def _cancel(self) -> None:
        if self._run is not None and not self._run.done() and not self._cancelling:
            self._cancelling = True
            self._run.cancel()

    async def _watch(self) -> None:
        """Notices when the client leaves."""
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except Exception as error:  # servers tell that a client is gone by errors of any kind
            logger.debug("%s: a client is given up, since receive has failed: %r", self._stream.title, error)
        self._lost()

    # What the generator does

    async def _running(self) -> None:
        with self._hub.running():
            self._outcome = await run_for_client(
                self._hub, self._stream.title, self._pump, lambda: self._cancelling, logs=False
            )

    async def _pump(self) -> None:
        stream, lane = self._stream, _Framed(self._body, self._format, self._hub.settings.heartbeat_interval)
        encoder = self._format.encoder(stream.encoder)
        with lane.pulse.beating() if self._format.beat else nullcontext():
            if not stream.synchronous:
                await pump(stream.function(**self._arguments), encoder, lane)
                return
            await pump_from_thread(lambda: stream.function(**self._arguments), encoder, lane, self._hub.threads())

    # How the response ends

    async def _part(self) -> Exception | None:
        """Ends the response.

        Returns:
            What FastAPI gets to know.
        """
        failure = self._told_failure()
        if self._gone:
            return None if isinstance(failure, HTTPException) else failure
        if failure is not None and not self._body.started:
            return failure
        if failure is None:
            self._body.write(self._format.complete, 0)
            await self._body.end()
        else:
            await self._tell(failure)
        return None if isinstance(failure, HTTPException) else failure

    def _told_failure(self) -> Exception | None:
        """Return what went wrong: an HTTPException where the client may know it."""
        match self._outcome:
            case Refused(error, status, detail):
                return error if isinstance(error, HTTPException) else HTTPException(status, detail)
            case Failed() as failed:
                return failed.exception
            case _:
                return HTTPException(503, self._stopping or STOPPING) if self._cancelling else None

    async def _tell(self, failure: Exception) -> None:
        """Says what went wrong behind the values. Where there is no way to say it, the body stays incomplete."""
        self._body.write(self._format.error(_error_frame(failure)), 1)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT if self._stopping else None):
                await (self._body.end() if self._format.tells else self._body.flushed())


def _error_frame(failure: Exception) -> bytes:
    if not isinstance(failure, HTTPException):
        return error_frame(500, FAILED)
    told = message_of(failure.status_code, failure.detail)
    return error_frame(failure.status_code, told, None if told is failure.detail else failure.detail)


class _Framed(RunSink):
    """A lane for frames, whose payloads become a body."""

    def __init__(self, body: HttpLane, form: Body, heartbeat: float) -> None:
        self._body = body
        self._form = form
        self.pulse = Pulse(heartbeat, self._beat)

    def _beat(self) -> None:
        if self._body.writable():
            self._body.write(self._form.beat, 0)

    def write(self, frames: bytes, messages: int) -> None:
        if frames:
            self.pulse.wrote()
            self._body.write(self._form.values(frames), messages)

    def writable(self) -> bool:
        return self._body.writable()

    def closing(self) -> bool:
        return self._body.closing()

    async def drained(self) -> None:
        await self._body.drained()
