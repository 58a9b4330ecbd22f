"""Waiting for events that take a few turns of the loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.waiting import until as until


async def turns(count: int) -> None:
    """Give everything else on the loop a few turns."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def counting_turns() -> AsyncIterator[Callable[[], int]]:
    """Run other work in each turn of the loop; yield a function that returns how many turns it has had."""
    had = 0

    async def others() -> None:
        nonlocal had
        while True:
            had += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    try:
        yield lambda: had
    finally:
        task.cancel()
