"""Members: the clients of a key, and the announcements that they get of those that join and leave."""

import asyncio
import json
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.lanes.recording import RecordingLane
from tests.lanes.turns import turns
from wirespeed.frames import TEXT, frame
from wirespeed.hub.clock import Clock
from wirespeed.hub.members import ANNOUNCED, BATCH, MOST_ANSWERS, Members
from wirespeed.identity import Sender
from wirespeed.lanes.outlet import LIMIT, Framing, Outlet

pytestmark = pytest.mark.anyio

FRAMING = Framing(lambda messages: frame(TEXT, messages[:-1]))


class Style:
    """A format of announcements that counts how many it encodes."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, kind: str, sender: Sender) -> bytes:
        """Return an announcement."""
        self.encoded += 1
        return json.dumps([kind, sender.user, "padding " * 4]).encode()


PLAIN = Style()


class Member:
    """A subscription, with everything that its client is sent."""

    def __init__(self, name: str, style: Style = PLAIN, address: str = "") -> None:
        self.sender = Sender(client=f"{name}-1", user=name)
        self.style = style, address
        self.lane = RecordingLane()
        self.outlet = Outlet(self.lane, FRAMING, lambda _: None)

    def announcement(self, sender: Sender, *, joins: bool) -> bytes:
        """Return an announcement."""
        return self.style[0].encode("join" if joins else "leave", sender)

    def addressing(self) -> Callable[[bytes], bytes]:
        """Return the function that adds the address, behind the text."""
        end = json.dumps(self.style[1]).encode()
        return lambda text: b"[%b,%b]\n" % (text, end)

    def painted_age(self) -> float | None:
        """Return None: nothing is painted."""
        return None

    @property
    def told(self) -> list[tuple[str, str]]:
        """The announcements so far, in order."""
        self.outlet.flush()
        lines = [json.loads(line) for text in self.lane.values for line in text.split("\n")]
        assert all(address == self.style[1] for _, address in lines)
        return [(kind, user) for (kind, user, _), _ in lines]


@pytest.fixture
async def clock() -> Clock:
    """A clock of the running loop."""
    return Clock(asyncio.get_running_loop())


async def test_joining_is_announced(clock: Clock) -> None:
    """Members hear of those that join with them or later, themselves included, and of no other key."""
    members = Members()
    ann, bob, eve = Member("ann"), Member("bob"), Member("eve")
    members.join("/a", ann, clock)
    members.join("/other", eve, clock)
    members.join("/a", bob, clock)
    clock.flush()
    assert ann.told == [("join", "ann"), ("join", "bob")]
    assert bob.told == [("join", "bob")]
    assert eve.told == [("join", "eve")]


async def test_leaving_is_announced(clock: Clock) -> None:
    """A member that leaves hears nothing more, not even of what happened just before."""
    members = Members()
    ann, bob, eve = Member("ann"), Member("bob"), Member("eve")
    for each in (ann, bob, eve):
        members.join("/a", each, clock)
        clock.flush()
    members.leave("/a", ann, clock)
    members.leave("/a", eve, clock)
    clock.flush()
    assert ann.told == [("join", "ann"), ("join", "bob"), ("join", "eve")]
    assert bob.told == [("join", "bob"), ("join", "eve"), ("leave", "ann"), ("leave", "eve")]
    assert eve.told == [("join", "eve")]


async def test_an_announcement_is_encoded_once(clock: Clock) -> None:
    """However many members a key has, each announcement is encoded once per style, in slices of a turn."""
    members, style, size = Members(), Style(), 4 * BATCH
    crowd = [Member(str(number), style) for number in range(size)]
    for each in crowd:
        members.join("/a", each)
    members.join("/a", Member("new", style), clock)
    members.leave("/a", crowd[0], clock)
    clock.flush()
    assert style.encoded == 2
    assert all(each.told == [("join", "new"), ("leave", "0")] for each in crowd[1:])


async def test_an_announcement_is_encoded_once_for_all_addresses(clock: Clock) -> None:
    """Members that have addresses of their own share what costs most."""
    members, style, size = Members(), Style(), 4 * BATCH
    crowd = [Member(str(number), style, f"room?token={number}") for number in range(size)]
    for each in crowd:
        members.join("/a", each, clock)
    clock.flush()
    assert style.encoded == size
    assert all(each.told == [("join", str(one)) for one in range(at, size)] for at, each in enumerate(crowd))


async def test_announcements_are_forgotten(clock: Clock) -> None:
    """Nothing of a turn is kept when all members have its announcements."""

    class Known(Sender):
        __slots__ = ("__weakref__",)

    members, gone = Members(), Member("gone")
    gone.sender = Known(client="gone-1", user="gone")
    known = weakref.ref(gone.sender)
    members.join("/a", ann := Member("ann"), clock)
    members.join("/a", gone, clock)
    members.leave("/a", gone, clock)
    del gone
    clock.flush()
    assert len(ann.told) == 3
    assert known() is None


async def test_member_without_room_costs_nothing(clock: Clock) -> None:
    """Nothing is made for members that do not read, whatever their addresses."""
    members, style = Members(), Style()
    crowd = [Member(str(number), style, str(number)) for number in range(BATCH)]
    for each in crowd:
        each.lane.block()
        members.join("/a", each, clock)
    clock.flush()
    assert style.encoded == 0


async def test_announcements_of_a_step_are_bounded(clock: Clock) -> None:
    """The more events there are, the fewer members are notified at once."""
    members, size = Members(), 4 * ANNOUNCED // BATCH
    crowd = [Member(str(number)) for number in range(size)]
    for each in crowd:
        members.join("/a", each, clock)
    group, steps = members._groups["/a"], 1
    group.begin()
    while group.step():
        steps += 1
    assert steps == size * size // ANNOUNCED


async def test_nothing_is_announced_without_a_clock() -> None:
    """Without a clock, nothing is encoded or scheduled for members that join and leave."""
    members, style = Members(), Style()
    crowd = [Member(str(number), style) for number in range(100)]
    for each in crowd:
        members.join("/a", each)
    for each in crowd[1:]:
        members.leave("/a", each)
    await turns(5)
    assert style.encoded == 0
    assert crowd[0].told == []


async def test_announcements_do_not_pile_up(clock: Clock) -> None:
    """A member that does not read loses announcements; the others get all of them, whole."""
    members, slow, fast = Members(), Member("slow"), Member("fast")
    members.join("/a", slow, clock)
    members.join("/a", fast, clock)
    clock.flush()
    assert len(slow.told) == 2
    slow.lane.block()
    count = 2 * LIMIT // 50
    for number in range(count):
        members.join("/a", each := Member(str(number)), clock)
        members.leave("/a", each, clock)
    clock.flush()
    assert len(slow.told) == 2
    assert len(fast.told) == 1 + 2 * count


async def test_announcements_during_a_turn(clock: Clock) -> None:
    """A flush between two slices loses no announcement, and repeats none."""
    members = Members()
    crowd = [Member(str(number)) for number in range(2 * BATCH)]
    for each in crowd:
        members.join("/a", each)
    group = members._groups["/a"]
    members.join("/a", one := Member("one"), clock)
    group.begin()
    assert group.step()
    members.join("/a", Member("two"), clock)
    clock.flush()
    assert all(each.told == [("join", "one"), ("join", "two")] for each in [*crowd, one])


def test_members() -> None:
    """The members of a key are listed in the order in which they joined, until they leave."""
    members = Members()
    ann, bob = Member("ann"), Member("bob")
    assert members.senders("/a") == []
    members.join("/a", ann)
    members.join("/a", bob)
    assert members.senders("/a") == [ann.sender, bob.sender]
    assert members.senders("/a", 1) == [ann.sender]
    assert members.senders("/b") == []
    members.leave("/a", ann)
    members.join("/a", ann)
    assert members.senders("/a") == [bob.sender, ann.sender]
    members.leave("/a", ann)
    members.leave("/a", bob)
    assert members.senders("/a") == []


async def test_leaving_without_joining(clock: Clock) -> None:
    """Nothing is announced for a member that leaves twice, leaves another key, or never joined."""
    members = Members()
    ann, bob = Member("ann"), Member("bob")
    members.join("/a", ann)
    members.join("/a", bob)
    members.leave("/a", bob, clock)
    members.leave("/a", bob, clock)
    members.leave("/b", ann, clock)
    members.leave("/a", Member("ann"), clock)
    clock.flush()
    assert ann.told == [("leave", "bob")]
    assert members.senders("/a") == [ann.sender]


def test_keys_are_forgotten() -> None:
    """A key without members keeps nothing, not even its name."""

    class Name(str):
        __slots__ = ("__weakref__",)

    members, member, name = Members(), Member("ann"), Name("/a")
    known = weakref.ref(name)
    members.join(name, member)
    members.leave(name, member)
    del name
    assert known() is None


async def test_two_connections_of_one_user(clock: Clock) -> None:
    """Two connections of one user are two members, which join and leave separately."""
    members = Members()
    one, other = Member("ann"), Member("ann")
    members.join("/a", one, clock)
    members.join("/a", other, clock)
    members.leave("/a", one, clock)
    clock.flush()
    assert members.senders("/a") == [other.sender]
    assert other.told == [("join", "ann"), ("leave", "ann")]


def test_counts() -> None:
    """Clients and users are counted once, however many members they have."""
    members = Members()
    assert members.counts("/a") == (0, 0)
    one, again, other, bob = (Member(name) for name in ("ann", "ann", "ann", "bob"))
    again.sender = one.sender
    other.sender = replace(one.sender, client="other")
    for count, member in zip([(1, 1), (1, 1), (2, 1), (3, 2)], [one, again, other, bob], strict=True):
        members.join("/a", member)
        assert members.counts("/a") == count
    for count, member in zip([(3, 2), (2, 2), (1, 1), (0, 0)], [one, again, other, bob], strict=True):
        members.leave("/a", member)
        assert members.counts("/a") == count


async def test_a_member_that_cannot_be_notified(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The connection of a member that fails is given up, and the others hear of everything."""
    members, lost = Members(), asyncio.Event()
    ann, bob, eve = Member("ann"), Member("bob"), Member("eve")
    bob.lane.writable = _fail  # type: ignore[method-assign]
    bob.lane.on_lost = lost.set
    for member in (ann, bob, eve):
        members.join("/a", member, clock)
    clock.flush()
    assert ann.told == [("join", "ann"), ("join", "bob"), ("join", "eve")]
    assert eve.told == [("join", "eve")]
    assert lost.is_set()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def _fail() -> bool:
    raise RuntimeError("bug")


async def test_answers_are_bounded() -> None:
    """The answers to who is present that are kept take a bounded size together; the oldest ones go first."""
    members = Members()
    names = [f"key {number}" for number in range(12)]
    encoded = []

    def ask(name: str) -> None:
        def encode() -> bytes:
            encoded.append(name)
            return bytes(MOST_ANSWERS // 8)

        assert len(members.answer(name, "style", encode)) == MOST_ANSWERS // 8

    for name in names:
        members.join(name, Member("ada"))
        ask(name)
        ask(name)
    assert encoded == names
    for name in reversed(names):
        ask(name)
    assert encoded == [*names, *reversed(names[:4])]
