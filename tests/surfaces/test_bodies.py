"""Bodies: the forms of a body, and the choice of one for a client."""

import pytest

from wirespeed.codec import encoder
from wirespeed.surfaces.bodies import Events, JsonLines, Octets, accepts_events


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/event-stream, */*", True),
        ("*/*, text/event-stream", True),
        ("text/*", True),
        ("text/event-stream; charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream; q=0, */*", False),
        ("text/event-stream;q=0.5, */*", False),
        ("text/event-stream;q=0.5, */*;q=0.1", True),
        ("text/event-stream;q=0.5, application/json", False),
        ("text/event-stream, application/json;q=0.9", True),
        ("text/event-stream, application/jsonl", False),
        ("application/json", False),
        ("application/*, text/*;q=0.5", False),
        ("text/html, application/xhtml+xml, */*;q=0.8", False),
        ("text/event-stream;q=much", False),
        (",;,=", False),
        ("text/html," * 49 + "text/event-stream", True),
        ("text/html," * 50 + "text/event-stream", False),  # more are not read
    ],
)
def test_accept(accept: str | None, expected: bool) -> None:
    """A client that prefers events gets them, by the quality of the closest range, then by its closeness."""
    assert accepts_events(accept) is expected


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (b"1", b"data: 1\n\n"),
        (b"", b"data: \n\n"),
        (b"a\nb", b"data: a\ndata: b\n\n"),
        (b"a\r\nb\rc", b"data: a\ndata: b\ndata: c\n\n"),
        (b"a\n\nb\n", b"data: a\ndata: \ndata: b\ndata: \n\n"),
        ("é\u2028".encode(), "data: é\u2028\n\n".encode()),
    ],
)
def test_events(payload: bytes, event: bytes) -> None:
    """Each line of a payload, however it ends, is a line of data; a blank line ends the event."""
    assert Events().encoder(encoder(bytes)).encode(payload) == event


def test_json_lines() -> None:
    """Each value is one line."""
    assert [JsonLines().encoder(encoder(type(value))).encode(value) for value in (1, "a")] == [b"1\n", b'"a"\n']


def test_octets() -> None:
    """Bytes are joined as they are."""
    encode = Octets().encoder(encoder(bytes)).encode
    assert b"".join(map(encode, (b"\n\xff", b"", b"b"))) == b"\n\xffb"


def test_errors() -> None:
    """An error is a line or an event of its own; a body of bytes has no form for it."""
    error = b'{"error":{}}'
    bodies = (JsonLines(), Events(), Octets())
    assert [body.error(error) for body in bodies] == [error + b"\n", b"event: error\ndata: " + error + b"\n\n", b""]
