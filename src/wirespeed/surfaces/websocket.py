"""The raw WebSocket: one connection to one stream, one value per message."""

import logging
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket

from ..definitions import Intake, Stream
from ..errors import InboxFull, InvalidMessage
from ..frameworks import receive_of
from ..hub import Hub
from ..runs.inbox import Inbox
from ..runs.outcome import Cancelled, Completed, Failed, Refused
from ..runs.overlap import QueuedRuns, ReplacingRuns, Runs, SingleRun
from ..runs.pump import pump
from ..runs.thread import ThreadMessages, pump_from_thread
from .runs import run_for_client
from .session import INTERNAL_ERROR, NORMAL, POLICY_VIOLATION, Session, size_of

logger = logging.getLogger("wirespeed")

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
    await StreamSession(websocket, stream, hub, arguments).serve(websocket)


class StreamSession(Session):
    """One client of one stream, from accept to the end."""

    failed = FAILED
    __slots__ = ("_arguments", "_failure", "_runs", "_stream")

    def __init__(self, websocket: WebSocket, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> None:
        # The fast lane is found by the server's own `receive`, which Starlette's WebSocket keeps to itself.
        super().__init__(receive_of(websocket), hub.lane(receive_of(websocket), websocket.send), hub)
        self._stream = stream
        self._arguments = arguments
        self._runs = self._make_runs()
        self._failure: Exception | None = None

    def _make_runs(self) -> Runs:
        settings = self._hub.settings
        inbox = Inbox(settings.max_inbox_messages, settings.max_inbox_bytes)
        if self._stream.intake is not Intake.EACH:
            return SingleRun(self._only_run, inbox)
        if self._stream.overlap == "replace":
            return ReplacingRuns(self._run)
        return QueuedRuns(self._queued_run, inbox)

    async def serve(self, websocket: WebSocket) -> None:
        """Accepts the client, and runs until it is gone."""
        try:
            await self.accept(websocket, self._stream.title)
            await self.run()
        finally:
            self._hub.leave(self)

    async def run(self) -> None:
        """Reads until the client is gone or told to go; returns when its runs have ended, too.

        Raises:
            Exception: What the only run of the connection has failed with, once its client was told: FastAPI's
                dependencies roll back, and the server logs it.
        """
        await super().run()
        if self._failure is not None:
            raise self._failure

    async def _begin(self) -> None:
        self._runs.start()

    async def _end(self) -> None:
        await self._runs.stop()

    async def _take(self, message: str | bytes) -> None:
        item = self._decoded(self._stream.decoder, message, self._stream.title)
        if isinstance(item, InvalidMessage) and not isinstance(self._runs, QueuedRuns):
            await self._tell_invalid(item)
            return
        try:
            decoder = self._stream.decoder
            self._runs.offer(item, size_of(message) + (0 if decoder is None else decoder.weight(message)))
        except InboxFull as error:
            await self._refuse("inbox full", POLICY_VIOLATION, f"Not taken: {error}.")

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
        """Run the generator once and tell the client how it ended; return how to close if it runs only once."""
        is_only, runs = isinstance(self._runs, SingleRun), self._runs
        with self._hub.running():
            outcome = await run_for_client(
                self._hub, self._stream.title, lambda: self._pump(message), lambda: runs.cancelling, logs=not is_only
            )
        match outcome:
            case Refused():
                return await self._tell_refused(outcome)
            case Failed():
                if is_only:  # the server logs it, when FastAPI's dependencies have rolled back
                    self._failure = outcome.exception
                await self._tell(500, self.failed)
                return INTERNAL_ERROR, self.failed
            case Completed() | Cancelled():  # after a cancellation another farewell has been said already
                return NORMAL, ""

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
