"""Isolation: an item that fails does not keep the others from being served, in any loop that serves many."""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import pytest
from fastapi import FastAPI

from tests.hub.steps import SteppedLoop as LogsLoop
from tests.hub.watching import WIRE, Client, topic
from tests.lanes.recording import RecordingLane
from tests.lanes.stepping import step_sweeps
from tests.lanes.turns import until
from wirespeed import Live
from wirespeed.hub import Hub
from wirespeed.hub.clock import Clock
from wirespeed.hub.deadlines import Deadlines
from wirespeed.hub.engine import Engine
from wirespeed.hub.heartbeat import Heartbeat
from wirespeed.hub.logs import LocalLogs
from wirespeed.hub.outlets import Outlets
from wirespeed.isolation import AGAIN, Errors, annotate, for_each, isolated, one_line
from wirespeed.lanes.outlet import Framing, Outlet
from wirespeed.lanes.sweep import Sweep
from wirespeed.settings import Settings
from wirespeed.surfaces.multiplex.starter import Starter
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

BUG: BaseException = RuntimeError("bug")


class Panic(BaseException):
    """An error other than an ``Exception``, as libraries in Rust raise."""


@pytest.fixture(autouse=True, params=[BUG, Panic("bug"), SystemExit("bug")], ids=repr)
def bug(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the item that fails raise an error of each kind."""
    monkeypatch.setattr(sys.modules[__name__], "BUG", request.param)


def fail(*_: object) -> Any:
    """Raise the error of the item that fails."""
    raise BUG


fails: Any = fail


def errors(caplog: pytest.LogCaptureFixture) -> list[BaseException | None]:
    """Return the errors in the log."""
    logged = [r.exc_info[1] if r.exc_info else None for r in caplog.records if r.levelno >= logging.ERROR]
    return [each and (each.__cause__ or each) for each in logged]


def test_each_is_served() -> None:
    """All items are served in order, except those that fail. The cleanup of a failed item may fail, too."""
    served: list[int] = []
    failed: list[int] = []

    def serve(number: int) -> None:
        if number in (2, 5):
            raise BUG
        served.append(number)

    def end(number: int, error: Exception) -> None:
        failed.append(number)
        raise error

    for_each(range(1, 6), serve, end)
    assert (served, failed) == ([1, 3, 4], [2, 5])


def test_cancellation_is_no_error() -> None:
    """An exception that ends the task itself passes."""
    with pytest.raises(asyncio.CancelledError), isolated("?"):
        raise asyncio.CancelledError


class Speechless(RuntimeError):
    """An error of user code whose text cannot be read."""

    def __str__(self) -> str:
        raise BUG


def test_error_without_a_text() -> None:
    """The line about an error never raises another one: it would end what has logged it."""
    assert one_line(Speechless()) == "Speechless: its str() fails"
    assert one_line(RuntimeError("a\n b" + "c" * 1000)) == "RuntimeError: a b" + "c" * 283


@dataclass(frozen=True)
class Frozen(Exception):
    """An exception that takes no attributes."""

    item: str


def test_notes() -> None:
    """An exception that takes a note has it in the log, and one that takes none stays as it is."""
    error = ValueError()
    annotate(error, "about tea")
    assert error.__notes__ == ["about tea"]
    annotate(Frozen("tea"), "about tea")
    for _ in range(100):
        annotate(error, "once more")
    assert 2 <= len(error.__notes__) <= 20


def test_errors_of_many(caplog: pytest.LogCaptureFixture) -> None:
    """Errors that are alike have one traceback, and then one line per second, with their number."""
    now = 0.0
    log = Errors(lambda: now)

    def one() -> None:
        raise RuntimeError("bug")

    def other() -> None:
        raise RuntimeError("bug")

    def happens(times: int, how: Callable[[], None] = one) -> list[tuple[str, bool]]:
        caplog.clear()
        for _ in range(times):
            try:
                how()
            except RuntimeError as error:
                log.log(error, "%s has failed.", "It")
        return [(each.getMessage(), each.exc_info is not None) for each in caplog.records]

    assert happens(1000) == [("It has failed.", True)]
    assert happens(1, other) == [("It has failed.", True)]
    now = 1.0
    assert happens(1000) == [("It has failed. As before: RuntimeError: bug (999 more since the last line)", False)]
    now = 2.0
    assert happens(1) == [("It has failed. As before: RuntimeError: bug (999 more since the last line)", False)]
    now = 3.0
    assert happens(1) == [("It has failed. As before: RuntimeError: bug", False)]
    now += AGAIN
    assert happens(2) == [("It has failed.", True)]


def test_errors_of_two_definitions(caplog: pytest.LogCaptureFixture) -> None:
    """The same error in another definition has a traceback of its own."""
    log = Errors(lambda: 0.0)
    for title in ("tea", "coffee", "tea"):
        log.log(RuntimeError("bug"), "%s has failed.", title, of=title)
    assert [each.getMessage() for each in caplog.records if each.exc_info] == ["tea has failed.", "coffee has failed."]
    assert len(caplog.records) == 2


# Watchers


class Failing:
    """A wire that never has a value."""

    most = 1

    def __getattr__(self, name: str) -> Any:
        return fails


def bad_wire(client: Client) -> None:
    """Make its format raise."""
    assert client.watcher is not None
    client.watcher.wire = cast("Any", Failing())


def bad_lane(client: Client) -> None:
    """Make its lane raise."""
    client.lane.offer = fails  # type: ignore[method-assign]


def bad_listener(client: Client) -> None:
    """Make its format and its cleanup raise."""
    bad_wire(client)
    client.not_served = fails  # type: ignore[method-assign]


@pytest.fixture
async def engine() -> Any:
    """An engine of its own."""
    return Engine(LocalLogs(asyncio.get_running_loop()), cast("Any", None), Settings())


@pytest.mark.parametrize("bad", [bad_wire, bad_lane, bad_listener])
async def test_watchers(engine: Engine, bad: Callable[[Client], None], caplog: pytest.LogCaptureFixture) -> None:
    """A watcher that cannot be served ends, and the others miss nothing."""
    news = topic(path="/news")
    clients = [await Client().watch(engine, news) for _ in range(3)]
    bad(clients[1])
    for value in ("a", "b"):
        engine.publishing.publish(news, "/news", value)
        engine.clock.flush()
    assert [client.values for client in clients] == [["a", "b"], [], ["a", "b"]]
    assert engine.statistics(news).watchers == 2
    assert engine.statistics(news).failed == 1
    assert clients[1].told == ([] if bad is bad_listener else ["not served"])
    assert set(errors(caplog)) == {BUG}


async def test_a_place_that_cannot_be_taken(engine: Engine) -> None:
    """A client whose first value cannot be written leaves no watcher behind."""
    news = topic(path="/news", keep="latest")
    stays = await Client().watch(engine, news)
    engine.publishing.publish(news, "/news", "a")
    client = Client()
    client.lane.watched_by = fails  # type: ignore[method-assign]
    ticket = await engine.enter(news, "/news", {}, None)
    with pytest.raises(type(BUG), match="bug"):
        engine.watch(ticket, client.lane, WIRE, client, None)
    engine.leave(ticket)
    assert engine.statistics(news).watchers == 1
    stays.leave(engine, "/news")
    assert engine.statistics(news).keys == 0


# Connections


async def test_outlets(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that cannot be written to is given up, and the others get their values."""
    loop = asyncio.get_running_loop()
    outlets = Outlets(loop, Clock(loop))
    all_ = [Outlet(RecordingLane(), Framing(bytes), outlets.ready) for _ in range(3)]
    lost: list[str] = []
    all_[1].lane.offer = fails  # type: ignore[method-assign]
    all_[1].lane.on_lost = lambda: lost.append("lost")
    all_[1].on_failed = lambda: lost.append("failed")
    for outlet in all_:
        outlet.write(b"a", 1)
    outlets.flush()
    assert [cast("RecordingLane", outlet.lane).written for outlet in all_] == [[b"a"], [], [b"a"]]
    assert (lost, errors(caplog)) == (["failed", "lost"], [BUG])


async def test_heartbeat(caplog: pytest.LogCaptureFixture) -> None:
    """A response that cannot be written to is given up, and the others stay alive."""
    heartbeat = Heartbeat(asyncio.get_running_loop(), 0)
    lanes = [RecordingLane() for _ in range(3)]
    lost = asyncio.Event()
    lanes[1].write = fails  # type: ignore[method-assign]
    lanes[1].on_lost = lost.set
    with ExitStack() as stack:
        for lane in lanes:
            stack.enter_context(heartbeat.of(lane, b":\n\n"))
        await until(lambda: len(lanes[0].written) > 2 and len(lanes[2].written) > 2)
    assert lost.is_set()
    assert errors(caplog) == [BUG]


async def test_sweep(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that cannot be checked is aborted, and the others are still checked."""

    class Lane:
        """A client that accepts nothing."""

        def __init__(self) -> None:
            self.cut = False
            self.is_bad = False

        def backlog(self) -> int:
            return 100

        def writable(self) -> bool:
            return False

        def ending(self) -> bool:
            return False

        def ending_timeout(self) -> float:
            return 1

        def settled(self) -> bool:
            if self.is_bad:
                raise BUG
            return False

        def abort(self) -> None:
            self.cut = True

    loop = step_sweeps(monkeypatch)
    sweep, lanes = Sweep(10), [Lane() for _ in range(3)]
    for lane in lanes:
        sweep.watch(lane)
    lanes[1].is_bad = True
    loop.pass_time(1)
    assert [lane.cut for lane in lanes] == [False, True, False]
    loop.pass_time(20)
    assert [lane.cut for lane in lanes] == [True] * 3
    assert (loop.timers, errors(caplog)) == ([], [BUG])


async def test_starter(caplog: pytest.LogCaptureFixture) -> None:
    """A command that cannot begin does not hold up the commands behind it, of any client."""
    begun: list[int] = []
    begins = Starter(asyncio.get_running_loop())
    for number in range(100):
        begins.begin(fails if number % 2 else lambda: begun.append(1))
    await until(lambda: len(begun) == 50)
    assert errors(caplog) == [BUG]


def test_deadlines(caplog: pytest.LogCaptureFixture) -> None:
    """A deadline that fails does not stop the timer for all."""
    loop = cast("Any", LogsLoop())
    kept: list[str] = []

    def due(name: str) -> None:
        if name == "b":
            raise BUG
        kept.append(name)

    deadlines = Deadlines({"a": 1.0, "b": 1.0, "c": 1.0, "d": 2.0}.get, due)
    for name in "abcd":
        deadlines.watch(name, loop)
    loop.pass_time(3)
    assert (kept, errors(caplog)) == (["a", "c", "d"], [BUG])


# Apps


async def test_connection_that_cannot_be_ended_is_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    """An error in the end of a client is logged, and the client is gone all the same."""
    app = FastAPI()
    live = Live(app)
    news = live.topic("/news", str)
    async with lifespan(app):
        async with connect(app, "/news"):
            assert live.statistics().connections == 1
            engine = await live._hub.engine()
            engine.unwatch = fails  # type: ignore[method-assign]
        await until(lambda: live.statistics().connections == 0)
        news.publish("a")
    assert BUG in errors(caplog)


class Open:
    """A connection that is open when the app stops."""

    lane = RecordingLane()
    place = ""

    def __init__(self, *, is_bad: bool) -> None:
        self.closed = False
        self.is_bad = is_bad

    async def close(self, code: int, reason: str) -> None:
        """Close, in a later turn of the loop."""
        if self.is_bad:
            raise BUG
        await asyncio.sleep(0)
        self.closed = True


async def test_stop(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that cannot be closed properly does not keep the others from closing, and the app stops."""
    hub, sessions = Hub(Settings()), [Open(is_bad=number == 1) for number in range(3)]
    async with hub:
        for session in sessions:
            hub.sessions.join(cast("Any", session))
    assert [session.closed for session in sessions] == [True, False, True]
    assert hub.is_over()
    assert errors(caplog) == [BUG]


async def test_stop_after_news_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All connections are closed all the same."""
    hub, session = Hub(Settings()), Open(is_bad=False)
    monkeypatch.setattr(hub, "flush", fails)
    async with hub:
        hub.sessions.join(cast("Any", session))
    assert session.closed
    assert hub.is_over()
    assert errors(caplog) == [BUG]
