"""Questions about a channel: its presence and its history."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.hub.watching import topic
from wirespeed.centrifuge.codec import Codec
from wirespeed.centrifuge.json_codec import JSON
from wirespeed.centrifuge.messages import (
    ClientInfo,
    History,
    HistoryResult,
    Presence,
    PresenceResult,
    PresenceStats,
    PresenceStatsResult,
    Pub,
    Result,
    StreamPosition,
)
from wirespeed.centrifuge.protobuf import PROTOBUF
from wirespeed.hub.members import Members
from wirespeed.identity import Sender
from wirespeed.log.base import Encoded, Log, Marks
from wirespeed.log.latest import LatestLog
from wirespeed.log.ring import RingLog
from wirespeed.surfaces.multiplex.past import MOST, answer
from wirespeed.surfaces.multiplex.refusal import CommandRefused
from wirespeed.surfaces.multiplex.wires import info_of

ANN, BOB = ClientInfo("ann", "c1", b'{"n":1}'), ClientInfo("bob", "c2")
ANN_TOO = ClientInfo("ann", "c3")


def ring(count: int, entries: int = 1000, epoch: str = "e") -> RingLog:
    """Return a log of numbers; the payload of each is its offset."""
    log = RingLog(epoch, lambda number: b"%d" % number, entries=entries, size=1 << 20, seconds=None)
    for number in range(1, count + 1):
        log.append(number, number, 0.0)
    return log


class Member:
    """A member without a client."""

    def __init__(self, info: ClientInfo) -> None:
        self.sender = Sender(client=info.client, user=info.user, info=info.conn_info, channel_info=info.chan_info)


class Plain:
    """A format that leaves results as they are."""

    def body(self, result: Result) -> Result:
        return result


def asked(command: Any, watched: Any, log: Log, *there: ClientInfo) -> Result:
    """Return the answer, if some members are present."""
    members: Any = Members()
    for info in there:
        members.join("/c", Member(info))
    plain: Any = Plain()
    return cast("Result", answer(command, watched, log, members, "/c", plain))


def history(log: Log, watched: Any = None, **fields: Any) -> HistoryResult:
    """Return the answer to a question for the history."""
    result = asked(History(1, "c", **fields), watched or topic(int), log)
    assert isinstance(result, HistoryResult)
    return result


def offsets(log: Log, **fields: Any) -> list[int]:
    """Return the offsets in a history."""
    return [each.offset for each in history(log, **fields).publications]


def refused(command: Any, watched: Any, log: Log) -> int:
    """Return the code of the refusal."""
    with pytest.raises(CommandRefused) as raised:
        asked(command, watched, log, ANN)
    return raised.value.error.code


# History


def test_position_alone() -> None:
    """Without a limit the answer has only the position, even of an empty log."""
    assert history(ring(7)) == HistoryResult([], "e", 7)
    assert history(ring(0)) == HistoryResult([], "e", 0)
    assert history(ring(0), limit=-1) == HistoryResult([], "e", 0)


def test_publications() -> None:
    """They are unchanged, and the first one has its epoch."""
    log = RingLog("e", lambda payload: payload, entries=9, size=1 << 20, seconds=None)
    log.append(b"a", 1, 0.0)
    log.append(Encoded(b"b", None, Marks({"t": "x"}, Sender(user="bob", client="c2"))), 2, 0.0)
    answer = [Pub(b'"a"', 1, "e"), Pub(b'"b"', 2, info=BOB, tags={"t": "x"})]
    assert history(log, topic(str), limit=10).publications == answer


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"limit": 3}, [1, 2, 3]),
        ({"limit": -1}, [1, 2, 3, 4, 5]),
        ({"limit": -5}, [1, 2, 3, 4, 5]),
        ({"limit": 3, "reverse": True}, [5, 4, 3]),
        ({"limit": -1, "reverse": True}, [5, 4, 3, 2, 1]),
        ({"limit": 2, "since": StreamPosition(2, "e")}, [3, 4]),
        ({"limit": 2, "since": StreamPosition(0, "e")}, [1, 2]),
        ({"limit": 2, "since": StreamPosition(2, "")}, [3, 4]),
        ({"limit": 9, "since": StreamPosition(5, "e")}, []),
        ({"limit": 9, "since": StreamPosition(99, "e")}, []),
        ({"limit": 2, "since": StreamPosition(4, "e"), "reverse": True}, [3, 2]),
        ({"limit": 9, "since": StreamPosition(4, "e"), "reverse": True}, [3, 2, 1]),
        ({"limit": 9, "since": StreamPosition(1, "e"), "reverse": True}, []),
        ({"limit": 2, "since": StreamPosition(99, "e"), "reverse": True}, [5, 4]),
    ],
)
def test_parts(fields: dict[str, Any], answer: list[int]) -> None:
    """History is read from either end, or from a position, which itself is not repeated."""
    assert offsets(ring(5), **fields) == answer
    assert history(ring(5), **fields).offset == 5


def test_other_epoch() -> None:
    """A position of another epoch has no history."""
    command = History(1, "c", 5, StreamPosition(1, "other"))
    assert refused(command, topic(int), ring(5)) == 112


def test_most() -> None:
    """One answer has at most 300 publications."""
    log = ring(1000)
    assert offsets(log, limit=-1) == list(range(1, MOST + 1))
    assert offsets(log, limit=1000, reverse=True) == list(range(1000, 1000 - MOST, -1))
    assert offsets(log, limit=-1, since=StreamPosition(500, "e")) == list(range(501, 501 + MOST))


@given(
    count=st.integers(0, 30),
    entries=st.integers(1, 12),
    limit=st.integers(-1, 15),
    since=st.none() | st.integers(0, 35),
    reverse=st.booleans(),
)
def test_any_part(count: int, entries: int, limit: int, since: int | None, reverse: bool) -> None:
    """The answer has the log's entries after or before the position, the nearest first, up to the limit."""
    if reverse and since == 0:
        return  # which the protocol refuses
    held = list(range(max(count - entries, 0) + 1, count + 1))
    if reverse:
        wanted = [each for each in reversed(held) if since is None or each < since]
    else:
        wanted = [each for each in held if since is None or each > since]
    position = None if since is None else StreamPosition(since, "e")
    answer = offsets(ring(count, entries), limit=limit, since=position, reverse=reverse)
    assert answer == (wanted if limit < 0 else wanted[:limit])


class Row(BaseModel):
    """A row of a table."""

    name: str


def test_no_history() -> None:
    """A log of the newest value has none, and a table none since a position."""
    log = LatestLog("e", lambda _: b"1", lambda *_: None)
    assert refused(History(1, "c", 10), topic(int, presence=True, keep="latest"), log) == 108
    since = History(1, "c", 10, StreamPosition(1, "e"))
    assert refused(since, topic(Row, presence=True, keep="latest", by="name"), log) == 108


# Presence


def test_presence() -> None:
    """Members are listed by the clients' ids, with their public info."""
    result = asked(Presence(1, "c"), topic(int, presence=True), ring(0), ANN, BOB, ANN_TOO)
    assert result == PresenceResult({"c1": ANN, "c2": BOB, "c3": ANN_TOO})
    assert asked(Presence(1, "c"), topic(int, presence=True), ring(0)) == PresenceResult({})


def test_presence_stats() -> None:
    """A user with two clients is one user."""
    watched = topic(int, presence=True)
    assert asked(PresenceStats(1, "c"), watched, ring(0), ANN, BOB, ANN_TOO) == PresenceStatsResult(3, 2)
    assert asked(PresenceStats(1, "c"), watched, ring(0)) == PresenceStatsResult(0, 0)


def test_client_that_is_there_twice() -> None:
    """A client with two spellings of one channel is one client."""
    watched = topic(int, presence=True)
    assert asked(PresenceStats(1, "c"), watched, ring(0), ANN, ANN) == PresenceStatsResult(1, 1)
    assert asked(Presence(1, "c"), watched, ring(0), ANN, ANN) == PresenceResult({"c1": ANN})


@pytest.mark.parametrize("kind", [Presence, PresenceStats])
def test_no_presence(kind: Any) -> None:
    """Without a declaration the question is refused, with and without members."""
    assert refused(kind(1, "c"), topic(int), ring(0)) == 108
    assert refused(kind(1, "c"), topic(int, join_leave=True), ring(0)) == 108


@pytest.mark.parametrize("codec", [JSON, PROTOBUF], ids=lambda codec: codec.name)
def test_presence_is_encoded_once(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """All clients that ask who is present share the encoded answer, until a member joins or leaves."""
    encoded: list[Result] = []
    encode = type(codec).body

    def body(self: Codec, result: Result) -> bytes:
        encoded.append(result)
        return encode(self, result)

    monkeypatch.setattr(type(codec), "body", body)
    members: Any = Members()
    ann, bob = Member(ANN), Member(BOB)
    watched = topic(int, presence=True)

    def ask() -> bytes:
        found = answer(Presence(1, "c"), watched, ring(0), members, "/c", codec)
        assert isinstance(found, bytes)
        return codec.reply_of(7, found)

    members.join("/c", ann)
    for there in ([ann], [ann, bob], [bob]):
        expected = codec.reply(7, PresenceResult({each.sender.client: info_of(each.sender) for each in there}))
        encoded.clear()
        assert [ask() for _ in range(3)] == [expected] * 3
        assert len(encoded) == 1
        if there == [ann]:
            members.join("/c", bob)
        else:
            members.leave("/c", ann)
