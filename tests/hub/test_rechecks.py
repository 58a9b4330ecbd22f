"""Rechecks: checks that are due, a few at a time."""

import asyncio

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


async def test_check_whose_thread_raises_generator_exit(caplog: pytest.LogCaptureFixture) -> None:
    """A GeneratorExit from a thread does not close a check, which could not arrange the next one."""
    rechecks, seen = Rechecks(), list[type[BaseException]]()

    async def check() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_soon(future.set_exception, GeneratorExit())
        try:
            await future
        except BaseException as error:
            seen.append(type(error))
            raise

    rechecks.add(check)
    await until(lambda: not rechecks._tasks)
    assert seen == [RuntimeError]
    assert "could not be checked again" in caplog.text
