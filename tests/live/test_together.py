"""Everything that the processes of an app share beside logs: presence, clients, figures, and commands over HTTP.

The processes are apps in one event loop here, with a real Valkey between them.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from tests.brokers.valkey import Valkey
from tests.centrifuge.sides import SIDES, Side
from tests.lanes.turns import until
from tests.live.multiplexing import Speaker, speaking
from tests.waiting import NEVER, until_async
from wirespeed import Identity, Live, Message, RunStatistics, Topic
from wirespeed.brokers.redis import control
from wirespeed.centrifuge.codec import Codec
from wirespeed.centrifuge.messages import Push
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no process die, or its members leave, because the machine is slow; tests end them at the server."""
    monkeypatch.setattr(control, "ALIVE", NEVER)
    monkeypatch.setattr(control, "PARTING", NEVER)


async def authenticate(token: str, connection: HTTPConnection) -> Identity | None:
    """Admit everyone, under the token as the name."""
    return Identity(user=token, info={"name": token})


class Worker:
    """One process of the app."""

    def __init__(self, broker: str | None) -> None:
        self.app = FastAPI()
        self.live = Live(self.app, authenticate=authenticate, broker=broker)
        self.room: Topic[..., str] = self.live.topic("/room/{name}", str, keep=10, presence=True, join_leave=True)

        @self.room
        def room(name: str) -> None: ...

        @self.live.call("/shout")
        async def shout(text: Annotated[str, Message()]) -> str:
            return text.upper()

    @asynccontextmanager
    async def speaker(self, user: str, side: Side = SIDES[0], *channels: str) -> AsyncIterator[Speaker]:
        """A connected client that is subscribed to channels."""
        async with speaking(self.app, side, connects=False) as speaker:
            await speaker.connected(token=user)
            for each in channels:
                await speaker.subscribed(each)
            yield speaker


@pytest.fixture
async def workers(server: Valkey) -> AsyncIterator[list[Worker]]:
    """Two processes that know of each other."""
    server.command("FLUSHALL")
    async with running(server) as workers:
        yield workers


@asynccontextmanager
async def running(server: Valkey, count: int = 2) -> AsyncIterator[list[Worker]]:
    """Some processes that know of each other."""
    workers = [Worker(f"redis://127.0.0.1:{server.port}") for _ in range(count)]
    async with AsyncExitStack() as stack:
        for each in workers:
            await stack.enter_async_context(lifespan(each.app))
        await until_async(lambda: all_answer(workers))
        yield workers


async def all_answer(workers: list[Worker]) -> bool:
    """Return True if each process gets the answers of all."""
    return all([(await each.live.all_statistics()).answered == len(workers) for each in workers])


async def names(speaker: Speaker, channel: str) -> list[str]:
    """Return the names of those who are present, as a client sees them."""
    there = (await speaker.ask({"presence": {"channel": channel}}))["presence"].get("presence", {})
    return sorted(each["user"] for each in there.values())


async def sees(speaker: Speaker, channel: str, *users: str) -> bool:
    """Return True if these are present, as a client sees them."""
    return await names(speaker, channel) == list(users)


async def stats(speaker: Speaker, channel: str) -> tuple[int, int]:
    """Return the number of clients and users, as a client sees them."""
    seen = (await speaker.ask({"presence_stats": {"channel": channel}}))["presence_stats"]
    return seen.get("num_clients", 0), seen.get("num_users", 0)


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_presence(workers: list[Worker], side: Side) -> None:
    """Clients of all processes are present, with their number; also for a client that is not subscribed."""
    one, two = workers
    async with (
        one.speaker("ann", side, "room/a") as ann,
        two.speaker("bob", side, "room/a") as bob,
        two.speaker("ann", side) as again,
    ):
        for each in (ann, bob, again):
            await until_async(partial(sees, each, "room/a", "ann", "bob"))
            assert await stats(each, "room/a") == (2, 2)
            assert await names(each, "room/b") == []
        await again.subscribed("room/a")
        assert await stats(again, "room/a") == (3, 2)
        await bob.ask({"unsubscribe": {"channel": "room/a"}})
        await until_async(lambda: _is(stats(ann, "room/a"), (2, 1)))


async def _is(answer: Any, expected: object) -> bool:
    return bool(await answer == expected)


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_joins_and_leaves(workers: list[Worker], side: Side) -> None:
    """A member learns of those that join and leave in any process, once, in order."""
    one, two = workers
    async with one.speaker("ann", side, "room/a") as ann:
        assert (await ann.push())["join"]["info"]["user"] == "ann"
        async with two.speaker("bob", side, "room/a") as bob:
            assert (await bob.push())["join"]["info"]["user"] == "bob"
            joined = (await ann.push())["join"]["info"]
            assert (joined["user"], joined["conn_info"]) == ("bob", {"name": "bob"})
        left = (await ann.push())["leave"]["info"]
        assert (left["user"], left["client"]) == ("bob", joined["client"])
        assert await ann.quiet() == []


async def test_client_that_is_subscribed_twice(workers: list[Worker]) -> None:
    """A client with two subscriptions to a key is present until the last one has ended."""
    one, two = workers
    async with one.speaker("ann", SIDES[0], "room/a", "/room/a") as ann, two.speaker("bob") as bob:
        await until_async(lambda: _is(stats(bob, "room/a"), (1, 1)))
        await ann.ask({"unsubscribe": {"channel": "room/a"}})
        assert await stats(ann, "room/a") == (1, 1)
        await ann.ask({"unsubscribe": {"channel": "/room/a"}})
        await until_async(lambda: _is(stats(bob, "room/a"), (0, 0)))


async def test_clients_of_a_process_that_stops(server: Valkey) -> None:
    """They do not leave at once: they are about to join elsewhere. After a while they leave, for all members."""
    server.command("FLUSHALL")
    async with running(server) as (one, two), one.speaker("ann", SIDES[0], "room/a") as ann:
        assert (await ann.push())["join"]["info"]["user"] == "ann"
        async with lifespan((three := Worker(f"redis://127.0.0.1:{server.port}")).app):
            await until_async(lambda: all_answer([one, two, three]))
            async with three.speaker("bob", SIDES[0], "room/a") as bob:
                assert (await ann.push())["join"]["info"]["user"] == "bob"
                await until_async(partial(sees, ann, "room/a", "ann", "bob"))
                process = three.live._hub.process
                await three.live._hub.__aexit__()
                assert (await bob.farewell())[0] == 3001
        assert await names(ann, "room/a") == ["ann", "bob"]
        assert await ann.quiet() == []
        server.command("ZREM", "wirespeed:{processes}:holders", process)
        await one.live._hub.processes.ask_all("nothing", b"", 0)  # a beat
        assert (await ann.push())["leave"]["info"]["user"] == "bob"
        assert await names(ann, "room/a") == ["ann"]
        assert await ann.quiet() == []


async def test_server_that_has_lost_everything(workers: list[Worker], server: Valkey) -> None:
    """Every process stores its members again."""
    one, two = workers
    async with one.speaker("ann", SIDES[0], "room/a") as ann, two.speaker("bob", SIDES[0], "room/a") as bob:
        await until_async(partial(sees, ann, "room/a", "ann", "bob"))
        server.command("FLUSHALL")
        await until_async(lambda: all_answer(workers))  # a beat of each
        for each in (ann, bob):
            await until_async(partial(sees, each, "room/a", "ann", "bob"))


async def test_actions_reach_all_processes(workers: list[Worker]) -> None:
    """Each method of a group acts on the clients of a user in every process, and on no others."""
    one, two = workers
    async with one.speaker("ann") as here, two.speaker("ann") as there, two.speaker("bob") as bob:
        group = one.live.all_clients("ann")
        group.send({"a": "ä"})
        for each in (here, there):
            assert (await each.push())["message"]["data"] == {"a": "ä"}
        group.subscribe("room/a", {"b": 1})
        for each in (here, there):
            pushes = [await each.push() for _ in range(2)]
            assert [push["subscribe"]["data"] for push in pushes if "subscribe" in push] == [{"b": 1}]
        group.unsubscribe("room/a")
        for each in (here, there):
            while "unsubscribe" not in (push := await each.push()):
                assert "join" in push or "leave" in push
        group.refresh(None)
        for each in (here, there):
            while "refresh" not in await each.push():
                pass
        group.disconnect(4321, "go")
        assert [await each.farewell() for each in (here, there)] == [(4321, "go")] * 2
        assert await bob.quiet() == []


async def test_clients_of_a_key_and_by_id(workers: list[Worker]) -> None:
    """A topic's group are the clients that watch the key; an id selects one client of any process."""
    one, two = workers
    async with two.speaker("ann", SIDES[0], "room/a") as ann, two.speaker("bob", SIDES[0], "room/b") as bob:
        await ann.push()
        await bob.push()
        one.room.all_clients(name="a").send(1)
        assert (await ann.push())["message"]["data"] == 1
        (only,) = [each for each in await one.live.all_clients().list() if each.user == "bob"]
        one.live.all_clients(id=only.id).send(2)
        assert (await bob.push())["message"]["data"] == 2
        one.live.all_clients("ann", id=only.id).send(3)
        one.live.all_clients(id="unknown").send(3)
        assert await one.live.all_clients("ann", id=only.id).list() == []
        assert [*await ann.quiet(), *await bob.quiet()] == []


async def test_list_of_clients(workers: list[Worker]) -> None:
    """The list has the clients of all processes, with what is known of them; at most a number of each process."""
    one, two = workers
    async with one.speaker("ann"), two.speaker("bob", SIDES[0], "room/a"), two.speaker("bob"):
        everyone = await one.live.all_clients().list()
        assert sorted(each.user for each in everyone) == ["ann", "bob", "bob"]
        assert len({each.process for each in everyone}) == 2
        assert sorted(each.id for each in everyone) == sorted(
            each.id for worker in workers for each in worker.live.clients()
        )
        (watching,) = await one.room.all_clients(name="a").list()
        assert (watching.user, watching.transport, watching.channels) == ("bob", "websocket", ["room/a"])
        assert watching.info == {"name": "bob"}
        assert len(await one.live.all_clients("bob").list()) == 2
        assert len(await one.live.all_clients("bob").list(most=1)) == 1


async def test_actions_in_other_threads(workers: list[Worker]) -> None:
    """The methods of a group may be called in any thread."""
    one, two = workers
    async with two.speaker("ann") as ann:
        await asyncio.to_thread(one.live.all_clients("ann").send, 1)
        assert (await ann.push())["message"]["data"] == 1


async def test_large_message_is_refused(workers: list[Worker]) -> None:
    """A message that is too large for other processes reaches no one."""
    one, _ = workers
    async with one.speaker("ann") as ann:
        with pytest.raises(ValueError, match="at most 1048576 are possible"):
            one.live.all_clients().send("x" * (1 << 20))
        assert await ann.quiet() == []


async def test_without_a_broker() -> None:
    """A group is that of the only process; it has no name."""
    worker = Worker(None)
    async with lifespan(worker.app), worker.speaker("ann", SIDES[0], "room/a") as ann:
        await ann.push()
        worker.live.all_clients("ann").send(1)
        worker.room.all_clients(name="a").send(2)
        assert [(await ann.push())["message"]["data"] for _ in range(2)] == [1, 2]
        (only,) = await worker.live.all_clients().list()
        assert (only.user, only.process) == ("ann", "")
        found = await worker.live.all_statistics()
        assert (found.processes, found.answered) == (1, 1)
        assert found.connections.connections == worker.live.statistics().connections == 1
        assert await names(ann, "room/a") == ["ann"]


async def test_message_to_many_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message to a group of clients is encoded once for each format."""
    encoded: list[str] = []

    def counted(codec: type[Codec]) -> None:
        push = codec.push

        def counting(self: Any, message: Push) -> bytes:
            encoded.append(self.name)
            return push(self, message)

        monkeypatch.setattr(codec, "push", counting)

    worker = Worker(None)
    async with lifespan(worker.app), AsyncExitStack() as stack:
        speakers = [await stack.enter_async_context(worker.speaker("ann", side)) for side in SIDES for _ in range(3)]
        for side in SIDES:
            counted(type(side.codec))
        worker.live.all_clients().send({"hello": 1})
        assert [(await each.push())["message"]["data"] for each in speakers] == [{"hello": 1}] * 6
        assert sorted(encoded) == sorted(side.codec.name for side in SIDES)


async def test_figures_of_all_processes(workers: list[Worker]) -> None:
    """The figures are the sums of all processes, with their number."""
    one, two = workers
    async with one.speaker("ann", SIDES[0], "room/a"), two.speaker("bob", SIDES[0], "room/a"), two.speaker("eve"):
        found = await one.live.all_statistics()
        assert (found.processes, found.answered) == (2, 2)
        assert found.connections.connections == 3
        assert sum(found.connections.lanes.values()) == 3
        assert found.watching["/room/{name}"].watchers == 2
        assert found.watching["/room/{name}"].keys == 2
        for worker in workers:
            async with connect(worker.app, "/shout") as client:
                await client.send_text("hey")
                assert await client.receive_text() == "HEY"
        found = await one.live.all_statistics()
        assert list(found.running) == ["/shout"]
        figures = found.running["/shout"]
        assert figures == RunStatistics(completed=2, messages=2, durations=figures.durations)
        assert sum(figures.durations.counts) == 2
        assert figures.durations.total == sum(each.live.running()["/shout"].durations.total for each in workers)
        lags = [each.live.statistics().loop_lag.worst for each in workers]
        assert 0 <= found.connections.loop_lag.mean <= found.connections.loop_lag.worst <= max(lags)


async def test_process_that_does_not_answer(workers: list[Worker]) -> None:
    """It is counted, and the others do not wait for longer than they said."""
    one, two = workers
    two.live._hub.processes.answers["figures"] = lambda _: None
    found = await one.live.all_statistics(timeout=0.1)
    assert (found.processes, found.answered) == (2, 1)


async def test_malformed_messages(workers: list[Worker], server: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever another process sends is logged and ignored if it is malformed; what follows is taken."""
    one, two = workers
    words = [
        b"",
        b"list",
        b"list 1\n{",
        b"list x\n[]",
        b'act 0\n[[null,null,null],"end",[]]',
        b"reply y\n",
        b"\xff 0\n",
    ]
    way = one.live._hub._broker.control  # type: ignore[union-attr]
    assert way is not None
    async with two.speaker("ann") as ann:
        for each in [*words, b"unknown 1\n", b"reply 99\n", b"x 0\n" + b"x" * (1 << 20) + b"x"]:
            way.tell(each)
        one.live.all_clients().send(1)
        assert (await ann.push())["message"]["data"] == 1
    assert {each.levelname for each in caplog.records} == {"ERROR"}
    caplog.clear()


class Exchange:
    """One POST to an app, whose client stays until it leaves."""

    def __init__(self, app: Any, path: str, body: bytes) -> None:
        self.status = 0
        self.heard = b""
        self._given = iter([{"type": "http.request", "body": body, "more_body": False}])
        self._gone = asyncio.Event()
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        self.over = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        for each in self._given:
            return each
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.heard += message.get("body", b"")

    async def leave(self) -> None:
        """End it."""
        self._gone.set()
        await self.over


class Emulated:
    """A client over HTTP: a long response of one process."""

    def __init__(self, app: Any) -> None:
        self._exchange = Exchange(app, "/live/http_stream", b'{"id":1,"connect":{"token":"ann"}}')
        self.leave = self._exchange.leave

    async def next(self) -> dict[str, Any]:
        """Return the next reply or push."""
        while True:
            await until(lambda: b"\n" in self._exchange.heard)
            line, _, self._exchange.heard = self._exchange.heard.partition(b"\n")
            if line.strip() not in (b"", b"{}"):
                found: dict[str, Any] = json.loads(line)
                return found


@asynccontextmanager
async def emulated(worker: Worker) -> AsyncIterator[tuple[Emulated, Callable[..., dict[str, Any]]]]:
    """A client over HTTP, and what makes the bodies of its commands."""
    client = Emulated(worker.app)
    connected = (await client.next())["connect"]
    keys = {"session": connected["session"], "node": connected["node"]}
    yield client, lambda command, **others: keys | {"data": json.dumps(command)} | others
    await client.leave()


async def post(worker: Worker, body: dict[str, Any]) -> tuple[int, str]:
    """Post commands to a process; return the status and the detail."""
    exchange = Exchange(worker.app, "/live/emulation", json.dumps(body).encode())
    await exchange.over
    return exchange.status, json.loads(exchange.heard)["detail"] if exchange.heard else ""


async def test_commands_that_reach_another_process(workers: list[Worker], caplog: pytest.LogCaptureFixture) -> None:
    """Commands of a connection over HTTP reach the process that holds it, whichever process has got them."""
    one, two = workers
    with caplog.at_level(logging.WARNING):
        async with emulated(one) as (client, body):
            assert await post(two, body({"id": 2, "subscribe": {"channel": "room/a"}})) == (204, "")
            assert (await client.next())["id"] == 2
            assert (await client.next())["push"]["join"]["info"]["user"] == "ann"
            assert await post(one, body({"id": 3, "unsubscribe": {"channel": "room/a"}})) == (204, "")
            assert (await client.next())["id"] == 3
    assert caplog.records == []


async def test_commands_without_a_connection(workers: list[Worker]) -> None:
    """A session or a process that is gone is an error at once; a process that does not answer is one, too."""
    one, two = workers
    command = {"id": 2, "subscribe": {"channel": "room/a"}}
    gone = (404, "There is no such connection.")
    async with emulated(one) as (_, body):
        assert await post(two, body(command, session="another")) == gone
        assert await post(two, body(command, node="another")) == gone
    assert await post(two, body(command)) == gone
    assert two.live.statistics().refused["emulation"] == 3


async def test_commands_for_a_client_that_is_full(workers: list[Worker]) -> None:
    """The answer of the process that holds the connection is that of the one that was asked."""
    one, two = workers
    async with emulated(one) as (_, body):
        site = one.app.state.wirespeed.site
        (session,) = site.emulated
        site.emulated[session] = site.emulated[session]._replace(receive=lambda _: False)
        assert (await post(two, body({"id": 2, "presence": {"channel": "room/a"}})))[0] == 429
