"""Waiting for what comes in some turns of the loop, and never for ever."""

import asyncio
from collections.abc import Callable


async def turns(count: int) -> None:
    """Lets everything else on the loop have some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(holds: Callable[[], object], within: float = 5) -> None:
    """Lets the loop turn until something holds; raises TimeoutError if it does not get to that in some seconds."""
    async with asyncio.timeout(within):
        while not holds():
            await turns(1)
