"""Tasks that run user code: a future's exception reaches the code that awaits it, and ends nothing else."""

import asyncio
from collections.abc import Awaitable

import pytest

from wirespeed.runs.tasks import create_task

pytestmark = pytest.mark.anyio


def failing(error: BaseException) -> "asyncio.Future[None]":
    """Return a future that fails while it is awaited."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_soon(lambda: loop.call_soon(future.set_exception, error))
    return future


async def seen(awaitable: Awaitable[object], seeing: list[BaseException]) -> str:
    """Wait, record the exception, and continue."""
    try:
        await awaitable
    except BaseException as error:
        seeing.append(error)
        await asyncio.sleep(0)
    return "went on"


async def test_a_future_that_raises_generator_exit() -> None:
    """The code gets a RuntimeError instead. It may await while it handles that, and continue."""
    seeing: list[BaseException] = []
    assert await create_task(seen(failing(GeneratorExit()), seeing)) == "went on"
    assert isinstance(seeing[0], RuntimeError)
    assert isinstance(seeing[0].__cause__, GeneratorExit)


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), StopAsyncIteration()], ids=repr)
async def test_other_errors(error: BaseException) -> None:
    """Any other exception of a future, and the code's own exceptions, behave as in any task."""
    seeing: list[BaseException] = []
    assert await create_task(seen(failing(error), seeing)) == "went on"
    assert seeing == [error]
    with pytest.raises(ZeroDivisionError):
        await create_task(dividing())


async def dividing() -> float:
    """Raise an error."""
    await asyncio.sleep(0)
    return 1 / 0


async def test_cancelling() -> None:
    """The code can be cancelled, and the task is named after it."""
    seeing: list[BaseException] = []
    task = create_task(seen(asyncio.Event().wait(), seeing))
    await asyncio.sleep(0)
    task.cancel()
    assert "seen" in repr(task)
    assert await task == "went on"
    assert isinstance(seeing[0], asyncio.CancelledError)
