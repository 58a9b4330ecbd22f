"""Workers behind Sentinel, and on a Cluster: the broker moves, and watchers miss nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.brokers.valkey import Cluster, Sentinel, Valkey
from tests.waiting import wait_until

from .cluster import Worker, serving, watching
from .test_failover import head_of

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def served(*servers: Valkey | Cluster, url: str) -> AsyncIterator[tuple[Worker, Worker]]:
    """Start two workers, and end them and the servers."""
    try:
        async with serving(url) as workers:
            yield workers
    finally:
        for server in servers:
            server.kill()


async def test_failover_by_sentinel(tmp_path: Path) -> None:
    """When Sentinel replaces a primary that is dead, workers follow: watchers get everything that was replicated."""
    primary, replica = Valkey(tmp_path), Valkey(tmp_path)
    replica.follow(primary)
    sentinel = Sentinel(tmp_path, primary)
    wait_until(lambda: sentinel.knows_replicas(1))
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/{sentinel.NAME}"
    async with served(primary, replica, sentinel, url=url) as (one, two), watching("numbers", (one, two)) as watched:
        await watched.connected()
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        wait_until(lambda: head_of(primary) == head_of(replica))
        primary.kill()
        await one.publish(watched.path, 4, 3)
        await watched.have(6)
        await two.publish(watched.path, 7, 3)
        await watched.have(9)
        await watched.are()


def move(nodes: Cluster) -> None:
    """Move the slot of the only log."""
    found = {node: node.command("KEYS", "*numbers*meta").split(b"\r\n")[2:3] for node in nodes.primaries}
    ((source, (key,)),) = ((node, keys) for node, keys in found.items() if keys)
    slot = int(source.command("CLUSTER", "KEYSLOT", key.decode())[1:])
    nodes.move_slot(slot, source, next(node for node in nodes.primaries if node is not source))


async def test_slot_that_moves(tmp_path: Path) -> None:
    """When a slot moves to another server of a Cluster, workers follow; values come in order, and once."""
    nodes = Cluster(tmp_path)
    async with served(nodes, url=nodes.url) as (one, two), watching("numbers", (one, two)) as watched:
        await watched.connected()
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        await asyncio.to_thread(move, nodes)
        await one.publish(watched.path, 4, 3)
        await two.publish(watched.path, 7, 3)
        await watched.have(6)
        await watched.have(9)
        await watched.are()
