"""Whole tables over a broker: all processes swap them at once."""

import gc
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast
from uuid import UUID

import pytest

from tests.brokers.simulated import Network
from tests.hub.stepping import BACKEND
from tests.hub.test_leases import SimulatedWorker, entered, settle
from tests.hub.working import producing
from wirespeed import Snapshot
from wirespeed.hub.output import SharedOutput

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


class Swapping(SimulatedWorker):
    """A process whose generator yields rows and whole tables."""

    async def _rows(self) -> AsyncIterator[dict[str, Any] | Snapshot[dict[str, Any]]]:  # type: ignore[override]
        async with aclosing(cast("AsyncGenerator[Any, None]", self.source.values())) as values:
            async for value in values:
                yield value


def table(numbers: dict[Any, int]) -> Snapshot[dict[str, Any]]:
    return Snapshot({"n": key, "value": value} for key, value in numbers.items())


async def test_swaps_reach_all_processes() -> None:
    """Each swap is one post with the differences only; the tables of all processes are equal."""
    network = Network()
    workers = [Swapping(network, by="n", keep="latest") for _ in range(2)]
    async with entered(network, workers):
        clients = [await worker.watch() for worker in workers]
        await settle()
        (one,) = producing(workers)
        key = UUID(int=1)
        steps: list[dict[Any, int]] = [{1: 1, 2: 1, key: 1}, {2: 1, 3: 2, key: 1}, {key: 2}, {key: 2}, {}, {4: 1}]
        posts = []
        for numbers in steps:
            before = network.published
            one.source.give(table(numbers))
            await settle(1)
            posts.append(network.published - before)
            for worker in workers:
                held = await worker.get() if numbers else []
                assert sorted(json.loads(each)["value"] for each in held) == sorted(numbers.values())
        assert posts == [1, 1, 1, 0, 1, 1]
        assert clients[0].values == clients[1].values
        assert len(clients[0].values) == 3 + 2 + 3 + 0 + 1 + 1


async def test_swaps_of_one_moment() -> None:
    """Swaps that follow each other before the broker has confirmed the first leave the table of the last one."""
    network = Network()
    workers = [Swapping(network, by="n", keep="latest") for _ in range(2)]
    async with entered(network, workers):
        for worker in workers:
            await worker.watch()
        await settle()
        (one,) = producing(workers)
        one.source.give(table({1: 1, 2: 1}))
        await settle(1)
        network.is_calm = False
        one.source.give(table({2: 2, 3: 1}))
        await settle(0.01)
        one.source.give({"n": 9, "value": 9})
        one.source.give(table({2: 1, 1: 1}))
        await settle(0.01)
        network.clear_up()
        await settle(1)
        for worker in workers:
            held = [json.loads(each) for each in await worker.get()]
            assert sorted((each["n"], each["value"]) for each in held) == [(1, 1), (2, 1)]


async def test_rows_that_are_gone_are_forgotten() -> None:
    """A feed that yields tables of new rows for days does not gather those that were removed, nor compare with them."""
    network = Network()
    workers = [Swapping(network, by="n", keep="latest") for _ in range(2)]
    async with entered(network, workers):
        for worker in workers:
            await worker.watch()
        await settle()
        (one,) = producing(workers)
        for number in range(20):
            one.source.give(table(dict.fromkeys(range(10 * number, 10 * number + 10), 1)))
            await settle(0.1)
        outputs = (each for each in gc.get_objects() if type(each) is SharedOutput)
        (output,) = (each for each in outputs if each._outbox._broker is one.broker)
        assert len(output._newer) <= 20
        assert len(output._stored) <= 20
        assert len(await workers[0].get()) == len(await workers[1].get()) == 10


async def test_large_swap_is_one_post() -> None:
    """A swap larger than a post may usually be is stored as a whole."""
    network = Network()
    workers = [Swapping(network, rows=10_000, by="n", keep="latest") for _ in range(2)]
    async with entered(network, workers):
        for worker in workers:
            await worker.watch()
        await settle()
        (one,) = producing(workers)
        before = network.published
        one.source.give(table(dict.fromkeys(range(5000), 1)))
        await settle(1)
        assert network.published == before + 1
        assert len(await workers[0].get()) == len(await workers[1].get()) == 5000
