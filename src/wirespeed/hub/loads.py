"""Loads: a topic's log begins with the values that its loader returns, once in each life of the log.

In memory, publications wait here while a log is loaded. With a broker, the process that loads holds the log's lease, so
that the broker refuses publications, and the outboxes send them again.
"""

import asyncio
import contextvars
import secrets
from collections import deque
from collections.abc import Callable, Container, Coroutine, Hashable, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from anyio import CapacityLimiter
from pydantic import BaseModel

from ..brokers.broker import Claim, Leases, Post
from ..definitions import Loader, Receipt, Watched, copied, valid
from ..errors import BacklogFull, BrokerDown, Fenced, LogFull, NotLoaded, Stopped, TooManyLogs, Unavailable
from ..isolation import isolated, log_error
from ..log.base import Encoded, State, size_of
from ..log.kinds import LogKind
from ..log.table import row_name
from ..runs.drive import closing
from ..runs.outcome import Cancelled, Completed, Failed, Refused, run_in_thread, run_once
from ..runs.tasks import create_task
from ..settings import Settings
from .figures import Figures
from .logs import LocalLogs
from .mishaps import Mishaps
from .replica import record_of
from .shared import SharedLogs

POLL = 0.05
"""Seconds between two looks at a log that another process is loading."""

RENEWALS = 3
"""Claims in the time of a lease."""

TURN = 256
"""Values after which a loader that does not await lets others run."""

ATTEMPTS = 3
"""Loads of a log that one request waits for: a log may be dropped for want of room before the request opens it."""

LONGEST = 300.0
"""Seconds after which a loader that has not ended has failed: requests and publications of its key wait for it."""

FIRST_PAUSE = 0.5
"""Seconds before a log that lost its values while it was watched is loaded again after a failure; doubled each time."""
LONGEST_PAUSE = 30.0

Publish = Callable[[Watched[Any, Any], str, State | None, Receipt], object]
"""Publishes a value that has waited for the end of a load; None completes the key."""


class Loads:
    """The loads of one app in one event loop.

    Args:
        kind: Returns the kind of a topic's logs.
        live: Names of the logs that are watched.
    """

    def __init__(
        self,
        local: LocalLogs,
        shared: SharedLogs | None,
        threads: CapacityLimiter,
        settings: Settings,
        kind: Callable[[Watched[Any, Any]], LogKind],
        figures: Mapping[Watched[Any, Any], Figures],
        mishaps: Mishaps,
        publish: Publish,
        live: Container[str],
    ) -> None:
        self.held: dict[str, list[tuple[Watched[Any, Any], State | None, Receipt]]] = {}
        """Publications that wait, by the log that is being loaded in memory."""
        self._waiting = 0
        self._local = local
        self._shared = shared
        self._threads = threads
        self._settings = settings
        self._kind = kind
        self._figures = figures
        self._mishaps = mishaps
        self._publish = publish
        self._live = live
        self._writer, self._batches = secrets.token_hex(8), count(1)
        self._epochs: dict[str, str] = {}
        """Epochs of copies of logs that are known to have been loaded."""
        self._running: dict[str, asyncio.Task[Exception | None]] = {}
        self._again: dict[str, asyncio.Task[None]] = {}

    # Called by the engine

    async def ensure(self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]) -> None:
        """Make sure that a log has been loaded. A load goes on if those that wait for it leave.

        Raises:
            NotLoaded: The loader failed, or takes longer than a client may wait.
            TooManyLogs: Too many other logs are being loaded.
            Unavailable: The broker cannot be reached, or there is no room.
            Exception: The loader has refused the client.
        """
        if watched.loader is None:
            return
        for _ in range(ATTEMPTS):
            if self.is_loaded(name):
                return
            task = self._running.get(name) or self._start(watched, name, values)
            done, _ = await asyncio.wait([task], timeout=self._settings.first_value_timeout)
            if not done:
                raise NotLoaded(watched.title, "its loader takes too long")
            if task.cancelled():
                raise Stopped(watched.title)
            if (error := task.result()) is not None:
                raise error.with_traceback(None)  # of others that wait for it
            if self._shared is not None:
                return
        if not self.is_loaded(name):
            raise NotLoaded(watched.title, "there is no room for its values")

    def is_loaded(self, name: str) -> bool:
        """Return True if a log is known to have been loaded."""
        if self._shared is None:
            return self._local.is_loaded(name)
        epoch = self._shared.epoch(name)
        return epoch is not None and self._epochs.get(name) == epoch

    def restarted(self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]) -> None:
        """Load a log that is watched again, if it has lost its values: the broker may have evicted it."""
        if not self.is_loaded(name) and name not in self._running and name not in self._again:
            task = asyncio.create_task(self._ensure_at_last(watched, name, values), context=contextvars.Context())
            self._again[name] = task
            task.add_done_callback(lambda _: self._again.pop(name, None))

    def over(self, name: str) -> None:
        """Note that a log is not watched any more."""
        self._epochs.pop(name, None)
        if name in self._again:
            self._again[name].cancel()

    def stop(self) -> None:
        """Cancel all loads."""
        for task in [*self._running.values(), *self._again.values()]:
            task.cancel()

    # Called for publications

    def hold(self, watched: Watched[Any, Any], name: str, state: State | None, receipt: Receipt) -> None:
        """Keep a publication, or a completion if the state is None, until the log is loaded.

        Raises:
            BacklogFull: Too many bytes wait.
        """
        size = size_of(state)
        if self._waiting and self._waiting + size > self._settings.max_publish_backlog_bytes:
            raise BacklogFull(watched.title, self._waiting)
        self._waiting += size
        self.held[name].append((watched, state, receipt))

    def _hand_over(self, name: str) -> None:
        for watched, state, receipt in self.held.pop(name):
            self._waiting -= size_of(state)
            with isolated("A publication that waited for a load could not be published."):
                self._publish(watched, name, state, receipt)

    # One load

    async def _ensure_at_last(self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self.ensure(watched, name, values)
            except Exception:  # it was logged
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    def _start(
        self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any]
    ) -> "asyncio.Task[Exception | None]":
        # Loads go on after their clients have left, so that the bound of live keys does not apply to them.
        if len(self._running) >= self._settings.max_keys:
            raise TooManyLogs(self._settings.max_keys)
        parts = watched, name, values, self._kind(watched)
        load = self._load_here(*parts) if self._shared is None else self._load_for_all(self._shared, *parts)
        # A context of its own: the variables of the first watcher's request are not the loader's.
        task = create_task(self._outcome(watched, name, load), context=contextvars.Context())
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return task

    async def _outcome(
        self, watched: Watched[Any, Any], name: str, load: Coroutine[Any, Any, None]
    ) -> Exception | None:
        """Load; return the error for those who wait."""
        try:
            await load
        except Unavailable as error:
            return error
        except _RefusedByLoader as refused:
            return refused.error
        except Exception as error:
            self._figures[watched].failed += 1
            self._mishaps.note(name, error)
            log_error(error, "%s: the stored values could not be loaded.", watched.title)
            return NotLoaded(watched.title)
        return None

    async def _load_here(self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any], kind: LogKind) -> None:
        self.held[name] = []
        try:
            self._local.load(name, kind, await self._values(watched, values, kind))
        finally:
            self._hand_over(name)

    async def _load_for_all(
        self, shared: SharedLogs, watched: Watched[Any, Any], name: str, values: Mapping[str, Any], kind: LogKind
    ) -> None:
        """Load a log at the broker, unless another process does so first."""
        while (epoch := await shared.loaded(name, kind)) is None:
            if shared.leases is None:
                post = await self._post(watched, name, values, kind, None)
                epoch = await shared.load(post)
            else:
                epoch = await self._load_with_lease(shared, shared.leases, watched, name, values, kind)
            if epoch is not None:
                break
        if name in self._live:  # others would gather here: no key ends with them
            self._epochs[name] = epoch

    async def _load_with_lease(
        self,
        shared: SharedLogs,
        leases: Leases,
        watched: Watched[Any, Any],
        name: str,
        values: Mapping[str, Any],
        kind: LogKind,
    ) -> str | None:
        """Load a log if its lease is free; return the epoch, or None to look again."""
        token, seconds = secrets.token_hex(8), self._settings.lease_timeout
        may_be_held = True  # a load may be cancelled when the claim is at the broker already
        post: asyncio.Task[Post] | None = None
        try:
            (lease,) = await leases.claim([Claim(name, token, seconds, is_watched=True)])
            may_be_held = lease is not None and lease.is_held
            if lease is None:
                raise BrokerDown
            if not lease.is_held:
                await asyncio.sleep(POLL)
                return None
            if (epoch := await shared.loaded(name, kind)) is not None:
                return epoch
            post = create_task(self._post(watched, name, values, kind, token), context=contextvars.Context())
            while not (await asyncio.wait([post], timeout=seconds / RENEWALS))[0]:
                (lease,) = await leases.claim([Claim(name, token, seconds, is_watched=True, renews=True)])
                if lease is not None and not lease.is_held:
                    return None
            return await shared.load(post.result())
        except Fenced:
            return None
        finally:
            if post is not None:
                post.cancel()
            if may_be_held:
                with suppress(BrokerDown):  # the lease expires
                    await leases.release(name, token)

    async def _post(
        self, watched: Watched[Any, Any], name: str, values: Mapping[str, Any], kind: LogKind, fence: str | None
    ) -> Post:
        has_row = kind.retention.kind == "table"
        states = await self._values(watched, values, kind)
        records = [record_of(each, has_row=has_row) for each in states]
        return Post(name, kind.retention, records, self._writer, next(self._batches), fence, loads=True)

    # The loader

    async def _values(self, watched: Watched[Any, Any], values: Mapping[str, Any], kind: LogKind) -> list[Encoded]:
        """Run the loader; return the states of its values.

        Raises:
            _RefusedByLoader: It has refused its clients.
            TimeoutError: It does not end. A thread cannot be stopped, and is left to itself.
            Exception: It failed, or a value does not have the topic's type.
        """
        loader = watched.loader
        assert loader is not None
        taken = _Taken(watched, kind)
        given = copied({each: value for each, value in values.items() if each in loader.names})
        run = partial(_collect, loader, given, taken, self._threads)
        refusal = lambda error: Refused(error, 0) if loader.refuses(error) else None  # noqa: E731
        is_over = False
        collecting = create_task(run_once(run, refusal, lambda: is_over))
        try:
            if not (await asyncio.wait([collecting], timeout=LONGEST))[0]:
                raise TimeoutError(f"the loader has not ended after {LONGEST:g} seconds")
        finally:
            is_over = True
            collecting.cancel()
        match collecting.result():
            case Completed():
                return taken.states()
            case Refused(error):
                raise _RefusedByLoader(error)
            case Failed(_, exception):
                raise exception
            case Cancelled(error):
                raise error


class _RefusedByLoader(Exception):
    """A loader has refused its clients on purpose."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Taken:
    """The states of a loader's values, within the bounds of their log."""

    def __init__(self, watched: Watched[Any, Any], kind: LogKind) -> None:
        retention = kind.retention
        most = {"latest": 1, "last": retention.entries}.get(retention.kind)
        self._last: deque[Encoded] = deque(maxlen=most)
        self._rows: dict[Hashable, Encoded] = {}
        self._watched = watched
        self._kind = kind
        self._size = self._count = 0

    def states(self) -> list[Encoded]:
        """Return the states: of a table, the newest of each row."""
        return [*self._last, *self._rows.values()]

    def take(self, value: Any) -> None:
        """Take the next value.

        Raises:
            LogFull: It is one row too many.
            Exception: The value does not validate, or cannot be encoded.
        """
        state = self._kind.values.taken(*valid(self._watched, value))
        if type(state) is not Encoded:
            raise TypeError(f"a loader cannot return {value!r:.100}")
        self._size += len(state.payload)
        if self._kind.retention.kind == "table":
            self._take_row(state)
        else:
            self._take_last(state)

    def _take_row(self, state: Encoded) -> None:
        retention, name = self._kind.retention, row_name(state.row)
        if (old := self._rows.pop(name, None)) is not None:
            self._size -= len(old.payload)
        self._rows[name] = state
        if len(self._rows) > retention.rows or self._size > retention.size:
            raise LogFull(retention.rows, retention.size)

    def _take_last(self, state: Encoded) -> None:
        last, retention = self._last, self._kind.retention
        if len(last) == last.maxlen:
            self._size -= len(last[0].payload)
        last.append(state)
        while retention.kind == "last" and len(last) > 1 and self._size > retention.size:
            self._size -= len(last.popleft().payload)

    async def take_in_turn(self, value: Any) -> None:
        """Take the next value in the event loop, and let others run now and then; raise as :meth:`take` does."""
        self.take(value)
        self._count += 1
        if self._count % TURN == 0:
            await asyncio.sleep(0)


async def _collect(loader: Loader, given: Mapping[str, Any], taken: _Taken, threads: CapacityLimiter) -> None:
    """Take all values of a loader."""
    start = partial(loader.function, **given)
    made = await run_in_thread(partial(_started, start, taken), threads) if loader.synchronous else start()
    if hasattr(made, "__await__"):
        made = _several(await made)
    if hasattr(made, "__aiter__"):
        async with closing(made):
            async for value in made:
                await taken.take_in_turn(value)
    elif made is not taken:
        for value in made:
            await taken.take_in_turn(value)


def _started(start: Callable[[], Any], taken: _Taken) -> Any:
    """Call a plain function; return what it returned if that needs the event loop, as the result of a lambda may."""
    made = _several(start())
    if hasattr(made, "__await__") or hasattr(made, "__aiter__"):
        return made
    for value in made:
        taken.take(value)
    return taken


def _several(made: Any) -> Any:
    """Return what a loader has returned.

    Raises:
        TypeError: It is one value. A text, for example, would be taken for its characters.
    """
    if made is None or isinstance(made, str | bytes | bytearray | Mapping | BaseModel):
        raise TypeError(f"a loader returns a list of values, or yields them; it has returned {made!r:.100}")
    return made
