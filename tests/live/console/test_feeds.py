"""The data of the console: guarded, summed, bounded, and invisible for the app."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import Depends, FastAPI, HTTPException
from prometheus_client import CollectorRegistry, generate_latest
from starlette.requests import HTTPConnection

from tests.lanes.turns import until
from tests.live.console.watching import ADMIN, admin, shows, view, viewing
from tests.live.multiplexing import speaking
from wirespeed import Console, Identity, Live, identify
from wirespeed.metrics import collect
from wirespeed.testing import Closed, HandshakeRefused, clock, connect, lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture
def app() -> FastAPI:
    """Return an app in development."""
    return FastAPI(title="Prices", version="1.2", debug=True)


async def test_overview(app: FastAPI, live: Live) -> None:
    """It has the app, the process, and each definition with its figures."""

    @live.topic("/news/{topic}", str, keep=1)
    def news(topic: str) -> None: ...

    @live.call("/add")
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    async with lifespan(app), connect(app, "/news/a") as watcher, view(app, "overview") as client:
        async with connect(app, "/add") as caller:
            await caller.send_json([1, 2])
            assert await caller.receive_json() == 3
            await until(lambda: live.running()["/add"].completed)
        news.publish("hello", topic="a")
        assert await watcher.receive_text() == "hello"
        seen = await shows(client, lambda value: value["definitions"][0]["delivered"])
        assert seen["app"] == {"title": "Prices", "version": "1.2"}
        assert (seen["may_disconnect"], seen["prefix"]) == (False, "/live")
        (process,) = seen["processes"]
        assert process["name"] == seen["self"]
        assert process["answered"] is True
        assert (process["connections"], process["lanes"]) == (1, {"asgi": 1})
        assert process["memory"] > 1_000_000
        assert process["broker"]["state"] == "none"
        assert process["loop_lag"].keys() == {"mean", "worst"}
        topic, call = seen["definitions"]
        assert (topic["path"], topic["kind"]) == ("/news/{topic}", "topic")
        figures = {name: topic[name] for name in ("keys", "watchers", "published", "delivered", "bytes", "lost")}
        assert figures == {"keys": 1, "watchers": 1, "published": 1, "delivered": 1, "bytes": 7, "lost": 0}
        assert topic["by_process"][seen["self"]]["delivered"] == 1
        assert (call["path"], call["kind"]) == ("/add", "call")
        assert call["runs"] == call["by_process"][seen["self"]]["runs"]
        assert (call["runs"]["completed"], call["runs"]["active"], call["runs"]["failed"]) == (1, 0, 0)


async def test_producers(app: FastAPI, live: Live) -> None:
    """It shows the process that runs a generator, and generators that fail."""

    @live.feed("/price/{symbol}")
    async def price(symbol: str) -> AsyncIterator[int]:
        yield 1
        if symbol == "bad":
            raise RuntimeError
        await asyncio.Event().wait()

    watching = connect(app, "/price/good"), connect(app, "/price/bad"), view(app, "overview")
    async with lifespan(app), watching[0], watching[1], watching[2] as client:
        seen = await shows(client, lambda value: value["definitions"][0]["restarts"])
        states = seen["definitions"][0]["producers"][seen["self"]]
        assert sum(states.values()) == 2


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic YWRhOndyb25n"}])
async def test_guarded(app: FastAPI, headers: dict[str, str]) -> None:
    """Its dependencies refuse a client before it is accepted, and admit others."""
    Live(app, console=Console(dependencies=[Depends(admin)]))
    async with lifespan(app):
        with pytest.raises(HandshakeRefused) as refused:
            await view(app, "overview", headers).__aenter__()
        assert refused.value.status == 401
        async with view(app, "overview", ADMIN) as client:
            assert (await client.receive_json())["app"]["title"] == "Prices"


async def test_off(app: FastAPI) -> None:
    """An app without a console has none of its feeds."""
    Live(app, console=None)
    async with lifespan(app):
        with pytest.raises(HandshakeRefused):
            await view(app, "overview").__aenter__()


async def test_other_origins(app: FastAPI, live: Live) -> None:
    """Pages of other origins are refused, as on all WebSockets."""
    async with lifespan(app):
        with pytest.raises(HandshakeRefused) as refused:
            await view(app, "overview", {"origin": "https://elsewhere.example", "host": "testserver"}).__aenter__()
        assert refused.value.status == 403
        async with view(app, "overview", {"origin": "http://testserver", "host": "testserver"}) as client:
            await client.receive_json()


async def test_invisible(app: FastAPI, live: Live) -> None:
    """Its feeds and watchers are not among those of the app, nor in its figures."""
    live.topic("/news", str)
    async with lifespan(app), viewing(app, "overview"):
        assert list(live.watching()) == ["/news"]
        assert live.statistics().connections == live.statistics().accepted == live.statistics().messages == 0
        assert (live.connections(), live.clients()) == ([], [])
        collect(live, registry := CollectorRegistry())
        assert "console" not in generate_latest(registry).decode()
        assert "console" not in str(app.openapi())


async def test_not_on_multiplexed_connections(app: FastAPI, live: Live) -> None:
    """Nothing of it is a channel or a method of the multiplexed connection, where guards would see another request."""
    live.topic("/news", str)
    async with lifespan(app), speaking(app) as speaker:
        for channel in ("live/console/overview", "/live/console/overview", "live/console/keys?path=/news", "live/"):
            assert await speaker.refused(channel) == 102, channel
        refused = await speaker.ask({"rpc": {"method": "live/console/disconnect", "data": {}}})
        assert refused["error"]["code"] in (104, 108)


async def test_runs_only_while_watched(app: FastAPI, live: Live) -> None:
    """Nothing runs before a client watches, and after the last one has left."""
    async with lifespan(app):
        before = asyncio.all_tasks()
        async with viewing(app, "overview"):
            assert asyncio.all_tasks() - before
        await until(lambda: not asyncio.all_tasks() - before)


async def test_two_consoles_share_a_feed(app: FastAPI, live: Live) -> None:
    """Two pages get the same values, which are read once."""
    async with lifespan(app), view(app, "overview") as one, view(app, "overview") as other:
        first = [await one.receive_json() for _ in range(2)]
        at = [each["at"] for each in first]
        assert (await shows(other, lambda value: value["at"] == at[-1]))["at"] == at[-1]


async def test_revoked(app: FastAPI) -> None:
    """A revocation ends what the user of a console sees."""

    def who(connection: HTTPConnection) -> None:
        identify(connection, Identity(user="ada"))

    live = Live(app, console=Console(dependencies=[Depends(who)]))
    async with lifespan(app), view(app, "overview") as client:
        await client.receive_json()
        assert await live.revoke(user="ada") == 1
        with pytest.raises(Closed) as closed:
            await shows(client, lambda value: False)
        assert closed.value.code == 1008


async def test_guards_are_called_again(app: FastAPI) -> None:
    """An open page is closed within a minute after its guards refuse it, and stays while they admit it."""
    allowed, asked = True, 0

    def check(connection: HTTPConnection) -> None:
        nonlocal asked
        asked += 1
        if not allowed or connection.headers.get("x-key") != "open":
            raise HTTPException(403, "not any more")

    async with clock() as time:
        live = Live(app, console=Console(dependencies=[Depends(check)]))
        live.topic("/news", str)
        async with lifespan(app), view(app, "keys", {"x-key": "open"}, path="/news") as client:
            for _ in range(61):
                assert (await client.receive_json())["total"] == 0
                await time.advance(1)
            assert asked == 2
            allowed, value = False, {}
            while "error" not in value:
                value = await client.receive_json()
                await time.advance(1)
            assert value["error"]["message"] == "not any more"
            with pytest.raises(Closed) as closed:
                await client.receive_json()
            assert closed.value.code == 1008
            assert list(live.statistics().refused) == []


async def test_closed_with_the_app(app: FastAPI, live: Live) -> None:
    """When the app stops, the page is asked to connect again."""
    async with lifespan(app):
        client = view(app, "overview")
        await client.__aenter__()
        await client.receive_json()
    with pytest.raises(Closed) as closed:
        await shows(client, lambda value: False)
    assert closed.value.code == 1012
    await client.__aexit__(None, None, None)
