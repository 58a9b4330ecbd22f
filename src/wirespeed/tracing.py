"""Spans of OpenTelemetry, for runs, publications and deliveries. This module knows nothing of the app.

Only an app whose tracing is on imports it, so that others need no package for it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PARENT = "traceparent"
_SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
_W3C = TraceContextTextMapPropagator()
_FEED = contexts.create_key("wirespeed.feed")
"""Key of contexts in which the generator of a feed runs."""

End = Callable[[str, BaseException | None], None]
"""Sets the outcome of a span, and the exception for which it has failed."""


class Tracing:
    """Makes the spans of one app.

    Args:
        provider: Provider of the tracer.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("wirespeed", version("wirespeed"), schema_url=_SCHEMA)

    @contextmanager
    def run(self, kind: str, path: str, function: Callable[..., object] | None) -> Iterator[End]:
        """Trace a run of user code within a block: of a feed in a trace of its own, of others inside the current span.

        Outside of a span that is recorded, nothing is traced but feeds.
        """
        is_feed = kind == "feed"
        if not is_feed and not _is_recorded():
            yield ignored
            return
        attributes = {"wirespeed.kind": kind, "http.route": path} | _function(function)
        span = self._tracer.start_span(f"{kind} {path}", Context() if is_feed else None, attributes=attributes)
        token = contexts.attach(contexts.set_value(_FEED, is_feed))
        try:
            with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
                yield lambda outcome, error: _set_end(span, outcome, error)
        finally:
            contexts.detach(token)

    def publication(self, path: str) -> "PublicationSpan | None":
        """Return the span of a publication inside the current span; None outside of one that is recorded.

        Publications of a feed's generator have none: their trace would never end.
        """
        if contexts.get_value(_FEED):
            return None
        return PublicationSpan(self._start("publish", "send", path, SpanKind.PRODUCER)) if _is_recorded() else None

    def delivery(self, path: str, parent: str, watchers: int) -> Callable[[], None]:
        """Start the span of the delivery of a publication to the watchers of this process.

        Args:
            parent: Context of the publication, as ``traceparent`` of the W3C.

        Returns:
            The function that ends the span.
        """
        context = _W3C.extract({_PARENT: parent}, Context())
        attributes = {"wirespeed.watchers": watchers}
        return self._start("deliver", "process", path, SpanKind.CONSUMER, context, attributes).end

    def _start(
        self,
        name: str,
        operation: str,
        path: str,
        kind: SpanKind,
        context: Context | None = None,
        attributes: Mapping[str, int] | None = None,
    ) -> Span:
        given = {
            "messaging.system": "wirespeed",
            "messaging.operation.name": name,
            "messaging.operation.type": operation,
            "messaging.destination.template": path,
        }
        return self._tracer.start_span(f"{name} {path}", context, kind, given | dict(attributes or {}))


class PublicationSpan:
    """The span of one publication."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, error: BaseException | None = None) -> str:
        """End the span; return its context as ``traceparent`` of the W3C."""
        _set_end(self._span, "failed" if error else "completed", error)
        self._span.end()
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span, Context()))
        return carrier.get(_PARENT, "")


def ignored(outcome: str, error: BaseException | None) -> None:
    """Do nothing: the run has no span."""


def _is_recorded() -> bool:
    """Return True if the current span is recorded."""
    return trace.get_current_span().is_recording()


def _function(function: Callable[..., object] | None) -> dict[str, str]:
    if function is None:
        return {}
    module = getattr(function, "__module__", type(function).__module__)
    return {"code.function.name": f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"}


def _set_end(span: Span, outcome: str, error: BaseException | None) -> None:
    span.set_attribute("wirespeed.outcome", outcome)
    if error is not None:
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        span.set_attribute("error.type", name)
        span.set_status(StatusCode.ERROR)
        try:
            span.record_exception(error)
        except Exception:  # the user's __str__
            span.add_event("exception", {"exception.type": name, "exception.message": "its str() fails"})
