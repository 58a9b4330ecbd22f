"""Peers: they keep their guarantees whatever a client sends, and however and whenever it is served."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.centrifuge.pair import Pair, admit
from tests.centrifuge.sides import JSON_SIDE, SIDES, Fields, Side
from wirespeed.centrifuge import codes
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import ProtocolError
from wirespeed.centrifuge.peer import State
from wirespeed.centrifuge.subscription import Event

CHANNELS = 3

NAMES = st.sampled_from(["a", "b", "/a", "ä", "", "x" * 300])
TOKENS = st.sampled_from(["", "t"])
FILTERS: st.SearchStrategy[Fields] = st.recursive(
    st.fixed_dictionaries({"key": st.sampled_from(["", "k"]), "cmp": st.sampled_from(["eq", "ex", "like"])}),
    lambda nodes: st.fixed_dictionaries({"op": st.sampled_from(["and", "not", "?"]), "nodes": st.lists(nodes)}),
    max_leaves=4,
)


def fields(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Fields]:
    """Return some of these fields."""
    return st.fixed_dictionaries({}, optional=strategies)


PAYLOADS: dict[str, st.SearchStrategy[Fields]] = {
    "connect": fields(token=TOKENS, name=st.just("js"), subs=st.just({"a": {"recover": True}})),
    "subscribe": fields(
        channel=NAMES,
        delta=st.sampled_from(["", "fossil", "other"]),
        tf=FILTERS,
        recover=st.booleans(),
        offset=st.integers(0, 2**64 - 1),
    ),
    "unsubscribe": fields(channel=NAMES),
    "publish": fields(channel=NAMES, data=st.sampled_from([1, "x", {}])),
    "presence": fields(channel=NAMES),
    "presence_stats": fields(channel=NAMES),
    "history": fields(
        channel=NAMES,
        limit=st.integers(-1, 5),
        reverse=st.booleans(),
        since=fields(offset=st.integers(0, 3), epoch=TOKENS),
    ),
    "rpc": fields(method=NAMES),
    "refresh": fields(token=TOKENS),
    "sub_refresh": fields(channel=NAMES, token=TOKENS),
}
GOOD = ["subscribe", "unsubscribe", "publish", "history", "rpc", "sub_refresh"]


@st.composite
def commands(draw: st.DrawFn) -> Fields:
    """Return one command without its id; usually a valid one."""
    name = draw(st.sampled_from([*GOOD * 3, *PAYLOADS]))
    payload = draw(PAYLOADS[name])
    if name not in ("connect", "rpc", "refresh") and draw(st.integers(0, 9)):  # rarely without its required fields
        payload["channel"] = draw(st.sampled_from("abcd"))
    return {name: payload}


SEND: Fields = {"send": {"data": 1}}
FATAL: list[Fields] = [{}, {"ping": {}}, {"connect": {}}, {"refresh": {}}]


@st.composite
def actions(draw: st.DrawFn) -> tuple[str, Any]:
    """Return one action; seldom one that ends the connection."""
    kind = draw(st.sampled_from(["send", "send", "serve", "serve", "serve", "wait", "rarely"]))
    if kind == "send":
        return kind, draw(st.lists(st.one_of(commands(), commands(), st.just(SEND)), min_size=1, max_size=5))
    if kind == "serve":
        return kind, draw(st.tuples(st.integers(0, 9), st.booleans(), st.sampled_from([None, 1.0, 30.0])))
    if kind == "wait":
        return kind, draw(st.sampled_from([0.5, 5.0, 20.0]))
    if draw(st.integers(0, 5)):
        return "pong", None
    if draw(st.booleans()):
        return "send", [draw(commands()), draw(st.sampled_from(FATAL)), draw(commands())]
    return "garbage", draw(st.binary(max_size=8))


class Model:
    """A peer, the commands that it has passed on, and the code that serves them."""

    def __init__(self, side: Side) -> None:
        self.pair = Pair(side, max_subscriptions=CHANNELS)
        self.asked: list[int] = []
        self.answered: list[int] = []
        self.pending: list[m.Command] = []
        self.has_pinged = False
        self.may_end: tuple[codes.Disconnect, ...] = ()

    def do(self, action: str, given_: Any) -> None:
        """Perform one action."""
        if action == "send":
            self.send(given_)
        elif action == "serve":
            self.serve(*given_)
        elif action == "wait":
            self.wait(given_)
        elif action == "pong" and self.has_pinged:
            self.receive(self.pair.side.frame([{}]))
            self.has_pinged = False
        elif action == "garbage":
            self.receive(given_ if self.pair.side is not JSON_SIDE else given_.decode(errors="replace"))
        self.read()

    def send(self, some: list[Fields]) -> None:
        """Let the client send a frame."""
        frame = []
        for command in some:
            if command and "send" not in command:
                self.asked.append(len(self.asked) + 2)
                command = {"id": self.asked[-1], **command}
            frame.append(command)
        self.receive(self.pair.side.frame(frame))

    def receive(self, frame: str | bytes) -> None:
        """Receive a frame: it yields commands, or ends the connection with the only permitted code."""
        self.may_end = (codes.BAD_PROTOCOL,)
        for command in self.pair.peer.receive(frame):
            assert isinstance(command, get_args(m.Command))
            assert not isinstance(command, (m.Pong, m.Ping))
            if not isinstance(command, m.Send):
                self.pending.append(command)

    def serve(self, at: int, is_good: bool, expiry: float | None) -> None:
        """Serve or refuse one of the commands, the connect before all others."""
        peer = self.pair.peer
        if not self.pending or peer.state is State.REFUSED:
            return
        command = self.pending[0 if peer.state is State.CONNECTING else at % len(self.pending)]
        if isinstance(command, m.Unsubscribe):  # it waits for the subscribes before it
            before = self.pending[: self.pending.index(command)]
            command = next((each for each in before if getattr(each, "channel", "") == command.channel), command)
        self.pending.remove(command)
        id_: int = getattr(command, "id", 0)
        match command:
            case m.Connect() if is_good:
                peer.connected(id_, m.ConnectResult("me"), self.pair.now, 0.5)
                peer.expiry = self.pair.now + 60
            case m.Subscribe(channel=channel) if is_good:
                admit(peer, id_, channel, m.SubscribeResult())
                if expiry is not None:
                    peer.subscriptions[channel].expiry = self.pair.now + expiry
            case m.Subscribe(channel=channel):
                peer.not_subscribed(id_, channel, codes.PERMISSION_DENIED)
            case m.Unsubscribe(channel=channel):
                peer.unsubscribed(id_, channel)
            case _ if is_good:
                peer.reply(id_, m.PublishResult())
            case _:
                peer.refuse(id_, codes.INTERNAL)

    def wait(self, seconds: float) -> None:
        """Let time pass, and keep each deadline in it: every tick gets the peer past it, or ends it."""
        self.may_end = (codes.STALE, codes.SERVER_ERROR, codes.NO_PONG, codes.CONNECTION_EXPIRED)
        peer, until = self.pair.peer, self.pair.now + seconds
        while peer.deadline <= until:
            self.pair.now = peer.deadline
            for expired in peer.tick(self.pair.now):
                peer.ended(expired, Event.ENDED)
            assert peer.deadline > self.pair.now
            self.read()
        self.pair.now = until

    def read(self) -> None:
        """Let the client read: answers to its commands, one for each, and pings."""
        for told in self.pair.heard():
            self.has_pinged = self.has_pinged or not told
            if told:
                assert told["id"] in self.asked
                assert told["id"] not in self.answered
                self.answered.append(told["id"])
        assert len(self.pair.peer.subscriptions) <= CHANNELS

    def check(self, end: ProtocolError | None) -> None:
        """Check that every command has one answer, or waits, except those after one that has ended the connection."""
        self.read()
        assert end is None or end.disconnect in self.may_end
        waiting = {getattr(each, "id", 0) for each in self.pending}
        read = sorted({*self.answered, *waiting})
        assert read == (self.asked if end is None else self.asked[: len(read)])
        assert not waiting & {*self.answered}


@pytest.mark.parametrize("side", SIDES, ids=repr)
@given(is_let_in=st.sampled_from([True, True, True, False, None]), some=st.lists(actions(), max_size=30))
def test_peers_keep_their_word(side: Side, is_let_in: bool | None, some: list[tuple[str, Any]]) -> None:
    """Commands, replies, pings, or a documented end; and each command is answered once."""
    model = Model(side)
    end = None
    try:
        model.do("send", [{"connect": {}}])
        if is_let_in is not None:
            model.do("serve", (0, is_let_in, None))
        for action, argument in some:
            model.do(action, argument)
    except ProtocolError as error:
        end = error
    model.check(end)
