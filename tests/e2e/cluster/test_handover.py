"""A generator keeps its worker through short failures, and is handed over without waiting for the end of the lease."""

import pytest

from tests.waiting import NEVER

from .cluster import Deployment
from .test_takeover import FEEDS, pair

pytestmark = pytest.mark.anyio

ENVIRONMENT = {"LEASE": str(NEVER)}
"""The lease does not end by itself in these tests."""


@pytest.mark.parametrize("feed", FEEDS)
async def test_worker_that_ends_in_order(cluster: Deployment, feed: str) -> None:
    """A worker that ends in an orderly way hands its generators over; clients miss nothing."""
    async with cluster.watching(feed) as watched:
        runner, other = await pair(cluster, watched)
        runner.end()
        await watched.run_at(other)
        await watched.are()
        await runner.ended()


@pytest.mark.parametrize("feed", FEEDS)
async def test_short_outage(cluster: Deployment, feed: str) -> None:
    """If the broker is back before the lease ends, the same run continues: no value is lost, none comes twice."""
    async with cluster.watching(feed) as watched:
        await pair(cluster, watched)
        run, _ = watched.watchers[0].values[-1]
        for line in cluster.lines:
            line.cut()
        for worker in cluster.workers:
            await worker.unhealthy()
        for line in cluster.lines:
            line.heal()
        for worker in cluster.workers:
            await worker.healthy()
        reached = max(each.values[-1][1] for each in watched.watchers)
        await watched.count_to(run, reached + 5)
        await watched.are()


async def test_clock_of_the_runner_steps(cluster: Deployment) -> None:
    """A step of the clock of the process that runs a generator does not end its lease."""
    async with cluster.watching("ticks") as watched:
        runner, _ = await pair(cluster, watched)
        run, number = watched.watchers[0].values[-1]
        await runner.ask("/clock?seconds=7200", "POST")
        await watched.count_to(run, number + 10)
        await watched.are()
        await runner.ask("/clock?seconds=-7200", "POST")
