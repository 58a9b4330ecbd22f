"""Receipts: what became of a publication."""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Generator
from typing import Any

from ..errors import BindingError
from ..log.position import Position

logger = logging.getLogger("wirespeed")


def _yes() -> bool:
    return True


class Receipt:
    """What became of one publication: await it, or ask for its result in a thread, for the position it was given.

    A receipt may be left alone: a failure that nobody asked for is logged.
    """

    __slots__ = ("__weakref__", "_asked", "_error", "_future", "_has_started", "_position", "_what")

    def __init__(
        self,
        what: str,
        position: Position | None = None,
        *,
        error: Exception | None = None,
        has_started: Callable[[], bool] = _yes,
    ) -> None:
        self._what = what
        self._has_started = has_started
        self._position = position
        self._error = error
        self._asked = False
        # Made only where somebody may have to wait.
        self._future: concurrent.futures.Future[None] | None = None
        if position is None and error is None:
            self._future = concurrent.futures.Future()

    def settle(self, position: Position | None, error: Exception | None = None) -> None:
        """Says what became of it; the first word counts.

        Args:
            position: Where it is in its log.
            error: Why it was not published, instead.
        """
        if self.done():
            return
        self._position, self._error = position, error
        if self._future is not None:
            self._future.set_result(None)

    def done(self) -> bool:
        """Whether it is known what became of it."""
        return self._position is not None or self._error is not None

    def result(self, timeout: float | None = None) -> Position:
        """Waits, in a thread that is not the event loop's, until the publication has its position.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: It takes longer; it may still be published.
            BindingError: The app has not started; the publication waits for that.
            Exception: It was not published, and why.
        """
        if not self.done() and self._future is not None:
            self._check_start()
            self._future.result(timeout)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, Position]:
        """Waits until the publication has its position; raises why it has not. Cancelling changes nothing."""
        if not self.done() and self._future is not None:
            self._check_start()
            yield from asyncio.shield(asyncio.wrap_future(self._future)).__await__()
        return self._outcome()

    def _check_start(self) -> None:
        # Whoever waits in the app's own startup would wait for ever.
        if not self._has_started():
            raise BindingError(
                f"{self._what}: the app has not started; what is published before goes out then, but cannot be waited "
                "for. In tests, write: with TestClient(app) as client"
            )

    def _outcome(self) -> Position:
        self._asked = True
        if self._error is not None:
            raise self._error
        assert self._position is not None
        return self._position

    def __del__(self) -> None:
        if self._error is not None and not self._asked:
            logger.error("%s: a publication has failed: %s", self._what, self._error, exc_info=self._error)
