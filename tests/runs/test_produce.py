"""A feed's run publishes everything that its generator yields, and others get their turns."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from anyio import CapacityLimiter

from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.runs.produce import AHEAD, produce
from wirespeed.runs.produce import produce_from_thread as from_thread

BATCH = AHEAD // 512
produce_from_thread = partial(from_thread, taken=lambda value: value, size=lambda _: 512)

pytestmark = pytest.mark.anyio


class Taken(list[Any]):
    """Records what is published, and refuses a value that is bad."""

    def publish(self, value: Any) -> None:
        """Publish a value."""
        if value == "bad":
            raise ValueError("refused")
        self.append(value)


async def numbers(count: int) -> AsyncIterator[int]:
    """Yield numbers without ever awaiting."""
    for number in range(count):
        yield number


class Closing:
    """A generator that records whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def values(self, *values: Any) -> AsyncIterator[Any]:
        """Yield values, then wait forever."""
        try:
            for value in values:
                yield value
            await asyncio.Event().wait()
        finally:
            await turns(2)
            self.closed = True


# Asynchronous generators


async def test_everything_is_published_in_order() -> None:
    """All values are published in order, and then the run ends."""
    taken = Taken()
    await produce(numbers(10_000), taken.publish)
    assert taken == list(range(10_000))


class Bounded:
    """Takes values, and has room for a number of them until it is emptied."""

    def __init__(self) -> None:
        self.taken = Taken()
        self.held = 0
        self.has_room = asyncio.Event()

    def publish(self, value: Any) -> None:
        """Take a value."""
        self.taken.publish(value)
        self.held += 1

    def room(self) -> Callable[[], Awaitable[None]] | None:
        """Return the wait for room, if there is none."""
        return self._wait if self.held >= 10 else None

    async def _wait(self) -> None:
        self.has_room.clear()
        await self.has_room.wait()

    def empty(self) -> None:
        """Make room."""
        self.held = 0
        self.has_room.set()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_generator_waits_for_room(in_thread: bool) -> None:
    """A generator does not continue before there is room for its next value; then it resumes where it left off."""
    bounded = Bounded()
    if in_thread:
        run = produce_from_thread(lambda: range(25), bounded.publish, CapacityLimiter(1), room=bounded.room)
    else:
        run = produce(numbers(25), bounded.publish, bounded.room)
    task = asyncio.ensure_future(run)
    for count in (10, 20):
        await until(lambda: bounded.held == 10)
        await turns(10)
        assert len(bounded.taken) == count
        bounded.empty()
    await task
    assert bounded.taken == list(range(25))


async def test_wait_for_room_can_be_cancelled() -> None:
    """A generator that waits for room is cancelled at the yield where it stands; it may answer with another value."""
    bounded = Bounded()

    async def stubborn() -> AsyncIterator[str]:
        try:
            for _ in range(20):
                yield "a"
        except asyncio.CancelledError:
            yield "last"

    task = asyncio.create_task(produce(stubborn(), bounded.publish, bounded.room))
    await until(lambda: len(bounded.taken) == 10)
    await turns(5)
    task.cancel()
    bounded.held = 0
    await asyncio.wait([task])
    assert bounded.taken == [*["a"] * 10, "last"]
    assert task.cancelled()


async def test_generator_that_never_awaits_lets_others_run_while_there_is_room() -> None:
    """A generator with a bound gives up the loop as often as one without."""
    bounded, others = Bounded(), 0

    async def endless() -> AsyncIterator[int]:
        while True:
            bounded.held = 0
            yield 1

    task = asyncio.create_task(produce(endless(), bounded.publish, bounded.room))
    for _ in range(20):
        await asyncio.sleep(0)
        others += 1
    task.cancel()
    await asyncio.wait([task])
    assert others == 20


async def test_value_is_published_before_the_generator_goes_on() -> None:
    """No value is held back while the generator awaits."""
    taken, generator = Taken(), Closing()
    task = asyncio.create_task(produce(generator.values("a", "b"), taken.publish))
    await turns(2)
    assert taken == ["a", "b"]
    task.cancel()
    await asyncio.wait([task])


async def test_generator_that_never_suspends_lets_others_run() -> None:
    """A generator that never awaits lets other tasks have their turns, and can be cancelled."""

    async def endless() -> AsyncIterator[int]:
        while True:
            yield 1

    taken = Taken()
    task = asyncio.create_task(produce(endless(), taken.publish))
    for _ in range(3):
        before = len(taken)
        await turns(2)
        assert len(taken) > before
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_cancelling_closes_the_generator() -> None:
    """When the run ends, the ``finally`` blocks have run."""
    generator = Closing()
    task = asyncio.create_task(produce(generator.values(), Taken().publish))
    await turns(2)
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), generator.closed) == (True, True)


async def test_generator_that_yields_when_cancelled_is_ended() -> None:
    """A generator that catches its cancellation and continues is cancelled once more, and then closed."""
    ended: list[str] = []

    async def stubborn() -> AsyncIterator[str]:
        try:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    yield "on"
        finally:
            ended.append("closed")

    taken = Taken()
    task = asyncio.create_task(produce(stubborn(), taken.publish))
    await turns(2)
    task.cancel()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait([task])
    assert (task.cancelled(), ended) == (True, ["closed"])


async def test_timeout_in_a_generator_is_its_own() -> None:
    """A generator may use timeouts, which cancel the task and withdraw that."""

    async def patient() -> AsyncIterator[int]:
        for number in range(3):
            try:
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                yield number

    taken = Taken()
    await produce(patient(), taken.publish)
    assert taken == [0, 1, 2]


async def test_error_comes_after_the_values_before_it() -> None:
    """An exception of the generator is raised here."""

    async def failing() -> AsyncIterator[str]:
        yield "a"
        raise KeyError("broken")

    taken = Taken()
    with pytest.raises(KeyError):
        await produce(failing(), taken.publish)
    assert taken == ["a"]


async def test_value_that_is_not_taken_ends_the_run() -> None:
    """An exception of ``publish`` is raised here, and the generator is closed."""
    taken, generator = Taken(), Closing()
    with pytest.raises(ValueError, match="refused"):
        await produce(generator.values("a", "bad", "b"), taken.publish)
    assert (taken, generator.closed) == (["a"], True)


# Synchronous generators


async def test_everything_of_a_thread_is_published_in_order() -> None:
    """All values are published in the loop, in order, even if the thread is much faster."""
    taken, threads = Taken(), set()

    def publish(value: int) -> None:
        threads.add(threading.get_ident())
        taken.append(value)

    await produce_from_thread(lambda: range(10 * BATCH), publish, CapacityLimiter(1))
    assert taken == list(range(10 * BATCH))
    assert threads == {threading.get_ident()}


async def test_thread_is_not_far_ahead() -> None:
    """A generator that is faster than the loop waits: what is in between is bounded."""
    yielded: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            yielded.append(1)
            yield len(yielded)

    task = asyncio.create_task(
        produce_from_thread(endless, lambda value: ahead.append(len(yielded) - value), CapacityLimiter(1))
    )
    ahead: list[int] = []
    await until(lambda: len(ahead) > 5 * BATCH)
    task.cancel()
    await asyncio.wait([task])
    assert max(ahead) <= 2 * BATCH + 1


async def test_cancelling_closes_the_generator_in_its_thread() -> None:
    """A cancelled run closes its generator at the next value, and waits for that."""
    gate, closed = threading.Event(), []

    def blocking() -> Iterator[str]:
        try:
            yield "a"
            assert gate.wait(PATIENCE)
            yield "b"
        finally:
            closed.append(threading.get_ident())

    taken = Taken()
    task = asyncio.create_task(produce_from_thread(blocking, taken.publish, CapacityLimiter(1)))
    await until(lambda: taken)
    task.cancel()
    await turns(5)
    assert not task.done()
    gate.set()
    await asyncio.wait([task])
    assert (task.cancelled(), taken) == (True, ["a"])
    assert closed != [threading.get_ident()]
    assert len(closed) == 1


@pytest.mark.parametrize("error", [KeyError("broken"), SystemExit(1)])
async def test_error_of_a_thread_comes_after_the_values_before_it(error: BaseException) -> None:
    """An exception of the generator is raised here, in the loop's thread."""

    def failing() -> Iterator[str]:
        yield "a"
        raise error

    taken = Taken()
    with pytest.raises(type(error)):
        await produce_from_thread(failing, taken.publish, CapacityLimiter(1))
    assert taken == ["a"]


async def test_value_of_a_thread_that_is_not_taken_ends_the_run() -> None:
    """An exception of ``publish`` is raised here, and the generator is closed."""
    closed: list[bool] = []

    def endless() -> Iterator[str]:
        try:
            yield "a"
            while True:
                yield "bad"
        finally:
            closed.append(True)

    taken = Taken()
    with pytest.raises(ValueError, match="refused"):
        await produce_from_thread(endless, taken.publish, CapacityLimiter(1))
    assert (taken, closed) == (["a"], [True])


async def test_threads_are_bounded() -> None:
    """A run beyond the limit of threads waits for its turn."""
    gate, begun = threading.Event(), []

    def blocking() -> Iterator[int]:
        begun.append(1)
        assert gate.wait(PATIENCE)
        yield 1

    limiter, taken = CapacityLimiter(2), Taken()
    tasks = [asyncio.create_task(produce_from_thread(blocking, taken.publish, limiter)) for _ in range(3)]
    await until(lambda: len(begun) == 2)
    await turns(20)
    assert len(begun) == 2
    gate.set()
    await asyncio.wait(tasks)
    assert (len(begun), taken) == (3, [1, 1, 1])
