"""Recorded conversations, replayed: the answers are the same, however the commands are put into frames."""

from collections.abc import Iterator

import pytest

from tests.centrifuge.pair import Pair, admit
from tests.centrifuge.recorded import CONVERSATIONS, Said, push_of, result_of
from tests.centrifuge.sides import JSON_SIDE, SIDES, Fields, Side
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import Disconnect, Error, ProtocolError
from wirespeed.centrifuge.subscription import Event

REPLAYED = [title for title in CONVERSATIONS if title != "no JSON"]
"""Conversations whose commands can be written in both formats."""


class Segment:
    """A part of a conversation without a ping: its commands, and the server's messages."""

    def __init__(self) -> None:
        self.commands: list[Fields] = []
        self.answers: dict[int, list[Fields]] = {}
        """Messages by the command that causes them; some of them precede the reply."""
        self.unasked: list[Fields] = []
        """Messages that no command causes."""
        self.end: Disconnect | None = None

    @property
    def said(self) -> list[Fields]:
        """Return all messages of the server."""
        return [each for answers in self.answers.values() for each in answers] + self.unasked

    def add(self, said: Said) -> None:
        """Return the next message."""
        if said.by == ">":
            self.commands.append(said.fields)
        elif said.by == "x":
            self.end = said.disconnect
        elif "id" in said.fields:
            self.answers.setdefault(said.fields["id"], []).append(said.fields)
        else:
            self._add_push(said.fields)

    def _add_push(self, push: Fields) -> None:
        asked = [each["id"] for each in self.commands if "id" in each]
        waiting = [each for each in asked if each not in self.answers]
        to = waiting[0] if waiting else asked[-1] if asked else None
        (self.unasked if to is None else self.answers.setdefault(to, [])).append(push)


def segments(conversation: list[Said]) -> list[Segment]:
    """Return a conversation in parts, cut at the server's pings."""
    found = [Segment()]
    for said in conversation:
        if said == Said("<", "{}"):
            found.append(Segment())
        else:
            found[-1].add(said)
    return found


def chunkings(commands: list[Fields]) -> Iterator[list[list[Fields]]]:
    """Return the commands in one frame, in two, cut anywhere, or each in its own frame."""
    yield [commands] if commands else []
    for at in range(1, len(commands)):
        yield [commands[:at], commands[at:]]
    if len(commands) > 2:
        yield [[each] for each in commands]


class Server:
    """Serves commands as the recorded server did.

    Args:
        pair: The peer and its client.
        segment: What is said.
    """

    def __init__(self, pair: Pair, segment: Segment) -> None:
        self.pair = pair
        self.segment = segment

    def take(self, commands: list[Fields]) -> None:
        """Accept one frame."""
        for command in self.pair.peer.receive(self.pair.side.frame(commands)):
            if isinstance(command, m.Send):
                raise ProtocolError(Disconnect(3508, "not available"), "the app accepts no messages")
            self._serve(command)

    def _serve(self, command: m.Command) -> None:
        id_: int = getattr(command, "id", 0)
        if id_ not in self.segment.answers:
            assert isinstance(command, m.Connect)  # its token is not valid
            assert self.segment.end is not None
            raise ProtocolError(self.segment.end, "an invalid token")
        for said in self.segment.answers[id_]:
            if "push" in said:
                self.pair.peer.push(push_of(said["push"]))
            else:
                self._answer(command, id_, result_of(said))

    def _answer(self, command: m.Command, id_: int, result: m.Result | Error) -> None:
        peer = self.pair.peer
        match command, result:
            case m.Subscribe(channel=channel), Error():
                peer.not_subscribed(id_, channel, result)
            case _, Error():
                peer.refuse(id_, result)
            case m.Subscribe(channel=channel), m.SubscribeResult():
                admit(peer, id_, channel, result)
            case m.Unsubscribe(channel=channel), _:
                peer.unsubscribed(id_, channel)
            case m.Connect(), m.ConnectResult():
                for channel in result.subs:
                    subscription = peer.add_server_side(channel)
                    assert subscription is not None
                    subscription.on(Event.ADMITTED)
                peer.connected(id_, result._replace(ping=0, pong=False), self.pair.now, 1.0)
            case _:
                peer.reply(id_, result)


def converse(pair: Pair, segment: Segment, chunks: list[list[Fields]]) -> Disconnect | None:
    """Replay a part of a conversation, and return how it ends."""
    server = Server(pair, segment)
    try:
        for commands in chunks:
            server.take(commands)
        for said in segment.unasked:
            pair.peer.push(push_of(said["push"]))
    except ProtocolError as error:
        return error.disconnect
    return None


def replay(side: Side, title: str, cut: int, chunks: list[list[Fields]]) -> None:
    """Replay a conversation, with the commands of one of its parts in other frames."""
    pair = Pair(side, ping_interval=3, pong_timeout=1)
    parts = segments(CONVERSATIONS[title])
    for at, segment in enumerate(parts):
        if at:
            assert pair.tick() == []
            assert pair.heard() == [{}]
        end = converse(pair, segment, chunks if at == cut else [segment.commands])
        if title == "no pong" and at == len(parts) - 1:
            with pytest.raises(ProtocolError) as raised:
                pair.tick()
            end = raised.value.disconnect
        assert pair.heard() == [side.decoded(each) for each in segment.said]
        if title != "tokens that expire":  # the app ended that one
            assert end == segment.end


@pytest.mark.parametrize("side", SIDES, ids=repr)
@pytest.mark.parametrize("title", REPLAYED)
def test_conversation(side: Side, title: str) -> None:
    """The client receives the recorded messages in this order, and is disconnected with the same code."""
    for cut, segment in enumerate(segments(CONVERSATIONS[title])):
        for chunks in chunkings(segment.commands):
            replay(side, title, cut, chunks)


def test_no_json() -> None:
    """Bytes that are not a command end the connection as they did on the recorded server."""
    (first, last) = CONVERSATIONS["no JSON"]
    with pytest.raises(ProtocolError) as raised:
        list(Pair(JSON_SIDE).peer.receive(first.text))
    assert raised.value.disconnect == last.disconnect
