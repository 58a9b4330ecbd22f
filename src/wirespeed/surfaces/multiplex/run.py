"""Subscriptions to streams: each is one run, whose values are publications of this subscription only."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ...centrifuge import codes
from ...centrifuge.codes import Unsubscription
from ...centrifuge.messages import Publish
from ...centrifuge.peer import Subscription
from ...codec import Encoder, as_json
from ...definitions import Intake, Stream
from ...errors import InboxFull
from ...frames import COMMAS, Headers, messages
from ...lanes.lane import RunSink
from ...runs.inbox import Inbox
from ...runs.outcome import Cancelled, Completed, Failed, Outcome
from ...runs.outcome import Refused as RunRefused
from ...runs.pump import pump
from ...runs.thread import ThreadMessages, pump_from_thread
from ..runs import run_for_client
from .payloads import Refused, decoded, inbox_full, size_of
from .refusal import error_of
from .subscriber import Owner
from .window import Window
from .wires import AsData

FAILED = Unsubscription(2001, "The stream failed.")
_REFUSED = 2000


class RunLane(RunSink):
    """Takes the values of a run, as frames, and makes publications of them.

    Args:
        owner: The connection.
        channel: As the client spells it.
        as_data: Makes data of a payload.
    """

    def __init__(self, owner: Owner, channel: str, as_data: AsData) -> None:
        # Its traffic is counted by the connection's own lane.
        self._owner = owner
        self._push = owner.codec.publications(channel)
        self._as_data = as_data

    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        """What makes payloads of the values, where a stream has this encoder."""
        return encoder

    def write(self, frames: bytes, messages_: int) -> None:
        push, as_data = self._push, self._as_data
        self._owner.outlet.write(b"".join([push(as_data(payload), 0) for _, payload in messages(frames)]), messages_)

    def writable(self) -> bool:
        return self._owner.outlet.writable()

    def closing(self) -> bool:
        return self._owner.outlet.lane.closing()

    async def drained(self) -> None:
        await self._owner.outlet.drained()


class BatchLane(RunLane):
    """Makes one publication of all that is written at once: nothing is done for each value."""

    def encoder(self, encoder: Encoder[Any]) -> Encoder[Any]:
        return as_json(encoder)

    def headers(self, opcode: int) -> Headers:
        return COMMAS

    def write(self, frames: bytes, messages_: int) -> None:
        if frames:
            self._owner.outlet.write(self._push(b"[%b]" % frames[1:], 0), messages_)


class WindowLane(BatchLane):
    """Waits for a client that acknowledges.

    Args:
        owner: The connection.
        channel: As the client spells it.
        as_data: Makes data of a payload.
        window: What the client has not acknowledged.
    """

    def __init__(self, owner: Owner, channel: str, as_data: AsData, window: Window) -> None:
        super().__init__(owner, channel, as_data)
        self._window = window

    def write(self, frames: bytes, messages_: int) -> None:
        super().write(frames, messages_)
        if frames:
            self._window.sent()

    def writable(self) -> bool:
        return self._window.is_open() and super().writable()

    async def drained(self) -> None:
        await self._window.opened()
        await super().drained()


def lane_of(owner: Owner, channel: str, as_data: AsData, window: Window | None, *, batches: bool) -> RunLane:
    """Where the values of a run go, by what the client wants.

    Args:
        owner: The connection.
        channel: As the client spells it.
        as_data: Makes data of a payload.
        window: What the client has not acknowledged; None if it does not acknowledge.
        batches: Whether publications carry arrays; they do if it acknowledges.
    """
    if window is not None:
        return WindowLane(owner, channel, as_data, window)
    return (BatchLane if batches else RunLane)(owner, channel, as_data)


class RunSubscriber:
    """A subscription to a stream.

    Args:
        owner: The connection.
        state: What the protocol knows of it.
        stream: The stream.
        arguments: What FastAPI has resolved.
        lane: Where values go.
        window: What the client has not acknowledged; None if it does not acknowledge.
    """

    def __init__(
        self,
        owner: Owner,
        state: Subscription,
        stream: Stream,
        arguments: Mapping[str, Any],
        *,
        lane: RunLane,
        window: Window | None,
    ) -> None:
        self.window = window
        self._owner = owner
        self._state = state
        self._stream = stream
        self._arguments = dict(arguments)
        self._lane = lane
        self._inbox = Inbox(owner.hub.settings.max_inbox_messages, owner.inbox)
        self._task = asyncio.current_task()
        self._begun = asyncio.Event()
        self.is_over = False

    def take(self, data: bytes) -> None:
        """Takes the first message, which comes with the subscription; empty for none.

        Raises:
            Refused: It does not validate.
        """
        stream, parameter = self._stream, self._stream.parameter
        if parameter is None or stream.decoder is None:
            return
        if stream.intake is Intake.EACH:
            self._arguments[parameter] = self._decoded(data)
            return
        if data:
            self._put(self._decoded(data), len(data) + stream.decoder.weight(data))
        self._arguments[parameter] = ThreadMessages(self._inbox) if stream.synchronous else self._inbox

    def _decoded(self, data: bytes) -> Any:
        stream, owner = self._stream, self._owner
        assert stream.decoder is not None
        return decoded(stream.decoder, data, owner.codec, owner.hub, stream.title)

    def begin(self) -> None:
        self._begun.set()

    def end(self) -> None:
        self.is_over = True
        self._state.holder = None  # which leads here
        self._inbox.close()
        self._inbox.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def news_first(self) -> None:
        """What the generator has yielded was written when it suspended."""

    def publish(self, command: Publish) -> None:
        if self._stream.intake is not Intake.ALL or self._stream.decoder is None:
            raise Refused(codes.PERMISSION_DENIED._replace(message="this stream takes one message, with the subscribe"))
        weight = self._stream.decoder.weight(command.data)
        self._put(self._decoded(command.data), size_of(command) + weight)
        self._owner.done(command.id, None)

    def _put(self, message: Any, size: int) -> None:
        try:
            self._inbox.put(message, size)
        except InboxFull as error:
            raise Refused(inbox_full(error)) from None

    async def run(self) -> None:
        """Runs the generator once, and tells the client of its end.

        Raises:
            Exception: What the generator failed with, once the client was told: FastAPI's dependencies roll back.
        """
        with self._owner.hub.running():
            outcome = await run_for_client(
                self._owner.hub, self._stream.title, self._pump, lambda: self.is_over, logs=False
            )
        if not self.is_over:
            self._owner.end_subscription(self._state, _why(outcome))
        # After a cancellation FastAPI's dependencies end as they do when a client leaves a WebSocket of its own.
        if isinstance(outcome, Failed):
            raise outcome.exception

    async def _pump(self) -> None:
        await self._begun.wait()
        stream, lane, encoder = self._stream, self._lane, self._lane.encoder(self._stream.encoder)
        if not stream.synchronous:
            await pump(stream.function(**self._arguments), encoder, lane)
            return
        arguments, threads = self._arguments, self._owner.hub.threads()
        await pump_from_thread(lambda: stream.function(**arguments), encoder, lane, threads)


def _why(outcome: Outcome[None]) -> Unsubscription:
    """Return what the client is told of the end of a run."""
    match outcome:
        case Completed():
            return codes.COMPLETE
        case RunRefused(_, status, detail) if status < 500:
            return Unsubscription(_REFUSED + status, error_of(status, detail).message)
        case RunRefused(_, status, detail):
            return FAILED._replace(reason=error_of(status, detail).message)
        case Failed() | Cancelled():
            return FAILED
