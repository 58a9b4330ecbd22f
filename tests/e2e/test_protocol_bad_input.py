"""Bad input to the multiplexed surface: each kind has its answer, and other clients are not affected."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.apps.tokens import token
from tests.sdk.frames import Frames, Json, events, fresh, request
from tests.sdk.stage import APP, tell
from tests.servers import Server, serve
from tests.waiting import PATIENCE
from wirespeed.frames import TEXT

BAD = (3501, "bad request")
CONNECT: Json = {"id": 1, "connect": {}}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start the server of all tests here."""
    with serve(APP) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Frames]:
    """Return a client that has not sent anything."""
    with Frames(server) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def bystander(server: Server) -> Iterator[None]:
    """Connect a client for the whole test; at the end it has received everything, and nothing failed."""
    with Frames(server) as client, ThreadPoolExecutor(1) as thread:
        client.connected()
        client.subscribed("note/bystander")
        following = thread.submit(client.next)  # it answers pings meanwhile
        yield
        tell(server, "publish", {"channel": "note/bystander", "values": ["all is well"]})
        assert following.result(PATIENCE)["push"]["pub"]["data"] == "all is well"
    assert "Traceback" not in server.output()


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "\n",
        "{bad",
        "[]",
        "7",
        "null",
        '"text"',
        '{"id":1}',
        '{"id":"1","connect":{}}',
        '{"id":-1,"connect":{}}',
        '{"id":4294967296,"connect":{}}',
        '{"id":1.5,"connect":{}}',
        '{"connect":{}}',
        '{"id":1,"subscribe":{"channel":"note/1"}}',
        '{"id":1,"rpc":{"method":"add"}}',
        '{"send":{"data":{}}}',
        "{}",
        "[" * 10_000,
    ],
)
def test_bad_first_frames(client: Frames, frame: str) -> None:
    """Anything other than a connect command ends the connection."""
    client.socket.send(frame)
    assert client.closed() == BAD


def test_bytes_from_a_json_client(client: Frames) -> None:
    """A binary message of a JSON client ends the connection."""
    client.socket.send(json.dumps(CONNECT).encode())
    assert client.closed() == BAD


def test_text_from_a_protobuf_client(server: Server) -> None:
    """A text message of a Protobuf client ends the connection."""
    with Frames(server, subprotocols=["centrifuge-protobuf"]) as client:
        client.socket.send(json.dumps(CONNECT))
        assert client.closed() == BAD


@pytest.mark.parametrize("frame", [b"", b"\x05", b"\x02\xff\xff", b"\x01\x00", b"\xff" * 11])
def test_bad_protobuf(server: Server, frame: bytes) -> None:
    """Bytes that are not commands end the connection."""
    with Frames(server, subprotocols=["centrifuge-protobuf"]) as client:
        client.socket.send(frame)
        assert client.closed() == BAD


@pytest.mark.parametrize(
    "command",
    [
        {"id": 2, "connect": {}},
        {"id": 2, "ping": {}},
        {},
        {"subscribe": {"channel": "note/1"}},
    ],
)
def test_bad_commands(client: Frames, command: Json) -> None:
    """A violation of the protocol ends the connection."""
    client.connected()
    client.send(command)
    assert client.closed() == BAD


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({}, 107),
        ({"unknown": {}}, 107),
        ({"subscribe": {"channel": ""}}, 107),
        ({"subscribe": {"channel": "note/1", "delta": "unknown"}}, 107),
        ({"unsubscribe": {"channel": ""}}, 107),
        ({"publish": {"channel": "", "data": {}}}, 107),
        ({"presence": {}}, 107),
        ({"presence_stats": {}}, 107),
        ({"history": {}}, 107),
        ({"sub_refresh": {"token": "x"}}, 107),
        ({"refresh": {}}, 107),
        ({"subscribe": {"channel": 7}}, 107),
        ({"subscribe": {"channel": "note/\ud83d"}}, 107),
        ({"subscribe": {"channel": "repeat", "data": {"text": "\ud83d"}}}, 107),
        ({"subscribe": {"channel": "note/1", "offset": -1}}, 107),
        ({"subscribe": {"channel": "note/1", "offset": 1 << 64}}, 107),
        ({"history": {"channel": "note/1", "limit": 1 << 31}}, 107),
        ({"publish": {"channel": "note/1", "data": "\ud83d"}}, 107),
        ({"rpc": {"method": "add", "data": "\ud83d"}}, 107),
        ({"rpc": {"method": "add", "data": float("inf")}}, 107),
        ({"subscribe": {"channel": "note/" + "x" * 251}}, 107),
        ({"subscribe": {"channel": "note/1", "type": 1, "phase": 2}}, 108),
        ({"subscribe": {"channel": "note/1", "type": 4}}, 108),
        ({"subscribe": {"channel": "note/1", "tf": {"cmp": "eq", "val": "x"}}}, 107),
        ({"subscribe": {"channel": "note/1", "tf": {"key": "t", "cmp": "in"}}}, 107),
        ({"subscribe": {"channel": "note/1", "tf": {"op": "not", "nodes": []}}}, 107),
        ({"subscribe": {"channel": "note/1", "tf": {"op": "xor"}}}, 107),
        ({"subscribe": {"channel": "note/1", "tf": {"key": "t", "cmp": "eq"}, "delta": "fossil"}}, 107),
        ({"subscribe": {"channel": "note/1?max_rate=0.1"}}, 107),
        ({"subscribe": {"channel": "number/seven"}}, 107),
        ({"subscribe": {"channel": "note/%2e%2e/admin"}}, 102),
        ({"subscribe": {"channel": "state"}}, 102),
        ({"subscribe": {"channel": "/live/websocket"}}, 102),
        ({"subscribe": {"channel": "http://elsewhere/note/1"}}, 102),
        ({"subscribe": {"channel": "add"}}, 102),
        ({"subscribe": {"channel": "repeat"}}, 107),
        ({"subscribe": {"channel": "repeat", "data": {"times": "many"}}}, 107),
        ({"history": {"channel": "note/1", "limit": 1, "reverse": True, "since": {"offset": 0}}}, 107),
        ({"history": {"channel": "unknown"}}, 102),
        ({"publish": {"channel": "room/1", "data": "no object"}}, 107),
        ({"publish": {"channel": "room/1"}}, 107),
        ({"publish": {"channel": "room/1", "type": 1, "key": "k", "data": {}}}, 108),
        ({"sub_refresh": {"channel": "note/1", "token": "x"}}, 103),
        ({"rpc": {}}, 104),
        ({"rpc": {"method": "note/1", "data": {}}}, 104),
        ({"rpc": {"method": "add"}}, 107),
        ({"rpc": {"method": "add", "data": [1]}}, 107),
    ],
)
def test_bad_requests(client: Frames, command: Json, code: int) -> None:
    """An impossible request is answered with its code, and the connection stays open."""
    client.connected()
    seen = client.ask({"id": 2} | command)
    assert (seen["id"], seen["error"]["code"]) == (2, code)
    assert seen["error"]["message"]
    assert client.ask({"id": 3, "rpc": {"method": "add", "data": {"a": 1, "b": 2}}}) == {"id": 3, "rpc": {"data": 3}}


def test_subscribing_twice(client: Frames) -> None:
    """A second subscribe is refused with the reason; the subscription stays."""
    client.connected()
    note = fresh("note")
    again = {"subscribe": {"channel": note}}
    client.send({"id": 2} | again, {"id": 3} | again)
    seen = {each["id"]: each for each in client.take(2)}
    assert seen[2]["subscribe"]["recoverable"] is True
    assert seen[3]["error"]["code"] == 105
    assert client.ask({"id": 4} | again)["error"] == {"code": 105, "message": "already subscribed"}


def test_too_many_subscriptions(client: Frames) -> None:
    """The 129th subscription is refused."""
    client.connected()
    client.send(*({"id": number, "subscribe": {"channel": fresh("note")}} for number in range(2, 131)))
    seen = {each["id"]: each for each in client.take(129)}
    assert seen[130]["error"]["code"] == 106
    assert all("subscribe" in seen[number] for number in range(2, 130))


def test_refreshing_a_ticket_without_one(client: Frames) -> None:
    """Refreshing a subscription without a token is a bad request; with nonsense it is refused."""
    client.connected()
    note = fresh("note")
    client.subscribed(note)
    for given, code in (("", 107), ("nonsense", 103)):
        seen = client.ask({"id": 3, "sub_refresh": {"channel": note, "token": given}})
        assert seen["error"]["code"] == code


def test_becoming_somebody_else(client: Frames) -> None:
    """A refresh with a token of another user ends the connection."""
    client.connected(token=token("42"))
    client.send({"id": 2, "refresh": {"token": token("43")}})
    assert client.closed() == (3500, "invalid token")


def test_refresh_with_an_expired_token(client: Frames) -> None:
    """A refresh with a token that has expired is refused."""
    client.connected(token=token("42"))
    assert client.ask({"id": 2, "refresh": {"token": token("42", -60)}})["error"]["code"] == 109


@pytest.mark.parametrize("data", ['"\\ud83d"', "1e999", "[" * 1000 + "]" * 1000])
def test_malformed_send(client: Frames, data: str) -> None:
    """A message that cannot be read is ignored: it has no id to answer, and a client did not choose its words."""
    client.connected()
    client.socket.send('{"send":{"data":' + data + '}}\n{"id":2,"unsubscribe":{"channel":"note/1"}}')
    assert client.next() == {"id": 2, "unsubscribe": {}}


def test_what_came_before_is_done(client: Frames) -> None:
    """Commands of a frame before a broken one are processed and answered."""
    client.connected()
    client.socket.send('{"id":2,"unsubscribe":{"channel":"note/1"}}\n{"id":3,"ping":{}}\n{"id":4,"rpc":{}}')
    assert client.next() == {"id": 2, "unsubscribe": {}}
    assert client.closed() == BAD


@pytest.mark.parametrize(
    "frame",
    [
        '{"id":1,"connect":{}}\n',
        '{"id":1,"connect":{},"unknown":7}',
        '{"id":1,"connect":{"unknown":{"deep":[1]},"token":null,"data":null}}',
        '{"id":1,"connect":{},"subscribe":null}',
        '  {"id" : 1 , "connect" : { } }  ',
    ],
)
def test_what_is_let_pass(client: Frames, frame: str) -> None:
    """A trailing newline, unknown fields and null are accepted."""
    client.socket.send(frame)
    assert client.next()["connect"]["pong"] is True


def test_too_large_a_message(client: Frames) -> None:
    """A message of more than 64 KiB ends the connection with 1009, and is not read."""
    client.connected()
    client.send({"id": 2, "rpc": {"method": "add", "data": "x" * 70_000}})
    assert client.closed()[0] == 1009


def test_flood(client: Frames) -> None:
    """A client that sends more than a thousand messages at once is disconnected, and may reconnect."""
    client.connected()
    with pytest.raises(ConnectionClosed) as closed:
        flood(client, 10_000)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3013, "too many requests")


def flood(client: Frames, commands: int) -> None:
    """Send commands, each in its own frame but all at once, and read the answers."""
    sent = b""
    for number in range(2, commands + 2):
        payload = json.dumps({"id": number, "unsubscribe": {"channel": "note/1"}}).encode()
        sent += bytes([0x80 | TEXT, 0x80 | len(payload)]) + bytes(4) + payload  # the mask leaves it as it is
    client.socket.socket.sendall(sent)  # a slow client that sends frame by frame stays within the rate
    for _ in range(commands):
        client.next()


def test_page_of_another_origin(server: Server) -> None:
    """Pages of other origins are refused before they connect, on every transport that a page may use."""
    with pytest.raises(InvalidStatus) as refused, Frames(server, headers={"Origin": "https://evil.example"}):
        pass
    assert refused.value.response.status_code == 403


def test_emulation_without_a_connection(server: Server) -> None:
    """Commands for a missing stream are refused, and so are invalid requests."""
    with events(server, CONNECT) as seen:
        connected = seen.next()
        assert connected is not None
        key = {name: connected["connect"][name] for name in ("session", "node")}
        good: dict[str, Any] = key | {"data": '{"id":2,"unsubscribe":{"channel":"note/1"}}'}
        for body, status in (
            (good | {"session": "unknown"}, 404),
            (good | {"node": "elsewhere"}, 404),
            ({}, 404),
            ([], 400),
            (good | {"data": 7}, 400),
        ):
            assert request(server, "POST", "/live/emulation", json.dumps(body).encode())[0] == status
        assert request(server, "POST", "/live/emulation", b"{bad")[0] == 400
        assert request(server, "POST", "/live/emulation", b"x" * 70_000)[0] == 413
        assert request(server, "GET", "/live/emulation")[0] == 405
        assert request(server, "POST", "/live/emulation", json.dumps(good).encode())[0] == 204
        assert seen.next() == {"id": 2, "unsubscribe": {}}


@pytest.mark.parametrize("beside", ["{bad", "", '{"id":2,"connect":{}}'])
def test_bad_commands_beside_a_stream(server: Server, beside: str) -> None:
    """A violation of the protocol beside a stream ends the stream, with the reason."""
    with events(server, CONNECT) as seen:
        connected = seen.next()
        assert connected is not None
        body = {name: connected["connect"][name] for name in ("session", "node")} | {"data": beside}
        request(server, "POST", "/live/emulation", json.dumps(body).encode())
        assert seen.next() == {"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}
        assert seen.next() is None


def test_a_get_does_nothing_but_connect(server: Server) -> None:
    """Any page can make a browser send a GET with cookies, so commands must be posted."""
    with events(server, CONNECT, {"id": 2, "rpc": {"method": "x"}}) as seen:
        assert seen.response.status == 400
        assert b"can do nothing else" in seen.response.read()


@pytest.mark.parametrize("commands", [[], [{"id": 1}], [CONNECT, CONNECT]])
def test_bad_commands_of_a_stream(server: Server, commands: list[Json]) -> None:
    """A stream that starts with a violation of the protocol reports it, and ends."""
    with events(server, *commands) as seen:
        said = seen.next()
        if said is not None and "connect" in said:
            said = seen.next()
        assert said == {"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}
        assert seen.next() is None


def test_http_stream(server: Server) -> None:
    """Invalid commands end an ``http_stream`` as well; methods other than POST are refused."""
    status, body = request(server, "POST", "/live/http_stream", b"{bad")
    assert status == 200
    assert json.loads(body) == {"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}
    assert request(server, "GET", "/live/http_stream")[0] == 405
    assert request(server, "POST", "/live/http_stream", b"x" * 70_000)[0] == 413
    assert request(server, "POST", "/live/http_stream", b"\x05", "application/octet-stream")[0] == 200
