"""Random failures of everything, one after the other and together: ``python -m tests.e2e.cluster.attack --seed 1``.

It is not part of the suite. Three workers publish to topics of all kinds, while their lines, the workers themselves and
the broker fail at random. At the end everything is healed, and the promises are checked: one order in all watchers,
nothing twice, nothing missing without a report, and every value whose receipt has resolved is there. With ``--lossy``,
the broker may lose everything, and fail over to a replica without the last writes, too.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from itertools import count
from pathlib import Path
from random import Random

from tests.brokers.valkey import Valkey

from .cluster import Deployment, Watched, Worker

TOPICS = ("numbers", "few", "newest", "rows")
FEEDS = ("ticks", "gauge")


class Attack:
    """One run of random failures.

    Args:
        cluster: Three workers and a broker.
        directory: A directory for the logs of further servers.
        seed: The number from which all decisions follow; how they meet depends on the machine.
        is_lossy: True if the broker may lose everything.
    """

    def __init__(self, cluster: Deployment, directory: Path, seed: int, *, is_lossy: bool) -> None:
        self.cluster = cluster
        self.random = Random(seed)
        self.is_lossy = is_lossy
        self._directory = directory
        self._replica: Valkey | None = None
        self.steps: list[str] = []
        self._numbers = count(1)
        self._stopped: set[Worker] = set()
        self._publishing: set[asyncio.Task[None]] = set()

    async def run(self, steps: int) -> None:
        async with AsyncExitStack() as stack:
            watched = [await stack.enter_async_context(self.cluster.watching(topic)) for topic in TOPICS]
            self._watchers = [watcher for each in watched for watcher in each.watchers]
            # An SDK has no position of newest values: after a loss it may go back, at a worker that is cut off.
            names = FEEDS[:1] if self.is_lossy else FEEDS
            feeds = [await stack.enter_async_context(self.cluster.watching(feed)) for feed in names]
            for each in watched:
                await self.cluster.workers[0].publish(each.path, number := next(self._numbers))
                await each.have(number)
            for _ in range(steps):
                for _ in range(self.random.randrange(4)):
                    self._publish(self.random.choice(watched))
                self._fail()
                await asyncio.sleep(self.random.random() ** 3)
            await self._end(watched)
            for each in feeds:
                await self._end_feed(each)

    def end(self) -> None:
        """End what does not belong to the cluster."""
        if self._replica is not None:
            self._replica.kill()

    def _publish(self, watched: Watched) -> None:
        ready = [each for each in self.cluster.workers if each.is_running and each not in self._stopped]
        if ready:
            size = self.random.choice((1, 1, 3, 10))
            first, *_ = [next(self._numbers) for _ in range(size)]
            worker = self.random.choice(ready)
            task = asyncio.create_task(self._published(worker, watched.path, first, size))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def _published(self, worker: Worker, path: str, first: int, size: int) -> None:
        with suppress(OSError, TimeoutError, AssertionError):  # it is killed meanwhile
            await worker.publish(path, first, size)

    def _fail(self) -> None:
        cluster, random = self.cluster, self.random
        number = random.randrange(3)
        worker, line = cluster.workers[number], cluster.lines[number]
        actions: list[tuple[str, Callable[[], object]]] = [
            ("cut", line.cut),
            ("reset", line.reset),
            ("half-close", line.half_close),
            ("deafen", line.deafen),
            ("silence", lambda: line.silence(*random.choice((("up",), ("down",), ("up", "down"))))),
            ("cut after", lambda: line.cut_after(random.randrange(1, 400))),
            ("delay", lambda: setattr(line, "delay", random.random() / 5)),
            *[("heal", line.heal)] * 6,
            ("pause", lambda: self._pause(worker)),
            *[("restore", lambda: self._restore(worker))] * 5,
            ("move", lambda: random.choice(self._watchers).move()),
            ("broker pauses", cluster.valkey.pause),
            *[("broker goes on", cluster.valkey.go_on)] * 3,
        ]
        if self.is_lossy:
            # All workers stay: they know what a failover has lost.
            actions += [("restart", self._restart), ("fail over", self._fail_over)]
            actions += [("stop replicating", self._stop_replicating)] * 2
        else:
            actions += [("kill", worker.kill), ("end", worker.end)]
        name, act = random.choice(actions)
        self.steps.append(f"{name} {worker.name}")
        act()

    def _pause(self, worker: Worker) -> None:
        self._stopped.add(worker)
        worker.pause()

    def _restore(self, worker: Worker) -> None:
        if worker.is_running:
            self._stopped.discard(worker)
            worker.go_on()  # one that ends is started at the end
        else:
            worker.start()

    def _restart(self) -> None:
        self.cluster.valkey.kill()
        self.cluster.valkey.start()
        if self._replica is not None:  # it would be empty, too
            self._replica.kill()
            self._replica = None

    def _stop_replicating(self) -> None:
        if self._replica is None:
            self.cluster.valkey.go_on()
            self._replica = Valkey(self._directory)
            self._replica.follow(self.cluster.valkey)
        self._replica.promote()

    def _fail_over(self) -> None:
        if self._replica is not None:
            self.cluster.valkey.kill()
            self.cluster.valkey, self._replica = self._replica, None

    async def _end(self, watched: list[Watched]) -> None:
        self._stopped.clear()
        await self.cluster.heal()
        await asyncio.gather(*self._publishing)
        for each in watched:
            for worker in self.cluster.workers:
                await worker.settled(each.path)
        for each in watched:
            # The first lets clients that have to learn of a loss return; the second reaches all.
            await self.cluster.workers[0].publish(each.path, next(self._numbers))
            await self.cluster.workers[0].settled(each.path)
            await asyncio.sleep(0.5)
            numbers = [next(self._numbers) for _ in range(3)]
            await self.cluster.workers[0].publish(each.path, numbers[0], 3)
            await each.have(numbers[-1])
            await self._check(each)

    async def _end_feed(self, watched: Watched) -> None:
        """Check that one worker runs the generator, and that all watchers have its values."""
        seen = {each: len(each.values) for each in watched.watchers}
        await watched.until(lambda each: len(each.values) > seen[each] + 5)
        runner = await watched.runner()
        await watched.runs(runner)

    async def _check(self, watched: Watched) -> None:
        assert (
            not watched.path.startswith("numbers")
            or self.is_lossy
            or not any(each.reports for each in watched.watchers)
        ), f"reports without a loss\n{watched.describe()}"
        if watched.path.startswith("numbers") and not self.is_lossy:
            values = [each.values for each in watched.watchers]
            assert all(each == values[0] for each in values), watched.describe()
            for worker in self.cluster.workers:
                for number, position, _ in await worker.receipts(watched.path):
                    assert position is None or number in values[0], f"{number} is missing\n{watched.describe()}"
        if watched.path.startswith("rows"):
            tables = [{value % 3: value for value in each.values} for each in watched.watchers]
            assert all(each == tables[0] for each in tables), f"{tables}\n{watched.describe()}"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--lossy", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(given.seed, given.seed + given.runs):
            async with Deployment(Path(directory), ("asyncio", "uvloop", "asyncio")) as cluster:
                attack = Attack(cluster, Path(directory), seed, is_lossy=given.lossy)
                try:
                    await attack.run(given.steps)
                except BaseException:
                    print(f"seed {seed} failed:", *attack.steps, sep="\n  ", flush=True)
                    raise
                finally:
                    attack.end()
                print(f"seed {seed}: {len(attack.steps)} failures", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
