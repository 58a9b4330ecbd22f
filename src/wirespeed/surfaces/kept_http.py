"""Streams over HTTP whose runs outlive the response. The first request's response hosts the run.

The header ``wirespeed-run`` names the run. In Server-Sent Events, each id is the run's, a colon, and the number of the
value: libraries that send a POST again with ``Last-Event-ID`` resume without further code.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from anyio import CancelScope
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..definitions import Stream
from ..errors import RunGone
from ..hub import Hub
from ..hub.kept import KeptRun, Message, Taker
from ..raw import on_one_line
from ..runs.outcome import Cancelled, Failed, Refused
from ..runs.tasks import create_task
from .admitted import identity_in
from .bodies import Body, Events, Octets, body_of, event
from .http import BoundedRequest, RunResponse
from .kept import REPLACED
from .resume import Resumption, owner_of, run_kept
from .wires import quoted


def respond_kept(
    request: Request, stream: Stream, hub: Hub, arguments: Mapping[str, Any], asked: Resumption
) -> StreamingResponse:
    """Return the response of a run that may be resumed, or is resumed.

    Raises:
        HTTPException: 410, the run cannot be resumed; 422, the stream yields bytes, whose places a body does not show.
    """
    body = body_of(stream, ", ".join(request.headers.getlist("accept")) or None)
    if isinstance(body, Octets):
        raise HTTPException(422, "A stream of bytes cannot be resumed over HTTP; use a WebSocket.")
    owner = owner_of("http", stream, request.scope["path"], request.scope, arguments)
    if not asked.run:
        assert stream.resume is not None
        identity = identity_in(request.scope)
        make = partial(hub.kept.begin, owner, owner.user, stream.resume, identity, stream.title)
        size = request.kept if isinstance(request, BoundedRequest) else 0

        def begin() -> KeptRun:
            run = make()
            run.held = lambda: size
            return run

        return _HostingResponse(stream, hub, arguments, body, begin)
    try:
        run = hub.kept.find(asked.run, owner)
        run.journal.check(asked.since)
    except RunGone as error:
        raise HTTPException(410, str(error)) from None
    return _KeptResponse(stream, hub, arguments, body, lambda: run, asked.since)


class _KeptResponse(RunResponse, Taker):
    """A response whose body takes from a kept run.

    Args:
        run: Returns the run, once the response is sent: a dependency that ends before may still fail.
    """

    _kept: KeptRun

    def __init__(
        self,
        stream: Stream,
        hub: Hub,
        arguments: Mapping[str, Any],
        body: Body,
        run: Callable[[], KeptRun],
        since: int = 0,
    ) -> None:
        super().__init__(stream, hub, arguments, body)
        self._find = run
        self._since = since
        self._as_json = None if stream.encoder.text is None else quoted

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._kept = self._find()
        self.raw_headers.append((b"wirespeed-run", self._kept.id.encode()))
        await self._serve_kept(scope, receive, send)

    async def _serve_kept(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super()._serve(scope, receive, send)
        finally:
            for_good = self._has_to_go and not self._kept.journal.is_over
            self._kept.leave(self, for_good=for_good)

    async def _begin(self) -> None:
        try:
            # Not in the task: if the client has left already, that is cancelled before its first step, and the run
            # would wait for no one, without an end.
            self._kept.attach(self, self._since)
        except RunGone as error:
            self._outcome = Refused(error, 410, str(error))
        await super()._begin()

    async def _running(self) -> None:
        if self._outcome is None and await self._kept.pass_on(self):
            self._outcome = self._kept.end

    # What takes from the run

    def take(self, taken: list[Message], last: int) -> None:
        first = last - len(taken) + 1
        parts = [self._part(payload, first + at) for at, (_, payload) in enumerate(taken)]
        self.lane.write(b"".join(parts), len(parts))

    def _part(self, payload: bytes, number: int) -> bytes:
        if isinstance(self._body, Events):
            return b"id: %b:%d\n%b" % (self._kept.id.encode(), number, event(payload))
        return (on_one_line(payload) if self._as_json is None else self._as_json(payload)) + b"\n"

    def closing(self) -> bool:
        return self.is_gone or self.lane.closing()

    async def drained(self) -> None:
        await self.lane.drained()

    def replaced(self) -> None:
        self._cut = HTTPException(503, REPLACED)
        self._over()


class _HostingResponse(_KeptResponse):
    """The response that has begun a run. The app's dependencies stay open until the run has ended."""

    async def _serve_kept(self, scope: Scope, receive: Receive, send: Send) -> None:
        run = self._kept
        generator = create_task(self._generate())
        run.on_given_up = partial(_cancel, generator)
        generator.add_done_callback(lambda _: run.finish(Cancelled(asyncio.CancelledError())))  # given up too early
        with self.hub.kept.hosting(run), self.hub.lanes.standing_in(receive, run.give_up):
            try:
                await super()._serve_kept(scope, receive, send)
                await asyncio.wait([generator])
            finally:
                with CancelScope(shield=True):
                    if not generator.done():
                        run.give_up()
                    await asyncio.wait([generator])
        if isinstance(run.end, Failed):  # its client has left, and may return
            raise run.end.exception

    async def _generate(self) -> None:
        self._kept.finish(await run_kept(self.hub, self._stream, self._arguments, self._kept))


def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
