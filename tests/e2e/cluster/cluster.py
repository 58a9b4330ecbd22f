"""Several workers of one app, each with its own line to one broker; all of them can fail."""

import asyncio
import itertools
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from tests.brokers.valkey import Valkey
from tests.processes import Process
from tests.servers import ROOT, accepts_connections, free_port
from tests.waiting import PATIENCE, until_async
from wirespeed.log.position import Position

from .line import Line
from .watchers import EventsWatcher, RawWatcher, SdkWatcher, Watcher

HASTE = {"TICK": "0.05", "SILENCE": "0.3", "PATIENCE": "1.0", "STALE_AFTER": "0.4", "LEASE": "1.0"}
"""Times after which a worker notices failures of its connections."""

_numbers = itertools.count(1)
_forkservers = itertools.cycle((0, 1))


async def eventually(holds: Callable[[], object]) -> None:
    """Wait until something holds in this process."""

    async def look() -> object:
        return holds()

    await until_async(look)


class Worker:
    """A process that serves the app under uvicorn. The next one has other hashes of strings, as workers really have.

    Args:
        name: Its name in the app.
        loop: The event loop, by uvicorn's name.
        broker: The URL of its broker.
        environment: Further variables of its environment.
    """

    def __init__(self, name: str, loop: str, broker: str, environment: dict[str, str]) -> None:
        self.name = name
        self.port = free_port()
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--loop", loop, "--lifespan", "on"]
        # uvicorn never closes a connection that arrives just when it shuts down, and waits for it.
        options += ["--timeout-graceful-shutdown", "5"]
        self._arguments = ["uvicorn", "tests.apps.cluster:app", *options]
        self._environment = os.environ | {"WORKER": name, "WIRESPEED_BROKER": broker} | environment
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._forkserver = next(_forkservers)
        self.process: Process | None = None
        self._is_ending = False

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def output(self) -> str:
        """Return everything that it has written so far."""
        return os.pread(self._log.fileno(), 1 << 24, 0).decode(errors="replace")

    def start(self) -> None:
        """Start it; :meth:`ready` waits until it serves."""
        self._is_ending = False
        self.process = Process(self._arguments, ROOT, self._environment, self._log, self._forkserver)

    async def ready(self) -> None:
        """Wait until it serves."""

        async def look() -> bool:
            assert self.is_running, self.output()
            return accepts_connections(self.port)

        await until_async(look)

    def pause(self) -> None:
        """Stop it with SIGSTOP: its connections stay open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it continue."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def end(self) -> None:
        """Begin its orderly end, as a deploy does; :meth:`ended` waits for it."""
        self._is_ending = True
        self._signal(signal.SIGTERM)

    async def ended(self) -> None:
        """Wait until it has ended."""
        try:
            await eventually(lambda: not self.is_running)
        except TimeoutError:
            raise AssertionError(self.output()) from None

    async def restore(self) -> None:
        """Let it continue, or start it if it was killed or has ended."""
        self.go_on()
        if self._is_ending:
            await self.ended()
        if not self.is_running:
            self.start()

    def close(self) -> None:
        self.kill()
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.is_running:
            self.process.send_signal(number)

    async def ask(self, path: str, method: str = "GET") -> Any:
        """Make a request to it, and return the JSON of the answer."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(f"{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
        assert b" 200 " in head, (head, body, self.output())
        return json.loads(body)

    # What the app offers

    async def publish(self, path: str, first: int, count: int = 1) -> list[int]:
        """Publish consecutive numbers; return those that were accepted."""
        accepted: list[int] = await self.ask(f"/publish/{path}?first={first}&count={count}", "POST")
        return accepted

    async def receipts(self, path: str) -> list[tuple[int, str | None, str | None]]:
        """Return each number that was accepted, with its position or the name of its error."""
        return [(number, position, error) for number, position, error in await self.ask(f"/receipts/{path}")]

    async def settled(self, path: str) -> list[tuple[int, str | None, str | None]]:
        """Wait for the results of all receipts, and return them."""

        found: list[tuple[int, str | None, str | None]] = []

        async def look() -> bool:
            found[:] = await self.receipts(path)
            return all(position or error for _, position, error in found)

        try:
            await until_async(look)
        except TimeoutError:
            raise AssertionError(f"{path}: {found}\n{self.output()}") from None
        return found

    async def healthy(self) -> None:
        """Wait until the connection to the broker is well."""
        await self._until_health(is_ok=True)

    async def unhealthy(self) -> None:
        """Wait until it has noticed that the connection to the broker is not well."""
        await self._until_health(is_ok=False)

    async def _until_health(self, *, is_ok: bool) -> None:
        async def look() -> bool:
            return (await self.ask("/health") == "ok") is is_ok

        await until_async(look)


class Deployment:
    """One broker, and workers with a line each; an async context manager.

    Args:
        directory: A directory for the broker's log.
        loops: The event loop of each worker.
        environment: Further variables of the workers' environment.
    """

    def __init__(self, directory: Path, loops: Sequence[str] = ("asyncio", "uvloop"), **environment: str) -> None:
        self._directory = directory
        self._loops = loops
        self._environment = HASTE | environment
        self.workers: list[Worker] = []
        self.lines: list[Line] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def _start(self, stack: AsyncExitStack) -> None:
        self.valkey = Valkey(self._directory)
        stack.callback(lambda: self.valkey.kill())
        for name, loop in zip("abc", self._loops, strict=False):
            worker, line = await stack.enter_async_context(self.another(name, loop))
            self.workers.append(worker)
            self.lines.append(line)
            worker.start()
        for worker in self.workers:
            await worker.ready()

    @asynccontextmanager
    async def another(self, name: str, loop: str = "asyncio", **environment: str) -> AsyncIterator[tuple[Worker, Line]]:
        """Make another worker, which is not started, and its line to the broker."""
        async with Line(lambda: self.valkey.port) as line:
            url = f"redis://127.0.0.1:{line.port}"
            worker = Worker(name, loop, url, self._environment | environment)
            try:
                yield worker, line
            finally:
                worker.close()

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def heal(self) -> None:
        """End all failures, and wait until all is well."""
        self.valkey.go_on()
        if not accepts_connections(self.valkey.port):
            self.valkey.start()
        for line in self.lines:
            line.heal()
        for worker in self.workers:
            await worker.restore()
        for worker in self.workers:
            await worker.ready()
            await worker.healthy()

    @asynccontextmanager
    async def watching(self, topic: str) -> AsyncIterator["Watched"]:
        """Watch a new key with clients of all kinds, at all workers."""
        async with watching(topic, self.workers) as watched:
            await watched.connected()
            yield watched


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[tuple[Worker, Worker]]:
    """Start two workers that reach their broker without a line."""
    one, two = Worker("a", "asyncio", url, HASTE), Worker("b", "uvloop", url, HASTE)
    try:
        one.start()
        two.start()
        await one.ready()
        await two.ready()
        yield one, two
    finally:
        one.close()
        two.close()


@asynccontextmanager
async def watching(topic: str, workers: Sequence[Worker]) -> AsyncIterator["Watched"]:
    """Begin to watch a new key with clients of all kinds; each tries the workers in turn."""
    path = f"{topic}/{next(_numbers)}"
    ports = [worker.port for worker in workers]
    turned = [*ports[1:], *ports[:1]]
    watchers: list[Watcher] = [
        RawWatcher(ports, path), RawWatcher(turned, path), EventsWatcher(turned, path), SdkWatcher(ports, path)
    ]  # fmt: skip
    async with AsyncExitStack() as stack:
        for watcher in watchers:
            await stack.enter_async_context(watcher)
        yield Watched(path, watchers, workers)


class Watched:
    """The watchers of one key, and what has to hold for everything that they have seen.

    Args:
        path: The path of the key.
        watchers: Its watchers.
        workers: The workers, whose output explains a failure.
    """

    def __init__(self, path: str, watchers: Sequence[Watcher], workers: Sequence[Worker]) -> None:
        self.path = path
        self.workers = workers
        self.watchers = watchers
        self.conflates = path.startswith(("newest", "rows", "gauge"))

    async def connected(self) -> None:
        """Wait until all watchers are connected."""
        await self.until(lambda each: each.connects)

    async def until(self, holds: Callable[[Watcher], object]) -> None:
        """Wait until something holds for all watchers, and check everything that they have seen by then."""
        try:
            await eventually(lambda: all(map(holds, self.watchers)))
        except TimeoutError:
            raise AssertionError(self.describe()) from None
        self.check()

    async def have(self, last: Any) -> None:
        """Wait until all watchers have a value."""
        await self.until(lambda each: last in each.values)

    async def move(self, watcher: Watcher) -> None:
        """Let a watcher connect to the next worker."""
        connects = watcher.connects
        watcher.move()
        await eventually(lambda: watcher.connects > connects)

    async def are(self, *reports: str) -> None:
        """Wait until all watchers have got these reports of losses and resets, and no others."""
        try:
            await eventually(lambda: all(len(each.reports) >= len(reports) for each in self.watchers))
        except TimeoutError:
            raise AssertionError(self.describe()) from None
        assert [each.reports for each in self.watchers] == [list(reports)] * len(self.watchers), self.describe()

    # A generator

    async def runner(self) -> Worker:
        """Wait until all watchers have a value of a generator, and return the worker that runs it."""
        await self.until(lambda each: each.values)

        async def look() -> Worker | None:
            running = await self.running()
            return running[0] if len(running) == 1 else None

        found = await until_async(look)
        assert found is not None
        return found

    async def running(self) -> list[Worker]:
        """Return the workers that run the generator."""
        events = {each: await each.ask(f"/runs/{self.path}") if each.is_running else [] for each in self.workers}
        return [each for each, seen in events.items() if seen[-1:] == ["began"]]

    async def run_at(self, worker: Worker) -> str:
        """Wait until all watchers have values of a run at a worker, and return its name."""
        await self.until(lambda each: each.values[-1][0].startswith(worker.name))
        run, _ = self.watchers[0].values[-1]
        return str(run)

    async def count_to(self, run: str, number: int) -> None:
        """Wait until all watchers have a value of a run that is as high, or higher."""
        await self.until(lambda each: each.values[-1] >= (run, number) and each.values[-1][0] == run)

    async def runs(self, *at: Worker) -> None:
        """Wait until the generator runs at these workers, and at no other."""

        async def look() -> bool:
            return await self.running() == list(at)

        try:
            await until_async(look)
        except TimeoutError:
            raise AssertionError(self.describe()) from None

    # Reports

    async def know(self, *notices: str, at: Worker | None = None) -> None:
        """Wait until the watchers, or those at one worker, have got these notices about staleness, and others none.

        SDKs cannot get them: they would hand them to the app.
        """
        known = {
            each: list(notices) if (at is None or each.port == at.port) and not isinstance(each, SdkWatcher) else []
            for each in self.watchers
        }
        try:
            await eventually(lambda: all(len(each.staleness) >= len(known[each]) for each in self.watchers))
        except TimeoutError:
            raise AssertionError(self.describe()) from None
        assert [each.staleness for each in self.watchers] == [*known.values()], self.describe()

    def describe(self) -> str:
        """Return what each watcher has seen."""
        lines = [worker.output() for worker in self.workers] + [self.path]
        for each in self.watchers:
            lines.append(f"{type(each).__name__}, {each.connects} connections, refused with {each.refusals}:")
            lines += [f"  {seen.kind} {seen.position or ''} {seen.value}" for seen in each.seen[-30:]]
        return "\n".join(lines)

    def check(self) -> None:
        """Check the promises: one order, nothing twice, and nothing missing without a report."""
        stored: dict[Any, Any] = {}
        for watcher in self.watchers:
            for seen in watcher.seen:
                if seen.position is not None:
                    first = stored.setdefault(seen.position, seen.value)
                    assert first == seen.value, f"two values at {seen.position}\n{self.describe()}"
            self._check_order(watcher)
            self._check_runs(watcher)
        values = [(position.epoch, value) for position, value in stored.items()]
        assert len(set(values)) == len(values), f"stored twice\n{self.describe()}"

    def _check_runs(self, watcher: Watcher) -> None:
        """Check that one run follows another: a run that has lost its lease is not seen again, unless after a loss."""
        for is_report, seen in groupby(watcher.seen, lambda each: each.kind in ("lost", "reset")):
            values = [] if is_report else [each.value for each in seen if isinstance(each.value, tuple)]
            runs = [run for run, _ in groupby(run for run, _ in values)]
            assert len(set(runs)) == len(runs), f"{type(watcher).__name__}: {runs}\n{self.describe()}"

    def _check_order(self, watcher: Watcher) -> None:
        previous: Position | None = None
        reports, epochs = 0, set[str]()
        for kind, position, _ in watcher.seen:
            reports += kind in ("lost", "reset")
            if kind == "reset":
                previous = None  # the rows that follow have the positions of their last changes
            if position is None:
                continue
            may_miss = self.conflates or reports > 0
            if previous is None:
                is_right = True
            elif position.epoch == previous.epoch:
                step = position.offset - previous.offset
                is_right = step == 1 or (step > 1 and may_miss)
            else:
                is_right = may_miss and position.epoch not in epochs
            epochs.add(position.epoch)
            assert is_right, f"{type(watcher).__name__}, {previous} to {position}\n{self.describe()}"
            previous, reports = position, 0
