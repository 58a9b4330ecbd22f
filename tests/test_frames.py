"""Frames, compared with RFC 6455 and with the parser of the ``websockets`` package."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from wirespeed.frames import BINARY, HEADERS, TEXT, frame, header, messages

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 65537]

Payloads = st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300)))


def read_by_websockets(data: bytes) -> list[tuple[int, bytes]]:
    """Return the messages in ``data`` as an independent client reads them."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    assert client.parser_exc is None
    assert all(each.fin and not (each.rsv1 or each.rsv2 or each.rsv3) for each in frames)
    return [(each.opcode, bytes(each.data)) for each in frames]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65535, "81 7e ff ff"),
        (65536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_header_is_as_short_as_it_can_be(length: int, expected: str) -> None:
    """The header has 2, 4 or 10 bytes, and no mask."""
    assert header(TEXT, length) == bytes.fromhex(expected)


def test_binary_header_differs_by_its_opcode() -> None:
    """Binary messages have the opcode 2."""
    assert header(BINARY, 3) == b"\x82\x03"


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_short_headers_are_indexed_by_the_length(opcode: int) -> None:
    """The table of short headers agrees with ``header`` for all headers of two bytes."""
    assert HEADERS[opcode].short == tuple(header(opcode, length) for length in range(126))


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", SIZES)
def test_message_of_any_size_comes_back(opcode: int, size: int) -> None:
    """A framed message is read back, on both sides of each limit of the header's size."""
    payload = b"x" * size
    assert list(messages(frame(opcode, payload))) == [(opcode, payload)]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", SIZES)
def test_independent_client_reads_a_message_of_any_size(opcode: int, size: int) -> None:
    """The parser of ``websockets`` reads what we write."""
    payload = b"x" * size
    assert read_by_websockets(frame(opcode, payload)) == [(opcode, payload)]


@given(Payloads)
def test_joined_frames_stay_apart(payloads: list[tuple[int, bytes]]) -> None:
    """Any number of messages in one piece of bytes come back in order, for us and for ``websockets``."""
    joined = b"".join(frame(opcode, payload) for opcode, payload in payloads)
    assert list(messages(joined)) == payloads
    assert read_by_websockets(joined) == payloads
