"""Attendance: members of keys in several processes, over a simulated network."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.brokers.together import ALIVE, BEAT, PARTING
from tests.hub.stepping import BACKEND, running
from tests.hub.test_members import Member
from tests.hub.test_two_processes import processes
from tests.hub.watching import Client, topic
from tests.lanes.turns import counting_turns
from tests.lanes.turns import turns as give_turns
from wirespeed.definitions import TopicDefinition
from wirespeed.errors import BrokerDown
from wirespeed.hub import Hub, attendance, turns
from wirespeed.hub.attendance import AGE, FAREWELL, LARGE, ROUND, SOME, SharedMembers

pytestmark = pytest.mark.anyio

MANY = 1000
"""Members that are not handled in one turn of the loop."""
SLOW = FAREWELL / 2
"""Seconds that a slow store takes."""
NEWS: TopicDefinition[..., str] = topic(str, "/news")


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


def shared(hub: Hub) -> SharedMembers:
    """Return the members of all processes, as one sees them."""
    assert hub.attendance is not None
    return hub.attendance


async def join(hub: Hub, *names: str) -> list[Member]:
    """Let members join the topic, which is watched then."""
    engine = await hub.engine()
    await Client().watch(engine, NEWS)
    members = [Member(each) for each in names]
    for each in members:
        hub.members.join("/news", each, engine.clock)
    return members


async def leave(hub: Hub, member: Member) -> None:
    """Let a member leave."""
    hub.members.leave("/news", member, (await hub.engine()).clock)


async def present(hub: Hub) -> list[str]:
    """Return the users who are present."""
    clients, users, some = await shared(hub).read("/news", 100)
    assert clients == len(some)
    assert users == len({each.user for each in some})
    return sorted(each.user for each in some)


async def test_process_that_is_killed() -> None:
    """Its members are present for 60 seconds at most; then all others learn, once, that they have left."""
    network = Network()
    async with processes(network, 3) as hubs:
        await join(hubs[0], "ann", "bob")
        watching = [(await join(hub, name))[0] for hub, name in zip(hubs[1:], ("cid", "dan"), strict=True)]
        await running().pass_time(1)
        assert await present(hubs[1]) == ["ann", "bob", "cid", "dan"]
        dead = network.brokers[0]
        dead.request = _fails  # type: ignore[assignment,method-assign]  # it beats no more
        before = [list(each.told) for each in watching]
        await running().pass_time(ALIVE / 2)
        assert await present(hubs[2]) == ["ann", "bob", "cid", "dan"]
        await running().pass_time(60 - ALIVE / 2)
        assert await present(hubs[2]) == ["cid", "dan"]
        assert await present(hubs[1]) == ["cid", "dan"]
        for told, each in zip(before, watching, strict=True):
            assert sorted(each.told[len(told) :]) == [("leave", "ann"), ("leave", "bob")]
        assert [key for key in network.hall.members["/news"] if key[1] in ("ann-1", "bob-1")] == []


async def _fails(*_: object) -> None:
    raise BrokerDown


async def test_large_rooms_are_not_read_again_and_again() -> None:
    """Those who ask at the same time share an answer; a large room has one answer for a while, a small one does not."""
    network = Network()
    async with processes(network) as hubs:
        await join(hubs[0], *map(str, range(LARGE)))
        await running().pass_time(1)
        sent = network.sent
        assert [await shared(hubs[1]).read("/news", 0) for _ in range(5)] == [(LARGE, LARGE, [])] * 5
        assert len((await shared(hubs[1]).read("/news", 3)).some) == 3
        assert network.sent == sent + 2
        await join(hubs[1], "new")
        assert (await shared(hubs[1]).read("/news", 0)).clients == LARGE
        await running().pass_time(LARGE * AGE)
        assert (await shared(hubs[1]).read("/news", 0)).clients == LARGE + 1


async def test_client_that_has_just_joined_sees_itself() -> None:
    """An answer to someone who has asked before is not used for it."""
    async with processes(Network()) as hubs:
        await join(hubs[0], "ann")
        asked = asyncio.create_task(present(hubs[0]))
        await asyncio.sleep(0)
        await join(hubs[0], "bob")
        assert await present(hubs[0]) == ["ann", "bob"]
        await asked
        (cid,) = await join(hubs[0], "cid")
        assert await present(hubs[0]) == ["ann", "bob", "cid"]
        await leave(hubs[0], cid)
        assert await present(hubs[0]) == ["ann", "bob"]


async def test_members_of_a_dead_process_are_removed() -> None:
    """They are removed by a process that only asks who is present, if no other has members of the key."""
    network = Network()
    async with processes(network) as hubs:
        await join(hubs[0], "ann")
        await running().pass_time(1)
        network.brokers[0].request = _fails  # type: ignore[assignment,method-assign]
        await running().pass_time(60)
        assert network.hall.members["/news"]
        assert await present(hubs[1]) == []
        await running().pass_time(1)
        assert not network.hall.members["/news"]


async def test_members_that_do_not_hear_of_each_other() -> None:
    """They are present in all processes, and get no announcements."""
    async with processes(Network()) as hubs:
        quiet = Member("quiet")
        await Client().watch(await hubs[0].engine(), NEWS)
        hubs[0].members.join("/news", quiet)
        await join(hubs[1], "ann")
        await running().pass_time(1)
        assert await present(hubs[1]) == ["ann", "quiet"]
        assert quiet.told == []


def slow_down(broker: SimulatedBroker) -> None:
    """Let a process's members be stored late."""
    assert broker.members is not None
    put = broker.members.put

    async def put_later(*args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(SLOW)
        await put(*args, **kwargs)

    broker.members.put = put_later  # type: ignore[method-assign]


async def test_client_that_another_process_has_heard_of() -> None:
    """It is among the members that the other process reads at that moment, however slow the store is."""
    network = Network()
    async with processes(network) as hubs:
        (bob,) = await join(hubs[1], "bob")
        await running().pass_time(1)
        slow_down(network.brokers[0])
        await join(hubs[0], "ann")
        await running().pass_time(SLOW / 2)
        assert bob.told == [("join", "bob")]
        await running().pass_time(SLOW)
        assert bob.told == [("join", "bob"), ("join", "ann")]
        assert await present(hubs[1]) == ["ann", "bob"]


async def test_process_that_stops_when_a_client_has_just_joined() -> None:
    """The client is stored before the process ends: it has time to join elsewhere, as others have."""
    network = Network()
    async with processes(network) as hubs:
        await join(hubs[1], "bob")
        slow_down(network.brokers[0])
        await join(hubs[0], "ann")
        stopping = asyncio.create_task(hubs[0].__aexit__())
        await running().pass_time(2 * SLOW)
        await stopping
        assert await present(hubs[1]) == ["ann", "bob"]


async def test_process_that_stops_in_order() -> None:
    """Its members have time to join elsewhere: they leave later, when they are present there."""
    network = Network()
    async with processes(network) as hubs:
        (ann,) = await join(hubs[0], "ann")
        await running().pass_time(1)
        (bob,) = await join(hubs[1], "bob")
        await running().pass_time(1)
        hubs[0].members.part()
        await leave(hubs[0], ann)
        await hubs[0].__aexit__()
        assert await present(hubs[1]) == ["ann", "bob"]
        await join(hubs[1], "ann")
        await running().pass_time(1)
        assert bob.told == [("join", "bob"), ("join", "ann")]
        await running().pass_time(PARTING + BEAT)
        assert bob.told[2:] == [("leave", "ann")]
        assert await present(hubs[1]) == ["ann", "bob"]


async def test_member_that_joins_and_leaves_in_one_turn() -> None:
    """Nothing is left of it, and other processes do not hear of it."""
    network = Network()
    async with processes(network) as hubs:
        (bob,) = await join(hubs[1], "bob")
        (ann,) = await join(hubs[0], "ann")
        await leave(hubs[0], ann)
        await running().pass_time(1)
        assert await present(hubs[1]) == ["bob"]
        assert bob.told == [("join", "bob")]
        assert [client for _, client in network.hall.members["/news"]] == ["bob-1"]


async def passed(count: int) -> None:
    """Give the loop turns, and the network time."""
    await give_turns(count)
    await running().pass_time(1)


class Hanging:
    """Lets a process's store hang, until it is released."""

    def __init__(self, broker: SimulatedBroker) -> None:
        assert broker.members is not None
        self._store, self._put = broker.members, broker.members.put
        self._is_released = asyncio.Event()
        broker.members.put = self._put_later  # type: ignore[method-assign]

    async def _put_later(self, *args: Any, **kwargs: Any) -> None:
        await self._is_released.wait()
        await self._put(*args, **kwargs)

    async def release(self) -> None:
        """Let the store answer."""
        self._is_released.set()
        await running().pass_time(1)


async def test_changes_that_wait_are_the_last_ones() -> None:
    """While the store hangs, other processes hear in the end of those only that were there before, or stay."""
    network = Network()
    async with processes(network) as hubs:
        (bob,) = await join(hubs[1], "bob")
        ann, cid = await join(hubs[0], "ann", "cid")
        await running().pass_time(1)
        before = len(bob.told)
        hanging = Hanging(network.brokers[0])
        await join(hubs[0], "first")  # the store hangs with it
        await running().pass_time(1)
        clock = (await hubs[0].engine()).clock
        eve, dan = Member("eve"), Member("dan")
        for _ in range(10):
            for member, joins in ((ann, False), (eve, True), (cid, False), (dan, True)):
                (hubs[0].members.join if joins else hubs[0].members.leave)("/news", member, clock)
            for member, joins in ((ann, True), (eve, False), (cid, True), (dan, False)):
                (hubs[0].members.join if joins else hubs[0].members.leave)("/news", member, clock)
        await leave(hubs[0], cid)
        hubs[0].members.join("/news", dan, clock)
        await running().pass_time(1)
        await hanging.release()
        assert sorted(bob.told[before:]) == [("join", "dan"), ("join", "first"), ("leave", "cid")]
        assert await present(hubs[1]) == ["ann", "bob", "dan", "first"]


class Observed:
    """Notes the turns of the loop in which a process stores members and notifies others."""

    def __init__(self, broker: SimulatedBroker, had: Callable[[], int]) -> None:
        assert broker.members is not None
        self._put, self._notify = broker.members.put, broker.notify
        self._had = had
        self.stored: list[int] = []
        self.notified: list[int] = []
        broker.members.put = self._put_noting  # type: ignore[method-assign]
        broker.notify = self._notify_noting  # type: ignore[method-assign]

    async def _put_noting(self, *args: Any, **kwargs: Any) -> None:
        self.stored.append(self._had())
        await self._put(*args, **kwargs)

    def _notify_noting(self, name: str, message: bytes) -> None:
        self.notified.append(self._had())
        self._notify(name, message)


async def test_many_members_are_stored_and_swept_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand members hold up no other work: not when they join or are stored again, nor when their process dies."""
    monkeypatch.setattr(turns, "SLICE", 0.0)
    network = Network()
    async with processes(network) as hubs, counting_turns() as had:
        one, other = (Observed(each, had) for each in network.brokers)
        await join(hubs[1], "bob")
        before = had()
        await join(hubs[0], *map(str, range(MANY)))
        await passed(MANY)
        assert one.stored[0] - before >= MANY // SOME
        assert len(one.notified) == MANY
        assert max(Counter(one.notified).values()) <= SOME
        for lost in (network.hall.alive, network.hall.present, network.hall.members):
            lost.clear()
        await running().pass_time(BEAT)
        before = had()
        await passed(MANY)
        assert one.stored[-1] - before >= MANY // SOME - 10 * SOME
        network.brokers[0].request = _fails  # type: ignore[assignment,method-assign]
        await running().pass_time(60)
        await passed(MANY)
        assert len(other.notified) == MANY + 1
        assert max(Counter(other.notified).values()) <= SOME


async def test_client_that_leaves_while_all_are_stored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the client: its change is stored after that."""
    monkeypatch.setattr(turns, "SLICE", 0.0)
    network = Network()
    async with processes(network) as hubs:
        *_, last = await join(hubs[0], *map(str, range(MANY)))
        await passed(MANY)
        for lost in (network.hall.alive, network.hall.present, network.hall.members):
            lost.clear()
        await running().pass_time(BEAT)
        assert "/news" not in network.hall.members  # they are being stored
        await leave(hubs[0], last)
        await passed(MANY)
        assert len(network.hall.members["/news"]) == MANY - 1


async def test_client_that_comes_and_goes_while_all_are_stored_again() -> None:
    """Nothing is left of a client that was stored with the others, although its own join was not stored yet."""
    network = Network()
    async with processes(network) as hubs:
        (bob,) = await join(hubs[1], "bob")
        await join(hubs[0], "ann")
        await running().pass_time(1)
        slow_down(network.brokers[0])
        await join(hubs[0], "dan")
        await running().pass_time(SLOW / 2)
        shared(hubs[0]).beaten(False, False)  # all are stored again after that
        (eve,) = await join(hubs[0], "eve")
        await running().pass_time(SLOW)
        await leave(hubs[0], eve)
        await running().pass_time(3 * SLOW)
        assert await present(hubs[1]) == ["ann", "bob", "dan"]
        assert bob.told[-1] == ("join", "dan")


async def test_sweep_that_fails_for_one_key() -> None:
    """The members of other keys that were removed are announced nevertheless: no later sweep would find them."""
    network = Network()
    async with processes(network) as hubs:
        await join(hubs[0], "ann")
        (bob,) = await join(hubs[1], "bob")
        await running().pass_time(1)
        broker = network.brokers[1]
        assert broker.members is not None
        sweep = broker.members.sweep

        async def sweep_some(name: str) -> Sequence[bytes]:
            if name == "/broken":
                raise BrokerDown
            return await sweep(name)

        broker.members.sweep = sweep_some  # type: ignore[method-assign]
        hubs[1].members.join("/broken", Member("cid"))
        network.brokers[0].request = _fails  # type: ignore[assignment,method-assign]
        await running().pass_time(60)
        assert bob.told[-1] == ("leave", "ann")


async def test_sweep_by_a_process_without_members() -> None:
    """A process that only asks who is present announces those that it removes: others have members of the key."""
    network = Network()
    async with processes(network, 3) as hubs:
        await join(hubs[0], "ann")
        (bob,) = await join(hubs[1], "bob")
        await running().pass_time(1)
        assert network.brokers[1].members is not None
        network.brokers[1].members.sweep = _fails  # type: ignore[assignment,method-assign]
        network.brokers[0].request = _fails  # type: ignore[assignment,method-assign]
        await running().pass_time(60)
        assert ("leave", "ann") not in bob.told
        assert await present(hubs[2]) == ["bob"]
        await running().pass_time(1)
        assert bob.told[-1] == ("leave", "ann")


async def test_beats_store_a_key_once() -> None:
    """However many beats come while members are being stored again, they are stored once more."""
    network = Network()
    async with processes(network) as hubs:
        await join(hubs[0], "ann")
        await running().pass_time(1)
        observed = Observed(network.brokers[0], lambda: 0)
        for _ in range(50):
            shared(hubs[0]).beaten(False, False)
        await running().pass_time(1)
        assert len(observed.stored) <= 2


async def test_client_with_two_subscriptions_to_a_key() -> None:
    """Other processes hear of it once, and it is there until its last subscription ends, although changes wait."""
    network = Network()
    async with processes(network) as hubs:
        (bob,) = await join(hubs[1], "bob")
        (one,) = await join(hubs[0], "ann")
        await running().pass_time(1)
        (other,) = await join(hubs[0], "ann")
        await leave(hubs[0], one)
        await running().pass_time(1)
        assert await present(hubs[1]) == ["ann", "bob"]
        (one,) = await join(hubs[0], "ann")
        await leave(hubs[0], one)
        await leave(hubs[0], other)
        await running().pass_time(1)
        assert await present(hubs[1]) == ["bob"]
        assert bob.told == [("join", "bob"), ("join", "ann"), ("leave", "ann")]


async def test_changes_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store hangs, the changes of a key are forgotten beyond a bound; then all processes see who is there."""
    monkeypatch.setattr(attendance, "MOST_BYTES", 20_000)
    network = Network()
    async with processes(network) as hubs:
        (bob,) = await join(hubs[1], "bob")
        (ann,) = await join(hubs[0], "ann")
        await running().pass_time(1)
        hanging = Hanging(network.brokers[0])
        await join(hubs[0], "first")  # the store hangs with it
        await running().pass_time(1)
        names = [f"{number}" for number in range(50)]
        members = await join(hubs[0], *names)
        await leave(hubs[0], members.pop())
        await leave(hubs[0], ann)
        await running().pass_time(1)
        await hanging.release()
        assert await present(hubs[1]) == sorted(["bob", "first", *names[:-1]])
        assert bob.told == [("join", "bob"), ("join", "ann"), ("join", "first")]
        await leave(hubs[0], members.pop())
        await running().pass_time(1)
        assert bob.told[3:] == [("leave", "48")]


async def test_broker_that_is_away() -> None:
    """Members that join or leave meanwhile are stored when it is back; those of the same process hear of them."""
    network = Network()
    async with processes(network) as hubs:
        ann, bob = await join(hubs[0], "ann", "bob")
        await running().pass_time(1)
        network.go_down()
        with pytest.raises(BrokerDown):
            await present(hubs[1])
        cid = Member("cid")
        hubs[0].members.join("/news", cid, (await hubs[0].engine()).clock)
        await leave(hubs[0], bob)
        await running().pass_time(1)
        assert ann.told == [("join", "ann"), ("join", "bob"), ("join", "cid"), ("leave", "bob")]
        network.is_up = True
        await running().pass_time(BEAT + 1)
        assert await present(hubs[1]) == ["ann", "cid"]


async def test_server_that_has_lost_everything() -> None:
    """A process whose members the server does not know stores them again."""
    network = Network()
    async with processes(network) as hubs:
        await join(hubs[0], "ann")
        await running().pass_time(1)
        for lost in (network.hall.alive, network.hall.present, network.hall.members):
            lost.clear()
        await running().pass_time(BEAT)
        assert await present(hubs[1]) == ["ann"]


async def test_server_that_has_lost_a_part() -> None:
    """Members that are lost without a trace, as after a failover, are stored again after a while."""
    network = Network()
    async with processes(network) as hubs:
        await join(hubs[0], "ann")
        await running().pass_time(1)
        network.hall.members.clear()
        await running().pass_time(BEAT * (ROUND + 1))
        assert await present(hubs[1]) == ["ann"]


async def test_malformed_members_and_notices(caplog: pytest.LogCaptureFixture) -> None:
    """Malformed members and notices of another process are logged, and affect nothing else."""
    network = Network()
    async with processes(network) as hubs:
        (ann,) = await join(hubs[0], "ann")
        await running().pass_time(1)
        members = network.hall.members["/news"]
        (at,) = members
        members[at[0], "x"] = members[at]._replace(client="x", data=b"{")
        clients, _, some = await shared(hubs[1]).read("/news", 100)
        assert (clients, [each.user for each in some]) == (2, ["ann"])
        sender = {"client": "y", "user": "eve", "info": "", "channel_info": ""}
        for notice in (b"join", b"join x", b"join x {", b"join x {}", b"join x " + json.dumps(sender).encode()):
            network.brokers[1].notify("/news", notice)
        await running().pass_time(1)
        assert ann.told == [("join", "ann"), ("join", "eve")]
        assert {each.levelname for each in caplog.records} == {"ERROR"}
        caplog.clear()
