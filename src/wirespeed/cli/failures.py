"""Exit codes, and the one place where a failure becomes a sentence on stderr."""

import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any, TypeVar

import typer

from .terminal import clean_lines

T = TypeVar("T")


class ExitCode(IntEnum):
    """The exit codes of all commands; 0 is success."""

    FAILED = 1
    """The server refused something, something failed, or a check found a problem."""
    USAGE = 2
    """The command line cannot be understood, or does not fit the definition."""
    UNREACHABLE = 3
    """No server answers."""
    INCOMPLETE = 4
    """Values were lost, or not taken fast enough."""
    INTERRUPTED = 130
    """Ctrl-C."""
    TERMINATED = 143
    """SIGTERM."""


PATIENCE = 1.0
"""Seconds in which a command ends by itself after a signal. It may stand in a write to a reader that reads nothing."""


class _Stuck(KeyboardInterrupt):
    """A command did not end in time after a signal."""


class _Ended(KeyboardInterrupt):
    """A signal has ended a command.

    Args:
        code: The exit code.
    """

    def __init__(self, code: ExitCode) -> None:
        super().__init__()
        self.code = code


class CommandError(Exception):
    """A failure, as a sentence for the user.

    Args:
        message: What happened, and where.
        hint: What to do; empty if the message says it.
        code: The exit code.
    """

    def __init__(self, message: str, hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def usage(message: str, hint: str = "") -> CommandError:
    """Return the error for a command line that cannot work."""
    return CommandError(message, hint, ExitCode.USAGE)


def note(text: str) -> None:
    """Write to stderr, where it does not mix with data."""
    with suppress(OSError):  # the exit code says it, too
        print(clean_lines(text), file=sys.stderr, flush=True)


@contextmanager
def reporting() -> Iterator[None]:
    """Run a command: its failures become sentences on stderr, and exit codes."""
    try:
        yield
        sys.stdout.flush()
    except CommandError as error:
        note(f"wirespeed: {error}")
        if error.hint:
            note(f"  {error.hint}")
        raise typer.Exit(error.code) from None
    except _Ended as end:
        _flush_in_time()
        raise typer.Exit(end.code) from None
    except KeyboardInterrupt:
        _flush_in_time()
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except UnicodeEncodeError as error:
        note(f"wirespeed: the output cannot be written in {error.encoding}; set PYTHONUTF8=1")
        raise typer.Exit(ExitCode.FAILED) from None
    except BrokenPipeError:
        _drop_output()  # the reader has what it wanted
        raise typer.Exit(0) from None
    except OSError as error:
        note(f"wirespeed: {error}")
        raise typer.Exit(ExitCode.FAILED) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine until it returns. Ctrl-C and SIGTERM cancel it; if it stands in a write then, they break that."""
    import asyncio

    return asyncio.run(_ending(work))


async def _ending(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    ended: list[ExitCode] = []

    def end(number: int, _: object) -> None:
        ended.append(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)
        loop.call_soon_threadsafe(task.cancel)
        _set_timer()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        return await task
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if ended:
            raise _Ended(ended[0]) from None
        raise
    except _Stuck:
        raise _Ended(ended[0]) from None


def _set_timer() -> None:
    """Raise an error in a while, wherever the command stands then."""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, _break)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)


def _break(*_: object) -> None:
    raise _Stuck


def _flush_in_time() -> None:
    """Write what was printed, unless the reader does not take it."""
    try:
        _set_timer()
        sys.stdout.flush()
    except (_Stuck, OSError):
        _drop_output()
    finally:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)


def _drop_output() -> None:
    """Throw away what was printed and not written: Python would write it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
