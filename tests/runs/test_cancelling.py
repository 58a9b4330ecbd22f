"""A generator sees the same events whether it awaits itself or stands at a ``yield`` because its reader is slow."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest

from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns
from tests.waiting import PATIENCE
from wirespeed.codec import encoder
from wirespeed.runs.outcome import Cancelled, Completed, Failed, run_once
from wirespeed.runs.produce import produce
from wirespeed.runs.pump import pump

pytestmark = pytest.mark.anyio

Values = AsyncIterator[str]
Generator = Callable[[Callable[[], Awaitable[object]]], Values]
"""Stand for the code that the generator awaits between two values."""


class Engine:
    """A run of a generator whose reader is fast or slow.

    With a fast reader, the generator awaits after its first value. With a slow one, it stands at its ``yield``.

    Args:
        generator: The generator.
        kind: The function that takes the values, and the speed of the reader.
    """

    def __init__(self, generator: Generator, kind: str) -> None:
        self.lane = RecordingLane()
        self.is_cancelled = False
        self._kind = kind
        self._published: list[str] = []
        self._turn = asyncio.Event()
        values = generator(self._wait)
        run = self._produce if kind == "produce" else self._pump
        self.task = asyncio.create_task(run_once(lambda: run(values), is_cancelled=lambda: self.is_cancelled))

    async def _wait(self) -> None:
        if self._kind == "fast":
            await asyncio.Event().wait()
        self.lane.block()

    async def _pump(self, values: Values) -> None:
        await pump(values, encoder(str), self.lane)

    async def _produce(self, values: Values) -> None:
        await produce(values, self._published.append)

    @property
    def values(self) -> list[str]:
        """Return the outcome of the run."""
        return self._published or self.lane.values

    async def begin(self) -> None:
        """Let the run continue until it waits."""
        await turns(20)

    async def cancel(self) -> object:
        """Have the client leave, and return the outcome."""
        await self.begin()
        self.is_cancelled = True
        self.task.cancel()
        return await self.task


both = pytest.mark.parametrize("kind", ["fast", "slow"])


@both
async def test_timeout_around_a_yield(kind: str) -> None:
    """A timeout that expires while the reader is slow is a TimeoutError in the generator, which may continue."""

    async def values(wait: Callable[[], Awaitable[object]]) -> Values:
        for _ in range(2):
            try:
                async with asyncio.timeout(0.01):
                    await wait()
                    yield "value"
                    await asyncio.Event().wait()
            except TimeoutError:
                engine.lane.unblock()
                yield "late"

    engine = Engine(values, kind)
    assert await engine.task == Completed(None)
    assert engine.values == (["late"] * 2 if kind == "fast" else ["value", "late"] * 2)


@both
async def test_cancel_scope_around_a_yield(kind: str) -> None:
    """The same holds for anyio's scopes."""

    async def values(wait: Callable[[], Awaitable[object]]) -> Values:
        with anyio.move_on_after(0.01) as scope:
            await wait()
            yield "value"
            await asyncio.Event().wait()
        engine.lane.unblock()
        yield f"late: {scope.cancelled_caught}"

    engine = Engine(values, kind)
    assert await engine.task == Completed(None)
    assert engine.values[-1] == "late: True"


async def in_a_group(wait: Callable[[], Awaitable[object]]) -> Values:
    """Yield from inside a task group."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())
        await wait()
        while True:
            yield "value"


async def in_a_group_of_anyio(wait: Callable[[], Awaitable[object]]) -> Values:
    """Yield from inside a task group of anyio."""
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.Event().wait)
        await wait()
        while True:
            yield "value"


async def in_nested_groups(wait: Callable[[], Awaitable[object]]) -> Values:
    """Yield from inside several groups and a timeout."""
    async with asyncio.TaskGroup() as group, asyncio.timeout(PATIENCE), anyio.create_task_group() as inner:
        group.create_task(asyncio.Event().wait())
        inner.start_soon(anyio.Event().wait)
        await wait()
        while True:
            yield "value"


groups = pytest.mark.parametrize("generator", [in_a_group, in_a_group_of_anyio, in_nested_groups])


@both
@groups
async def test_client_leaves_a_task_group(kind: str, generator: Generator) -> None:
    """A client that leaves causes a plain cancellation, not a failure."""
    assert isinstance(await Engine(generator, kind).cancel(), Cancelled)


@groups
async def test_lane_closes_a_task_group(generator: Generator) -> None:
    """A lane that closes during the run is not a failure either."""
    engine = Engine(generator, "slow")
    await engine.begin()
    engine.lane.shut()
    assert await engine.task == Completed(None)


@groups
async def test_feed_stops_a_task_group(generator: Generator) -> None:
    """The same holds for the producer of a feed."""
    assert isinstance(await Engine(generator, "produce").cancel(), Cancelled)


@both
async def test_child_that_fails(kind: str) -> None:
    """A task group that fails while the reader is slow fails with its own exception."""

    async def fail() -> None:
        await turns(5)
        raise ValueError("broken")

    async def values(wait: Callable[[], Awaitable[object]]) -> Values:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await wait()
            while True:
                yield "value"

    outcome = await Engine(values, kind).task
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, ExceptionGroup)


@both
async def test_generator_that_says_good_bye(kind: str) -> None:
    """A generator that yields when it is cancelled gets that value out, and ends there."""
    ends: list[type[BaseException]] = []

    async def values(wait: Callable[[], Awaitable[object]]) -> Values:
        try:
            await wait()
            while True:
                yield "value"
        except asyncio.CancelledError:
            try:
                yield "bye"
            except BaseException as error:
                ends.append(type(error))
                raise

    engine = Engine(values, kind)
    assert isinstance(await engine.cancel(), Cancelled)
    assert engine.values[-1] == "bye"
    assert ends == [asyncio.CancelledError]


@both
async def test_generator_that_ends_when_it_is_cancelled(kind: str) -> None:
    """A generator that returns when it is cancelled has completed."""

    async def values(wait: Callable[[], Awaitable[object]]) -> Values:
        try:
            await wait()
            yield "value"
        except asyncio.CancelledError:
            return

    assert await Engine(values, kind).cancel() == Completed(None)


@both
async def test_generator_that_fails_when_it_is_cancelled(kind: str) -> None:
    """An exception that the generator raises while it cleans up is a failure."""

    async def values(wait: Callable[[], Awaitable[object]]) -> Values:
        try:
            await wait()
            yield "value"
        finally:
            raise ValueError("broken")

    outcome = await Engine(values, kind).cancel()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, ValueError)


async def test_value_that_cannot_be_encoded_in_a_task_group() -> None:
    """An encoder's error ends the run, not the error that a task group raises when it is closed."""

    async def values(wait: Callable[[], Awaitable[object]]) -> AsyncIterator[Any]:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            yield None

    outcome = await Engine(values, "slow").task
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TypeError)


async def test_iterator_that_is_no_generator() -> None:
    """An iterator that cannot be cancelled at its ``yield`` is closed."""
    closed: list[str] = []

    class Endless:
        def __aiter__(self) -> "Endless":
            return self

        async def __anext__(self) -> str:
            engine.lane.block()
            return "value"

        async def aclose(self) -> None:
            closed.append("closed")

    engine = Engine(lambda _: Endless(), "slow")
    assert isinstance(await engine.cancel(), Cancelled)
    assert closed == ["closed"]
