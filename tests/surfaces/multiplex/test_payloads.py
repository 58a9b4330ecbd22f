"""Payloads: the data of a command becomes the message of a definition, or an error that names the problem."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from wirespeed.centrifuge.codec import Codec
from wirespeed.centrifuge.json_codec import JSON
from wirespeed.centrifuge.protobuf import PROTOBUF
from wirespeed.codec import Decoder, decoder
from wirespeed.hub import Hub
from wirespeed.settings import Settings
from wirespeed.surfaces.multiplex.payloads import decoded
from wirespeed.surfaces.multiplex.refusal import CommandRefused


class Tick(BaseModel):
    number: int


BOTH = [JSON, PROTOBUF]


def taken(decoder_: Decoder[Any], data: bytes, codec: Codec) -> Any:
    """Return the message in a command."""
    return decoded(decoder_, data, codec, Hub(Settings()), "call '/x' (x)")


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize(
    ("type_", "data", "message"),
    [
        (Tick, b'{"number": 7}', Tick(number=7)),
        (list[int], b"[1,2]", [1, 2]),
        (dict[str, Any], b'{"a":null}', {"a": None}),
        (int | None, b"null", None),
        (str, b'"text"', "text"),
        (str, '"gr\u00fc\u00dfe \\n \\ud83e\\udd8a"'.encode(), "grüße \n 🦊"),
        (Annotated[str, Field(max_length=3)], b'"abc"', "abc"),
    ],
)
def test_messages(codec: Codec, type_: Any, data: bytes, message: Any) -> None:
    """Everything is JSON, in both formats; text is a JSON string."""
    assert taken(decoder(type_), data, codec) == message


def test_bytes() -> None:
    """Bytes arrive unchanged, in Protobuf only."""
    assert taken(decoder(bytes), b"\xff\x00", PROTOBUF) == b"\xff\x00"
    assert taken(decoder(bytes), b"", PROTOBUF) == b""
    with pytest.raises(CommandRefused) as refused:
        taken(decoder(bytes), b'"text"', JSON)
    assert refused.value.error.code == 108
    assert "Protobuf" in refused.value.error.message


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize(
    ("type_", "data", "said"),
    [
        (Tick, b'{"number": "x"}', "number"),
        (Tick, b"{}", "number"),
        (Tick, b"", ""),
        (Tick, b"[", ""),
        (Tick, b"\xff", ""),
        (str, b'"\\ud83d"', ""),
        (str, b'"\xed\xa0\xbd"', ""),
        (dict[str, Any], b'{"a":"\\ud83d"}', ""),
        (dict[str, Any], b'{"a":1e999}', ""),
        (float, b"-1e400", ""),
        (float, b"NaN", ""),
        (float, b"1" * 400 + b".5", ""),
        (dict[str, Any], b'{"a":' + b"[" * 1000 + b"]" * 1000 + b"}", ""),
        (str, b"text", "JSON"),
        (str, b"", "JSON"),
        (str, b"\xff", "JSON"),
        (str, b"[" * 100_000, "JSON"),
        (str, b"1", "JSON string"),
        (str, b'{"text": 1}', "JSON string"),
        (Annotated[str, Field(max_length=3)], b'"abcd"', ""),
    ],
)
def test_messages_that_do_not_fit(codec: Codec, type_: Any, data: bytes, said: str) -> None:
    """The client gets 107 and the reason."""
    with pytest.raises(CommandRefused) as refused:
        taken(decoder(type_), data, codec)
    assert refused.value.error.code == 107
    assert refused.value.error.message
    assert said in refused.value.error.message


@given(st.sampled_from([Tick, str, bytes, list[int]]), st.sampled_from(BOTH), st.binary(max_size=20))
def test_any_data(type_: Any, codec: Codec, data: bytes) -> None:
    """Any data becomes a message or a refusal."""
    try:
        taken(decoder(type_), data, codec)
    except CommandRefused as refused:
        code = refused.error.code
    else:
        code = 0
    assert code in (0, 107, 108)
