"""Loads over a broker: of several processes, one loads a topic, for all and before anything else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import BACKEND, running
from tests.hub.watching import Client, handle, topic
from wirespeed.brokers.broker import Claim, Lease
from wirespeed.definitions import Topic
from wirespeed.definitions.watched import Loader, TopicDefinition
from wirespeed.errors import NotLoaded, Unavailable
from wirespeed.hub import Hub
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio

KINDS: list[dict[str, Any]] = [{"keep": "latest"}, {"keep": 100}, {"by": "n", "keep": "latest"}]


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


class Worker:
    """One process of an app, with a topic whose loader returns what the test stores."""

    def __init__(self, network: Network, store: list[Any], loads: list["Worker"], **options: Any) -> None:
        self.broker = SimulatedBroker(network)
        self.hub = Hub(Settings(first_value_timeout=60), self.broker)
        self.definition: TopicDefinition[..., Any] = topic(dict[str, int], **options)
        self.definition.bind(self.hub)
        self.definition.loader = Loader(self._load, frozenset(), False, lambda _: False)
        self.topic: Topic[..., Any] = handle(self.definition)
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.error: Exception | None = None
        self._store, self._loads = store, loads

    async def _load(self) -> AsyncIterator[dict[str, int]]:
        self._loads.append(self)
        for value in list(self._store):
            yield {"n": value}
        await self.may_load.wait()
        if self.error is not None:
            raise self.error

    async def values(self) -> list[int]:
        return [each["n"] for each in await self.topic.snapshot()]

    async def watch(self) -> Client:
        return await Client().watch(await self.hub.engine(), self.definition)


class Cluster(list[Worker]):
    """Processes of one app."""

    def __init__(self, network: Network, count: int, **options: Any) -> None:
        self.network = network
        self.store: list[Any] = [1, 2]
        self.loads: list[Worker] = []
        super().__init__(Worker(network, self.store, self.loads, **options) for _ in range(count))


@asynccontextmanager
async def workers(count: int = 2, **options: Any) -> AsyncIterator[Cluster]:
    all_ = Cluster(network := Network(), count, **({"keep": 100} | options))
    for worker in all_:
        await worker.hub.__aenter__()
    try:
        yield all_
    finally:
        network.clear_up()
        for worker in all_:
            worker.may_load.set()
            await worker.hub.__aexit__()


async def settle(seconds: float = 0.1) -> None:
    """Let everything arrive."""
    await running().pass_time(seconds)


@pytest.mark.parametrize("options", KINDS)
async def test_one_process_loads(options: dict[str, Any]) -> None:
    """Requests of all processes at the same time are one load; those that come later find it."""
    async with workers(3, **options) as all_:
        expected = [2] if options["keep"] == "latest" and "by" not in options else [1, 2]
        asked = [asyncio.create_task(worker.values()) for worker in all_ for _ in range(2)]
        await settle(1)
        assert [task.result() for task in asked] == [expected] * 6
        clients = [asyncio.create_task(worker.watch()) for worker in all_]
        await settle(3)
        assert len(all_.loads) == 1
        one, two = await clients[0], await clients[1]
        all_[2].topic.publish({"n": 3})
        await settle(1)
        assert [len(client.values) for client in (one, two)] == [len(one.values)] * 2
        assert '"n":3' in one.values[-1].replace(" ", "")


async def test_publications_of_all_processes_follow() -> None:
    """Values that any process publishes during the load follow its values; earlier ones belong to it."""
    async with workers() as (one, two):
        two.topic.publish({"n": 2})
        await settle()
        one.may_load.clear()
        two.may_load.clear()
        loading = asyncio.create_task(one.values())
        await settle()
        receipts = [each.topic.publish({"n": 3 + number}) for number, each in enumerate((one, two, two))]
        waiting = asyncio.create_task(two.values())
        await settle(20)  # longer than the lease
        assert not any(receipt.done() for receipt in receipts)
        one.may_load.set()
        await settle(3)
        held = await one.values()
        assert held[:2] == [1, 2]
        assert sorted(held[2:]) == [3, 4, 5]
        assert (await loading)[:2] == (await waiting)[:2] == [1, 2]
        assert all(receipt.done() for receipt in receipts)


async def test_failure_here_is_tried_elsewhere() -> None:
    """A failure refuses the requests of its process; another process tries by itself."""
    async with workers() as (one, two):
        one.error = ValueError()
        first = asyncio.create_task(one.values())
        await settle(0.01)
        second = asyncio.create_task(two.values())
        await settle(1)
        with pytest.raises(NotLoaded):
            await first
        assert await second == [1, 2]
        one.error = None
        assert await one.values() == [1, 2]


async def test_load_that_is_cancelled_in_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that is cancelled before it knows that it holds the lease frees it: another process loads at once."""
    async with workers() as (one, two):
        engine, server = await one.hub.engine(), one.broker._network.server
        claim = server.claim

        def claimed(broker: SimulatedBroker, asked: Claim) -> Lease:
            engine._loads.stop()
            return claim(broker, asked)

        monkeypatch.setattr(server, "claim", claimed)
        with pytest.raises(Unavailable):
            await one.values()
        asked = asyncio.create_task(two.values())
        await settle(1)  # less than the lease
        assert asked.done()
        assert await asked == [1, 2]


async def test_process_that_dies_during_a_load() -> None:
    """The lease expires, publications are stored, and the next request loads."""
    async with workers() as (one, two):
        one.may_load.clear()
        loading = asyncio.create_task(one.values())
        await settle()
        one.broker._network.cut_off(one.broker)
        receipt = two.topic.publish({"n": 2})
        await settle(10)
        assert receipt.done()
        asked = asyncio.create_task(two.values())
        await settle(1)
        assert await asked == [1, 2]
        one.may_load.set()
        two.topic.publish({"n": 3})
        await settle(1)
        one.broker._network.clear_up()
        await settle(10)
        assert await two.values() == [1, 2, 3]
        with pytest.raises(Unavailable):
            await loading


@pytest.mark.parametrize("options", KINDS)
async def test_log_that_the_broker_has_lost_is_loaded_again(options: dict[str, Any]) -> None:
    """Watchers of a log that was evicted, or of a broker that has lost everything, get the stored values again."""
    async with workers(2, **options) as all_:
        one, two = all_
        clients = [asyncio.create_task(each.watch()) for each in (one, two)]
        await settle(1)
        one.topic.publish({"n": 9})
        await settle(1)
        all_.store.append(9)
        all_.network.server.forget(one.definition.path)
        all_.network.cut(one.broker)
        all_.network.cut(two.broker)
        await settle(5)
        assert len(all_.loads) == 2
        asked = [asyncio.create_task(each.values()) for each in (one, two)]
        await settle(1)
        kept = [9] if options["keep"] == "latest" and "by" not in options else [1, 2, 9]
        assert [await each for each in asked] == [kept, kept]
        values = [(await client).values for client in clients]
        assert all('"n":9' in each[-1].replace(" ", "") for each in values), values


async def test_removal_during_a_load() -> None:
    """A row that any process removes during the load is removed from what was loaded."""
    async with workers(by="n", keep="latest") as (one, two):
        one.may_load.clear()
        loading = asyncio.create_task(one.values())
        await settle()
        two.topic.remove(1)
        await settle()
        one.may_load.set()
        await settle(3)
        await loading
        assert await two.values() == [2]


async def test_nothing_is_stored() -> None:
    """A load without values counts as a load."""
    async with workers() as all_:
        all_.store.clear()
        for worker in all_:
            asked = asyncio.create_task(worker.values())
            await settle(1)
            assert await asked == []
        assert len(all_.loads) == 1


async def test_completion_and_clear_of_other_processes() -> None:
    """A key that another process completes during the load ends behind its values; an emptied one is not loaded."""
    async with workers() as all_:
        one, two = all_
        one.may_load.clear()
        loading = asyncio.create_task(one.values())
        await settle()
        two.topic.publish({"n": 3})
        receipt = two.topic.complete()
        await settle(1)
        assert not receipt.done()
        one.may_load.set()
        await settle(3)
        assert receipt.done()
        assert await loading == [1, 2]
        assert await two.values() == [1, 2, 3]
        clearing = asyncio.create_task(two.topic.clear())
        await settle(1)
        await clearing
        assert [await worker.values() for worker in all_] == [[], []]
        assert len(all_.loads) == 1
