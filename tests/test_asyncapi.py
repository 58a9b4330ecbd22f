"""AsyncAPI documents: every definition with its parameters, messages, options, errors and security."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, FastAPI, Header, Path, Query, Security
from fastapi.security import APIKeyHeader, HTTPBearer, OAuth2PasswordBearer, OpenIdConnect
from pydantic import AliasChoices, BaseModel, Field, Json

from tests.parsing import check
from wirespeed import BindingError, Identity, Live, LiveRouter, Message, RawJSON, Snapshot, current_identity
from wirespeed.asyncapi import document
from wirespeed.log.base import Append


class Say(BaseModel):
    text: str = "hello"


class Price(BaseModel):
    symbol: str
    value: float


class Problem(BaseModel):
    detail: str


def only(app: FastAPI) -> dict[str, Any]:
    """Return the only channel of an app's valid document."""
    made = document(app)
    check(made)
    (channel,) = made["channels"].values()
    assert isinstance(channel, dict)
    return channel


def details(app: FastAPI) -> dict[str, Any]:
    """Return what the document of an app adds about its only definition."""
    found = only(app)["x-wirespeed"]
    assert isinstance(found, dict)
    return found


def test_feed(app: FastAPI, live: Live) -> None:
    """A feed has its parameters, the type of its values, its options and its docs, and a GET beside the WebSocket."""

    @live.feed("/price/{symbol}", tags=["market"], max_rate=5, responses={404: {"model": Problem}})
    async def newest_price(
        symbol: Annotated[Literal["BTC", "ETH"], Path(description="A coin.")], unit: Annotated[str, Query()] = "usd"
    ) -> AsyncIterator[Price]:
        """The price of
        a coin.

        As it changes.
        """
        yield Price(symbol=symbol, value=1)

    found = only(app)
    assert (found["address"], found["title"], found["summary"]) == (
        "/price/{symbol}", "Newest Price", "The price of a coin.",
    )  # fmt: skip
    assert found["description"] == "The price of\na coin.\n\nAs it changes."
    assert found["tags"] == [{"name": "market"}]
    assert found["parameters"] == {"symbol": {"enum": ["BTC", "ETH"], "description": "A coin."}}
    value = {"$ref": "#/components/schemas/Price"}
    assert found["messages"]["value"]["payload"] == value
    assert found["messages"]["value"]["contentType"] == "application/json"
    assert found["bindings"]["ws"]["query"]["properties"] == {"unit": {"type": "string", "default": "usd"}}
    coin = {"type": "string", "enum": ["BTC", "ETH"], "description": "A coin."}
    assert found["x-wirespeed"] == {
        "kind": "feed",
        "path": "/price/{symbol}",
        "channel": "price/{symbol}",
        "parameters": [
            {"name": "symbol", "in": "path", "required": True, "description": "A coin.", "schema": coin},
            {
                "name": "unit",
                "in": "query",
                "required": False,
                "default": "usd",
                "schema": {"type": "string", "default": "usd"},
            },
        ],
        "surfaces": ["websocket", "multiplexed", "get", "sse"],
        "encoding": "json",
        "messageEncoding": None,
        "intake": "nothing",
        "keep": "latest",
        "by": None,
        "orderBy": None,
        "replay": 0,
        "onLag": None,
        "maxRate": 5,
        "retain": 300,
        "presence": False,
        "joinLeave": False,
        "deltas": False,
        "afterEnd": "keep",
        "history": True,
        "recheck": None,
        "grows": False,
        "linger": 5,
        "run": "once",
        "value": value,
        "message": None,
        "row": None,
        "errors": {
            "404": {"description": "Not Found", "schema": {"$ref": "#/components/schemas/Problem"}},
            "422": {"description": "Validation Error", "schema": {"$ref": "#/components/schemas/HTTPValidationError"}},
        },
        "security": [],
    }
    operation = document(app)["operations"]["price_symbol.send"]
    assert operation["action"] == "send"
    assert operation["messages"][0] == {"$ref": "#/channels/price_symbol/messages/value"}
    assert operation["bindings"]["http"]["method"] == "GET"
    assert "unit" in operation["bindings"]["http"]["query"]["properties"]


def test_call(app: FastAPI, live: Live) -> None:
    """A call receives a message, in input mode, and replies with a value, in output mode."""

    @live.call("/add")
    def add(say: Say) -> Say:
        return say

    found = details(app)
    assert (found["message"], found["value"]) == (
        {"$ref": "#/components/schemas/Say"}, {"$ref": "#/components/schemas/Say"},
    )  # fmt: skip
    operations = document(app)["operations"]
    assert list(operations) == ["add.receive"]
    assert operations["add.receive"]["action"] == "receive"
    assert operations["add.receive"]["messages"] == [{"$ref": "#/channels/add/messages/message"}]
    assert operations["add.receive"]["reply"]["messages"][0] == {"$ref": "#/channels/add/messages/value"}
    assert operations["add.receive"]["bindings"]["http"]["method"] == "POST"


def test_input_and_output_differ(app: FastAPI, live: Live) -> None:
    """A model that is written differently than it is read has two schemas, with FastAPI's names for them."""

    class Both(BaseModel):
        at: Annotated[timedelta, Field(default=timedelta(seconds=1))]
        ratio: float = Field(validation_alias="in", serialization_alias="out")

    @live.call("/both")
    def both(both: Both) -> Both:
        return both

    found = details(app)
    assert (found["message"], found["value"]) == (
        {"$ref": "#/components/schemas/Both-Input"}, {"$ref": "#/components/schemas/Both-Output"},
    )  # fmt: skip
    schemas = document(app)["components"]["schemas"]
    assert "in" in schemas["Both-Input"]["properties"]
    assert "out" in schemas["Both-Output"]["properties"]
    assert app.openapi()["components"]["schemas"].keys() == schemas.keys()


async def text(message: Annotated[str, Message(max_length=3)]) -> AsyncIterator[str]:
    yield message


async def duplex(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for each in messages:
        yield each


async def nothing() -> AsyncIterator[int | None]:
    yield None


async def raw(message: RawJSON) -> AsyncIterator[RawJSON]:
    yield message


ANY = {"description": "Any JSON."}
TEXT, BYTES = {"type": "string"}, {"type": "string", "format": "binary"}


@pytest.mark.parametrize(
    ("function", "intake", "message", "value", "types", "operations"),
    [
        (text, "each", TEXT | {"maxLength": 3}, TEXT, ("text", "text"), {"x.send", "x.receive"}),
        (duplex, "all", BYTES, BYTES, ("bytes", "bytes"), {"x.send", "x.receive"}),
        (nothing, "nothing", None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, (None, "json"), {"x.send"}),
        (raw, "each", ANY, ANY, ("json", "json"), {"x.send", "x.receive"}),
    ],
)
def test_streams(
    app: FastAPI,
    live: Live,
    function: Callable[..., Any],
    intake: str,
    message: Any,
    value: Any,
    types: tuple[str | None, str],
    operations: set[str],
) -> None:
    """Texts, bytes and any JSON have their schemas and media types; a stream receives what it takes."""
    live.stream("/x", recheck=3)(function)
    found = details(app)
    assert (found["kind"], found["intake"], found["overlap"], found["recheck"]) == ("stream", intake, "queue", 3)
    assert (found["message"], found["value"]) == (message, value)
    assert (found["messageEncoding"], found["encoding"]) == types
    assert set(document(app)["operations"]) == operations
    media_types = {"json": "application/json", "text": "text/plain", "bytes": "application/octet-stream"}
    messages = only(app)["messages"]
    assert messages["value"]["contentType"] == media_types[types[1]]
    assert ("message" in messages) is (message is not None)


def test_topic_with_handler(app: FastAPI, live: Live) -> None:
    """A topic sends its values and receives the messages of its handler; it names what can be lost."""
    room = live.topic("/rooms/{room}", Say, keep=timedelta(minutes=1), presence=True)

    @room
    def rooms(room: int) -> None:
        """A room."""

    @room.on_message
    def handle(message: Annotated[str, Message()], room: int) -> None: ...

    found, messages = details(app), only(app)["messages"]
    assert (found["kind"], found["keep"], found["presence"]) == ("topic", {"seconds": 60}, True)
    assert (found["message"], found["messageEncoding"], found["intake"]) == (TEXT, "text", "each")
    assert messages.keys() == {"value", "message", "error", "lost"}
    assert set(document(app)["operations"]) == {"rooms_room.send", "rooms_room.receive"}


def test_table(app: FastAPI, live: Live) -> None:
    """In a table, a message is a change of one row; the type of values is that of a row."""

    @live.feed("/prices", by="symbol", order_by="-value")
    def prices() -> Iterator[Snapshot[Price]]:
        yield Snapshot([])

    found, messages = details(app), only(app)["messages"]
    key, value = {"title": "Symbol", "type": "string"}, {"$ref": "#/components/schemas/Price"}
    assert (found["by"], found["orderBy"], found["keep"]) == ("symbol", "-value", "latest")
    assert (found["value"], found["row"]) == (value, key)
    assert messages["value"]["payload"]["properties"] == {"key": key, "value": value}
    assert messages.keys() == {"value", "removed", "error", "reset", "status"}


def test_names_of_the_fields_of_rows(app: FastAPI, live: Live) -> None:
    """Fields of rows have the names that they have in JSON."""

    class Row(BaseModel):
        own_id: int = Field(alias="ownId")
        at: int = Field(0, serialization_alias="sentAt")

    live.topic("/rows", Row, by="own_id", order_by="-at")
    found = details(app)
    assert (found["by"], found["orderBy"]) == ("ownId", "-sentAt")
    assert found["row"] == {"title": "Ownid", "type": "integer"}


def test_names_of_the_fields_of_a_dataclass(app: FastAPI, live: Live) -> None:
    """Fields of rows that are dataclasses have the names that they have in JSON, too."""

    @dataclass
    class Row:
        own_id: Annotated[int, Field(alias="ownId")]
        at: Annotated[int, Field(serialization_alias="sentAt")]

    live.topic("/rows", Row, by="own_id", order_by="-at")
    found = details(app)
    assert (found["by"], found["orderBy"], found["row"]["type"]) == ("ownId", "-sentAt", "integer")


def test_growing_text(app: FastAPI, live: Live) -> None:
    """A text that grows is a text."""

    @live.feed("/words", grows=True)
    def words() -> Iterator[str | Append]:
        yield ""

    assert (details(app)["value"], details(app)["grows"], details(app)["encoding"]) == (TEXT, True, "text")


def test_routers(app: FastAPI, live: Live) -> None:
    """A router that is included twice is described twice, with the tags, answers and options of its inclusions."""

    class Tag(Enum):
        MARKET = "market"

    inner, outer = LiveRouter(prefix="/inner", tags=["own"], responses={401: {"model": Problem}}), LiveRouter()

    @inner.stream("/echo", tags=[Tag.MARKET], summary="Talk", description="Say it.\n\nTwice.")
    async def echo(messages: AsyncIterator[Say]) -> AsyncIterator[Say]:
        async for each in messages:
            yield each

    outer.include_router(inner, prefix="/outer", tags=["outer"])
    app.include_router(outer, prefix="/a", deprecated=True, responses={403: {"description": "Never"}})
    app.include_router(outer, prefix="/b")
    app.include_router(outer, prefix="/hidden", include_in_schema=False)
    made = document(app)
    check(made)
    assert list(made["channels"]) == ["a_outer_inner_echo", "b_outer_inner_echo"]
    first, second = made["channels"].values()
    assert first["title"] == second["title"] == "Talk"
    assert (first["summary"], first["description"]) == ("Say it.", "Say it.\n\nTwice.")
    assert [each["name"] for each in first["tags"]] == ["outer", "own", "market"]
    assert first["x-wirespeed"]["deprecated"] is True
    assert "deprecated" not in second["x-wirespeed"]
    assert first["x-wirespeed"]["errors"].keys() == {"401", "403", "422"}
    assert second["x-wirespeed"]["errors"].keys() == {"401", "422"}


def test_hidden_definitions(app: FastAPI, live: Live) -> None:
    """A definition that OpenAPI does not show is not shown here, and neither are those of such a router."""
    router = LiveRouter(include_in_schema=False)
    router.topic("/a", str)
    live.topic("/b", str, include_in_schema=False)
    live.topic("/c", str, http=False, include_in_schema=False)
    app.include_router(router)
    made = document(app)
    check(made)
    assert (made["channels"], made["operations"], made["components"]["schemas"]) == ({}, {}, {})


def test_route_of_the_app_wins(app: FastAPI, live: Live) -> None:
    """A definition whose GET is the app's own is described without it, and all the rest stays."""
    live.topic("/news", str, tags=["x"])
    app.get("/news")(lambda: "own")
    found = only(app)
    assert found["x-wirespeed"]["surfaces"] == ["websocket", "multiplexed"]
    assert found["tags"] == [{"name": "x"}]
    assert [each["$ref"] for each in found["servers"]] == ["#/servers/websocket", "#/servers/multiplexed"]


def test_ids_differ(app: FastAPI, live: Live) -> None:
    """Paths with the same words have channels with different ids, made of letters, digits and underscores."""
    for path in ("/a/b", "/a-b", "/a_b", "/", "/é/ü"):
        live.topic(path, str)
    made = document(app)
    check(made)
    assert list(made["channels"]) == ["a_b", "a_b_2", "a_b_3", "root", "root_2"]


def test_docs_of_other_callables(app: FastAPI, live: Live) -> None:
    """A partial has the name and the docs of its function, and an object those of its class, as in OpenAPI."""

    async def numbers(limit: int, first: int) -> AsyncIterator[int]:
        """Count."""
        yield first

    class Counter:
        """Counts, too."""

        async def __call__(self) -> AsyncIterator[int]:
            yield 1

    live.stream("/partial")(partial(numbers, first=1))
    live.stream("/object")(Counter())
    made = document(app)
    check(made)
    found = [(each["title"], each["description"]) for each in made["channels"].values()]
    assert found == [("Numbers", "Count."), ("Counter", "Counts, too.")]
    operations = [each["post"] for each in app.openapi()["paths"].values()]
    assert [(each["summary"], each["description"]) for each in operations] == found


def test_routes_that_are_added_later(app: FastAPI, live: Live) -> None:
    """A router that was included already adds its later definitions, and a topic the message of a later handler."""
    outer, inner = LiveRouter(), LiveRouter()
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer, prefix="/outer")
    assert document(app)["channels"] == {}
    news = inner.topic("/news", str)
    assert document(app)["channels"]["outer_inner_news"]["x-wirespeed"]["message"] is None

    @news.on_message
    def handle(message: Say) -> None: ...

    message = document(app)["channels"]["outer_inner_news"]["x-wirespeed"]["message"]
    assert message == {"$ref": "#/components/schemas/Say"}


def test_security(app: FastAPI) -> None:
    """Schemes of dependencies are described as AsyncAPI has them, with the scopes that a definition needs."""
    live = Live(app)
    oauth = OAuth2PasswordBearer("login", scopes={"read": "Read.", "write": "Write."})

    def user(token: Annotated[str, Security(oauth, scopes=["read"])]) -> str:
        return token

    guards = [
        Security(user, scopes=["write"]),
        Depends(APIKeyHeader(name="X-Key")),
        Depends(HTTPBearer()),
        Depends(OpenIdConnect(openIdConnectUrl="/.well-known/openid")),
    ]
    live.topic("/guarded", str, dependencies=guards)
    made = document(app, server="https://example.com/api")
    check(made)
    schemes = made["components"]["securitySchemes"]
    assert {name: each["type"] for name, each in schemes.items()} == {
        "OAuth2PasswordBearer": "oauth2",
        "APIKeyHeader": "httpApiKey",
        "HTTPBearer": "http",
        "OpenIdConnect": "openIdConnect",
    }
    password = schemes["OAuth2PasswordBearer"]["flows"]["password"]
    assert password["tokenUrl"] == "https://example.com/api/login"
    assert password["availableScopes"] == {"read": "Read.", "write": "Write."}
    found = made["channels"]["guarded"]["x-wirespeed"]
    assert set(found["security"]) == schemes.keys()
    assert found["scopes"] == {"OAuth2PasswordBearer": ["write", "read"]}
    assert made["operations"]["guarded.send"]["security"] == [
        {"$ref": f"#/components/securitySchemes/{name}"} for name in found["security"]
    ]


def test_authenticate(app: FastAPI) -> None:
    """The scheme of ``authenticate`` is that of the multiplexed connection, and of definitions that ask for it."""

    async def authenticate(token: str, connection: object) -> Identity | None:
        return None

    live = Live(app, authenticate=authenticate)
    live.topic("/open", str)
    live.topic("/own", str, dependencies=[Depends(current_identity)])
    made = document(app)
    check(made)
    assert made["servers"]["multiplexed"]["security"] == [{"$ref": "#/components/securitySchemes/HTTPBearer"}]
    assert {id_: each["x-wirespeed"]["security"] for id_, each in made["channels"].items()} == {
        "open": [],
        "own": ["HTTPBearer"],
    }


def test_parameters_of_dependencies(app: FastAPI, live: Live) -> None:
    """Parameters that dependencies and prefixes take from the URL and the headers are described, too, and marked."""

    class Page(BaseModel):
        size: int = Field(5, le=10)
        after: str | None = None

    def guard(
        tenant: int, x_token: Annotated[str, Header()], shown: bool = False,
        secret: Annotated[str, Query(include_in_schema=False)] = "",
    ) -> None: ...  # fmt: skip

    router = LiveRouter(prefix="/{tenant}/{free}", dependencies=[Depends(guard)])

    @router.stream("/rows")
    async def rows(page: Annotated[Page, Query()], shown: bool) -> AsyncIterator[int]:
        yield 1

    app.include_router(router)
    found = only(app)
    assert found["address"] == "/{tenant}/{free}/rows"
    assert found["parameters"] == {"tenant": {}, "free": {}}
    parameters = {each["name"]: each for each in found["x-wirespeed"]["parameters"]}
    assert {name: each.get("dependency", False) for name, each in parameters.items()} == {
        "size": False, "after": False, "shown": False, "tenant": True, "free": True,
    }  # fmt: skip
    assert parameters["size"]["schema"] == {"type": "integer", "maximum": 10, "default": 5}
    assert (parameters["size"]["default"], parameters["tenant"]["schema"]) == (5, {"type": "integer"})
    assert found["bindings"]["ws"]["headers"]["required"] == ["x-token"]
    assert found["bindings"]["ws"]["query"]["required"] == ["shown"]


def test_names_of_parameters(app: FastAPI, live: Live) -> None:
    """A parameter has the name that clients write, by any kind of alias, as in OpenAPI."""

    class Page(BaseModel):
        size: Annotated[int, Field(validation_alias=AliasChoices("pageSize", "n"))] = 5

    class Sent(BaseModel):
        x_trace: str
        own_name: str = Field(alias="own_alias")

    class Kept(BaseModel):
        x_plain: str

    def guard(
        sent: Annotated[Sent, Header()],
        kept: Annotated[Kept, Header(convert_underscores=False)],
        limit: Annotated[int, Query(validation_alias="most")] = 5,
    ) -> None: ...

    @live.feed("/rows", dependencies=[Depends(guard)])
    async def rows(
        page: Annotated[Page, Query()], number: Annotated[int, Query(validation_alias=AliasChoices("no", "nr"))] = 1
    ) -> AsyncIterator[int]:
        yield number

    found = only(app)
    parameters = [each["name"] for each in found["x-wirespeed"]["parameters"]]
    assert parameters == ["pageSize", "no", "most"]
    headers = list(found["bindings"]["ws"]["headers"]["properties"])
    assert headers == ["x-trace", "own_alias", "x_plain"]
    described = app.openapi()["paths"]["/rows"]["get"]["parameters"]
    assert sorted(each["name"] for each in described) == sorted(parameters + headers)


def test_parameters_of_models(app: FastAPI, live: Live) -> None:
    """The fields of a model are parameters, also beside None, and a model that comes as JSON is one parameter."""

    class Page(BaseModel, validate_by_alias=False, validate_by_name=True):
        size: int = Field(5, alias="pageSize")

    class Sorted(BaseModel):
        by: str = "name"

    @live.feed("/rows")
    async def rows(
        page: Annotated[Page | None, Query()] = None,
        order: Annotated[Json[Sorted], Query()] = None,  # type: ignore[assignment]
    ) -> AsyncIterator[int]:
        yield 1

    assert [each["name"] for each in only(app)["x-wirespeed"]["parameters"]] == ["size", "order"]
    assert {each["name"] for each in app.openapi()["paths"]["/rows"]["get"]["parameters"]} == {"size", "order"}


def test_app(live: Live) -> None:
    """The texts and links of the app are there, as far as AsyncAPI has a place for them."""
    app = FastAPI(
        title="Prices",
        version="1.2.3",
        summary="All of them.",
        terms_of_service="https://example.com/terms",
        contact={"name": "Ada", "url": "https://example.com", "email": "ada@example.com"},
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=[{"name": "market", "description": "Markets.", "externalDocs": {"url": "https://example.com/x"}}],
        openapi_external_docs={"url": "https://example.com/docs"},
    )
    Live(app, prefix="/ws/live")
    made = document(app, server="wss://example.com:444/api/")
    check(made)
    assert made["info"] == {
        "title": "Prices",
        "version": "1.2.3",
        "description": "All of them.",
        "termsOfService": "https://example.com/terms",
        "contact": {"name": "Ada", "url": "https://example.com", "email": "ada@example.com"},
        "license": {"name": "MIT"},
        "tags": [{"name": "market", "description": "Markets.", "externalDocs": {"url": "https://example.com/x"}}],
        "externalDocs": {"url": "https://example.com/docs"},
    }
    assert made["servers"] == {
        "websocket": {"host": "example.com:444", "protocol": "wss", "pathname": "/api"},
        "http": {"host": "example.com:444", "protocol": "https", "pathname": "/api"},
        "multiplexed": {
            "host": "example.com:444",
            "protocol": "wss",
            "pathname": "/api/ws/live/websocket",
            "x-wirespeed": {"protocol": "centrifuge", "prefix": "/ws/live"},
        },
    }


def test_links_of_the_app() -> None:
    """Links may be relative and tags may be repeated in OpenAPI; here they are absolute, and each tag is there once."""
    app = FastAPI(
        terms_of_service="/terms",
        license_info={"name": "Own", "url": "license"},
        openapi_tags=[{"name": "a", "externalDocs": {"url": "a.html"}}, {"name": "b"}, {"name": "b"}],
        openapi_external_docs={"url": "https://example.org/docs"},
    )
    Live(app)
    made = document(app, server="https://example.com/api")
    check(made)
    info = made["info"]
    assert (info["termsOfService"], info["license"]["url"]) == (
        "https://example.com/terms",
        "https://example.com/api/license",
    )
    assert info["externalDocs"]["url"] == "https://example.org/docs"
    assert info["tags"] == [{"name": "a", "externalDocs": {"url": "https://example.com/api/a.html"}}, {"name": "b"}]


def test_without_multiplexed_connection(app: FastAPI) -> None:
    """An app without a prefix has no multiplexed connection, and its definitions are not offered there."""
    Live(app, prefix=None).topic("/news", str)
    assert "multiplexed" not in document(app)["servers"]
    assert details(app)["surfaces"] == ["websocket", "get", "sse"]


def test_withheld_values(app: FastAPI, live: Live) -> None:
    """A definition whose earlier values are withheld is offered over HTTP by its events only."""
    live.topic("/news", str, keep=10, history=False)
    assert details(app)["surfaces"] == ["websocket", "multiplexed", "sse"]
    assert document(app)["operations"]["news.send"]["bindings"]["http"]["method"] == "GET"


def test_new_definitions_appear(app: FastAPI, live: Live) -> None:
    """The document is made again when routes were added; what a caller changes in it stays the caller's."""
    live.topic("/a", str)
    made = document(app)
    made["channels"]["a"].clear()
    assert document(app)["channels"]["a"] != {}
    live.topic("/b", str)
    assert list(document(app)["channels"]) == ["a", "b"]


@pytest.mark.parametrize("server", ["example.com", "ftp://example.com", "/path", ""])
def test_wrong_server(app: FastAPI, live: Live, server: str) -> None:
    """A server that is not an address is refused."""
    with pytest.raises(ValueError, match="must be an address"):
        document(app, server=server)


def test_without_live() -> None:
    """An app without a ``Live`` has no document."""
    with pytest.raises(BindingError):
        document(FastAPI())
