"""The broker fails over to a replica that does not have the last writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.valkey import Valkey
from tests.waiting import wait_until

from .cluster import Deployment, watching

pytestmark = pytest.mark.anyio

KINDS = ["numbers", "newest", "rows"]


@pytest.fixture
def replica(cluster: Deployment, tmp_path: Path) -> Iterator[Valkey]:
    """Start a replica of the broker."""
    replica = Valkey(tmp_path)
    replica.follow(cluster.valkey)
    yield replica
    if cluster.valkey is not replica:
        replica.kill()


def promote(cluster: Deployment, replica: Valkey) -> None:
    """Kill the primary, and let its replica take its place."""
    cluster.valkey.kill()
    cluster.valkey = replica


@pytest.mark.parametrize(
    ("topic", "others"), [("numbers", 0), ("numbers", 1), ("numbers", 3), ("numbers", 5), ("newest", 3), ("rows", 3)]
)
async def test_failover_that_lost_writes(cluster: Deployment, replica: Valkey, topic: str, others: int) -> None:
    """If acknowledged values are lost, watchers learn so once, however many values others publish before they return.

    Otherwise a value would get the position of a lost one, and watchers would silently skip it.
    """
    one, two = cluster.workers
    async with cluster.watching(topic) as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        wait_until(lambda: head_of(cluster.valkey) == head_of(replica))
        replica.promote()
        await one.publish(watched.path, 4, 3)
        await watched.have(6)
        await one.settled(watched.path)
        cluster.lines[1].cut()
        promote(cluster, replica)
        await one.publish(watched.path, 11, others)
        await one.settled(watched.path)
        cluster.lines[1].heal()
        await watched.are(*{"numbers": ["lost"], "rows": ["reset"]}.get(topic, []))
        await two.publish(watched.path, 21)
        await watched.have(21)
        await watched.are(*{"numbers": ["lost"], "rows": ["reset"]}.get(topic, []))


def head_of(server: Valkey) -> bytes:
    """Return how much of the primary's writes a server has."""
    return server.command("INFO", "replication").partition(b"master_repl_offset:")[2].split()[0]


async def test_failover_that_only_the_publisher_has_seen(cluster: Deployment, replica: Valkey) -> None:
    """If no process watched meanwhile, what the publisher has seen reveals the loss, and not a copy of the log."""
    one, two = cluster.workers
    async with watching("numbers", [two]) as watched:
        await watched.connected()
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        wait_until(lambda: head_of(cluster.valkey) == head_of(replica))
        replica.promote()
        await one.publish(watched.path, 4, 3)
        await watched.have(6)
        await one.settled(watched.path)
        two.kill()
        promote(cluster, replica)
        await one.publish(watched.path, 11, 3)
        await one.settled(watched.path)
        two.start()
        await watched.are("lost")
        await one.publish(watched.path, 14)
        await watched.have(14)
        await watched.are("lost")


async def test_failover_to_an_earlier_state(cluster: Deployment, replica: Valkey) -> None:
    """If the replica has the log as it was before the primary had lost it, its positions are not assigned again."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        wait_until(lambda: head_of(cluster.valkey) == head_of(replica))
        replica.promote()
        await one.publish(watched.path, 4, 3)
        await watched.have(6)
        cluster.valkey.kill()
        cluster.valkey.start()
        await one.publish(watched.path, 7)
        await watched.are("lost")
        await one.publish(watched.path, 8)
        await watched.have(8)
        promote(cluster, replica)
        await two.publish(watched.path, 9)
        await watched.are("lost", "lost")
        await two.publish(watched.path, 10)
        await watched.have(10)
        await watched.are("lost", "lost")


async def test_failover_without_loss(cluster: Deployment, replica: Valkey) -> None:
    """If the promoted replica has everything, watchers notice nothing."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        wait_until(lambda: head_of(cluster.valkey) == head_of(replica))
        replica.promote()
        promote(cluster, replica)
        await two.publish(watched.path, 4, 3)
        await watched.have(6)
        await watched.are()
        assert [each.values for each in watched.watchers] == [[1, 2, 3, 4, 5, 6]] * len(watched.watchers)


async def test_primary_that_becomes_a_replica(cluster: Deployment, replica: Valkey) -> None:
    """A server that refuses writes is left; values wait until a server accepts them."""
    one, two = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        wait_until(lambda: head_of(cluster.valkey) == head_of(replica))
        replica.promote()
        old = cluster.valkey
        old.command("REPLICAOF", "127.0.0.1", replica.port)
        await two.publish(watched.path, 4, 3)
        cluster.valkey = replica
        try:
            await watched.have(6)
            await watched.are()
        finally:
            old.kill()
