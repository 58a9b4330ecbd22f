"""Runs that outlive their connection: the epoch of the subscription is the run's id, and offsets count its values.

So the SDKs resume a run as they recover any subscription. The subscription that has begun the run hosts it: the app's
dependencies stay open in its task until the run has ended.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codes import Unsubscription
from ...centrifuge.subscription import Subscription
from ...definitions import Stream
from ...errors import RunGone
from ...hub.kept import KeptRun, Message, Taker
from ...identity import Grant, Identity
from ...runs.outcome import Cancelled, Failed, Outcome
from ...runs.tasks import create_task
from ..resume import owner_of, run_kept
from .channels import ChannelName
from .link import Delivery, Link
from .refusal import CommandRefused
from .run import Run, why
from .wires import array, text_as_data

REPLACED = Unsubscription(2409, "Another connection has resumed the run.")


class KeptSubscription(Run, Taker):
    """A subscription to a stream with ``resume=``: it begins a run, or resumes one.

    Raises:
        CommandRefused: 112, the run cannot be resumed; and those of a :class:`~.run.Run`. A stream does not run again
            for a client that wants to resume.
    """

    def __init__(
        self,
        link: Link,
        subscription: Subscription[Delivery],
        stream: Stream,
        arguments: Mapping[str, Any],
        command: m.Subscribe,
        grant: Grant | None,
        identity: Identity,
    ) -> None:
        self._owned_by = identity
        self._resumes = command.recover and command.epoch not in ("", *link.left_runs)
        self._kept: KeptRun | None = None
        self._generator: asyncio.Task[None] | None = None
        self._passing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        super().__init__(link, subscription, stream, arguments, command, grant)
        self._push = link.codec.publications(subscription.channel)
        self._as_data = text_as_data(stream.encoder)
        self._owner = owner_of(
            "multiplexed connection",
            stream,
            ChannelName.parse(subscription.channel).path,
            {},
            arguments,
            identity.user or link.sender.user,
        )

    def _take_first(self, data: bytes) -> None:
        if not self._resumes:
            super()._take_first(data)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await super().__aexit__(kind, error, trace)
        if error is not None and self._kept is not None and not self._kept.is_hosted:
            self._kept.give_up()

    def reply(self, command: m.Subscribe) -> m.SubscribeResult:
        kept_runs, offset = self._link.hub.kept, command.offset if self._resumes else 0
        if self._resumes:
            try:
                kept = kept_runs.find(command.epoch, self._owner)
                kept.attach(self, offset)
            except RunGone as error:
                raise CommandRefused(codes.UNRECOVERABLE._replace(message=str(error), name="run gone")) from None
        else:
            assert self._stream.resume is not None
            kept = kept_runs.begin(self._owner, self._owner.user, self._stream.resume, self._owned_by, self.place)
            kept.host, kept.on_given_up = self, self._give_up
            kept.held = lambda: self._subscription.size + self._inbox.size
            kept.attach(self)
        self._kept = kept
        return m.SubscribeResult(
            recoverable=True, positioned=True, epoch=kept.id, offset=offset,
            was_recovering=command.recover, recovered=self._resumes,
        )  # fmt: skip

    async def stay(self) -> None:
        """Pass on what the run writes; if this subscription hosts it, return when the run has ended.

        Raises:
            Exception: The run has failed, and the client knows, or will: the app's dependencies roll back.
        """
        kept = self._kept
        assert kept is not None
        if (task := asyncio.current_task()) is not None and self._link.kept is not None:
            self._link.kept.discard(task)  # the end of the connection does not wait for it
        passing = self._passing = create_task(self._pass_on(kept))
        if kept.host is not self:
            await self._until(passing)
            _check(passing)
            return
        with self._link.hub.kept.hosting(kept):
            if not kept.is_given_up:
                self._generator = create_task(self._generate(kept))
                await self._until(self._generator)
            self._finish(Cancelled(asyncio.CancelledError()))  # if it was given up before the generator could begin
            await self._until(passing)
        _check(passing)
        if self._failure is not None:
            raise self._failure

    async def _until(self, task: "asyncio.Task[None]") -> None:
        """Wait until a task has ended; give the run up if the app's middleware ends this one."""
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
                self._leave(for_good=True)
                if self._kept is not None and self._kept.host is self:  # its client may have another connection now
                    self._kept.give_up()
        if cancelled is not None:
            raise cancelled

    async def _generate(self, kept: KeptRun) -> None:
        outcome = await run_kept(self._link.hub, self._stream, self._arguments, kept)
        self._generator = None
        if isinstance(outcome, Failed):
            self._failure = outcome.exception
        self._finish(outcome)

    def _finish(self, outcome: Outcome[None]) -> None:
        assert self._kept is not None
        self._close_inbox()
        self._kept.finish(outcome)

    def _close_inbox(self) -> None:
        self._inbox.close()
        self._inbox.clear()  # messages without a reader would count against the connection's other subscriptions

    async def _pass_on(self, kept: KeptRun) -> None:
        if self._subscription.is_live() and await kept.pass_on(self) and self._subscription.is_live():
            self._link.unsubscribe(self._subscription, why(kept.end))

    def _give_up(self) -> None:
        self._close_inbox()  # the thread of a synchronous generator may wait for a message
        generator = self._generator
        if generator is asyncio.current_task() and generator is not None:
            self._link.loop.call_soon(generator.cancel)  # let the generator come to its await
        elif generator is not None:
            generator.cancel()

    def end(self) -> None:
        if self.recheck is not None:
            self.recheck.stop()
        if self._kept is not None:
            self._link.note_left(self._kept.id)
            # A run that has ended stays: its client may not have got the end.
            self._leave(for_good=not (self._link.may_return() or self._kept.journal.is_over))

    def _leave(self, *, for_good: bool) -> None:
        if self._kept is not None:
            self._kept.leave(self, for_good=for_good)
        if self._passing is not None and self._passing is not asyncio.current_task():
            self._passing.cancel()  # it may wait for an acknowledgement, or for room

    # Messages go to the subscription that hosts the run

    def _put(self, message: Any, size: int) -> None:
        if self._kept is None:
            super()._put(message, size)
        elif not self._kept.journal.is_over:
            Run._put(self._kept.host, message, size)

    # What takes from the run

    def take(self, taken: list[Message], last: int) -> None:
        data = [self._as_data(payload) for _, payload in taken]
        if self._batches:
            self._link.outlet.write(self._push(array(data), last), len(data))
            if self.window is not None:
                self.window.sent()
        else:
            first = last - len(data) + 1
            pushes = [self._push(each, first + number) for number, each in enumerate(data)]
            self._link.outlet.write(b"".join(pushes), len(data))

    def closing(self) -> bool:
        return self._link.is_over or not self._subscription.is_live() or self._lane.closing()

    async def drained(self) -> None:
        await self._lane.drained()

    def replaced(self) -> None:
        self._link.unsubscribe(self._subscription, REPLACED)


def _check(passing: "asyncio.Task[None]") -> None:
    """Raise the error of a task that has ended. It was cancelled if its client has left."""
    if not passing.cancelled():
        passing.result()
