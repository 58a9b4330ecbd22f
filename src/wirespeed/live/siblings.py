"""Siblings: the worker processes of one server share nothing, and an app without a broker does not know of them."""

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

logger = logging.getLogger("wirespeed")

SERVERS = frozenset({"uvicorn", "gunicorn", "granian", "hypercorn"})

WARNING = (
    "This server runs %d worker processes, and without a broker they share nothing: a publication reaches only the "
    "clients of the process that published it, and presence, clients() and the HTTP fallbacks know one process only. "
    "Run one worker."
)


def warn_of_siblings() -> None:
    """Log a warning if the server was started with several workers; once, where processes are numbered."""
    count = workers()
    if count > 1 and _is_first(multiprocessing.current_process().name):
        logger.warning(WARNING, count)


def workers() -> int:
    """Return how many worker processes the server was started with, as far as that can be seen; 1 otherwise."""
    # Servers call the app from their own code, which has their settings: the call stack leads to them.
    found = list(_of_servers(sys._getframe()))
    if found:
        return max(found)
    if "granian" in sys.argv[0]:  # where it spawns its workers, they get the command line, and not the settings
        return _of_options(sys.argv) or _number(os.environ.get("GRANIAN_WORKERS"))
    return _number(os.environ.get("WEB_CONCURRENCY"))


def _of_servers(frame: FrameType | None) -> Iterator[int]:
    """The numbers of workers in the settings of the servers that have called this."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in SERVERS:
            yield from _of_settings(frame.f_locals)
        frame = frame.f_back


def _of_settings(names: dict[str, Any]) -> Iterator[int]:
    server = names.get("self")
    for settings in (names.get("config"), server, getattr(server, "config", None), getattr(server, "cfg", None)):
        count = getattr(settings, "workers", None)
        if isinstance(count, int):
            # With --reload, uvicorn ignores the number.
            yield 1 if getattr(settings, "should_reload", False) else count


def _of_options(arguments: Sequence[str]) -> int | None:
    for option, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = option.partition("=")
        if name == "--workers":
            return _number(value or following)
    return None


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 1


def _is_first(process: str) -> bool:
    """Whether a process is the first of its kind, or has no number: multiprocessing names them "SpawnProcess-1", ..."""
    number = process.rpartition("-")[2]
    return not number.isdecimal() or number == "1"
