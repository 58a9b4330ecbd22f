"""Entries: a channel's name as a URL, the handshake that it becomes, and what the app answers to that."""

from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.centrifuge.samples import TEXT
from wirespeed.centrifuge import codes
from wirespeed.centrifuge.codes import Error
from wirespeed.surfaces.multiplex.entry import KEY, Channel, Entry, base_of, entry_of, virtual_scope

pytestmark = pytest.mark.anyio

# Names of channels


@pytest.mark.parametrize(
    ("name", "path", "query"),
    [
        ("price/BTC", "/price/BTC", ""),
        ("/price/BTC", "/price/BTC", ""),
        ("//price", "//price", ""),
        ("price/BTC?currency=EUR&n=1", "/price/BTC", "currency=EUR&n=1"),
        ("price?a=1?b=2", "/price", "a=1?b=2"),
        ("price?", "/price", ""),
        ("run#1", "/run", ""),
        ("run?a=1#2", "/run", "a=1"),
        ("run#1?a=1", "/run", ""),
        ("#42", "/", ""),
        ("?a=1", "/", "a=1"),
        ("caf%C3%A9", "/café", ""),
        ("café", "/café", ""),
        ("a%2Fb%3Fc%23d", "/a/b?c#d", ""),
        ("a?x=%26%3D%23", "/a", "x=%26%3D%23"),
        ("100%", "/100%", ""),
        ("%zz", "/%zz", ""),
        ("a b", "/a b", ""),
    ],
)
def test_names(name: str, path: str, query: str) -> None:
    """They are URLs without their first part: a path and a query; what follows a # only tells runs apart."""
    assert Channel.parse(name) == (path, query)


@given(TEXT)
def test_any_name_is_a_path(name: str) -> None:
    """Whatever it is, it begins with a slash, and slashes of its own make no difference to that."""
    channel = Channel.parse(name)
    assert channel.path.startswith("/")
    if not name.startswith("/"):
        assert Channel.parse(f"/{name}") == channel or channel.path.startswith("//")


# Handshakes


def handshake(**changes: Any) -> Scope:
    """The scope of a connection, as it is when it has been routed."""
    return {
        "type": "websocket",
        "path": "/live/websocket",
        "raw_path": b"/live/websocket",
        "query_string": b"cf_protocol=protobuf",
        "root_path": "",
        "headers": [
            (b"host", b"example.com"),
            (b"cookie", b"session=1"),
            (b"authorization", b"Basic x"),
            (b"sec-websocket-key", b"abc"),
            (b"sec-websocket-protocol", b"centrifuge-protobuf"),
        ],
        "subprotocols": ["centrifuge-protobuf"],
        "extensions": {"websocket.http.response": {}, "tls": {}},
        "state": {"db": "connection"},
        "client": ("127.0.0.1", 5000),
        "app": "app",
        "router": "router",
        "route": "route",
        "endpoint": "endpoint",
        "path_params": {"a": "b"},
        "fastapi_inner_astack": "stack",
        "user": "set by middleware",
    } | changes


def entered(name: str, token: str = "", entry: Entry | None = None, **changes: Any) -> Scope:
    """The scope by which a channel is entered."""
    return virtual_scope(base_of(handshake(**changes)), Channel.parse(name), entry or Entry(), token)


def test_scope_of_a_channel() -> None:
    """It has the channel's path and query, and what the handshake has brought; nothing of where that was routed to."""
    entry = Entry()
    scope = entered("price/BTC?currency=EUR", entry=entry)
    assert scope == {
        "type": "websocket",
        "path": "/price/BTC",
        "raw_path": b"/price/BTC",
        "query_string": b"currency=EUR",
        "root_path": "",
        "headers": [(b"host", b"example.com"), (b"cookie", b"session=1"), (b"authorization", b"Basic x")],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "state": {"db": "connection"},
        "client": ("127.0.0.1", 5000),
        "user": "set by middleware",
        KEY: entry,
    }
    assert entry_of(scope) is entry


def test_entries_are_no_connections() -> None:
    """A real connection has no entry, whatever stands in its place."""
    assert entry_of(handshake()) is None
    assert entry_of(handshake(**{KEY: "no entry"})) is None
    nested = entered("a", entry=Entry())
    assert KEY not in base_of(nested)


def test_subscriptions_do_not_share_what_they_write() -> None:
    """State and headers of one are not those of another, nor those of the connection."""
    original = handshake()
    base = base_of(original)
    one, other = (virtual_scope(base, Channel("/a", ""), Entry(), "") for _ in range(2))
    one["state"]["db"] = "mine"
    one["headers"].append((b"x", b"y"))
    assert other["state"] == original["state"] == {"db": "connection"}
    assert (b"x", b"y") not in other["headers"]
    assert (b"x", b"y") not in original["headers"]
    assert (b"x", b"y") not in base["headers"]


def test_without_state() -> None:
    """Servers without a lifespan have no state, and neither do subscriptions."""
    scope = handshake()
    del scope["state"]
    assert not virtual_scope(base_of(scope), Channel("/a", ""), Entry(), "").get("state")


def test_token_replaces_authorization() -> None:
    """The header of the handshake counts only where there is no token."""
    headers = dict(entered("a", "token")["headers"])
    assert headers == {b"host": b"example.com", b"cookie": b"session=1", b"authorization": b"Bearer token"}
    bare = handshake(headers=[])
    assert virtual_scope(base_of(bare), Channel("/a", ""), Entry(), "t")["headers"] == [(b"authorization", b"Bearer t")]
    assert virtual_scope(base_of(bare), Channel("/a", ""), Entry(), "")["headers"] == []


def test_root_path() -> None:
    """The app finds a channel's path under its own."""
    scope = entered("price/BTC", root_path="/api")
    assert (scope["path"], scope["raw_path"], scope["root_path"]) == ("/api/price/BTC", b"/api/price/BTC", "/api")


@pytest.mark.parametrize(("name", "raw"), [("café", b"/caf%C3%A9"), ("a b", b"/a%20b"), ("a%2Fb", b"/a/b")])
def test_raw_path(name: str, raw: bytes) -> None:
    """It is of ASCII, as a server's is."""
    assert entered(name)["raw_path"] == raw


@pytest.mark.parametrize(
    "name", ["a?x=caf%C3%A9&y=a%26b", "a?x=café&y=a%26b", "a?x=caf%C3%A9&y=a%26b&empty", "a?x=café&y=a%26b#1"]
)
def test_query(name: str) -> None:
    """Its parameters are what they say, percent-encoded or not."""
    assert {**HTTPConnection(entered(name)).query_params, "empty": ""} == {"x": "café", "y": "a&b", "empty": ""}


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=3))
def test_queries_are_ascii(parameters: dict[str, str]) -> None:
    """Whatever text a client writes into the query, the app gets bytes as a server would give them."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    raw = entered(f"a?{query}")["query_string"]
    assert raw.isascii()
    wanted = parse_qsl(query.partition("#")[0], keep_blank_values=True)
    assert HTTPConnection(entered(f"a?{query}")).query_params.multi_items() == wanted


# What the app answers


async def test_receive() -> None:
    """The app gets a handshake; whoever waits for messages learns that there are none."""
    entry = Entry()
    assert await entry.receive() == {"type": "websocket.connect"}
    for _ in range(2):
        assert (await entry.receive())["type"] == "websocket.disconnect"


async def answered(*messages: Message) -> Error | None:
    """What becomes of some answers."""
    entry = Entry()
    for message in messages:
        await entry.send(message)
    assert not entry.admitted
    return entry.error


async def responded(response: Response) -> Error | None:
    """What becomes of a refusal with a response."""
    entry = Entry()
    websocket = WebSocket(entered("a"), entry.receive, entry.send)
    await websocket.send_denial_response(response)
    return entry.error


async def test_accepting_is_no_refusal() -> None:
    """An accept, and what is sent after it, is passed over: it is the endpoint that admits."""
    accept, text = {"type": "websocket.accept"}, {"type": "websocket.send", "text": "hi"}
    assert await answered(accept, text) is None


async def test_close() -> None:
    """A close is a refusal, and its reason is told."""
    assert await answered({"type": "websocket.close", "code": 1008}) == codes.PERMISSION_DENIED
    assert await answered({"type": "websocket.close", "reason": ""}) == codes.PERMISSION_DENIED
    assert await answered({"type": "websocket.close", "code": 4000, "reason": "Not you."}) == Error(103, "Not you.")


async def test_responses() -> None:
    """A response is a refusal by its status, with its detail, in one part or in many."""
    assert await responded(JSONResponse({"detail": "Not you."}, 403)) == Error(103, "Not you.")
    assert await responded(PlainTextResponse("gone", 410)) == Error(410, "Gone")
    assert await responded(Response(status_code=500)) == Error(500, "Internal Server Error")
    start = {"type": "websocket.http.response.start", "status": 409}
    parts = [
        {"type": "websocket.http.response.body", "body": b'{"detail":', "more_body": True},
        {"type": "websocket.http.response.body", "body": b'"Taken."}', "more_body": False},
    ]
    assert await answered(start, *parts) == Error(409, "Taken.")
    assert await answered(start, parts[0]) is None


async def test_expired_token_by_header() -> None:
    """The headers of a response count, too."""
    headers = {"www-authenticate": 'Bearer error="invalid_token", error_description="expired"'}
    assert await responded(JSONResponse({"detail": "Unauthorized"}, 401, headers)) == codes.TOKEN_EXPIRED


async def test_first_word_counts() -> None:
    """What an endpoint of ours has said is not changed by how the framework puts it."""
    entry = Entry()
    error = entry.refused(codes.NOT_AVAILABLE)
    assert (isinstance(error, HTTPException), error.status_code) == (True, 403)
    await entry.send({"type": "websocket.http.response.start", "status": 404, "headers": []})
    await entry.send({"type": "websocket.http.response.body", "body": b""})
    await entry.send({"type": "websocket.close", "reason": "other"})
    assert entry.error == codes.NOT_AVAILABLE


async def test_kinds_that_do_not_fit() -> None:
    """A command that leads to something of another kind finds nothing."""
    nothing: Any = None
    entry = Entry()
    for enter in (entry.watch, entry.stream, entry.call):
        with pytest.raises(HTTPException) as raised:
            await enter(nothing, nothing, {})
        assert raised.value.status_code == 404


async def test_code_that_talks_to_a_virtual_websocket() -> None:
    """A dependency that accepts, and reads, ends as if the client had gone."""
    entry = Entry()
    websocket = WebSocket(entered("a", entry=entry), entry.receive, entry.send)
    await websocket.accept()
    await websocket.send_text("hi")
    with pytest.raises(WebSocketDisconnect):
        await websocket.receive_text()
    assert entry.error is None
