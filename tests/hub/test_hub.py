"""The hub: lanes of connections, figures, and the end."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.lanes.recording import RecordingLane, nowhere
from tests.lanes.serving import seated
from tests.lanes.turns import turns
from tests.waiting import skip
from wirespeed.definitions import Criteria, LoopLag, Subscribed
from wirespeed.frames import TEXT, frame
from wirespeed.hub import Hub, Statistics
from wirespeed.identity import ANONYMOUS
from wirespeed.lanes.lane import Lane
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


class Connection:
    """A session that ends when the test allows it."""

    identity = ANONYMOUS
    place = ""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.closed_with: list[tuple[int, str]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def close(self, code: int, reason: str) -> None:
        self.closed_with.append((code, reason))
        await self.may_end.wait()

    def ends(self, criteria: Criteria) -> list[Callable[[], None]]:
        return []

    def subscribed(self) -> list[Subscribed]:
        return []


@pytest.fixture
def hub() -> Hub:
    """Return a hub with the default settings."""
    return Hub(Settings())


@pytest.fixture
async def connection() -> Connection:
    """Return a session without a client."""
    return Connection(RecordingLane())


async def receive() -> Any:
    """Return the ASGI ``receive`` of an unknown server."""


# Lanes


@pytest.mark.parametrize(
    ("settings", "offered", "lane"),
    [
        (Settings(), "deflate", "uvicorn"),
        (Settings(), None, "uvicorn"),
        (Settings(compression=True), None, "uvicorn"),
        (Settings(compression=True), "deflate", "asgi"),
        (Settings(lane="portable"), "deflate", "asgi"),
    ],
)
async def test_best_lane_is_taken(settings: Settings, offered: str | None, lane: str) -> None:
    """On uvicorn it is the fast one, unless the settings or compression require another."""
    async with seated(compression=offered) as seat:
        assert Hub(settings).lanes.websocket(seat.receive, seat.send).name == lane
        client = await seat.accept()
        assert bool(client.protocol.extensions) is (settings.compression and offered is not None)


async def test_portable_lane_serves_elsewhere(hub: Hub) -> None:
    """On an unknown server it is the portable one."""
    assert hub.lanes.websocket(receive, nowhere).name == "asgi"


async def test_hub_works_without_the_fast_lane(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the module that knows uvicorn, all connections use the portable lane."""
    monkeypatch.setattr("wirespeed.hub.lanes.uvicorn", None)
    async with seated() as seat:
        assert hub.lanes.websocket(seat.receive, seat.send).name == "asgi"


# Figures


def test_new_hub_has_nothing_to_tell(hub: Hub) -> None:
    """All figures begin at zero."""
    assert hub.statistics() == Statistics(0, {}, 0, {}, 0, 0, 0, 0, LoopLag(0, 0))


async def test_connections_are_counted_while_they_are_open(hub: Hub, connection: Connection) -> None:
    """Open connections are counted by lane; accepted ones are counted forever."""
    others = [Connection(hub.lanes.websocket(receive, nowhere)) for _ in range(2)]
    with ExitStack() as stack:
        for each in (connection, *others):
            stack.enter_context(hub.sessions.connected(each))
            hub.sessions.accepted()
        told = hub.statistics()
    assert (told.connections, told.lanes, told.accepted) == (3, {"recording": 1, "asgi": 2}, 3)
    told = hub.statistics()
    assert (told.connections, told.lanes, told.accepted) == (0, {}, 3)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, GeneratorExit])
def test_runs_are_counted(hub: Hub, error: type[BaseException]) -> None:
    """A run counts while it is in progress; a failed one counts forever."""

    def run() -> None:
        with hub.sessions.running():
            assert hub.statistics().runs == 1
            raise error

    with pytest.raises(error):
        run()
    hub.sessions.failed()
    assert (hub.statistics().runs, hub.statistics().failed) == (0, 1)


def test_refusals_are_counted_by_their_reason(hub: Hub) -> None:
    """Refusals are counted, and a returned count does not change afterwards."""
    for reason in ("size", "rate", "size"):
        hub.refused(reason)
    told = hub.statistics()
    hub.refused("size")
    assert told.refused == {"size": 2, "rate": 1}


async def test_traffic_of_all_lanes_is_counted(hub: Hub) -> None:
    """Messages and bytes of every lane count, including those of closed connections."""
    for text in (b"a", b"bc"):
        lane = hub.lanes.websocket(receive, nowhere)
        lane.write(frame(TEXT, text) * 2, 2)
        await lane.finish()
    assert (hub.statistics().messages, hub.statistics().bytes) == (4, 14)


async def test_connections_are_not_visited(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of the connections cost the same for any number of them: each dependency may ask for them."""
    others = [Connection(RecordingLane()) for _ in range(3)]
    with ExitStack() as stack:
        for each in others:
            stack.enter_context(hub.sessions.connected(each))
        hub.sessions.leave(others[0])
        hub.sessions.leave(others[0])
        lane = others[0].lane.name
        for each in others:
            monkeypatch.delattr(each, "lane")
        assert hub.statistics().lanes == {lane: 2}
        assert hub.statistics().connections == 2
        monkeypatch.undo()
    assert hub.statistics().lanes == {}


# The end


async def test_leaving_closes_what_is_open(hub: Hub, connection: Connection) -> None:
    """Open sessions are closed at the same time with a code to reconnect, and awaited; closed ones are not."""
    others = [Connection(RecordingLane()) for _ in range(2)]
    with ExitStack() as stack:
        for each in others:
            each.may_end.clear()
            stack.enter_context(hub.sessions.connected(each))
        with hub.sessions.connected(connection):
            pass
        stopping = asyncio.create_task(hub.__aexit__())
        await turns(5)
        assert [each.closed_with for each in others] == [[(1012, "The server is restarting.")]] * 2
        assert connection.closed_with == []
        others[0].may_end.set()
        await turns(5)
        assert not stopping.done()
        others[1].may_end.set()
        await stopping


async def test_leaving_is_bounded(hub: Hub, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that does not end does not keep the app from stopping."""
    monkeypatch.setattr("wirespeed.hub.sessions.STOP_TIMEOUT", 0.01)
    connection.may_end.clear()
    with hub.sessions.connected(connection):
        async with hub:
            pass
    assert connection.closed_with != []


async def test_hub_can_be_entered_again(hub: Hub) -> None:
    """An app that is started again has the same hub, and its figures."""
    async with hub as entered:
        entered.refused("size")
    async with hub as entered:
        assert entered is hub
        assert entered.statistics().refused == {"size": 1}


class StubbornBroker(SimulatedBroker):
    """A broker that cannot be entered at first: it fails, or takes long."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__(Network())
        self.error = error
        self.may_start = False
        self.begins = asyncio.Event()

    async def __aenter__(self) -> Self:
        if not self.may_start:
            self.begins.set()
            if self.error is not None:
                raise self.error
            await asyncio.Event().wait()
        return await super().__aenter__()


@pytest.mark.parametrize("error", [OSError("no route"), None])
async def test_start_that_does_not_succeed_leaves_nothing(error: Exception | None) -> None:
    """If the broker fails, or the start is cancelled meanwhile, nothing goes on; the hub can be started later."""
    broker = StubbornBroker(error)
    hub = Hub(Settings(), broker)
    starting = asyncio.ensure_future(hub.__aenter__())
    await broker.begins.wait()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled() or starting.exception() is error
    skip(10.0)  # timers that have stayed are due
    await turns(5)
    assert (hub.processes.process, hub.is_running(), hub.statistics().loop_lag) == ("", False, LoopLag())
    broker.may_start = True
    async with hub:
        assert hub.processes.process == hub.process


# Threads


def test_each_loop_has_its_own_threads() -> None:
    """All runs of a loop share one limit of threads, which no other loop shares."""
    hub = Hub(Settings(max_threads=3))

    async def threads() -> tuple[object, object]:
        assert hub.lanes.threads().total_tokens == 3
        return hub.lanes.threads(), hub.lanes.threads()

    first, second = asyncio.run(threads()), asyncio.run(threads())
    assert first[0] is first[1]
    assert second[0] is second[1]
    assert first[0] is not second[0]
