"""The raw WebSocket: one connection to one stream, one value per message."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from http.client import responses
from typing import Any

from anyio import CancelScope
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocket, WebSocketState

from ..codec import error_frame
from ..definitions import Intake, Stream
from ..errors import InboxFull, InvalidMessage
from ..hub import Hub
from ..rate import Rate
from ..runs.inbox import Inbox
from ..runs.overlap import QueuedRuns, ReplacingRuns, Runs, SingleRun
from ..runs.pump import pump
from ..runs.thread import ThreadMessages, pump_from_thread

logger = logging.getLogger("wirespeed")

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to take what was written, and to answer our close frame."""

NORMAL = 1000
MESSAGE_TOO_BIG = 1009
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
SENDABLE = {1000, 1001, 1002, 1003, *range(1007, 1015)}

FAILED = "The stream failed."
"""All that a client is told of an exception."""


async def serve(websocket: WebSocket, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> None:
    """Accepts a client, serves its stream until it is gone, and ends with every run ended.

    Args:
        websocket: The connection, not accepted yet.
        stream: What the client watches.
        hub: The hub of the app.
        arguments: The stream's arguments but for the message, as FastAPI resolved them.
    """
    session = StreamSession(websocket, stream, hub, arguments)
    with hub.connected(session):  # before the accept, so that an app that stops meanwhile closes this one, too
        if websocket.application_state is WebSocketState.CONNECTING:  # a dependency may have accepted
            await websocket.accept()
        hub.accepted()
        logger.debug("%s: %s is on the %s lane", stream.title, websocket.client, session.lane.name)
        await session.run()


class StreamSession:
    """One client of one stream, from accept to the end."""

    def __init__(self, websocket: WebSocket, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> None:
        self._websocket = websocket
        self._stream = stream
        self._hub = hub
        self._arguments = arguments
        # The fast lane is found by the server's own `receive`, which Starlette's WebSocket keeps to itself.
        self.lane = hub.lane(websocket._receive, websocket.send)
        self.lane.on_lost = self._lost
        self._runs = self._make_runs()
        self._interrupt = asyncio.timeout(None)
        self._reading = False
        self._gone = False
        self._farewell: tuple[int, str] | None = None
        self._failure: Exception | None = None
        self._task = asyncio.current_task()

    def _make_runs(self) -> Runs:
        settings = self._hub.settings
        inbox = Inbox(settings.inbox_messages, settings.inbox_size)
        if self._stream.intake is not Intake.EACH:
            return SingleRun(self._only_run, inbox)
        if self._stream.overlap == "replace":
            return ReplacingRuns(self._run)
        return QueuedRuns(self._queued_run, inbox)

    async def run(self) -> None:
        """Reads until the client is gone or told to go; returns when its runs have ended, too.

        Raises:
            Exception: What the only run of the connection has failed with, once its client was told: FastAPI's
                dependencies roll back, and the server logs it.
        """
        self._runs.start()
        try:
            await self._read_until_over()
        finally:
            # Shielded, because test clients cancel again and again; dependencies must outlive the run.
            with CancelScope(shield=True):
                await self._runs.stop()
                if self._farewell is not None and not self._gone:
                    await self._part(*self._farewell)
                await self.lane.finish()
        if self._failure is not None:
            raise self._failure

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection and waits until the session has ended."""
        self._leave(code, reason)
        if self._task is not None:
            await asyncio.wait([self._task])

    def _lost(self) -> None:
        """The lane has given the client up."""
        self._gone = True
        self._stop_reading()

    def _leave(self, code: int, reason: str) -> None:
        """Ends the session from any task. The first farewell counts.

        The close itself is sent when nobody reads any more: some servers cannot do both at the same time.
        """
        if self._farewell is None:
            self._farewell = (code, reason) if _may_be_sent(code) else (INTERNAL_ERROR, reason)
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._reading:
            self._interrupt.reschedule(asyncio.get_running_loop().time())

    async def _read_until_over(self) -> None:
        try:
            async with self._interrupt:
                self._reading = True
                await self._read()
        except TimeoutError:
            if not self._interrupt.expired():
                raise
        finally:
            self._reading = False

    async def _part(self, code: int, reason: str) -> None:
        """Sends the close, and reads away what is on its way: unread bytes would reset the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.lane.close(code, reason)
                while await self._receive() is not None:
                    pass

    # What the client sends

    async def _read(self) -> None:
        """Takes messages until the connection is over. It is always being read, so that its end is noticed."""
        clock = asyncio.get_running_loop().time
        rate = Rate(self._hub.settings.messages_per_second, clock())
        while self._farewell is None and (message := await self._receive()) is not None:
            if not rate.admits(clock()):
                await self._refuse("rate", POLICY_VIOLATION, "Too many messages per second.")
            elif _size(message) > self._hub.settings.max_message_size:
                await self._refuse("size", MESSAGE_TOO_BIG, "The message is too big.")
            else:
                await self._take(message)

    async def _receive(self) -> str | bytes | None:
        """The next message; None when the client is gone, however often that is asked."""
        if self._gone:
            return None
        event = await self._websocket.receive()
        if event["type"] == "websocket.disconnect":
            self._gone = True
            # The server's parser has refused a message and closed the connection; it tells nobody but by this code.
            if event.get("code") == MESSAGE_TOO_BIG and self._farewell is None:
                self._hub.refused("size")
            return None
        text: str | None = event.get("text")
        data: bytes = event.get("bytes") or b""
        return data if text is None else text

    async def _take(self, message: str | bytes) -> None:
        item = self._decode(message)
        if isinstance(item, InvalidMessage) and not isinstance(self._runs, QueuedRuns):
            await self._tell_invalid(item)
            return
        try:
            self._runs.offer(item, _size(message))
        except InboxFull as error:
            await self._refuse("inbox full", POLICY_VIOLATION, f"Not taken: {error}.")

    def _decode(self, message: str | bytes) -> Any:
        """What the generator gets, or what its sender gets instead: in its turn, where messages wait for theirs."""
        try:
            if self._stream.decoder is None:
                raise InvalidMessage("This stream takes no messages.")
            return self._stream.decoder.decode(message)
        except InvalidMessage as error:
            self._hub.refused("invalid message")
            return error.with_traceback(None)  # whose frames would keep the message
        except Exception:
            logger.exception("%s: a validator failed", self._stream.title)
            return InvalidMessage(FAILED, code=500)

    async def _tell_invalid(self, error: InvalidMessage) -> None:
        await self._tell(error.code, error.message, error.detail)

    async def _refuse(self, why: str, code: int, reason: str) -> None:
        self._hub.refused(why)
        await self._tell(429 if code == POLICY_VIOLATION else 413, reason)
        self._leave(code, reason)

    async def _tell(self, code: int, message: str, detail: Any = None) -> None:
        """Sends an error frame. A client that does not read its errors is not read any further either."""
        self.lane.write(error_frame(code, message, detail), 1)
        await self.lane.drained()

    # What the generator does

    async def _only_run(self, messages: Inbox) -> None:
        """The one run of a stream without a message, or of a duplex one; the connection ends with it."""
        self._leave(*await self._run(messages))

    async def _queued_run(self, message: Any) -> None:
        """One run, or the answer to a message that was no good."""
        if isinstance(message, InvalidMessage):
            await self._tell_invalid(message)
        else:
            await self._run(message)

    async def _run(self, message: Any) -> tuple[int, str]:
        """Runs the generator once; how to close if it was the only time.

        The client is told of a failure, the log of its traceback.
        """
        try:
            with self._hub.running():
                await self._pump(message)
        except HTTPException as error:
            told = error.detail if isinstance(error.detail, str) else responses.get(error.status_code, "Refused")
            await self._tell(error.status_code, told, None if told is error.detail else error.detail)
            return POLICY_VIOLATION if error.status_code < 500 else INTERNAL_ERROR, told
        except WebSocketException as error:
            self._leave(error.code, error.reason)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._runs.cancelling:
                raise
            return await self._failed(error)
        return NORMAL, ""

    async def _failed(self, error: BaseException) -> tuple[int, str]:
        """Whatever it was, SystemExit or a cancellation that nobody here asked for: it ends one run, not the server."""
        self._hub.failed()
        if isinstance(self._runs, SingleRun) and isinstance(error, Exception):
            error.add_note(f"in {self._stream.title}")
            self._failure = error
        else:
            logger.error("%s: the run failed", self._stream.title, exc_info=error)
        await self._tell(500, FAILED)
        return INTERNAL_ERROR, FAILED

    async def _pump(self, message: Any) -> None:
        stream, arguments = self._stream, dict(self._arguments)
        if stream.parameter is not None:
            arguments[stream.parameter] = message
        if not stream.synchronous:
            await pump(stream.function(**arguments), stream.encoder, self.lane)
            return
        if stream.intake is Intake.ALL and stream.parameter is not None:
            arguments[stream.parameter] = ThreadMessages(message)
        threads = self._hub.threads()
        await pump_from_thread(lambda: stream.function(**arguments), stream.encoder, self.lane, threads)


def _size(message: str | bytes) -> int:
    """A message's size on the wire, in bytes."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode(errors="replace"))


def _may_be_sent(code: int) -> bool:
    """Whether a close frame may carry a code (RFC 6455, section 7.4)."""
    return code in SENDABLE or 3000 <= code < 5000
