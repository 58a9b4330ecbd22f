"""Starters: tasks begin a few at a time."""

import asyncio

import pytest

from wirespeed.surfaces.multiplex import starter
from wirespeed.surfaces.multiplex.starter import EACH_TURN, Starter

pytestmark = pytest.mark.anyio


async def turns(begun: list[int], count: int) -> list[int]:
    """Return how many have begun after each of the next turns of the loop."""
    told = [len(begun)]
    for _ in range(count):
        await asyncio.sleep(0)
        told.append(len(begun))
    return told


async def test_a_few_begin_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first begin at once, the others in order; later ones wait behind them."""
    monkeypatch.setattr(starter, "PER_SECOND", 0)
    begun: list[int] = []
    begins = Starter(asyncio.get_running_loop())
    for number in range(3 * EACH_TURN):
        begins.begin(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert await turns(begun, 3) == [EACH_TURN, 2 * EACH_TURN, 3 * EACH_TURN, 3 * EACH_TURN]
    assert begun == list(range(3 * EACH_TURN))
    await turns(begun, 2)
    begins.begin(lambda: begun.append(-1))
    assert begun[-1] == -1


async def test_more_begin_after_a_long_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a busy loop, they get their share of the time."""
    monkeypatch.setattr(starter, "PER_SECOND", 10**9)
    begun: list[int] = []
    begins = Starter(asyncio.get_running_loop())
    for number in range(100 * EACH_TURN):
        begins.begin(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert (await turns(begun, 1))[-1] == 100 * EACH_TURN
