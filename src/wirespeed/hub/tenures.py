"""Tenures: each key of a feed has one process that runs its generator for all, the holder of the key's lease.

A process with watchers of a key claims the lease. The one that gets it starts the generator, renews the lease, and
stops once no process has watchers any more. The others claim again and again: so the holder knows of their watchers,
and they take over when the lease is free. The broker refuses the values of a process that has lost its lease.
"""

import asyncio
import math
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ..brokers.broker import Claim, Lease, Leases
from ..definitions import FeedDefinition, SourceHealth, SourceRefusal
from ..errors import BrokerDown
from ..isolation import isolated, log_error
from .live_key import LiveKey
from .output import SharedOutput
from .producers import Producers
from .shared import SharedLogs

RETRY = 0.5
"""Seconds between two attempts while the broker cannot be reached."""

_SOON = 0.01
"""Seconds to wait at least before a lease is claimed again that was about to be free."""

GRAINS = 50
"""Parts of the time of a lease at which claims are due: many keys share a round trip."""

RENEWALS = 3
"""Claims in the time of a lease."""


class Tenure:
    """The claim of this process on one key, from the first attempt to get the lease until it is lost or released.

    Attributes:
        token: Random name of the claim.
        until: Time of the loop's clock until which this process holds the lease; 0 if it does not.
        seen: Time at which a process was last known to have watchers.
        output: The way of the generator's values; None if it has not been started.
        is_leaving: True once the generator is to end, or has ended.
        is_completed: True if the generator has ended by itself.
        began_ended: True if the log had ended, or did not exist, when the generator was started.
        closing: Note with which the lease is closed, and for how many seconds.
        forgets: True if newest values and rows end with the run: no process has watchers.
        is_over: True once the key has ended, while a claim was in progress.
        is_claiming: True while a claim is in progress.
        is_due: True if another claim has to follow the one in progress.
        timer: The time of the next claim, or of the end of the lease.
        starting: The task that starts the generator.
        ended: Is done when the lease is not held any more.
    """

    def __init__(self, key: LiveKey, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.token = secrets.token_hex(8)
        self.until = 0.0
        self.seen = loop.time()
        self.output: SharedOutput | None = None
        self.closing = (b"", 0.0)
        self.is_leaving = self.is_completed = self.began_ended = self.forgets = False
        self.is_over = self.is_claiming = self.is_due = False
        self.timer: asyncio.TimerHandle | None = None
        self.starting: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[None] = loop.create_future()

    def is_watched(self) -> bool:
        """Return True if this process wants the generator to run."""
        return self.key.is_watched() and not (self.key.is_over or self.is_leaving)

    def rest(self) -> None:
        """Stop what was planned."""
        if self.timer is not None:
            self.timer.cancel()
        if self.starting is not None:
            self.starting.cancel()
        if not self.ended.done():
            self.ended.set_result(None)


class Tenures:
    """The keys whose generators this process runs for all processes, or would run.

    Args:
        drop: Ends a key that has no watchers.
        refuse: Refuses the watchers of a key for some seconds.
        seconds: Seconds after which a lease that is not renewed is free.
    """

    def __init__(
        self,
        leases: Leases,
        shared: SharedLogs,
        producers: Producers,
        drop: Callable[[LiveKey], None],
        refuse: Callable[[LiveKey, SourceRefusal, float], None],
        seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._leases = leases
        self._shared = shared
        self._producers = producers
        self._drop = drop
        self._refuse = refuse
        self._seconds = seconds
        self._tenures: dict[str, Tenure] = {}
        self._due: list[Tenure] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    # Called by the engine

    def left(self, key: LiveKey) -> float | None:
        """Return the seconds for which this process holds the lease of a key; None if it does not."""
        tenure = self._tenures.get(key.token)
        return tenure.until - self._loop.time() if tenure is not None and tenure.until else None

    def add(self, key: LiveKey, arguments: Mapping[str, Any]) -> None:
        """Claim the lease of a key that is watched, unless this process does so already."""
        if key.token or key.producer is not None or self._is_over:
            return
        tenure = Tenure(key, self._loop)
        key.arguments, key.token, key.began = arguments, tenure.token, None
        self._tenures[tenure.token] = tenure
        self._claim(tenure)

    def vacant(self, key: LiveKey) -> None:
        """Note that another process has released the lease of a key."""
        if key.token in self._tenures and not self._tenures[key.token].until:
            self._claim(self._tenures[key.token])

    def unwatched(self, key: LiveKey) -> None:
        """Note that the last watcher of a key has left this process."""
        tenure = self._tenures.get(key.token)
        if tenure is not None and tenure.until:
            tenure.seen = self._loop.time()
            self._claim(tenure)
        elif key.producer is None:
            self._drop(key)

    def completed(self, key: LiveKey) -> None:
        """Note that the generator has ended by itself, and that all processes will hear of it from the broker."""
        if key.token in self._tenures:
            self._tenures[key.token].is_completed = True

    def failed(self, key: LiveKey) -> None:
        """Note that the generator has failed: other processes may have to know."""
        if key.note() and key.token in self._tenures:
            self._claim(self._tenures[key.token])

    def refused(self, key: LiveKey, refusal: SourceRefusal, seconds: float) -> None:
        """Note that the generator has refused its watchers: those of other processes are refused, too."""
        if key.token in self._tenures:
            tenure = self._tenures[key.token]
            tenure.closing, tenure.forgets = (refusal.as_note(), seconds), key.kind.retention.kind != "last"

    def over(self, key: LiveKey) -> None:
        """Note that the generator does not run any more."""
        key.runs(None)
        tenure = self._tenures.get(key.token)
        if tenure is None:  # the lease was lost, which has cancelled the generator
            self._again(key)
        else:
            tenure.is_leaving = True
            self._start(self._end(tenure))
            if tenure.is_completed and tenure.began_ended and tenure.output and tenure.output.at is None:
                key.completed()  # the log had ended before, so the broker announces nothing

    def remove(self, key: LiveKey) -> None:
        """Give up the key, which has ended."""
        tenure = self._tenures.get(key.token)
        if tenure is None or tenure.is_over:
            return
        tenure.is_over = True
        if tenure.until:
            self._leave(tenure)
        else:
            self._claim(tenure)  # this tells the holder that there are no watchers here

    async def close(self, timeout: float) -> None:
        """Hand all generators over to other processes, for a while, and claim nothing any more."""
        self._is_over = True
        held = [tenure for tenure in self._tenures.values() if tenure.until or tenure.is_claiming]
        for tenure in list(self._tenures.values()):
            if tenure.until:
                self._leave(tenure)
            elif not tenure.is_claiming:
                self._forget(tenure)
        if held:
            await asyncio.wait([tenure.ended for tenure in held], timeout=timeout)

    def stop(self) -> None:
        """Stop everything at once."""
        self._is_over = True
        for tenure in list(self._tenures.values()):
            self._forget(tenure)
        for task in list(self._tasks):
            task.cancel()

    # Claims

    def _claim(self, tenure: Tenure) -> None:
        """Claim a lease, together with all others that are due in this turn of the loop."""
        if tenure.is_claiming:
            tenure.is_due = True
            return
        tenure.is_claiming = True
        if tenure.until and tenure.until - self._loop.time() <= self._seconds / 2:  # the answer may take as long
            self._plan(tenure, tenure.until)
        self._due.append(tenure)
        if len(self._due) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        due, self._due = self._due, []
        self._start(self._send(due))

    async def _send(self, due: list[Tenure]) -> None:
        sent = self._loop.time()
        claims = [
            Claim(each.key.name, each.token, self._seconds, each.is_watched(), each.until > 0, each.key.note())
            for each in due
        ]
        leases: Sequence[Lease | None] = [None] * len(due)
        with isolated("Leases of feeds could not be claimed."):
            leases = await self._leases.claim(claims)
        for tenure, lease in zip(due, leases, strict=True):
            tenure.is_claiming = False
            with isolated("The lease of a feed could not be noted."):
                if self._tenures.get(tenure.token) is tenure:
                    self._answered(tenure, lease, sent)

    def _answered(self, tenure: Tenure, lease: Lease | None, sent: float) -> None:
        is_due, tenure.is_due = tenure.is_due, False
        if lease is None:
            self._not_answered(tenure)
        elif lease.is_held:
            self._held(tenure, lease, sent)
        elif tenure.until:
            self._lose(tenure)
        elif not (tenure.is_over or self._is_over):
            if lease.is_closed:
                self._refuse(tenure.key, SourceRefusal.of_note(lease.note), lease.left)
                return
            if lease.note:
                tenure.key.fails(*SourceHealth.of_note(lease.note))
            tenure.key.began_at(lease.began)
            now = self._loop.time()
            self._plan(tenure, min(self._renewal(now), now + max(lease.left, _SOON)))
        elif not is_due:
            self._forget(tenure)
        if is_due and tenure.token in self._tenures:
            self._claim(tenure)

    def _not_answered(self, tenure: Tenure) -> None:
        if not tenure.until and (tenure.is_over or self._is_over):
            self._forget(tenure)
        else:
            retry = self._loop.time() + RETRY
            self._plan(tenure, min(retry, tenure.until) if tenure.until else retry)

    def _held(self, tenure: Tenure, lease: Lease, sent: float) -> None:
        now = self._loop.time()
        if sent + self._seconds <= now:  # the answer has come too late to be of use
            self._ring(tenure)
            return
        is_new, tenure.until = not tenure.until, sent + self._seconds
        at = self._renewal(sent)
        if lease.is_watched or tenure.is_watched():
            tenure.seen = now
        elif not tenure.is_leaving:
            over = tenure.seen + _linger(tenure.key)
            if over <= now:
                tenure.forgets = tenure.key.kind.retention.kind != "last"
                self._leave(tenure)
            else:
                at = min(at, over)
        self._plan(tenure, at)
        if is_new and (tenure.is_over or self._is_over):
            self._leave(tenure)
        elif is_new and not tenure.is_leaving:
            tenure.starting = self._start(self._begin(tenure))

    def _renewal(self, last: float) -> float:
        """Return the time of the next claim. Claims that are due at about the same time have the same."""
        grain = self._seconds / GRAINS
        return math.ceil((last + self._seconds / RENEWALS) / grain) * grain

    def _plan(self, tenure: Tenure, at: float) -> None:
        if tenure.timer is not None:
            tenure.timer.cancel()
        tenure.timer = self._loop.call_at(at, self._ring, tenure)

    def _ring(self, tenure: Tenure) -> None:
        if tenure.until and self._loop.time() >= tenure.until:
            self._lose(tenure)
        else:
            self._claim(tenure)

    # Generators

    async def _begin(self, tenure: Tenure) -> None:
        """Start the generator, as soon as this process has everything that earlier ones have published."""
        key = tenure.key
        if await self._catches_up(tenure):
            rate = key.watched.options.max_rate
            output = self._shared.output(key.name, key.kind, tenure.token, partial(self._lose, tenure), rate)
            tenure.output = output
            self._producers.start(key, key.arguments, output)

    async def _catches_up(self, tenure: Tenure) -> bool:
        """Wait until the copy of the log is complete; return False if its watchers are about to be completed."""
        key = tenure.key
        log = await key.open()
        while True:
            try:
                held = await self._shared.read(key.name, key.kind, 1)
                # Another process has completed the run since this one opened the log: `completed` follows.
                keeps_end = key.kind.retention.keeps_end
                if held is not None and held.is_ended and (keeps_end or held.at != key.opened):
                    return False
                if held is None or held.at == log.position:
                    tenure.began_ended = held is None or held.is_ended
                    return True
                # Only this wait is short: a slow broker may take longer for its answer.
                async with asyncio.timeout(RETRY):
                    await key.entry()
            except TimeoutError:
                pass
            except BrokerDown:
                await asyncio.sleep(RETRY)
            except Exception as error:  # otherwise this process would hold the lease, and run no generator
                log_error(error, "The generator of a feed could not be started; it is tried again.")
                await asyncio.sleep(RETRY)

    def _leave(self, tenure: Tenure) -> None:
        """End the generator; the lease is released when it has ended."""
        if tenure.is_leaving:
            return
        tenure.is_leaving = True
        if tenure.starting is not None:
            tenure.starting.cancel()
        if tenure.key.producer is not None:
            tenure.key.producer.stop()
        else:
            self._start(self._end(tenure))

    async def _end(self, tenure: Tenure) -> None:
        """Release the lease, as soon as the broker has the last values."""
        key = tenure.key
        if tenure.output is not None:
            await tenure.output.sent()
        if self._tenures.get(tenure.token) is not tenure:
            return  # the lease was lost meanwhile
        forgets = tenure.forgets and not (tenure.is_completed or key.is_watched() or self._is_over)
        with isolated("The lease of a feed could not be released."), suppress(BrokerDown):  # then it expires
            note, closes = tenure.closing
            await self._leases.release(key.name, tenure.token, forgets=forgets, note=note, closes=closes)
        self._forget(tenure)
        if not tenure.is_completed:
            self._again(key)
        if forgets:
            self._shared.end(key.name)

    def _lose(self, tenure: Tenure) -> None:
        """Cancel the generator: the broker refuses its values. When it has ended, the key is claimed again."""
        if self._tenures.get(tenure.token) is not tenure:
            return
        self._forget(tenure)
        if tenure.output is not None:
            tenure.output.abandon()
        if tenure.key.producer is not None:
            tenure.key.producer.stop()
        else:
            self._again(tenure.key)

    def _again(self, key: LiveKey) -> None:
        """Claim the lease of a key again, or end the key if it is not watched."""
        if key.is_over or self._is_over:
            return
        if key.is_watched():
            self.add(key, key.arguments)
        else:
            self._drop(key)

    def _forget(self, tenure: Tenure) -> None:
        self._tenures.pop(tenure.token, None)
        tenure.rest()
        if tenure.key.token == tenure.token:
            tenure.key.token = ""

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._tasks.add(task := self._loop.create_task(work))
        task.add_done_callback(self._worked)
        return task

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log_error(error, "The generator of a feed could not be started or handed over.")


def _linger(key: LiveKey) -> float:
    return key.watched.linger if isinstance(key.watched, FeedDefinition) else 0.0
