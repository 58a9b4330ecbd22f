"""Revocations, and what becomes of them when the app stops or another process cannot be asked."""

import asyncio

import pytest

from tests.lanes.turns import turns
from tests.waiting import PATIENCE
from wirespeed.definitions import Criteria, Revocation
from wirespeed.errors import BacklogFull, Stopped
from wirespeed.hub.processes import Processes, Replies
from wirespeed.hub.refusals import Refusals
from wirespeed.hub.revoking import Revoking
from wirespeed.hub.sessions import Sessions

pytestmark = pytest.mark.anyio

ROOM = 200_000
"""Bytes of revocations that may wait in these tests."""


class Others(Processes):
    """Other processes, which confirm when the test allows it, or cannot be asked."""

    process = "this one"

    def __init__(self) -> None:
        super().__init__()
        self.may_confirm = asyncio.Event()
        self.error: Exception | None = None

    async def ask_all(self, word: str, body: bytes, timeout: float = 0.0) -> Replies:
        await self.may_confirm.wait()
        if self.error is not None:
            raise self.error
        return Replies(0, {})


@pytest.fixture
async def others() -> Others:
    """Return the other processes."""
    return Others()


@pytest.fixture
async def revoking(others: Others) -> Revoking:
    """Return the revocations of a process that knows others."""
    return Revoking(Sessions(Refusals(), 10.0), others, ROOM)


def revoke(revoking: Revoking) -> Revocation:
    """Revoke the access of a user."""
    revocation = Revocation()
    revoking.revoke(Criteria(user="ada"), revocation)
    return revocation


@pytest.mark.parametrize("passed", range(4))
async def test_stop_settles_all(revoking: Revoking, others: Others, passed: int) -> None:
    """A stop settles each revocation that is not confirmed, however far it has come; after a restart, others work."""
    revocation = revoke(revoking)
    await turns(passed)
    late = revoke(revoking)
    revoking.close()
    for each in (revocation, late):
        with pytest.raises(Stopped):
            each.result(0)
    others.may_confirm.set()
    again = revoke(revoking)
    async with asyncio.timeout(PATIENCE):
        assert await again == 0


async def test_unexpected_error_settles(revoking: Revoking, others: Others) -> None:
    """An error of a broker that is not one of ours is the outcome of the revocation."""
    others.error = OSError("no route")
    others.may_confirm.set()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OSError, match="no route"):
            await revoke(revoking)


async def test_what_waits_is_bounded(revoking: Revoking, others: Others) -> None:
    """Revocations beyond the bound fail, those before it succeed, and then there is room again."""
    revocations = [revoke(revoking) for _ in range(ROOM // 1000)]
    refused = [each for each in revocations if each.done()]
    assert 0 < len(refused) < len(revocations) // 10
    for each in refused:
        with pytest.raises(BacklogFull):
            each.result(0)
    others.may_confirm.set()
    async with asyncio.timeout(PATIENCE):
        assert [await each for each in revocations[: -len(refused)]] == [0] * (len(revocations) - len(refused))
        again = [revoke(revoking) for _ in range(ROOM // 1100)]
        assert [await each for each in again] == [0] * len(again)
