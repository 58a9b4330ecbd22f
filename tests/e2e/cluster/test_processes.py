"""Workers are killed, stopped, or replaced: clients resume at another one."""

import pytest

from .cluster import Deployment

pytestmark = pytest.mark.anyio


async def test_worker_that_is_killed(cluster: Deployment) -> None:
    """Clients of a killed worker resume at another one, and get everything, once."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        one.kill()
        await two.publish(watched.path, 4, 3)
        await watched.have(6)
        await watched.are()
        one.start()
        await one.ready()
        two.kill()
        await one.publish(watched.path, 7, 3)
        await watched.have(9)
        await watched.are()
        assert [each.values for each in watched.watchers] == [[*range(1, 10)]] * len(watched.watchers)


async def test_values_of_a_killed_worker(cluster: Deployment) -> None:
    """A value whose receipt has resolved survives the worker that published it, also if no client watched then."""
    one, two = cluster.workers
    await one.publish("numbers/outlived", 1, 3)
    await one.settled("numbers/outlived")
    one.kill()
    assert await two.ask("/numbers/outlived") == 3


async def test_all_workers_are_killed(cluster: Deployment) -> None:
    """If no process is left, clients resume where they were once there is one again."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        one.kill()
        two.kill()
        one.start()
        await one.ready()
        await one.publish(watched.path, 4, 3)
        await watched.have(6)
        await watched.are()


async def test_worker_that_is_stopped(cluster: Deployment) -> None:
    """Clients of a process that hangs resume elsewhere; when it goes on, nothing comes twice."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        one.pause()
        for watcher in watched.watchers:
            if watcher.port == one.port:
                watcher.move()
        await two.publish(watched.path, 4, 3)
        await watched.have(6)
        one.go_on()
        await one.publish(watched.path, 7, 3)
        await watched.have(9)
        await watched.are()


async def test_deploy_of_all_workers(cluster: Deployment) -> None:
    """While all workers are replaced, one after the other, clients are asked to reconnect, and miss nothing."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        for number, (old, other) in enumerate(((one, two), (two, one))):
            old.end()
            await old.ended()
            await other.publish(watched.path, 4 + 2 * number)
            old.start()
            await old.ready()
            await old.publish(watched.path, 5 + 2 * number)
        await watched.have(7)
        await watched.are()
        assert [each.values for each in watched.watchers] == [[*range(1, 8)]] * len(watched.watchers)
        raw, _, _, sdk = watched.watchers
        assert 1012 in raw.refusals
        assert 3001 in sdk.refusals


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_clock_of_a_worker_steps(cluster: Deployment, seconds: float) -> None:
    """A step of a process's clock changes nothing."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched, cluster.watching("rows") as rows:
        for each in (watched, rows):
            await one.publish(each.path, 1, 3)
            await each.have(3)
        await one.ask(f"/clock?seconds={seconds}", "POST")
        for each in (watched, rows):
            await one.publish(each.path, 4, 3)
            await one.settled(each.path)
            await two.publish(each.path, 7, 3)
            await each.have(9)
            await each.are()
        await one.ask(f"/clock?seconds={-seconds}", "POST")
