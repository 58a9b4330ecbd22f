"""The fake clock: time stands still for the app until the test lets it pass."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from math import inf, nan

import pytest
import uvloop
from anyio import to_thread
from fastapi import Depends, FastAPI, HTTPException
from starlette.types import Receive, Scope, Send

from tests.exchanges import Exchange
from wirespeed import Identity, Live, Settings
from wirespeed.testing import Closed, SubscriptionEnded, assert_next, clock, connect, lifespan, multiplexed

pytestmark = pytest.mark.anyio


async def ticks(app: FastAPI, **options: float) -> None:
    """Give an app a feed that counts seconds."""
    live = Live(app, settings=Settings(**options))  # type: ignore[arg-type]

    @live.feed("/ticks", linger=10, keep=100)
    async def count() -> AsyncIterator[int]:
        number = 0
        while True:
            yield (number := number + 1)
            await asyncio.sleep(1)


# The clock alone


async def test_time_stands_still() -> None:
    """No time passes by itself, for the loop and for the calendar, and it goes on afterwards without a jump back."""
    loop = asyncio.get_running_loop()
    async with clock() as fake:
        assert (loop.time(), time.time()) == (loop.time(), time.time())
        before, today = loop.time(), time.time()
        await fake.advance(3600)
        assert loop.time() - before == pytest.approx(3600)
        assert time.time() - today == pytest.approx(3600)
        assert fake.passed == 3600
        after = loop.time()
    assert loop.time() >= after
    assert time.time() - today < 3600
    async with clock():
        assert loop.time() >= after


async def test_each_timer_rings_at_its_time() -> None:
    """Timers that were set before the clock, and during it, ring in their order, with everything that follows."""
    loop, heard = asyncio.get_running_loop(), list[tuple[str, float]]()

    async def note(name: str, *pauses: float) -> None:
        for pause in pauses:
            await asyncio.sleep(pause)
            heard.append((name, round(loop.time() - began, 3)))

    before = asyncio.create_task(note("before", 100))
    await asyncio.sleep(0)
    async with clock() as fake:
        began = loop.time()
        tasks = [asyncio.create_task(note("a", 1, 2)), asyncio.create_task(note("b", 2, 2.5))]
        await fake.advance(2)
        assert heard == [("a", 1), ("b", 2)]
        await fake.advance(2)
        await fake.advance(0.5)
        assert heard[2:] == [("a", 3), ("b", 4.5)]
        await fake.advance(100)
        assert heard[-1][0] == "before"
        await asyncio.gather(before, *tasks)


async def test_worker_threads_are_waited_for() -> None:
    """Work in a thread, such as that of a sync dependency, is done when advance returns."""
    done: list[str] = []
    go = threading.Event()

    def work() -> None:
        assert go.wait(60)
        done.append("worked")

    async with clock() as fake:
        task = asyncio.create_task(to_thread.run_sync(work))
        threading.Timer(0.05, go.set).start()
        await fake.advance(2)
        assert done == ["worked"]
        await task


async def test_loop_that_never_waits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that keeps the loop busy is named, instead of a test that hangs."""
    monkeypatch.setattr("wirespeed.testing.fake_clock.MOST_TURNS", 100)

    async def spin() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async with clock() as fake:
        task = asyncio.create_task(spin())
        with pytest.raises(RuntimeError, match="busy for 100 turns"):
            await fake.advance(1)
        task.cancel()


async def test_until_something_holds() -> None:
    """Time passes from timer to timer until something holds, and no further."""
    done: list[int] = []
    loop = asyncio.get_running_loop()
    async with clock() as fake:
        for seconds in (1, 2, 3):
            loop.call_later(seconds, done.append, seconds)
        assert await fake.advance_until(lambda: len(done) == 2, within=10)
        assert done == [1, 2]
        assert fake.passed == 2
        assert not await fake.advance_until(lambda: len(done) == 3, within=0.5)
        assert await fake.advance_until(lambda: len(done) == 3, within=10)
        assert not await fake.advance_until(lambda: False, within=10)
        assert fake.passed == 3, "no timer is left"


async def test_tasks_let_time_pass_one_after_the_other(app: FastAPI) -> None:
    """Two tasks that let time pass at once, as two clients that leave do, are not taken for a loop that never waits."""
    Live(app).topic("/news", int)
    async with lifespan(app), clock() as fake:
        async with connect(app, "/news") as one, connect(app, "/news") as other:
            await asyncio.gather(one.disconnect(), other.disconnect())
        await asyncio.gather(fake.advance(1), fake.advance(2))
        assert fake.passed == 3


async def test_wrong_use() -> None:
    """Time does not go back or pass forever, and a loop has one clock."""
    async with clock() as fake:
        with pytest.raises(ValueError, match="back"):
            await fake.advance(-1)
        for seconds in (inf, nan):
            with pytest.raises(ValueError, match=f"for {seconds} seconds"):
                await fake.advance(seconds)
        with pytest.raises(RuntimeError, match="already"):
            async with clock():
                pass


async def test_other_threads_have_no_clock_of_their_own() -> None:
    """A second clock would end with the calendar of the first one in place, and is refused, in any event loop."""

    async def second() -> None:
        async with clock():
            pass

    real = time.time
    async with clock():
        with pytest.raises(RuntimeError, match="already in this process"):
            await to_thread.run_sync(asyncio.run, second())
    assert time.time is real


def test_other_loops_are_refused() -> None:
    """The error says what to do without asyncio's own loop."""

    async def enter() -> None:
        async with clock():
            pass

    with (
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(RuntimeError, match="without uvloop"),
    ):
        runner.run(enter())


# With an app


async def test_deliveries_take_no_time(app: FastAPI) -> None:
    """Values reach clients while time stands still, one after the other, on each kind of connection."""
    live = Live(app)
    news, state = live.topic("/news", int), live.topic("/state", int, keep="latest")
    async with lifespan(app), clock() as fake, multiplexed(app) as client, connect(app, "/news") as raw:
        subscriptions = [await client.subscribe("news"), await client.subscribe("state")]
        for number in range(50):
            news.publish(number)
            state.publish(number)
            for each in subscriptions:
                await assert_next(each, number)
            await assert_next(raw, number)
        assert fake.passed == 0


async def test_generators_sleep_on_the_clock(app: FastAPI) -> None:
    """A feed's generator yields as many values as time has passed for, and no more."""
    await ticks(app)
    async with lifespan(app), clock() as fake, multiplexed(app) as client:
        subscription = await client.subscribe("ticks")
        await assert_next(subscription, 1)
        await fake.advance(3)
        assert subscription.waiting == 3
        await assert_next(subscription, 2, 3, 4)
        await fake.advance(0.5)
        assert subscription.waiting == 0


async def test_rates(app: FastAPI) -> None:
    """With ``max_rate``, a client gets the newest value once per interval."""
    live = Live(app)
    state = live.topic("/state", int, keep="latest", max_rate=1)
    async with lifespan(app), clock() as fake, multiplexed(app) as client:
        subscription = await client.subscribe("state")
        for number in range(1, 4):
            state.publish(number)
            await fake.advance(0.25)
        await assert_next(subscription, 1)
        assert subscription.waiting == 0
        await fake.advance(0.25)
        await assert_next(subscription, 3)


async def test_linger(app: FastAPI) -> None:
    """A feed goes on for its ``linger`` after the last watcher, and then begins again."""
    await ticks(app)
    async with lifespan(app), clock() as fake:
        async with connect(app, "/ticks") as client:
            await assert_next(client, 1)
        await fake.advance(9)
        async with connect(app, "/ticks") as client:
            await fake.advance(1)
            await assert_next(client, 11)
        await fake.advance(10)
        async with connect(app, "/ticks") as client:
            await assert_next(client, 1)


async def test_retained_values_expire(app: FastAPI) -> None:
    """Entries leave a log with a duration when their time is over."""
    live = Live(app)
    news = live.topic("/news", int, keep=timedelta(seconds=10))
    async with lifespan(app), clock() as fake, multiplexed(app) as client:
        news.publish(1)
        await fake.advance(6)
        news.publish(2)
        assert [each.value for each in await client.history("news")] == [1, 2]
        await fake.advance(6)
        assert [each.value for each in await client.history("news")] == [2]


async def test_heartbeats(app: FastAPI) -> None:
    """A quiet response gets comments."""
    live = Live(app, settings=Settings(heartbeat_interval=20))
    live.topic("/news", int)
    async with (
        lifespan(app),
        clock() as fake,
        Exchange(app, "/news", {"accept": "text/event-stream"}) as events,
    ):
        await fake.advance(60)
        assert all([(await events.block()).startswith(":") for _ in range(2)])


async def test_pings(app: FastAPI) -> None:
    """A client answers the server's pings; one that is paused is disconnected."""
    live = Live(app)
    live.topic("/news", int)
    async with lifespan(app), clock() as fake, multiplexed(app) as client:
        await fake.advance(600)
        await client.subscribe("news")
        client.pause()
        await fake.advance(600)
        client.resume()
        assert (await client.closed()).code in (3012, 1006)


async def test_guards_are_checked_again(app: FastAPI) -> None:
    """With ``recheck``, a client whose guard refuses later is refused then."""
    live, admitted = Live(app), [True]

    def guard() -> None:
        if not admitted[0]:
            raise HTTPException(403, "Not any more.")

    live.topic("/news", int, dependencies=[Depends(guard)], recheck=60)
    async with lifespan(app), clock() as fake, multiplexed(app) as client:
        subscription = await client.subscribe("news")
        await fake.advance(120)
        admitted[0] = False
        assert subscription.ended_by is None
        await fake.advance(60)
        with pytest.raises(SubscriptionEnded) as ended:
            await subscription.receive()
        assert ended.value.status == 403


async def test_identities_expire(app: FastAPI) -> None:
    """A connection ends when its identity has expired, on the calendar of the clock."""

    async def identify(token: str, connection: object) -> Identity:
        return Identity(user="ada", expires_at=time.time() + 60)

    Live(app, authenticate=identify)
    async with lifespan(app), clock() as fake, multiplexed(app) as client:
        await fake.advance(59)
        await client.refresh("token")
        await fake.advance(59)
        await client.refresh("token")
        await fake.advance(600)
        assert (await client.closed()).code == 3005


async def test_waits_of_the_test_take_real_time(app: FastAPI) -> None:
    """A receive does not hang while time stands still; its failure says what may be missing."""
    live = Live(app)
    live.topic("/news", int)
    async with lifespan(app), clock(), connect(app, "/news", timeout=0.01) as client:
        with pytest.raises(TimeoutError):
            await client.receive()
        with pytest.raises(AssertionError, match=r"time stands still: is an `await time.advance\(...\)` missing"):
            await assert_next(client, 1, timeout=0.01)


async def test_app_stops_while_time_stands_still(app: FastAPI) -> None:
    """The end of the app and of connections lets time pass as far as they need it."""

    async def stopping(scope: Scope, receive: Receive, send: Send) -> None:
        """Take five seconds to leave."""
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await asyncio.sleep(5)

    async with clock() as fake:
        async with connect(stopping, "/"):
            pass
        assert fake.passed == 5
        Live(app)
        async with lifespan(app), multiplexed(app) as client:
            pass
        with pytest.raises(Closed):
            await client.call("a")


@pytest.mark.parametrize("seconds", [5, 0.1, 1 / 3])
async def test_passed_has_no_rounding_errors(seconds: float) -> None:
    """The seconds that have passed are those of all advances, whatever the loop's time was."""
    async with clock() as fake:
        for _ in range(100):
            await fake.advance(seconds)
        assert fake.passed == round(100 * seconds, 6)
