"""The runs of an app's streams and calls, counted as they begin and end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from ..definitions import DURATIONS, RunStatistics, TakesMessages
from ..runs.outcome import Cancelled, Completed, Failed, Outcome, Refused
from .buckets import Buckets

_NUMBERS = ("active", "cancelled", "completed", "failed", "messages", "refused")


class RunFigures:
    """The figures of one stream or call so far."""

    __slots__ = (*_NUMBERS, "_durations")

    def __init__(self) -> None:
        self.active = self.completed = self.refused = self.failed = self.cancelled = self.messages = 0
        self._durations = Buckets(DURATIONS)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count a run as in progress within a block."""
        self.active += 1
        begun = perf_counter()
        try:
            yield
        finally:
            self.active -= 1
            self._durations.add(perf_counter() - begun)

    def wrote(self, messages: int) -> None:
        """Count values that a run has written."""
        self.messages += messages

    def ended(self, outcome: Outcome[Any]) -> None:
        """Count the end of a run."""
        match outcome:
            case Completed():
                self.completed += 1
            case Refused():
                self.refused += 1
            case Failed():
                self.failed += 1
            case Cancelled():
                self.cancelled += 1

    def statistics(self) -> RunStatistics:
        """Return the figures at this moment."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return RunStatistics(durations=self._durations.histogram(), **numbers)


class Running:
    """The figures of all streams and calls of one app."""

    def __init__(self) -> None:
        self._figures: dict[TakesMessages, RunFigures] = {}
        self._names: dict[TakesMessages, str] = {}

    def bind(self, definition: TakesMessages, path: str) -> None:
        """Count a stream or call under the path that it has in the app; the first path stays."""
        if definition not in self._names:
            taken = set(self._names.values())
            self._names[definition] = path if path not in taken else f"{path}#{len(taken)}"
            self._figures[definition] = RunFigures()

    def of(self, definition: TakesMessages) -> RunFigures:
        """Return the figures of a stream or call."""
        declared = definition.declared
        if declared not in self._figures:  # the app runs without its lifespan
            self.bind(declared, declared.path)
        return self._figures[declared]

    def path(self, definition: TakesMessages) -> str:
        """Return the path of a stream or call in the app."""
        return self._names.get(definition.declared, definition.path)

    def statistics(self) -> Mapping[str, RunStatistics]:
        """Return the figures at this moment, by path; from any thread."""
        return {name: self._figures[each].statistics() for each, name in list(self._names.items())}
