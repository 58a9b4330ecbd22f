"""Rows of a table, one after the other: those that are wanted, and what becomes of those that fail."""

import resource
import sys
from collections.abc import Callable
from typing import TypeVar

from benchmarks.client import ProtocolError
from benchmarks.processes import UnavailableError
from benchmarks.streams import Selection

FAILURES = (UnavailableError, ProtocolError, OSError)

Row = TypeVar("Row")


class Attempts:
    """Measures rows; `missing` says why one is not there."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.missing: dict[str, str] = {}

    def row(self, name: str, measured: Callable[[], Row]) -> Row | None:
        if not self._selection.takes(name):
            return None
        say(name)
        try:
            return measured()
        except FAILURES as error:
            self.missing[name] = f"{error}" or type(error).__name__
            say(f"{name}: {self.missing[name]}")
            return None


def allow_files() -> None:
    """Every connection is a file in two processes; servers inherit what is allowed here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
