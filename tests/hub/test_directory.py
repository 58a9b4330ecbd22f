"""The directory of topics at the broker."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.waiting import PATIENCE, until
from wirespeed.brokers.broker import Post, Stored
from wirespeed.errors import BacklogFull, BrokerDown
from wirespeed.hub import directory
from wirespeed.hub.directory import Directory
from wirespeed.hub.outbox import Outbox
from wirespeed.log.position import Position
from wirespeed.log.record import Record, Replica, Retention

pytestmark = pytest.mark.anyio


class Unwilling(SimulatedBroker):
    """A broker that refuses at first."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(Network())
        self.errors = list(errors)

    async def attach(
        self, name: str, retention: Retention, replica: Replica, since: Position | None = None
    ) -> Callable[[], None]:
        """Refuse once with each error."""
        if self.errors:
            raise self.errors.pop(0)
        return lambda: None


class Slow(SimulatedBroker):
    """A broker that stores values of topics only once it may."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.may_store = asyncio.Event()

    async def publish(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
        if any(post.name != directory.NAME for post in posts):
            await self.may_store.wait()
        return await super().publish(posts)


async def test_declares_again_while_the_outbox_is_full() -> None:
    """A broker that returns empty has the declarations again, although more values wait for it than may."""
    network = Network()
    async with Slow(network) as broker:
        outbox = Outbox(broker, asyncio.get_running_loop(), most=1000)

        def declared() -> list[bytes | None]:
            log = network.server.logs.get(directory.NAME)
            return [record.payload for _, record in log.entries] if log else []

        await Directory(broker, outbox, {"/news": b"{}"}).open()
        await until(lambda: declared() and not outbox.waiting)
        queue = outbox.queue("/news", Retention("last", entries=10, size=10_000), as_it_is, lambda result, value: None)
        with suppress(BacklogFull):
            while True:
                queue.publish(Record(b"x" * 100))
        network.go_down()
        network.server.forget(directory.NAME)
        network.clear_up()
        await until(declared)
        assert declared() == [b"{}"]
        broker.may_store.set()
        await outbox.close(PATIENCE)


def as_it_is(record: Record) -> Record:
    return record


async def test_opens_after_any_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Attempts go on until one succeeds, also after an error that is not expected, which is logged."""
    monkeypatch.setattr(directory, "RETRY", 0.0)
    broker = Unwilling(BrokerDown("away"), RuntimeError("no permission"), BrokerDown("away"))
    await Directory(broker, cast("Outbox", None), {}).open_soon()
    assert broker.errors == []
    assert [str(each.exc_info[1]) for each in caplog.records if each.exc_info] == ["no permission"]
