"""Receipts, which report the outcome of a publication."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Generator
from threading import Lock
from typing import Any

from ..errors import BindingError
from ..isolation import detached, isolated, log_error, signature_of
from ..log.position import Position

_making = Lock()


Settled = Callable[[Position | None, Exception | None], None]
"""Takes the outcome of a publication: its position, or the error."""


def _yes() -> bool:
    return True


class Receipt:
    """The outcome of one publication: its position, or the error for which it was not published.

    Await it, or call :meth:`result` in a thread. If neither is done, a failure is logged.
    """

    __slots__ = (
        "__weakref__", "_error", "_future", "_has_started", "_is_asked", "_kind", "_on_settled", "_position", "_what",
    )  # fmt: skip

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
        self._error: Exception | None = None
        if error is not None:
            self._fail(error)
        self._is_asked = False
        self._future: concurrent.futures.Future[None] | None = None
        self._on_settled: Settled | None = None

    def _fail(self, error: Exception) -> None:
        self._kind = self._what, signature_of(error)
        self._error = detached(error)

    def done(self) -> bool:
        """Return whether the outcome is known."""
        return self._position is not None or self._error is not None

    def result(self, timeout: float | None = None) -> Position:
        """Wait for the position of the publication, in a thread that is not the event loop's.

        Args:
            timeout: Maximum time to wait, in seconds.

        Raises:
            TimeoutError: The time is over; the value may still be published.
            BindingError: The app has not started; the publication waits until it does.
            Exception: The value was not published, for this reason.
        """
        if (future := self._awaited()) is not None:
            future.result(timeout)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, Position]:
        """Wait for the position of the publication; raise as :meth:`result` does.

        The publication goes on if the waiting task is cancelled.
        """
        if (future := self._awaited()) is not None:
            yield from asyncio.shield(asyncio.wrap_future(future)).__await__()
        return self._outcome()

    def _awaited(self) -> concurrent.futures.Future[None] | None:
        """Return a future that ends when the outcome is known; None if it is known now.

        Most receipts are never awaited, and the future would be a third of the cost of a publication.
        """
        if self.done():
            return None
        self._check_start()
        with _making:
            if self._future is None:
                self._future = concurrent.futures.Future()
        # Asked again: `settle` looks for the future after it has set the outcome.
        return None if self.done() else self._future

    def _check_start(self) -> None:
        # Code that waits in the app's own startup would wait forever.
        if not self._has_started():
            raise BindingError(
                f"{self._what}: the app has not started. Values that are published before are kept until it starts, "
                "but do not wait for them. In tests, write: with TestClient(app) as client"
            )

    def _outcome(self) -> Position:
        self._is_asked = True
        if self._error is not None:
            raise self._error
        assert self._position is not None
        return self._position

    def __del__(self) -> None:
        if self._error is not None and not self._is_asked:
            log_error(self._error, "%s: a publication failed.", self._what, of=self._kind)


def on_settled(receipt: Receipt, callback: Settled) -> None:
    """Call a function once with the outcome of a publication, in the thread that sets it; at once if it is known."""
    with _making:
        receipt._on_settled = callback
    if receipt.done():
        _call_settled(receipt)


def _call_settled(receipt: Receipt) -> None:
    with _making:
        callback, receipt._on_settled = receipt._on_settled, None
    if callback is not None:
        with isolated("The outcome of a publication could not be passed on."):
            callback(receipt._position, receipt._error)


def is_awaited(receipt: Receipt) -> bool:
    """Return True if something has waited, or waits, for an outcome that was not known."""
    return receipt._future is not None


def settle(receipt: Receipt, position: Position | None, error: Exception | None = None) -> None:
    """Set the outcome of a publication, unless it is set already."""
    if receipt.done():
        return
    receipt._position = position
    if error is not None:
        receipt._fail(error)
    if receipt._future is not None:
        receipt._future.set_result(None)
    if receipt._on_settled is not None:
        _call_settled(receipt)
