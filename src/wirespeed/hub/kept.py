"""Kept runs: runs of streams that outlive their connection, with the values that a client may have missed.

A run writes to its journal, and the connection that its client has at the moment takes from there. While there is none,
the run goes on until the journal is full, and ends when its time is over.
"""

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..definitions import Criteria
from ..errors import RunGone
from ..frames import messages
from ..identity import Identity
from ..lanes.lane import RunSink
from ..runs.inbox import Budget
from ..settings import Settings
from .admissions import Admissions

STOP_TIMEOUT = 5.0
"""Seconds that kept runs have to end when the app stops."""

PIECE = 16 * 1024
"""Bytes of values that a connection takes at once."""

BESIDE = 128
"""Bytes that each value in a journal counts for, beside its own."""

Message = tuple[int, bytes]
"""The opcode and the payload of one message."""


class Taker(ABC):
    """A connection that takes what a kept run has written."""

    @abstractmethod
    def take(self, taken: list[Message], last: int) -> None:
        """Write some messages; the last one has this number."""

    @abstractmethod
    def closing(self) -> bool:
        """Return True if nothing that is written now arrives."""

    @abstractmethod
    async def drained(self) -> None:
        """Wait until there is room, or the connection closes."""

    @abstractmethod
    def replaced(self) -> None:
        """End: another connection has resumed the run."""


class KeptBudget(Budget):
    """The bound on the bytes of all journals and of the messages of runs without a connection, and the runs that wait
    for room.

    When there is room again, the first of those that wait is woken, and lets the next be woken when it goes on. So a
    release takes as long as there are runs that can go on, however many wait.
    """

    __slots__ = ("_waiting", "_woken")

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._waiting: OrderedDict[object, Callable[[], None]] = OrderedDict()
        self._woken: set[object] = set()

    def is_full(self) -> bool:
        """Return True if a run without a connection has to wait."""
        return self.used > self.size

    def give(self, size: int) -> None:
        super().give(size)
        self._wake()

    def wait(self, waiter: object, wake: Callable[[], None]) -> None:
        """Call a function when there is room. A waiter that was woken and has found none keeps its place."""
        self._waiting[waiter] = wake
        if waiter in self._woken:
            self._woken.discard(waiter)
            self._waiting.move_to_end(waiter, last=False)

    def leave(self, waiter: object) -> None:
        """Forget a waiter: it goes on, has given up, or waits for something else. The next one gets the room."""
        self._waiting.pop(waiter, None)
        self._woken.discard(waiter)
        self._wake()

    def _wake(self) -> None:
        if self._waiting and not self.is_full():
            waiter, wake = self._waiting.popitem(last=False)
            self._woken.add(waiter)
            wake()


class Journal(RunSink):
    """The newest messages of one run, numbered from one.

    Those that a connection has taken stay for a client that did not get them, up to half of the bound. The others wait
    for a connection. While there is one, few wait, so that a slow client holds the run back as on any connection.

    Args:
        size: Bytes that the journal holds, beside the message that comes last.
        waiting: Bytes that wait while the run has a connection.
        together: The bound on the bytes of all journals. Beyond it, a journal keeps nothing that was taken, and a run
            without a connection waits.
    """

    def __init__(self, size: int, waiting: int, together: KeptBudget) -> None:
        self._together = together
        self._is_released = False
        self._half = size // 2
        self._waiting = min(waiting, self._half)
        self._taken: deque[Message] = deque()
        self._new: deque[Message] = deque()
        self._taken_size = self._new_size = 0
        self._changed = asyncio.Event()
        self.last = 0
        """Number of the newest message."""
        self.has_taker = False
        self.is_over = False
        """True if nothing follows."""

    @property
    def taken(self) -> int:
        """Number of the message that was taken last."""
        return self.last - len(self._new)

    def write(self, frames: bytes, messages_: int) -> None:
        if self.is_over:
            return
        for message in messages(frames):
            self._new.append(message)
            self._new_size += _size(message)
            self._charge(_size(message))
            self.last += 1
        self.change()

    def _charge(self, size: int) -> None:
        if not self._is_released:
            self._together.add(size)

    def _discharge(self, size: int) -> None:
        if not self._is_released:
            self._together.give(size)

    def release(self) -> None:
        """Charge nothing any more: the run is forgotten, and only its last connection takes the rest."""
        self._discharge(self._new_size + self._taken_size)
        self._is_released = True

    def writable(self) -> bool:
        if self._together.is_full():
            return self.has_taker and not self._new
        return self._new_size < (self._waiting if self.has_taker else self._half)

    def closing(self) -> bool:
        return self.is_over

    async def drained(self) -> None:
        waiter = object()
        try:
            while not (self.writable() or self.is_over):
                if self._together.is_full():
                    self._together.wait(waiter, self.change)
                else:
                    self._together.leave(waiter)
                await self.changed()
        finally:
            self._together.leave(waiter)

    def change(self) -> None:
        """Wake all who wait for a change."""
        self._changed.set()

    async def changed(self) -> None:
        """Wait until there are new messages, or there is more room, or another connection, or the end."""
        self._changed.clear()
        await self._changed.wait()

    def take(self) -> list[Message]:
        """Return the messages that a connection takes next; an empty list if there are none."""
        taken: list[Message] = []
        size = 0
        while self._new and size < PIECE:
            message = self._new.popleft()
            taken.append(message)
            size += _size(message)
        self._taken += taken
        self._new_size -= size
        self._taken_size += size
        while self._taken and (self._taken_size > self._half or self._together.is_full()):
            dropped = _size(self._taken.popleft())
            self._taken_size -= dropped
            self._discharge(dropped)
        if taken:
            self.change()
        return taken

    def check(self, since: int) -> None:
        """Check that everything is here that follows a message.

        Raises:
            RunGone: Some of it is no longer here, or the message was not taken yet.
        """
        if not self.taken - len(self._taken) <= since <= self.taken:
            raise RunGone("the journal of the run does not go back to this value")

    def rewind(self, since: int) -> None:
        """Let the next connection take what follows a message; raise as :meth:`check` does."""
        self.check(since)
        while self.taken > since:
            message = self._taken.pop()
            self._new.appendleft(message)
            self._taken_size -= _size(message)
            self._new_size += _size(message)


def _is_same(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:  # values of the app's own types, which may compare in any way
        return False


def _size(message: Message) -> int:
    return len(message[1]) + BESIDE


def _nothing() -> int:
    return 0


class KeptRun:
    """A run that outlives its connection.

    Args:
        owner: Who may resume it: equal for the same user with the same arguments.
        user: The user, for the bound on each user's runs; empty if unknown.
        seconds: Seconds that it stays without a connection, and after its end.
        identity: Identity of the client.
        place: Title of the stream.
    """

    def __init__(
        self,
        runs: "KeptRuns",
        owner: object,
        user: str,
        seconds: float,
        journal: Journal,
        identity: Identity,
        place: str,
    ) -> None:
        self.id = secrets.token_urlsafe(18)
        self.identity = identity
        self.place = place
        self.owner = owner
        self.user = user
        self.journal = journal
        self.host: Any = None
        """The surface's object that serves the run, for the messages of its later connections; None once it is over,
        because it has the messages of the client."""
        self.held: Callable[[], int] = _nothing
        """Returns the bytes of the client's messages that the run has, those that wait for it included."""
        self.charged = 0
        """Those that count because the run has no connection, which has bounds of its own."""
        self.end: Any = None
        """The end, as the surface knows it, once the journal is over."""
        self.on_given_up: Callable[[], None] | None = None
        """Cancels the run, which then finishes; None before it has begun, and once it has ended."""
        self.is_given_up = False
        self.is_hosted = False
        """True once everything is there that the run needs; clients learn its id after that."""
        self._runs = runs
        self._seconds = seconds
        self._taker: Taker | None = None
        self._timer: asyncio.TimerHandle | None = None

    # From connections

    def attach(self, taker: Taker, since: int = 0) -> None:
        """Make a connection the one that takes what follows a message. The one before it is replaced.

        Raises:
            RunGone: Some of what follows is no longer here.
        """
        self.journal.rewind(since)
        replaced, self._taker = self._taker, taker
        self.journal.has_taker = True
        self.journal.change()
        if not self.journal.is_over:
            self._stop_timer()
        self._runs.back(self)
        if replaced is not None:
            replaced.replaced()

    async def pass_on(self, taker: Taker) -> bool:
        """Let a connection take everything, to the end of the run. Return False if it was replaced or closes."""
        while self._taker is taker:
            await taker.drained()
            if self._taker is not taker or taker.closing():
                break
            if taken := self.journal.take():
                taker.take(taken, self.journal.taken)
            elif self.journal.is_over:
                return True
            else:
                await self.journal.changed()
        return False

    def leave(self, taker: Taker, *, for_good: bool) -> None:
        """Note that a connection is over; nothing happens if it was replaced.

        Args:
            for_good: True if the run ends with it.
        """
        if self._taker is not taker:
            return
        self._taker = None
        self.journal.has_taker = False
        self.journal.change()
        if for_good:
            self.give_up()
        else:
            self._start_timer()
            self._runs.away(self)

    def ends(self, criteria: Criteria) -> list[Callable[[], None]]:
        """Return a function that gives the run up, if criteria fit it. A run with a connection ends with that."""
        fits = criteria.fits(self.identity) and criteria.covers(self.place)
        return [self.give_up] if fits and self._taker is None else []

    # From the run, and for it

    def finish(self, end: Any) -> None:
        """Note that the run has ended. Its journal stays for a client that has not got it all."""
        if self.journal.is_over:
            return
        self.end, self.host, self.held, self.on_given_up = end, None, _nothing, None
        self.journal.is_over = True
        self.journal.change()
        self._start_timer()
        self._runs.away(self)

    def give_up(self) -> None:
        """End the run, and forget it: its client has left for good, its time is over, or the app stops."""
        self._stop_timer()
        self._runs.forget(self)
        self.is_given_up = True
        give_up, self.on_given_up = self.on_given_up, None
        if give_up is not None:
            give_up()

    def _start_timer(self) -> None:
        self._stop_timer()
        if not self.is_given_up:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self.give_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class KeptRuns:
    """The kept runs of one process."""

    def __init__(self, settings: Settings, admissions: Admissions, refused: Callable[..., None]) -> None:
        self._settings = settings
        self._refused = refused
        self._admissions = admissions
        self._runs: dict[str, KeptRun] = {}
        self._away: dict[str, dict[KeptRun, None]] = {"": {}}
        """The runs without a connection, and those that have ended: all of them, and those of each user."""
        self._together = KeptBudget(settings.max_kept_bytes)
        self._charged = 0
        """Bytes of the messages of all runs without a connection."""
        self._hosted: set[asyncio.Future[None]] = set()
        self._is_stopped = False

    def __len__(self) -> int:
        return len(self._away[""])

    def start(self) -> None:
        """Accept runs: the app starts."""
        self._is_stopped = False

    def begin(self, owner: object, user: str, seconds: float, identity: Identity, place: str) -> KeptRun:
        """Return a new run."""
        settings = self._settings
        journal = Journal(settings.max_kept_run_bytes, settings.max_waiting_bytes, self._together)
        run = KeptRun(self, owner, user, seconds, journal, identity, place)
        self._runs[run.id] = run
        self._admissions.enter(run)
        self._admissions.note(run, identity)
        return run

    def find(self, id_: str, owner: object) -> KeptRun:
        """Return a run.

        Raises:
            RunGone: There is none with this id, or its owner is another one. The client does not learn which.
        """
        run = self._runs.get(id_)
        if run is None or not run.is_hosted or not _is_same(run.owner, owner):
            raise RunGone("there is no such run, or its time is over")
        return run

    @contextmanager
    def hosting(self, run: KeptRun) -> Iterator[None]:
        """Let the stop of the app wait for a block, which ends when everything of a run has ended."""
        over = asyncio.get_running_loop().create_future()
        self._hosted.add(over)
        run.is_hosted = True
        try:
            if self._is_stopped:
                run.give_up()
            yield
        finally:
            self._hosted.discard(over)
            over.set_result(None)

    def away(self, run: KeptRun) -> None:
        """Count a run that has no connection, or has ended. Beyond a bound, one is given up: first
        those that have ended, then the one that is away longest. The messages of one run always have room."""
        if run.is_given_up:
            return
        if self._is_stopped:
            run.give_up()
            return
        settings = self._settings
        self._charge(run, run.held())
        self._count("", run, settings.max_kept_runs)
        if run.user and not run.is_given_up:  # it may be the one that has ended
            self._count(run.user, run, settings.max_kept_runs_per_user)
        while self._charged > settings.max_kept_bytes // 2 and (first := self._first_charged()) is not run:
            self._end_early(first)

    def _charge(self, run: KeptRun, size: int) -> None:
        """Count the messages of a run, instead of what was counted before."""
        if change := size - run.charged:
            run.charged = size
            self._charged += change
            self._together.give(-change)

    def _first_charged(self) -> KeptRun:
        return next(each for each in self._away[""] if each.charged)

    def _count(self, user: str, run: KeptRun, most: int) -> None:
        away = self._away.setdefault(user, {})
        away[run] = None
        if len(away) > most:
            ended = (each for each in away if each.journal.is_over)
            given_up = next(ended, next(iter(away)))
            self._end_early(given_up)

    def _end_early(self, run: KeptRun) -> None:
        if not run.journal.is_over:
            self._refused("too many kept runs", said=f"a run of {run.place} has ended before its client returned")
        run.give_up()

    def back(self, run: KeptRun) -> None:
        """Count a run no longer: it has a connection again."""
        self._charge(run, 0)
        for user in dict.fromkeys(("", run.user)):
            away = self._away.get(user, {})
            away.pop(run, None)
            if user and not away:
                self._away.pop(user, None)

    def forget(self, run: KeptRun) -> None:
        if self._runs.pop(run.id, None) is not None:
            run.journal.release()
        self._admissions.forget(run)
        self.back(run)

    async def stop(self) -> None:
        """End all runs: the app stops, and its clients could not resume them elsewhere."""
        self.give_up()
        if self._hosted:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await asyncio.wait(self._hosted)

    def give_up(self) -> None:
        """End all runs, and those that begin from now on."""
        self._is_stopped = True
        for run in list(self._runs.values()):
            run.give_up()
