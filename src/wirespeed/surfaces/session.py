"""Sessions: a session serves one WebSocket connection, from the accept to the end."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, ClassVar

from anyio import CancelScope
from starlette.types import Receive, Send
from starlette.websockets import WebSocket, WebSocketState

from ..codec import Decoder, error_json
from ..errors import InboxFull, InvalidMessage
from ..frames import TEXT, frame
from ..hub import Hub
from ..identity import ANONYMOUS
from ..isolation import isolated
from ..lanes.lane import RunSink, WebSocketLane, nothing
from ..rate import Rate
from ..runs.outcome import Cancelled, Completed, Failed, Outcome, Refused
from ..runs.overlap import QueuedRuns, Runs
from .admitted import Admitted, identity_in
from .reader import Reader
from .recheck import recheck_raw
from .runs import Invalid, decoded, message_of, note_unanswered

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to accept what was written, and to answer our close frame."""

NORMAL = 1000
NO_STATUS = 1005
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
_REFUSED_BY_PARSERS = {INVALID_DATA: "invalid message", MESSAGE_TOO_BIG: "size"}
SENDABLE = {1000, 1001, 1002, 1003, *range(1007, 1015)}


class Conversation(ABC):
    """The messages of one client, and the answers to them."""

    __slots__ = ()
    _hub: Hub

    failed: ClassVar[str]
    """The message for a client whose run failed; it does not show the exception."""

    @property
    @abstractmethod
    def _sink(self) -> RunSink:
        """The way out for answers."""

    @abstractmethod
    def _leave(self, code: int, reason: str) -> None:
        """Close the connection, after everything that was written."""

    async def _queue(self, runs: Runs, message: str | bytes, decoder: Decoder[Any] | None, title: str) -> None:
        """Decode a message for user code, and queue it for its turn.

        A message that does not validate takes its turn, too, where messages have turns: answers come in order.
        """
        item = self._decoded(message, decoder, title)
        if not isinstance(item, Invalid):
            size = size_of(message) + (0 if decoder is None else decoder.weight(message))
        elif isinstance(runs, QueuedRuns):
            size = len(item.frame)
        else:
            await self._answer(item)
            return
        try:
            runs.offer(item, size)
        except InboxFull as error:
            await self._refuse("inbox full", POLICY_VIOLATION, f"Not taken: {error}.")

    def _decoded(self, message: str | bytes, decoder: Decoder[Any] | None, title: str) -> Any:
        """Return the value of a message, or what its sender gets instead."""
        try:
            if decoder is None:
                raise InvalidMessage("This stream takes no messages.")
            return decoded(self._hub, title, decoder, message, self.failed)
        except InvalidMessage as error:
            if error.code < 500:
                self._hub.refused("invalid message")
            return Invalid(frame(TEXT, error_json(error.code, error.message, error.detail)))

    # What the client gets in answer

    async def _answer(self, ended: Outcome[Any] | Invalid) -> tuple[int, str]:
        """Report how a run ended, or why none started. Return the close for a connection that ends with it."""
        match ended:
            case Completed() | Cancelled():  # after a cancellation, the code that requested it says farewell
                return NORMAL, ""
            case Refused(close=(code, reason)):  # a WebSocketException always ends the connection, with its own code
                self._leave(code, reason)
                return code, reason
            case Refused(_, status, detail):
                message = message_of(status, detail)
                await self._tell(status, message, detail)
                return close_code_of(status), message
            case Failed():
                await self._tell(500, self.failed)
                return INTERNAL_ERROR, self.failed
            case Invalid(answer):
                await self._send(answer)
                return NORMAL, ""

    def _broken(self, error: BaseException) -> None:
        """Close the connection: a run has ended without an answer."""
        note_unanswered(self._hub, error)
        self._leave(INTERNAL_ERROR, self.failed)

    async def _refuse(self, why: str, code: int, reason: str) -> None:
        self._hub.refused(why)
        await self._tell(429 if code == POLICY_VIOLATION else 413, reason)
        self._leave(code, reason)

    async def _tell(self, code: int, message: str, detail: Any = None) -> None:
        await self._send(frame(TEXT, error_json(code, message, detail)))

    async def _send(self, error: bytes) -> None:
        """Send an error frame, and wait until there is room: a client that does not read its errors is not read."""
        self._sink.write(error, 1)
        await self._sink.drained()


class Session(Reader, Conversation, Admitted):
    """One WebSocket connection: it reads until the client leaves, and parts from it in order.

    Args:
        receive: ASGI's ``receive`` of the connection. Starlette's own only adds a state that no one reads.
    """

    __slots__ = ("_farewell", "_gone", "_hub", "_last_words", "_left_with", "identity", "lane")

    def __init__(self, receive: Receive, lane: WebSocketLane, hub: Hub) -> None:
        super().__init__(receive)
        self._hub = hub
        self._gone = False
        self._left_with = 0
        self._farewell: tuple[int, str] | None = None
        self._last_words = b""
        self.identity = ANONYMOUS
        self.lane = lane
        lane.on_lost = self._lost

    @property
    def _sink(self) -> RunSink:
        return self.lane

    async def _begin(self) -> None:
        """Start what serves the client; by default, nothing."""

    @abstractmethod
    async def _end(self) -> None:
        """End what :meth:`_begin` started, and wait until it has ended."""

    @abstractmethod
    async def _take(self, message: str | bytes) -> None:
        """Handle a message, whose size and rate are within the limits."""

    async def accept(self, websocket: WebSocket, title: str, subprotocol: str | None = None) -> None:
        """Count the connection as open, and accept it.

        Raises:
            HTTPException: 403, what has admitted the client was revoked meanwhile.
        """
        # Counted before the accept, so that an app that stops meanwhile closes this connection, too.
        self.identity = identity_in(websocket.scope)
        self._hub.sessions.join(self, websocket.scope, title=title)
        self.admit(self._hub, websocket.scope)
        if self.definition is not None:
            recheck_raw(self._hub, self, self.definition, websocket.scope)
        if websocket.application_state is WebSocketState.CONNECTING:  # a dependency may have accepted it
            await websocket.accept(subprotocol)
        self._hub.sessions.accepted()
        self.lane.accepted()

    async def run(self) -> None:
        """Serve the client until it leaves or has to go; return when everything that was started has ended."""
        await self._begin()
        try:
            await self._read_until_over()
        finally:
            # Shielded, because test clients cancel again and again; dependencies must outlive the run.
            with CancelScope(shield=True):
                with isolated("A connection could not be ended in order."):
                    await self._end()
                with isolated("A connection could not be closed in order."):
                    if self._farewell is not None and not self._gone:
                        await self._part(*self._farewell)
                await self.lane.finish()
                self.lane.on_lost = nothing

    async def carried(self, receive: Receive, send: Send) -> None:
        """Continue in the middleware, and let go of what belongs to FastAPI's stack."""
        self._receive_event = receive
        self.lane.send_through(send)
        await self.run()

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, and wait until the session has ended."""
        self._leave(code, reason)
        await self.over()

    def refuse(self, status: int, detail: Any) -> None:
        """End the session, from any task: the client may not stay. An error frame precedes the close."""
        message = message_of(status, detail)
        # Written with the close: the connection may not be accepted yet.
        self._last_words = frame(TEXT, error_json(status, message, detail))
        self._leave(close_code_of(status), message)

    def _lost(self) -> None:
        """Stop reading: the lane has given the client up."""
        self._gone = True
        self._stop_reading()

    def _leave(self, code: int, reason: str) -> None:
        """End the session, from any task. Only the first farewell counts.

        The close is sent when nothing reads any more: some servers cannot do both at the same time.
        """
        if self._farewell is None:
            self._farewell = (code, reason) if _may_be_sent(code) else (INTERNAL_ERROR, reason)
            self._stop_reading()

    async def _part(self, code: int, reason: str) -> None:
        """Send the close, and read what is still in transit: unread bytes would reset the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                self.lane.write(self._last_words, 1)
                await self.lane.close(code, reason)
                while await self._receive() is not None:
                    pass

    # What the client sends

    async def _read(self) -> None:
        """Handle messages until the connection is over. It is always being read, so that its end is noticed."""
        rate: Rate | None = None
        clock = asyncio.get_running_loop().time
        while self._farewell is None and (message := await self._receive()) is not None:
            rate = rate or Rate(self._hub.settings.max_messages_per_second, clock())
            if not rate.admits(clock()):
                await self._refuse("rate", POLICY_VIOLATION, "Too many messages per second.")
            elif size_of(message) > self._hub.settings.max_message_bytes:
                await self._refuse("size", MESSAGE_TOO_BIG, "The message is too big.")
            else:
                await self._take(message)

    async def _receive(self) -> str | bytes | None:
        """Return the next message; None, again and again, once the client has left."""
        if self._gone:
            return None
        event = await self._receive_event()
        if event["type"] == "websocket.disconnect":
            self._gone = True
            self._left_with = event.get("code") or NO_STATUS
            # A server's parser that refuses a message closes the connection; this code is all that the app sees of it.
            if event.get("code") in _REFUSED_BY_PARSERS and self._farewell is None:
                self._hub.refused(_REFUSED_BY_PARSERS[event["code"]])
            return None
        text: str | None = event.get("text")
        data: bytes = event.get("bytes") or b""
        return data if text is None else text

    async def _read_code(self) -> None:
        """Note the code with which the client has left, if it has arrived.

        The lane may notice before the reader that the client has left. The code waits to be read then.
        """
        if self._gone and not self._left_with:
            self._gone = False
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    while await self._receive() is not None:
                        pass
            self._gone = True


def close_code_of(status: int) -> int:
    """Return the close code of a WebSocket whose code has refused its client with a status."""
    close = POLICY_VIOLATION if status < 500 else INTERNAL_ERROR
    return TRY_AGAIN_LATER if status == 503 else close


def size_of(message: str | bytes) -> int:
    """Return the size of a message on the wire, in bytes."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode(errors="replace"))


def _may_be_sent(code: int) -> bool:
    """Return True if a close frame may carry a code (RFC 6455, section 7.4)."""
    return code in SENDABLE or 3000 <= code < 5000
