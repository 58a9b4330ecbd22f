"""However user code ends, it has one of four outcomes, and only a requested cancellation counts as one."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from wirespeed.runs.outcome import Cancelled, Completed, Failed, Outcome, Refused, run_apart, run_now, run_once

pytestmark = pytest.mark.anyio


class Odd(BaseException):
    """An exception of an app that is not an ``Exception``."""


ENDINGS: list[BaseException] = [
    ValueError("broken"),
    asyncio.CancelledError(),
    GeneratorExit(),
    SystemExit(3),
    KeyboardInterrupt(),
    Odd(),
    StopAsyncIteration(),
    TimeoutError(),
    ExceptionGroup("several", [ValueError("broken")]),
    BaseExceptionGroup("several", [GeneratorExit()]),
    BaseExceptionGroup("several", [asyncio.CancelledError(), SystemExit(3)]),
]
ending = pytest.mark.parametrize("error", ENDINGS, ids=repr)


@pytest.fixture(autouse=True)
def handled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handle Ctrl-C in the test, as a server does."""
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)


def raising(error: BaseException) -> Callable[[], Awaitable[None]]:
    """Raise an error."""

    async def run() -> None:
        await asyncio.sleep(0)
        raise error

    return run


async def test_completed() -> None:
    """Code that returns has completed, with its value."""

    async def run() -> int:
        return 7

    assert await run_once(run) == Completed(7)
    assert run_now(lambda: 7) == Completed(7)


@ending
async def test_failed(error: BaseException) -> None:
    """Code that ends in any other way without a request has failed. Its exception cannot end the event loop."""
    outcome = await run_once(raising(error))
    assert isinstance(outcome, Failed)
    assert outcome.error is error
    assert outcome.exception is error or outcome.exception.__cause__ is error


@ending
async def test_failed_at_once(error: BaseException) -> None:
    """Code that does not await has the same outcomes."""

    def run() -> None:
        raise error

    outcome = run_now(run)
    assert isinstance(outcome, Failed)
    assert outcome.error is error


@ending
async def test_refused(error: BaseException) -> None:
    """An exception that the caller recognises as a refusal is one, whatever its base class."""
    refused = Refused(ValueError(), 409)
    assert await run_once(raising(error), lambda raised: refused if raised is error else None) == refused
    assert run_now(lambda: 1, lambda _: refused) == Completed(1)


async def test_refusal_that_cannot_be_read() -> None:
    """An error that cannot be asked if it refuses is a failure, and the log says why."""

    def asked(error: BaseException) -> Refused:
        return Refused(ValueError(), error.status)  # type: ignore[attr-defined]

    def end() -> None:
        raise error

    error = ValueError("broken")
    for outcome in (await run_once(raising(error), asked), await run_apart(raising(error), asked), run_now(end, asked)):
        assert isinstance(outcome, Failed)
        assert outcome.error is error
        assert outcome.exception.__cause__ is error
    assert "AttributeError: 'ValueError' object has no attribute 'status'" in error.__notes__[0]


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), GeneratorExit(), BaseExceptionGroup("", [asyncio.CancelledError(), GeneratorExit()])],
    ids=repr,
)
async def test_requested(error: BaseException) -> None:
    """A requested cancellation is not a failure, and neither is a group that consists of nothing else."""
    assert await run_once(raising(error), is_cancelled=lambda: True) == Cancelled(error)


async def test_failure_after_a_request() -> None:
    """Code that fails while it cleans up has failed, although it was cancelled."""
    error = ValueError("broken")
    outcome = await run_once(raising(error), is_cancelled=lambda: True)
    assert isinstance(outcome, Failed)
    assert outcome.error is error


async def started(run: Callable[[], Awaitable[Any]], is_cancelled: Callable[[], bool] | None = None) -> Any:
    """Start a task that runs code once, and wait until the code has begun."""
    task = asyncio.create_task(run_once(run, is_cancelled=is_cancelled))
    await asyncio.sleep(0)
    return task


async def test_cancelled_task() -> None:
    """Without a flag, the cancellation of the running task counts as requested."""
    task = await started(asyncio.Event().wait)
    task.cancel()
    assert isinstance(await task, Cancelled)


async def test_cancellation_of_others() -> None:
    """A cancelled task that the code awaits is a failure of the code, not its cancellation."""
    other = asyncio.create_task(asyncio.Event().wait())

    async def run() -> None:
        await other

    task = await started(run)
    other.cancel()
    outcome = await task
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, asyncio.CancelledError)


@pytest.mark.parametrize("awaits", [False, True])
async def test_code_that_cancels_its_own_task(*, awaits: bool) -> None:
    """If the code cancels its own task, that is a failure if it raises, and it never hits the code after the run."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        if awaits:
            await asyncio.sleep(0)

    async def goes_on() -> tuple[Outcome[None], int]:
        outcome = await run_once(run, is_cancelled=lambda: False)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return outcome, task.cancelling()

    outcome, cancelling = await asyncio.create_task(goes_on())
    assert isinstance(outcome, Failed if awaits else Completed)
    assert cancelling == 0


async def test_timeouts_inside() -> None:
    """The cancellation of a timeout around the code does not count as requested."""

    async def run() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return ""

    assert await run_once(run) == Completed("late")


async def test_coroutine_that_is_destroyed() -> None:
    """A run without any reference to it ends without an outcome: Python closes its coroutine."""
    ended: list[str] = []

    async def run() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("closed")

    async def outer() -> None:
        ended.append(type(await run_once(run)).__name__)

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    coroutine = task.get_coro()
    assert coroutine is not None
    coroutine.close()
    task.cancel()
    with pytest.raises((asyncio.CancelledError, RuntimeError)):
        await task
    gc.collect()
    assert ended == ["closed"]


async def test_interrupt_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """If Ctrl-C raises KeyboardInterrupt, it ends the program. If a server handles the signal, it ends one run."""

    def run() -> None:
        raise KeyboardInterrupt

    assert isinstance(run_now(run), Failed)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        run_now(run)


@ending
async def test_apart(error: BaseException) -> None:
    """Code in its own task has the same outcomes."""
    outcome = await run_apart(raising(error))
    assert isinstance(outcome, Failed)
    assert outcome.error is error


async def test_apart_cancels_itself() -> None:
    """Code that cancels its own task has failed, and its caller is not cancelled."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    assert isinstance(await run_apart(run), Failed)
    await asyncio.sleep(0)


async def test_apart_is_cancelled() -> None:
    """Cancelling the caller cancels the code, once, and waits until it has ended."""
    steps: list[str] = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cancelled")
            for _ in range(3):
                await asyncio.sleep(0)
            steps.append("ended")

    task = asyncio.create_task(apart(run))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert steps == ["cancelled", "ended"]
    assert isinstance(task.result(), Cancelled)


async def apart(run: Callable[[], Awaitable[None]]) -> Outcome[None]:
    """Run code in its own task."""
    return await run_apart(run)
