"""Revocations in all processes of an app: each ends its own clients and confirms it to the process that revokes."""

import asyncio
import json
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from ..definitions import Criteria, Revocation, settle_revocation
from ..errors import BacklogFull, BrokerDown, Stopped
from ..isolation import isolated
from .processes import Processes
from .sessions import Sessions
from .slices import Slices

logger = logging.getLogger("wirespeed")

PATIENCE = 75.0
"""Seconds for which other processes are asked to confirm; one that was killed counts as alive for up to 60 seconds."""
ANSWER = 4.0
"""Seconds that a process has to confirm before it is asked again."""
PAUSE = 1.0
"""Seconds before processes that have not confirmed are asked again."""

_REVOKE = "revoke"
_PROBLEM = "A client could not be ended that was revoked."
_BATCH = 100
_REMEMBERED = 1000
"""Requests whose answers are remembered, so that none acts twice when it is repeated."""

_BESIDE = 1024
"""Bytes that a revocation takes beside its criteria while it waits for other processes, about."""

_Batch = Sequence[tuple[Criteria, Revocation, int]]
"""Revocations with the numbers of what this process has ended."""


class Revoking:
    """Ends what clients were admitted to, in all processes.

    Args:
        sessions: The connections of this process.
        processes: The other processes.
        size: Bytes of revocations that may wait for the other processes.
    """

    def __init__(self, sessions: Sessions, processes: Processes, size: int) -> None:
        self._sessions = sessions
        self._processes = processes
        self._size = size
        self._waiting = 0
        """Bytes of the revocations that wait for other processes."""
        self._unsent: list[tuple[Criteria, Revocation, int]] = []
        self._sent: set[Revocation] = set()
        """Those that other processes have not confirmed yet."""
        self._answered: OrderedDict[str, bytes] = OrderedDict()
        self._slices = Slices(_PROBLEM)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_sending = False
        processes.answers[_REVOKE] = self._revoke_for_other

    def revoke(self, criteria: Criteria, revocation: Revocation) -> None:
        """End what criteria fit, in the event loop of the connections.

        If too much waits for the other processes, it ends only what this process has.
        """
        ended = self._here(criteria)
        if not self._processes.process:
            settle_revocation(revocation, ended)
            return
        size = _BESIDE + criteria.size
        if self._waiting + size > self._size:
            problem = BacklogFull("live.revoke()", self._waiting)
            _log(problem)
            settle_revocation(revocation, ended, problem)
            return
        self._waiting += size
        self._unsent.append((criteria, revocation, ended))
        if not self._is_sending:
            self._is_sending = True
            self._start(self._send())

    def _here(self, criteria: Criteria) -> int:
        ends = self._sessions.revoked(criteria)
        self._slices.begin(_each(ends))
        return len(ends)

    def close(self) -> None:
        """Give up what other processes have not confirmed: the app stops."""
        self._slices.clear()
        # Settled here, and not by the tasks: one that is cancelled before its first turn runs none of its code.
        for task in self._tasks:
            task.cancel()
        given_up = [*self._sent, *(revocation for _, revocation, _ in self._unsent)]
        self._sent, self._unsent, self._is_sending, self._waiting = set(), [], False, 0
        if given_up:
            problem = Stopped("live.revoke()")
            _log(problem)
            for revocation in given_up:
                settle_revocation(revocation, 0, problem)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Other processes

    async def _send(self) -> None:
        """Bring the revocations to the other processes: all that gather meanwhile are one request."""
        await asyncio.sleep(0)
        while self._unsent:
            batch, self._unsent = self._unsent[:_BATCH], self._unsent[_BATCH:]
            self._sent.update(revocation for _, revocation, _ in batch)
            self._start(self._everywhere(batch))
            await asyncio.sleep(0)
        self._is_sending = False

    async def _everywhere(self, batch: _Batch) -> None:
        body = json.dumps([secrets.token_hex(8), [criteria for criteria, _, _ in batch]]).encode()
        answers: dict[str, bytes] = {}
        problem = await self._confirmed(body, answers)
        totals = [ended for _, _, ended in batch]
        for answer in answers.values():
            with isolated("A process has confirmed a revocation with a malformed message."):
                totals = [total + more for total, more in zip(totals, json.loads(answer), strict=True)]
        if problem is not None:
            _log(problem)
        for (criteria, revocation, _), total in zip(batch, totals, strict=True):
            self._sent.discard(revocation)
            self._waiting -= _BESIDE + criteria.size
            settle_revocation(revocation, total, problem)

    async def _confirmed(self, body: bytes, answers: dict[str, bytes]) -> Exception | None:
        """Ask until all other processes have confirmed; return what has gone wrong if they have not."""
        clock = asyncio.get_running_loop().time
        until, problem = clock() + PATIENCE, BrokerDown("")
        while clock() < until:
            try:
                replies = await self._processes.ask_all(_REVOKE, body, ANSWER)
            except BrokerDown as error:
                problem = error
            except Exception as error:  # such as a request that is too large: another attempt would not change it
                return error
            else:
                answers.update(replies.bodies)
                if len(replies.bodies) >= replies.asked:
                    return None
                missing = replies.asked - len(replies.bodies)
                problem = BrokerDown(f"{missing} of {replies.asked} other processes have not confirmed it")
            await asyncio.sleep(PAUSE)
        return problem

    def _revoke_for_other(self, body: bytes) -> bytes:
        name, batch = json.loads(body)
        if name not in self._answered:
            counts = [self._here(Criteria(*criteria)) for criteria in batch]
            self._answered[name] = json.dumps(counts).encode()
            while len(self._answered) > _REMEMBERED:
                self._answered.popitem(last=False)
        return self._answered[name]


def _log(problem: Exception) -> None:
    logger.error("A revocation may be incomplete: %s", problem)


def _each(ends: Sequence[Callable[[], None]]) -> Iterator[None]:
    """End clients, one in each step."""
    for end in ends:
        with isolated(_PROBLEM):
            end()
        yield
