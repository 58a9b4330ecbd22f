"""The broker is down when a worker starts."""

import pytest

from .cluster import Deployment, watching

pytestmark = pytest.mark.anyio


async def test_broker_that_is_down_at_the_start(cluster: Deployment) -> None:
    """Clients are refused with 503, and values wait; once the broker is there, clients get all that come."""
    async with cluster.another("c") as (worker, line):
        line.cut()
        worker.start()
        await worker.ready()
        async with watching("numbers", [worker]) as watched:
            await watched.until(lambda each: each.refusals)
            assert {code for each in watched.watchers for code in each.refusals} == {503}
            assert await worker.publish(watched.path, 1) == [1]
            assert await worker.receipts(watched.path) == [(1, None, None)]
            line.heal()
            await watched.connected()
            await worker.publish(watched.path, 2)
            await watched.have(2)
            await worker.settled(watched.path)
            assert {error for _, _, error in await worker.receipts(watched.path)} == {None}


async def test_generator_without_a_broker(cluster: Deployment) -> None:
    """Clients of a feed are refused with 503, and its generator does not start before the broker is there."""
    async with cluster.another("c") as (worker, line):
        line.cut()
        worker.start()
        await worker.ready()
        async with watching("ticks", [worker]) as watched:
            await watched.until(lambda each: each.refusals)
            assert {code for each in watched.watchers for code in each.refusals} == {503}
            await watched.runs()
            line.heal()
            await watched.until(lambda each: len(each.values) > 3)
            await watched.runs(worker)


async def test_broker_that_is_required(cluster: Deployment) -> None:
    """An app that needs its broker does not start without it, and says why."""
    async with cluster.another("c", BROKER_REQUIRED="1") as (worker, line):
        line.cut()
        worker.start()
        await worker.ended()
        assert "The app needs its broker to start, which cannot be reached" in worker.output()
