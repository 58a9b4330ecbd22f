"""The raw WebSocket of a stream: one value per message."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.websockets import WebSocket

from ..definitions import Intake, Stream
from ..frameworks import receive_of
from ..hub import Hub
from ..runs.inbox import Inbox
from ..runs.outcome import Failed
from ..runs.overlap import QueuedRuns, ReplacingRuns, Runs, SingleRun
from .runs import Invalid, run_counted, run_stream
from .session import Conversation, Session

FAILED = "The stream failed."
"""The message for a client whose run failed; it does not show the exception."""


async def serve(websocket: WebSocket, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> None:
    """Accept a client, and serve its stream until it leaves and every run has ended."""
    await StreamSession(websocket, stream, hub, arguments).serve(websocket)


class StreamConversation(Conversation):
    """The runs of one stream for one client."""

    failed = FAILED
    __slots__ = ()
    _arguments: Mapping[str, Any]
    _failure: Exception | None
    _runs: Runs
    _stream: Stream

    def _make_runs(self) -> Runs:
        settings = self._hub.settings
        inbox = Inbox(settings.max_inbox_messages, settings.max_inbox_bytes)
        if self._stream.intake is not Intake.EACH:
            return SingleRun(self._only_run, self._broken, inbox)
        if self._stream.overlap == "replace":
            return ReplacingRuns(self._run, self._broken)
        return QueuedRuns(self._queued_run, self._broken, inbox)

    # The runs

    async def _only_run(self, messages: Inbox) -> None:
        """Run a stream that takes no message, or all of them. The connection ends with the run."""
        self._leave(*await self._run(messages))

    async def _queued_run(self, message: Any) -> None:
        """Run the stream for a message, or answer a message that did not validate, in its turn."""
        await (self._answer(message) if isinstance(message, Invalid) else self._run(message))

    async def _run(self, message: Any) -> tuple[int, str]:
        """Run the generator once, and report how it ended. Return the close for a connection that ends with it."""
        is_only, runs = isinstance(self._runs, SingleRun), self._runs
        outcome = await run_counted(
            self._hub, self._stream, lambda: self._pump(message), lambda: runs.cancelling, logs=not is_only
        )
        if is_only and isinstance(outcome, Failed):
            # The server logs it, after FastAPI's dependencies have rolled back.
            self._failure = outcome.exception  # type: ignore[misc]  # subclasses have its slot
        return await self._answer(outcome)

    async def _pump(self, message: Any, wrote: Callable[[int], None] | None = None) -> None:
        stream, arguments = self._stream, self._arguments
        if stream.parameter is not None:
            arguments = {**arguments, stream.parameter: message}
        await run_stream(self._hub, stream, arguments, stream.encoder, self._sink, wrote)


class StreamSession(Session, StreamConversation):
    """One client of one stream, from the accept to the end."""

    __slots__ = ("_arguments", "_failure", "_runs", "_stream")

    def __init__(self, websocket: WebSocket, stream: Stream, hub: Hub, arguments: Mapping[str, Any]) -> None:
        # The fast lane is found by the server's own `receive`, which Starlette's WebSocket keeps to itself.
        super().__init__(receive_of(websocket), hub.lanes.websocket(receive_of(websocket), websocket.send), hub)
        self._stream = stream
        self._arguments = arguments
        self._runs = self._make_runs()
        self._failure: Exception | None = None

    async def serve(self, websocket: WebSocket) -> None:
        """Accept the client, and serve it until it leaves.

        Raises:
            Exception: The only run of the connection failed, and its client knows: dependencies roll back, and the
                server logs it.
        """
        try:
            await self.accept(websocket, self._stream.title)
            await self.run()
        finally:
            self._hub.sessions.leave(self)
        if self._failure is not None:
            raise self._failure

    @property
    def definition(self) -> Stream:
        return self._stream

    async def _begin(self) -> None:
        self._runs.start()

    async def _end(self) -> None:
        await self._runs.stop()

    async def _take(self, message: str | bytes) -> None:
        await self._queue(self._runs, message, self._stream.decoder, self._stream.title)
