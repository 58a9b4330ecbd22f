"""The option ``recheck``: a client stays as long as the guards of its feed, topic or stream admit it."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from starlette.types import Scope

from ..centrifuge.codes import Error
from ..definitions import Call, Stream, Watched
from ..hub import Hub
from ..isolation import isolated, log_error
from ..runs.outcome import Cancelled, Completed, run_once
from .admitted import Admitted
from .multiplex.admission import Admission, asking_again, refusal_by

_STATUSES = {101: 401, 102: 404, 103: 403, 107: 422, 109: 401, 111: 429}
"""Statuses by the codes of errors that have none of the app's own."""


class Recheck:
    """The guards of one client, which are checked again after some seconds, and again.

    Args:
        ask: Returns another decision of the app about the client.
        refuse: Ends what was admitted, with a status and its detail.
    """

    __slots__ = ("_ask", "_context", "_hub", "_is_over", "_refuse", "_seconds", "_timer")

    def __init__(
        self, hub: Hub, seconds: float, ask: Callable[[], Admission], refuse: Callable[[int, Any], None]
    ) -> None:
        self._hub = hub
        self._seconds = seconds
        self._ask = ask
        self._refuse = refuse
        self._is_over = False
        self._context = copy_context()  # in which the guards have admitted the client
        self._timer: asyncio.TimerHandle | None = None
        self._again()

    def _again(self) -> None:
        if not self._is_over:
            loop, context = asyncio.get_running_loop(), self._context
            self._timer = loop.call_later(self._seconds, self._hub.rechecks.add, self._check, context, context=context)

    def stop(self) -> None:
        """Check no more: the client has left."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _goes_on(self) -> bool:
        return not self._is_over and not self._hub.is_over()

    async def _check(self) -> None:
        """Ask the app once. However that ends, the next check is arranged: otherwise the client would stay forever."""
        if self._goes_on():
            outcome = await run_once(self._decide, is_cancelled=self._hub.is_over)
            if not isinstance(outcome, Completed | Cancelled):
                log_error(outcome.error, "The guards of a client could not be checked again, and the client stays.")
                self._hub.refused("recheck failed")
        self._again()

    async def _decide(self) -> None:
        admission = self._ask()
        error = await refusal_by(admission)
        if error is not None and self._goes_on():
            self._heed(error, admission.title)

    def _heed(self, error: Error, title: str) -> None:
        status = error.status or _STATUSES.get(error.code, 500)
        if status < 500:
            self._hub.refused("recheck", said=error.message)
            with isolated("A client could not be ended that its guards refuse."):
                self._refuse(status, error.detail or error.message)
        else:  # an outage of what the guards need must not end everything
            line = f"{title}: its guards could not be checked again, and the client stays: {error.message}"
            self._hub.refused("recheck failed", level=logging.WARNING, line=line)


def seconds_of(definition: Stream | Call | Watched[Any, Any]) -> float | None:
    """Return the seconds after which the guards of a definition are checked again; None for never."""
    if isinstance(definition, Watched):
        return definition.options.recheck
    return definition.recheck if isinstance(definition, Stream) else None


def recheck_raw(hub: Hub, holder: Admitted, definition: Stream | Watched[Any, Any], scope: Scope) -> None:
    """Check the guards of a raw connection again and again until it ends, if its definition wants that."""
    seconds = seconds_of(definition)
    if seconds is None:
        return
    recheck = Recheck(hub, seconds, asking_again(definition, scope, hub), holder.refuse)
    hub.sessions.admissions.at_end(holder, recheck.stop)
