"""POST /live/publish: programs publish with a key, one value or many, which the topics validate."""

import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Query
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, Json, StringConstraints
from typing_extensions import TypedDict

from tests.brokers.valkey import Valkey
from tests.waiting import PATIENCE, wait_until
from wirespeed import Live, LiveRouter, Settings, Topic

KEY = "a long and random text: é"
HEADERS: Any = {"authorization": f"Bearer {KEY}".encode()}


class Order(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int
    day: date | None = None


class Shop:
    """An app with topics of all kinds."""

    def __init__(self, **options: Any) -> None:
        self.app = FastAPI()
        self.live = live = Live(self.app, **{"publish_key": KEY} | options)
        self.news: Topic[[], str] = live.topic("/news", str)
        self.stock: Topic[[], Order] = live.topic("/stock", Order, by="id")

        @live.topic("/orders/{user_id}", Order)
        def orders(user_id: int, kind: Annotated[str, Query(alias="of")] = "new") -> None: ...

        @live.topic("/sets", int)
        def sets(tag: Annotated[list[str], Query()]) -> None: ...

        self.orders, self.sets = orders, sets
        router = LiveRouter(prefix="/more")
        self.more = router.topic("/news", str)
        self.app.include_router(router)
        inner = FastAPI()
        self.mounted = Live(inner).topic("/mounted", str)
        self.app.mount("/inner", inner)

        @live.feed("/feed")
        async def feed() -> AsyncIterator[int]:
            yield 1


@pytest.fixture
def shop() -> Shop:
    """An app that programs may publish to."""
    return Shop()


def post(client: TestClient, body: Any, headers: Any = HEADERS) -> tuple[int, Any]:
    """Return the status and the body of an answer."""
    answer = client.post("/live/publish", json=body, headers=headers)
    return answer.status_code, answer.json()


def test_one_value_and_many(shop: Shop) -> None:
    """A value gets its position, a list of them a list; paths are those that clients watch."""
    with TestClient(shop.app) as client:
        status, one = post(client, {"path": "/news", "value": "hello"})
        assert (status, one["position"].partition(":")[2]) == (200, "1")
        items = [
            {"path": "news", "value": "again", "tags": {"by": "ada"}},
            {"path": "/orders/007?of=old", "value": {"id": 5, "day": "2026-01-02"}},
            {"path": "/sets?tag=a&tag=b", "value": 1},
            {"path": "/sets?tag=a", "value": 2},
            {"path": "/more/news", "value": "more"},
            {"path": "/inner/mounted", "value": "inner"},
            {"path": "/stock", "value": {"id": 1}},
            {"path": "/stock", "value": {"id": 2}},
            {"path": "/stock", "remove": 1},
        ]
        status, many = post(client, items)
        assert (status, [each["position"].partition(":")[2] for each in many]) == (200, [*"211111123"])
        assert client.get("/news").text == "again"
        assert client.get("/orders/7?of=old").json() == {"id": 5, "day": "2026-01-02"}
        assert client.get("/sets?tag=a&tag=b").json() == 1
        assert client.get("/stock").json() == [{"id": 2, "day": None}]
        assert client.get("/more/news").text == "more"
        assert client.get("/inner/mounted").text == "inner"
        (_, tagged) = client.portal.call(shop.news.history)  # type: ignore[union-attr]
        assert tagged.tags == {"by": "ada"}


@pytest.mark.parametrize(
    ("item", "place", "said"),
    [
        ({"path": "/none", "value": 1}, ["path"], "There is no topic at this path."),
        ({"path": "/feed", "value": 1}, ["path"], "There is no topic at this path."),
        ({"path": "/news#1", "value": "x"}, ["path"], "There is no topic at this path."),
        ({"path": "/news?x=1", "value": "x"}, ["path"], "got an unexpected keyword argument 'x'"),
        ({"path": "/orders/x", "value": {"id": 1}}, ["path"], "user_id='x': Input should be a valid integer"),
        ({"path": "/sets", "value": 1}, ["path"], "missing a required argument: 'tag'"),
        ({"path": "/news", "value": 5}, ["value"], "Input should be a valid string"),
        ({"path": "/orders/1", "value": {"id": "1"}}, ["value", "id"], "Input should be a valid integer"),
        ({"path": "/news"}, ["value"], "Either a value, text to append or the key of a row to remove is needed."),
        ({"path": "/stock", "value": {"id": 1}, "remove": 1}, ["value"], "Either a value"),
        ({"path": "/news", "remove": 1}, ["remove"], "This topic is not a table."),
        ({"path": "/news", "value": "x", "more": 1}, ["more"], "Extra inputs"),
        ({"value": "x"}, ["path"], "Field required"),
    ],
)
def test_invalid_publications(shop: Shop, item: Any, place: list[str], said: str) -> None:
    """A publication that is not valid is refused with 422 and its number, and nothing of the request is published."""
    with TestClient(shop.app) as client:
        status, alone = post(client, item)
        assert (status, alone["detail"][0]["loc"]) == (422, ["body", "one", *place])
        assert said in alone["detail"][0]["msg"]
        status, batch = post(client, [{"path": "/news", "value": "fine"}, item])
        assert (status, batch["detail"][0]["loc"]) == (422, ["body", "batch", 1, *place])
        assert client.get("/news").status_code == 404


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": KEY.encode()}, {"x-api-key": ""}]
)
def test_wrong_key(shop: Shop, headers: Any) -> None:
    """Without the key nothing is read, let alone published."""
    with TestClient(shop.app) as client:
        answer = client.post("/live/publish", content=b"not JSON", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert shop.live.statistics().refused == {"publish key": 1}


def test_key_in_another_header(shop: Shop) -> None:
    """The key may also be in X-API-Key, as Centrifugo's clients send theirs."""
    with TestClient(shop.app) as client:
        assert post(client, {"path": "/news", "value": "x"}, {"x-api-key": KEY.encode()})[0] == 200


def test_pages_cannot_publish(shop: Shop) -> None:
    """A page of another origin is refused even with the key; CORS does not let its requests through by itself."""
    with TestClient(shop.app) as client:
        origin = {"origin": "https://evil.example"}
        assert post(client, {"path": "/news", "value": "x"}, HEADERS | origin)[0] == 403
        asked = origin | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        assert client.options("/live/publish", headers=asked).status_code == 405
    shop.app.user_middleware.clear()
    shop.app.middleware_stack = None
    shop.app.add_middleware(CORSMiddleware, allow_origins=["https://evil.example"], allow_credentials=True)
    with TestClient(shop.app) as client:
        assert post(client, {"path": "/news", "value": "x"}, origin)[0] == 403


def test_it_is_off_by_default() -> None:
    """Without a key there is no such address."""
    shop = Shop(publish_key=None)
    with TestClient(shop.app) as client:
        assert post(client, {"path": "/news", "value": "x"})[0] == 404
    assert "/live/publish" not in shop.app.openapi()["paths"]


def test_sizes_are_bounded() -> None:
    """A body that is too large is refused with 413, a batch of too many publications with 422."""
    shop = Shop(settings=Settings(max_publish_bytes=100_000))
    with TestClient(shop.app) as client:
        assert post(client, {"path": "/news", "value": "x" * 70_000})[0] == 200
        assert post(client, {"path": "/news", "value": "x" * 100_000})[0] == 413
        item = {"path": "/news", "value": "x"}
        assert post(client, [item] * 1000)[0] == 200
        assert post(client, [item] * 1001)[0] == 422


def test_complete_topic() -> None:
    """A publication to a topic that is complete is refused with 409."""
    shop = Shop()
    with TestClient(shop.app) as client:
        assert post(client, {"path": "/news", "value": "x"})[0] == 200
        shop.news.complete().result(PATIENCE)
        assert post(client, {"path": "/news", "value": "y"}) == (409, {"detail": "The topic is complete."})


def test_table_without_room() -> None:
    """A value that a topic refuses is an error with a reason; in a batch, the other results are there as well."""
    shop = Shop(settings=Settings(max_table_rows=1))
    with TestClient(shop.app) as client:
        assert post(client, {"path": "/stock", "value": {"id": 1}})[0] == 200
        full = "the table has no room for another row"
        status, alone = post(client, {"path": "/stock", "value": {"id": 2}})
        assert status == 507
        assert alone["detail"].startswith(full)
        status, batch = post(client, [{"path": "/stock", "value": {"id": 2}}, {"path": "/news", "value": "x"}])
        assert status == 507
        assert batch["results"][0]["error"].startswith(full)
        assert batch["results"][1]["position"]


def test_rows_have_types() -> None:
    """The key of a row to remove is of the type of its field: JSON has no UUID, for example; its metadata applies."""

    @dataclass
    class Plain:
        id: date

    class Typed(TypedDict):
        id: UUID

    class Model(BaseModel):
        id: UUID

    class Lowered(BaseModel):
        id: Annotated[str, StringConstraints(to_lower=True)]

    shop, one = Shop(), str(UUID(int=1))
    rows: list[tuple[Any, Any]] = [
        (Plain, "2026-01-02"),
        (Typed, one),
        (Model, one),
        (Lowered, "ABC"),
        (dict[str, Any], 5),
    ]
    for number, (type_, _) in enumerate(rows):
        shop.live.topic(f"/rows/{number}", type_, by="id")
    with TestClient(shop.app) as client:
        for number, (_, row) in enumerate(rows):
            for change in ({"value": {"id": row}}, {"remove": row}):
                assert post(client, {"path": f"/rows/{number}"} | change)[0] == 200
            assert client.get(f"/rows/{number}").json() == []
        assert post(client, {"path": "/rows/1", "remove": "x"})[1]["detail"][0]["loc"] == ["body", "one", "remove"]


def test_names_of_parameters() -> None:
    """A parameter of the key is known by all names by which watchers write it."""
    shop = Shop()

    @shop.live.topic("/limited", int)
    def limited(most: Annotated[int, Query(validation_alias=AliasChoices("limit", "lim"))] = 5) -> None: ...

    with TestClient(shop.app) as client:
        for number, name in enumerate(("limit", "lim")):
            assert post(client, {"path": f"/limited?{name}=7", "value": number})[0] == 200
            assert client.get("/limited?limit=7").json() == number


class Filters(BaseModel):
    low: int = Field(0, alias="from")
    tags: list[str] = []


Plus = Annotated[int, AfterValidator(lambda number: number + 1)]


def addressed() -> Shop:  # noqa: C901 - many declarations
    """Return an app with topics whose addresses FastAPI reads in all its ways."""
    shop = Shop()

    @shop.live.topic("/one/{number}", str, keep="latest")
    def one(number: int) -> None: ...

    @shop.live.topic("/choice", str, keep="latest")
    def choice(x: Annotated[int, Query(validation_alias=AliasChoices("p", "q"))] = 0) -> None: ...

    @shop.live.topic("/many", str, keep="latest")
    def many(ids: Annotated[list[int] | None, Query()] = None) -> None: ...

    @shop.live.topic("/sequence", str, keep="latest")
    def sequence(ids: Annotated[Sequence[int], Query()] = ()) -> None: ...

    @shop.live.topic("/queue", str, keep="latest")
    def queue(ids: Annotated[deque[int], Query()]) -> None: ...

    @shop.live.topic("/model", str, keep="latest")
    def model(filters: Annotated[Filters, Query()]) -> None: ...

    @shop.live.topic("/plus/{number}", str, keep="latest")
    def plus(number: Plus) -> None: ...

    @shop.live.topic("/json", str, keep="latest")
    def json(filters: Annotated[Json[Filters], Query()]) -> None: ...

    router = LiveRouter(prefix="/prefix/{tenant}")

    @router.topic("/tenant", str, keep="latest")
    def tenants(tenant: str) -> None: ...

    @router.topic("/other/{name}", str, keep="latest")
    def other(name: str) -> None: ...

    shop.app.include_router(router)
    return shop


@pytest.mark.parametrize(
    "address",
    [
        "/one/5?number=6", "/choice?q=6&p=5", "/choice?q=6", "/many?ids=1&ids=2", "/many", "/sequence?ids=1&ids=2",
        "/queue?ids=1", "/model?from=1&tags=a&tags=b", "/model", "/plus/1", "/json?filters=%7B%22from%22:1%7D",
        "/prefix/acme/tenant", "/prefix/acme/other/x%20y",
    ],
)  # fmt: skip
def test_an_address_is_read_as_by_those_who_watch_it(address: str) -> None:
    """A publication is for the key that a GET of the same address shows, and for no other."""
    shop = addressed()
    with TestClient(shop.app) as client:
        assert post(client, {"path": address, "value": "hello"})[0] == 200
        assert client.get(address).text == "hello"
        assert client.get("/one/6").status_code == 404


@pytest.mark.parametrize("address", ["/named?user_id=5", "/named?user=1&other=5"])
def test_unknown_names_are_refused(address: str) -> None:
    """A name that no parameter has, such as that in Python behind an alias, is an error, and nothing is published."""
    shop = Shop()

    @shop.live.topic("/named", str, keep="latest")
    def named(user_id: Annotated[int, Query(alias="user")] = 0) -> None: ...

    with TestClient(shop.app) as client:
        status, answer = post(client, {"path": address, "value": "hello"})
        assert (status, answer["detail"][0]["loc"]) == (422, ["body", "one", "path"])
        assert "unexpected" in answer["detail"][0]["msg"]
        assert client.get(address).status_code == 404


def test_it_is_in_openapi(shop: Shop) -> None:
    """The document has the body, the answers and both ways to send the key."""
    shown = shop.app.openapi()["paths"]["/live/publish"]["post"]
    assert {"200", "401", "409", "413", "422", "503", "507"} <= set(shown["responses"])
    assert [list(each) for each in shown["security"]] == [["HTTPBearer"], ["APIKeyHeader"]]
    assert "requestBody" in shown


def test_own_route_wins() -> None:
    """A route of the app at the same path answers, as everywhere."""
    shop = Shop()
    shop.app.post("/live/publish")(lambda: "mine")
    with TestClient(shop.app) as client:
        assert post(client, {}) == (200, "mine")


def test_keys_are_checked(caplog: pytest.LogCaptureFixture) -> None:
    """An empty key is an error, a short one a warning, and without a prefix there is no place for it."""
    for options in ({"publish_key": ""}, {"publish_key": KEY, "prefix": None}):
        with pytest.raises(ValueError, match="publish_key"):
            Live(FastAPI(), **options)
    with caplog.at_level(logging.WARNING, "wirespeed"):
        Live(FastAPI(), publish_key="secret")
    assert "6 characters" in caplog.text
    assert "secret" not in caplog.text


def test_broker_that_does_not_take_a_value(valkey: Valkey) -> None:
    """A value that is too large for the broker is refused for good; others are published."""
    shop = Shop(broker=f"redis://127.0.0.1:{valkey.port}?max_value_bytes=100")
    with TestClient(shop.app) as client:
        assert post(client, {"path": "/news", "value": "x" * 200})[0] == 507
        assert post(client, {"path": "/news", "value": "x"})[0] == 200


def test_broker_that_cannot_be_reached(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are not confirmed in time, or have no room to wait for the broker, are a 503 with each result."""
    monkeypatch.setattr("wirespeed.live.publish.CONFIRMED_WITHIN", 0.1)
    valkey.kill()
    shop = Shop(broker=f"redis://127.0.0.1:{valkey.port}", settings=Settings(max_publish_backlog_bytes=1))
    with TestClient(shop.app) as client:
        answer = client.post("/live/publish", json=[{"path": "/news", "value": "x"}] * 3, headers=HEADERS)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        late, *full = [each["error"] for each in answer.json()["results"]]
        assert "has not confirmed this in time" in late
        assert full == ["Too many publications are waiting; try again."] * 2
        valkey.start()
        wait_until(lambda: client.get("/news").text == "x")
        assert post(client, {"path": "/news", "value": "y"})[0] == 200
