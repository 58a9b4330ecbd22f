"""Turns of long readings."""

import asyncio

import pytest

from wirespeed.hub.turns import in_turns

pytestmark = pytest.mark.anyio


async def test_others_have_their_turns() -> None:
    """Other work of the loop runs while many items are read, and all items are read in order."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    read = [item async for some in in_turns(range(300_000)) for item in some]
    assert read == list(range(300_000))
    assert turns > 1
    task.cancel()
