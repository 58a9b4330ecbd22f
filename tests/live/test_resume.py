"""Streams with ``resume=``: their runs outlive the connection, and clients that reconnect miss nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, Query
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.waiting import NEVER, until
from wirespeed import DeclarationError, Live, Message, Settings
from wirespeed.testing import Closed, WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]


class Scene:
    """An app whose streams yield what the test says, and the fates of its runs and dependencies."""

    def __init__(self, resume: float = NEVER, settings: Settings | None = None) -> None:
        self.app = FastAPI()
        self.live = Live(self.app, settings=settings or Settings())
        self.said: asyncio.Queue[str | None] = asyncio.Queue()
        self.ended: list[str] = []
        self.runs = 0

        async def resource() -> AsyncIterator[int]:
            yield 7
            self.ended.append("dependency")

        async def user(x_user: Annotated[str, Header()] = "") -> str:
            return x_user

        @self.live.stream("/words", resume=resume)
        async def words(
            user: Annotated[str, Depends(user)], thing: Annotated[int, Depends(resource)], topic: str = ""
        ) -> AsyncIterator[str]:
            self.runs += 1
            try:
                while (word := await self.said.get()) is not None:
                    if word == "fail":
                        raise RuntimeError("broken")
                    yield word
            finally:
                self.ended.append("run")

        self.declare_others(resume)

    def declare_others(self, resume: float) -> None:
        @self.live.stream("/echo", resume=resume)
        async def echo(messages: AsyncIterator[Text]) -> AsyncIterator[str]:
            async for message in messages:
                yield f"{message}!"

        @self.live.stream("/each", resume=resume)
        async def each(message: Text) -> AsyncIterator[str]:
            self.runs += 1
            yield f"{message}1"
            yield f"{message}2"

        @self.live.stream("/many", resume=resume)
        async def many() -> AsyncIterator[str]:
            try:
                for number in range(10_000):
                    self.runs = number
                    yield f"{number:1000}"
            finally:
                self.ended.append("run")

        @self.live.stream("/sync", resume=resume)
        def sync() -> Iterator[bytes]:
            for number in range(300):
                yield b"%d" % number

    def say(self, *words: str | None) -> None:
        for word in words:
            self.said.put_nowait(word)


async def begun(client: WebSocketClient) -> str:
    """Return the id of the run that a client has begun."""
    first = await client.receive_json()
    assert first["since"] == 0
    return str(first["run"])


@asynccontextmanager
async def lost(scene: Scene, path: str, *words: str, **headers: str) -> AsyncIterator[str]:
    """Begin a run, receive some words, and lose the connection; yield the id of the run."""
    async with connect(scene.app, f"{path}resume=1", headers=headers) as client:
        run = await begun(client)
        scene.say(*words)
        for word in words:
            assert await client.receive() == word
        client.lose()
        yield run


async def rest(client: WebSocketClient, since: int) -> list[str | bytes]:
    """Return everything that a client gets that has resumed."""
    assert (await client.receive_json())["since"] == since
    return [message async for message in client]


async def test_resumes_where_it_left_off() -> None:
    """A client that reconnects gets what it has missed, and nothing twice; the run is the same."""
    scene = Scene()
    async with lifespan(scene.app), lost(scene, "/words?", "a", "b") as run:
        scene.say("c", "d")
        async with connect(scene.app, f"/words?run={run}&since=2") as client:
            scene.say("e", None)
            assert await rest(client, 2) == ["c", "d", "e"]
    assert scene.runs == 1


async def test_repeats_what_was_lost_on_the_way() -> None:
    """Values that were sent but did not arrive are sent again: the client says what it has."""
    scene = Scene()
    async with lifespan(scene.app), lost(scene, "/words?", "a", "b", "c") as run:
        scene.say(None)
        async with connect(scene.app, f"/words?run={run}&since=1") as client:
            assert await rest(client, 1) == ["b", "c"]


async def test_learns_the_end_of_a_run_that_ended_meanwhile() -> None:
    """A run that has ended without a connection leaves its last values and its close."""
    scene = Scene()
    async with lifespan(scene.app):
        async with lost(scene, "/words?", "a") as run:
            scene.say("b", None)
            await until(lambda: scene.ended == ["run", "dependency"])
        async with connect(scene.app, f"/words?run={run}&since=1") as client:
            await client.receive_json()
            assert await client.receive() == "b"
            with pytest.raises(Closed) as closed:
                await client.receive()
    assert closed.value.code == 1000


async def test_dependencies_stay_open() -> None:
    """Dependencies with yield last as long as the run, and not as long as the connection."""
    scene = Scene()
    async with lifespan(scene.app), lost(scene, "/words?", "a") as run:
        async with connect(scene.app, f"/words?run={run}&since=1") as client:
            await client.receive_json()
            scene.say("b")
            assert await client.receive() == "b"
            assert scene.ended == []
            scene.say(None)
            assert [each async for each in client] == []
        await until(lambda: scene.ended.count("dependency") == 2)
        assert scene.ended[0] == "run"


async def test_ends_when_its_time_is_over() -> None:
    """Without a client, the run is cancelled after its time, and cannot be resumed."""
    scene = Scene(resume=0.01)
    async with lifespan(scene.app), lost(scene, "/words?", "a") as run:
        await until(lambda: scene.ended == ["run", "dependency"])
        assert await refused(scene, f"/words?run={run}&since=1") == (410, 1008)


async def refused(scene: Scene, path: str, **headers: str) -> tuple[int, int]:
    """Return the error and the close code of a client that cannot resume."""
    async with connect(scene.app, path, headers=headers) as client:
        error = (await client.receive_json())["error"]
        with pytest.raises(Closed) as closed:
            await client.receive()
        return error["code"], closed.value.code


async def test_ends_at_once_with_a_normal_close() -> None:
    """A client that closes with 1000 has left for good."""
    scene = Scene()
    async with lifespan(scene.app):
        async with connect(scene.app, "/words?resume=1") as client:
            run = await begun(client)
            await client.disconnect(1000)
        assert scene.ended == ["run", "dependency"]
        assert await refused(scene, f"/words?run={run}&since=0") == (410, 1008)


async def test_ends_at_once_for_clients_that_do_not_resume() -> None:
    """A bare client, which does not know of runs, gets plain values, and its run ends with its connection."""
    scene = Scene()
    async with lifespan(scene.app):
        async with connect(scene.app, "/words") as client:
            scene.say("a")
            assert await client.receive() == "a"
        assert scene.ended == ["run", "dependency"]


async def test_belongs_to_its_owner() -> None:
    """Another user, or the same one with other arguments, does not get a run whose id has leaked."""
    scene = Scene()
    async with lifespan(scene.app), lost(scene, "/words?topic=x&", "a", **{"x-user": "ann"}) as run:
        resuming = f"run={run}&since=1"
        assert await refused(scene, f"/words?topic=x&{resuming}", **{"x-user": "bob"}) == (410, 1008)
        assert await refused(scene, f"/words?topic=y&{resuming}", **{"x-user": "ann"}) == (410, 1008)
        assert await refused(scene, f"/each?{resuming}", **{"x-user": "ann"}) == (410, 1008)
        scene.say(None)
        async with connect(scene.app, f"/words?topic=x&{resuming}", headers={"x-user": "ann"}) as client:
            assert await rest(client, 1) == []


async def test_last_connection_wins() -> None:
    """The later one of two connections that resume one run gets it; the other is closed."""
    scene = Scene()
    async with lifespan(scene.app), lost(scene, "/words?", "a") as run:
        path = f"/words?run={run}&since=1"
        async with connect(scene.app, path) as first, connect(scene.app, path) as second:
            await first.receive_json()
            with pytest.raises(Closed) as closed:
                await first.receive()
            await first.disconnect(1000)  # the run is not its own to end any more
            scene.say("b", None)
            assert await rest(second, 1) == ["b"]
    assert closed.value.code == 1008


async def test_duplex_continues() -> None:
    """The messages of a duplex stream continue on the next connection."""
    scene = Scene()
    async with lifespan(scene.app), connect(scene.app, "/echo?resume=1") as first:
        run = await begun(first)
        await first.send_text("a")
        assert await first.receive() == "a!"
        await first.send_text("b")
        first.lose()
        async with connect(scene.app, f"/echo?run={run}&since=1") as second:
            await second.receive_json()
            await second.send_text("c")
            assert [await second.receive(), await second.receive()] == ["b!", "c!"]
            await second.disconnect(1000)


async def test_synchronous_generators() -> None:
    """A generator in a thread goes on, too, and its bytes stay bytes."""
    scene = Scene()
    async with lifespan(scene.app), connect(scene.app, "/sync?resume=1") as first:
        run = await begun(first)
        got = [await first.receive() for _ in range(20)]
        first.lose()
        async with connect(scene.app, f"/sync?run={run}&since=20") as second:
            got += await rest(second, 20)
    assert got == [b"%d" % number for number in range(300)]


async def test_a_run_for_each_message() -> None:
    """A stream that runs once per message resumes the connection's runs, with the messages that wait."""
    scene = Scene()
    async with lifespan(scene.app), connect(scene.app, "/each?resume=1") as first:
        run = await begun(first)
        await first.send_text("a")
        await first.send_text("b")
        assert await first.receive() == "a1"
        first.lose()
        async with connect(scene.app, f"/each?run={run}&since=1") as second:
            await second.receive_json()
            await second.send_text("c")
            assert [await second.receive() for _ in range(5)] == ["a2", "b1", "b2", "c1", "c2"]
            await second.disconnect(1000)


async def test_runs_see_the_variables_of_the_first_connection() -> None:
    """Each run has the variables that the dependencies of the first connection have set, as it has their values."""
    user: ContextVar[str] = ContextVar("user")
    app, seen = FastAPI(), list[str]()

    async def current(x_user: Annotated[str, Header()]) -> None:
        user.set(x_user)

    @Live(app).stream("/each", resume=NEVER, dependencies=[Depends(current)])
    async def each(message: Text) -> AsyncIterator[str]:
        seen.append(user.get())
        yield message

    async with lifespan(app), connect(app, "/each?resume=1", headers={"x-user": "first"}) as first:
        run = await begun(first)
        await first.send_text("a")
        assert await first.receive() == "a"
        first.lose()
        async with connect(app, f"/each?run={run}&since=1", headers={"x-user": "second"}) as second:
            await second.receive_json()
            await second.send_text("b")
            assert await second.receive() == "b"
            await second.disconnect(1000)
    assert seen == ["first", "first"]


async def failed(scene: Scene) -> str:
    """Return the id of a run that has failed without a connection."""
    run = ""
    with suppress(RuntimeError):
        async with lost(scene, "/words?", "a") as run:
            scene.say("fail")
            await until(lambda: scene.ended == ["run"])
    return run


async def test_failure_reaches_the_next_connection() -> None:
    """A run that fails without a connection is logged at once, and its client learns of it when it returns."""
    scene = Scene()
    async with lifespan(scene.app):
        run = await failed(scene)
        async with connect(scene.app, f"/words?run={run}&since=1") as client:
            await client.receive_json()
            assert json.loads(await client.receive())["error"]["code"] == 500
            with pytest.raises(Closed) as closed:
                await client.receive()
    assert closed.value.code == 1011


async def test_waits_when_the_journal_is_full() -> None:
    """Without a connection, the generator goes on until the journal is full; nothing is lost by that."""
    scene = Scene()
    async with lifespan(scene.app), connect(scene.app, "/many?resume=1", max_waiting=1) as first:
        run = await begun(first)
        assert int(await first.receive()) == 0
        first.lose()
        got = 1
        reached = -1
        while reached != scene.runs:  # it stands still
            reached = scene.runs
            for _ in range(100):
                await asyncio.sleep(0)
        assert 100 < reached < 400
        async with connect(scene.app, f"/many?run={run}&since={got}") as second:
            await second.receive_json()
            for number in range(got, 500):
                assert int(await second.receive()) == number
            await second.disconnect(1000)


class LateReceive:
    """Middleware that lets an app read the end of a connection only once it cannot send any more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failed, is_open = asyncio.Event(), False

        async def receive_late() -> MutableMapping[str, Any]:
            if is_open:
                await failed.wait()
            return await receive()

        async def send_noting(message: MutableMapping[str, Any]) -> None:
            nonlocal is_open
            is_open = message["type"] == "websocket.accept" or is_open
            try:
                await send(message)
            except OSError:
                failed.set()
                raise

        await self._app(scope, receive_late, send_noting)


async def test_client_that_leaves_while_the_run_writes() -> None:
    """A client that closes with 1000 ends its run, even if the app notices first that it cannot be written to."""
    scene = Scene()
    scene.app.add_middleware(LateReceive)
    async with lifespan(scene.app), connect(scene.app, "/many?resume=1", max_waiting=1) as client:
        await begun(client)
        await client.disconnect(1000)
        assert scene.ended == ["run"]


async def test_refuses_positions_that_are_gone() -> None:
    """A client whose position the journal no longer has is refused, and so is one that claims too much."""
    scene = Scene()
    async with lifespan(scene.app), connect(scene.app, "/many?resume=1", max_waiting=1) as first:
        run = await begun(first)
        for _ in range(200):
            await first.receive()
        first.lose()
        assert await refused(scene, f"/many?run={run}&since=1") == (410, 1008)
        assert await refused(scene, f"/many?run={run}&since=100000") == (410, 1008)
        async with connect(scene.app, f"/many?run={run}&since=200") as second:
            await second.receive_json()
            assert int(await second.receive()) == 200
            await second.disconnect(1000)


async def test_bounds_the_runs_that_wait() -> None:
    """Beyond the bound, the run that has waited longest ends."""
    scene = Scene(settings=Settings(max_kept_runs=1))
    async with lifespan(scene.app), lost(scene, "/words?", "a"), lost(scene, "/each?") as second:
        await until(lambda: scene.ended == ["run", "dependency"])
        async with connect(scene.app, f"/each?run={second}&since=0") as client:
            await client.receive_json()
            await client.disconnect(1000)


async def test_stop_ends_runs() -> None:
    """When the app stops, the runs that wait for their clients end, and their dependencies with them."""
    scene = Scene()
    async with lifespan(scene.app):
        client = await connect(scene.app, "/words?resume=1").__aenter__()
        await begun(client)
        client.lose()
        for _ in range(20):
            await asyncio.sleep(0)
        assert scene.ended == []
    assert scene.ended == ["run", "dependency"]


@pytest.mark.parametrize("since", ["x", "-1", "1.5", "1" * 20])
async def test_refuses_positions_that_are_no_numbers(since: str) -> None:
    """The position is the number of values that have arrived."""
    scene = Scene()
    async with lifespan(scene.app):
        with pytest.raises(Exception, match="422"):
            await connect(scene.app, f"/words?run=x&since={since}").__aenter__()


@pytest.mark.parametrize("resume", [0, -1, True, "30", 10**400, float("inf"), float("nan")])
def test_refuses_times_that_cannot_be(resume: Any) -> None:
    """resume= is a number of seconds."""
    live = Live(FastAPI())
    with pytest.raises(DeclarationError, match="resume must be a number of seconds"):

        @live.stream("/x", resume=resume)
        async def x() -> AsyncIterator[int]:
            yield 1


def test_refuses_parameters_that_clients_resume_with() -> None:
    """A query parameter of the app's own cannot be called as one that clients resume with."""
    live = Live(FastAPI())
    with pytest.raises(DeclarationError, match="query parameter 'since'"):

        @live.stream("/x", resume=30)
        async def x(since: int) -> AsyncIterator[int]:
            yield since

    with pytest.raises(DeclarationError, match="query parameter 'run'"):

        @live.stream("/y", resume=30)
        async def y(number: Annotated[int, Query(alias="run")]) -> AsyncIterator[int]:
            yield number

    @live.stream("/z", resume=30)
    async def z(run: Annotated[int, Query(alias="number")]) -> AsyncIterator[int]:
        yield run
