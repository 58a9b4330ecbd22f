"""Descriptions: everything that an app declares, as plain data with the types as they were declared."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel
from starlette.websockets import WebSocket

from wirespeed import Live, LiveRouter, Message, Tagged
from wirespeed.definitions import Description, Intake, ParameterDescription, WatchedOptions, describe
from wirespeed.live.inventory import describe_app


class Say(BaseModel):
    text: str


class Price(BaseModel):
    symbol: str
    value: float


Text = Annotated[str, Message(max_length=3)]
Size = Annotated[int, Query(alias="page-size", le=10)]
STREAM: Any = ("websocket", "multiplexed", "post", "sse")
WATCHED: Any = ("websocket", "multiplexed", "get", "sse")
POST, GET, NEITHER = STREAM[:3], WATCHED[:3], STREAM[:2]


def only(app: FastAPI) -> Description:
    """Return the description of an app's only definition."""
    (found,) = describe_app(app)
    return found


def test_path_of_included_routers(app: FastAPI, live: Live) -> None:
    """Each place that a router is included at has a description, with its prefix, in the order of the routes."""
    inner, outer = LiveRouter(prefix="/inner"), LiveRouter()

    @inner.call("/add")
    def add(numbers: list[int]) -> int:
        """Add numbers."""
        return sum(numbers)

    outer.include_router(inner, prefix="/outer")
    app.include_router(outer, prefix="/a")
    live.topic("/news", str)
    app.include_router(outer, prefix="/b")
    assert [each.path for each in describe_app(app)] == ["/a/outer/inner/add", "/news", "/b/outer/inner/add"]
    assert {(each.title, each.doc) for each in describe_app(app) if each.kind == "call"} == {
        ("call '/add' (add)", "Add numbers.")
    }


def test_stream(app: FastAPI, live: Live) -> None:
    """A stream has the type of its message and of its values, and the parameters of its URL without dependencies."""

    def user(token: str = "") -> str:
        return token

    @live.stream("/rooms/{room}", overlap="replace")
    async def say(room: int, message: Say, who: Annotated[str, Depends(user)], size: Size = 5) -> AsyncIterator[Price]:
        """Say something.

        In a room.
        """
        yield Price(symbol=who, value=1)

    assert only(app) == Description(
        kind="stream",
        path="/rooms/{room}",
        title="stream '/rooms/{room}' (say)",
        doc="Say something.\n\nIn a room.",
        parameters=(
            ParameterDescription("room", "path", int, is_required=True, default=None),
            ParameterDescription("page-size", "query", Size, is_required=False, default=5),
        ),
        intake=Intake.EACH,
        message_type=Say,
        value_type=Price,
        encoding="json",
        message_encoding="json",
        options={"overlap": "replace", "resume": None, "recheck": None},
        surfaces=STREAM,
    )


async def duplex(messages: AsyncIterator[Say]) -> AsyncIterator[Text]:
    yield ""


async def binary() -> AsyncIterator[bytes]:
    yield b""


async def own(socket: WebSocket) -> AsyncIterator[int]:
    yield 1


async def takes_bytes(data: Annotated[bytes, Message()]) -> AsyncIterator[str]:
    yield ""


@pytest.mark.parametrize(
    ("function", "intake", "message", "value", "encoding", "surfaces"),
    [
        (duplex, Intake.ALL, Say, Text, "text", NEITHER),
        (binary, Intake.NOTHING, None, bytes, "bytes", POST),
        (own, Intake.NOTHING, None, int, "json", NEITHER),
        (takes_bytes, Intake.EACH, Annotated[bytes, Message()], str, "text", NEITHER),
    ],
)
def test_streams(
    app: FastAPI, live: Live, function: Any, intake: Intake, message: Any, value: Any, encoding: str, surfaces: Any
) -> None:
    """The types of a stream's messages and values decide how they are encoded, and which surfaces offer it."""
    live.stream("/x")(function)
    found = only(app)
    assert (found.intake, found.value_type, found.encoding, found.surfaces) == (intake, value, encoding, surfaces)
    assert str(found.message_type) == str(message)


def echo(text: Text) -> Say:
    return Say(text=text)


def octets() -> bytes:
    return b""


@pytest.mark.parametrize(("function", "message", "value"), [(echo, Text, Say), (octets, None, bytes)])
@pytest.mark.parametrize("http", [False, True])
def test_calls(app: FastAPI, live: Live, function: Any, message: Any, value: Any, *, http: bool) -> None:
    """A call has no options, and a POST unless it is switched off."""
    live.call("/x", http=http)(function)
    found = only(app)
    assert (found.message_type, found.value_type, found.options) == (message, value, {})
    assert found.surfaces == (POST if http else NEITHER)


async def ticks(symbol: Literal["BTC", "ETH"], zone: str = "utc") -> AsyncIterator[Price]:
    """Prices."""
    yield Price(symbol=symbol, value=1)


def tagged() -> Iterator[Tagged[bytes]]:
    yield Tagged(b"", {})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"by": "symbol", "max_rate": 5.0},
        {"keep": 7, "replay": 3, "on_lag": "skip", "deltas": True, "retain": None},
        {"keep": timedelta(minutes=1), "presence": True, "join_leave": True, "linger": 0.5},
    ],
)
def test_feed(app: FastAPI, live: Live, options: dict[str, Any]) -> None:
    """A feed has its key, the type of its values and all of its options, defaults included."""
    live.feed("/ticks/{symbol}", **options)(ticks)
    found = only(app)
    assert (found.kind, found.doc, found.value_type, found.surfaces) == ("feed", "Prices.", Price, WATCHED)
    assert (found.intake, found.message_type) == (Intake.NOTHING, None)
    assert found.parameters == (
        ParameterDescription("symbol", "path", Literal["BTC", "ETH"], is_required=True, default=None),
        ParameterDescription("zone", "query", str, is_required=False, default="utc"),
    )
    defaults = asdict(WatchedOptions(keep="latest", retain=300.0)) | {"linger": 5.0, "run": "once"}
    assert found.options == defaults | options


def test_feed_of_tagged_bytes(app: FastAPI, live: Live) -> None:
    """The type of tagged values is the type inside; Server-Sent Events cannot carry bytes."""
    live.feed("/x")(tagged)
    assert (only(app).value_type, only(app).encoding, only(app).surfaces) == (bytes, "bytes", GET)


def test_topic(app: FastAPI, live: Live) -> None:
    """A topic is described once its key is declared; with a handler it takes messages."""
    room = live.topic("/rooms/{room}", str, keep="latest")
    assert describe_app(app) == ()

    @room
    def of_room(room: str) -> None:
        """The newest words in a room."""

    assert (only(app).doc, only(app).message_type, only(app).encoding) == ("The newest words in a room.", None, "text")

    @room.on_message
    async def say(message: Say) -> None:
        """Say something."""

    assert (only(app).intake, only(app).message_type, only(app).surfaces) == (Intake.EACH, Say, WATCHED)


def test_route_of_the_app_wins(app: FastAPI, live: Live) -> None:
    """A definition is not offered where the app answers a GET or POST itself."""
    live.topic("/news", str)
    app.get("/news")(lambda: "own")
    assert only(app).surfaces == NEITHER


def test_left_out_of_openapi(app: FastAPI, live: Live) -> None:
    """A definition that OpenAPI does not show is offered all the same."""
    live.call("/x", include_in_schema=False)(octets)
    assert only(app).surfaces == POST


def test_nothing_is_described_of_nothing() -> None:
    """Descriptions are made of what is given, and of nothing else."""
    assert describe([]) == ()
