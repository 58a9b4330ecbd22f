"""Reading: a parser gets received bytes in pieces, and no more than the app accepts."""

from functools import partial
from typing import Any, cast

import pytest

from tests.lanes.turns import turns, until
from wirespeed.lanes.reading import Reading, Readings

pytestmark = pytest.mark.anyio


class Socket:
    """A transport that records whether it is being read."""

    def __init__(self) -> None:
        self.reads = True
        self.closed = False

    def write(self, data: bytes) -> None:
        """Accept everything."""

    def pause_reading(self) -> None:
        """Stop reading."""
        self.reads = False

    def resume_reading(self) -> None:
        """Continue reading."""
        self.reads = True

    def is_closing(self) -> bool:
        """Return True if it is closed."""
        return self.closed

    def abort(self) -> None:
        """Close it."""
        self.closed = True


class Parser:
    """A parser that may pause the reading after each piece, as a real one does after a message."""

    def __init__(self, *, stops: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.socket = Socket()
        self.stops = stops
        self.reading = Reading(cast("Any", self.socket), self.parse, Readings(), 10)

    def has(self, count: int) -> bool:
        """Return True if the parser was given this number of pieces."""
        return len(self.pieces) == count

    def parse(self, data: bytes) -> None:
        """Parse a piece."""
        self.pieces.append(data)
        if data.startswith(b"!"):
            raise RuntimeError("bug")
        if self.stops:
            self.reading.pause_reading()


async def test_little_is_parsed_at_once() -> None:
    """Bytes that fit into one piece are parsed at once, without another turn of the loop."""
    parser = Parser()
    parser.reading.data_received(b"0123456789")
    assert (parser.pieces, parser.socket.reads) == ([b"0123456789"], True)


async def test_much_is_parsed_in_pieces() -> None:
    """Nothing more is read until everything is parsed, in its order."""
    parser = Parser()
    parser.reading.data_received(b"0123456789ab")
    parser.reading.data_received(b"cd")
    assert (parser.pieces, parser.socket.reads) == ([], False)
    await until(lambda: parser.socket.reads)
    assert parser.pieces == [b"0123456789", b"abcd"]


async def test_app_that_takes_nothing() -> None:
    """While the app has not received a message, no further piece is parsed: waiting messages are bounded."""
    parser = Parser(stops=True)
    parser.reading.data_received(bytes(1000))
    await turns(50)
    assert (len(parser.pieces), parser.socket.reads) == (1, False)
    for count in range(2, 101):
        parser.reading.resume_reading()
        await until(partial(parser.has, count))
    assert not parser.socket.reads
    parser.reading.resume_reading()
    assert parser.socket.reads


async def test_others_are_served_in_between() -> None:
    """However many connections have bytes waiting, the loop keeps turning, and each connection gets its turns."""
    readings = Readings()
    done: list[Parser] = []
    clients = [Parser() for _ in range(3)]
    for client in clients:
        parse = partial(append, done, client)
        client.reading = Reading(cast("Any", client.socket), parse, readings, 1)
        client.reading.data_received(bytes(5000))
    await until(lambda: len(done) == 15000)
    assert done[:6] == clients * 2


def append(done: list[Parser], client: Parser, _: bytes) -> None:
    """Return True if one piece of a client was parsed."""
    done.append(client)


async def test_one_that_cannot_be_parsed(caplog: pytest.LogCaptureFixture) -> None:
    """An error of one parser ends its connection and is logged. It affects no other connection."""
    readings = Readings()
    bad, good = Parser(), Parser()
    for client in (bad, good):
        client.reading = Reading(cast("Any", client.socket), client.parse, readings, 10)
    bad.reading.data_received(b"!" * 30)
    good.reading.data_received(bytes(30))
    await until(lambda: good.socket.reads)
    assert (len(bad.pieces), len(good.pieces), bad.socket.closed) == (1, 3, True)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(("size", "pieces"), [(30, [30]), (1 << 20, [])])
async def test_connection_that_is_lost(size: int, pieces: list[int]) -> None:
    """A few last bytes are still parsed; many are dropped."""
    parser = Parser()
    parser.reading.data_received(bytes(size))
    parser.reading.finish()
    await turns(10)
    assert [len(piece) for piece in parser.pieces] == pieces
