"""Runs: subscriptions to streams. Each is one run, whose values are the publications of this subscription only."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codes import Unsubscription
from ...centrifuge.subscription import Subscription
from ...codec import Encoder, as_json
from ...definitions import Criteria, Intake, Stream
from ...errors import InboxFull
from ...frames import BINARY, COMMAS, Headers, messages
from ...identity import Grant, Identity
from ...lanes.lane import RunSink
from ...runs.inbox import Inbox
from ...runs.outcome import Cancelled, Completed, Failed, Outcome, Refused
from ..recheck import Recheck
from ..runs import run_counted, run_stream
from .link import Delivery, Link
from .payloads import decoded, inbox_full, size_of
from .refusal import CommandRefused, unsubscription_of
from .reserved import wanted
from .window import Window
from .wires import text_as_data

FAILED = Unsubscription(2001, "The stream failed.")


class RunLane(RunSink):
    """The lane of a run: it makes publications of the frames that it is given.

    Its traffic is counted by the connection's own lane.
    """

    def __init__(self, link: Link, channel: str, encoder: Encoder[Any]) -> None:
        self.encoder = encoder
        self._link = link
        self._push = link.codec.publications(channel)
        self._as_data = text_as_data(encoder)

    def write(self, frames: bytes, messages_: int) -> None:
        push, as_data = self._push, self._as_data
        self._link.outlet.write(b"".join([push(as_data(payload), 0) for _, payload in messages(frames)]), messages_)

    def writable(self) -> bool:
        return self._link.outlet.writable()

    def closing(self) -> bool:
        return self._link.outlet.lane.closing()

    async def drained(self) -> None:
        await self._link.outlet.drained()


class BatchLane(RunLane):
    """The lane of a run whose client wants arrays: all that is written at once is one publication."""

    def __init__(self, link: Link, channel: str, encoder: Encoder[Any], window: Window | None) -> None:
        super().__init__(link, channel, as_json(encoder))
        self._window = window

    def headers(self, opcode: int) -> Headers:
        return COMMAS

    def write(self, frames: bytes, messages_: int) -> None:
        if frames:
            self._link.outlet.write(self._push(b"[%b]" % frames[1:], 0), messages_)
            if self._window is not None:
                self._window.sent()

    def writable(self) -> bool:
        return (self._window is None or self._window.is_open()) and super().writable()

    async def drained(self) -> None:
        if self._window is not None:
            await self._window.opened()
        await super().drained()


class Run:
    """A subscription to a stream.

    Raises:
        CommandRefused: 107, the first message does not validate; 107 or 108, the client wants what the stream, or its
            format, does not offer.
    """

    __slots__ = (
        "_arguments", "_batches", "_inbox", "_lane", "_link", "_stream", "_subscription", "_task", "grant", "identity",
        "recheck", "window",
    )  # fmt: skip

    def __init__(
        self,
        link: Link,
        subscription: Subscription[Delivery],
        stream: Stream,
        arguments: Mapping[str, Any],
        command: m.Subscribe,
        grant: Grant | None,
    ) -> None:
        wants, data = wanted(command, link.codec, is_binary=stream.encoder.opcode == BINARY)
        self.window: Window | None = link.window(0) if wants.acknowledges else None
        self.identity: Identity | None = None
        self.grant = grant
        self.recheck: Recheck | None = None
        channel, encoder = subscription.channel, stream.encoder
        self._lane = (
            BatchLane(link, channel, encoder, self.window) if wants.batches else RunLane(link, channel, encoder)
        )
        self._batches = wants.batches
        self._link = link
        self._subscription = subscription
        self._stream = stream
        self._arguments = dict(arguments)
        self._inbox = Inbox(link.hub.settings.max_inbox_messages, link.inbox)
        self._task: asyncio.Task[Any] | None = None
        """The task in which the generator runs; None before and after that."""
        self._take_first(data)

    @property
    def place(self) -> str:
        return self._stream.title

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._inbox.clear()

    def reply(self, command: m.Subscribe) -> m.SubscribeResult:
        return m.SubscribeResult()

    def start(self) -> None:
        """Do nothing: the generator starts in :meth:`stay`, unless the client unsubscribes in the same frame."""

    async def stay(self) -> None:
        """Run the generator once, and let the client know how it ends.

        Raises:
            Exception: The generator has failed, and the client knows: the app's dependencies roll back.
        """
        if not self._subscription.is_live():
            return
        self._task = asyncio.current_task()
        link = self._link
        outcome = await run_counted(link.hub, self._stream, self._pump, self._is_over)
        self._task = None
        if self._subscription.is_live():
            link.unsubscribe(self._subscription, why(outcome))
        # After a cancellation, dependencies end as they do when a client leaves a WebSocket of its own.
        if isinstance(outcome, Failed):
            raise outcome.exception

    def _is_over(self) -> bool:
        return not self._subscription.is_live()

    async def _pump(self) -> None:
        await run_stream(self._link.hub, self._stream, self._arguments, self._lane.encoder, self._lane)

    def end(self) -> None:
        if self.recheck is not None:
            self.recheck.stop()
        self._inbox.close()
        self._inbox.clear()
        if self._task is not None and self._task is asyncio.current_task():
            self._link.loop.call_soon(
                self._cancel
            )  # the generator itself ends the subscription: let it come to its await
        else:
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def ends(self, _: Criteria) -> list[Callable[[], None]]:
        return [partial(self._link.revoke, self._subscription)]

    def news_first(self, until: float | None = None) -> None:
        """Do nothing: what the generator has yielded was written when it suspended."""

    # What the client sends

    def _take_first(self, data: bytes) -> None:
        """Take the message that comes with the subscribe; a stream of all messages may have none."""
        stream, parameter = self._stream, self._stream.parameter
        if parameter is None or stream.decoder is None:
            return
        if stream.intake is Intake.EACH:
            self._arguments[parameter] = self._decoded(data)
            return
        if data:
            self._put(self._decoded(data), len(data) + stream.decoder.weight(data))
        self._arguments[parameter] = self._inbox

    def _decoded(self, data: bytes) -> Any:
        stream, link = self._stream, self._link
        assert stream.decoder is not None
        return decoded(stream.decoder, data, link.codec, link.hub, stream.title)

    def publish(self, command: m.Publish) -> None:
        if self._stream.intake is not Intake.ALL or self._stream.decoder is None:
            message = "this stream takes one message, with the subscribe"
            raise CommandRefused(codes.PERMISSION_DENIED._replace(message=message))
        weight = self._stream.decoder.weight(command.data)
        self._put(self._decoded(command.data), size_of(command) + weight)
        self._link.published(command.id, None)

    def _put(self, message: Any, size: int) -> None:
        try:
            self._inbox.put(message, size)
        except InboxFull as error:
            raise CommandRefused(inbox_full(error)) from None

    def answer(self, command: m.History | m.Presence | m.PresenceStats) -> m.Result:
        raise CommandRefused(codes.NOT_AVAILABLE)


def why(outcome: Outcome[None]) -> Unsubscription:
    """Return the end of a subscription whose run has ended."""
    match outcome:
        case Completed():
            return codes.COMPLETE
        case Refused(_, status, detail):
            return unsubscription_of(status, detail)
        case Failed() | Cancelled():
            return FAILED
