"""Isolation: an error while one of many is served is logged, and does not affect the others.

The same error may occur for thousands of clients at the same moment. So the log gets one traceback for errors that are
alike, and at most one line per second about the others.
"""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from math import inf
from traceback import walk_tb
from types import TracebackType
from typing import TypeVar

logger = logging.getLogger("wirespeed")

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

AGAIN = 60.0
"""Seconds without an error of a kind, after which the next one is logged with its traceback again."""
_MOST = 1000
"""Most kinds of errors to remember."""
_MOST_NOTES = 20
"""Most notes of one exception."""


class Lines:
    """A limit on log lines: one per second of each kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[Hashable, tuple[float, int]] = {}
        """The time of the last line of each kind, and the number of those left out since then."""

    def next(self, kind: Hashable) -> str | None:
        """Return the end of the next line of a kind; None if there are too many lines of its kind."""
        now = self._clock()
        at, silent = self._kinds.get(kind, (-inf, 0))
        if now - at < 1:
            self._kinds[kind] = (at, silent + 1)
            return None
        self._kinds[kind] = (now, 0)
        return f" ({silent} more since the last line)" if silent else ""


class Errors:
    """A log of errors. Of errors that are alike, it has the first with its traceback, and then one line per second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[Hashable, float] = {}
        """The time of the last error of each kind."""
        self._lines = Lines(clock)

    def log(self, error: BaseException, what: str, *arguments: object, of: Hashable = None) -> None:
        """Log an error, or count it for the next line about its kind.

        Args:
            of: The definition that has failed, if the same error in others is of another kind.
        """
        now, kind = self._clock(), (what, of, signature_of(error))
        if kind not in self._last and len(self._last) >= _MOST:  # a bound on memory: a few more tracebacks do no harm
            self._last, self._lines = {}, Lines(self._clock)
        is_first = now - self._last.get(kind, -inf) >= AGAIN
        self._last[kind] = now
        more = self._lines.next(kind)
        if is_first:
            logger.error(what, *arguments, exc_info=error)
        elif more is not None:
            logger.error(what + " As before: %s%s", *arguments, one_line(error), more)


_errors = Errors()


def log_error(error: BaseException, what: str, *arguments: object, of: Hashable = None) -> None:
    """Log an error that may occur for many at the same time. See :class:`Errors`."""
    _errors.log(error, what, *arguments, of=of)


def detached(error: E) -> E:
    """Return an error that is about to be kept, with its traceback as a note.

    The frames of a traceback keep all variables around them. If what keeps the error is one of these, both would be
    freed only by the next garbage collection.
    """
    if error.__traceback__ is not None:
        frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)]
        # Without the source, whose marks would take most of a millisecond.
        places = [f'  File "{code.co_filename}", line {line}, in {code.co_name}' for code, line in frames]
        annotate(error, "\n".join(["Raised in:", *places]))
    return error.with_traceback(None)


def signature_of(error: BaseException) -> Hashable:
    """Return the properties that errors share if they are alike: the type, and the place that raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return type(error), None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)


def one_line(error: BaseException) -> str:
    """Return an exception's type and message on one line."""
    try:
        text = str(error)
    except BaseException as raised:  # the user's __str__
        failure(raised)
        text = "its str() fails"
    return " ".join(f"{type(error).__name__}: {text}".split())[:300]


def failure(error: BaseException) -> Exception:
    """Return the exception by which synchronous code of the app has failed, while one of many is served.

    It is the one that was raised, or stands for one that would end more than this code, such as ``SystemExit`` or the
    panic of a library.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, which is for the program.
    """
    if is_ctrl_c(error):
        raise error
    return error if isinstance(error, Exception) else standing_for(error)


def standing_for(error: BaseException) -> RuntimeError:
    """Return an exception that has another one as its cause, which cannot be raised where many are served."""
    exception = RuntimeError(f"the code ended with {type(error).__name__}")
    exception.__cause__ = error
    return exception


def is_ctrl_c(error: BaseException) -> bool:
    """Return True if an exception ends the program. Servers handle the signal: with a handler, code has raised it."""
    is_main = threading.current_thread() is threading.main_thread()
    return (
        isinstance(error, KeyboardInterrupt)
        and is_main
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def annotate(error: BaseException, note: str) -> None:
    """Add a note to an exception for the log, if it takes one: a frozen dataclass does not.

    An exception that is raised again and again keeps :data:`_MOST_NOTES` of them.
    """
    with suppress(Exception):
        if len(getattr(error, "__notes__", ())) < _MOST_NOTES:
            error.add_note(note)


class isolated:  # noqa: N801 - it reads as a statement; a class, since a generator takes three times as long
    """Log an exception of a ``with`` block, except a cancellation, and let the code after the block continue."""

    __slots__ = ("_arguments", "_what")

    def __init__(self, what: str, *arguments: object) -> None:
        self._what = what
        self._arguments = arguments

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, asyncio.CancelledError | GeneratorExit):  # the block may await
            return False
        log_error(failure(error), self._what, *self._arguments)
        return True


def for_each(items: Iterable[T], serve: Callable[[T], object], failed: Callable[[T, Exception], object]) -> None:
    """Serve many items, one after the other. The isolation costs nothing unless one of them fails."""
    left = iter(items)
    while True:
        try:
            for item in left:
                serve(item)
            return
        except BaseException as raised:
            error = failure(raised)
            with isolated("The cleanup after an error failed, too."):
                failed(item, error)
