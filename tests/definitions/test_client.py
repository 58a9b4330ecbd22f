"""Clients: what application code can do to them, from any thread or loop."""

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_core import PydanticSerializationError

from tests.definitions.reachable import Connection
from tests.lanes.turns import until
from wirespeed.definitions import Client, Inlet
from wirespeed.definitions.inlet import BESIDE
from wirespeed.errors import BacklogFull

pytestmark = pytest.mark.anyio


async def test_what_is_known_of_a_client() -> None:
    """A client has an id, a user and channels, and a name in logs."""
    client = Client(Connection("1", "ann"), asyncio.get_running_loop())
    assert (client.id, client.user, client.channels) == ("1", "ann", ["a", "/b"])
    assert repr(client) == "<Client 1 of user 'ann'>"


Does = Callable[[Client], None]

EVERYTHING: list[tuple[Does, tuple[Any, ...]]] = [
    (lambda client: client.send({"a": 1}), ("tell", b'{"a":1}')),
    (lambda client: client.disconnect(), ("disconnect", 3503, "force disconnect")),
    (lambda client: client.disconnect(4999, "bye"), ("disconnect", 4999, "bye")),
    (lambda client: client.disconnect(code=3000, reason=""), ("disconnect", 3000, "")),
    (lambda client: client.subscribe("/a"), ("subscribe", "/a", b"")),
    (lambda client: client.subscribe("/a", data=[1]), ("subscribe", "/a", b"[1]")),
    (lambda client: client.unsubscribe("/a"), ("unsubscribe", "/a")),
    (lambda client: client.refresh(1e9), ("refresh", 1e9)),
    (lambda client: client.refresh(None), ("refresh", None)),
]


@pytest.mark.parametrize(("does", "done"), EVERYTHING)
async def test_in_the_loop(does: Does, done: tuple[Any, ...]) -> None:
    """In the loop of the connection, a method takes effect at once."""
    connection = Connection("1")
    does(Client(connection, asyncio.get_running_loop()))
    assert connection.done == [done]


@pytest.mark.parametrize(("does", "done"), EVERYTHING)
async def test_in_a_thread(does: Does, done: tuple[Any, ...]) -> None:
    """From a thread, methods take effect in the loop of the connection, in order."""
    connection = Connection("1")
    client = Client(connection, asyncio.get_running_loop())

    def twice() -> None:
        does(client)
        client.send("last")

    thread = threading.Thread(target=twice)
    thread.start()
    await until(lambda: len(connection.done) == 2)
    thread.join()
    assert connection.done == [done, ("tell", b'"last"')]
    assert connection.threads == {threading.get_ident()}


async def test_actions_of_threads_are_bounded() -> None:
    """A thread that sends faster than the loop can do it learns that, instead of memory being filled."""
    inlet, connection = Inlet(1_000_000), Connection("1")
    client = Client(connection, asyncio.get_running_loop(), inlet=inlet)

    refused = list[BacklogFull]()

    def send() -> None:
        try:
            while True:
                client.send("x" * 10_000)
        except BacklogFull as full:
            refused.append(full)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()  # the loop is blocked meanwhile
    assert (len(refused), connection.done) == (1, [])
    await until(lambda: len(connection.done) == 1_000_000 // (10_002 + BESIDE))
    client.send("now")
    assert connection.done[-1] == ("tell", b'"now"')


def test_in_another_loop() -> None:
    """From another loop, methods take effect in the loop of the connection."""
    connection = Connection("1")
    loop = asyncio.new_event_loop()
    client = Client(connection, loop)

    async def send() -> None:
        client.send("hi")
        assert connection.done == []

    asyncio.run(send())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert connection.done == [("tell", b'"hi"')]


@pytest.mark.parametrize("does", [does for does, _ in EVERYTHING])
def test_after_the_end(does: Does) -> None:
    """Once the loop is closed, a method does nothing and raises nothing."""
    connection = Connection("1")
    loop = asyncio.new_event_loop()
    loop.close()
    does(Client(connection, loop))
    assert connection.done == []


@pytest.mark.parametrize("does", [lambda it: it.send(object()), lambda it: it.subscribe("/a", object())])
async def test_what_is_no_json(does: Does) -> None:
    """Data that cannot be serialised raises in the caller, and nothing is sent."""
    connection = Connection("1")
    with pytest.raises(PydanticSerializationError, match="object"):
        does(Client(connection, asyncio.get_running_loop()))
    assert connection.done == []


@pytest.mark.parametrize("time", [math.nan, math.inf, "tomorrow", 10**400])
async def test_what_is_no_time(time: Any) -> None:
    """A value that is not a time raises in the caller, and nothing is done."""
    connection = Connection("1")
    with pytest.raises((TypeError, ValueError, OverflowError)):
        Client(connection, asyncio.get_running_loop()).refresh(time)
    assert connection.done == []


@pytest.mark.parametrize("code", [0, 1000, 2999, 5000, 65535])
async def test_codes_of_others(code: int) -> None:
    """A code outside the range for applications raises in the caller."""
    connection = Connection("1")
    with pytest.raises(ValueError, match=f"from 3000 to 4999, not {code}"):
        Client(connection, asyncio.get_running_loop()).disconnect(code)
    assert connection.done == []
