"""One producer: of several processes that watch a feed, one runs its generator for all."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import groupby
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.hub.watching import Client, handle, topic
from tests.hub.working import LEASE, LINGER, Worker, producing
from tests.lanes.turns import turns, until
from wirespeed.definitions import Feed
from wirespeed.errors import BacklogFull, BrokerDown
from wirespeed.hub.hub import SEND_TIMEOUT
from wirespeed.log.position import Position

pytestmark = pytest.mark.anyio

KINDS: list[dict[str, Any]] = [{"keep": "latest"}, {"keep": 100}, {"by": "n", "keep": "latest"}]


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


class SimulatedWorker(Worker):
    """A process on a simulated network."""

    def __init__(self, network: Network, **options: Any) -> None:
        self.broker = SimulatedBroker(network)
        super().__init__(self.broker, **options)


@asynccontextmanager
async def workers(network: Network, count: int = 2, **options: Any) -> AsyncIterator[list[SimulatedWorker]]:
    """Processes of one app."""
    all_ = [SimulatedWorker(network, **options) for _ in range(count)]
    async with entered(network, all_):
        yield all_


@asynccontextmanager
async def entered(network: Network, all_: Sequence[Worker]) -> AsyncIterator[None]:
    """Start processes, and end them."""
    for worker in all_:
        await worker.hub.__aenter__()
    try:
        yield
    finally:
        network.clear_up()
        for worker in all_:
            worker.source.may_end.set()
            await worker.hub.__aexit__()


async def settle(seconds: float = 0.1) -> None:
    """Let everything arrive."""
    await running().pass_time(seconds)


async def test_slow_broker() -> None:
    """A generator starts even if each answer of the broker takes almost a second."""
    network = Network()
    async with workers(network, 1) as (worker,):
        network.is_calm = False
        watching = asyncio.create_task(worker.watch())
        waiting: list[list[Any]] = [[] for _ in range(9)]
        for _ in range(200):
            await settle(0.1)
            known = [each for some in waiting for each in some]
            waiting.append([each for each in network.requests if each not in known])
            for request in waiting.pop(0):
                network.serve(request)
            for packet in list(network.packets):
                network.deliver(packet)
        assert worker.source.runs == 1
        network.clear_up()
        await watching


@pytest.mark.parametrize("options", KINDS)
async def test_one_process_runs_the_generator(options: dict[str, Any]) -> None:
    """Watchers of all processes get the values of one generator, with the same positions."""
    async with workers(Network(), 3, **options) as all_:
        clients = [await worker.watch() for worker in all_ for _ in range(2)]
        await settle()
        (one,) = producing(all_)
        for number in range(3):
            one.source.give({"n": number} if "by" in options else f"{number}")
            await settle(1)
        assert all(client.values == clients[0].values for client in clients)
        assert len(clients[0].values) == 3
        assert [worker.source.runs for worker in all_] == [int(worker is one) for worker in all_]


async def test_feed_can_run_in_each_process() -> None:
    """With ``run="each"``, each process with watchers runs the generator for them."""
    async with workers(Network(), 3) as all_:
        for worker in all_:
            worker.feed.run = "each"
        clients = [await worker.watch() for worker in all_[:2]]
        await settle()
        assert [worker.source.runs for worker in all_] == [1, 1, 0]
        all_[0].source.give("a")
        await settle()
        assert [client.values for client in clients] == [["a"], []]


async def test_takeover_without_a_wait() -> None:
    """A process that ends in an orderly way hands its generator over at once; its own watchers see the next values."""
    async with workers(Network()) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        (two,) = (worker for worker in all_ if worker is not one)
        one.source.give("a", "b")
        await turns(20)
        began = running().time()
        await one.hub.__aexit__()
        await until(lambda: two.is_producing)
        assert (one.is_producing, running().time()) == (False, began)
        two.source.give("c")
        await settle()
        assert clients[all_.index(two)].values == ["a", "b", "c"]


async def test_stop_while_the_broker_is_away() -> None:
    """All that waits for the broker then shares one time: the leases, the publications and the completions."""
    network = Network()
    async with workers(network, 1) as (one,):
        await one.watch()
        await settle()
        one.source.give("a")
        await settle()
        definitions = [topic(str, path=path, keep=10) for path in ("/news", "/old")]
        for each in definitions:
            one.hub.bind(each, each.path)
        network.go_down()
        handle(definitions[0]).publish("b")
        receipt = handle(definitions[1]).complete()
        sending = asyncio.create_task(one.hub._send_last())
        await running().pass_time(SEND_TIMEOUT + 0.5)
        is_over = sending.done()
        network.clear_up()
        await running().pass_time(4 * SEND_TIMEOUT)
        assert is_over
        assert receipt.done()


async def test_takeover_after_a_crash() -> None:
    """If the holder does not renew its lease, another process takes over when its time is over, and not before."""
    network = Network()
    async with workers(network) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        (two,) = (worker for worker in all_ if worker is not one)
        one.source.give("a")
        await settle(7)
        network.cut_off(one.broker)
        await settle(LEASE * 0.6)
        assert not two.is_producing
        await settle(LEASE * 0.4 + 0.1)
        assert (one.is_producing, two.is_producing) == (False, True)
        one.source.give("never")
        two.source.give("b")
        await settle()
        network.clear_up()
        await settle(2)
        assert [client.values for client in clients] == [["a", "b"]] * 2


async def test_values_of_a_process_that_was_paused_are_refused() -> None:
    """A process that wakes up without its lease ends its generator; none of its values reach a watcher."""
    network = Network()
    async with workers(network) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        (two,) = (worker for worker in all_ if worker is not one)
        one.source.give("a")
        await settle()
        del network.server.leases[one.feed.path]  # it expires, while the process does not run
        (await two.hub.engine()).on_notice[b"vacant"]((await two.hub.engine())._keys[two.feed.path], b"")
        await settle()
        assert (one.source.open, two.source.open) == (1, 1)
        one.source.give("never", "never")
        two.source.give("b")
        await settle()
        assert (one.is_producing, two.is_producing) == (False, True)
        one.source.give("neither")
        two.source.give("c")
        await settle()
        assert [client.values for client in clients] == [["a", "b", "c"]] * 2


@pytest.mark.parametrize("is_silent", [False, True])
async def test_generator_ends_with_its_lease(is_silent: bool) -> None:
    """A process that cannot renew its lease cancels its generator when the lease is over by its own clock."""
    network = Network()
    async with workers(network, 1) as (one,):
        client = await one.watch()
        await settle()
        if is_silent:
            network.is_calm = False
        else:
            network.cut_off(one.broker)
        await settle(LEASE * 0.6)
        assert producing([one])
        one.source.give("lost with the lease")
        await settle(LEASE * 0.4)
        assert not producing([one])
        network.clear_up()
        await settle(LEASE)
        assert (producing([one]), one.source.runs) == ([one], 2)
        one.source.give("a")
        await settle()
        assert client.values == ["a"]


async def test_short_outage_changes_nothing() -> None:
    """If the broker is back before the lease is over, the generator continues, and its values arrive."""
    network = Network()
    async with workers(network) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        network.go_down()
        one.source.give("a", "b")
        await settle(LEASE / 2)
        network.clear_up()
        await settle(LEASE)
        one.source.give("c")
        await settle()
        assert [client.values for client in clients] == [["a", "b", "c"]] * 2
        assert sum(worker.source.runs for worker in all_) == 1


async def test_watchers_of_other_processes_keep_the_generator_running() -> None:
    """The generator ends ``linger`` seconds after the last watcher of all processes has left."""
    async with workers(Network()) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        (two,) = (worker for worker in all_ if worker is not one)
        await one.leave(clients[all_.index(one)])
        await settle(5 * LINGER)
        assert (one.is_producing, two.is_producing) == (True, False)
        one.source.give("a")
        await settle()
        assert clients[all_.index(two)].values == ["a"]
        await two.leave(clients[all_.index(two)])
        await settle(LINGER - 1)
        assert one.is_producing
        await settle(1 + LEASE)
        assert producing(all_) == []


@pytest.mark.parametrize("linger", [0.0, 1.0, 7.0])
async def test_linger_of_one_process(linger: float) -> None:
    """If no other process has watchers, the generator ends exactly ``linger`` seconds after the last one has left."""
    async with workers(Network(), linger=linger) as (one, _):
        client = await one.watch()
        await settle(LEASE)
        await one.leave(client)
        await settle(linger - 0.1 if linger else 0.0)
        assert one.is_producing is bool(linger)
        await settle(0.2)
        assert not one.is_producing


async def test_unexpected_error_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is not expected delays the start of a generator and the end of its lease, and prevents neither."""
    failed: list[str] = []

    def once(owner: Any, name: str) -> None:
        works = getattr(owner, name)

        async def fails(*arguments: Any, **options: Any) -> Any:
            if name not in failed:
                failed.append(name)
                raise RuntimeError("no permission")
            return await works(*arguments, **options)

        monkeypatch.setattr(owner, name, fails)

    async with workers(Network(), linger=1.0) as all_:
        one, two = all_
        once(one.broker, "read")
        once(one.broker.leases, "release")
        client = await one.watch()
        await settle(3)
        assert (failed, producing(all_)) == (["read"], [one])
        await one.leave(client)
        await settle(3)
        assert (failed, producing(all_)) == (["read", "release"], [])
        await two.watch()
        await settle(2 * LEASE)
        assert producing(all_) == [two]


async def test_process_of_the_next_watcher_runs_the_generator() -> None:
    """After the end of a run, whichever process is watched next runs the generator."""
    async with workers(Network(), linger=1.0) as all_:
        for number in range(6):
            worker = all_[number % 2]
            client = await worker.watch()
            await settle()
            assert producing(all_) == [worker]
            await worker.leave(client)
            await settle(2)
            assert producing(all_) == []


@pytest.mark.parametrize(("options", "held"), list(zip(KINDS, [0, 1, 0], strict=True)))
async def test_newest_values_end_with_the_run(options: dict[str, Any], held: int) -> None:
    """After a run, newest values and rows are gone in all processes; last values are kept."""
    async with workers(Network(), linger=1.0, **options) as (one, two):
        client = await one.watch()
        await settle()
        one.source.give({"n": 1} if "by" in options else "a")
        await settle()
        await one.leave(client)
        await settle(2)
        for worker in (one, two):
            assert len(await worker.hub.entries(worker.feed, "", {})) == held
        newcomer = await two.watch()
        await settle()
        assert newcomer.values == []


@pytest.mark.parametrize("options", KINDS)
async def test_completion_reaches_all_processes(options: dict[str, Any]) -> None:
    """When the generator ends, all watchers get the last values, and then the end; a watcher may start a new run."""
    async with workers(Network(), 3, after_end="restart", **options) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        one.source.give({"n": 1} if "by" in options else "a", None)
        await settle()
        assert [(len(client.values), client.told) for client in clients] == [(1, ["complete"])] * 3
        assert [worker.source.runs for worker in all_] == [int(worker is one) for worker in all_]
        newcomer = await all_[1].watch()
        await settle()
        assert producing(all_) == [all_[1]]
        all_[1].source.give({"n": 2} if "by" in options else "b")
        await settle()
        assert (len(newcomer.values), newcomer.told) == (1, [])


@pytest.mark.parametrize("options", KINDS)
async def test_complete_feed_stays_complete(options: dict[str, Any]) -> None:
    """No process runs the generator again: watchers get the values and the end, also where there were none before."""
    async with workers(Network(), 3, **options) as all_:
        await all_[0].watch()
        await settle()
        all_[0].source.give({"n": 1} if "by" in options else "a", None)
        await settle()
        for worker in all_:
            newcomer = await worker.watch()
            assert len(await worker.get()) == 1
            await settle()
            assert (len(newcomer.values), newcomer.told) == (1, ["complete"])
            await worker.leave(newcomer)
        assert [worker.source.runs for worker in all_] == [1, 0, 0]
        assert [worker.hub.watching(worker.feed).keys for worker in all_] == [0, 0, 0]


async def test_complete_feed_survives_its_holder() -> None:
    """If the process that has run the generator is cut off after the end, no other one takes over."""
    network = Network()
    async with workers(network, 2) as (one, two):
        await one.watch()
        await settle()
        one.source.give("a", None)
        await settle()
        network.cut_off(one.broker)
        await settle(LEASE + 1)
        client = await two.watch()
        await settle(LEASE + 1)
        assert (client.values, client.told, two.source.runs) == (["a"], ["complete"], 0)


async def test_completion_waits_for_the_broker() -> None:
    """If the broker is away when the generator ends, watchers are completed when it is back."""
    network = Network()
    async with workers(network) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        network.go_down()
        one.source.give("a", None)
        await settle(LEASE / 2)
        network.clear_up()
        await settle(LEASE)
        assert [(client.values, client.told[-1]) for client in clients] == [(["a"], "complete")] * 2
        assert sum(worker.source.runs for worker in all_) == 1


async def test_generator_that_fails_is_started_again_where_it_was() -> None:
    """A failure does not move the generator to another process."""
    async with workers(Network()) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        one.source.give("a", ValueError("x"))
        await settle(1)
        one.source.give("b")
        await settle()
        assert [client.values for client in clients] == [["a", "b"]] * 2
        assert [worker.source.runs for worker in all_] == [2 * int(worker is one) for worker in all_]


async def test_refused_value_fails_the_generator() -> None:
    """If a table has no room for a row, the generator fails at its next value, as it does without a broker."""
    async with workers(Network(), rows=1, by="n", keep="latest") as (one, _):
        client = await one.watch()
        await settle()
        one.source.give({"n": 1})
        await settle()
        one.source.give({"n": 2})
        await settle()
        assert one.source.runs == 1
        one.source.give({"n": 1})
        await settle(1)
        assert (one.source.runs, one.hub.watching(one.feed).restarts) == (2, 1)
        one.source.give({"n": 1})
        await settle()
        assert client.values == ['{"key":1,"value":{"n":1}}'] * 2


@pytest.mark.parametrize(("keep", "runs"), [("latest", 1), (100, 2)])
async def test_value_that_cannot_be_encoded(keep: Any, runs: int) -> None:
    """A newest value is counted and skipped; with other logs, the generator fails, as it does without a broker."""
    async with workers(Network(), keep=keep) as (one, _):
        client = await one.watch()
        await settle()
        one.source.give(b"\xff")
        await settle(1)
        one.source.give("a")
        await settle()
        figures = one.hub.watching(one.feed)
        assert (one.source.runs, figures.restarts, figures.failed) == (runs, runs - 1, 2 - runs)
        assert client.values == ["a"]


async def test_get_in_another_process() -> None:
    """A GET in a process that does not run the generator returns the newest value; it waits for that of a new run."""
    async with workers(Network(), keep="latest") as (one, two):
        await one.watch()
        await settle()
        waiting = asyncio.create_task(two.get())
        await settle(1)
        assert not waiting.done()
        one.source.give("a")
        await settle()
        assert await waiting == [b"a"]
        assert (one.source.runs, two.source.runs) == (1, 0)
        again = asyncio.create_task(two.get())
        await settle()
        assert again.done()


async def test_get_starts_the_generator() -> None:
    """A GET counts as a watcher: it starts the generator, which lingers, and then serves other processes, too."""
    async with workers(Network(), keep="latest") as (one, two):
        waiting = asyncio.create_task(one.get())
        await settle()
        assert one.is_producing
        one.source.give("a")
        await settle()
        assert waiting.done()
        assert await two.get() == await waiting
        await settle(LINGER + LEASE)
        assert not one.is_producing


async def test_get_does_not_return_values_of_an_earlier_holder() -> None:
    """After a takeover, a GET waits for a value of the new run, in all processes."""
    network = Network()
    async with workers(network, 3, keep="latest") as all_:
        for worker in all_:
            await worker.watch()
        await settle()
        (one,) = producing(all_)
        one.source.give("a")
        await settle()
        network.cut_off(one.broker)
        await settle(2 * LEASE)
        (two,) = producing(all_)
        gets = [asyncio.create_task(worker.get()) for worker in all_ if worker is not one]
        await settle()
        assert [get.done() for get in gets] == [False, False]
        two.source.give("b")
        await settle()
        assert [b"b" in (await get)[0] for get in gets] == [True, True]


async def test_feed_continues_from_its_last_value() -> None:
    """When a generator starts, this process has all values of the earlier holder: ``latest()`` is the last one."""
    network = Network()
    found: list[Any] = []

    async with workers(network) as all_:

        def counting(worker: Worker) -> Callable[[], AsyncIterator[str]]:
            async def count() -> AsyncIterator[str]:
                found.append(last := await Feed[[], str](worker.feed).latest())
                worker.source.open += 1
                try:
                    number = int(last or "0")
                    while True:
                        number += 1
                        yield f"{number}"
                        await asyncio.sleep(1)
                finally:
                    worker.source.open -= 1

            return count

        for worker in all_:
            worker.feed.function = counting(worker)
        clients = [await worker.watch() for worker in all_]
        await settle(10)
        (one,) = producing(all_)
        network.cut_off(one.broker)
        await settle(2 * LEASE)
        network.clear_up()
        await settle(LEASE)
        numbers = [[int(each) for each in client.values] for client in clients]
        assert numbers == [list(range(1, numbers[0][-1] + 1))] * 2
        assert found[0] is None
        assert len(found) == 2


async def test_generator_starts_after_all_earlier_values() -> None:
    """A process that takes over without having heard of the last values waits until it has them."""
    network = Network()
    async with workers(network) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        (two,) = (worker for worker in all_ if worker is not one)
        network.deaf.add(two.broker)
        one.source.give("a", "b")
        await settle()
        network.cut_off(one.broker)
        await settle(LEASE + 1)
        assert producing(all_) == []
        assert network.server.holder(one.feed.path) is not None
        await settle(40)
        assert producing(all_) == [two]
        assert clients[all_.index(two)].values == ["a", "b"]


async def test_completed_run_is_not_started_again() -> None:
    """A process that has not heard that the run has ended does not start another one for its watchers."""
    network = Network()
    async with workers(network) as all_:
        clients = [await worker.watch() for worker in all_]
        await settle()
        (one,) = producing(all_)
        one.source.give("a")
        await settle()
        network.deaf.update(worker.broker for worker in all_)
        one.source.give(None)
        await settle(10)
        assert sum(worker.source.runs for worker in all_) == 1
        await settle(40)
        assert [(client.values, client.told) for client in clients] == [(["a"], ["complete"])] * 2
        assert sum(worker.source.runs for worker in all_) == 1


async def test_run_without_values_is_not_started_again() -> None:
    """The same is true of the process that has run the generator, if it has yielded nothing."""
    network = Network()
    async with workers(network, 1) as (one,):
        client = await one.watch()
        await settle()
        network.deaf.add(one.broker)
        one.source.give(None)
        await settle(40)
        assert (one.source.runs, client.told) == (1, ["complete"])


async def test_run_without_values_after_another_run() -> None:
    """If the log has ended already, the end of a run that has yielded nothing reaches the watchers of all processes."""
    async with workers(Network()) as all_:
        first = await all_[0].watch()
        await settle()
        all_[0].source.give("a", None)
        await settle(3)
        clients = [await worker.watch() for worker in all_]
        await settle()
        for worker in all_:
            worker.source.give(None)
        await settle(3)
        assert [client.told for client in [first, *clients]] == [["complete"]] * 3
        assert producing(all_) == []


async def test_release_during_a_claim() -> None:
    """If a lease is released while a claim is not answered yet, the process claims again at once."""
    network = Network()
    async with workers(network) as all_:
        for worker in all_:
            await worker.watch()
        await settle()
        (one,) = producing(all_)
        (two,) = (worker for worker in all_ if worker is not one)
        network.is_calm = False
        await settle(LEASE * 0.4)
        (claim,) = (request for request in network.requests if request.broker is two.broker)
        claim.perform()
        ending = asyncio.create_task(one.hub.__aexit__())
        for _ in range(100):
            for request in [each for each in network.requests if each is not claim]:
                network.serve(request)
            for packet in list(network.packets):
                network.deliver(packet)
            await asyncio.sleep(0)
        await ending
        assert producing(all_) == []
        began = running().time()
        network.clear_up()
        await turns(50)
        assert (producing(all_), running().time()) == ([two], began)


async def test_sync_generator() -> None:
    """A generator in a thread publishes through the broker, too."""
    is_going = True

    def values() -> Iterator[str]:
        yield "a"
        yield "b"
        while is_going:
            time.sleep(0.001)
            yield "c"

    async with workers(Network(), function=values) as all_:
        clients = [await worker.watch() for worker in all_]
        while not all("c" in client.values for client in clients):
            await asyncio.sleep(0)
            running().now += 0.001
        is_going = False
        assert [client.values[:2] for client in clients] == [["a", "b"]] * 2


async def test_generator_waits_for_room() -> None:
    """While the broker does not answer, a generator whose values must not be dropped stops at the bound in bytes."""
    network = Network()
    value, yielded = "x" * 100_000, 0

    async def values() -> AsyncIterator[str]:
        nonlocal yielded
        await asyncio.sleep(1)
        while yielded < 500:
            yielded += 1
            yield value
        await asyncio.sleep(1000)

    async with workers(network, 1, function=values) as (one,):
        client = await one.watch()
        await settle(0.5)
        network.is_calm = False
        while running().now < 1003:
            await settle()
        most = one.hub.settings.max_publish_backlog_bytes
        assert most - len(value) <= yielded * len(value) <= most + len(value)
        network.clear_up()
        await settle(1)
        while len(client.values) < 500:
            await settle(0.1)
        assert client.values == [value] * 500


async def test_values_of_a_lost_lease_make_room() -> None:
    """The broker would refuse the values of a run whose lease is over: what others publish has their room."""
    network = Network()

    async def values() -> AsyncIterator[str]:
        await asyncio.sleep(1)
        while True:
            yield "x" * 100_000

    async with workers(network, 1, function=values) as (one,):
        news = topic(str, "/news")
        news.bind(one.hub)
        await one.watch()
        await settle(0.5)
        network.is_calm = False
        await settle(2)
        with pytest.raises(BacklogFull):
            handle(news).publish("x" * 200_000)
        await settle(LEASE)
        handle(news).publish("x" * 200_000)


async def test_positions_continue() -> None:
    """A client that resumes in another process gets what it has missed from the shared log."""
    async with workers(Network()) as (one, two):
        await one.watch()
        await settle()
        one.source.give("a", "b", "c")
        await settle()
        (first, *_) = await one.hub.entries(one.feed, "", {})
        assert isinstance(first.position, Position)
        client = await two.watch(since=first.position)
        assert client.values == ["b", "c"]


STEPS = [*["watch", "leave", "time"] * 3, "cut off", "slow", "back", "expire", "end", *["serve", "deliver"] * 3]


class Numbered(SimulatedWorker):
    """A process whose generator yields its run and a number twice a second, until it is to end."""

    def __init__(self, network: Network, index: int) -> None:
        super().__init__(network, function=self._numbers)
        self.is_over = False
        self.clients: list[Client] = []
        self._index = index

    async def _numbers(self) -> AsyncIterator[str]:
        self.source.runs += 1
        run, number = self.source.runs, 0
        self.source.open += 1
        try:
            while not self.is_over:
                number += 1
                yield f"{self._index}.{run}.{number}"
                await asyncio.sleep(0.5)
        finally:
            self.is_over = False
            self.source.open -= 1

    async def step(self, step: str, random: Random) -> None:
        """Let a watcher come or leave."""
        if step == "watch":
            with suppress(BrokerDown):
                self.clients.append(await self.watch())
        elif step == "leave" and self.clients:
            await self.leave(self.clients.pop(random.randrange(len(self.clients))))


def blow(network: Network, step: str, random: Random) -> None:
    """Let the network do something."""
    if step == "slow":
        network.is_calm = False
    elif step == "back":
        network.clear_up()
    elif step == "expire":
        network.server.leases.clear()
    elif step == "serve" and network.requests:
        network.serve(random.choice(network.requests))
    elif step == "deliver" and network.packets:
        network.deliver(network.packets[0])


async def take_steps(network: Network, all_: list[Numbered], random: Random, steps: list[str]) -> list[Client]:
    """Let things happen, and then everything arrive; return all clients that have watched."""
    tasks = []
    for step in steps:
        worker = random.choice(all_)
        if step in ("watch", "leave"):
            tasks.append(asyncio.create_task(worker.step(step, random)))
        elif step == "time":
            await running().pass_time(random.choice([0.01, 0.5, 2.0, LEASE, LINGER]))
        elif step == "cut off":
            network.cut_off(worker.broker)
        elif step == "end":
            worker.is_over = True
        else:
            blow(network, step, random)
        await turns(random.choice([1, 10]))
    network.clear_up()
    await running().pass_time(60)
    await asyncio.gather(*tasks)
    return [client for worker in all_ for client in worker.clients]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), steps=st.lists(st.sampled_from(STEPS), min_size=10, max_size=120))
def test_runs_never_mix(seed: int, steps: list[str]) -> None:
    """Whatever happens, the stored values of one run follow each other, and no watcher sees others; in the end, exactly
    one process runs the generator if there are watchers, and none if there are not."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(_runs_never_mix(Random(seed), steps))


async def _runs_never_mix(random: Random, steps: list[str]) -> None:
    network = Network()
    all_ = [Numbered(network, index) for index in range(3)]
    async with entered(network, all_):
        clients = await take_steps(network, all_, random, steps)
        is_watched = any(client.told[-1:] != ["complete"] for client in clients)
        assert len(producing(all_)) == int(is_watched)
        stored = [(record.payload or b"").decode() for log in network.server.truth.values() for _, record in log]
        runs = [value.rpartition(".")[0] for value in stored]
        assert len(set(runs)) == len([run for run, _ in groupby(runs)])
        assert len(set(stored)) == len(stored)
        for run in set(runs):
            numbers = [int(value.rpartition(".")[2]) for value in stored if value.startswith(f"{run}.")]
            assert numbers == list(range(1, len(numbers) + 1))
        for client in clients:
            assert "".join(f"{each} " for each in client.values) in "".join(f"{each} " for each in stored)
