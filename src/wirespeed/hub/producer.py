"""Producers: the run of a feed's generator, from its first watcher to a while after its last."""

import asyncio
import contextvars
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from ..errors import SourceError
from ..isolation import Lines, isolated, log_error, one_line, signature_of
from ..runs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Outcome,
    Refusal,
    Refused,
    Unfinished,
    failed_by,
    no_refusal,
    run_once,
)
from ..runs.tasks import create_task
from .traces import UNTRACED

logger = logging.getLogger("wirespeed")

FIRST_DELAY = 0.2
"""Seconds within which a generator is started again after an error; doubled after each further error."""
LONGEST_DELAY = 30.0
HEALTHY = 30.0
"""Seconds after which a run counts as healthy: after an error, it is started again soon."""
REFUSES = "refuses its watchers"
MOST_KINDS = 100
"""Failures of one feed that are distinguished; generated code, for example, may fail at ever new places."""


def ignored(refused: Refused) -> None:
    """Do nothing about a refusal."""


class Failures:
    """Logs the failures of one feed: of failures that are alike, only the first has a traceback.

    Lines about the others come at a bounded rate: each key of the feed may fail, and fail again.
    """

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.title = title
        self._known: set[object] = set()
        self._lines = Lines(clock)

    def log(self, error: BaseException, what: str) -> None:
        """Log a failure. One that the app has foreseen needs no traceback."""
        if isinstance(error, SourceError) or what == REFUSES:
            if (more := self._lines.next(what)) is not None:
                logger.warning("%s: the generator %s: %s%s", self.title, what, one_line(error), more)
            return
        failure = signature_of(error)
        if failure not in self._known and len(self._known) < MOST_KINDS:
            self._known.add(failure)
            logger.error("%s: the generator %s", self.title, what, exc_info=error)
        elif (more := self._lines.next(what)) is not None:
            logger.error("%s: the generator %s, as before: %s%s", self.title, what, one_line(error), more)


@dataclass(eq=False)
class Producer:
    """One run of one feed's generator, started again whenever it raises."""

    _failures: Failures
    """The log of the feed's failures, which all of its keys share."""
    _run: Callable[[], Awaitable[None]]
    """Runs the generator once and publishes what it yields."""
    _failed: Callable[[BaseException, int], None]
    """Called each time that it has raised, with the error, and the number of errors since the last healthy run."""
    _completed: Callable[[], None]
    """Called when it has ended by itself."""
    _refused: Callable[[Refused], None] = ignored
    """Called when it has refused its watchers, which ends it."""
    _refusal: Refusal = no_refusal
    """Returns the refusal that an exception of the generator stands for."""
    _trace: Callable[[], AbstractContextManager[Callable[[Outcome[None]], None]]] = lambda: UNTRACED
    """Traces a run of the generator within a block, which gets the function that takes the outcome."""
    _states: Counter[str] = field(default_factory=Counter)
    """Number of the feed's producers by state."""
    _stopping: bool = False
    _current: asyncio.Task[Outcome[None]] | None = None
    state: str = "running"
    """``"running"``, ``"waiting"`` to be started again, or ``"stopping"``."""
    since: float = field(default_factory=time.time)
    """Unix time in seconds at which the state began."""
    restarts: int = 0
    """Number of times that it was started again."""

    def __post_init__(self) -> None:
        self._states[self.state] += 1
        # A context of its own: the variables of the first watcher's request are not the feed's.
        self.task = asyncio.create_task(self._run_until_complete(), context=contextvars.Context())
        self.task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Cancel the generator where it stands. The producer's task ends after its ``finally`` blocks."""
        if not self._stopping:
            self._stopping = True
            self._become("stopping")
            (self._current or self.task).cancel()

    def _become(self, state: str) -> None:
        self._states[self.state] -= 1
        self._states[state] += 1
        self.state, self.since = state, time.time()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._states[self.state] -= 1

    def _is_stopping(self) -> bool:
        return self._stopping

    async def _run_until_complete(self) -> None:
        clock = asyncio.get_running_loop().time
        delay, failures = FIRST_DELAY, 0
        while True:
            begun = clock()
            outcome = await self._outcome()
            if isinstance(outcome, Completed):
                self._completed()
                return
            if clock() - begun >= HEALTHY:
                delay, failures = FIRST_DELAY, 0
            failures += 1
            has_refused = False
            with isolated("The failure of a generator could not be noted."):  # watchers would wait forever
                has_refused = self._note(outcome, failures)
            if has_refused or self._stopping:
                return
            self._become("waiting")
            await asyncio.sleep(random.uniform(0, delay))  # noqa: S311 - spreads the load, guards nothing
            delay = min(2 * delay, LONGEST_DELAY)
            self._become("running")
            self.restarts += 1

    async def _outcome(self) -> Outcome[None]:
        """Run the generator once."""
        outcome: Outcome[None] | None = None
        try:
            with self._trace() as ended:
                # In a task of its own, to distinguish a cancellation from elsewhere from the end of the loop.
                self._current = create_task(run_once(self._run, self._refusal, self._is_stopping))
                await asyncio.wait([self._current])
                run, self._current = self._current, None
                outcome = run.result()
                ended(outcome)
        except Exception as error:  # of tracing: a processor of the app's spans may fail
            if outcome is None:
                return failed_by(error)  # watchers would wait forever
            log_error(error, "%s: a run could not be traced.", self._failures.title)
        return outcome

    def _note(self, outcome: Unfinished, failures: int) -> bool:
        """Note how a run has ended that did not end by itself; return True if it has refused its watchers."""
        match outcome:
            case Refused(error) if not self._stopping:
                self._failures.log(error, REFUSES)
                self._refused(outcome)
                return True
            case Failed(error) | Refused(error):
                self._failed(error, failures)
                self._failures.log(
                    error, "failed while it was closed" if self._stopping else "failed and is started again"
                )
            case Cancelled():
                pass
        return False
