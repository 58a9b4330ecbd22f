"""Payloads: from the data of a command to the message that a definition takes."""

from typing import Any

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.codes import Error
from ...centrifuge.messages import Command
from ...codec import Decoder, read_json
from ...errors import InboxFull, InvalidMessage
from ...frames import BINARY
from ...hub import Hub
from ...weight import weight_of
from .. import runs
from .refusal import CommandRefused, error_of

ONLY_PROTOBUF = codes.NOT_AVAILABLE._replace(message="its values are bytes, which JSON cannot carry: use Protobuf")

NO_BATCHES = codes.BAD_REQUEST._replace(message="its values are bytes, of which there are no batches")
NOT_BOTH = codes.BAD_REQUEST._replace(message="no filter goes through batches: ask for one of them")


def inbox_full(error: InboxFull) -> Error:
    """Return the error of a message that there is no room for."""
    return codes.TOO_MANY_REQUESTS._replace(message=f"Not taken: {error}.", name="inbox full")


def check_format(codec: Codec, *, is_binary: bool) -> None:
    """Check that a client's format can carry the values of a definition.

    Raises:
        CommandRefused: 108, it cannot.
    """
    if is_binary and codec.opcode != BINARY:
        raise CommandRefused(ONLY_PROTOBUF)


def size_of(command: Command) -> int:
    """Return the bytes that a command counts for while it waits: those that its client chooses, and one KiB."""
    size = 1024
    for field in command:
        if type(field) is str or type(field) is bytes:
            size += len(field)
    return size


def load_of(command: Command, size: int) -> int:
    """Return the bytes that a command counts for while it is in progress, and its data is a value."""
    data = getattr(command, "data", b"")
    return size + weight_of(data) if data else size


def decoded(decoder: Decoder[Any], data: bytes, codec: Codec, hub: Hub, title: str) -> Any:
    """Return the message that a command carries: JSON, text as a JSON string, or bytes from Protobuf clients.

    Raises:
        CommandRefused: 107, the message does not validate; 108, it has to be bytes, and this is a JSON client; 100, a
            validator has failed; or the error of the HTTPException that a validator has raised.
    """
    try:
        return runs.decoded(hub, title, decoder, _message(decoder, data, codec), codes.INTERNAL.message)
    except runs.ValidatorFailed:
        raise CommandRefused(codes.INTERNAL) from None
    except InvalidMessage as error:
        whole = [{"type": "value_error", "loc": ["body"], "msg": error.message}]
        refused = error_of(error.code, whole if error.detail is None else error.detail)
        known = codes.BAD_REQUEST if error.code == 422 else refused
        raise CommandRefused(refused._replace(code=known.code, message=error.message)) from None


def _message(decoder: Decoder[Any], data: bytes, codec: Codec) -> str | bytes:
    if decoder.kind is bytes:
        if codec.opcode != BINARY:
            message = "it takes bytes, which JSON cannot carry: use Protobuf"
            raise CommandRefused(codes.NOT_AVAILABLE._replace(message=message))
        return data
    try:
        if decoder.kind is None:
            return data.decode()
        value = read_json(data)
    except ValueError:
        raise InvalidMessage("the data is not valid JSON") from None
    if not isinstance(value, str):
        raise InvalidMessage("the data has to be a JSON string")
    return value
