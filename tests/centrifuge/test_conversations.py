"""Recorded conversations, replayed: however a client's commands are put into frames, it is answered the same."""

from collections.abc import Iterator

import pytest

from tests.centrifuge.pair import Pair
from tests.centrifuge.recorded import CONVERSATIONS, Said, push_of, result_of
from tests.centrifuge.sides import JSON_SIDE, SIDES, Fields, Side
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import Disconnect, Error, ProtocolError

REPLAYED = [title for title in CONVERSATIONS if title != "no JSON"]
"""Those whose commands can be told in both formats."""


class Segment:
    """A part of a conversation in which no ping is sent: commands, and what is said to them."""

    def __init__(self) -> None:
        self.commands: list[Fields] = []
        self.answers: dict[int, list[Fields]] = {}
        """By the command upon which the server says it: some of it goes before the reply."""
        self.unasked: list[Fields] = []
        """What it says without a command."""
        self.end: Disconnect | None = None

    @property
    def said(self) -> list[Fields]:
        """All that the server says."""
        return [each for answers in self.answers.values() for each in answers] + self.unasked

    def add(self, said: Said) -> None:
        """The next of what was said."""
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
    """A conversation, cut where the server pings."""
    found = [Segment()]
    for said in conversation:
        if said == Said("<", "{}"):
            found.append(Segment())
        else:
            found[-1].add(said)
    return found


def chunkings(commands: list[Fields]) -> Iterator[list[list[Fields]]]:
    """All in one frame, in two, cut anywhere, or each in one of its own."""
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
        """Takes one frame."""
        for command in self.pair.peer.receive(self.pair.side.frame(commands)):
            if isinstance(command, m.Send):
                raise ProtocolError(Disconnect(3508, "not available"), "a message that nobody takes")
            self._serve(command)

    def _serve(self, command: m.Command) -> None:
        id_: int = getattr(command, "id", 0)
        if id_ not in self.segment.answers:
            assert isinstance(command, m.Connect)  # whose token is not a good one
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
                peer.subscribed(id_, channel, result)
            case m.Unsubscribe(channel=channel), _:
                peer.unsubscribed(id_, channel)
            case m.Connect(), m.ConnectResult():
                for channel in result.subs:
                    peer.add_server_side(channel)
                peer.connected(id_, result._replace(ping=0, pong=False), self.pair.now, 1.0)
            case _:
                peer.reply(id_, result)


def converse(pair: Pair, segment: Segment, chunks: list[list[Fields]]) -> Disconnect | None:
    """Has a part of a conversation; how it ends."""
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
    """Has a conversation, with the commands of one of its parts in other frames."""
    pair = Pair(side, ping=3, pong=1)
    parts = segments(CONVERSATIONS[title])
    for at, segment in enumerate(parts):
        if at:
            assert pair.tick() == []
            assert pair.told() == [{}]
        end = converse(pair, segment, chunks if at == cut else [segment.commands])
        if title == "no pong" and at == len(parts) - 1:
            with pytest.raises(ProtocolError) as raised:
                pair.tick()
            end = raised.value.disconnect
        assert pair.told() == [side.told(each) for each in segment.said]
        if title != "tokens that expire":  # which the app has ended
            assert end == segment.end


@pytest.mark.parametrize("side", SIDES, ids=repr)
@pytest.mark.parametrize("title", REPLAYED)
def test_conversation(side: Side, title: str) -> None:
    """The client is told what the recorded server said, in this order; and is disconnected with the same code."""
    for cut, segment in enumerate(segments(CONVERSATIONS[title])):
        for chunks in chunkings(segment.commands):
            replay(side, title, cut, chunks)


def test_no_json() -> None:
    """What is no command at all ends the connection as it did there."""
    (first, last) = CONVERSATIONS["no JSON"]
    with pytest.raises(ProtocolError) as raised:
        list(Pair(JSON_SIDE).peer.receive(first.text))
    assert raised.value.disconnect == last.disconnect
