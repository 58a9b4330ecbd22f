"""Items that wait for a test, whose waits may be cancelled."""

import asyncio

import pytest

from tests.lanes.turns import turns
from tests.waiting import PATIENCE
from wirespeed.testing.mailbox import Mailbox

pytestmark = pytest.mark.anyio


async def test_cancelled_wait_takes_no_item() -> None:
    """An item whose receiver is cancelled when it arrives goes to the next one that waits."""
    mailbox: Mailbox[int] = Mailbox()
    one, other = (asyncio.create_task(mailbox.take(PATIENCE, str)) for _ in range(2))
    await turns(3)
    mailbox.put(1)
    one.cancel()
    assert (await asyncio.wait([other], timeout=PATIENCE / 2))[0] == {other}
    assert other.result() == 1
    assert one.cancelled()
