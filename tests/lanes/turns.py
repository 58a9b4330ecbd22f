"""Waiting for what comes in some turns of the loop."""

import asyncio

from tests.waiting import until as until


async def turns(count: int) -> None:
    """Lets everything else on the loop have some turns."""
    for _ in range(count):
        await asyncio.sleep(0)
