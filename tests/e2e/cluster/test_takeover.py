"""A generator that one worker runs for all is taken over when that worker, or its way to the broker, fails."""

import asyncio

import pytest

from tests.brokers.valkey import Valkey
from tests.waiting import wait_until

from .cluster import Deployment, Watched, Worker
from .test_failover import promote, replica
from .test_outages import empty

__all__ = ["replica"]

pytestmark = pytest.mark.anyio

FEEDS = ["ticks", "gauge"]


async def pair(cluster: Deployment, watched: Watched) -> tuple[Worker, Worker]:
    """Return the worker that runs the generator, and the other one."""
    runner = await watched.runner()
    (other,) = (each for each in cluster.workers if each is not runner)
    return runner, other


@pytest.mark.parametrize("feed", FEEDS)
async def test_runner_that_is_killed(cluster: Deployment, feed: str) -> None:
    """Another worker runs the generator within the time of the lease; clients miss nothing of what was stored."""
    async with cluster.watching(feed) as watched:
        runner, other = await pair(cluster, watched)
        runner.kill()
        await watched.run_at(other)
        await watched.are()


@pytest.mark.parametrize("feed", FEEDS)
async def test_runner_that_is_stopped(cluster: Deployment, feed: str) -> None:
    """A process that hangs is replaced; when it goes on, its generator is cancelled, and none of its values arrive."""
    async with cluster.watching(feed) as watched:
        runner, other = await pair(cluster, watched)
        runner.pause()
        for watcher in watched.watchers:
            if watcher.port == runner.port:
                watcher.move()
        run = await watched.run_at(other)
        runner.go_on()
        await watched.runs(other)
        assert await watched.run_at(other) == run
        await watched.are()


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("way", ["cut", "silent"])
async def test_runner_that_is_cut_off(cluster: Deployment, feed: str, way: str) -> None:
    """A process that cannot reach the broker is replaced; its own clients get the new values once it can."""
    async with cluster.watching(feed) as watched:
        runner, other = await pair(cluster, watched)
        line = cluster.lines[cluster.workers.index(runner)]
        if way == "cut":
            line.cut()
        else:
            line.silence("up", "down")
        await watched.runs(other)
        line.heal()
        await watched.run_at(other)
        await watched.are()


@pytest.mark.parametrize("feed", FEEDS)
async def test_broker_that_is_down(cluster: Deployment, feed: str) -> None:
    """Without the broker, a generator ends when its lease has; with it, one worker runs it again."""
    async with cluster.watching(feed) as watched:
        await pair(cluster, watched)
        run, *_ = watched.watchers[0].values[-1]
        for line in cluster.lines:
            line.cut()
        await watched.runs()
        for line in cluster.lines:
            line.heal()
        await watched.until(lambda each: each.values[-1][0] != run)
        await watched.are()


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("way", ["flushed", "restarted"])
async def test_broker_that_lost_the_lease(cluster: Deployment, feed: str, way: str) -> None:
    """If the broker has lost everything, one worker claims the lease again, and watchers learn of the loss once."""
    async with cluster.watching(feed) as watched:
        await pair(cluster, watched)
        epoch = watched.watchers[0].epoch
        empty(cluster.valkey, way)
        await watched.until(lambda each: each.epoch != epoch)
        await watched.are(*["lost"] * (feed == "ticks"))
        await watched.runner()


@pytest.mark.parametrize("feed", FEEDS)
async def test_failover_that_lost_the_lease(cluster: Deployment, replica: Valkey, feed: str) -> None:
    """If a replica without the lease is promoted, one worker claims it again, and watchers learn of the loss once."""
    async with cluster.watching(feed) as watched:
        await pair(cluster, watched)
        replica.promote()
        run, number = watched.watchers[0].values[-1]
        await watched.count_to(run, number + 5)  # which the replica does not have
        epoch = watched.watchers[0].epoch
        promote(cluster, replica)
        await watched.until(lambda each: each.epoch != epoch)
        await watched.are(*["lost"] * (feed == "ticks"))
        await watched.runner()


@pytest.mark.parametrize("feed", FEEDS)
async def test_broker_without_memory(cluster: Deployment, feed: str) -> None:
    """A generator waits for a server without memory; once it has some, no value of the run is missing."""
    async with cluster.watching(feed) as watched:
        await pair(cluster, watched)
        cluster.valkey.command("CONFIG", "SET", "maxmemory", "1")
        await asyncio.to_thread(wait_until, lambda: refusals(cluster.valkey) > 3)
        seen = max(len(each.values) for each in watched.watchers)
        cluster.valkey.command("CONFIG", "SET", "maxmemory", "0")
        await watched.until(lambda each: len(each.values) > seen + 3)
        await watched.are()


def refusals(server: Valkey) -> int:
    """Return how many commands a server has refused for want of memory."""
    return int(server.command("INFO", "errorstats").partition(b"errorstat_OOM:count=")[2].split(b"\r\n")[0] or 0)


async def test_last_watcher_leaves(cluster: Deployment) -> None:
    """A generator runs as long as any worker has a watcher, and not longer."""
    async with cluster.watching("ticks") as watched:
        runner, other = await pair(cluster, watched)
        for watcher in watched.watchers:
            if watcher.port == runner.port:
                await watched.move(watcher)
        assert {each.port for each in watched.watchers} == {other.port}
        run, number = watched.watchers[0].values[-1]
        await watched.count_to(run, number + 10)
        await watched.runs(runner)
    await watched.runs()
