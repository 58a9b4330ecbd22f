"""The reserved key in the data of commands, and the app's own data."""

import pytest

from wirespeed.surfaces.multiplex.refusal import CommandRefused
from wirespeed.surfaces.multiplex.reserved import Asked, Wants, acknowledged, asked


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1",
        b"null",
        b'"wirespeed"',
        b'["wirespeed"]',
        b'{"a":"wirespeed"}',
        b'{"message":1}',
        b'{"wirespeed"',
        b"[",
    ],
)
def test_data_of_the_app(data: bytes) -> None:
    """Data without the key goes to the app unchanged, and acknowledges nothing."""
    assert asked(data) == Asked(Wants(), data)
    assert acknowledged(data) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"wirespeed":{}}', Asked(Wants(), b"")),
        (b'{"wirespeed":{"batches":true}}', Asked(Wants(batches=True), b"")),
        (b'{"wirespeed":{"batches":true},"message":null}', Asked(Wants(batches=True), b"null")),
        (
            b'{"message":{"wirespeed":[1.5,"\xc3\xa4"]},"wirespeed":{"batches":true,"acknowledges":true}}',
            Asked(Wants(batches=True, acknowledges=True), b'{"wirespeed":[1.5,"\xc3\xa4"]}'),
        ),
        (b'{"wirespeed":{},"message":"hi"}', Asked(Wants(), b'"hi"')),
        (b'{"wirespeed":{},"message":{"a":-0, "a":1.10}}', Asked(Wants(), b'{"a":-0, "a":1.10}')),
        (
            b'{"message":1,"wirespeed":{},"m\\u0065ssage": 12345678901234567890.5 }',
            Asked(Wants(), b"12345678901234567890.5"),
        ),
        (b'{"wirespeed":{},"message":"\\ud800"}', Asked(Wants(), b'"\\ud800"')),
    ],
)
def test_data_of_ours(data: bytes, expected: Asked) -> None:
    """The key is removed; the app receives the message."""
    assert asked(data) == expected


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b'{"wirespeed":1}', "wirespeed"),
        (b'{"wirespeed":{"batches":1}}', "wirespeed.batches"),
        (b'{"wirespeed":{"other":true}}', "wirespeed.other"),
        (b'{"wirespeed":{},"other":1}', "other"),
        (b'{"wirespeed":{},"message":NaN}', "message: it is not valid JSON"),
        (b'{"wirespeed":{},"message":' + b"9" * 309 + b"}", "message: it is not valid JSON"),
        (b'{"wirespeed":{},"message":[1e400]}', "message: it is not valid JSON"),
        (b'{"wirespeed":{"acknowledges":true}}', "wirespeed.acknowledges: only with batches"),
        (b'{"wirespeed":{"status":"tag","batches":true}}', "wirespeed.status: tags only without batches"),
    ],
)
def test_unknown_wishes(data: bytes, where: str) -> None:
    """An unknown option is refused by name."""
    with pytest.raises(CommandRefused) as refused:
        asked(data)
    assert refused.value.error.code == 107
    assert refused.value.error.message.startswith(where)


def test_acknowledgements() -> None:
    """An acknowledgement has channels and the number of handled publications."""
    assert acknowledged(b'{"wirespeed":{"acknowledge":{"a":0,"b#1":17}}}') == {"a": 0, "b#1": 17}
    assert acknowledged(b'{"wirespeed":{"acknowledge":{}}}') == {}


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"acknowledge":[]}',
        b'{"acknowledge":{"a":-1}}',
        b'{"acknowledge":{"a":"1"}}',
        b'{"acknowledge":{"a":1.5}}',
    ],
)
def test_broken_acknowledgements(content: bytes) -> None:
    """Anything else is not an acknowledgement."""
    assert acknowledged(b'{"wirespeed":%b}' % content) is None
