"""Traces: the spans of an app's runs, publications and deliveries, if the app is traced."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..definitions import Receipt, on_settled
from ..isolation import isolated, log_error
from ..log.position import Position
from ..runs.outcome import Completed, Failed, Outcome, run_now
from .clock import Clock

if TYPE_CHECKING:
    from ..tracing import PublicationSpan, Tracing

T = TypeVar("T")

NOTICE = b"trace"
"""Word of the notice by which processes learn of a publication's context. Those without tracing ignore it."""


def _ignored(outcome: Outcome[Any]) -> None:
    """Do nothing: the run is not traced."""


UNTRACED: AbstractContextManager[Callable[[Outcome[Any]], None]] = nullcontext(_ignored)


class Traces:
    """The spans of one app.

    Attributes:
        tracing: Makes spans; None if the app is not traced, which costs nothing.
    """

    def __init__(self) -> None:
        self.tracing: Tracing | None = None

    def run(
        self, kind: str, path: str, function: Callable[..., object] | None
    ) -> AbstractContextManager[Callable[[Outcome[Any]], None]]:
        """Trace a run within a block. The block gets the function that takes the outcome of the run."""
        return UNTRACED if self.tracing is None else _run(self.tracing, kind, path, function)

    def publication(self, path: str, publish: Callable[[], Receipt], stored: Callable[[str], None]) -> Receipt:
        """Trace a publication, until its receipt is settled.

        Args:
            publish: Publishes the value.
            stored: Called in the event loop once the value is stored, with the context of the publication.
        """
        span = None if self.tracing is None else _made(partial(self.tracing.publication, path))
        if span is None:
            return publish()
        try:
            receipt = publish()
        except BaseException as error:
            _made(partial(span.end, error))
            raise
        on_settled(receipt, partial(_settled, span, stored))
        return receipt

    def deliver(self, clock: Clock, name: str, context: str, watchers: int) -> None:
        """Trace the delivery of a publication, from now to the end of the round that writes it.

        Args:
            name: Name of the key.
            context: Context of the publication.
        """
        if self.tracing is not None and watchers:
            end = _made(partial(self.tracing.delivery, path_of(name), context, watchers))
            if end is not None:
                clock.after_round(partial(_made, end))


def _made(make: Callable[[], T]) -> T | None:
    """Call something that makes or ends a span of a publication or delivery; return None if it fails, which is logged.

    It runs the processors of the app's spans. A value and its receipt must not depend on them.
    """
    outcome = run_now(make)
    if isinstance(outcome, Completed):
        return outcome.value
    log_error(outcome.error, "A publication could not be traced.")
    return None


def path_of(name: str) -> str:
    """Return the path of a feed or topic by the name of one of its keys."""
    return name.partition("?")[0]


@contextmanager
def _run(
    tracing: "Tracing", kind: str, path: str, function: Callable[..., object] | None
) -> Iterator[Callable[[Outcome[Any]], None]]:
    with tracing.run(kind, path, function) as end:
        yield lambda outcome: end(
            type(outcome).__name__.lower(), outcome.error if isinstance(outcome, Failed) else None
        )


def _settled(
    span: "PublicationSpan", stored: Callable[[str], None], position: Position | None, error: Exception | None
) -> None:
    context = _made(partial(span.end, error))
    if position is not None and context:
        with isolated("The context of a publication could not be sent."):
            stored(context)
