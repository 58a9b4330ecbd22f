"""The network between one worker and the broker fails, and the others continue."""

import pytest

from .cluster import Deployment, eventually

pytestmark = pytest.mark.anyio

KINDS = ["numbers", "newest", "rows"]


@pytest.mark.parametrize("topic", KINDS)
async def test_deaf_connection(cluster: Deployment, topic: str) -> None:
    """A subscription that delivers nothing is found by a probe, although commands work; the gap is filled."""
    one, _ = cluster.workers
    async with cluster.watching(topic) as watched:
        await one.publish(watched.path, 1)
        await watched.have(1)
        cluster.lines[1].deafen()
        await one.publish(watched.path, 2, 3)
        await watched.have(4)
        await watched.are()


@pytest.mark.parametrize("topic", KINDS)
@pytest.mark.parametrize("way", ["silent", "mute", "half-closed", "reset", "cut"])
async def test_worker_that_is_cut_off(cluster: Deployment, topic: str, way: str) -> None:
    """While one worker cannot reach the broker, the others continue; later, each has all values, in one order."""
    one, two = cluster.workers
    async with cluster.watching(topic) as watched:
        await one.publish(watched.path, 1)
        await watched.have(1)
        fail(cluster, way)
        await one.publish(watched.path, 2, 3)
        await two.publish(watched.path, 5, 3)
        await one.settled(watched.path)
        if way not in ("half-closed", "reset"):
            await two.unhealthy()
            assert [position for _, position, _ in await two.receipts(watched.path)] == [None] * 3
            await watched.know("stale", at=two)
            assert 4 in watched.watchers[0].values
        cluster.lines[1].heal()
        await watched.have(7)
        await watched.are()
        await two.settled(watched.path)
        assert [each.connects for each in watched.watchers] == [1] * len(watched.watchers)


def fail(cluster: Deployment, way: str) -> None:
    """Let the line of the second worker fail."""
    line = cluster.lines[1]
    match way:
        case "silent":
            line.silence("up", "down")
        case "mute":
            line.silence("up")
        case "half-closed":
            line.half_close()
        case "reset":
            line.reset()
        case "cut":
            line.cut()


async def test_client_moves_to_a_worker_that_is_cut_off(cluster: Deployment) -> None:
    """A worker that cannot know what a client has missed refuses it; the client finds no loss where none was."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1)
        await watched.have(1)
        cluster.lines[1].silence("up", "down")
        await one.publish(watched.path, 2, 3)
        await eventually(lambda: 4 in watched.watchers[0].values)
        mover = watched.watchers[0]
        mover.move()
        await eventually(lambda: 503 in mover.refusals)
        cluster.lines[1].heal()
        await two.publish(watched.path, 5)
        await watched.have(5)
        await watched.are()


async def test_announcements_cut_in_the_middle(cluster: Deployment) -> None:
    """A connection that breaks within a message loses nothing, wherever it breaks."""
    one, _ = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1)
        await watched.have(1)
        for number, size in enumerate((1, 20, 60, 100, 140), 2):
            cluster.lines[1].cut_after(size)
            await one.publish(watched.path, number)
            await watched.have(number)
        await watched.are()


async def test_slow_broker(cluster: Deployment) -> None:
    """If each message takes a fifth of a second longer, values come later, and once; of newest values, few come."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched, cluster.watching("newest") as newest:
        await one.publish(watched.path, 1)
        await watched.have(1)
        for line in cluster.lines:
            line.delay = 0.1  # there and back, a fifth of the time after which a worker loses its patience
        for number in range(2, 30):
            await (one, two)[number % 2].publish(watched.path, number)
        await one.publish(newest.path, 1, 29)
        await watched.have(28)
        await watched.have(29)
        await newest.have(29)
        await watched.are()
        assert all(len(each.values) < 10 for each in newest.watchers), newest.describe()
