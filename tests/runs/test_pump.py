"""The pump writes every value, in order, in the fewest pieces that keep no client waiting."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns, until
from wirespeed.codec import encoder
from wirespeed.frames import frame, messages
from wirespeed.runs.drive import FIRST_SLICE, SLICE
from wirespeed.runs.pump import PIECE, pump

pytestmark = pytest.mark.anyio

TEXTS = encoder(str)

Values = AsyncIterator[str]


class Clock:
    """The pump's time. It passes when the test lets it, however fast the machine is."""

    now = 0.0
    step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture(scope="module")
def stopped_clock() -> Iterator[Clock]:
    """Use one clock for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wirespeed.runs.drive.perf_counter", clock := Clock())
        yield clock


@pytest.fixture(autouse=True)
def clock(stopped_clock: Clock) -> Clock:
    """The pump's clock; it stands still unless the test advances it."""
    stopped_clock.step = 0.0
    return stopped_clock


async def scripted(steps: Iterable[str | None]) -> Values:
    """Yield the values, and await where there is None."""
    for step in steps:
        if step is None:
            await asyncio.sleep(0)
        else:
            yield step


async def pumped(values: AsyncIterator[Any], **options: Any) -> RecordingLane:
    """Return a lane after all values were written to it."""
    lane = RecordingLane(**options)
    await pump(values, TEXTS, lane)
    return lane


# Pieces


@pytest.mark.parametrize(
    ("steps", "pieces"),
    [
        ([], []),
        ([None], []),
        (["a"], [["a"]]),
        (["a", "b", "c"], [["a", "b", "c"]]),
        (["a", None, "b", "c"], [["a"], ["b", "c"]]),
        ([None, None, "a", "b", None, None, "c", None], [["a", "b"], ["c"]]),
        (["x"] * 500, [["x"] * 500]),
    ],
)
async def test_values_between_two_suspensions_are_one_piece(steps: list[str | None], pieces: list[list[str]]) -> None:
    """Values that are yielded without awaiting are one write. Awaiting without values is none."""
    lane = await pumped(scripted(steps))
    assert lane.pieces == pieces


@pytest.mark.parametrize(
    "wait",
    [
        pytest.param(lambda: asyncio.sleep(0), id="sleep(0)"),
        pytest.param(lambda: asyncio.sleep(0.001), id="sleep"),
        pytest.param(lambda: asyncio.to_thread(int), id="thread"),
        pytest.param(lambda: asyncio.create_task(asyncio.sleep(0)), id="task"),
        pytest.param(checkpoint, id="anyio"),
    ],
)
async def test_what_has_gathered_is_written_before_a_wait(wait: Callable[[], Awaitable[object]]) -> None:
    """While the generator awaits, everything that it has yielded is on the lane."""
    lane, seen = RecordingLane(), []

    async def values() -> Values:
        yield "a"
        yield "b"
        asyncio.get_running_loop().call_soon(lambda: seen.append(lane.values))
        await wait()
        yield "c"

    await pump(values(), TEXTS, lane)
    assert seen == [["a", "b"]]
    assert lane.values == ["a", "b", "c"]


@given(
    steps=st.lists(st.none() | st.sampled_from([0, 1, 125, 126, 255, 256, 1000, PIECE, 70_000]), max_size=60),
    repeat=st.integers(1, 5),
    room=st.none() | st.integers(1, 3 * PIECE),
)
def test_everything_arrives_in_order(steps: list[int | None], repeat: int, room: int | None) -> None:
    """For any mix of values, sizes, waits and clients, all values arrive in order, and none is held back."""
    texts = [None if size is None else f"{at}:".ljust(size, "x") for at, size in enumerate(steps * repeat)]

    async def run() -> None:
        lane = RecordingLane(room)
        expected: list[str] = []

        async def values() -> Values:
            for text in texts:
                if text is None:
                    await asyncio.sleep(0)
                    assert lane.values == expected
                else:
                    expected.append(text)
                    yield text

        await pump(values(), TEXTS, lane)
        assert lane.values == [text for text in texts if text is not None]
        assert lane.traffic.messages == len(expected)
        assert lane.traffic.bytes == sum(map(len, lane.written))

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, 100, 255, 256, 1000, PIECE - 1, PIECE, 100_000])
async def test_pieces_are_bounded(size: int) -> None:
    """A piece has less than twice the bytes at which it is written, except for one large value at its end."""
    lane = await pumped(scripted(["x" * size] * 500))
    before_the_last = [sum(len(frame(*each)) for each in list(messages(piece))[:-1]) for piece in lane.written]
    assert max(before_the_last) < 2 * PIECE


# Letting others run


async def test_first_values_leave_early(clock: Clock) -> None:
    """The first piece of a generator that never awaits is small: the client works while other values are made."""

    async def values() -> Values:
        for number in range(2000):
            clock.now += SLICE / 500
            yield str(number)

    lane = await pumped(values())
    first, second, *_ = map(len, lane.pieces)
    assert SLICE / 500 * first < 2 * FIRST_SLICE
    assert second > 2 * first


@pytest.mark.parametrize("slices_per_value", [0, 0.001, 0.01, 0.1, 0.9, 1, 20])
async def test_others_have_their_turns(clock: Clock, slices_per_value: float) -> None:
    """A generator that never awaits pauses within three slices of time, or at each value, and not more often."""
    had = [clock.now]

    async def other() -> None:
        while True:
            had.append(clock.now)
            await asyncio.sleep(0)

    async def values() -> Values:
        for number in range(2000):
            clock.now += slices_per_value * SLICE
            yield str(number)

    others = asyncio.create_task(other())
    lane = await pumped(values())
    others.cancel()
    assert lane.values == [str(number) for number in range(2000)]
    slices_between = [(later - earlier) / SLICE for earlier, later in pairwise([*had, clock.now])]
    assert max(slices_between) < 1.01 * max(3, slices_per_value)
    assert len(had) <= 2000 * slices_per_value + 2


@pytest.mark.parametrize("blocked_at", [0, 1, 10, 127, 500])
async def test_blocked_lane_stops_the_generator(blocked_at: int) -> None:
    """A generator whose client does not read yields at most 64 more values. It continues when there is room."""
    lane, yielded = RecordingLane(), 0

    async def values() -> Values:
        nonlocal yielded
        for number in range(1000):
            if number == blocked_at:
                lane.block()
            yielded += 1
            yield str(number)

    run = asyncio.create_task(pump(values(), TEXTS, lane))
    await turns(20)
    assert blocked_at < yielded <= blocked_at + 64
    assert len(lane.values) == yielded
    lane.unblock()
    await run
    assert lane.values == [str(number) for number in range(1000)]


# How a run ends


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("suspends", [False, True])
async def test_closing_lane_ends_the_run(clock: Clock, suspends: bool, blocked: bool) -> None:
    """A generator ends soon after its client has left; its ``finally`` block has run."""
    clock.step = SLICE / 10
    lane, yielded, ended = RecordingLane(), 0, False

    async def values() -> Values:
        nonlocal yielded, ended
        try:
            for number in range(10_000):
                yielded += 1
                yield str(number)
                if suspends:
                    await asyncio.sleep(0)
                if number == 100:
                    lane.block() if blocked else lane.shut()
        finally:
            await asyncio.sleep(0)
            ended = True

    run = asyncio.create_task(pump(values(), TEXTS, lane))
    await until(lambda: run.done() or not lane.writable())
    lane.shut()
    await run
    assert ended
    assert yielded < 2000


@pytest.mark.parametrize("place", ["wait", "yield"])
async def test_cancelling_ends_the_generator_where_it_stands(place: str) -> None:
    """A generator that awaits or yields sees the cancellation. Its ``finally`` block has run, with its own waits."""
    lane = RecordingLane()
    events: list[object] = []

    async def values() -> Values:
        try:
            yield "a"
            if place == "wait":
                await asyncio.Event().wait()
            lane.block()
            while True:
                yield "b"
        except BaseException as error:
            events.append(type(error))
            raise
        finally:
            await asyncio.sleep(0)
            events.append("ended")

    run = asyncio.create_task(pump(values(), TEXTS, lane))
    await turns(5)
    assert lane.values[:1] == ["a"]
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    assert events == [asyncio.CancelledError, "ended"]


async def test_cancelling_while_the_generator_cleans_up() -> None:
    """A cancellation also reaches a ``finally`` block that awaits."""
    lane, events = RecordingLane(), []

    async def values() -> Values:
        try:
            lane.block()
            lane.shut()
            yield "a"
            await asyncio.Event().wait()
        finally:
            try:
                events.append("cleaning up")
                await asyncio.Event().wait()
            finally:
                events.append("ended")

    run = asyncio.create_task(pump(values(), TEXTS, lane))
    await turns(5)
    run.cancel()
    await until(lambda: events == ["cleaning up"])
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    assert events == ["cleaning up", "ended"]


async def test_last_words_of_a_cancelled_generator() -> None:
    """A value that a generator yields in answer to its cancellation is written; the cancellation takes effect."""
    lane = RecordingLane()

    async def values() -> Values:
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            yield "bye"

    run = asyncio.create_task(pump(values(), TEXTS, lane))
    await turns(5)
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    assert lane.values == ["a", "bye"]


async def test_cancelled_generator_that_goes_on_is_closed() -> None:
    """A generator that catches its cancellation and keeps yielding is ended."""
    lane, yielded = RecordingLane(), 0

    async def values() -> Values:
        nonlocal yielded
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            for number in range(1000):
                yielded += 1
                yield str(number)

    run = asyncio.create_task(pump(values(), TEXTS, lane))
    await turns(5)
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    assert yielded <= 64


async def test_generator_that_cannot_be_closed() -> None:
    """A generator that yields while it is closed gets Python's error for that."""
    lane = RecordingLane()

    async def values() -> Values:
        lane.block()
        for _ in range(3):
            with suppress(asyncio.CancelledError, GeneratorExit):
                yield "a"
        yield "bye"

    run = asyncio.create_task(pump(values(), TEXTS, lane))
    await turns(5)
    lane.shut()
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        await run


class Odd(BaseException):
    """An exception that is not an ``Exception``."""


@pytest.mark.parametrize("error", [ValueError("wrong"), asyncio.CancelledError(), TimeoutError(), Odd()])
@pytest.mark.parametrize("suspends", [False, True])
async def test_exception_passes_after_the_values_before_it(error: BaseException, suspends: bool) -> None:
    """The exception of a generator ends the run, unchanged, after everything before it was written."""
    lane = RecordingLane()

    async def values() -> Values:
        yield "a"
        yield "b"
        if suspends:
            await asyncio.sleep(0)
        raise error

    with pytest.raises(type(error)) as raised:
        await pump(values(), TEXTS, lane)
    assert raised.value is error
    assert lane.values == ["a", "b"]


@dataclass(frozen=True)
class Frozen(Exception):
    """An exception that takes no attributes."""

    item: str = "tea"


async def test_frozen_exception_passes() -> None:
    """An exception that takes no attributes passes as it is: what closes the generator must not set its traceback."""

    async def values() -> Values:
        yield "milk"
        raise Frozen

    with pytest.raises(Frozen):
        await pump(values(), TEXTS, RecordingLane())


async def test_value_that_cannot_be_encoded() -> None:
    """The error names the value. Values before it were written, and the generator is closed."""
    lane, events = RecordingLane(), []

    async def values() -> Values:
        try:
            yield "a"
            yield "\ud800"
        finally:
            events.append("ended")

    with pytest.raises(UnicodeEncodeError) as raised:
        await pump(values(), TEXTS, lane)
    assert raised.value.__notes__ == ["while encoding the value '\\ud800'"]
    assert lane.values == ["a"]
    assert events == ["ended"]


# Kinds of iterators


async def with_timeout() -> Values:
    """Get cancelled by its own timeout."""
    try:
        async with asyncio.timeout(0):
            yield "a"
            await asyncio.Event().wait()
    except TimeoutError:
        yield "b"


async def with_tasks() -> Values:
    """Have tasks of its own."""
    async with asyncio.TaskGroup() as group:
        for text in "ab":
            yield await group.create_task(asyncio.sleep(0, text))


async def with_failing_tasks() -> Values:
    """Get cancelled by the failure of its own task."""

    async def fail() -> None:
        raise ValueError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            yield "a"
            await asyncio.Event().wait()
    except* ValueError:
        pass
    yield "b"


async def with_cancel_scope() -> Values:
    """Get cancelled by its own scope."""
    with anyio.CancelScope() as scope:
        yield "a"
        scope.cancel()
        await asyncio.Event().wait()
    yield "b"


async def with_deadline() -> Values:
    """Get cancelled by anyio's timeout."""
    with anyio.move_on_after(0):
        yield "a"
        await asyncio.Event().wait()
    yield "b"


class Letters:
    """An async iterator that is not a generator and has no ``aclose``."""

    def __init__(self) -> None:
        self._letters = iter("ab")

    def __aiter__(self) -> Values:
        return self

    async def __anext__(self) -> str:
        try:
            return next(self._letters)
        except StopIteration:
            raise StopAsyncIteration from None


@pytest.mark.parametrize(
    "values", [with_timeout, with_tasks, with_failing_tasks, with_cancel_scope, with_deadline, Letters]
)
async def test_every_kind_of_iterator_runs(values: Callable[[], Values]) -> None:
    """Generators may use everything in asyncio and anyio, and iterators need not be generators."""
    assert (await pumped(values())).values == ["a", "b"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
