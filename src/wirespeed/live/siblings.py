"""Sibling workers: the worker processes of one server share nothing unless the app has a broker."""

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

logger = logging.getLogger("wirespeed")

SERVERS = frozenset({"uvicorn", "gunicorn", "granian", "hypercorn"})

WARNING = (
    "This server runs %d worker processes, which share nothing without a broker: a publication reaches only the "
    "clients of the process that published it, and presence, clients() and the HTTP fallbacks see one process only. "
    'Name a broker, Live(app, broker="redis://..."), or run one worker.'
)


def warn_of_siblings(*, at_startup: bool) -> None:
    """Log a warning if the server was started with several workers.

    At startup, only the first worker logs it. Later, each one does: the first may never have a client.
    """
    count = workers()
    if count > 1 and (not at_startup or _is_first()):
        logger.warning(WARNING, count)


def workers() -> int:
    """Return the number of worker processes that the server was started with; 1 if unknown."""
    found = [count for names in _of_servers() for count in _of_settings(names)]
    if found:
        return max(found)
    if "granian" in sys.argv[0]:  # its spawned workers get the command line, but not the settings
        return _of_options(sys.argv) or _number(os.environ.get("GRANIAN_WORKERS"))
    return _number(os.environ.get("WEB_CONCURRENCY"))


def _of_servers() -> Iterator[Mapping[str, Any]]:
    """Yield the local variables of the server's functions on the call stack, which lead to its settings."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in SERVERS:
            yield frame.f_locals
        frame = frame.f_back


def _of_settings(names: Mapping[str, Any]) -> Iterator[int]:
    server = names.get("self")
    for settings in (names.get("config"), server, getattr(server, "config", None), getattr(server, "cfg", None)):
        count = getattr(settings, "workers", None)
        if isinstance(count, int):
            # With --reload, uvicorn ignores the number of workers.
            yield 1 if getattr(settings, "should_reload", False) else count


def _is_first() -> bool:
    """Return whether this process is the first worker; True if workers have no numbers."""
    # multiprocessing names processes "SpawnProcess-1", granian has a worker_id, a worker of gunicorn an age.
    number = multiprocessing.current_process().name.rpartition("-")[2]
    numbers = [int(number)] if number.isdecimal() else []
    for names in _of_servers():
        numbers += [each for each in (names.get("worker_id"), getattr(names.get("self"), "age", None)) if each]
    return all(each == 1 for each in numbers)


def _of_options(arguments: Sequence[str]) -> int | None:
    for option, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = option.partition("=")
        if name == "--workers":
            return _number(value or following)
    return None


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 1
