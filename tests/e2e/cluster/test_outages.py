"""The broker is down, flushed or restarted: watchers stay, and get what they miss once it is back."""

import pytest

from tests.brokers.valkey import Valkey

from .cluster import Deployment

pytestmark = pytest.mark.anyio

KINDS = ["numbers", "newest", "rows"]


def results(receipts: list[tuple[int, str | None, str | None]]) -> list[tuple[int, str | None]]:
    """Return the numbers with their errors."""
    return [(number, error) for number, _, error in receipts]


@pytest.mark.parametrize("topic", KINDS)
async def test_values_published_in_an_outage_come_after_it(cluster: Deployment, topic: str) -> None:
    """Values that were published while the broker was out of reach are delivered later, none lost and none twice."""
    one, _two = cluster.workers
    async with cluster.watching(topic) as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        for line in cluster.lines:
            line.cut()
        assert await one.publish(watched.path, 4, 3) == [4, 5, 6]
        assert [position for number, position, _ in await one.receipts(watched.path) if number > 3] == [None] * 3
        await watched.know("stale")
        assert all(each.values[-1] == 3 for each in watched.watchers)
        for line in cluster.lines:
            line.heal()
        await watched.have(6)
        await watched.know("stale", "fresh")
        await watched.are()
        assert results(await one.settled(watched.path)) == [(number, None) for number in range(1, 7)]
        if topic == "numbers":
            assert [each.values for each in watched.watchers] == [[1, 2, 3, 4, 5, 6]] * len(watched.watchers)
        assert [each.connects for each in watched.watchers] == [1] * len(watched.watchers)


async def test_lost_replies_store_nothing_twice(cluster: Deployment) -> None:
    """A batch whose reply was lost is sent again, and stored once."""
    one, _ = cluster.workers
    async with cluster.watching("numbers") as watched:
        await one.publish(watched.path, 1)
        await watched.have(1)
        for number, size in enumerate((0, 1, 10, 30), 2):
            cluster.lines[0].cut_after(size)
            await one.publish(watched.path, number)
            await watched.have(number)
        await watched.are()
        assert results(await one.settled(watched.path)) == [(number, None) for number in range(1, 6)]


async def test_backlog_is_bounded_while_the_broker_is_down(cluster: Deployment) -> None:
    """While the broker is down, publications are accepted up to the bound; newest values replace older ones."""
    one, _ = cluster.workers
    async with cluster.watching("numbers") as watched, cluster.watching("newest") as newest:
        await one.publish(watched.path, 1)
        await watched.have(1)
        for line in cluster.lines:
            line.cut()
        for number in (1, 2):  # the first one is in transit, and the second one can be replaced
            await one.publish(newest.path, number)
        accepted = await one.publish(watched.path, 2, 200)
        assert 80 < len(accepted) < 200
        assert await one.publish(watched.path, 202) == []
        assert len(await one.publish(newest.path, 3, 198)) == 198
        for line in cluster.lines:
            line.heal()
        await watched.have(accepted[-1])
        await newest.have(200)
        assert [each.values for each in watched.watchers] == [[1, *accepted]] * len(watched.watchers)
        assert {error for _, error in results(await one.settled(newest.path))} == {None}


@pytest.mark.parametrize("topic", KINDS)
async def test_broker_without_memory(cluster: Deployment, topic: str) -> None:
    """A server without memory refuses values at once; watchers stay, and get those that it accepts again."""
    one, two = cluster.workers
    async with cluster.watching(topic) as watched:
        await one.publish(watched.path, 1)
        await watched.have(1)
        cluster.valkey.command("CONFIG", "SET", "maxmemory", "1")
        await one.publish(watched.path, 2)
        assert results(await one.settled(watched.path)) == [(1, None), (2, "BrokerFull")]
        cluster.valkey.command("CONFIG", "SET", "maxmemory", "0")
        await two.publish(watched.path, 3)
        await watched.have(3)
        await watched.are()
        assert all(2 not in each.values for each in watched.watchers)
        assert [each.connects for each in watched.watchers] == [1] * len(watched.watchers)


@pytest.mark.parametrize("topic", KINDS)
async def test_paused_broker(cluster: Deployment, topic: str) -> None:
    """A server that hangs is noticed; once it goes on, everything arrives, once."""
    one, two = cluster.workers
    async with cluster.watching(topic) as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        cluster.valkey.pause()
        await one.publish(watched.path, 4, 3)
        for worker in cluster.workers:
            await worker.unhealthy()
        cluster.valkey.go_on()
        await watched.have(6)
        await two.publish(watched.path, 7)
        await watched.have(7)
        await watched.are()


async def test_history_that_is_too_short(cluster: Deployment) -> None:
    """Watchers that missed more than the log retains learn of the loss once, and get what is retained."""
    one, _ = cluster.workers
    async with cluster.watching("few") as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        cluster.lines[1].cut()
        for first in range(4, 24, 2):
            await one.publish(watched.path, first, 2)
            await one.settled(watched.path)
        cluster.lines[1].heal()
        await watched.have(23)
        reports = [each.reports for each in watched.watchers]
        assert reports == [[], ["lost"], ["lost"], []], watched.describe()
        assert watched.watchers[1].values == [1, 2, 3, 19, 20, 21, 22, 23]


@pytest.mark.parametrize("topic", KINDS)
@pytest.mark.parametrize("way", ["flushed", "restarted"])
async def test_broker_that_is_empty_again(cluster: Deployment, topic: str, way: str) -> None:
    """If the broker has lost everything, watchers learn so once, and continue in a new epoch."""
    one, two = cluster.workers
    async with cluster.watching(topic) as watched:
        await one.publish(watched.path, 1, 3)
        await watched.have(3)
        (before, *_) = (position for _, position, _ in await one.settled(watched.path))
        empty(cluster.valkey, way)
        await two.publish(watched.path, 4, 3)
        await watched.are(*{"numbers": ["lost"], "rows": ["reset"]}.get(topic, []))
        await two.publish(watched.path, 7)
        await watched.have(7)
        await watched.are(*{"numbers": ["lost"], "rows": ["reset"]}.get(topic, []))
        (after, *_) = (position for _, position, _ in await two.settled(watched.path))
        assert before is not None
        assert after is not None
        assert before.partition(":")[0] != after.partition(":")[0]


def empty(valkey: Valkey, way: str) -> None:
    """Let a server lose everything."""
    if way == "flushed":
        valkey.command("FLUSHALL")
    else:
        valkey.kill()
        valkey.start()
