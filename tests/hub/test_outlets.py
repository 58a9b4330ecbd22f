"""Outlets and the clock: one frame for everything that a round has for a client, and not too many frames."""

import json
from sys import getrefcount

import pytest

from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns
from wirespeed.frames import TEXT, frame
from wirespeed.hub.clock import Clock, Turn
from wirespeed.hub.outlets import BATCH, INTERVAL, Outlets
from wirespeed.lanes.outlet import Framing, Outlet

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


@pytest.fixture
async def loop() -> SteppedLoop:
    """Return the loop."""
    return running()


class Site:
    """The outlets of some clients, and a clock."""

    def __init__(self, loop: SteppedLoop, clock: Clock | None = None) -> None:
        self.clock = clock or Clock(loop)
        self.outlets = Outlets(loop, self.clock)
        self._framing = Framing(lambda messages: frame(TEXT, messages[:-1]))

    def client(self) -> "Client":
        """Add a client."""
        lane = RecordingLane()
        return Client(lane, Outlet(lane, self._framing, self.outlets.ready))


class Client:
    """A client, and its outlet."""

    def __init__(self, lane: RecordingLane, outlet: Outlet) -> None:
        self.lane = lane
        self.outlet = outlet

    def tell(self, value: object) -> None:
        """Write a message for the client."""
        self.outlet.write(json.dumps(value).encode() + b"\n", 1)

    @property
    def frames(self) -> list[list[object]]:
        """Return the messages received, frame by frame."""
        return [[json.loads(line) for line in text.split("\n")] for text in self.lane.values]


class Feed:
    """An object with news, written in some steps."""

    def __init__(self, client: Client, name: str, steps: int = 1) -> None:
        self.client = client
        self.name = name
        self.steps = self.left = steps

    def begin(self) -> None:
        """See :class:`~wirespeed.hub.clock.Turn`."""
        self.left = self.steps

    def step(self) -> bool:
        """See :class:`~wirespeed.hub.clock.Turn`."""
        self.client.tell(self.name)
        self.left -= 1
        return self.left > 0


@pytest.fixture
async def site(loop: SteppedLoop) -> Site:
    """Return outlets of that loop."""
    return Site(loop)


async def test_all_feeds_of_a_round_share_a_frame(site: Site) -> None:
    """A frame leaves when everything with news has written to it, whatever has more for others."""
    client = site.client()
    for name, steps in (("a", 3), ("b", 1), ("c", 2)):
        site.clock.wake(Feed(client, name, steps))
    await turns(2)
    assert client.frames == [["a", "b", "c", "a", "c", "a"]]


async def test_first_news_leaves_at_once(site: Site, loop: SteppedLoop) -> None:
    """After a quiet period nothing is waited for, repeatedly."""
    client = site.client()
    for count in (1, 2):
        client.tell(count)
        await turns(2)
        assert len(client.frames) == count
        await loop.pass_time(1)


async def test_frames_keep_their_distance(site: Site, loop: SteppedLoop) -> None:
    """A client with news every millisecond receives a frame every eight, or a little later."""
    client = site.client()
    for number in range(1000):
        client.tell(number)
        await loop.pass_time(0.001)
    await loop.pass_time(1)
    assert [value for values in client.frames for value in values] == list(range(1000))
    assert 1 / (2 * INTERVAL) <= len(client.frames) <= 1 / INTERVAL + 2


async def test_clients_do_not_wait_for_each_other(site: Site, loop: SteppedLoop) -> None:
    """Messages between two frames leave with the next ones, for all clients."""
    first, second = site.client(), site.client()
    first.tell(1)
    await turns(2)
    first.tell(2)
    second.tell(3)
    await loop.pass_time(INTERVAL / 2)
    assert (first.frames, second.frames) == ([[1]], [])
    await loop.pass_time(INTERVAL)
    assert (first.frames, second.frames) == ([[1], [2]], [[3]])


async def test_many_clients(site: Site) -> None:
    """They are served in parts, between which others have their turns; none is left out, and none served twice."""
    clients = [site.client() for _ in range(2 * BATCH + 1)]
    for at, client in enumerate(clients):
        client.tell(at)
    assert [site.outlets.step() for _ in range(3)] == [True, True, False]
    assert [client.frames for client in clients] == [[[at]] for at in range(len(clients))]
    await turns(3)
    assert all(len(client.frames) == 1 for client in clients)


async def test_news_while_others_are_served(site: Site, loop: SteppedLoop) -> None:
    """News after a client's frame leaves with its next one; earlier news leaves with it."""
    clients = [site.client() for _ in range(BATCH + 1)]
    for client in clients:
        client.tell("a")
    assert site.outlets.step()
    clients[0].tell("b")
    clients[-1].tell("b")
    while site.outlets.step():
        pass
    assert clients[-1].frames == [["a", "b"]]
    await loop.pass_time(1)
    assert clients[0].frames == [["a"], ["b"]]


async def test_flush_writes_everything(site: Site, loop: SteppedLoop) -> None:
    """A flush waits for nothing, even in the middle of a turn; later messages leave as usual, none twice."""
    clients = [site.client() for _ in range(BATCH + 5)]
    for client in clients:
        client.tell("a")
    assert site.outlets.step()
    newcomer = site.client()
    newcomer.tell("b")
    site.outlets.flush()
    assert [client.frames for client in clients] == [[["a"]]] * len(clients)
    assert newcomer.frames == [["b"]]
    newcomer.tell("c")
    await loop.pass_time(1)
    assert newcomer.frames == [["b"], ["c"]]
    assert [client.frames for client in clients] == [[["a"]]] * len(clients)


async def test_clock_is_woken_once(loop: SteppedLoop) -> None:
    """It is woken once, however many outlets are ready, and again when more are."""

    class Woken(Clock):
        count = 0

        def wake_last(self, turn: Turn) -> None:
            self.count += 1
            super().wake_last(turn)

    site = Site(loop, clock := Woken(loop))
    clients = [site.client() for _ in range(5)]
    for count in (1, 2):
        for client in clients:
            client.tell("a")
        await loop.pass_time(INTERVAL / 2)
        for client in clients:
            client.tell("b")
        await loop.pass_time(1)
        assert clock.count == 2 * count


async def test_outlets_are_forgotten(site: Site, loop: SteppedLoop) -> None:
    """After a write to a client that has left, nothing refers to it any more."""
    client = site.client()
    before = getrefcount(client.outlet)
    for _ in range(3):
        client.tell("a")
        client.outlet.flush()
    await loop.pass_time(1)
    after = getrefcount(client.outlet)
    assert after == before


async def test_outlet_that_was_flushed_meanwhile(site: Site, loop: SteppedLoop) -> None:
    """An answer takes buffered messages along, and they are not written again."""
    client = site.client()
    client.tell("news")
    client.tell("answer")
    client.outlet.flush()
    client.tell("more")
    await loop.pass_time(1)
    assert client.frames == [["news", "answer"], ["more"]]
