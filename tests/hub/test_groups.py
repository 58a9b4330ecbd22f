"""Groups of clients: long work for many goes in turns, and each client gets everything in order."""

import asyncio
import json

import pytest

from tests.definitions.reachable import Connection
from tests.lanes.turns import counting_turns, until
from wirespeed.hub import groups, slices, turns
from wirespeed.hub.clients import Clients
from wirespeed.hub.groups import Groups, Selection
from wirespeed.hub.processes import Processes

pytestmark = pytest.mark.anyio

ALL = Selection()


class Crowd:
    """Some clients of one process, and their groups."""

    def __init__(self, count: int) -> None:
        self.clients, self.processes = Clients(), Processes()
        self.groups = Groups(self.clients, lambda _: [], self.processes)
        self.connections = [Connection(str(number)) for number in range(count)]
        for each in self.connections:
            self.clients.join(each, asyncio.get_running_loop())

    def got(self) -> list[list[bytes]]:
        """Return the messages of each client."""
        return [[data for _, data in each.done] for each in self.connections]

    async def answer(self, most: int) -> bytes:
        """Return the list of clients for another process."""
        return await self.processes.slow["list"](json.dumps([ALL, most]).encode())


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each turn do as little as possible."""
    monkeypatch.setattr(slices, "SLICE", 0.0)
    monkeypatch.setattr(turns, "SLICE", 0.0)


@pytest.mark.usefixtures("_short")
async def test_many_are_reached_in_turns() -> None:
    """An action on many clients lets other work run in between, and reaches all in the order of the actions."""
    crowd = Crowd(3)
    everyone = crowd.groups.group(ALL)
    everyone.send(1)
    everyone.send(2)
    assert crowd.got() == [[b"1"], [], []]
    await until(lambda: crowd.got() == [[b"1", b"2"]] * 3)


@pytest.mark.usefixtures("_short")
async def test_order_of_one_client() -> None:
    """A message to one client comes behind everything that was sent to its groups before."""
    crowd = Crowd(3)
    everyone = crowd.groups.group(ALL)
    everyone.send(1)
    everyone.send(2)
    (last,) = crowd.clients.of_ids(["2"])
    last.send(3)
    everyone.send(4)
    assert crowd.got() == [[b"1"], [], [b"1", b"2", b"3"]]
    await until(lambda: crowd.got() == [[b"1", b"2", b"4"], [b"1", b"2", b"4"], [b"1", b"2", b"3", b"4"]])


@pytest.mark.usefixtures("_short")
async def test_threads_keep_the_order() -> None:
    """A thread's messages to groups and to single clients arrive in its order."""
    crowd = Crowd(2)

    def send() -> None:
        for number in range(3):
            crowd.groups.group(ALL).send(number)
            crowd.clients.of_ids(["1"])[0].send("own")

    await asyncio.to_thread(send)
    own = [b"0", b'"own"', b"1", b'"own"', b"2", b'"own"']
    await until(lambda: crowd.got() == [[b"0", b"1", b"2"], own])


@pytest.mark.usefixtures("_short")
async def test_last_messages_are_sent() -> None:
    """Clients that were to get a message get it before the app stops."""
    crowd = Crowd(3)
    crowd.groups.group(ALL).send(1)
    crowd.groups.finish()
    assert crowd.got() == [[b"1"]] * 3


async def test_list_is_cut_where_it_has_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list for another process has as many clients as fit into a message."""
    crowd = Crowd(30)
    whole = await crowd.answer(30)
    assert len(json.loads(whole)) == 30
    assert len(json.loads(await crowd.answer(9))) == 9
    monkeypatch.setattr(groups, "MOST_BYTES", len(whole))
    assert await crowd.answer(30) == whole
    monkeypatch.setattr(groups, "MOST_BYTES", len(whole) - 1)
    assert json.loads(await crowd.answer(30)) == json.loads(whole)[:29]


@pytest.mark.usefixtures("_short")
async def test_list_is_made_in_turns() -> None:
    """Other work of the loop runs while the clients are listed, for this process and for others."""
    crowd = Crowd(30)
    async with counting_turns() as had:
        assert len(await crowd.groups.group(ALL).list()) == 30
        seen = had()
        assert seen >= 3
        await crowd.answer(30)
        assert had() >= seen + 3
