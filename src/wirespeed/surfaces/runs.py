"""Runs of user code for a client: its refusals, and the counting and logging of its failures."""

from collections.abc import Awaitable, Callable, Mapping
from http.client import responses
from typing import Any, NamedTuple, TypeVar

from starlette.exceptions import HTTPException, WebSocketException

from ..codec import Decoder, Encoder
from ..definitions import Intake, Stream, TakesMessages
from ..errors import InvalidMessage, Unavailable
from ..hub import Hub
from ..isolation import annotate, log_error
from ..lanes.lane import RunSink
from ..runs.outcome import Completed, Failed, Outcome, Refusal, Refused, failed_by, run_apart, run_now, run_once
from ..runs.pump import pump
from ..runs.thread import ThreadMessages, pump_from_thread
from .answers import token_answer

T = TypeVar("T")

MOST_MESSAGE = 4096
"""Most characters of the message of a refusal."""


class ValidatorFailed(InvalidMessage):
    """A validator failed, so that it is unknown if the message is valid."""


class Invalid(NamedTuple):
    """The answer to a message that does not validate. It waits as bytes: the errors as objects are several times as
    large."""

    frame: bytes


def refusal(error: BaseException) -> Refused | Failed | None:
    """Return the refusal that an exception means, such as ``HTTPException`` or ``TokenExpired``; None for others.

    A status that HTTP does not know is a failure: to its client, it would mean something else. So is an interim one,
    after which a client waits for the answer, and a close that is not a number and a text.
    """
    if isinstance(error, HTTPException):
        status: object = error.status_code
        headers: object = error.headers
        if not (isinstance(status, int) and 200 <= status < 600):
            return _unfit(error, f"the status {status!r:.20}")
        if not isinstance(headers, Mapping | None):
            return _unfit(error, f"the headers {headers!r:.20}")
        return Refused(error, status, error.detail)
    if isinstance(error, WebSocketException):
        code: object = error.code
        reason: object = error.reason
        if isinstance(code, int) and isinstance(reason, str):
            return Refused(error, 403, reason or None, (code, reason))
        return _unfit(error, f"the code {code!r:.20} and the reason {reason!r:.20}")
    if isinstance(error, Exception) and (answer := token_answer(error)) is not None:
        return Refused(error, answer.status_code, answer.detail)
    return Refused(error, 503, error.advice) if isinstance(error, Unavailable) else None


def _unfit(error: Exception, what: str) -> Failed:
    exception = RuntimeError(f"{type(error).__name__} with {what}")
    exception.__cause__ = error
    return Failed(exception, exception)


def feed_refusal(error: BaseException) -> Refused | Failed | None:
    """Return the refusal of a feed's watchers that an exception of the feed's generator means; None for others."""
    return refusal(error) if isinstance(error, HTTPException | WebSocketException) else None


async def run_for_client(
    hub: Hub,
    title: str,
    run: Callable[[], Awaitable[T]],
    is_cancelled: Callable[[], bool] | None = None,
    *,
    what: str = "the run",
    logs: bool = True,
    refusal: Refusal = refusal,
) -> Outcome[T]:
    """Run user code once for a client. A failure is counted, and logged with its traceback.

    Args:
        is_cancelled: Returns True if the owner of the run has cancelled it, see :func:`~.run_once`; None for an owner
            that cannot know, see :func:`~.run_apart`.
        logs: False if the caller raises a failure, so that the server logs it.
    """
    outcome = await (run_apart(run, refusal) if is_cancelled is None else run_once(run, refusal, is_cancelled))
    if isinstance(outcome, Failed):
        _report(hub, title, outcome, what, logs=logs)
    return outcome


def _report(hub: Hub, title: str, failed: Failed, what: str, *, logs: bool) -> None:
    hub.sessions.failed()
    if logs:
        log_error(failed.error, "%s: %s failed.", title, what, of=title)
    else:
        annotate(failed.exception, f"in {title}")


async def run_counted(
    hub: Hub,
    definition: TakesMessages,
    run: Callable[[], Awaitable[T]],
    is_cancelled: Callable[[], bool] | None = None,
    *,
    logs: bool = False,
) -> Outcome[T]:
    """Run a stream or call once for a client, and count the run; the arguments are those of :func:`run_for_client`."""
    figures = hub.running.of(definition)
    path, function = hub.running.path(definition), definition.declared.function
    outcome: Outcome[T] | None = None
    try:
        with hub.sessions.running(), figures.running(), hub.traces.run(definition.kind, path, function) as ended:
            outcome = await run_for_client(hub, definition.title, run, is_cancelled, logs=logs)
            ended(outcome)
    except Exception as error:  # of tracing: a processor of the app's spans may fail
        if outcome is None:
            outcome = failed_by(error)
            _report(hub, definition.title, outcome, "the begin of a run", logs=logs)
        else:
            log_error(error, "%s: a run could not be traced.", definition.title)
    figures.ended(outcome)
    return outcome


def note_unanswered(hub: Hub, error: BaseException) -> None:
    """Count and log an error that has ended a run beside its outcome."""
    hub.sessions.failed()
    log_error(error, "A run could not be answered.")


async def run_stream(
    hub: Hub,
    stream: Stream,
    arguments: Mapping[str, Any],
    encoder: Encoder[Any],
    sink: RunSink,
    wrote: Callable[[int], None] | None = None,
) -> None:
    """Run the generator of a stream once, and write its values to a sink.

    Args:
        arguments: All arguments of the stream; a duplex one has an :class:`~.Inbox` for its messages.
        wrote: Called after each write with the number of its values; by default, they are counted.

    Raises:
        Exception: The generator or the encoder raised it. All values before it were written.
    """
    wrote = wrote or hub.running.of(stream).wrote
    if not stream.synchronous:
        await pump(stream.function(**arguments), encoder, sink, wrote)
        return
    stopped: Callable[[], None] | None = None
    if stream.intake is Intake.ALL and stream.parameter is not None:
        inbox = arguments[stream.parameter]
        arguments, stopped = {**arguments, stream.parameter: ThreadMessages(inbox)}, inbox.close
    await pump_from_thread(lambda: stream.function(**arguments), encoder, sink, hub.lanes.threads(), wrote, stopped)


def decoded(hub: Hub, title: str, decoder: Decoder[Any], message: str | bytes, failed: str) -> Any:
    """Return the value of a client's message.

    Raises:
        InvalidMessage: It does not validate, or a validator has refused it.
        ValidatorFailed: A validator failed.
    """
    match run_now(lambda: decoder.decode(message), _invalid):
        case Completed(value):
            return value
        case Refused(error, status, detail):
            if isinstance(error, InvalidMessage):
                raise error
            raise InvalidMessage(message_of(status, detail), detail, code=status)
        case Failed(error):
            hub.sessions.failed()
            log_error(error, "%s: a validator failed.", title, of=title)
            raise ValidatorFailed(failed, code=500)


def _invalid(error: BaseException) -> Refused | Failed | None:
    return Refused(error, error.code) if isinstance(error, InvalidMessage) else refusal(error)


def message_of(status: int, detail: Any) -> str:
    """Return one sentence for a client: the detail if it is one, or the status in words."""
    text = detail if isinstance(detail, str) and detail else responses.get(status, "Refused")
    return text if len(text) <= MOST_MESSAGE else text[:MOST_MESSAGE] + "…"
