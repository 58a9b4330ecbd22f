"""The wire of the multiplexed connection: whole publications, filtered ones, deltas, batches, and reports of losses."""

import weakref
from typing import Annotated, Any, NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PlainSerializer

from tests.centrifuge.recorded import compact
from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE, SIDES, Fields, Side
from tests.centrifuge.test_fossil import applied
from tests.hub.watching import topic
from wirespeed.centrifuge.messages import ClientInfo, FilterNode, Pub, Subscribe, SubscribeResult
from wirespeed.codec import encoder
from wirespeed.hub import Hub
from wirespeed.identity import Sender
from wirespeed.log.base import Encoded, Entry, Marks
from wirespeed.log.position import Position
from wirespeed.log.ring import RingLog
from wirespeed.settings import Settings
from wirespeed.surfaces.multiplex.site import Site
from wirespeed.surfaces.multiplex.wires import (
    Deltas,
    Patches,
    PubWire,
    as_data_of,
    publication,
    reply_wire,
    text_as_data,
)

PLACE = Position("e1", 7)
FIRST = Position("e1", 1)
ANN = ClientInfo("ann", "c1", b'{"name":"Ann"}')
BUY = FilterNode(key="side", cmp="eq", val="buy")
Name = NewType("Name", str)


class Tick(BaseModel):
    number: int


def as_it_is(payload: bytes) -> bytes:
    """Return JSON, which is data already."""
    return payload


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


def only(side: Side, message: bytes) -> Fields:
    """Return the one publication that a client receives on the channel."""
    (told,) = side.replies(message)
    assert told["push"]["channel"] == "c"
    pub: Fields = told["push"]["pub"]
    return pub


def marks(info: ClientInfo | None = None, **tags: str) -> Marks:
    """Return the marks of an entry."""
    sender = info and Sender(user=info.user, client=info.client, info=info.conn_info, channel_info=info.chan_info)
    return Marks(tags, sender)


# What data is


@pytest.mark.parametrize(
    ("type_", "payload", "data"),
    [
        (str, 'say "ä"\n'.encode(), '"say \\"ä\\"\\n"'.encode()),
        (Name, b"x", b'"x"'),
        (Annotated[str, "x"], b"x", b'"x"'),
        (Annotated[str, PlainSerializer(str.upper)], b"X", b'"X"'),
        (Tick, b'{"number":1}', b'{"number":1}'),
        (bytes, b"\xff", b"\xff"),
        (str | None, b'"x"', b'"x"'),
    ],
)
def test_data(type_: Any, payload: bytes, data: bytes) -> None:
    """Text becomes a JSON string; JSON and bytes stay as they are. The same holds for streams."""
    assert as_data_of(topic(type_))(payload) == data
    assert text_as_data(encoder(type_))(payload) == data


def test_publication_of_a_payload() -> None:
    """A publication has an offset, an epoch if it is the first of one, and the marks of its entry."""
    assert publication(b"1", PLACE, as_it_is) == Pub(b"1", 7)
    assert publication(b"1", FIRST, as_it_is) == Pub(b"1", 1, "e1")
    assert publication(b"1", PLACE, as_it_is, marks(ANN, a="b")) == Pub(b"1", 7, tags={"a": "b"}, info=ANN)


# Publications


def test_value(side: Side) -> None:
    """A payload is a publication of its channel, with its offset."""
    wire = PubWire(side.codec, "c", as_it_is)
    assert only(side, wire.value(b'{"n":1}', PLACE, None)) == {"data": {"n": 1}, "offset": 7}


def test_first_value() -> None:
    """The first publication of an epoch names the epoch, for clients that came before it."""
    wire = PubWire(JSON_SIDE.codec, "c", as_it_is)
    assert only(JSON_SIDE, wire.value(b"1", FIRST, None)) == {"data": 1, "offset": 1, "epoch": "e1"}
    assert only(JSON_SIDE, wire.row(b'"a"', b"1", FIRST, None)) == {
        "data": {"key": "a", "value": 1},
        "offset": 1,
        "epoch": "e1",
    }


def test_value_that_carries_more(side: Side) -> None:
    """A publication carries the tags and the sender of its entry."""
    wire = PubWire(side.codec, "c", as_it_is)
    info = {"user": "ann", "client": "c1", "conn_info": {"name": "Ann"}}
    told = {"offset": 7, "tags": {"side": "buy"}, "info": info}
    given_ = marks(ANN, side="buy")
    assert only(side, wire.value(b"1", PLACE, given_)) == {"data": 1, **told}
    assert only(side, wire.row(b'"a"', b"1", PLACE, given_)) == {"data": {"key": "a", "value": 1}, **told}


def test_rows(side: Side) -> None:
    """Rows of a table come with their keys, removals and resets in a form of their own."""
    wire = PubWire(side.codec, "c", as_it_is)
    assert only(side, wire.row(b'"a"', b'{"n":1}', PLACE, None)) == {
        "data": {"key": "a", "value": {"n": 1}},
        "offset": 7,
    }
    assert only(side, wire.removed(b"17", PLACE)) == {"data": {"key": 17, "removed": True}, "offset": 7}
    assert only(side, wire.reset()) == {"data": {"reset": True}}


def test_no_word_for_losses(side: Side) -> None:
    """A loss has no message of its own: the next publication reports it."""
    wire = PubWire(side.codec, "c", as_it_is)
    assert wire.lost(3) == wire.lost(None) == b""


# What was missed


def test_items_of_a_reply(side: Side) -> None:
    """A reply carries missed entries as the publications that pushes would be; clients share the bytes."""
    wire = reply_wire(side.codec, as_it_is, batches=False)
    assert reply_wire(side.codec, as_it_is, batches=False) is wire
    payloads = [b'{"n":1}', Encoded(b"2", None, marks(ANN, a="b")), b'"three"']
    log = ring()
    for offset, payload in enumerate(payloads, start=1):
        log.append(payload, offset, 0.0)
    chunk = log.read(0, wire)
    (told,) = side.replies(side.codec.reply(7, SubscribeResult(publications=chunk.data)))
    pushes = side.replies(log.read(0, PubWire(side.codec, "c", as_it_is)).data)
    assert told == {"id": 7, "subscribe": {"publications": [each["push"]["pub"] for each in pushes]}}
    assert len(pushes) == 3


# Losses


def test_loss_is_a_tag(side: Side) -> None:
    """The first publication after a loss reports the number in a tag, beside its own tags; later ones do not."""
    wire = PubWire(side.codec, "c", as_it_is).after(3, 3)
    for _ in range(2):  # what was not taken is read again
        assert only(side, wire.value(b"1", PLACE, marks(ANN, a="b")))["tags"] == {"a": "b", "lost": "3"}
        assert only(side, wire.value(b"2", Position("e1", 8), None)) == {"data": 2, "offset": 8}
    assert only(side, wire.value(b"1", PLACE, None)) == {"data": 1, "offset": 7, "tags": {"lost": "3"}}


def test_loss_after_a_loss(side: Side) -> None:
    """Each loss is reported by the publication after it."""
    wire = PubWire(side.codec, "c", as_it_is).after(3, 3)
    wire.value(b"1", PLACE, None)
    wire.value(b"2", Position("e1", 13), None)  # which was read, but not taken, when five more were lost
    wire = wire.after(5, 7)
    assert only(side, wire.value(b"2", Position("e1", 13), None))["tags"] == {"lost": "5"}


def test_loss_that_was_not_told(side: Side) -> None:
    """A client that loses more before a loss was reported learns the sum."""
    wire = PubWire(side.codec, "c", as_it_is).after(3, 3)
    for offset in (13, 14):
        wire.value(b"2", Position("e1", offset), None)
    wire = wire.after(5, 12)
    for offset in (23, 24):
        wire.value(b"3", Position("e1", offset), None)
    wire = wire.after(7, 22)
    assert only(side, wire.value(b"4", Position("e1", 33), None))["tags"] == {"lost": "15"}


def test_loss_beside_what_was_not_taken(side: Side) -> None:
    """A publication that reports a loss counts once the client has taken it, however the next read begins."""
    wire = PubWire(side.codec, "c", as_it_is).after(3, 3)
    for offset in (7, 8, 9):
        wire.value(b"1", Position("e1", offset), None)
    assert only(side, wire.after(5, 6).value(b"2", Position("e1", 12), None))["tags"] == {"lost": "8"}
    assert only(side, wire.after(5, 9).value(b"2", Position("e1", 15), None))["tags"] == {"lost": "5"}


def test_loss_of_text(side: Side) -> None:
    """The wire after a loss has the same format otherwise."""
    wire = PubWire(side.codec, "c", as_data_of(topic(str))).after(3, 3)
    assert only(side, wire.value(b"text", PLACE, None))["data"] == "text"


# Batches


def test_batch(side: Side) -> None:
    """The entries that are read at once are one publication of an array, with the last offset and without marks."""
    wire = PubWire(side.codec, "c", as_data_of(topic(str)), batches=True)
    log = ring()
    for offset, payload in enumerate([b"a", Encoded(b"b", None, marks(ANN, a="b"))], start=1):
        log.append(payload, offset, 0.0)
    first, later = only(side, log.read(0, wire).data), only(side, log.read(1, wire).data)
    # Protobuf has no field for the epoch.
    assert (first["data"], first["offset"], first.get("epoch", "e")) == (["a", "b"], 2, "e")
    assert later == {"data": ["b"], "offset": 2}
    assert wire.join([], PLACE) == b""


def test_batch_of_rows(side: Side) -> None:
    """Rows and removals are items of the array; a reset is an array, too."""
    wire = PubWire(side.codec, "c", as_it_is, batches=True)
    items = [wire.row(b'"a"', b"1", PLACE, marks(a="b")), wire.removed(b'"b"', Position("e1", 8))]
    pub = only(side, wire.join(items, Position("e1", 8)))
    assert pub == {"data": [{"key": "a", "value": 1}, {"key": "b", "removed": True}], "offset": 8}
    assert only(side, wire.reset()) == {"data": [{"reset": True}]}


def test_batch_after_a_loss(side: Side) -> None:
    """The first batch after a loss reports the number in a tag; the next one does not."""
    wire = PubWire(side.codec, "c", as_it_is, batches=True).after(3, 3)
    for offset, tags in ((7, {"lost": "3"}), (9, None)):
        items = [wire.value(b"1", Position("e1", each), None) for each in (offset, offset + 1)]
        pub = only(side, wire.join(items, Position("e1", offset + 1)))
        assert (pub["data"], pub.get("tags")) == ([1, 1], tags)


def test_batch_of_a_reply(side: Side) -> None:
    """A reply carries all missed entries as one publication."""
    wire = PubWire(side.codec, "c", as_it_is, batches=True).in_reply()
    log = ring()
    for offset in (1, 2):
        log.append(b"%d" % offset, offset, 0.0)
    (reply,) = side.replies(side.codec.reply(7, SubscribeResult(publications=log.read(0, wire).data)))
    (pub,) = reply["subscribe"]["publications"]
    assert (pub["data"], pub["offset"]) == ([1, 2], 2)


# Filters


def test_filter(side: Side) -> None:
    """A client gets only the publications that its filter wants, with their tags."""
    wire = PubWire(side.codec, "c", as_it_is, chosen=BUY)
    assert only(side, wire.value(b"1", PLACE, marks(side="buy")))["tags"] == {"side": "buy"}
    assert only(side, wire.row(b'"a"', b"1", PLACE, marks(side="buy")))["data"] == {"key": "a", "value": 1}
    for other in (None, marks(side="sell"), marks()):
        assert wire.value(b"1", PLACE, other) == b""
        assert wire.row(b'"a"', b"1", PLACE, other) == b""


def test_filter_of_what_is_not_there(side: Side) -> None:
    """A filter can want publications without tags."""
    wire = PubWire(side.codec, "c", as_it_is, chosen=BUY._replace(cmp="neq"))
    assert only(side, wire.value(b"1", PLACE, None)) == {"data": 1, "offset": 7}


def test_filter_and_tables(side: Side) -> None:
    """Removals and resets pass every filter."""
    wire = PubWire(side.codec, "c", as_it_is, chosen=BUY)
    assert only(side, wire.removed(b'"a"', PLACE))["data"] == {"key": "a", "removed": True}
    assert only(side, wire.reset())["data"] == {"reset": True}


def test_filter_stays_after_a_loss(side: Side) -> None:
    """After a loss, a client still gets only the publications that it wants."""
    wire = PubWire(side.codec, "c", as_it_is, chosen=BUY).after(3, 3)
    assert wire.value(b"1", PLACE, None) == b""


@given(st.lists(st.sampled_from(["buy", "sell", None]), max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_filtered_logs(sides: list[str | None], cursors: list[int]) -> None:
    """From any place in a log, exactly the wanted entries are read, each with its offset, and the cursor advances."""
    wire = PubWire(JSON_SIDE.codec, "c", as_it_is, chosen=BUY)
    log = ring()
    for number, each in enumerate(sides, start=1):
        log.append(b"%d" % number if each is None else Encoded(b"%d" % number, None, marks(side=each)), number, 0.0)
    for cursor in (0, *cursors):
        chunk = log.read(min(cursor, log.head), wire)
        told = [each["push"]["pub"]["offset"] for each in JSON_SIDE.replies(chunk.data)]
        assert told == [at for at in range(cursor + 1, log.head + 1) if sides[at - 1] == "buy"]
        assert chunk.cursor == log.head


# Deltas


def ring(entries: int = 1000) -> RingLog:
    """Return a log of payloads."""
    return RingLog("e", as_it_is, entries=entries, size=1 << 24, seconds=None)


class Reader:
    """A client that applies deltas, and keeps the results."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.wire: PubWire = PubWire(side.codec, "c", as_it_is, deltas=Deltas(Patches()))
        self.lost = 0
        self.got: dict[int, bytes] = {}
        self.deltas = 0
        self._last = b""

    def take(self, messages: bytes) -> None:
        """Apply messages."""
        for told in self.side.replies(messages):
            self.take_one(told["push"]["pub"])

    def take_one(self, pub: Fields) -> None:
        """Apply one publication."""
        data = pub["data"]
        given = data.encode() if isinstance(data, str) else data
        self._last = applied(self._last, given) if pub.get("delta") else given
        self.deltas += bool(pub.get("delta"))
        self.lost += int(pub.get("tags", {}).get("lost", 0))
        assert pub["offset"] not in self.got
        self.got[pub["offset"]] = self._last


WORDS = ["price ", "Привет ", "🦊", "é", "e\u0301", '{"a":1}', "0", "a long word, so that there is something to copy"]
PAYLOADS = st.lists(st.sampled_from(WORDS), max_size=8).map(lambda words: "".join(words).encode())


@given(st.data(), st.lists(PAYLOADS, max_size=30))
def test_deltas_give_the_payloads(data: st.DataObject, payloads: list[bytes]) -> None:
    """Whichever reads a client does not take and repeats, it has the exact payloads, or a report of their loss."""
    reader, log, cursor = Reader(JSON_SIDE), ring(8), 0
    for number, payload in enumerate(payloads, start=1):
        log.append(payload, number, 0.0)
        action = data.draw(st.sampled_from(["wait", "wait", "read", "take"]))
        if action == "wait":
            continue
        chunk = log.read(cursor, reader.wire)
        if chunk.lost:
            reader.wire = reader.wire.after(chunk.lost, cursor)
            cursor += chunk.lost
        elif action == "take":
            if data.draw(st.booleans()):  # twice without news: no cache has it
                chunk = log.read(cursor, reader.wire)
            reader.take(chunk.data)
            cursor = chunk.cursor
    if lost := log.read(cursor, reader.wire).lost:
        reader.wire = reader.wire.after(lost, cursor)
        cursor += lost
    while cursor < log.head:
        chunk = log.read(cursor, reader.wire)
        reader.take(chunk.data)
        cursor = chunk.cursor
    assert all(reader.got[offset] == payloads[offset - 1] for offset in reader.got)
    assert len(reader.got) + reader.lost == log.head


def test_long_catch_up_with_deltas() -> None:
    """A client far behind reads in pieces; each piece continues where the last one ended."""
    reader, log, cursor = Reader(JSON_SIDE), ring(), 0
    payloads = [b"%d %s" % (number, b"x" * 1000) for number in range(500)]
    for number, payload in enumerate(payloads, start=1):
        log.append(payload, number, 0.0)
    pieces = 0
    while (chunk := log.read(cursor, reader.wire)).cursor != cursor:
        reader.take(chunk.data)
        cursor, pieces = chunk.cursor, pieces + 1
    assert (list(reader.got.values()), reader.deltas) == (payloads, 499)
    assert pieces > 1


def test_first_is_whole_and_others_are_deltas(side: Side) -> None:
    """Deltas work in both formats; in JSON, all data are strings then."""
    wire, last = PubWire(side.codec, "c", as_it_is, deltas=Deltas(Patches())), b""
    for number in range(1, 6):
        payload = b'{"text":"%s","n":%d}' % (b"x" * 100, number)
        data = only(side, wire.value(payload, Position("e", number), None))["data"]
        given_ = data.encode() if isinstance(data, str) else compact(data)
        last = applied(last, given_) if number > 1 else given_
        assert last == payload


def test_delta_keeps_the_rest(side: Side) -> None:
    """Offset, tags and sender stay as they are; the payload decides whether a publication is a delta."""
    wire = PubWire(side.codec, "c", as_it_is, deltas=Deltas(Patches()))
    for number in (7, 8):
        pub = only(side, wire.value(b'"%s"' % (b"x" * 100), Position("e", number), marks(ANN, a="b")))
        assert (pub["offset"], pub["tags"], pub["info"]["user"]) == (number, {"a": "b"}, "ann")
        assert pub.get("delta", False) is (number == 8)


def test_delta_that_is_not_shorter(side: Side) -> None:
    """A publication that has nothing in common with the previous one is sent whole, and is the base of the next."""
    wire = PubWire(side.codec, "c", as_it_is, deltas=Deltas(Patches()))
    texts = [b'"%s"' % (letter * 100) for letter in (b"a", b"b", b"b")]
    deltas = [
        only(side, wire.value(text, Position("e", at), None)).get("delta") for at, text in enumerate(texts, start=1)
    ]
    assert deltas == [None, None, True]


def test_delta_follows_what_was_missed() -> None:
    """After the publications of a reply, live ones are deltas of the last of those."""
    wire = PubWire(PROTOBUF_SIDE.codec, "c", as_it_is, deltas=Deltas(Patches()))
    missed = wire.publications([Entry(Position("e", offset), b"x" * 100, None) for offset in (5, 6)])
    assert [each.delta for each in missed] == [False, True]
    assert only(PROTOBUF_SIDE, wire.value(b"x" * 100, PLACE, None))["delta"]


def test_patches_are_made_once() -> None:
    """All clients of a channel share patches; only the latest are kept."""
    deltas = Patches()
    base, target = b"x" * 100 + b"1", b"x" * 100 + b"2"
    patch = deltas.patch(base, target)
    assert patch is not None
    assert deltas.patch(base, target) is patch
    assert deltas.patch(target, base) != patch
    assert deltas.patch(b"a", b"b") is None
    for number in range(200):
        deltas.patch(base, target + b"%d" % number)
    again = deltas.patch(base, target)
    assert again == patch
    assert again is not patch


# Who shares what


@pytest.fixture
def site() -> Site:
    """Return the multiplexed surface of an app."""
    return Site(Hub(Settings()), lambda _: None)


def test_same_wishes_share_a_wire(side: Side, site: Site) -> None:
    """Clients that spell a channel alike share bytes; another spelling, format or topic has bytes of its own."""
    news, other = topic(Tick), topic(Tick)

    def wire(name: str = "c", watched: Any = news) -> PubWire:
        return site.wire(side.codec, Subscribe(0, name), watched, name)

    first = wire()
    assert wire() is first
    assert first.is_shared
    assert wire("/c") is not first
    assert wire(watched=other) is not first
    opposite = next(each for each in SIDES if each is not side)
    assert site.wire(opposite.codec, Subscribe(0, "c"), news, "c") is not first


@pytest.mark.parametrize(
    ("options", "delta", "tags", "has_deltas", "is_shared"),
    [
        ({"deltas": True}, True, None, True, False),
        ({}, True, None, False, True),
        ({}, False, BUY, False, False),
        ({"keep": "latest", "deltas": True}, True, None, False, True),
        ({"keep": "latest"}, False, BUY, False, False),
        ({"keep": "latest", "by": "number"}, True, None, False, True),
        ({"keep": "latest", "by": "number"}, False, BUY, False, False),
    ],
)
def test_wires_for_one(
    side: Side, site: Site, options: Any, delta: bool, tags: FilterNode | None, has_deltas: bool, is_shared: bool
) -> None:
    """Deltas and filters serve one client each; logs that skip values have no deltas."""
    watched = topic(Tick, **options)
    made = [
        site.wire(side.codec, Subscribe(0, "c", delta="fossil" if delta else "", tf=tags), watched, "c")
        for _ in range(2)
    ]
    assert [each.deltas is not None for each in made] == [has_deltas] * 2
    assert [each.is_shared for each in made] == [is_shared] * 2
    assert (made[0] is made[1]) is is_shared


def test_wires_are_forgotten(side: Side, site: Site) -> None:
    """A wire that is not used any more is not kept."""
    watched = topic(Tick)
    wire = weakref.ref(site.wire(side.codec, Subscribe(0, "c"), watched, "c"))
    assert wire() is None
