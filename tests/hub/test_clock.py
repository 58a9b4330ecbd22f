"""The clock: at once after a quiet period, together under load, in slices, and fair; and slower watchers' rates."""

import asyncio
import logging
import signal
from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.lanes.turns import turns
from wirespeed.hub.clock import FRAME_RATE, MANY, RATES, SLICE, Clock, Pace, Turn, rate_class
from wirespeed.settings import Settings

SHORTEST, LONGEST = Settings().min_pause, Settings().max_pause

pytestmark = pytest.mark.anyio

A_LITTLE = 0.0001


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


@pytest.fixture
async def loop(monkeypatch: pytest.MonkeyPatch) -> SteppedLoop:
    """Return the loop; costs are measured in its time as well."""
    loop = running()
    monkeypatch.setattr("wirespeed.hub.clock.perf_counter", loop.time)
    monkeypatch.setattr("wirespeed.hub.clock.thread_time", lambda: loop.cpu)
    return loop


@pytest.fixture
async def clock(loop: SteppedLoop) -> Clock:
    """Return a clock of that loop."""
    return Clock(loop)


class Work(Turn):
    """An object with news, which takes some steps of some seconds each."""

    def __init__(
        self,
        loop: SteppedLoop,
        steps: int = 1,
        cost: float = 0.0,
        done: list[str] | None = None,
        told: Callable[[], object] = lambda: None,
    ) -> None:
        self.loop = loop
        self.told = told
        self.steps = steps
        self.cost = cost
        self.name = ""
        self.done = [] if done is None else done
        self.begun: list[float] = []
        self.left = 0

    def begin(self) -> None:
        self.begun.append(self.loop.now)
        self.left = self.steps

    def step(self) -> bool:
        self.loop.work(self.cost)
        self.told()
        self.left -= 1
        self.done.append(self.name)
        return self.left > 0


# Rounds


async def test_first_news_is_told_in_the_next_turn(loop: SteppedLoop, clock: Clock) -> None:
    """After a quiet period, news waits only for the loop; so does news after the next quiet period."""
    work = Work(loop)
    for count in (1, 2):
        clock.wake(work)
        assert len(work.begun) == count - 1
        await turns(1)
        assert len(work.begun) == len(work.done) == count
        await loop.pass_time(1)


async def test_news_gathers_after_a_round(loop: SteppedLoop, clock: Clock) -> None:
    """News soon after a round is written in one further round, four milliseconds after it."""
    first, second = Work(loop), Work(loop)
    clock.wake(first)
    await turns(1)
    clock.wake(second)
    await loop.pass_time(SHORTEST / 2)
    clock.wake(first)
    await loop.pass_time(SHORTEST / 2 - A_LITTLE)
    assert (len(first.begun), len(second.begun)) == (1, 0)
    await loop.pass_time(2 * A_LITTLE)
    assert first.begun[1:] == second.begun == [pytest.approx(first.begun[0] + SHORTEST)]


async def gap_after(loop: SteppedLoop, clock: Clock, work: Work) -> float:
    """Return the seconds from the end of a round until the next one."""
    clock.wake(work)
    while len(work.done) < work.steps:
        await turns(1)
    end = loop.now
    work.cost = 0.0
    clock.wake(work)
    while len(work.begun) < 2:
        await loop.pass_time(A_LITTLE)
    return work.begun[1] - end


@pytest.mark.parametrize(
    ("cost", "gap"), [(0.0, SHORTEST), (0.001, SHORTEST), (0.01, 0.01), (0.03, 0.03), (1, LONGEST)]
)
@pytest.mark.parametrize(("values", "factor"), [(1, 1), (MANY - 1, 1), (MANY, 1.5), (1000, 1.5)])
async def test_gap_is_what_the_round_has_cost(
    loop: SteppedLoop, clock: Clock, cost: float, gap: float, values: int, factor: float
) -> None:
    """At most half of the time goes into rounds, less if writes carry many values; the next one is never far."""
    work = Work(loop, cost=cost, told=lambda: clock.note(1, values))
    expected = min(max(factor * cost, SHORTEST), LONGEST)
    assert gap <= expected <= max(1.5 * gap, SHORTEST)
    assert await gap_after(loop, clock, work) == pytest.approx(expected, abs=2 * A_LITTLE)


async def test_all_slices_of_a_round_count(loop: SteppedLoop, clock: Clock) -> None:
    """A round of many slices costs as much as all of them."""
    work = Work(loop, steps=10, cost=SLICE, told=lambda: clock.note(1, 1))
    assert await gap_after(loop, clock, work) == pytest.approx(10 * SLICE, abs=2 * A_LITTLE)


async def test_waiting_for_the_processor_costs_nothing(loop: SteppedLoop, clock: Clock) -> None:
    """On a busy machine a round takes longer than it works: only its work counts."""

    def told() -> None:
        clock.note(1, 1)
        loop.now += 0.5

    work = Work(loop, steps=5, cost=0.002, told=told)
    assert await gap_after(loop, clock, work) == pytest.approx(0.01, abs=2 * A_LITTLE)


async def test_cheap_round_after_a_costly_one(loop: SteppedLoop, clock: Clock) -> None:
    """The gap follows the last round, not an earlier one."""
    work = Work(loop, cost=0.04)
    for _ in range(2):
        clock.wake(work)
        await loop.pass_time(0.1)
        work.cost = 0.0
    clock.wake(work)
    await turns(1)
    clock.wake(work)
    await loop.pass_time(SHORTEST)
    assert len(work.begun) == 4


async def test_others_run_between_slices(loop: SteppedLoop, clock: Clock) -> None:
    """A long round runs for two milliseconds at a time."""
    work = Work(loop, steps=10, cost=SLICE * 0.6)
    clock.wake(work)
    done = []
    for _ in range(5):
        await turns(1)
        done.append(len(work.done))
    assert done == [2, 4, 6, 8, 10]


async def test_turns_are_fair(loop: SteppedLoop, clock: Clock) -> None:
    """Objects with much news do not make others wait until they have finished."""
    done: list[str] = []
    for name, steps in (("a", 4), ("b", 2), ("c", 1)):
        work = Work(loop, steps, done=done)
        work.name = name
        clock.wake(work)
    await turns(1)
    assert "".join(done) == "abcabaa"


async def test_news_during_a_round_waits_for_the_next(loop: SteppedLoop, clock: Clock) -> None:
    """A round ends, whatever arrives meanwhile."""
    work, other = Work(loop, steps=4, cost=SLICE), Work(loop)
    clock.wake(work)
    await turns(2)
    clock.wake(other)
    clock.wake(work)
    await turns(2)
    assert (len(work.done), len(work.begun), other.begun) == (4, 1, [])
    await loop.pass_time(LONGEST)
    assert (len(work.begun), len(other.begun)) == (2, 1)


async def test_flush_tells_everything_now(loop: SteppedLoop, clock: Clock) -> None:
    """A flush waits for neither slices nor gaps, and writes nothing twice."""
    half_done, waiting = Work(loop, steps=4, cost=SLICE), Work(loop, steps=2)
    clock.wake(half_done)
    await turns(1)
    clock.wake(waiting)
    clock.flush()
    assert (len(half_done.done), len(waiting.done)) == (4, 2)
    await loop.pass_time(1)
    assert (len(half_done.begun), len(waiting.begun)) == (1, 1)


async def test_clock_goes_on_after_a_flush(loop: SteppedLoop, clock: Clock) -> None:
    """News after a flush is written as before."""
    work = Work(loop)
    clock.wake(work)
    clock.flush()
    clock.wake(work)
    await loop.pass_time(LONGEST)
    assert len(work.begun) == 2


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1), asyncio.CancelledError()], ids=repr)
async def test_failure_is_logged_and_stops_nobody(
    loop: SteppedLoop, clock: Clock, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """An object that fails does not keep others from their news, now and later."""

    class Broken(Work):
        steps_begun = 0

        def step(self) -> bool:
            self.steps_begun += 1
            raise error

    work, broken = Work(loop), Broken(loop)
    for count in (1, 2):
        clock.wake(broken)
        clock.wake(work)
        await loop.pass_time(LONGEST)
        assert len(work.done) == count
        assert broken.steps_begun == count * 1001  # no round goes on forever
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_clock_goes_on_after_an_interrupt(
    loop: SteppedLoop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a turn ends, the clock arranges the next one: here, Ctrl-C passes, and all news is written after it."""
    errors: list[BaseException] = [KeyboardInterrupt()]

    def interrupt() -> None:
        if errors:
            raise errors.pop()

    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)
    interrupted, work = Work(loop, told=interrupt), Work(loop)
    clock.wake(interrupted)
    clock.wake(work)
    with pytest.raises(KeyboardInterrupt):
        clock.flush()
    await turns(2)
    assert (len(interrupted.done), len(work.done)) == (1, 1)


async def test_turn_that_fails_goes_on(loop: SteppedLoop, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A failure in a turn does not end it: later objects are served in the same round."""

    class Partly(Work):
        def step(self) -> bool:
            goes_on = super().step()
            if self.left in (3, 1):
                raise ValueError("broken")
            return goes_on

    work = Partly(loop, steps=5)
    clock.wake(work)
    await turns(1)
    assert len(work.done) == 5
    assert len(work.begun) == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


# Objects that come last


def last_of(loop: SteppedLoop, done: list[str], steps: int = 1, name: str = "z", cost: float = 0.0) -> Work:
    """Return an object that comes after all others; it only continues, and never begins."""
    work = Work(loop, steps, cost, done)
    work.name, work.left = name, steps
    return work


def named(loop: SteppedLoop, done: list[str], name: str, steps: int, cost: float = 0.0) -> Work:
    """Return an object with news."""
    work = Work(loop, steps, cost, done)
    work.name = name
    return work


async def test_last_comes_after_all_others(loop: SteppedLoop, clock: Clock) -> None:
    """It comes last, whenever it was woken and however much the others have; it gets no notice of its turn."""
    done: list[str] = []
    last = last_of(loop, done, steps=2)
    clock.wake_last(last)
    clock.wake(named(loop, done, "a", 3))
    clock.wake(named(loop, done, "b", 1))
    await turns(1)
    assert "".join(done) == "abaazz"
    assert last.begun == []


async def test_last_of_a_round_that_goes_on(loop: SteppedLoop, clock: Clock) -> None:
    """An object that becomes due in the middle of a round is served at its end, not in the next one."""
    done: list[str] = []
    first = named(loop, done, "a", 2, cost=SLICE)
    first.told = lambda: clock.wake_last(last_of(loop, done)) if not done else None
    clock.wake(first)
    begun = loop.now
    await turns(3)
    assert "".join(done) == "aaz"
    assert loop.now - begun == pytest.approx(2 * SLICE)


async def test_last_alone(loop: SteppedLoop, clock: Clock) -> None:
    """If nothing else is due, it is served in the loop's next turn, or as soon as the next round may begin."""
    done: list[str] = []
    clock.wake_last(last_of(loop, done))
    await turns(1)
    assert done == ["z"]
    clock.wake_last(last_of(loop, done))
    await loop.pass_time(SHORTEST - A_LITTLE)
    assert done == ["z"]
    await loop.pass_time(2 * A_LITTLE)
    assert done == ["z", "z"]


async def test_last_ones_are_fair_and_sliced(loop: SteppedLoop, clock: Clock) -> None:
    """They take turns among themselves, and others run between their slices."""
    done: list[str] = []
    for name in "yz":
        clock.wake_last(last_of(loop, done, steps=2, name=name, cost=0.6 * SLICE))
    await turns(1)
    assert "".join(done) == "yz"
    await turns(1)
    assert "".join(done) == "yzyz"


async def test_news_waits_while_the_last_go_on(loop: SteppedLoop, clock: Clock) -> None:
    """A round ends with them: news that becomes due meanwhile belongs to the next one."""
    done: list[str] = []
    clock.wake_last(last_of(loop, done, steps=4, cost=SLICE))
    await turns(2)
    work = named(loop, done, "a", 1)
    clock.wake(work)
    await turns(4)
    assert "".join(done) == "zzzz"
    await loop.pass_time(LONGEST)
    assert "".join(done) == "zzzza"


async def test_flush_of_the_last(loop: SteppedLoop, clock: Clock) -> None:
    """They are served with everything else, at the end, and once."""
    done: list[str] = []
    clock.wake_last(last_of(loop, done, steps=2))
    clock.wake(named(loop, done, "a", 2))
    clock.flush()
    assert "".join(done) == "aazz"
    clock.wake_last(last_of(loop, done))
    clock.flush()
    await loop.pass_time(1)
    assert "".join(done) == "aazzz"


async def test_last_that_fails(loop: SteppedLoop, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and does not keep the others from their turns."""
    done: list[str] = []
    broken = last_of(loop, done, steps=3)
    broken.told = lambda: [].pop()
    clock.wake_last(broken)
    clock.wake_last(last_of(loop, done, name="y"))
    await turns(1)
    assert done == ["y"]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


# Rates


@pytest.mark.parametrize(
    ("asked", "given"), [(None, None), (1, 1), (1.9, 1), (2, 2), (9.99, 5), (59, 30), (60, 60), (1e9, 60)]
)
def test_rate_is_the_class_below(asked: float | None, given: int | None) -> None:
    """A client never receives more than it has asked for."""
    assert rate_class(asked) == given


@pytest.mark.parametrize("asked", [0, -1, 0.99, float("nan")])
def test_rate_below_all_classes_is_refused(asked: float) -> None:
    """The lowest rate is once per second."""
    with pytest.raises(ValueError, match="at least 1 per second"):
        rate_class(asked)


async def test_pace_begins_at_once(loop: SteppedLoop, clock: Clock) -> None:
    """After a quiet interval, news goes to the clock without waiting for a tick."""
    pace, work = Pace(loop, clock, 2), Work(loop)
    for count in (1, 2):
        pace.wake(work)
        await turns(3)
        assert len(work.begun) == count
        await loop.pass_time(0.6)


@pytest.mark.parametrize("rate", RATES)
async def test_pace_is_kept(loop: SteppedLoop, clock: Clock, rate: int) -> None:
    """An object with constant news is served as often as the rate says: not more, and not less."""
    pace, work = Pace(loop, clock, rate), Work(loop)
    for _ in range(300):
        if work.left == 0 and len(work.begun) == len(work.done):
            pace.wake(work)
            work.left = 1
        await loop.pass_time(0.01)
    assert 3 * rate - rate * 0.2 <= len(work.begun) <= 3 * rate + 1
    assert all(later - earlier >= 0.5 / rate - 1e-9 for earlier, later in pairwise(work.begun))


async def test_pace_is_kept_by_a_loop_that_stalls(loop: SteppedLoop, clock: Clock) -> None:
    """Missed ticks are not made up for in a burst."""
    pace, work = Pace(loop, clock, 10), Work(loop)
    begun = loop.now
    for stall in [0.01] * 20 + [0.25, 0.01, 0.01, 0.35, 0.01] + [0.01] * 50:
        if len(work.begun) == len(work.done) and work.left == 0:
            pace.wake(work)
            work.left = 1
        await loop.stall(stall)
    assert all(later - earlier >= 0.05 - 1e-9 for earlier, later in pairwise(work.begun))
    assert len(work.begun) <= (loop.now - begun) * 10 + 1


async def test_one_tick_is_for_all(loop: SteppedLoop, clock: Clock) -> None:
    """News between two ticks goes to the clock together."""
    pace, works = Pace(loop, clock, 1), [Work(loop) for _ in range(3)]
    pace.wake(Work(loop))
    await turns(3)
    for work in works:
        pace.wake(work)
        await loop.pass_time(0.2)
    assert [work.begun for work in works] == [[], [], []]
    await loop.pass_time(0.5)
    assert len({tuple(work.begun) for work in works}) == 1
    assert len(works[0].begun) == 1


async def test_pace_can_be_flushed(loop: SteppedLoop, clock: Clock) -> None:
    """Objects that wait for a tick can be passed on before it, once."""
    pace, work = Pace(loop, clock, 1), Work(loop)
    for count in (1, 2):
        pace.wake(work)
        pace.flush()
        clock.flush()
        assert len(work.begun) == count
    await loop.pass_time(3)
    pace.flush()
    clock.flush()
    assert len(work.begun) == 2


# After a round


async def test_callbacks_after_the_round(loop: SteppedLoop, clock: Clock) -> None:
    """A callback follows all steps of the round that writes the news of its moment; without news, it comes at once. One
    that raises does not keep the others."""
    done: list[str] = []

    def fail() -> None:
        done.append("fail")
        raise ValueError

    clock.after_round(lambda: done.append("at once"))
    work = Work(loop, steps=3, cost=SLICE, done=done)
    work.name = "step"
    clock.wake(work)
    clock.after_round(fail)
    clock.after_round(lambda: done.append("last"))
    assert done == ["at once"]
    await loop.pass_time(1)
    assert done == ["at once", "step", "step", "step", "fail", "last"]


async def test_callbacks_after_the_next_frame(loop: SteppedLoop, clock: Clock) -> None:
    """News for clients of many channels waits for a frame, and so does the callback; further news does not delay it."""
    done: list[str] = []
    frames = Pace(loop, clock, FRAME_RATE)
    work = Work(loop, done=done)
    work.name = "write"
    frames.wake(work)
    clock.after_round(lambda: done.append("after"))
    assert done == []
    await loop.pass_time(0.1)
    assert done == ["write", "after"]
    work.told = lambda: frames.wake(work) if len(done) < 20 else None
    frames.wake(work)
    clock.after_round(lambda: done.append("after"))
    await loop.pass_time(1)
    assert done[:4] == ["write", "after", "write", "after"]
    assert done.count("write") > 10
