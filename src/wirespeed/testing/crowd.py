"""Crowds: many watchers of one feed or topic in process, to see in a test what load does to an app.

::

    async with lifespan(app), Crowd(app, "price/BTC", 1000, slow=10) as crowd:
        prices.publish(100)
        await crowd.caught_up()
        print(crowd.figures())
"""

import asyncio
import json
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from random import randrange
from time import perf_counter
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from ..hub.live_key import LiveKey
from ..live.serving import serving_of
from ..log.base import Log
from ..log.position import Position
from .app import TIMEOUT, App, Event
from .waiting import wait
from .websocket import HandshakeRefused, scope_of

AT_ONCE: Final = 100
"""Watchers that connect at the same time."""

MOST_LATENCIES: Final = 200_000
"""Latencies that are kept; of more, a random sample is."""

MOST_OFFSETS: Final = 100_000
"""Values whose times of publication are kept."""

_POSITION = '{"position":"'
_LOST = '{"lost":'
_NOTICES = ('{"reset":', '{"status":')

LOST = 1006
"""Code of a connection that ends without a close."""


class CrowdFigures(NamedTuple):
    """The values that the watchers of a crowd have received so far."""

    watchers: int
    """Number of watchers."""
    received: int
    """Number of values that they have received together."""
    fewest: int
    """Number of values that the watcher with the fewest has received; those that were held do not count."""
    skipped: int
    """Number of values that were replaced by newer ones before a watcher received them."""
    lost: int
    """Number of values that watchers have lost, as the app has reported them."""
    behind: int
    """Number of watchers that have not received the newest value."""
    closed: Mapping[int, int]
    """Number of watchers whose connections the app has ended, by close code; 1006 for none."""
    median: float | None
    """Median of the seconds from the publication of a value to its arrival at a watcher, of the values that were
    published after the crowd had connected; None without any."""
    p99: float | None
    """Seconds within which 99 of 100 of these values arrived; None without any."""
    worst: float | None
    """Seconds that the slowest arrival took; None without any."""

    def __str__(self) -> str:
        times = "no values"
        if self.median is not None and self.p99 is not None and self.worst is not None:
            times = (
                f"median {self.median * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms, worst {self.worst * 1000:.1f} ms"
            )
        closed = f", closed {dict(self.closed)}" if self.closed else ""
        return (
            f"{self.watchers} watchers received {self.received} values ({times}); "
            f"skipped {self.skipped}, lost {self.lost}, behind {self.behind}{closed}"
        )


class _Watcher:
    """One watcher: the client's side of its connection."""

    __slots__ = (
        "_crowd", "code", "has_come", "is_held", "lost", "offset", "received", "refused", "skipped", "task",
    )  # fmt: skip

    def __init__(self, crowd: "Crowd", *, is_held: bool) -> None:
        self._crowd = crowd
        self.is_held = is_held
        self.has_come = False
        self.received = self.skipped = self.lost = 0
        self.offset = -1
        self.code: int | None = None
        self.refused: HandshakeRefused | None = None
        self.task: asyncio.Task[None] | None = None

    async def receive(self) -> Event:
        """Return ASGI's events: the client connects, and leaves with the crowd."""
        if not self.has_come:
            self.has_come = True
            return {"type": "websocket.connect"}
        await self._crowd._leaving.wait()
        return {"type": "websocket.disconnect", "code": 1005, "reason": ""}

    async def send(self, event: Event) -> None:
        """Take an event of the app; one that is held takes no messages."""
        kind = event["type"]
        if kind == "websocket.send":
            if self.is_held:
                await self._crowd._released.wait()
            self._take(event.get("text"))
        elif kind == "websocket.accept":
            self._crowd._accepted += 1
        elif kind == "websocket.close":
            self.code = event.get("code", 1000)
        elif kind == "websocket.http.response.start":
            self.refused = HandshakeRefused(event["status"], b"")
        elif kind == "websocket.http.response.body" and self.refused is not None:
            self.refused.body += event.get("body", b"")
        self._crowd._news.set()

    def _take(self, text: str | None) -> None:
        if text is None or not text.startswith(_POSITION):
            if text is not None and text.startswith(_LOST):
                self.lost += json.loads(text)["lost"] or 0
            elif text is None or not text.startswith(_NOTICES):
                self.received += 1
            return
        self.received += 1
        position = Position.parse(text[len(_POSITION) : text.index('"', len(_POSITION))])
        before = self.offset if self.offset >= 0 else self._crowd._began
        if before >= 0:
            self.skipped += max(position.offset - before - 1, 0)
        self.offset = position.offset
        self._crowd._arrived(position.offset)


class Crowd:
    """Watchers of one key of a feed or topic, each with a raw connection of its own. Use it with ``async with``.

    Args:
        app: The ASGI app.
        path: Path of the feed or topic with its key, such as ``price/BTC``.
        watchers: Number of watchers.
        slow: Number of them that are held: they accept nothing until :meth:`release`.
        headers: Headers of the handshakes.
        state: State that the app's startup left for its connections; :func:`lifespan` returns it.
        timeout: Seconds to wait for anything.

    Raises:
        HandshakeRefused: On entering, the app refused a watcher.
        TimeoutError: On entering, the watchers were not connected in time.
        Exception: On leaving, the app raised it.
    """

    def __init__(
        self,
        app: App,
        path: str,
        watchers: int,
        *,
        slow: int = 0,
        headers: Mapping[str, str] | None = None,
        state: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        if not 0 <= slow <= watchers:
            raise ValueError(f"of {watchers} watchers, {slow} cannot be slow")
        self._news = asyncio.Event()
        """Set whenever something has arrived."""
        self._leaving = asyncio.Event()
        """Set when the watchers leave."""
        self._released = asyncio.Event()
        """Set when no watcher is held any more."""
        self._app = app
        self.timeout = timeout
        """Seconds to wait for anything."""
        self._path = "/" + path.removeprefix("/") + ("&" if "?" in path else "?") + "positions=1"
        self._scope = {"headers": headers or {}, "state": state or {}}
        self._watchers = [_Watcher(self, is_held=number < slow) for number in range(watchers)]
        self._accepted = 0
        self._published: dict[int, float] = {}
        self._log: Log | None = None
        self._began = self._noted = -1
        self._is_complete = False
        """True when all watchers have connected."""
        self._noting: list[asyncio.Task[None]] = []
        self._latencies = array("d")
        self._arrivals = 0

    async def __aenter__(self) -> Self:
        try:
            before = await self._watched()
            for start in range(0, len(self._watchers), AT_ONCE):
                await self._connect(self._watchers[start : start + AT_ONCE])
            count = len(self._watchers)
            keys = [key for key in await self._watched() if count and key.count() - before.get(key, 0) == count]
            if len(keys) == 1:
                self._log = log = await keys[0].open()
                self._began = self._noted = log.position.offset
                self._noting.append(asyncio.create_task(self._note(keys[0], log)))
            self._is_complete = True
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failures = await self._leave()
        if failures and error is None:
            raise failures[0]

    async def _leave(self) -> list[BaseException]:
        """Disconnect all watchers, and return the exceptions that the app has raised."""
        self._released.set()
        self._leaving.set()
        for task in self._noting:
            task.cancel()
        tasks = [*self._noting, *(each.task for each in self._watchers if each.task is not None)]
        for task in tasks:
            await wait([task], self.timeout, lets_time_pass=True)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        return [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]

    # Connecting

    async def _connect(self, watchers: list[_Watcher]) -> None:
        wanted = self._accepted + len(watchers)
        for each in watchers:
            scope = scope_of(self._path, **self._scope)
            each.task = asyncio.create_task(self._app(scope, each.receive, each.send))  # type: ignore[arg-type]
        await self._until(
            lambda: self._accepted == wanted or any(each.task is not None and each.task.done() for each in watchers),
            lambda: f"{self._accepted} of {wanted} watchers were connected",
        )
        for each in watchers:
            if each.refused is not None:
                raise each.refused
            if each.task is not None and each.task.done():
                each.task.result()
                raise HandshakeRefused(403, b"")

    async def _watched(self) -> dict[LiveKey, int]:
        """Return the number of watchers of each key; the key of the crowd is found by it."""
        serving = serving_of(self._app) if hasattr(self._app, "state") else None
        keys = [] if serving is None else (await serving.hub.engine()).live()
        return {key: key.count() for key in keys}

    # Arrivals

    async def _note(self, key: LiveKey, log: Log) -> None:
        """Note when values are published, in the next turn of the loop."""
        while True:
            await key.entry()
            now, newest = perf_counter(), log.position.offset
            for offset in range(max(self._noted, newest - MOST_OFFSETS) + 1, newest + 1):
                self._published.setdefault(offset, now)
                if len(self._published) > MOST_OFFSETS:
                    del self._published[next(iter(self._published))]
            self._noted = newest

    def _arrived(self, offset: int) -> None:
        """Note how long a value took to a watcher. The age of what the log had before the crowd is not known."""
        if not self._is_complete or offset <= self._began:
            return
        now = perf_counter()
        latency = now - self._published.setdefault(offset, now)
        self._arrivals += 1
        if len(self._latencies) < MOST_LATENCIES:
            self._latencies.append(latency)
        elif (place := randrange(self._arrivals)) < MOST_LATENCIES:  # noqa: S311
            self._latencies[place] = latency

    # The test

    async def received(self, count: int) -> CrowdFigures:
        """Wait until each watcher has received a number of values; those that are held do not count.

        Raises:
            TimeoutError: They have not received as many in time.
        """
        await self._until(
            lambda: all(each.received >= count for each in self._free()),
            lambda: f"not every watcher received {count} values: {self.figures()}",
        )
        return self.figures()

    async def caught_up(self) -> CrowdFigures:
        """Wait until each watcher has received the newest value; those that are held do not count.

        Raises:
            TimeoutError: They have not received it in time.
            RuntimeError: The newest value is not known, because the key of the crowd was not found.
        """
        if self._log is None and self._free():
            raise RuntimeError(
                f"the newest value of {self._path.partition('?')[0]} is not known: the app is behind a middleware that "
                "hides it, or other watchers came or left while the crowd connected; wait with received(count)"
            )
        await self._until(
            lambda: all(each.offset >= self._newest() for each in self._free()),
            lambda: f"not every watcher received the newest value: {self.figures()}",
        )
        return self.figures()

    def release(self) -> None:
        """Let the watchers receive that were held."""
        for each in self._watchers:
            each.is_held = False
        self._released.set()

    def figures(self) -> CrowdFigures:
        """Return what the watchers have received so far."""
        times, newest = sorted(self._latencies), self._newest()
        closed = Counter(code for each in self._watchers if (code := _close_code(each)) is not None)
        return CrowdFigures(
            watchers=len(self._watchers),
            received=sum(each.received for each in self._watchers),
            fewest=min((each.received for each in self._free()), default=0),
            skipped=sum(max(each.skipped - each.lost, 0) for each in self._watchers),
            lost=sum(each.lost for each in self._watchers),
            behind=sum(each.offset < newest for each in self._watchers),
            closed=closed,
            median=_at(times, 0.5),
            p99=_at(times, 0.99),
            worst=_at(times, 1),
        )

    def _free(self) -> list[_Watcher]:
        return [each for each in self._watchers if not each.is_held and _close_code(each) is None]

    def _newest(self) -> int:
        """Return the offset of the newest value since the crowd came; -1 before the first one."""
        published = -1 if self._log is None else self._log.position.offset
        return max([-1 if published == self._began else published, *(each.offset for each in self._watchers)])

    async def _until(self, holds: Callable[[], bool], problem: Callable[[], str]) -> None:
        """Wait until something holds, which can change only when something arrives."""
        deadline = perf_counter() + self.timeout
        while not holds():
            self._news.clear()
            arrival = asyncio.ensure_future(self._news.wait())
            try:
                await wait([arrival], max(deadline - perf_counter(), 0))
            finally:
                arrival.cancel()
            if perf_counter() >= deadline and not holds():
                raise TimeoutError(f"within {self.timeout:g} s, {problem()}")


def _close_code(watcher: _Watcher) -> int | None:
    """Return the code with which the app has ended a connection; None while it is open."""
    if watcher.code is not None:
        return watcher.code
    return LOST if watcher.task is not None and watcher.task.done() else None


def _at(times: list[float], share: float) -> float | None:
    """Return the time at a share of sorted ones; None if there are none."""
    return times[min(int(share * len(times)), len(times) - 1)] if times else None
