"""One producer that fails: the watchers of all processes learn it, and are refused if the generator refuses them."""

import asyncio
from typing import Any

import pytest
from fastapi import HTTPException

from tests.brokers.simulated import Network
from tests.hub.stepping import BACKEND
from tests.hub.test_leases import KINDS, SimulatedWorker, settle, workers
from tests.hub.watching import Client
from tests.hub.working import LEASE, producing
from wirespeed.errors import SourceError
from wirespeed.hub.engine import REFUSED_FOR, KeyRefused
from wirespeed.hub.tenures import RENEWALS

pytestmark = pytest.mark.anyio

CLAIM = LEASE / RENEWALS + 0.5
"""Seconds within which each process claims a lease again."""


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


def value(options: dict[str, Any], number: int) -> Any:
    """Return a value of a kind of feed."""
    return {"n": number} if "by" in options else str(number)


@pytest.mark.parametrize("options", KINDS)
async def test_all_processes_know_that_the_source_fails(options: dict[str, Any]) -> None:
    """Watchers learn it, newcomers as well, and a GET returns the last value; the next value ends it everywhere."""
    async with workers(Network(), 3, **options) as all_:
        clients = [await worker.watch() for worker in all_[:2]]
        await settle()
        (one,) = producing(all_)
        one.source.give(value(options, 1), SourceError("closed"))
        await settle(CLAIM)
        clients.append(await all_[2].watch())
        await settle()
        assert [client.told for client in clients] == [["failing"]] * 3
        for worker in all_:
            engine = await worker.hub.engine()
            newest = await engine.first(worker.feed, worker.feed.path, {}, 30.0)
            assert newest.health is not None
            assert (len(newest.entries), newest.health.state, newest.health.reason) == (1, "failing", "closed")
        assert sum(worker.hub.watching(worker.feed).failing for worker in all_) == 1
        await settle(2 * CLAIM)
        assert [client.told for client in clients] == [["failing"]] * 3
        one.source.give(value(options, 2))
        await settle(2 * CLAIM)
        assert [client.told for client in clients] == [["failing", "live"]] * 3
        newcomer = await all_[0].watch()
        await settle()
        assert newcomer.told == []


async def test_value_before_the_failure_is_no_recovery() -> None:
    """A value that the broker stores late was yielded before the failure."""
    network = Network()
    async with workers(network, 2) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        one.source.give("1", SourceError("closed"))
        await settle(2 * CLAIM)
        assert [(client.values, client.told) for client in clients] == [(["1"], ["failing"])] * 2


async def test_new_holder_may_fail_as_well() -> None:
    """After a takeover the source is still failing, for all who knew it, until a value comes."""
    network = Network()
    async with workers(network, 3) as all_:
        clients = {worker: await worker.watch() for worker in all_}
        await settle()
        (one,) = producing(all_)
        one.source.give(SourceError("closed"))
        await settle(CLAIM)
        network.cut_off(one.broker)
        await settle(LEASE + CLAIM)
        others = [worker for worker in all_ if worker is not one]
        (two,) = producing(others)
        assert [clients[worker].told for worker in others] == [["failing"]] * 2
        two.source.give("1")
        await settle(CLAIM)
        assert [clients[worker].told for worker in others] == [["failing", "live"]] * 2


async def refusals(worker: SimulatedWorker) -> list[object]:
    """Return the refusals of a watcher and of a GET, before they are admitted."""
    seen: list[object] = []
    for attempt in (worker.watch, worker.get):
        with pytest.raises(KeyRefused) as caught:
            await attempt()
        seen.append((caught.value.refusal.status, caught.value.refusal.detail))
    return seen


@pytest.mark.parametrize("options", KINDS)
async def test_generator_refuses_the_watchers_of_all_processes(options: dict[str, Any]) -> None:
    """They get the values and the refusal; new ones are refused in all processes, and the generator ran once."""
    async with workers(Network(), 4, **options) as all_:
        clients = [await worker.watch() for worker in all_[:3]]
        await settle()
        (one,) = producing(all_)
        one.source.give(value(options, 1), HTTPException(410, {"left": "market"}))
        await settle(CLAIM)
        assert [(len(client.values), client.told) for client in clients] == [(1, [410])] * 3
        for worker in all_[:3]:
            assert await refusals(worker) == [(410, {"left": "market"})] * 2
        late = await all_[3].watch()  # in a process that cannot know it yet
        await settle()
        assert late.told == [410]
        assert await refusals(all_[3]) == [(410, {"left": "market"})] * 2
        assert [worker.source.runs for worker in all_] == [int(worker is one) for worker in all_]
        await settle(REFUSED_FOR + 1)
        again = await all_[3].watch()
        await settle()
        all_[3].source.give(value(options, 2))
        await settle()
        assert (again.told, all_[3].source.runs) == ([], 1)


async def test_get_that_waits_is_refused() -> None:
    """A GET in another process than the generator's is answered with the refusal, without a wait for its time."""
    async with workers(Network(), 2) as all_:
        client: Client = await all_[0].watch()
        await settle()
        asking = asyncio.create_task(all_[1].get())
        await settle()
        all_[0].source.give(HTTPException(503, "later", {"Retry-After": "60"}))
        await settle(CLAIM)
        assert client.told == [503]
        assert asking.done()
        with pytest.raises(KeyRefused) as caught:
            await asking
        assert 50 <= caught.value.left <= 60
