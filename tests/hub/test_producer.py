"""Producers: a generator is started again when it raises, and ends when it is stopped."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.hub.watching import Source
from tests.lanes.turns import turns
from wirespeed.hub.producer import FIRST_DELAY, HEALTHY, LONGEST_DELAY, MOST_KINDS, Failures, Producer
from wirespeed.runs.outcome import Outcome, Refused

pytestmark = pytest.mark.anyio

REQUEST: ContextVar[str] = ContextVar("REQUEST")


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


@pytest.fixture
async def loop() -> SteppedLoop:
    """Return the loop of the test."""
    return running()


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the ranges from which delays were drawn; the longest delay is always drawn."""
    drawn: list[float] = []

    def longest(low: float, high: float) -> float:
        assert low == 0
        drawn.append(high)
        return high

    monkeypatch.setattr("wirespeed.hub.producer.random.uniform", longest)
    return drawn


class Produced:
    """A producer of a source, with records of its calls."""

    def __init__(self, source: Source | None = None) -> None:
        self.source = source or Source()
        self.values: list[str] = []
        self.told: list[str] = []
        self.producer = Producer(
            Failures("feed '/x' (x)"),
            self.run,
            lambda *_: self.told.append("failed"),
            lambda: self.told.append("completed"),
        )

    async def run(self) -> None:
        """Run the generator once."""
        async for value in self.source.values():
            self.values.append(value)


class Failing:
    """A run that fails at one of two places, with a different message each time."""

    def __init__(self) -> None:
        self.runs = 0
        self.elsewhere = False

    async def run(self) -> None:
        """Run once."""
        self.runs += 1
        if self.elsewhere:
            raise KeyError(self.runs)
        raise ValueError(f"run\n{self.runs}")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "completed"), (ValueError("broken"), "failed"), (LookupError("gone"), "refused")],
    ids=["completed", "failed", "refused"],
)
@pytest.mark.parametrize("place", ["before the outcome", "at the outcome", "at the end"])
async def test_trace_that_fails(
    error: Exception | None,
    outcome: str,
    place: str,
    loop: SteppedLoop,
    delays: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A run ends as its generator has ended, even if its trace fails; one that could not begin is started again."""
    told: list[str] = []

    def fail(at: str) -> None:
        if at == place:
            raise RuntimeError("no span")

    @contextmanager
    def trace() -> Iterator[Callable[[Outcome[None]], None]]:
        fail("before the outcome")
        yield lambda _: fail("at the outcome")
        fail("at the end")

    async def run() -> None:
        if error is not None:
            raise error

    producer = Producer(
        Failures("feed '/x' (x)"),
        run,
        lambda *_: told.append("failed"),
        lambda: told.append("completed"),
        lambda _: told.append("refused"),
        lambda raised: Refused(raised, 410) if isinstance(raised, LookupError) else None,
        _trace=trace,
    )
    await turns(5)
    expected = "failed" if place == "before the outcome" else outcome
    assert told == [expected]
    assert (producer.state == "waiting") == (expected == "failed")
    assert "no span" in caplog.text
    producer.stop()


async def test_failing_again_alike_is_one_line(
    loop: SteppedLoop, delays: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """The first failure has a traceback, similar ones one line each, for all keys; a different one has a traceback."""
    failing, failures = Failing(), Failures("feed '/x' (x)")
    producers = [Producer(failures, failing.run, lambda *_: None, lambda: None) for _ in range(2)]
    await turns(5)
    producers[0].stop()
    failing.elsewhere = True
    await loop.pass_time(delays[-1] + 0.001)
    await turns(5)
    producers[1].stop()
    await asyncio.wait([each.task for each in producers])
    records = [each for each in caplog.records if each.name == "wirespeed"]
    assert [each.exc_info is not None for each in records] == [True, False, True]
    assert records[1].getMessage() == (
        "feed '/x' (x): the generator failed and is started again, as before: ValueError: run 2"
    )


def failing_at(place: int) -> BaseException:
    """Return a failure at one of several places."""
    try:
        exec(compile("\n" * place + "raise ValueError", "code", "exec"))
    except ValueError as error:
        return error
    raise AssertionError


def test_many_failing_keys_leave_the_log_readable(caplog: pytest.LogCaptureFixture) -> None:
    """Keys that fail repeatedly, at several places in turn, log one line per second."""
    now = [0.0]
    failures = Failures("feed '/x' (x)", lambda: now[0])
    for _ in range(1000):
        for place in range(3):
            failures.log(failing_at(place), "failed")
    now[0] = 2.0
    failures.log(failing_at(0), "failed")
    assert [each.exc_info is not None for each in caplog.records] == [True, True, True, False, False]
    assert caplog.records[-1].getMessage().endswith("as before: ValueError: (2996 more since the last line)")


def test_failures_at_ever_new_places(caplog: pytest.LogCaptureFixture) -> None:
    """The number of tracebacks is bounded, even if no place fails twice."""
    failures = Failures("feed '/x' (x)", lambda: 0.0)
    for place in range(200):
        failures.log(failing_at(place), "failed")
    assert len(caplog.records) == MOST_KINDS + 1


async def test_run_goes_on_until_it_is_complete(loop: SteppedLoop) -> None:
    """A generator that ends by itself completes once, and is not started again."""
    produced = Produced()
    produced.source.give("a", "b", None)
    await produced.producer.task
    assert (produced.values, produced.told, produced.source.runs) == (["a", "b"], ["completed"], 1)


async def test_delays_grow(loop: SteppedLoop, delays: list[float]) -> None:
    """A generator that raises at once is started again after delays that double, with full jitter, up to a bound."""
    produced = Produced()
    for count in range(1, 11):
        produced.source.give(ValueError("broken"))
        await turns(5)
        assert produced.producer.state == "waiting"
        assert produced.source.runs == count
        await loop.pass_time(delays[-1] - 0.001)
        assert produced.source.runs == count
        await loop.pass_time(0.002)
        assert produced.source.runs == count + 1
        assert produced.producer.state == "running"
    assert delays == [min(FIRST_DELAY * 2**number, LONGEST_DELAY) for number in range(10)]
    assert produced.told == ["failed"] * 10
    produced.producer.stop()


async def test_healthy_run_is_started_again_soon(loop: SteppedLoop, delays: list[float]) -> None:
    """A failure after a long run starts with short delays again."""
    produced = Produced()
    for _ in range(3):
        produced.source.give(ValueError("broken"))
        await loop.pass_time(LONGEST_DELAY / 10)
    assert delays[-1] > FIRST_DELAY
    await loop.pass_time(HEALTHY)
    produced.source.give(ValueError("broken"))
    await turns(5)
    assert delays[-1] == FIRST_DELAY
    produced.producer.stop()


@pytest.mark.parametrize(
    "error",
    [ValueError("broken"), SystemExit(1), asyncio.CancelledError(), TimeoutError(), ExceptionGroup("", [OSError()])],
)
async def test_whatever_is_raised_ends_one_run(
    error: BaseException, loop: SteppedLoop, delays: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Any exception of a generator is logged with its feed, and ends neither the server nor the feed."""
    produced = Produced()
    produced.source.give(error)
    await loop.pass_time(1)
    produced.source.give("a", None)
    await produced.producer.task
    assert (produced.values, produced.told) == (["a"], ["failed", "completed"])
    (record,) = caplog.records
    assert "feed '/x' (x)" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_stop_cancels_the_generator(loop: SteppedLoop) -> None:
    """The generator is cancelled where it waits; the task is done after its finally blocks."""
    produced = Produced()
    await turns(3)
    produced.source.may_end.clear()
    for _ in range(2):
        produced.producer.stop()
        await turns(5)
    assert (produced.producer.state, produced.producer.task.done()) == ("stopping", False)
    produced.source.may_end.set()
    await asyncio.wait([produced.producer.task])
    assert (produced.source.open, produced.told) == (0, [])


async def test_stop_before_the_start(loop: SteppedLoop) -> None:
    """A producer that is stopped before its first turn never runs."""
    produced = Produced()
    produced.producer.stop()
    await asyncio.wait([produced.producer.task])
    assert produced.source.runs == 0


async def test_stop_while_it_waits(loop: SteppedLoop, delays: list[float]) -> None:
    """A producer that waits to be started again ends at once."""
    produced = Produced()
    produced.source.give(ValueError("broken"))
    await turns(5)
    produced.producer.stop()
    await asyncio.wait([produced.producer.task])
    assert produced.source.runs == 1


async def test_generator_that_fails_while_it_is_closed(
    loop: SteppedLoop, delays: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """A finally block that raises is logged; the run is over at once, without waiting for a restart."""
    produced = Produced()
    await turns(3)
    produced.source.fails_at_end = ValueError("in finally")
    produced.producer.stop()
    await asyncio.wait([produced.producer.task])
    assert (delays, produced.producer.state, produced.source.runs) == ([], "stopping", 1)
    assert "failed while it was closed" in caplog.text


async def test_generator_that_swallows_its_cancellation(loop: SteppedLoop) -> None:
    """A generator that ends normally upon its cancellation is complete."""
    told: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("swallowed")

    producer = Producer(Failures("x"), stubborn, lambda *_: told.append("failed"), lambda: told.append("completed"))
    await turns(3)
    producer.stop()
    await asyncio.wait([producer.task])
    assert told == ["swallowed", "completed"]


async def test_run_has_a_context_of_its_own(loop: SteppedLoop) -> None:
    """Context variables of the first watcher's request do not reach the feed."""
    seen: list[Any] = []

    async def looking() -> None:
        seen.append(REQUEST.get(None))

    REQUEST.set("of the first watcher")
    await Producer(Failures("x"), looking, lambda *_: None, lambda: None).task
    assert seen == [None]


async def test_failure_that_cannot_be_noted(loop: SteppedLoop, delays: list[float]) -> None:
    """A generator is started again even if its error is so odd that its failure cannot be noted."""
    runs: list[None] = []

    async def run() -> None:
        runs.append(None)
        if len(runs) == 1:
            raise ValueError("odd")

    def note(*_: object) -> None:
        raise TypeError("cannot be noted")

    producer = Producer(Failures("feed '/x' (x)"), run, note, lambda: None)
    await loop.pass_time(FIRST_DELAY)
    await producer.task
    assert len(runs) == 2
