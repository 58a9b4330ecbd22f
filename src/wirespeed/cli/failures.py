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
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except UnicodeEncodeError as error:
        note(f"wirespeed: the output cannot be written in {error.encoding}; set PYTHONUTF8=1")
        raise typer.Exit(ExitCode.FAILED) from None
    except BrokenPipeError:
        # The reader has what it wanted. Python would complain when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:
        note(f"wirespeed: {error}")
        raise typer.Exit(ExitCode.FAILED) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine until it returns. SIGTERM cancels it, as Ctrl-C does."""
    import asyncio

    return asyncio.run(_ending(work))


async def _ending(work: Coroutine[Any, Any, T]) -> T:
    import asyncio

    task = asyncio.ensure_future(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    if hasattr(signal, "SIGTERM") and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if terminated:
            raise typer.Exit(ExitCode.TERMINATED) from None
        raise
