"""Processes of one app, each with the same feed, whose generators the test controls."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar, cast

from tests.hub.watching import Client, Source, feed
from wirespeed.brokers.broker import Broker
from wirespeed.definitions import FeedDefinition
from wirespeed.hub import Hub
from wirespeed.settings import Settings
from wirespeed.surfaces.runs import feed_refusal

LEASE = 5.0
LINGER = 8.0


class Worker:
    """One process of an app, with a feed whose generator yields what the test gives it."""

    def __init__(
        self,
        broker: Broker,
        function: Callable[..., Any] | None = None,
        lease: float = LEASE,
        rows: int = 1000,
        **options: Any,
    ) -> None:
        self.hub = Hub(Settings(lease_timeout=lease, max_table_rows=rows), broker, refusal=feed_refusal)
        self.source = Source()
        options = {"keep": 100, "linger": LINGER} | options
        function = function or (self._rows if "by" in options else self.source.values)
        self.feed: FeedDefinition[..., Any] = feed(function, **options)
        self.feed.bind(self.hub)

    async def _rows(self) -> AsyncIterator[dict[str, int]]:
        async with aclosing(cast("AsyncGenerator[Any, None]", self.source.values())) as values:
            async for value in values:
                yield value

    @property
    def is_producing(self) -> bool:
        """True if the generator runs in this process."""
        return self.source.open > 0

    async def watch(self, **options: Any) -> Client:
        """Return a new watcher, which watches."""
        return await Client().watch(await self.hub.engine(), self.feed, **options)

    async def leave(self, client: Client) -> None:
        """Let a watcher leave."""
        client.leave(await self.hub.engine(), self.feed.path)

    async def get(self) -> list[bytes]:
        """Return what a GET returns."""
        engine = await self.hub.engine()
        held, *_ = await engine.first(self.feed, self.feed.path, {}, 30.0)
        return [each.payload for each in held]


AnyWorker = TypeVar("AnyWorker", bound=Worker)


def producing(all_: Sequence[AnyWorker]) -> list[AnyWorker]:
    """Return the processes in which the generator runs."""
    return [worker for worker in all_ if worker.is_producing]
