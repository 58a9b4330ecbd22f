"""Presence: the members of a key, and the news that they get of those that come and go."""

import asyncio
import json
import weakref

import pytest

from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns
from wirespeed.centrifuge.codec import Codec
from wirespeed.centrifuge.json_codec import JSON, JsonCodec
from wirespeed.centrifuge.messages import ClientInfo, Push
from wirespeed.frames import TEXT, frame
from wirespeed.hub.clock import Clock
from wirespeed.hub.presence import BATCH, Presence
from wirespeed.lanes.outlet import LIMIT, Framing, Outlet

pytestmark = pytest.mark.anyio

FRAMING = Framing(lambda messages: frame(TEXT, messages[:-1]))


class Member:
    """A subscription, and what its client is sent."""

    def __init__(self, name: str, codec: Codec = JSON, channel: str = "a") -> None:
        self.info = ClientInfo(name, f"{name}-1")
        self.codec = codec
        self.channel = channel
        self.lane = RecordingLane()
        self.outlet = Outlet(self.lane, FRAMING, lambda _: None)

    @property
    def told(self) -> list[tuple[str, str]]:
        """The news that it got, in order."""
        self.outlet.flush()
        pushes = [json.loads(line)["push"] for text in self.lane.values for line in text.split("\n")]
        assert all(each.pop("channel") == self.channel for each in pushes)
        return [(kind, each["info"]["user"]) for push in pushes for kind, each in push.items()]


@pytest.fixture
async def clock() -> Clock:
    """A clock of the running loop."""
    return Clock(asyncio.get_running_loop())


async def test_all_are_told_who_comes(clock: Clock) -> None:
    """Members hear of those that come with them or later, themselves included, and of no other key."""
    presence = Presence()
    ann, bob, eve = Member("ann"), Member("bob"), Member("eve")
    presence.join("/a", ann, clock)
    presence.join("/other", eve, clock)
    presence.join("/a", bob, clock)
    clock.flush()
    assert ann.told == [("join", "ann"), ("join", "bob")]
    assert bob.told == [("join", "bob")]
    assert eve.told == [("join", "eve")]


async def test_others_are_told_who_goes(clock: Clock) -> None:
    """A member that goes is told nothing, not even what happened just before."""
    presence = Presence()
    ann, bob, eve = Member("ann"), Member("bob"), Member("eve")
    for each in (ann, bob, eve):
        presence.join("/a", each, clock)
        clock.flush()
    presence.leave("/a", ann, clock)
    presence.leave("/a", eve, clock)
    clock.flush()
    assert ann.told == [("join", "ann"), ("join", "bob"), ("join", "eve")]
    assert bob.told == [("join", "bob"), ("join", "eve"), ("leave", "ann"), ("leave", "eve")]
    assert eve.told == [("join", "eve")]


class CountingCodec(JsonCodec):
    """JSON, and how often a push was encoded."""

    def __init__(self) -> None:
        self.pushes = 0

    def push(self, push: Push) -> bytes:
        """See :meth:`Codec.push`."""
        self.pushes += 1
        return super().push(push)


async def test_a_push_is_encoded_once(clock: Clock) -> None:
    """However many members a key has, each push is encoded once per format, and the turn is done in slices."""
    presence, codec, size = Presence(), CountingCodec(), 4 * BATCH
    members = [Member(str(number), codec) for number in range(size)]
    for each in members:
        presence.join("/a", each)
    presence.join("/a", Member("new", codec), clock)
    presence.leave("/a", members[0], clock)
    clock.flush()
    assert codec.pushes == 2
    assert all(each.told == [("join", "new"), ("leave", "0")] for each in members[1:])


async def test_no_one_is_told_without_a_clock() -> None:
    """Where news was not asked for, nothing is encoded or scheduled for those that come and go."""
    presence, codec = Presence(), CountingCodec()
    members = [Member(str(number), codec) for number in range(100)]
    for each in members:
        presence.join("/a", each)
    for each in members[1:]:
        presence.leave("/a", each)
    await turns(5)
    assert codec.pushes == 0
    assert members[0].told == []


async def test_news_does_not_pile_up(clock: Clock) -> None:
    """A member that does not read loses news; others get it all, in whole pushes."""
    presence, slow, fast = Presence(), Member("slow"), Member("fast")
    presence.join("/a", slow, clock)
    presence.join("/a", fast, clock)
    clock.flush()
    assert len(slow.told) == 2
    slow.lane.block()
    count = 2 * LIMIT // 50
    for number in range(count):
        presence.join("/a", each := Member(str(number)), clock)
        presence.leave("/a", each, clock)
    clock.flush()
    assert len(slow.told) == 2
    assert len(fast.told) == 1 + 2 * count


async def test_news_during_a_turn(clock: Clock) -> None:
    """A flush between two slices loses nothing, and tells nothing twice."""
    presence = Presence()
    members = [Member(str(number)) for number in range(2 * BATCH)]
    for each in members:
        presence.join("/a", each)
    group = presence._groups["/a"]
    presence.join("/a", one := Member("one"), clock)
    group.begin()
    assert group.step()
    presence.join("/a", Member("two"), clock)
    clock.flush()
    assert all(each.told == [("join", "one"), ("join", "two")] for each in [*members, one])


def test_members() -> None:
    """They are known by key, in the order in which they came, until they go."""
    presence = Presence()
    ann, bob = Member("ann"), Member("bob")
    assert presence.members("/a") == []
    presence.join("/a", ann)
    presence.join("/a", bob)
    assert presence.members("/a") == [ann.info, bob.info]
    assert presence.members("/a", 1) == [ann.info]
    assert presence.members("/b") == []
    presence.leave("/a", ann)
    presence.join("/a", ann)
    assert presence.members("/a") == [bob.info, ann.info]
    presence.leave("/a", ann)
    presence.leave("/a", bob)
    assert presence.members("/a") == []


async def test_who_was_not_there_does_not_go(clock: Clock) -> None:
    """A member that leaves twice, leaves another key, or never came is no news."""
    presence = Presence()
    ann, bob = Member("ann"), Member("bob")
    presence.join("/a", ann)
    presence.join("/a", bob)
    presence.leave("/a", bob, clock)
    presence.leave("/a", bob, clock)
    presence.leave("/b", ann, clock)
    presence.leave("/a", Member("ann"), clock)
    clock.flush()
    assert ann.told == [("leave", "bob")]
    assert presence.members("/a") == [ann.info]


def test_keys_are_forgotten() -> None:
    """A key without members keeps nothing, not even its name."""

    class Name(str):
        __slots__ = ("__weakref__",)

    presence, member, name = Presence(), Member("ann"), Name("/a")
    known = weakref.ref(name)
    presence.join(name, member)
    presence.leave(name, member)
    del name
    assert known() is None


async def test_two_connections_of_one_user(clock: Clock) -> None:
    """They are two members, each of which comes and goes for itself."""
    presence = Presence()
    one, other = Member("ann"), Member("ann")
    presence.join("/a", one, clock)
    presence.join("/a", other, clock)
    presence.leave("/a", one, clock)
    clock.flush()
    assert presence.members("/a") == [other.info]
    assert other.told == [("join", "ann"), ("leave", "ann")]


def test_counts() -> None:
    """Clients and users are counted once, however many members they have."""
    presence = Presence()
    assert presence.counts("/a") == (0, 0)
    one, again, other, bob = (Member(name) for name in ("ann", "ann", "ann", "bob"))
    again.info = one.info
    other.info = one.info._replace(client="other")
    for count, member in zip([(1, 1), (1, 1), (2, 1), (3, 2)], [one, again, other, bob], strict=True):
        presence.join("/a", member)
        assert presence.counts("/a") == count
    for count, member in zip([(3, 2), (2, 2), (1, 1), (0, 0)], [one, again, other, bob], strict=True):
        presence.leave("/a", member)
        assert presence.counts("/a") == count


async def test_a_member_that_cannot_be_told(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Its connection is given up, and the others hear of everything."""
    presence, lost = Presence(), asyncio.Event()
    ann, bob, eve = Member("ann"), Member("bob"), Member("eve")
    bob.lane.writable = _fail  # type: ignore[method-assign]
    bob.lane.on_lost = lost.set
    for member in (ann, bob, eve):
        presence.join("/a", member, clock)
    clock.flush()
    assert ann.told == [("join", "ann"), ("join", "bob"), ("join", "eve")]
    assert eve.told == [("join", "eve")]
    assert lost.is_set()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def _fail() -> bool:
    raise RuntimeError("bug")
