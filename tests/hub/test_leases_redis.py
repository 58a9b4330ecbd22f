"""One producer over a real Valkey: the server's clock and scripts decide which process runs a generator."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("redis", reason="`make test` installs it")

from tests.brokers.valkey import Pipe, Valkey
from tests.hub.watching import Client
from tests.hub.working import Worker, producing
from tests.lanes.turns import until
from wirespeed.brokers.redis.broker import RedisBroker

pytestmark = pytest.mark.anyio

LEASE = 1.0
KINDS: list[dict[str, Any]] = [{"keep": "latest"}, {"keep": 100}, {"by": "n", "keep": "latest"}]


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on the loop of every app: the time of another process passes."""
    return "asyncio"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A running server."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


class Piped(Worker):
    """A process that reaches the server through a pipe of its own."""

    def __init__(self, pipe: Pipe, **options: Any) -> None:
        self.pipe = pipe
        self.client = Client()
        super().__init__(RedisBroker(f"redis://127.0.0.1:{pipe.port}"), lease=LEASE, **options)


@asynccontextmanager
async def workers(valkey: Valkey, **options: Any) -> AsyncIterator[tuple[Piped, Piped]]:
    """Two processes with a watcher each; the generator runs in the first one."""
    valkey.command("FLUSHALL")
    pipes = Pipe(valkey.port), Pipe(valkey.port)
    for pipe in pipes:
        await pipe.open()
    one, two = (Piped(pipe, **options) for pipe in pipes)
    async with one.hub, two.hub:
        one.client = await one.watch()
        await until(lambda: one.is_producing)
        two.client = await two.watch()
        yield one, two
    for pipe in pipes:
        await pipe.close()


@pytest.mark.parametrize("options", KINDS)
async def test_handover(valkey: Valkey, options: dict[str, Any]) -> None:
    """Watchers of both processes see the values of one generator, which moves when its process ends."""
    async with workers(valkey, **options) as (one, two):
        one.source.give({"n": 1} if "by" in options else "a")
        await until(lambda: one.client.values and two.client.values)
        await one.hub.__aexit__()
        await until(lambda: two.is_producing)
        two.source.give({"n": 2} if "by" in options else "b")
        await until(lambda: len(two.client.values) == 2)
        assert one.client.values == two.client.values[:1]
        assert (one.source.runs, two.source.runs) == (1, 1)


async def test_process_that_is_cut_off(valkey: Valkey) -> None:
    """Another process takes over; the one that is cut off ends its generator, and later gets the other one's values."""
    async with workers(valkey) as (one, two):
        one.source.give("a")
        await until(lambda: two.client.values)
        one.pipe.cut()
        await until(lambda: two.is_producing and not one.is_producing)
        one.source.give("never")
        two.source.give("b")
        await until(lambda: len(two.client.values) == 2)
        await one.pipe.open()
        await until(lambda: len(one.client.values) == 2)
        assert one.client.values == two.client.values == ["a", "b"]


async def test_lease_that_is_gone(valkey: Valkey) -> None:
    """If a process is paused until another one has the lease, its next values are refused, and its generator ends."""
    async with workers(valkey) as (one, two):
        one.source.give("a")
        await until(lambda: two.client.values)
        valkey.command("SET", "wirespeed:{/feed}:lease", "another", "PX", "1500")
        one.source.give("never", "never")
        await until(lambda: not one.is_producing)
        await until(lambda: producing([one, two]))
        (holder,) = producing([one, two])
        holder.source.give("b")
        await until(lambda: one.client.values[-1] == two.client.values[-1] == "b")
        assert one.client.values == two.client.values == ["a", "b"]


async def test_server_that_restarts_empty(valkey: Valkey) -> None:
    """The lease is claimed again, and values go on in a new epoch."""
    async with workers(valkey, keep="latest") as (one, two):
        one.source.give("a")
        await until(lambda: two.client.values)
        valkey.kill()
        valkey.start()
        sent = 0

        async def give() -> None:
            nonlocal sent
            while True:
                for worker in producing([one, two]):
                    worker.source.give(f"{(sent := sent + 1)}")
                await asyncio.sleep(0.1)

        giving = asyncio.create_task(give())
        await until(lambda: one.client.values[-1:] == two.client.values[-1:] != ["a"])
        giving.cancel()
        assert len(producing([one, two])) <= 1


async def test_completion_and_the_next_run(valkey: Valkey) -> None:
    """When the generator ends, the watchers of both processes get the last value and the end; a new run may begin."""
    async with workers(valkey, keep="latest", linger=0.0, after_end="restart") as (one, two):
        one.source.give("a", None)
        await until(lambda: one.client.told and two.client.told)
        assert [(worker.client.values, worker.client.told) for worker in (one, two)] == [(["a"], ["complete"])] * 2
        newcomer = await two.watch()
        await until(lambda: two.is_producing)
        assert newcomer.values == []
        await two.leave(newcomer)
        await until(lambda: not two.is_producing)
        await until(lambda: not valkey.command("EXISTS", "wirespeed:{/feed}:meta").startswith(b":1"))
