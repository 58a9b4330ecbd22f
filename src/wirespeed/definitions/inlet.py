"""The inlet: the way by which threads let an event loop do something, within a bound."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Lock
from time import perf_counter
from typing import Any

from ..errors import BacklogFull
from ..isolation import isolated

MOST = 16 * 1024 * 1024
"""Bytes that may wait, unless a hub says otherwise."""

BESIDE = 512
"""Bytes that a call takes beside its texts, about."""

_SLICE = 0.002


class Inlet:
    """A bounded queue of calls into an event loop, which makes them in their order and in slices of time.

    Args:
        most: Bytes of calls that may wait; one call always may.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Forget everything that waits: it belongs to the process from which this one was forked."""
        self._counting = Lock()
        self._size = 0
        # An app has one loop, but tests may use it from one after the other.
        self._waiting: dict[asyncio.AbstractEventLoop, deque[tuple[int, Callable[[], None]]]] = {}

    def call(self, loop: asyncio.AbstractEventLoop, what: str, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function now in the thread of a loop, and soon from any other; not at all if the loop is closed.

        Args:
            what: What the caller does, for the error.

        Raises:
            BacklogFull: Too much waits for the loop, which another thread has asked for. The function is not called.
        """
        if loop is running():
            function(*arguments)
            return
        size = BESIDE + sum(len(each) for each in arguments if isinstance(each, (str, bytes)))
        with self._counting:
            for each in [each for each in self._waiting if each.is_closed()]:
                self._size -= sum(size for size, _ in self._waiting.pop(each))
            if loop.is_closed():
                return
            if self._size and self._size + size > self._most:
                raise BacklogFull(what, self._size)
            self._size += size
            is_first = loop not in self._waiting
            self._waiting.setdefault(loop, deque()).append((size, partial(function, *arguments)))
            if is_first:
                loop.call_soon_threadsafe(self._drain, loop)

    def empty(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make all calls that wait for the running loop, now."""
        self._drain_until(loop, None)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._drain_until(loop, perf_counter() + _SLICE):
            loop.call_soon(self._drain, loop)

    def _drain_until(self, loop: asyncio.AbstractEventLoop, end: float | None) -> bool:
        """Make calls, at least one, until a time; return True if some are left."""
        while True:
            with self._counting:
                waiting = self._waiting.get(loop)
                if not waiting:
                    self._waiting.pop(loop, None)  # the next call wakes the loop again
                    return False
                size, call = waiting.popleft()
                self._size -= size
            with isolated("What a thread has asked for failed."):
                call()
            if end is not None and perf_counter() >= end:
                return True


def running() -> asyncio.AbstractEventLoop | None:
    """Return the event loop of the current thread; None if it has none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
