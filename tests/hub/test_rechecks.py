"""Rechecks: checks that are due, a few at a time."""

import pytest

from tests.lanes.turns import turns
from tests.waiting import until
from wirespeed.hub.rechecks import MOST, Rechecks

pytestmark = pytest.mark.anyio


async def test_checks_after_a_stop() -> None:
    """Checks that a stop cancels before they begin take no places from those of the next start."""
    rechecks, done = Rechecks(), list[int]()

    async def check() -> None:
        done.append(1)

    for _ in range(MOST):
        rechecks.add(check)
    rechecks.close()
    await until(lambda: not rechecks._tasks)
    assert done == []
    rechecks.add(check)
    await until(lambda: done)


@pytest.mark.parametrize("later", range(8))
async def test_check_in_the_turn_in_which_others_end(later: int) -> None:
    """A check is called in whichever turn it is added, even while as many as may be called have just ended."""
    rechecks, done = Rechecks(), list[int]()

    async def check() -> None:
        done.append(1)

    for _ in range(MOST):
        rechecks.add(check)
    await turns(later)
    rechecks.add(check)
    await turns(20)
    assert len(done) == MOST + 1
