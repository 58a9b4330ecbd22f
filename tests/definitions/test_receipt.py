"""Receipts report the outcome of a publication; a failure that no code asks for is logged."""

import asyncio
import gc
import logging
import threading

import pytest

from tests.lanes.turns import turns
from tests.waiting import PATIENCE
from wirespeed.definitions import Receipt, settle
from wirespeed.errors import Stopped
from wirespeed.log.position import Position

pytestmark = pytest.mark.anyio

PLACE = Position("e", 1)
WHAT = "topic '/news'"


async def test_known_position_is_there_at_once() -> None:
    """The receipt of a published value has its position at once, in a task and in a thread."""
    receipt = Receipt(WHAT, PLACE)
    assert receipt.done()
    assert (await receipt, await receipt, receipt.result(0)) == (PLACE, PLACE, PLACE)


async def test_known_failure_is_raised() -> None:
    """The receipt of a failed publication raises its error each time."""
    receipt = Receipt(WHAT, error=Stopped(WHAT))
    for _ in range(2):
        with pytest.raises(Stopped):
            await receipt
        with pytest.raises(Stopped):
            receipt.result()


@pytest.mark.parametrize("error", [None, ValueError("no")])
async def test_all_who_wait_are_told(error: Exception | None) -> None:
    """Several tasks may await one receipt; it is settled once."""
    receipt = Receipt(WHAT)

    async def ask() -> object:
        try:
            return await receipt
        except ValueError as raised:
            return raised

    asking = [asyncio.create_task(ask()) for _ in range(3)]
    await turns(2)
    assert not receipt.done()
    settle(receipt, None if error else PLACE, error)
    settle(receipt, Position("later", 2))
    assert await asyncio.gather(*asking) == [error or PLACE] * 3


async def test_giving_up_changes_nothing() -> None:
    """If one waiting task is cancelled, the others still get the outcome."""
    receipt = Receipt(WHAT)

    async def ask() -> Position:
        return await receipt

    first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
    await turns(2)
    first.cancel()
    await turns(2)
    settle(receipt, PLACE)
    assert await second == PLACE
    assert first.cancelled()


def test_thread_waits_for_its_result() -> None:
    """A thread waits until the receipt is settled, or until its timeout."""
    receipt = Receipt(WHAT)
    with pytest.raises(TimeoutError):
        receipt.result(0)
    told: list[Position] = []
    thread = threading.Thread(target=lambda: told.append(receipt.result(PATIENCE)))
    thread.start()
    settle(receipt, PLACE)
    thread.join(PATIENCE)
    assert told == [PLACE]


@pytest.mark.parametrize("late", [False, True])
def test_failure_that_nobody_asked_for_is_logged(late: bool, caplog: pytest.LogCaptureFixture) -> None:
    """If a receipt is dropped without being asked, its failure is logged with the topic."""
    receipt = Receipt(WHAT) if late else Receipt(WHAT, error=ValueError("no room"))
    if late:
        settle(receipt, None, ValueError("no room"))
    del receipt
    gc.collect()
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "wirespeed")
    assert record.getMessage() == f"{WHAT}: a publication failed."
    assert "no room" in caplog.text


async def test_nothing_else_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Success, failures that were asked for, and receipts that were never settled are not logged."""
    asked = Receipt(WHAT, error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await asked
    receipts = [asked, Receipt(WHAT, PLACE), Receipt(WHAT)]
    del asked
    receipts.clear()
    gc.collect()
    assert caplog.records == []
