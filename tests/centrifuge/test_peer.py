"""Peers: commands in and out of order, their answers, and deadlines."""

from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from tests.centrifuge.pair import CONNECT, PING, PONG, REFRESH, Pair, admit
from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE, SIDES, Fields, Side
from wirespeed.centrifuge import codes, schema
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import Disconnect, Error, ProtocolError
from wirespeed.centrifuge.messages import ConnectResult, SubscribeResult
from wirespeed.centrifuge.peer import State
from wirespeed.centrifuge.subscription import Event


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


COMMANDS: dict[str, Fields] = {
    "connect": {"id": 2, "connect": {}},
    "subscribe": {"id": 2, "subscribe": {"channel": "a"}},
    "unsubscribe": {"id": 2, "unsubscribe": {"channel": "a"}},
    "publish": {"id": 2, "publish": {"channel": "a", "data": 1}},
    "presence": {"id": 2, "presence": {"channel": "a"}},
    "presence_stats": {"id": 2, "presence_stats": {"channel": "a"}},
    "history": {"id": 2, "history": {"channel": "a"}},
    "rpc": {"id": 2, "rpc": {"method": "a"}},
    "send": {"send": {"data": 1}},
    "refresh": {"id": 2, "refresh": {"token": "t"}},
    "sub_refresh": {"id": 2, "sub_refresh": {"channel": "a", "token": "t"}},
    "ping": {"id": 2, "ping": {}},
    "pong": {},
}

ABOUT_A_CHANNEL = ["subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history", "sub_refresh"]


def refused(pair: Pair, *commands: Fields) -> Disconnect:
    """Return the end of the connection caused by some commands, none of which is passed on."""
    received = pair.peer.receive(pair.side.frame(commands))
    with pytest.raises(ProtocolError) as raised:
        list(received)
    assert str(raised.value.disconnect.code) in str(raised.value)
    return raised.value.disconnect


# Connecting


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "connect"])
def test_first_command_is_connect(side: Side, name: str) -> None:
    """Any command before it ends the connection."""
    assert refused(Pair(side), COMMANDS[name]) == codes.BAD_PROTOCOL


def connecting(pair: Pair) -> None:
    """Return a peer whose client waits for the answer to its connect."""
    pair.send({"id": 1, "connect": {}})


def connected(pair: Pair) -> None:
    """Return a peer with a connected client."""
    pair.connected()


def turned_away(pair: Pair) -> None:
    """Return a peer with a refused client."""
    connecting(pair)
    pair.peer.refuse(1, codes.TOKEN_EXPIRED)
    assert pair.heard() == [{"id": 1, "error": {"code": 109, "message": "token expired"}}]


@pytest.mark.parametrize("become", [connecting, connected, turned_away])
def test_connect_comes_once(side: Side, become: Callable[[Pair], None]) -> None:
    """A second one ends the connection, whatever the result of the first."""
    pair = Pair(side)
    become(pair)
    assert refused(pair, COMMANDS["connect"]) == codes.BAD_PROTOCOL


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_follows_a_refused_connect(side: Side, name: str) -> None:
    """A refused client can only leave."""
    pair = Pair(side)
    turned_away(pair)
    assert pair.peer.state is State.REFUSED
    assert refused(pair, COMMANDS[name]) == codes.BAD_PROTOCOL


@pytest.mark.parametrize("become", [connecting, connected])
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("connect", "ping", "pong", "sub_refresh")])
def test_commands_follow_connect(side: Side, become: Callable[[Pair], None], name: str) -> None:
    """All other commands may follow the connect at once, and nothing is sent before they are served."""
    pair = Pair(side)
    become(pair)
    (command,) = pair.send(COMMANDS[name])
    assert type(command).__name__.lower() == name.replace("_", "")
    assert getattr(command, "id", 2) == 2
    assert pair.heard() == []


def test_commands_come_in_order(side: Side) -> None:
    """One frame with the connect and all others yields them one after the other."""
    names = ["connect", "subscribe", "publish", "rpc", "send", "unsubscribe"]
    frame = [COMMANDS[name] | ({"id": at} if name != "send" else {}) for at, name in enumerate(names, start=1)]
    commands = Pair(side).send(*frame)
    assert [type(each) for each in commands] == [m.Connect, m.Subscribe, m.Publish, m.Rpc, m.Send, m.Unsubscribe]
    assert [getattr(each, "id", None) for each in commands] == [1, 2, 3, 4, None, 6]


def test_connect_is_answered(side: Side) -> None:
    """The client receives its id and data, and the interval of pings."""
    pair = Pair(side)
    connecting(pair)
    pair.peer.connected(1, ConnectResult("me", "v1", data=b'{"a":1}', expires=True, ttl=60), pair.now, 1.0)
    told = {"client": "me", "version": "v1", "data": {"a": 1}, "expires": True, "ttl": 60, "ping": 25, "pong": True}
    assert pair.heard() == [{"id": 1, "connect": told}]
    assert pair.peer.state is State.CONNECTED
    assert pair.heard() == []


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"pings": False}, {}),
        ({"ping_interval": 0.2, "pong_timeout": 0.1}, {"ping": 1, "pong": True}),
        ({"ping_interval": 24.6}, {"ping": 25, "pong": True}),
    ],
)
def test_ping_is_told_in_whole_seconds(side: Side, limits: dict[str, Any], said: Fields) -> None:
    """The interval is at least one second; without pings it is left out, so that the client does not wait."""
    pair = Pair(side, **limits)
    connecting(pair)
    pair.peer.connected(1, ConnectResult("me"), pair.now, 0.5)
    assert pair.heard() == [{"id": 1, "connect": {"client": "me", **said}}]


# Commands out of order


@pytest.mark.parametrize("become", [connecting, connected])
@pytest.mark.parametrize("name", ["ping", "pong"])
def test_clients_do_not_ping(side: Side, become: Callable[[Pair], None], name: str) -> None:
    """A ping from the client, or the answer to one that was not sent, ends the connection."""
    pair = Pair(side)
    become(pair)
    assert refused(pair, COMMANDS[name]) == codes.BAD_PROTOCOL


@pytest.mark.parametrize("name", ABOUT_A_CHANNEL)
@pytest.mark.parametrize("channel", [{}, {"channel": ""}])
def test_channels_have_names(side: Side, name: str, channel: Fields) -> None:
    """A command about a channel that names none is an error of that command."""
    fields = {key: value for key, value in COMMANDS[name][name].items() if key != "channel"}
    pair = Pair(side).connected()
    assert pair.send({"id": 2, name: fields | channel}) == []
    assert pair.heard() == [{"id": 2, "error": {"code": 107, "message": "the channel is empty"}}]


@pytest.mark.parametrize(
    "command",
    [
        {"id": 2, "subscribe": {"channel": "a", "delta": "xdelta"}},
        {"id": 2, "refresh": {}},
        {"id": 2, "refresh": {"token": ""}},
    ],
)
def test_what_no_client_should_send(side: Side, command: Fields) -> None:
    """An unknown delta, or a refresh without a token, is an error of that command."""
    pair = Pair(side).connected()
    assert pair.send(command) == []
    ((id_, error),) = [(each["id"], each["error"]["code"]) for each in pair.heard()]
    assert (id_, error) == (2, 107)
    assert pair.peer.subscriptions == {}


MALFORMED_SENDS = [
    '{"send":{"data":"\\ud83d"}}',
    '{"send":{"data":1e999}}',
    '{"send":{"data":' + "[" * 1000 + "]" * 1000 + "}}",
    '{"send":{"data":' + "9" * 5000 + "}}",
    '{"send":[]}',
]


@pytest.mark.parametrize("line", MALFORMED_SENDS, ids=range(len(MALFORMED_SENDS)))
def test_malformed_send(line: str) -> None:
    """It has no id to answer: it is counted as refused, and later commands are processed."""
    pair = Pair(JSON_SIDE).connected()
    refusals: list[Error] = []
    pair.peer.on_error = lambda error, _: refusals.append(error)
    (command,) = pair.peer.receive(line + '\n{"id":2,"unsubscribe":{"channel":"a"}}')
    assert isinstance(command, m.Unsubscribe)
    assert [each.code for each in refusals] == [107]
    assert pair.heard() == []


def test_malformed_send_in_protobuf() -> None:
    """The same holds in the other format."""
    pair = Pair(PROTOBUF_SIDE).connected()
    number = next(number for number, kind in schema.COMMANDS.items() if kind is m.Send)
    broken = bytes((number << 3 | 2, 2, 0x0A, 0x05))
    assert list(pair.peer.receive(bytes((len(broken),)) + broken)) == []
    assert pair.heard() == []


@pytest.mark.parametrize("line", MALFORMED_SENDS, ids=range(len(MALFORMED_SENDS)))
def test_malformed_send_before_connect(line: str) -> None:
    """No command may precede the connect."""
    with pytest.raises(ProtocolError):
        list(Pair(JSON_SIDE).peer.receive(line))


def leaf(**fields: Any) -> Fields:
    """Return a comparison of a tags filter."""
    return {"key": "t", "cmp": "eq", "val": "x"} | fields


REFUSED: list[tuple[Fields, Error]] = [
    ({"subscribe": {"channel": "x" * 256}}, codes.BAD_REQUEST),
    ({"subscribe": {"channel": "ä" * 128}}, codes.BAD_REQUEST),
    ({"subscribe": {"channel": "known"}}, codes.ALREADY_SUBSCRIBED),
    ({"subscribe": {"channel": "pending"}}, codes.ALREADY_SUBSCRIBED),
    ({"subscribe": {"channel": "#server"}}, codes.ALREADY_SUBSCRIBED),
    ({"subscribe": {"channel": "new", "tf": leaf(cmp="like")}}, codes.BAD_REQUEST),
    ({"subscribe": {"channel": "new", "tf": {}}}, codes.BAD_REQUEST),
    ({"subscribe": {"channel": "new", "tf": {"op": "not", "nodes": [leaf(), leaf()]}}}, codes.BAD_REQUEST),
    ({"subscribe": {"channel": "new", "tf": {"op": "or", "nodes": [leaf()] * 100}}}, codes.BAD_REQUEST),
    ({"subscribe": {"channel": "new", "tf": leaf(), "delta": "fossil"}}, codes.BAD_REQUEST),
    ({"history": {"channel": "known", "reverse": True, "since": {}}}, codes.BAD_REQUEST),
    ({"history": {"channel": "known", "reverse": True, "since": {"epoch": "e"}}}, codes.BAD_REQUEST),
    ({"sub_refresh": {"channel": "unknown", "token": "t"}}, codes.PERMISSION_DENIED),
    ({"sub_refresh": {"channel": "unknown"}}, codes.PERMISSION_DENIED),
    ({"sub_refresh": {"channel": "known"}}, codes.BAD_REQUEST),
]

REFUSED_IN_JSON: list[tuple[Fields, Error]] = [  # the SDK's Protobuf does not know these fields
    *(({"subscribe": {"channel": "new", "type": kind}}, codes.NOT_AVAILABLE) for kind in (1, 2, 3, 4, 99)),
    ({"publish": {"channel": "known", "type": 1, "key": "k"}}, codes.NOT_AVAILABLE),
    ({"sub_refresh": {"channel": "known", "token": "t", "type": 1}}, codes.NOT_AVAILABLE),
]


@pytest.mark.parametrize(
    ("side", "command", "error"),
    [
        *((side, *each) for side in SIDES for each in REFUSED),
        *((JSON_SIDE, *each) for each in REFUSED_IN_JSON),
    ],
)
def test_refused_commands(side: Side, command: Fields, error: Error) -> None:
    """They are answered with an error without being served; other commands of the frame are served."""
    pair = Pair(side).connected().subscribed("known")
    pair.peer.add_server_side("#server")
    pair.send({"id": 2, "subscribe": {"channel": "pending"}})
    before = dict(pair.peer.subscriptions)
    served = pair.send({"id": 3, "rpc": {}}, {"id": 4, **command}, {"id": 5, "rpc": {}})
    assert [getattr(each, "id", None) for each in served] == [3, 5]
    (told,) = pair.heard()
    assert (told["id"], told["error"]["code"]) == (4, error.code)
    assert told["error"]["message"]
    assert pair.peer.subscriptions == before


def test_refused_commands_do_not_end_a_connect(side: Side) -> None:
    """A refusal while the client waits for the answer to its connect affects nothing else."""
    pair = Pair(side)
    connecting(pair)
    subscribe = {"subscribe": {"channel": "a"}}
    assert pair.send({"id": 2, **subscribe}, {"id": 3, **subscribe}, {"id": 4, "rpc": {}}) == [
        m.Subscribe(2, "a"),
        m.Rpc(4),
    ]
    assert pair.peer.state is State.CONNECTING
    pair.peer.connected(1, ConnectResult("me"), pair.now, 0.5)
    assert [each["id"] for each in pair.heard()] == [3, 1]


def test_names_of_the_longest_kind(side: Side) -> None:
    """A name may have 255 bytes."""
    for channel in ("x" * 255, "ä" * 127):
        (command,) = Pair(side).connected().send({"id": 2, "subscribe": {"channel": channel}})
        assert command == m.Subscribe(2, channel)


def test_history_may_begin_anywhere(side: Side) -> None:
    """Only a reversed one before the first entry is invalid."""
    pair = Pair(side).connected()
    good: list[Fields] = [{"since": {}}, {"reverse": True}, {"reverse": True, "since": {"offset": 1}}, {"limit": -1}]
    for fields in good:
        (command,) = pair.send({"id": 2, "history": {"channel": "a", **fields}})
        assert isinstance(command, m.History)


def test_commands_before_a_broken_one_stand(side: Side) -> None:
    """They are passed on before the connection ends."""
    pair = Pair(side).connected()
    received = pair.peer.receive(pair.side.frame([COMMANDS["subscribe"], COMMANDS["ping"], COMMANDS["rpc"]]))
    assert next(received) == m.Subscribe(2, "a")
    with pytest.raises(ProtocolError):
        next(received)
    assert list(pair.peer.subscriptions) == ["a"]


# Subscriptions


def test_life_of_a_subscription(side: Side) -> None:
    """It is known from the command on, live from the answer on, and forgotten when it ends."""
    pair = Pair(side).connected()
    pair.send({"id": 2, "subscribe": {"channel": "a"}})
    state = pair.peer.subscriptions["a"]
    assert (state.is_live(), state.is_server_side, state.expiry) == (False, False, inf)
    admit(pair.peer, 2, "a", SubscribeResult(recoverable=True, epoch="e", offset=7, positioned=True))
    assert state.is_live()
    told = {"recoverable": True, "epoch": "e", "offset": 7, "positioned": True}
    assert pair.heard() == [{"id": 2, "subscribe": told}]
    pair.peer.unsubscribed(3, "a")
    assert pair.heard() == [{"id": 3, "unsubscribe": {}}]
    assert pair.peer.subscriptions == {}


def test_subscription_that_is_refused(side: Side) -> None:
    """It is forgotten, and may be requested again."""
    pair = Pair(side).connected()
    for _ in range(2):
        assert pair.send({"id": 2, "subscribe": {"channel": "a"}}) == [m.Subscribe(2, "a")]
        pair.peer.not_subscribed(2, "a", codes.PERMISSION_DENIED)
        assert pair.heard() == [{"id": 2, "error": {"code": 103, "message": "permission denied"}}]


def test_unsubscribing_from_nothing(side: Side) -> None:
    """It is answered like any other unsubscribe."""
    pair = Pair(side).connected()
    assert pair.send({"id": 2, "unsubscribe": {"channel": "a"}}) == [m.Unsubscribe(2, "a")]
    pair.peer.unsubscribed(2, "a")
    assert pair.heard() == [{"id": 2, "unsubscribe": {}}]


def test_subscribing_again_while_leaving(side: Side) -> None:
    """A client that has unsubscribed may subscribe again, which is checked again in its turn."""
    pair = Pair(side).connected()
    pair.send({"id": 2, "subscribe": {"channel": "a"}})
    subscription = pair.peer.subscriptions["a"]
    subscription.on(Event.UNSUBSCRIBED)
    first, second = pair.send({"id": 3, "subscribe": {"channel": "a"}}, {"id": 4, "subscribe": {"channel": "a"}})
    assert pair.heard() == []
    admit(pair.peer, 2, "a", SubscribeResult())
    pair.peer.unsubscribed(2, "a")
    pair.peer.take()
    assert pair.peer.admits(first)
    assert not pair.peer.admits(second)
    assert pair.heard() == [{"id": 4, "error": {"code": 105, "message": "already subscribed"}}]
    assert list(pair.peer.subscriptions) == ["a"]


def test_most_subscriptions(side: Side) -> None:
    """One more than the limit is refused, until another has ended."""
    pair = Pair(side, max_subscriptions=2).connected()
    commands = [{"id": number, "subscribe": {"channel": f"c{number}"}} for number in range(2, 5)]
    assert [getattr(each, "id", None) for each in pair.send(*commands)] == [2, 3]
    assert pair.heard() == [{"id": 4, "error": {"code": 106, "message": "limit exceeded"}}]
    pair.peer.not_subscribed(2, "c2", codes.UNKNOWN_CHANNEL)
    pair.peer.take()
    assert pair.send(commands[2]) == [m.Subscribe(4, "c4")]


def test_commands_may_be_as_long_as_the_settings_allow(side: Side) -> None:
    """A position for each subscription, and as many values of a filter as may be kept, are not too much to read."""
    position = {"recover": True, "epoch": "e", "offset": 7, "recoverable": True, "positioned": True}
    pair = Pair(side, max_subscriptions=1000, max_subscription_bytes=1 << 20)
    (connect,) = pair.send({"id": 1, "connect": {"subs": {str(each): position for each in range(1000)}}})
    assert isinstance(connect, m.Connect)
    assert len(connect.subs) == 1000
    pair.peer.connected(1, m.ConnectResult("me"), pair.now, 0.5)
    vals = [""] * ((1 << 20) // 64 - 20)
    assert pair.send({"id": 2, "subscribe": {"channel": "c", "tf": {"key": "k", "cmp": "in", "vals": vals}}})


def test_server_side_subscriptions(side: Side) -> None:
    """They are live when the client learns of them, with the connect or later; a channel has at most one."""
    pair = Pair(side)
    connecting(pair)
    state = pair.peer.add_server_side("#1")
    assert state is not None
    assert (state.is_server_side, state.is_live()) == (True, False)
    state.on(Event.ADMITTED)
    assert pair.peer.add_server_side("#1") is None
    pair.peer.connected(1, ConnectResult("me", subs={"#1": SubscribeResult(epoch="e")}), pair.now, 0.5)
    assert state.is_live()
    (told,) = pair.heard()
    assert told["connect"]["subs"] == {"#1": {"epoch": "e"}}


def test_answers_are_joined_in_order(side: Side) -> None:
    """Output is returned once, in the order in which it was written."""
    pair = Pair(side).connected()
    pair.peer.reply(2, m.RpcResult(b"1"))
    pair.peer.push(m.MessagePush(b'"hi"'))
    pair.peer.refuse(3, codes.INTERNAL)
    assert pair.heard() == [
        {"id": 2, "rpc": {"data": 1}},
        {"push": {"message": {"data": "hi"}}},
        {"id": 3, "error": {"code": 100, "message": "internal server error", "temporary": True}},
    ]
    assert pair.peer.take() == b""


# Deadlines


def ended(pair: Pair) -> tuple[Disconnect, float]:
    """Return the end of the connection at its deadline, and the seconds until then."""
    begun = pair.now
    with pytest.raises(ProtocolError) as raised:
        pair.tick()
    return raised.value.disconnect, pair.now - begun


def test_connect_has_to_come(side: Side) -> None:
    """A client that does not connect in time is disconnected."""
    pair = Pair(side)
    assert pair.peer.tick(pair.now + CONNECT - 0.01) == []
    assert ended(pair) == (codes.STALE, CONNECT)


def test_refused_clients_have_to_go(side: Side) -> None:
    """A refused client that stays is disconnected at the deadline of the connect."""
    pair = Pair(side)
    turned_away(pair)
    assert ended(pair) == (codes.STALE, CONNECT)


def test_clients_are_let_in_or_not(side: Side) -> None:
    """A client whose connect is not answered is asked to reconnect, because it is not at fault."""
    pair = Pair(side)
    connecting(pair)
    assert ended(pair) == (codes.SERVER_ERROR, CONNECT)


def test_connected_clients_may_stay(side: Side) -> None:
    """Without pings there is no deadline."""
    assert Pair(side, pings=False).connected().peer.deadline == inf


@pytest.mark.parametrize("first", [0.5, 0.75, 1.0])
def test_pings(side: Side, first: float) -> None:
    """The first one comes after the given part of the interval, the others after all of it."""
    pair = Pair(side)
    connecting(pair)
    pair.peer.connected(1, ConnectResult("me"), pair.now, first)
    pair.heard()
    times = []
    begun = pair.now
    for _ in range(3):
        assert pair.peer.tick(pair.peer.deadline - 0.01) == []
        assert pair.heard() == []
        assert pair.tick() == []
        times.append(pair.now - begun)
        assert pair.heard() == [{}]
        assert pair.send({}) == []
    assert times == [first * PING, (1 + first) * PING, (2 + first) * PING]


def test_pong_has_to_come(side: Side) -> None:
    """A client that does not answer a ping in time is disconnected, and not earlier."""
    pair = Pair(side).connected()
    pair.tick()
    assert pair.peer.tick(pair.now + PONG - 0.01) == []
    assert ended(pair) == (codes.NO_PONG, PONG)


def test_a_client_that_is_behind_has_longer(side: Side) -> None:
    """Its pong may wait behind unread bytes: it has one more interval, in which each ping gets its pong."""
    pair = Pair(side).connected()
    pair.tick()
    pong_by = pair.now + PONG
    assert pair.peer.tick(pong_by, is_behind=True) == []
    assert pair.peer.deadline < pong_by + PING
    pair.tick()
    assert pair.heard() == [{}, {}]
    pair.send({}, {})
    with pytest.raises(ProtocolError):
        pair.send({})


def test_one_pong_for_each_ping(side: Side) -> None:
    """A second one ends the connection."""
    pair = Pair(side).connected()
    pair.tick()
    assert pair.send({}) == []
    assert refused(pair, {}) == codes.BAD_PROTOCOL


def test_pongs_come_with_commands(side: Side) -> None:
    """A pong may be among the commands, without being one."""
    pair = Pair(side).connected()
    pair.tick()
    served = pair.send(COMMANDS["rpc"], {}, COMMANDS["send"])
    assert [type(each) for each in served] == [m.Rpc, m.Send]


def test_connection_expires(side: Side) -> None:
    """A client without a new token in time is disconnected; one with a token has time until the next expiry."""
    pair = Pair(side, pings=False).connected()
    pair.peer.expiry = pair.now + 60
    assert pair.peer.tick(pair.now + 60 + REFRESH - 0.01) == []
    pair.peer.expiry = pair.now + 90
    assert ended(pair) == (codes.CONNECTION_EXPIRED, 90 + REFRESH)


def test_subscriptions_expire(side: Side) -> None:
    """Subscriptions that were not refreshed in time are returned, so that they can be ended."""
    pair = Pair(side, pings=False).connected().subscribed("a").subscribed("b").subscribed("c")
    pair.peer.subscriptions["a"].expiry = pair.now + 60
    pair.peer.subscriptions["b"].expiry = pair.now + 30
    begun = pair.now
    assert pair.peer.tick(pair.now + 30 + REFRESH - 0.01) == []
    assert (pair.tick(), pair.now - begun) == (["b"], 30 + REFRESH)
    pair.peer.unsubscribed(2, "b")
    pair.peer.subscriptions["a"].expiry += 15
    assert (pair.tick(), pair.now - begun) == (["a"], 75 + REFRESH)


def test_subscriptions_end(side: Side) -> None:
    """A subscription with an end is returned at that time, however long its token lasts, or before without a token."""
    pair = Pair(side, pings=False).connected().subscribed("a").subscribed("b")
    begun = pair.now
    for channel in "ab":
        pair.peer.subscriptions[channel].ends_at = begun + 60
    pair.peer.subscriptions["a"].expiry = begun + 1000
    pair.peer.subscriptions["b"].expiry = begun + 10
    assert (pair.tick(), pair.now - begun) == (["b"], 10 + REFRESH)
    pair.peer.unsubscribed(2, "b")
    assert pair.peer.tick(begun + 60 - 0.01) == []
    assert (pair.tick(), pair.now - begun) == (["a"], 60)
