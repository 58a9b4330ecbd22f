"""The console's clients: the list, one client, and disconnecting it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from tests.exchanges import events_of
from tests.lanes.turns import until
from tests.live.console.watching import ADMIN, admin, shows, view, viewing
from tests.live.multiplexing import speaking
from wirespeed import Console, Identity, Live, identify
from wirespeed.testing import Closed, connect, lifespan

pytestmark = pytest.mark.anyio

SECRET = "s3cr3t-token"
ADA = Identity(user="ada", session=SECRET, info={"name": "Ada"}, data={"key": SECRET}, meta={"key": SECRET})


async def ada(token: str, connection: Any) -> Identity:
    return ADA


def signed_in(connection: HTTPConnection) -> None:
    identify(connection, ADA)


@pytest.fixture
def app() -> FastAPI:
    """Return an app in development."""
    return FastAPI(debug=True)


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Return its ``Live``, with two topics."""
    live = Live(app, authenticate=ada, console=Console(disconnect=True))
    live.topic("/news", str, dependencies=[Depends(signed_in)])
    live.topic("/open", str)
    return live


async def test_listed(app: FastAPI, live: Live) -> None:
    """Clients of all surfaces are listed, the newest first."""
    async with lifespan(app), connect(app, f"/news?token={SECRET}"), events_of(app, "/open"), speaking(app) as speaker:
        await speaker.subscribed("news")
        await speaker.subscribed("open")
        async with view(app, "clients") as client:
            seen = await client.receive_json()
            assert seen["total"] == 3
            multiplexed, events, raw = seen["clients"]
            shown = [(each["surface"], each["user"], each["subscriptions"]) for each in seen["clients"]]
            assert shown == [("multiplexed", "ada", 2), ("sse", "", 1), ("websocket", "ada", 1)]
            assert (raw["lane"], events["lane"]) == ("asgi", "http")
            assert raw["session"] == multiplexed["session"] != ""
            assert SECRET not in str(seen)


@pytest.mark.parametrize(("search", "count"), [("ADA", 2), ("/open", 1), ("charles", 0), ("testclient", 3)])
async def test_search(app: FastAPI, live: Live, search: str, count: int) -> None:
    """A search finds users, paths and addresses."""
    async with lifespan(app), connect(app, "/news"), connect(app, "/open"), speaking(app):
        async with viewing(app, "clients", search=search) as seen:
            assert (seen["total"], len(seen["clients"])) == (count, count)
        async with viewing(app, "clients", limit=1) as seen:
            assert (seen["total"], len(seen["clients"])) == (3, 1)


async def test_one_client(app: FastAPI, live: Live) -> None:
    """One client is shown with its identity and channels, without anything secret, until it has left."""
    async with lifespan(app), connect(app, f"/news?token={SECRET}"):
        async with speaking(app) as speaker, viewing(app, "clients") as listed:
            await speaker.subscribed("news")
            multiplexed, raw = listed["clients"]
            where = {"process": multiplexed["process"], "id": multiplexed["id"]}
            client = view(app, "client", **where)
            await client.__aenter__()
            seen = await client.receive_json()
            assert seen["identity"]["user"] == "ada"
            assert seen["identity"]["info"] == {"name": "Ada"}
            assert [(each["channel"], each["kind"], each["lag"]) for each in seen["channels"]] == [("news", "topic", 0)]
            assert SECRET not in str(seen)
            async with viewing(app, "client", process=raw["process"], id=raw["id"]) as other:
                assert [(each["channel"], each["kind"]) for each in other["channels"]] == [("/news", "topic")]
                assert other["identity"]["user"] == "ada"
                assert SECRET not in str(other)
        await shows(client, lambda value: value.get("gone"))
        await client.disconnect()


async def test_query_strings_are_not_shown(app: FastAPI) -> None:
    """A channel is shown with no more of its query string than the values of its key: guards take tokens from it."""

    def guard(token: str) -> None: ...

    async def subscribed(token: str, connection: Any) -> Identity:
        return Identity(user="ada", subscriptions=[f"price?unit=EUR&token={SECRET}"])

    live = Live(app, authenticate=subscribed)

    @live.topic("/price", int, dependencies=[Depends(guard)])
    def price(unit: str) -> None: ...

    @live.stream("/count", dependencies=[Depends(guard)])
    async def count() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async with lifespan(app), speaking(app, connects=False) as speaker:
        await speaker.connected(token="x")
        for channel in (f"price?token={SECRET}&unit=USD", f"price?unit=A%26B&token={SECRET}", f"count?token={SECRET}"):
            await speaker.subscribed(channel)
        async with viewing(app, "clients") as listed:
            (row,) = listed["clients"]
            async with viewing(app, "client", process=row["process"], id=row["id"]) as seen:
                shown = sorted(each["channel"] for each in seen["channels"])
                assert shown == ["count", "price?unit=A%26B", "price?unit=EUR", "price?unit=USD"]
                assert seen["identity"]["subscriptions"] == ["price"]
                assert SECRET not in str(seen)


async def test_long_texts(app: FastAPI, live: Live) -> None:
    """The views of a thousand clients stay small, whatever clients and tokens have as their names and paths."""

    def named(name: str, connection: HTTPConnection) -> None:
        identify(connection, Identity(user="u" * 100_000, subscriptions=["s" * 100_000]))

    @live.topic("/named/{name}", str, dependencies=[Depends(named)])
    def topic(name: str) -> None: ...

    watching = connect(app, f"/named/{'n' * 3000}"), viewing(app, "clients", search="N" * 3000)
    async with lifespan(app), watching[0], watching[1] as listed:
        (row,) = listed["clients"]
        async with viewing(app, "client", process=row["process"], id=row["id"]) as seen:
            assert (row["user"], row["path"][:10], seen["identity"]["user"]) == ("u" * 500, "/named/nnn", "u" * 500)
            assert seen["identity"]["subscriptions"] == ["s" * 500]
            assert len(str(row)) < 2000
            assert len(str(seen)) < 10_000


async def test_information_that_is_not_json(app: FastAPI, live: Live) -> None:
    """An identity that no client was ever sent may hold anything."""

    def strange(connection: HTTPConnection) -> None:
        identify(connection, Identity(user="ada", info=object()))

    live.topic("/strange", str, dependencies=[Depends(strange)])
    async with lifespan(app), connect(app, "/strange"), viewing(app, "clients") as listed:
        (row,) = listed["clients"]
        async with viewing(app, "client", process=row["process"], id=row["id"]) as seen:
            assert "cannot be serialised" in seen["identity"]["info"]


async def test_unknown_client(app: FastAPI, live: Live) -> None:
    """A client or a process that does not exist is gone."""
    async with lifespan(app), viewing(app, "clients") as seen:
        assert seen["total"] == 0
        for process in ("nowhere", live_process(await first(app))):
            async with viewing(app, "client", process=process, id="1000") as client:
                assert client["gone"] is True


async def first(app: FastAPI) -> Any:
    async with viewing(app, "overview") as seen:
        return seen


def live_process(overview: Any) -> str:
    return str(overview["self"])


async def test_disconnect(app: FastAPI, live: Live) -> None:
    """A client is disconnected, on a raw WebSocket with 3503."""
    async with lifespan(app), connect(app, "/news") as client, viewing(app, "clients") as seen:
        assert (await first(app))["may_disconnect"] is True
        chosen = {"process": seen["clients"][0]["process"], "id": seen["clients"][0]["id"]}
        http = TestClient(app)
        assert http.post("/live/console/disconnect", json=chosen).status_code == 204
        with pytest.raises(Closed) as closed:
            await client.receive_text()
        assert closed.value.code == 3503
        await until(lambda: live.connections() == [])
        assert http.post("/live/console/disconnect", json=chosen).status_code == 404


def test_disconnect_is_guarded(app: FastAPI) -> None:
    """It needs the option, passes the guards and the check of origins, and takes nothing but its own message."""
    Live(app, console=Console(dependencies=[Depends(admin)]))
    chosen = {"process": "a", "id": "1"}
    with TestClient(app) as client:
        post = client.post
        assert post("/live/console/disconnect", json=chosen).status_code == 401
        refused = post("/live/console/disconnect", json=chosen, headers=ADMIN)
        assert (refused.status_code, "Console(disconnect=True)" in refused.text) == (403, True)
        other = ADMIN | {"origin": "https://elsewhere.example"}
        assert "origin" in post("/live/console/disconnect", json=chosen, headers=other).text
        assert post("/live/console/disconnect", json={}, headers=ADMIN).status_code == 422
        assert post("/live/console/disconnect", content=b"x" * 100_000, headers=ADMIN).status_code == 413
        assert client.get("/live/console/disconnect", headers=ADMIN).status_code == 404
