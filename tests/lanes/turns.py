"""Waiting for events that take a few turns of the loop."""

import asyncio

from tests.waiting import until as until


async def turns(count: int) -> None:
    """Give everything else on the loop a few turns."""
    for _ in range(count):
        await asyncio.sleep(0)
