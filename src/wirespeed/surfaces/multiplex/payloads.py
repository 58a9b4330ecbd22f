"""Between the data of commands and the messages that our definitions take."""

import json
from typing import Any

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Error
from ...centrifuge.messages import Command
from ...codec import Decoder
from ...errors import InvalidMessage
from ...frames import BINARY

ONLY_PROTOBUF = codes.NOT_AVAILABLE._replace(message="its values are bytes, which JSON cannot carry: use Protobuf")

NO_BATCHES = codes.BAD_REQUEST._replace(message="its values are bytes, of which there are no batches")
NOT_BOTH = codes.BAD_REQUEST._replace(message="no filter goes through batches: ask for one of them")


class Refused(Exception):
    """A command is not done.

    Args:
        error: What the client is told.
    """

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error


def size_of(command: Command) -> int:
    """The bytes of a command that waits, as far as its client chooses them."""
    return len(getattr(command, "data", b""))


def decoded(decoder: Decoder[Any], data: bytes, codec: Codec) -> Any:
    """The message that a command carries: JSON, text as a JSON string, or, from Protobuf clients, bytes.

    Raises:
        Refused: 107, it does not validate; 108, it has to be bytes and this is a JSON client.
    """
    try:
        return decoder.decode(_message(decoder, data, codec))
    except InvalidMessage as error:
        raise Refused(codes.BAD_REQUEST._replace(message=error.message)) from None


def _message(decoder: Decoder[Any], data: bytes, codec: Codec) -> str | bytes:
    if decoder.kind is bytes:
        if codec.opcode != BINARY:
            raise Refused(codes.NOT_AVAILABLE._replace(message="it takes bytes, which JSON cannot carry: use Protobuf"))
        return data
    try:
        text = data.decode()
        if decoder.kind is None:
            return text
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidMessage("the data is no JSON") from None
    if not isinstance(value, str):
        raise InvalidMessage("the data has to be a JSON string")
    return value
