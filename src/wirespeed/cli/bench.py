"""``wirespeed bench``: many connections to one path, and what they experience."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from math import ceil
from typing import Any, NamedTuple

from .document import ListedDefinition, fetch_if_any
from .durations import seconds_of
from .failures import CommandError, note, run, usage
from .fetching import MOST_BYTES, PATIENCE, explained
from .listing import Server
from .messages import message_of
from .sending import resolve
from .target import Target
from .terminal import clean, is_terminal, messages, output

CONNECTIONS = 100
MOST_CONNECTIONS = 10_000
MOST_SECONDS = 600.0
AT_ONCE = 50
"""Connections that are opened at the same time."""

PING_INTERVAL = 0.2
"""Seconds between two pings of one connection."""

MOST_PINGED = 20
"""Connections that measure round trips: more would measure this process."""

SETTLE = 5.0
"""Seconds that closing may take."""


class BenchPlan(NamedTuple):
    """The options of ``bench``."""

    connections: int
    time: str
    words: Sequence[str]
    as_json: bool


class BenchFigures:
    """Measurements of all connections, in seconds."""

    def __init__(self) -> None:
        self.connecting: list[float] = []
        self.first: list[float] = []
        self.round_trips: list[float] = []
        self.calls: list[float] = []
        self.values = 0
        self.bytes = 0
        self.failed: dict[str, int] = {}
        self.ended = 0

    def fail(self, reason: str) -> None:
        self.failed[reason] = self.failed.get(reason, 0) + 1


def bench(path: str, plan: BenchPlan, server: Server) -> None:
    """Open many connections to one path, measure them, and write the figures.

    Raises:
        CommandError: It cannot be measured, or a connection failed.
    """
    if not 1 <= plan.connections <= MOST_CONNECTIONS:
        raise usage(f"--connections is a number from 1 to {MOST_CONNECTIONS}.")
    seconds = seconds_of(plan.time, "--for")
    if seconds > MOST_SECONDS:
        raise usage(f"--for is at most {MOST_SECONDS / 60:.0f} minutes.")
    target, path = resolve(path, server)
    if path == "/":
        raise usage("There is no path to measure.", f"Name a feed, topic, stream or call: {target.url}/price/BTC")
    document = fetch_if_any(target)
    definition = None if isinstance(document, CommandError) else document.find(path)
    if definition is not None and definition.kind == "call" and definition.takes == "nothing":
        raise usage(
            f"{definition.path} takes no message, so one connection can make it only once.",
            "Measure a call that takes a message.",
        )
    message = message_of(plan.words, definition)
    if definition is not None and definition.takes == "each" and message is None:
        raise usage(f"{definition.path} needs a message: {definition.message}.", "Write JSON or field=value pairs.")
    if not target.is_local:
        note(f"wirespeed: {target.host} is not this machine: the load reaches a server and a network that others use.")
    load = _BenchLoad(target, path, definition, None if message is None else str(message), plan.connections)
    elapsed = run(load.measure(seconds))
    _report(load, elapsed, as_json=plan.as_json or not is_terminal())
    if load.figures.failed:
        raise CommandError(f"{sum(load.figures.failed.values())} of {plan.connections} connections failed.")


class _BenchLoad:
    """The connections of one measurement."""

    def __init__(
        self, target: Target, path: str, definition: ListedDefinition | None, message: str | None, connections: int
    ) -> None:
        self.kind = definition.kind if definition is not None else "path"
        self.path = path
        self.target = target
        self.connections = connections
        self.figures = BenchFigures()
        self._message = message
        self._open = 0
        self._attempts = 0
        self._ready = asyncio.Event()
        self._over = asyncio.Event()

    async def measure(self, seconds: float) -> float:
        """Open all connections, measure for a time, and return the seconds that it took."""
        gate = asyncio.Semaphore(AT_ONCE)
        with _BenchProgress(self, seconds):
            async with AsyncExitStack() as stack:
                tasks = [asyncio.create_task(self._connection(number, gate)) for number in range(self.connections)]
                stack.push_async_callback(_ended, tasks)
                opening = asyncio.create_task(self._all_open())
                await asyncio.wait([opening, *tasks], return_when=asyncio.FIRST_COMPLETED)
                await opening
                # Values that arrived while connections were opened do not count.
                self.figures.values = self.figures.bytes = 0
                self.figures.calls.clear()
                begun = time.perf_counter()
                self._ready.set()
                await asyncio.wait(tasks, timeout=seconds)
                elapsed = time.perf_counter() - begun
                values, size = self.figures.values, self.figures.bytes
                self._over.set()
            self.figures.values, self.figures.bytes = values, size
        return elapsed

    async def _all_open(self) -> None:
        while self._attempts < self.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def _connection(self, number: int, gate: asyncio.Semaphore) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

        address = self.target.websocket(self.path)
        try:
            async with gate:
                begun = time.perf_counter()
                try:
                    socket = await connect(
                        address,
                        additional_headers=self.target.headers,
                        compression=None,
                        max_size=MOST_BYTES,
                        open_timeout=PATIENCE,
                        ping_interval=None,
                        close_timeout=SETTLE,
                    )
                finally:
                    self._attempts += 1
                self.figures.connecting.append(time.perf_counter() - begun)
            async with socket:
                self._open += 1
                await self._use(socket, number, begun)
        except InvalidStatus as error:
            self.figures.fail(f"refused with status {error.response.status_code}")
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else 1006
            if code in (1000, 1001):
                self.figures.ended += 1
            else:
                self.figures.fail(f"closed with code {code}")
        except (OSError, WebSocketException) as error:
            self.figures.fail(explained(error))

    async def _use(self, socket: Any, number: int, begun: float) -> None:
        pinging = asyncio.create_task(self._ping(socket)) if number < MOST_PINGED else None
        try:
            if self.kind == "call":
                await self._call(socket)
            else:
                await self._receive(socket, begun)
        finally:
            if pinging is not None:
                pinging.cancel()
                await asyncio.wait([pinging])

    async def _receive(self, socket: Any, begun: float) -> None:
        if self._message is not None:  # the run starts with its message
            await self._ready.wait()
            begun = time.perf_counter()
            await socket.send(self._message)
        first = True
        async for data in _until(socket, self._over):
            if first:
                first = False
                self.figures.first.append(time.perf_counter() - begun)
            self.figures.values += 1
            self.figures.bytes += len(data)
        if not self._over.is_set():
            self.figures.ended += 1

    async def _call(self, socket: Any) -> None:
        await self._ready.wait()
        while not self._over.is_set():
            begun = time.perf_counter()
            await socket.send(self._message or "null")
            data = await socket.recv()
            self.figures.calls.append(time.perf_counter() - begun)
            if b'{"error"' in (data if isinstance(data, bytes) else data[:20].encode()):
                raise OSError(f"the call fails: {clean(str(data)[:120])}")
            self.figures.values += 1
            self.figures.bytes += len(data)

    async def _ping(self, socket: Any) -> None:
        await self._ready.wait()
        while True:
            self.figures.round_trips.append(await (await socket.ping()))
            await asyncio.sleep(PING_INTERVAL)


async def _until(socket: Any, over: asyncio.Event) -> Any:
    """Yield the messages of a connection until the measurement is over."""
    ending = asyncio.create_task(over.wait())
    ending.add_done_callback(lambda _: asyncio.ensure_future(socket.close()))
    try:
        async for data in socket:
            yield data
    finally:
        ending.cancel()


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until connections are closed, and cut those that take too long."""
    _, rest = await asyncio.wait(tasks, timeout=SETTLE)
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest)


class _BenchProgress:
    """Progress on stderr, if that is a terminal."""

    def __init__(self, load: _BenchLoad, seconds: float) -> None:
        self._load = load
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        console = messages()
        if console.is_terminal:
            self._task = asyncio.create_task(self._show(console))

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _show(self, console: Any) -> None:
        load = self._load
        with console.status("") as status:
            begun = None
            while True:
                if not load._ready.is_set():
                    text = f"Opening {load._open} of {load.connections} connections"
                else:
                    begun = begun or time.perf_counter()
                    left = max(0.0, self._seconds - (time.perf_counter() - begun))
                    text = f"{load.figures.values:,} values, {left:.0f} s left"
                status.update(text)
                await asyncio.sleep(0.2)


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return the median and the slowest, in milliseconds; nothing without any.

    A percentile is the smallest time that this share of all times does not exceed.
    """
    if not times:
        return {}
    ordered = sorted(times)

    def at(share: float) -> float:
        return round(1000 * ordered[ceil(share * len(ordered)) - 1], 2)

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0)}


def _summary(load: _BenchLoad, seconds: float) -> dict[str, Any]:
    figures = load.figures
    return {
        "url": load.target.url + load.path,
        "kind": load.kind,
        "connections": load.connections,
        "open": load._open,
        "failed": figures.failed,
        "ended": figures.ended,
        "seconds": round(seconds, 2),
        "values": figures.values,
        "values_per_second": round(figures.values / seconds, 1) if seconds else 0.0,
        "bytes_per_second": round(figures.bytes / seconds) if seconds else 0,
        "connect_ms": percentiles(figures.connecting),
        "first_value_ms": percentiles(figures.first),
        "call_ms": percentiles(figures.calls),
        "round_trip_ms": percentiles(figures.round_trips),
    }


def _report(load: _BenchLoad, seconds: float, *, as_json: bool) -> None:
    found = _summary(load, seconds)
    if as_json:
        print(json.dumps(found))
        return
    from rich.table import Table

    console = output()
    console.print(
        f"{found['open']} of {found['connections']} connections to {clean(found['url'])}, for {found['seconds']:.1f} s"
    )
    for reason, count in load.figures.failed.items():
        console.print(f"  {count} failed: {clean(reason)}")
    if load.figures.ended:
        console.print(f"  {load.figures.ended} ended by the server: the values were complete")
    console.print(
        f"{found['values']:,} values, {found['values_per_second']:,.0f} per second, "
        f"{found['bytes_per_second'] / 1e6:,.2f} MB per second"
    )
    table = Table("Milliseconds", box=None, pad_edge=False, header_style="bold")
    for name in ("p50", "p95", "p99", "max"):
        table.add_column(name, justify="right")
    for name, label in LABELS.items():
        if found[name]:
            table.add_row(label, *(f"{each:,.2f}" for each in found[name].values()))
    console.print(table)


LABELS = {
    "connect_ms": "connect",
    "first_value_ms": "first value",
    "call_ms": "call",
    "round_trip_ms": "round trip (ping)",
}

__all__ = ["BenchPlan", "bench", "percentiles"]
