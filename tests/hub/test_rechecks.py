"""Rechecks: checks that are due, a few at a time."""

import asyncio
from contextvars import Context, ContextVar, copy_context
from functools import partial

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
        rechecks.add(check, copy_context())
    rechecks.close()
    await until(lambda: not rechecks._tasks)
    assert done == []
    rechecks.add(check, copy_context())
    await until(lambda: done)


@pytest.mark.parametrize("later", range(8))
async def test_check_in_the_turn_in_which_others_end(later: int) -> None:
    """A check is called in whichever turn it is added, even while as many as may be called have just ended."""
    rechecks, done = Rechecks(), list[int]()

    async def check() -> None:
        done.append(1)

    for _ in range(MOST):
        rechecks.add(check, copy_context())
    await turns(later)
    rechecks.add(check, copy_context())
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

    rechecks.add(check, copy_context())
    await until(lambda: not rechecks._tasks)
    assert seen == [RuntimeError]
    assert "could not be checked again" in caplog.text


async def test_checks_run_in_the_contexts_of_their_clients() -> None:
    """Each check sees the variables of its own client, and no change that another check has made."""
    rechecks, user, seen = Rechecks(), ContextVar[int]("user"), list[tuple[int, int]]()
    contexts = list[Context]()

    async def check(number: int) -> None:
        seen.append((number, user.get()))
        user.set(-1)

    for number in range(2 * MOST):
        user.set(number)
        contexts.append(copy_context())
    for number, context in [*enumerate(contexts)] * 2:
        rechecks.add(partial(check, number), context)
    await until(lambda: len(seen) == 4 * MOST)
    assert [number for number, own in seen if own != number] == []
