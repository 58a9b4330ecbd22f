"""Crowds: the values that many watchers receive, and the cost of slow ones for the others."""

import asyncio
import gc

import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.types import Receive, Scope, Send

from tests.lanes.turns import until
from tests.waiting import PATIENCE
from wirespeed import Live, Settings
from wirespeed.testing import App, Crowd, HandshakeRefused, clock, lifespan

pytestmark = pytest.mark.anyio

SOON = 0.01
"""Seconds until the kit's timeouts, in tests of these."""


async def test_everyone_receives_everything(app: FastAPI, live: Live) -> None:
    """Each watcher of a log receives each value, and the figures say when."""
    news = live.topic("/news", int)
    async with lifespan(app):
        for number in range(5):
            news.publish(number)
        async with Crowd(app, "news", 30) as crowd:
            assert news.statistics().watchers == 30
            assert crowd.figures()[:6] == (30, 0, 0, 0, 0, 0)
            for number in range(10):
                news.publish(number)
            figures = await crowd.received(10)
            assert figures[:7] == (30, 300, 10, 0, 0, 0, {})
            assert figures.median is not None
            assert figures.p99 is not None
            assert figures.worst is not None
            assert 0 <= figures.median <= figures.p99 <= figures.worst
            assert str(figures).startswith("30 watchers received 300 values (median ")
        assert news.statistics().watchers == 0


async def test_slow_watchers_do_not_hold_others_back(app: FastAPI) -> None:
    """Watchers that accept nothing are behind, until they are released."""
    live = Live(app, settings=Settings(max_waiting_bytes=1000))
    news = live.topic("/news", int, keep=1000)
    async with lifespan(app), Crowd(app, "/news", 20, slow=3) as crowd:
        for number in range(100):
            news.publish(number)
        figures = await crowd.caught_up()
        assert (figures.behind, figures.fewest, figures.received) == (3, 100, 1700)
        crowd.release()
        figures = await crowd.received(100)
        assert (figures.behind, figures.fewest, figures.received) == (0, 100, 2000)


async def test_newest_values_skip(app: FastAPI, live: Live) -> None:
    """Values that are replaced by newer ones are counted, and everyone has the newest."""
    state = live.topic("/state/all", int, keep="latest")
    async with lifespan(app), Crowd(app, "state/all?max_rate=60", 10) as crowd:
        state.publish(0)
        await crowd.received(1)
        for number in range(1, 101):
            state.publish(number)
        figures = await crowd.caught_up()
        assert (figures.received, figures.skipped, figures.lost) == (20, 990, 0)


async def test_values_before_the_first_one_skip(app: FastAPI, live: Live) -> None:
    """Values that are replaced before a watcher has received any are counted, too."""
    state = live.topic("/state", int, keep="latest")
    async with lifespan(app), Crowd(app, "state", 10) as crowd:
        for number in range(100):
            state.publish(number)
        figures = await crowd.caught_up()
        assert (figures.received, figures.skipped, figures.lost) == (10, 990, 0)


async def test_losses_and_closes(app: FastAPI) -> None:
    """Lost values are those that the app reports; connections that it ends are counted by their codes."""
    live = Live(app, settings=Settings(max_waiting_bytes=100))
    skipping = live.topic("/skipping", str, keep=3, on_lag="skip")
    closing = live.topic("/closing", str, keep=3, on_lag="close")
    async with lifespan(app), Crowd(app, "skipping", 5, slow=2) as one, Crowd(app, "closing", 5, slow=2) as other:
        for number in range(50):
            skipping.publish(f"{number:0200}")
            closing.publish(f"{number:0200}")
            await one.caught_up()
            await other.caught_up()
        one.release()
        figures = await one.caught_up()
        assert figures.lost > 0
        assert figures.lost + figures.received == 250
        assert figures.skipped == 0
        other.release()
        await until(lambda: sum(other.figures().closed.values()) == 2)
        assert other.figures().closed == {1013: 2}
        assert "closed {1013: 2}" in str(other.figures())


async def test_feeds_of_bytes_and_streams_are_refused_as_by_a_server(app: FastAPI, live: Live) -> None:
    """A crowd that the app refuses does not begin, and its text says why."""

    def never() -> None:
        raise HTTPException(403, "Not you.")

    live.topic("/news", int, dependencies=[Depends(never)])
    live.topic("/bytes", bytes)
    async with lifespan(app):
        before = asyncio.all_tasks()
        for path, status, text in (
            ("news", 403, "Not you."),
            ("bytes", 422, "bytes"),
            ("nothing", 403, "refused with 403"),
        ):
            with pytest.raises(HandshakeRefused, match=text) as refused:
                async with Crowd(app, path, 3):
                    pass
            assert refused.value.status == status
        await until(lambda: asyncio.all_tasks() == before)


async def test_of_many_latencies_there_is_a_sample(app: FastAPI, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many values arrive, the memory for their times is bounded."""
    monkeypatch.setattr("wirespeed.testing.crowd.MOST_LATENCIES", 5)
    monkeypatch.setattr("wirespeed.testing.crowd.MOST_OFFSETS", 5)
    news = live.topic("/news", int)
    async with lifespan(app), Crowd(app, "news", 3) as crowd:
        for number in range(20):
            news.publish(number)
            await crowd.received(number + 1)
        assert (len(crowd._latencies), len(crowd._published)) == (5, 5)
        assert crowd.figures().median is not None


async def test_other_apps(app: FastAPI, live: Live) -> None:
    """Behind middleware that hides the app, values are counted as well."""
    news = live.topic("/news", int)

    def hidden(inner: App) -> App:
        async def outer(*arguments: object) -> None:
            await inner(*arguments)

        return outer

    async with lifespan(app), Crowd(hidden(app), "news", 3) as crowd:
        news.publish(1)
        assert (await crowd.received(1)).received == 3
        with pytest.raises(RuntimeError, match="the newest value of /news is not known"):
            await crowd.caught_up()


async def test_values_before_the_crowd_have_no_latency(app: FastAPI, live: Live) -> None:
    """A value that the log had before is received, and its arrivals do not count as slow."""
    state = live.topic("/state", int, keep="latest")
    async with lifespan(app):
        state.publish(1)
        async with Crowd(app, "state", 10, slow=1) as crowd:
            figures = await crowd.received(1)
            assert (figures.received, figures.median, figures.worst) == (9, None, None)
            crowd.release()
            assert (await crowd.received(1)).worst is None
            state.publish(2)
            assert (await crowd.received(2)).worst is not None


async def test_failure_of_the_app_is_the_tests() -> None:
    """An exception of the app is raised where the crowd ends, once, and none of the others is forgotten."""
    fails = asyncio.Event()

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await fails.wait()
        raise ZeroDivisionError

    async def watch() -> None:
        async with Crowd(failing, "news", 3) as crowd:
            fails.set()
            await until(lambda: crowd.figures().closed == {1006: 3})

    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    for _ in range(2):  # the second crowd fails while it connects
        with pytest.raises(ZeroDivisionError):
            await watch()
    gc.collect()
    await asyncio.sleep(0)
    assert unhandled == []


async def test_waits_end(app: FastAPI, live: Live) -> None:
    """A wait that is not fulfilled fails with the figures; nonsense is refused at once."""
    live.topic("/news", int)
    async with lifespan(app), Crowd(app, "news", 2) as crowd:
        crowd.timeout = SOON
        with pytest.raises(TimeoutError, match=r"within 0\.01 s, not every watcher received 1 values: 2 watchers"):
            await crowd.received(1)
        crowd.timeout = PATIENCE
    with pytest.raises(ValueError, match="of 2 watchers, 3 cannot be slow"):
        Crowd(app, "news", 2, slow=3)


async def test_time_may_stand_still(app: FastAPI, live: Live) -> None:
    """With a fake clock, a crowd that accepts nothing is cut off when its time has come."""
    news = live.topic("/news", str)
    async with lifespan(app), clock() as time, Crowd(app, "news", 3, slow=3) as crowd:
        news.publish("x")
        await time.advance(Settings().stall_timeout + 1)
        await until(lambda: sum(crowd.figures().closed.values()) == 3)
