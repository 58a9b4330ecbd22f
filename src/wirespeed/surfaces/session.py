"""Sessions: one WebSocket connection, from accept to the end."""

import asyncio
from abc import abstractmethod
from contextlib import suppress
from typing import Any, ClassVar

from anyio import CancelScope
from starlette.types import Receive, Send
from starlette.websockets import WebSocket, WebSocketState

from ..codec import Decoder, error_frame
from ..errors import InvalidMessage
from ..hub import Hub
from ..isolation import isolated
from ..lanes.lane import WebSocketLane, nothing
from ..rate import Rate
from ..runs.outcome import Refused
from .reader import Reader
from .runs import decoded, message_of

CLOSE_TIMEOUT = 2.0
"""Seconds that a client has to take what was written, and to answer our close frame."""

NORMAL = 1000
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013
_REFUSED_BY_PARSERS = {INVALID_DATA: "invalid message", MESSAGE_TOO_BIG: "size"}
SENDABLE = {1000, 1001, 1002, 1003, *range(1007, 1015)}


class Session(Reader):
    """What all WebSocket sessions do: they read until the client is gone, and part from it in order.

    Args:
        receive: ASGI's ``receive`` of the connection. Starlette's own keeps no more than a state nobody asks for.
        lane: Its lane.
        hub: The hub of the app.
    """

    __slots__ = ("_farewell", "_gone", "_hub", "lane")

    failed: ClassVar[str]
    """All that a client is told of an exception."""

    def __init__(self, receive: Receive, lane: WebSocketLane, hub: Hub) -> None:
        super().__init__(receive)
        self._hub = hub
        self._gone = False
        self._farewell: tuple[int, str] | None = None
        self.lane = lane
        lane.on_lost = self._lost

    @abstractmethod
    async def _begin(self) -> None:
        """The client is there."""

    @abstractmethod
    async def _end(self) -> None:
        """The client has left, or is told to; what it has begun ends."""

    @abstractmethod
    async def _take(self, message: str | bytes) -> None:
        """A message came, of a fair size and at a fair rate."""

    async def accept(self, websocket: WebSocket, title: str) -> None:
        """Count the connection as open, and accept it.

        Args:
            websocket: The connection.
            title: What the client is connected to, for the log.
        """
        # Counted before the accept, so that an app that stops meanwhile closes this connection, too.
        self._hub.join(self, websocket.scope, title=title)
        if websocket.application_state is WebSocketState.CONNECTING:  # a dependency may have accepted it
            await websocket.accept()
        self._hub.accepted()
        self.lane.accepted()

    async def run(self) -> None:
        """Reads until the client is gone or told to go; returns when what it has begun has ended, too."""
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
        """Goes on in the middleware; what belongs to FastAPI's stack is let go."""
        self._receive_event = receive
        self.lane.send_through(send)
        await self.run()

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection and waits until the session has ended."""
        self._leave(code, reason)
        await self.over()

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
        """The next message; None when the client is gone, however often that is asked."""
        if self._gone:
            return None
        event = await self._receive_event()
        if event["type"] == "websocket.disconnect":
            self._gone = True
            # A server's parser that refuses a message closes the connection; this code is all that the app sees of it.
            if event.get("code") in _REFUSED_BY_PARSERS and self._farewell is None:
                self._hub.refused(_REFUSED_BY_PARSERS[event["code"]])
            return None
        text: str | None = event.get("text")
        data: bytes = event.get("bytes") or b""
        return data if text is None else text

    async def _refuse(self, why: str, code: int, reason: str) -> None:
        self._hub.refused(why)
        await self._tell(429 if code == POLICY_VIOLATION else 413, reason)
        self._leave(code, reason)

    async def _tell(self, code: int, message: str, detail: Any = None) -> None:
        """Sends an error frame. A client that does not read its errors is not read any further either."""
        self.lane.write(error_frame(code, message, detail), 1)
        await self.lane.drained()

    def _decoded(self, decoder: Decoder[Any] | None, message: str | bytes, title: str) -> Any:
        """What the code gets, or what its sender gets instead: in its turn, where messages wait for theirs."""
        try:
            if decoder is None:
                raise InvalidMessage("This stream takes no messages.")
            return decoded(self._hub, title, decoder, message, self.failed)
        except InvalidMessage as error:
            if error.code < 500:
                self._hub.refused("invalid message")
            return error.with_traceback(None)  # whose frames would keep the message

    async def _tell_refused(self, refused: Refused) -> tuple[int, str]:
        """Tell the client that user code has refused it; return how to close if the connection ends with that.

        A ``WebSocketException`` always ends the connection, with the code that it names.
        """
        if refused.close is not None:
            self._leave(*refused.close)
            return refused.close
        told = message_of(refused.status, refused.detail)
        await self._tell(refused.status, told, None if told is refused.detail else refused.detail)
        return POLICY_VIOLATION if refused.status < 500 else INTERNAL_ERROR, told

    async def _tell_invalid(self, error: InvalidMessage) -> None:
        await self._tell(error.code, error.message, error.detail)


def size_of(message: str | bytes) -> int:
    """A message's size on the wire, in bytes."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode(errors="replace"))


def _may_be_sent(code: int) -> bool:
    """Whether a close frame may carry a code (RFC 6455, section 7.4)."""
    return code in SENDABLE or 3000 <= code < 5000
