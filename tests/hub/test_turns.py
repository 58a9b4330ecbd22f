"""Turns of long readings."""

import asyncio

import pytest

from tests.lanes.turns import counting_turns, turns
from wirespeed.hub import turns as module
from wirespeed.hub.turns import in_turns, run_in_turns

pytestmark = pytest.mark.anyio


async def test_others_have_their_turns() -> None:
    """Other work of the loop runs while many items are read, and all items are read in order."""
    async with counting_turns() as had:
        read = [item async for some in in_turns(range(300_000)) for item in some]
        assert read == list(range(300_000))
        assert had() > 1


async def test_steps_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work of the loop runs between steps; a cancellation waits for the last one."""
    monkeypatch.setattr(module, "SLICE", 0.0)
    taken: list[int] = []
    async with counting_turns() as had:
        work = asyncio.create_task(run_in_turns(map(taken.append, range(100))))
        await turns(10)
        assert 5 <= len(taken) <= 10
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert (taken, had() >= 100) == (list(range(100)), True)
