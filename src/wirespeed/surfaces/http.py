"""Streams over HTTP: one request, one run, its values in the response's body as they come."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..codec import NotJSON, error_json, read_json
from ..definitions import Stream
from ..hub import Hub
from ..runs.outcome import Completed, Failed, Outcome, Refused, failed_by
from ..runs.tasks import create_task, error_of
from ..weight import weight_of
from .answers import answer_to
from .bodies import Body, Events, body_of
from .refusals import mark_counted
from .runs import message_of, run_counted, run_stream
from .streaming import HEADERS, NOT_COMPRESSED, STOPPING, StreamedResponse
from .websocket import FAILED


def respond(request: Request, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> StreamingResponse:
    """Return the response that runs a stream once."""
    accept = ", ".join(request.headers.getlist("accept")) or None
    return RunResponse(stream, hub, arguments, body_of(stream, accept))


class BoundedRequest(Request):
    """A request whose body is bounded, by default by the limit of one message."""

    def __init__(self, request: Request, hub: Hub, most: int | None = None) -> None:
        super().__init__(request.scope, request.receive)
        self._hub = hub
        self._most = most or hub.settings.max_message_bytes
        self._message: bytes | None = None

    @property
    def kept(self) -> int:
        """Bytes to charge for the message as long as its value is kept."""
        return len(self._message) + weight_of(self._message) if self._message else 0

    async def body(self) -> bytes:
        """Return the message.

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
        """Return the message as JSON; a lone surrogate or an infinite number is an error like a missing bracket.

        Raises:
            json.JSONDecodeError: It is not JSON, which FastAPI answers with 422.
        """
        body = await self.body()
        try:
            return read_json(body)
        except NotJSON as error:
            try:
                json.loads(body)
            except json.JSONDecodeError:  # what FastAPI's own routes refuse with 422 gets the same words
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
        if size > self._most:
            self._hub.refused("size", self.scope["path"])
            mark_counted(self.scope)
            raise HTTPException(413, "The message is too big.")


class RunResponse(StreamedResponse):
    """A response whose body is one run."""

    transport = "post"

    def __init__(self, stream: Stream, hub: Hub, arguments: Mapping[str, Any], body: Body) -> None:
        headers = HEADERS if body.media_type == Events.media_type else HEADERS | NOT_COMPRESSED
        super().__init__(hub, stream.title, headers, body.media_type)
        self._stream = stream
        self._arguments = arguments
        self._body = body
        self._cut = HTTPException(503, STOPPING)
        self._outcome: Outcome[None] | None = None
        self._run: asyncio.Task[None] | None = None
        self._is_cancelled = False
        self._failure: Exception | None = None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the generator; return when it has ended, and everything that it yielded is with the server.

        Raises:
            Exception: The run failed, and its client knows: dependencies roll back, and the server logs it. If nothing
                was written before, FastAPI answers; then it may be an HTTPException, too.
        """
        await super()._serve(scope, receive, send)
        if self._failure is not None:
            raise self._failure

    def _beat(self) -> bytes:
        return self._body.beat

    def _go(self, code: int, reason: str) -> None:
        self._cut = HTTPException(503, reason)
        super()._go(code, reason)

    @property
    def definition(self) -> Stream:
        return self._stream

    def refuse(self, status: int, detail: Any) -> None:
        """End the run and the response: the client may not stay."""
        self._go(status, STOPPING)
        self._cut = HTTPException(status, detail)

    # The run

    async def _begin(self) -> None:
        self._run = create_task(self._running())
        self._run.add_done_callback(lambda _: self._over())

    async def _running(self) -> None:
        encoder = self._body.encoder(self._stream.encoder)
        self._outcome = await run_counted(
            self.hub,
            self._stream,
            lambda: run_stream(self.hub, self._stream, self._arguments, encoder, self.lane),
            lambda: self._is_cancelled,
        )

    async def _end(self) -> None:
        """Cancel the run once, and wait for its ``finally`` blocks, however long they take."""
        run = self._run
        assert run is not None
        if not run.done():
            self._is_cancelled = True
            run.cancel()
        while not run.done():
            await asyncio.wait([run])
        if not self._is_cancelled and (error := error_of(run)) is not None:
            self.hub.sessions.failed()
            self._outcome = failed_by(error)  # for whatever reason: a response that is cut off would say nothing

    # How the response ends

    async def _close(self) -> None:
        match self._outcome:
            case Completed():
                self.lane.write(self._body.complete, 0)
                await super()._close()
            case Refused() as refused:
                await self._refuse(answer_to(refused))
            case Failed() as failed:
                self._failure = failed.exception
                await self._tell(error_json(500, FAILED))
            case _:  # cancelled: the server ends the response, or the client has left
                await self._refuse(self._cut)

    async def _refuse(self, refusal: HTTPException) -> None:
        if self.lane.started:
            message = message_of(refusal.status_code, refusal.detail)
            await self._tell(error_json(refusal.status_code, message, refusal.detail))
        elif not self.is_gone:
            self._failure = refusal

    async def _tell(self, error: bytes) -> None:
        """Write an error behind the values. If the body has no form for it, the body stays incomplete."""
        if not self.lane.started or self.is_gone:
            return
        self.lane.write(self._body.error(error), 1)
        await (self.lane.end() if self._body.tells else self.lane.flushed())
