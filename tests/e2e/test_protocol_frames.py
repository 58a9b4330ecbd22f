"""Frame by frame: the commands of a client of the Centrifuge protocol, and their effects."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from centrifuge.fossil import apply_delta

from tests.apps.tokens import token
from tests.sdk.frames import Frames, Json, fresh, publish, reach
from tests.sdk.stage import APP
from tests.servers import Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start the server of all tests here; its clients have a second to refresh what has expired."""
    with serve(APP) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Frames]:
    """Return a client that has not sent anything."""
    with Frames(server) as client:
        yield client


def pub(channel: str, seen: Json) -> Json:
    """Return the push of a publication."""
    return {"push": {"channel": channel, "pub": seen}}


def test_connecting_and_subscribing_in_one_frame(client: Frames) -> None:
    """Commands of one frame are processed in order; a client's own join follows its subscription."""
    room = fresh("room")
    client.send({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": room, "flag": 1}})
    connected, subscribed, joined = client.take(3)
    me = connected["connect"]["client"]
    epoch = subscribed["subscribe"]["epoch"]
    version = connected["connect"]["version"]
    assert version
    assert connected == {
        "id": 1,
        "connect": {"client": me, "version": version, "data": {"hello": ""}, "ping": 25, "pong": True},
    }
    assert epoch
    assert subscribed == {"id": 2, "subscribe": {"recoverable": True, "positioned": True, "epoch": epoch}}
    assert joined == {"push": {"channel": room, "join": {"info": {"user": "", "client": me}}}}


def test_publishing(server: Server, client: Frames) -> None:
    """The client's own publication precedes the answer; the first one of a log has its epoch; tags are included."""
    me, room = client.connected()["client"], fresh("room")
    epoch = client.subscribed(room)["epoch"]
    client.next()
    client.send({"id": 3, "publish": {"channel": room, "data": {"n": 1}}})
    info = {"user": "", "client": me}
    assert client.take(2) == [
        pub(room, {"data": {"n": 1}, "info": info, "offset": 1, "epoch": epoch}),
        {"id": 3, "publish": {}},
    ]
    publish(server, room, {"n": 2}, tags={"a": "b"})
    assert client.next() == pub(room, {"data": {"n": 2}, "offset": 2, "tags": {"a": "b"}})


def test_presence(client: Frames) -> None:
    """Presence lists the members and their number, even if there are none."""
    me, room = client.connected()["client"], fresh("room")
    assert client.ask({"id": 3, "presence": {"channel": room}}) == {"id": 3, "presence": {"presence": {}}}
    assert client.ask({"id": 4, "presence_stats": {"channel": room}}) == {
        "id": 4,
        "presence_stats": {"num_clients": 0, "num_users": 0},
    }
    client.subscribed(room)
    client.next()
    assert client.ask({"id": 5, "presence": {"channel": room}}) == {
        "id": 5,
        "presence": {"presence": {me: {"user": "", "client": me}}},
    }
    assert client.ask({"id": 6, "presence_stats": {"channel": room}}) == {
        "id": 6,
        "presence_stats": {"num_clients": 1, "num_users": 1},
    }


def test_history(server: Server, client: Frames) -> None:
    """History returns publications unchanged, from either end, or the position alone."""
    note = fresh("note")
    client.connected()
    epoch = client.subscribed(note)["epoch"]

    def history(**options: Any) -> Json:
        return client.ask({"id": 7, "history": {"channel": note, **options}})

    assert history(limit=10) == {"id": 7, "history": {"publications": [], "epoch": epoch, "offset": 0}}
    publish(server, note, "a")
    publish(server, note, "b", tags={"t": "x"})
    first, second = client.take(2)
    one, two = first["push"]["pub"], second["push"]["pub"]
    assert (one, two) == ({"data": "a", "offset": 1, "epoch": epoch}, {"data": "b", "offset": 2, "tags": {"t": "x"}})
    for options, expected in (
        ({"limit": 10}, [one, two]),
        ({"limit": -1}, [one, two]),
        ({}, []),
        ({"limit": 1, "reverse": True}, [two]),
        ({"limit": 1, "since": {"offset": 1, "epoch": epoch}}, [two]),
        ({"limit": 5, "since": {"offset": 2, "epoch": epoch}, "reverse": True}, [one]),
    ):
        assert history(**options) == {"id": 7, "history": {"publications": expected, "epoch": epoch, "offset": 2}}
    assert history(limit=1, since={"offset": 1, "epoch": "bad"}) == {
        "id": 7,
        "error": {"code": 112, "message": "unrecoverable position"},
    }


def test_newest_value(server: Server, client: Frames) -> None:
    """With conflation, a new watcher receives the newest value right after the subscription."""
    price = fresh("price")
    client.connected()
    epoch = client.subscribed(price)["epoch"]
    publish(server, price, 1)
    assert client.next() == pub(price, {"data": 1, "offset": 1, "epoch": epoch})
    assert client.ask({"id": 3, "unsubscribe": {"channel": price}}) == {"id": 3, "unsubscribe": {}}
    publish(server, price, 2)
    assert client.subscribed(price) == {"recoverable": True, "epoch": epoch, "offset": 1}
    assert client.next() == pub(price, {"data": 2, "offset": 2})


def test_unsubscribing(server: Server, client: Frames) -> None:
    """An unsubscribe is answered, with or without a subscription, after earlier publications."""
    note = fresh("note")
    client.connected()
    client.subscribed(note)
    publish(server, note, 1)
    assert client.next()["push"]["pub"]["data"] == 1
    assert client.ask({"id": 15, "unsubscribe": {"channel": note}}) == {"id": 15, "unsubscribe": {}}
    assert client.ask({"id": 16, "unsubscribe": {"channel": "never/subscribed"}}) == {"id": 16, "unsubscribe": {}}
    publish(server, note, 2)
    assert client.ask({"id": 17, "unsubscribe": {"channel": note}}) == {"id": 17, "unsubscribe": {}}


def test_unsubscribed_by_the_app(server: Server, client: Frames) -> None:
    """A client whose subscription is ended learns so, with a code."""
    user, room = fresh("user"), fresh("room")
    client.connected(token=token(user))
    client.subscribed(room)
    client.next()
    reach(server, user, "unsubscribe", channel=room)
    assert client.next() == {
        "push": {"channel": room, "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}},
    }


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ({"rpc": {"method": "m", "data": {}}}, {"code": 104, "message": "method not found"}),
        ({"subscribe": {"channel": "ticket/x"}}, {"code": 103, "message": "permission denied"}),
        ({"subscribe": {"channel": "unknown/x"}}, {"code": 102, "message": "unknown channel"}),
        ({"presence": {"channel": "note/x"}}, {"code": 108, "message": "not available"}),
        ({"publish": {"channel": "note/x", "data": 1}}, {"code": 103, "message": "permission denied"}),
    ],
)
def test_refusals(client: Frames, command: Json, error: Json) -> None:
    """An impossible request is answered with an error, and the connection stays open."""
    client.connected()
    assert client.ask({"id": 9} | command) == {"id": 9, "error": error}
    assert client.ask({"id": 10, "rpc": {"method": "add", "data": {"a": 1, "b": 2}}}) == {"id": 10, "rpc": {"data": 3}}


def test_recovery(server: Server, client: Frames) -> None:
    """A returning client receives what it has missed, or learns that it cannot recover."""
    few = fresh("few")
    client.connected()
    epoch = client.subscribed(few)["epoch"]
    publish(server, few, "a", "b", "c")
    client.take(3)
    known = {"recoverable": True, "positioned": True, "epoch": epoch, "was_recovering": True}
    missed = [{"data": "b", "offset": 2}, {"data": "c", "offset": 3}]

    def returned(**options: Any) -> Json:
        client.ask({"id": 3, "unsubscribe": {"channel": few}})
        return client.ask({"id": 4, "subscribe": {"channel": few, "recover": True} | options})

    assert returned(offset=1, epoch=epoch)["subscribe"] == known | {
        "publications": missed,
        "recovered": True,
        "offset": 1,
    }
    assert returned(offset=3, epoch=epoch)["subscribe"] == known | {"recovered": True, "offset": 3}
    assert returned(offset=3, epoch="zzz")["subscribe"] == known | {"offset": 3}
    assert returned(offset=3, epoch="zzz", flag=2)["error"] == {"code": 112, "message": "unrecoverable position"}
    publish(server, few, *range(12))
    assert returned(offset=1, epoch=epoch)["subscribe"] == known | {"offset": 15}


def test_recovery_of_the_newest_value(server: Server, client: Frames) -> None:
    """A returning client receives the newest value, unless it has it or there is none."""
    price, empty = fresh("price"), fresh("price")
    publish(server, price, 1, 2, 3)
    client.connected()
    seen = client.subscribed(price, recover=True)
    epoch = seen["epoch"]
    assert seen["publications"] == [{"data": 3, "offset": 3}]
    assert (seen["recovered"], seen["was_recovering"], seen["recoverable"]) == (True, True, True)
    client.ask({"id": 3, "unsubscribe": {"channel": price}})
    seen = client.subscribed(price, recover=True, offset=3, epoch=epoch)
    assert seen == {"recoverable": True, "epoch": epoch, "offset": 3, "was_recovering": True, "recovered": True}
    seen = client.subscribed(empty, recover=True)
    assert seen.pop("epoch")
    assert seen == {"recoverable": True, "was_recovering": True}


def test_deltas(server: Server, client: Frames) -> None:
    """With deltas the first publication is whole, and the others are patches that yield the published values."""
    note = fresh("note")
    client.connected()
    values = [{"text": "hello world " * 5, "i": number} for number in range(3)]
    seen = client.subscribed(note, delta="fossil")
    assert seen["delta"] is True
    publish(server, note, *values)
    pubs = [each["push"]["pub"] for each in client.take(3)]
    assert [each.get("delta", False) for each in pubs] == [False, True, True]
    assert undone(pubs) == values
    client.ask({"id": 3, "unsubscribe": {"channel": note}})
    again = client.subscribed(note, delta="fossil", recover=True, offset=1, epoch=seen["epoch"])
    assert (again["delta"], again["recovered"]) == (True, True)
    publish(server, note, values[0])
    pubs = [*again["publications"], client.next()["push"]["pub"]]
    assert [each.get("delta", False) for each in pubs] == [False, True, True]
    assert undone(pubs) == [values[1], values[2], values[0]]


def undone(pubs: list[Json]) -> list[Any]:
    """Return the values of publications that may be patches."""
    base, values = b"", []
    for each in pubs:
        data = each["data"].encode()
        base = apply_delta(base, data) if each.get("delta") else data
        values.append(json.loads(base))
    return values


def test_tags_filter(server: Server, client: Frames) -> None:
    """A client with a filter receives only matching publications."""
    note = fresh("note")
    client.connected()
    client.subscribed(note, tf={"key": "t", "cmp": "eq", "val": "x"})
    for number, kind in ((1, "y"), (2, "x"), (3, "y"), (4, "x")):
        publish(server, note, number, tags={"t": kind})
    assert client.take(2) == [
        pub(note, {"data": 2, "offset": 2, "tags": {"t": "x"}}),
        pub(note, {"data": 4, "offset": 4, "tags": {"t": "x"}}),
    ]
