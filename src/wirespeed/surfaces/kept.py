"""Streams on raw WebSockets whose runs outlive the connection.

The first connection's endpoint hosts the run: the dependencies that FastAPI has resolved for it stay open until the run
has ended. A connection only takes what the run has written, and passes messages on.
"""

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from typing import Any

from anyio import CancelScope
from starlette.websockets import WebSocket

from ..codec import json_of
from ..definitions import Stream
from ..errors import RunGone
from ..frames import TEXT, frame
from ..frameworks import receive_of
from ..hub import Hub
from ..hub.kept import KeptRun, Message, Taker
from ..lanes.lane import RunSink
from ..runs.outcome import Refused
from ..runs.tasks import create_task
from .admitted import identity_in
from .resume import Resumption, owner_of
from .session import NORMAL, POLICY_VIOLATION, SERVICE_RESTART, Session
from .streaming import STOPPING
from .websocket import FAILED, StreamConversation

REPLACED = "Another connection has resumed the run."


async def serve_kept(
    websocket: WebSocket, stream: Stream, hub: Hub, arguments: Mapping[str, Any], asked: Resumption
) -> None:
    """Serve a client that may resume its run, or resumes it. For a new run, return when the run has ended.

    Raises:
        Exception: The only run failed, and its client knows: dependencies roll back, and the server logs it.
    """
    owner = owner_of("websocket", stream, websocket.scope["path"], websocket.scope, arguments)
    if asked.run:
        try:
            run: KeptRun | RunGone = hub.kept.find(asked.run, owner)
        except RunGone as error:
            run = error
        await _Connection(websocket, stream, hub, run, asked.since).serve(websocket)
        return
    assert stream.resume is not None
    run = hub.kept.begin(owner, owner.user, stream.resume, identity_in(websocket.scope), stream.title)
    conversation = _KeptConversation(hub, stream, arguments, run)
    with hub.kept.hosting(run), hub.lanes.standing_in(receive_of(websocket), run.give_up):
        serving = create_task(conversation.serve())
        try:
            await _Connection(websocket, stream, hub, run, 0).serve(websocket)
            await asyncio.wait([serving])
        finally:
            with CancelScope(shield=True):
                if not serving.done():
                    run.give_up()
                await asyncio.wait([serving])
    if conversation.failure is not None:
        raise conversation.failure


class _KeptConversation(StreamConversation):
    """The runs of one client, which write to the journal."""

    def __init__(self, hub: Hub, stream: Stream, arguments: Mapping[str, Any], run: KeptRun) -> None:
        self._hub = hub
        self._stream = stream
        self._arguments = arguments
        self._failure = None
        self._runs = self._make_runs()
        self._runs.context = copy_context()  # a later connection may offer messages, with variables of its own
        self._kept = run
        self._over = asyncio.Event()
        self._close: tuple[int, str] | None = None
        run.host, run.on_given_up = self, self._over.set
        run.held = lambda: self._runs.size

    @property
    def failure(self) -> Exception | None:
        """The exception of the only run; None if it did not fail."""
        return self._failure

    @property
    def _sink(self) -> RunSink:
        return self._kept.journal

    def _leave(self, code: int, reason: str) -> None:
        self._close = self._close or (code, reason)
        self._over.set()

    async def serve(self) -> None:
        """Run until the only run has ended, or the runs are given up."""
        self._runs.start()
        await self._over.wait()
        await self._runs.stop()
        self._kept.finish(self._close)

    async def take(self, message: str | bytes) -> None:
        """Handle a message of the client, from whichever connection it has now."""
        if not self._over.is_set():
            await self._queue(self._runs, message, self._stream.decoder, self._stream.title)


class _Connection(Session, Taker):
    """One connection of a kept run."""

    failed = FAILED

    def __init__(self, websocket: WebSocket, stream: Stream, hub: Hub, run: KeptRun | RunGone, since: int) -> None:
        receive = receive_of(websocket)
        super().__init__(receive, hub.lanes.websocket(receive, websocket.send, self._shut_down), hub)
        self._stream = stream
        self._run = run
        self._since = since
        self._passing: asyncio.Task[None] | None = None

    @property
    def definition(self) -> Stream:
        return self._stream

    async def serve(self, websocket: WebSocket) -> None:
        """Accept the client, and serve it until it leaves, or the run has ended."""
        try:
            await self.accept(websocket, self._stream.title)
            await self.run()
        finally:
            self._hub.sessions.leave(self)
            if isinstance(self._run, KeptRun):
                # A run that has ended stays: its client may not have got the end.
                for_good = self._left_with == NORMAL or (self._farewell is not None and not self._run.journal.is_over)
                self._run.leave(self, for_good=for_good)

    async def _begin(self) -> None:
        try:
            if isinstance(self._run, RunGone):
                raise self._run
            self._run.attach(self, self._since)
        except RunGone as error:
            self._hub.refused("run gone", said=error.why)
            await self._answer(Refused(error, 410, str(error)))
            self._leave(POLICY_VIOLATION, str(error))
            return
        self.lane.write(frame(TEXT, json_of({"run": self._run.id, "since": self._since})), 1)
        self._passing = create_task(self._pass_on(self._run))

    async def _pass_on(self, run: KeptRun) -> None:
        if await run.pass_on(self):
            self._leave(*(run.end or (SERVICE_RESTART, STOPPING)))
        elif self.closing():
            self._lost()  # the reader may wait for room for an answer, which the journal does not get any more

    async def _end(self) -> None:
        if self._passing is not None:
            self._passing.cancel()
            await asyncio.wait([self._passing])
        await self._read_code()

    async def _take(self, message: str | bytes) -> None:
        if isinstance(self._run, KeptRun) and self._run.host is not None:
            await self._run.host.take(message)

    def _shut_down(self) -> None:
        self._leave(SERVICE_RESTART, STOPPING)

    # What takes from the run

    def take(self, taken: list[Message], last: int) -> None:
        self.lane.write(b"".join([frame(*message) for message in taken]), len(taken))

    def closing(self) -> bool:
        return self.lane.closing()

    async def drained(self) -> None:
        await self.lane.drained()

    def replaced(self) -> None:
        self._leave(POLICY_VIOLATION, REPLACED)
