"""Readers: a reader reads one connection until it is over, or until someone ends it."""

import asyncio
from abc import ABC, abstractmethod
from math import inf

from starlette.types import Receive

CUT_TIMEOUT = 0.25
"""Seconds that the end of a connection may take once the server has cancelled it."""


class Reader(ABC):
    """Reads from one connection, in the task that creates it."""

    __slots__ = ("_interrupting", "_is_cut", "_reading", "_receive_event", "_task")

    def __init__(self, receive: Receive) -> None:
        self._receive_event = receive
        self._reading = False
        self._interrupting = False
        self._is_cut = False
        self._task = asyncio.current_task()

    @abstractmethod
    async def _read(self) -> None:
        """Read until the connection is over."""

    async def over(self) -> None:
        """Wait until the task has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _stop_reading(self) -> None:
        # This is what asyncio.timeout() does, without its 600 bytes per connection. Code that runs in the reader's own
        # task is not interrupted: it looks for itself whether to read on.
        here = asyncio.current_task() is self._task
        if self._reading and not self._interrupting and not here and self._task is not None:
            self._interrupting = True
            self._task.cancel()

    def _patience(self) -> float:
        """Return the seconds that the end may take: few if the server has cancelled the task, as it does when a stop
        has taken too long. A send may then wait for a middleware that is over."""
        return CUT_TIMEOUT if self._is_cut else inf

    async def _read_until_over(self) -> None:
        try:
            self._reading = True
            await self._read()
            if self._interrupting:  # a message came at the same moment, so the cancellation has yet to arrive
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not self._interrupting or self._task is None or self._task.uncancel() > 0:
                self._is_cut = True
                raise
        finally:
            self._reading = False
