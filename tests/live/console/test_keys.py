"""The console's keys: the list of live ones, and one key with its log, watchers, generator and errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, Field, PlainSerializer

from tests.live.console.watching import shows, view, viewing
from tests.live.multiplexing import speaking
from wirespeed import Live, LiveRouter, SourceError, Tagged
from wirespeed.testing import HandshakeRefused, connect, lifespan

pytestmark = pytest.mark.anyio

Tags = Annotated[list[str] | None, Query(alias="Tag")]


@pytest.fixture
def app() -> FastAPI:
    """Return an app in development."""
    return FastAPI(debug=True)


async def test_keys(app: FastAPI, live: Live) -> None:
    """Keys are listed with their watchers, those with the most first; a search finds parts of their addresses."""

    @live.topic("/price/{symbol}", int, keep="latest")
    def price(symbol: str, unit: Literal["EUR", "USD"] = "EUR") -> None: ...

    async with lifespan(app), connect(app, "/price/BTC"), connect(app, "/price/BTC"), connect(app, "/price/a?unit=USD"):
        price.publish(7, symbol="BTC")
        async with viewing(app, "keys", path="/price/{symbol}") as seen:
            assert seen["total"] == 2
            btc, other = seen["keys"]
            assert btc["key"] == {"symbol": "BTC", "unit": "EUR"}
            assert (btc["text"], btc["watchers"], btc["published"]) == ("/price/BTC?unit=EUR", 2, 1)
            assert (btc["state"], len(btc["processes"])) == ("live", 1)
            assert (other["text"], other["watchers"]) == ("/price/a?unit=USD", 1)
        async with viewing(app, "keys", path="/price/{symbol}", search="btc") as seen:
            assert (seen["total"], [each["text"] for each in seen["keys"]]) == (1, ["/price/BTC?unit=EUR"])
        async with viewing(app, "keys", path="/price/{symbol}", limit=1) as seen:
            assert (seen["total"], len(seen["keys"])) == (2, 1)


@pytest.mark.parametrize(("name", "query", "status"), [
    ("keys", {"path": "/nothing"}, 404), ("keys", {"path": "/add"}, 404), ("keys", {}, 422),
    ("keys", {"path": "/news", "limit": "0"}, 422), ("keys", {"path": "/news", "limit": "100000"}, 422),
    ("key", {"text": "/nothing"}, 404), ("key", {"text": "/number/abc"}, 404), ("key", {"text": "x" * 5000}, 422),
])  # fmt: skip
async def test_unknown(app: FastAPI, live: Live, name: str, query: dict[str, str], status: int) -> None:
    """A key that does not exist is refused, and so is more than a page shows."""
    live.topic("/news", str)

    @live.topic("/number/{number}", str)
    def number(number: int) -> None: ...

    @live.call("/add")
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    async with lifespan(app):
        if status == 422:
            with pytest.raises(HandshakeRefused) as refused:
                await view(app, name, None, **query).__aenter__()
            assert refused.value.status == 422
        else:
            async with viewing(app, name, **query) as seen:
                assert seen["error"]["code"] == status


async def test_log(app: FastAPI, live: Live) -> None:
    """The newest entries come first, with positions, sizes, tags and the beginnings of their values."""
    news = live.topic("/news", str, keep=100)
    async with lifespan(app), connect(app, "/news"):
        for number in range(60):
            news.publish(f"{number}")
        news.publish(Tagged("x" * 1000, {"side": "buy"}))
        async with viewing(app, "key", text="/news") as seen:
            assert (seen["path"], seen["live"], seen["complete"]) == ("/news", True, False)
            assert seen["position"]["offset"] == 61
            assert len(seen["entries"]) == 50
            newest, before = seen["entries"][:2]
            assert (newest["offset"], newest["size"], newest["row"]) == (61, 1000, None)
            assert (newest["tags"], newest["preview"]) == ({"side": "buy"}, "x" * 500)
            assert (before["offset"], before["preview"], before["tags"]) == (60, "59", {})
            assert seen["bytes"] >= 1000
            assert seen["producer"] is None
            assert seen["health"]["state"] == "live"


async def test_rows_and_bytes(app: FastAPI, live: Live) -> None:
    """A table shows its rows, the last changed first, and a log of bytes their hexadecimal digits."""
    table = live.topic("/table", dict[str, Any], by="id")
    data = live.topic("/data", bytes, keep="latest")
    async with lifespan(app), connect(app, "/table"), connect(app, "/data"):
        for number in (1, 2, 1):
            table.publish({"id": number})
        data.publish(b"\x00\xff")
        async with viewing(app, "key", text="/table") as seen:
            assert [(each["row"], each["preview"]) for each in seen["entries"]] == [(1, '{"id":1}'), (2, '{"id":2}')]
        async with viewing(app, "key", text="/data") as seen:
            assert [each["preview"] for each in seen["entries"]] == ["00 ff"]


async def test_watchers(app: FastAPI, live: Live) -> None:
    """Watchers of all surfaces are shown with their lag, by ids that lead to their clients."""
    news = live.topic("/news", str)
    async with lifespan(app), connect(app, "/news"), speaking(app) as speaker, view(app, "key", text="/news") as client:
        await speaker.subscribed("news")
        loop = news.watch()
        waiting = asyncio.ensure_future(anext(aiter(loop)))
        seen = await shows(client, lambda value: value["watchers_total"] == 3)
        assert {each["surface"] for each in seen["watchers"]} == {"websocket", "multiplexed", "code"}
        assert all(each["lag"] == 0 and each["process"] for each in seen["watchers"])
        raw = next(each for each in seen["watchers"] if each["surface"] == "websocket")
        async with viewing(app, "client", process=raw["process"], id=raw["client"]) as found:
            assert found["path"] == "/news"
        news.publish("end")
        await waiting


async def test_lag(app: FastAPI, live: Live) -> None:
    """A watcher that does not read falls behind, and its lag shows by how many entries."""
    news = live.topic("/news", str, keep=1000)
    async with lifespan(app), connect(app, "/news", max_waiting=1), view(app, "key", text="/news") as client:
        for _ in range(100):
            news.publish("x" * 1000)
            await asyncio.sleep(0)
        seen = await shows(client, lambda value: value["watchers"] and value["watchers"][0]["lag"])
        assert 0 < seen["watchers"][0]["lag"] <= 100


async def test_generator_and_errors(app: FastAPI, live: Live) -> None:
    """It shows the state of the generator, how often it was started again, and its last errors."""

    @live.feed("/price/{symbol}")
    async def price(symbol: str) -> AsyncIterator[int]:
        yield 1
        raise SourceError(f"no <b>{symbol}</b> today")

    async with lifespan(app), connect(app, "/price/BTC"), view(app, "key", text="/price/BTC") as client:
        seen = await shows(client, lambda value: value["health"]["state"] == "failing")
        assert seen["producer"]["state"] in ("running", "waiting")
        assert (seen["producer"]["lease"], seen["producer"]["since"] > 0) == (None, True)
        assert seen["health"]["reason"] == "no <b>BTC</b> today"
        assert seen["errors"][0]["text"] == "SourceError: no <b>BTC</b> today"
        assert seen["errors"][0]["at"] > 1e9
        seen = await shows(client, lambda value: value["producer"]["restarts"] and len(value["errors"]) > 1)
        assert seen["errors"][0]["at"] >= seen["errors"][1]["at"]


async def test_failed_publications(app: FastAPI, live: Live) -> None:
    """A value that cannot be encoded is among the errors, also of a key that no one watches."""

    def failing(value: int) -> int:
        raise ValueError(f"cannot write {value}")

    news = live.topic("/news", Annotated[int, PlainSerializer(failing)])
    async with lifespan(app):
        news.publish(5)
        async with viewing(app, "key", text="/news") as seen:
            assert seen["live"] is False
            assert "cannot write 5" in seen["errors"][0]["text"]


async def test_key_that_is_not_live(app: FastAPI, live: Live) -> None:
    """A retained log is shown, and a key becomes live and ends while it is shown; nothing is opened by showing it."""
    news = live.topic("/news", str)
    async with lifespan(app), view(app, "key", text="/news") as client:
        seen = await client.receive_json()
        assert (seen["live"], seen["position"], seen["entries"], seen["watchers"]) == (False, None, [], [])
        news.publish("first")
        seen = await shows(client, lambda value: value["position"])
        assert (seen["live"], [each["preview"] for each in seen["entries"]]) == (False, ["first"])
        assert news.keys() == []
        async with connect(app, "/news"):
            await shows(client, lambda value: value["live"] and value["watchers_total"] == 1)
        seen = await shows(client, lambda value: not value["live"])
        assert [each["preview"] for each in seen["entries"]] == ["first"]


async def test_search_for_a_spelling(app: FastAPI, live: Live) -> None:
    """A search finds a key as it is meant, and as it is spelled in addresses."""

    @live.topic("/city/{name}", int)
    def city(name: str) -> None: ...

    async with lifespan(app), connect(app, "/city/M%C3%BCnchen"), connect(app, "/city/Paris"):
        for search in ("münchen", "M%C3%BC", "CITY/M"):
            async with viewing(app, "keys", path="/city/{name}", search=search) as seen:
                assert [each["text"] for each in seen["keys"]] == ["/city/M%C3%BCnchen"], search


async def test_large_values(app: FastAPI, live: Live) -> None:
    """Large rows, tags and values are cut, so that what a page gets stays small."""
    table = live.topic("/table", dict[str, str], by="id")
    async with lifespan(app), connect(app, "/table"):
        for number in range(60):
            tags = {f"{each}{'t' * 1000}": "x" * 1000 for each in range(50)}
            table.publish(Tagged({"id": f"{number}" + "r" * 10_000, "text": "v" * 10_000}, tags))
        async with viewing(app, "key", text="/table") as seen:
            assert len(seen["entries"]) == 50
            first = seen["entries"][0]
            assert (len(first["row"]), len(first["preview"]), len(first["tags"])) == (500, 500, 20)
            assert len(json.dumps(seen)) < 500_000


async def test_mounted_app(app: FastAPI) -> None:
    """An app that is mounted has no lifespan of its own; its keys and figures are shown all the same."""
    router = LiveRouter(prefix="/inside")
    router.topic("/news", str)
    Live(app)
    app.include_router(router)
    outer = FastAPI()
    outer.mount("/inner", app)
    async with connect(outer, "/inner/inside/news"), connect(outer, "/inner/live/console/overview") as client:
        seen = await shows(client, lambda value: value["definitions"][0]["watchers"])
        assert (seen["definitions"][0]["path"], seen["definitions"][0]["watchers"]) == ("/inside/news", 1)
        async with connect(outer, "/inner/live/console/key?text=/inside/news") as key:
            assert (await key.receive_json())["watchers_total"] == 1


async def test_odd_spelling(app: FastAPI, live: Live) -> None:
    """The address of each key in the list leads to it, whatever its values are."""

    @live.topic("/at/{text}/{day}", int)
    def at(text: str, day: date, tag: Tags = None, on: bool = False) -> None: ...

    @live.topic("/file/{name:path}", int)
    def file(name: str) -> None: ...

    odd = ["a/b", "ä?#&=%", "..", "<script>", " ", "\n", "%2F", "€" * 50]
    async with lifespan(app):
        loops = [at.watch(text, date(2026, 1, 2), tag=["a b", "c"], on=True) for text in odd]
        loops += [at.watch(odd[0], date(2026, 1, 2), tag=["one"])]
        files = [file.watch(name) for name in ("a/b.txt", "ä b")]
        waiting = [asyncio.ensure_future(anext(aiter(each))) for each in (*loops, *files)]
        for path, count in (("/at/{text}/{day}", len(loops)), ("/file/{name:path}", 2)):
            async with view(app, "keys", path=path) as client:
                seen = await shows(client, lambda value, count=count: value["total"] == count)  # type: ignore[misc]
            for each in seen["keys"]:
                async with viewing(app, "key", text=each["text"]) as key:
                    assert (key["path"], key["watchers_total"]) == (path, 1), each
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class Filters(BaseModel):
    """A model of query parameters, with a field that is named as a wish."""

    low: int = Field(0, alias="from")
    since: str = "x"
    tags: list[str] = []


async def test_models_of_a_query(app: FastAPI, live: Live) -> None:
    """The key of a query model has an address that clients can watch, and that leads to it."""

    @live.topic("/found", str, keep="latest")
    def found(filters: Annotated[Filters, Query()]) -> None: ...

    async with lifespan(app), connect(app, "/found?from=1&since=2024&tags=u&tags=v") as client:
        async with viewing(app, "keys", path="/found") as seen:
            address = seen["keys"][0]["text"]
        assert address == "/found?from=1&since=2024&tags=u&tags=v"
        async with viewing(app, "key", text=address) as seen:
            assert (seen["path"], seen["watchers_total"]) == ("/found", 1)
        found.publish("hello", Filters.model_validate({"from": 1, "since": "2024", "tags": ["u", "v"]}))
        assert await client.receive() == "hello"


async def test_prefix_that_only_dependencies_read(app: FastAPI, live: Live) -> None:
    """A router's prefix may have a parameter that is not part of the keys; they are shown all the same."""
    router = LiveRouter(prefix="/{tenant}")
    news = router.topic("/news", str)
    app.include_router(router)
    async with lifespan(app), connect(app, "/acme/news"):
        news.publish("hello")
        async with viewing(app, "keys", path="/{tenant}/news") as seen:
            address = seen["keys"][0]["text"]
        async with viewing(app, "key", text=address) as seen:
            assert seen["watchers_total"] == 1
