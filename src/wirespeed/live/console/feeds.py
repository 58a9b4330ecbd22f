"""The feeds of the console: generators that collect what a page shows, about once per second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Query

from .collect import Collector

INTERVAL = 1.0
"""Seconds between two values of a feed, if they take less than half of it."""

Text = Annotated[str, Query(max_length=4000)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Values = AsyncIterator[dict[str, Any]]

View = Callable[..., Values]
"""A feed of the console, before it is declared."""


async def again_and_again(read: Callable[[], Awaitable[dict[str, Any]]]) -> Values:
    """Yield a reading about once per second. A reading that takes long is followed by a pause of the same length."""
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        value = await read()
        took = clock() - began
        yield value
        await asyncio.sleep(max(INTERVAL - took, took))


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
