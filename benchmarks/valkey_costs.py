"""The costs of the server between the workers, for the suite `cluster` and for the page on how far it scales."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.framework import Benchmark, Metric, Sample, alone, fresh
from benchmarks.sampling import micros, number
from benchmarks.websocket import HOST
from benchmarks.workers import Store, storing

_VALUE = b"x" * 100
_PROCESSES = 10


def costs(*, quick: bool) -> Benchmark:
    """Return the benchmark."""
    count = 300 if quick else 2000
    return Benchmark(
        "server costs",
        "Costs of Valkey",
        "CPU time and memory of Valkey, with logs of `keep=1000` and values of 100 bytes. A post is what a worker has "
        "published to one topic since the last one. Each further process is one more with watchers of the topic. A "
        "check is the read of a topic without news, which each process with watchers makes every 25 s.",
        (
            Metric("post 1", "Post of 1 value (µs)", micros),
            Metric("post 10", "Post of 10 values (µs)", micros),
            Metric("post 100", "Post of 100 values (µs)", micros),
            Metric("topics", "Post of 1 value, beside 99 others in one round trip (µs)", micros),
            Metric("process", "Each further process, per post (µs)", micros),
            Metric("busy process", "Each further process, per post beside 99 others (µs)", micros),
            Metric("attach", "Watching a topic: subscription and first read (µs)", micros),
            Metric("check", "Check of a quiet topic (µs)", micros),
            Metric("log", "Memory of a topic with 1 value, watched by one process (bytes)", number),
        ),
        (alone(fresh(lambda source: _measure(count, source)), rounds=1 if quick else 3),),
    )


def _measure(count: int, source: Path | None) -> Sample:
    with storing() as store:
        return asyncio.run(_Measuring(store, count).run())


class _Silent:
    """A replica that keeps nothing."""

    def begin(self, at: Any, held: Any) -> None: ...

    def append(self, previous: int, offset: int, record: Any) -> None: ...

    def stale(self, since: float | None) -> None: ...

    def notice(self, message: bytes) -> None: ...

    def completed(self) -> None: ...


class _Measuring:
    """Processes of an app, and what they cost their server."""

    def __init__(self, store: Store, count: int) -> None:
        from wirespeed.brokers.broker import Post
        from wirespeed.log.record import Record, Retention

        self._store = store
        self._count = count
        self._retention = Retention("last", entries=1000, size=1 << 20, retain=600.0)
        self._record = Record(_VALUE)
        self._post = Post
        self._batch = 0

    def _broker(self) -> Any:
        from wirespeed.brokers.url import broker_of

        return broker_of(f"redis://{HOST}:{self._store.port}", "costs")

    async def run(self) -> Sample:
        async with AsyncExitStack() as stack:
            first, *others = [await stack.enter_async_context(self._broker()) for _ in range(1 + _PROCESSES)]
            await self._publish(first, ["warm"], 1, 100)
            posts = {f"post {size}": await self._publish(first, ["one"], size) for size in (1, 10, 100)}
            many = [f"{at}" for at in range(100)]
            topics = await self._publish(first, many, 1) / 100
            alone = await self._publish(first, ["heard"], 1)
            for other in others:
                await other.attach("heard", self._retention, _Silent())
            heard = await self._publish(first, ["heard"], 1)
            for name in many:
                for other in others:
                    await other.attach(name, self._retention, _Silent())
            heard_many = await self._publish(first, many, 1) / 100
            attach, log = await self._attach(first)
            check = await self._check(first)
        return {
            **posts,
            "topics": topics,
            "process": max(0.0, heard - alone) / _PROCESSES,
            "busy process": max(0.0, heard_many - topics) / _PROCESSES,
            "attach": attach,
            "check": check,
            "log": log,
        }

    async def _publish(self, broker: Any, names: list[str], size: int, count: int = 0) -> float:
        """Return the CPU time of a call that posts a number of values to each of the topics, in microseconds."""

        async def publish() -> None:
            self._batch += 1
            posts = [self._post(name, self._retention, [self._record] * size, "writer", self._batch) for name in names]
            await broker.publish(posts)

        return await self._cost(publish, count or max(20, self._count // len(names)))

    async def _attach(self, broker: Any) -> tuple[float, float]:
        names = iter([f"attached/{at}" for at in range(self._count)])
        before = self._store.used_bytes()
        await self._publish(broker, list(names), 1, 1)
        names = iter([f"attached/{at}" for at in range(self._count)])

        async def attach() -> None:
            await broker.attach(next(names), self._retention, _Silent())

        cost = await self._cost(attach, self._count)
        return cost, (self._store.used_bytes() - before) / self._count

    async def _check(self, broker: Any) -> float:
        names = [f"attached/{at}" for at in range(100)]
        ranges = [await broker.read(name, self._retention) for name in names]

        async def check() -> None:
            reads = (broker.read(name, self._retention, at.at) for name, at in zip(names, ranges, strict=True))
            await asyncio.gather(*reads)

        return await self._cost(check, max(3, self._count // 100)) / 100

    async def _cost(self, call: Callable[[], Awaitable[None]], count: int) -> float:
        begun = self._store.cpu_ns()
        for _ in range(count):
            await call()
        return (self._store.cpu_ns() - begun) / count / 1000
