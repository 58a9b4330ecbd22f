"""Frame by frame: how a client of the Centrifuge protocol connects, stays and leaves."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from centrifuge.protocol import client_pb2

from tests.apps.tokens import forged, ticket, token
from tests.sdk.frames import Frames, events, fresh, reach, request
from tests.sdk.stage import APP
from tests.servers import Server, serve
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start the server of all tests here; its clients have three seconds to refresh what has expired."""
    with serve(APP) as server:
        yield server


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """Start a server whose clients have three seconds to answer a ping, and five to connect."""
    with serve(APP, env={"PING": "3", "PONG": "2.9", "CONNECT_TIMEOUT": "5"}) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Frames]:
    """Return a client that has not sent anything."""
    with Frames(server) as client:
        yield client


def test_tokens(server: Server, client: Frames) -> None:
    """A client with a token learns when it needs another, for the connection and for single channels."""
    user, seat, note = fresh("user"), fresh("ticket"), fresh("note")
    claims = {"info": {"name": "A"}, "channels": [note]}
    connected = client.connected(token=token(user, 60, **claims), name="js", data={"x": 1})
    assert connected["expires"] is True
    assert 0 < connected["ttl"] <= 60
    epoch = connected["subs"][note].pop("epoch")
    assert epoch
    assert connected["subs"] == {note: {"recoverable": True, "positioned": True}}
    subscribed = client.subscribed(seat, token=ticket(user, seat, 60))
    assert subscribed["expires"] is True
    assert 0 < subscribed["ttl"] <= 60
    refreshed = client.ask({"id": 3, "sub_refresh": {"channel": seat, "token": ticket(user, seat, 900)}})
    assert refreshed["sub_refresh"].pop("ttl") in range(61, 901)
    assert refreshed == {"id": 3, "sub_refresh": {"expires": True}}
    refreshed = client.ask({"id": 4, "refresh": {"token": token(user, 9000, **claims)}})
    assert refreshed["refresh"]["expires"] is True
    assert 900 < refreshed["refresh"]["ttl"] <= 9000


def test_what_the_app_does(server: Server, client: Frames) -> None:
    """The app subscribes a client, ends that, sends to it, extends its time, and disconnects it."""
    user, note = fresh("user"), fresh("note")
    client.connected(token=token(user))
    reach(server, user, "subscribe", channel=note, data={"d": 1})
    seen = client.next()["push"]
    assert seen["subscribe"].pop("epoch")
    assert seen == {"channel": note, "subscribe": {"recoverable": True, "positioned": True, "data": {"d": 1}}}
    assert client.ask({"id": 3, "subscribe": {"channel": note}})["error"]["code"] == 105
    reach(server, user, "unsubscribe", channel=note)
    assert client.next()["push"] == {"channel": note, "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
    reach(server, user, "send", data=[1, "я"])
    assert client.next() == {"push": {"message": {"data": [1, "я"]}}}
    reach(server, user, "refresh", expires_at=4_000_000_000)
    assert client.next()["push"]["refresh"]["expires"] is True
    reach(server, user, "disconnect")
    assert client.closed() == (3503, "force disconnect")


def test_expired_token(client: Frames) -> None:
    """A client with an expired token gets an error; nothing else works on that connection."""
    expired = {"code": 109, "message": "token expired"}
    assert client.ask({"id": 1, "connect": {"token": token("42", -60)}}) == {"id": 1, "error": expired}
    client.send({"id": 2, "subscribe": {"channel": "note/x"}})
    assert client.closed() == (3501, "bad request")


def test_invalid_token(client: Frames) -> None:
    """A client with a forged token is disconnected."""
    client.send({"id": 1, "connect": {"token": forged("42")}})
    assert client.closed() == (3500, "invalid token")


def test_wrong_tickets(client: Frames) -> None:
    """An invalid or expired token for a channel admits no client."""
    client.connected(token=token("42"))
    for wrong, error in (
        ("zz", {"code": 103, "message": "permission denied"}),
        (ticket("42", "ticket/x", -60), {"code": 109, "message": "token expired"}),
    ):
        seen = client.ask({"id": 2, "subscribe": {"channel": "ticket/x", "token": wrong}})
        assert seen == {"id": 2, "error": error}


def test_pings(impatient: Server) -> None:
    """A client that answers pings stays; one that does not is disconnected."""
    with Frames(impatient, answers_pings=False) as client:
        assert client.connected()["ping"] == 3
        for _ in range(2):
            assert client.next() == {}
            client.send({})
        assert client.next() == {}
        assert client.closed() == (3012, "no pong")


def test_pings_of_websockets(impatient: Server) -> None:
    """A client that asks for WebSocket pings receives them, and need not answer in the protocol."""
    with Frames(impatient, "?cf_ws_frame_ping_pong=true") as client:
        assert "ping" not in client.connected()
        assert client.subscribed("ticks/1?pause=0.1")["recoverable"] is True
        numbers = [each["push"]["pub"]["data"] for each in client.take(60)]  # for two of these intervals
        assert numbers == list(range(numbers[0], numbers[0] + 60))


def test_connect_timeout(impatient: Server) -> None:
    """A client that sends nothing is disconnected."""
    with Frames(impatient) as client:
        assert client.closed() == (3502, "stale")


def test_nobody_stays_longer(client: Frames) -> None:
    """A client without a new token is disconnected some time after the expiry; a subscription is ended."""
    seat = fresh("ticket")
    client.connected(token=token("42", stay=6))
    client.subscribed(seat, token=ticket("42", seat, stay=1))
    assert client.next() == {"push": {"channel": seat, "unsubscribe": {"code": 2501, "reason": "subscription expired"}}}
    assert client.closed() == (3005, "connection expired")


@pytest.mark.parametrize(
    ("query", "offered"),
    [("", ["centrifuge-protobuf"]), ("?cf_protocol=protobuf", []), ("?format=protobuf", [])],
)
def test_protobuf(server: Server, query: str, offered: list[str]) -> None:
    """Protobuf is used if it is requested by subprotocol, which is confirmed, or by query."""
    with Frames(server, query, subprotocols=offered) as client:
        assert client.socket.subprotocol == (offered[0] if offered else None)
        commands = [
            client_pb2.Command(id=1, connect=client_pb2.ConnectRequest()),
            client_pb2.Command(id=2, subscribe=client_pb2.SubscribeRequest(channel=fresh("note"))),
        ]
        encoded = [each.SerializeToString() for each in commands]
        client.socket.send(b"".join(bytes([len(each)]) + each for each in encoded))
        replies: list[Any] = []
        while len(replies) < 2:
            frame = client.socket.recv(PATIENCE)
            assert isinstance(frame, bytes)
            while frame:
                size, frame = frame[0], frame[1:]
                assert size < 128
                replies.append(client_pb2.Reply.FromString(frame[:size]))
                frame = frame[size:]
        assert [each.id for each in replies] == [1, 2]
        assert replies[0].connect.pong is True
        assert replies[1].subscribe.recoverable is True


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["centrifuge-json"], "centrifuge-json"),
        (["other", "centrifuge-json"], "centrifuge-json"),
        (["centrifuge-protobuf", "centrifuge-json"], "centrifuge-json"),
        (["other"], None),
        ([], None),
    ],
)
def test_subprotocols(server: Server, offered: list[str], chosen: str | None) -> None:
    """JSON is the default, and is chosen if it is offered."""
    with Frames(server, subprotocols=offered) as client:
        assert client.socket.subprotocol == chosen
        assert client.connected()["pong"] is True


def test_server_sent_events(server: Server) -> None:
    """Replies are events, commands are separate requests; a disconnect is an event, then the end."""
    user, room = fresh("user"), fresh("room")
    with events(server, {"id": 1, "connect": {"token": token(user)}}) as seen:
        assert seen.response.status == 200
        assert (seen.response.getheader("content-type") or "").startswith("text/event-stream")
        connected = seen.next()
        assert connected is not None
        beside = {key: connected["connect"][key] for key in ("session", "node")}
        command = json.dumps({"id": 2, "subscribe": {"channel": room}})
        body = json.dumps(beside | {"data": command}).encode()
        assert request(server, "POST", "/live/emulation", body) == (204, b"")
        subscribed, joined = seen.next(), seen.next()
        assert subscribed is not None
        assert subscribed["subscribe"]["recoverable"] is True
        assert joined is not None
        assert joined["push"]["join"]["info"]["user"] == user
        reach(server, user, "disconnect")
        assert seen.next() == {"push": {"disconnect": {"code": 3503, "reason": "force disconnect"}}}
        assert seen.next() is None
