"""The feeds of the console: generators that collect what a page shows, about once per second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Query

from .collect import Collector

INTERVAL = 1.0
"""Seconds between two values of a feed."""
SHORTEST = 0.2
"""Seconds between the end of one reading and the next, at least."""

Text = Annotated[str, Query(max_length=4000)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Values = AsyncIterator[dict[str, Any]]

View = Callable[..., Values]
"""A feed of the console, before it is declared."""


async def again_and_again(read: Callable[[], Awaitable[dict[str, Any]]]) -> Values:
    """Yield a reading about once per second."""
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        yield await read()
        await asyncio.sleep(max(INTERVAL - (clock() - began), SHORTEST))


def feeds_of(collector: Collector) -> list[View]:
    """Return the feeds of the console. Their names and parameters are their addresses."""

    def overview() -> Values:
        return again_and_again(collector.overview)

    def keys(path: Text, search: Text = "", limit: Limit = 100) -> Values:
        return again_and_again(partial(collector.keys, path, search, limit))

    def key(text: Text) -> Values:
        return again_and_again(partial(collector.key, text))

    def clients(search: Text = "", limit: Limit = 100) -> Values:
        return again_and_again(partial(collector.clients, search, limit))

    def client(process: Text, id: Text) -> Values:  # noqa: A002 - its name in the address
        return again_and_again(partial(collector.client, process, id))

    return [overview, keys, key, clients, client]
