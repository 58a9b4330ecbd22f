"""Rechecks: guards that are called again for the clients that they have admitted, a few at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from ..isolation import isolated
from ..runs.tasks import create_task

MOST = 16
"""Guards that are called again at the same moment. Others wait: a thousand clients must not ask a database at once."""
PATIENCE = 30.0
"""Seconds after which a guard that does not end no longer keeps others waiting."""

Check = Callable[[], Coroutine[Any, Any, None]]


class Rechecks:
    """The checks that are due in one process."""

    def __init__(self) -> None:
        self._due: deque[tuple[Check, Context]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = 0

    def add(self, check: Check, context: Context) -> None:
        """Call a function in its turn, in a copy of its client's context: the tasks here serve all clients."""
        self._due.append((check, context))
        self._start_work()

    def _start_work(self) -> None:
        if self._working < MOST:
            self._working += 1
            self._start(self._work()).add_done_callback(self._worked)

    def close(self) -> None:
        """Cancel all checks: the app stops."""
        self._due.clear()
        for task in self._tasks:
            task.cancel()

    def _start(self, coroutine: Coroutine[Any, Any, None], context: Context | None = None) -> "asyncio.Task[None]":
        task = create_task(coroutine, context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self) -> None:
        while self._due:
            check, context = self._due.popleft()
            await asyncio.wait([self._start(self._isolated(check), context.copy())], timeout=PATIENCE)

    def _worked(self, _: object) -> None:
        # Not in the task itself: one that is cancelled before its first turn runs none of its code.
        self._working -= 1
        if self._due:  # since the task looked last, which was in an earlier turn
            self._start_work()

    async def _isolated(self, check: Check) -> None:
        with isolated("The guards of a client could not be checked again."):
            await check()
