"""Clients: the connected ones, and how they are found."""

import asyncio
import weakref

import pytest

from tests.definitions.reachable import Connection
from wirespeed.definitions import Client
from wirespeed.hub.clients import Clients
from wirespeed.identity import Sender

pytestmark = pytest.mark.anyio


async def joined(clients: Clients, *connections: Connection) -> None:
    """Return some connected clients."""
    for each in connections:
        clients.join(each, asyncio.get_running_loop())


def ids(clients: list[Client]) -> list[str]:
    """Return their ids."""
    return [each.id for each in clients]


async def test_clients_of_a_user() -> None:
    """All connections of a user are found, and no others; anonymous ones count as a user's, too."""
    clients = Clients()
    await joined(clients, Connection("1", "ann"), Connection("2", "bob"), Connection("3", "ann"), Connection("4"))
    assert ids(clients.of_user("ann")) == ["1", "3"]
    assert ids(clients.of_user("")) == ["4"]
    assert ids(clients.of_user(None)) == ["1", "2", "3", "4"]
    assert clients.of_user("eve") == []


async def test_clients_leave() -> None:
    """A client that has left is not found any more; leaving twice, or without joining, has no effect."""
    clients = Clients()
    one, other = Connection("1", "ann"), Connection("2", "ann")
    await joined(clients, one, other)
    clients.leave(one.sender)
    clients.leave(one.sender)
    clients.leave(Sender(user="unknown", client="3"))
    assert ids(clients.of_user("ann")) == ids(clients.of_user(None)) == ["2"]
    clients.leave(other.sender)
    assert clients.of_user("ann") == clients.of_user(None) == []


async def test_users_are_forgotten() -> None:
    """A user without connections leaves nothing in memory, not even the name."""

    class Name(str):
        __slots__ = ("__weakref__",)

    clients, connection = Clients(), Connection("1", Name("ann"))
    known = weakref.ref(connection.sender.user)
    await joined(clients, connection)
    clients.leave(connection.sender)
    del connection
    assert known() is None


async def test_clients_by_id() -> None:
    """Present clients are returned in the requested order."""
    clients = Clients()
    await joined(clients, *(Connection(str(number)) for number in range(4)))
    assert ids(clients.of_ids(["3", "gone", "1"])) == ["3", "1"]
    assert clients.of_ids([]) == []
