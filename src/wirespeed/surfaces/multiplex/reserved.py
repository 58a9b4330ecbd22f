"""The reserved key: our own clients send objects with the key ``wirespeed`` in the data of their commands."""

import json
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError

from ...centrifuge import codes
from ...centrifuge.codec import Codec
from ...centrifuge.messages import Subscribe
from ...raw import check_numbers, member
from .payloads import NO_BATCHES, NOT_BOTH, check_format
from .refusal import CommandRefused

_KEY = b'"wirespeed"'

GROWS = b'{"wirespeed":{"appends":true}}'
"""The data of the reply to a client that applies the pieces of a growing text, where something grows."""


class Wants(BaseModel):
    """Wishes of a client about its subscription."""

    model_config = ConfigDict(extra="forbid", strict=True)

    batches: bool = False
    """True if each publication carries an array of values."""
    acknowledges: bool = False
    """True if the client acknowledges publications, and gets no more than it keeps up with."""
    appends: bool = False
    """True if the client applies the pieces of a growing text."""
    status: bool | Literal["tag"] = False
    """True if messages of the connection say when the health of the source changes. With ``"tag"``, a publication
    without a value says it in the tag ``status``, for SDKs that pass no messages on."""


class Asked(NamedTuple):
    """The data of a subscribe."""

    wants: Wants
    data: bytes


class _Opening(BaseModel):
    model_config = ConfigDict(extra="forbid")

    wirespeed: Wants
    message: Any = None


_ACKNOWLEDGEMENTS = TypeAdapter(
    dict[Literal["wirespeed"], dict[Literal["acknowledge"], dict[str, NonNegativeInt]]], config=ConfigDict(strict=True)
)
_NOTHING = Wants()


def asked(data: bytes) -> Asked:
    """Take the data of a subscribe apart: ``{"wirespeed": {"batches": true}, "message": ...}`` is ours.

    Raises:
        CommandRefused: 107, our part is invalid, or wants acknowledgements without batches, or tags with batches.
    """
    opening = _object(data)
    if opening is None:
        return Asked(_NOTHING, data)
    try:
        wants = _Opening.model_validate(opening).wirespeed
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandRefused(codes.BAD_REQUEST._replace(message=f"{where}: {first['msg']}")) from None
    if wants.acknowledges and not wants.batches:
        raise CommandRefused(codes.BAD_REQUEST._replace(message="wirespeed.acknowledges: only with batches"))
    if wants.status == "tag" and wants.batches:
        raise CommandRefused(codes.BAD_REQUEST._replace(message="wirespeed.status: tags only without batches"))
    return Asked(wants, _message(data) if "message" in opening else b"")


def wanted(command: Subscribe, codec: Codec, *, is_binary: bool) -> Asked:
    """Return the data of a subscribe, if its client's format can carry the values as it wants them.

    Raises:
        CommandRefused: 107 or 108, it cannot.
    """
    check_format(codec, is_binary=is_binary)
    found = asked(command.data)
    if found.wants.batches and (is_binary or command.tf is not None):
        raise CommandRefused(NO_BATCHES if is_binary else NOT_BOTH)
    return found


def acknowledged(data: bytes) -> dict[str, int] | None:
    """Return the number of publications acknowledged by channel; None if the data of a send is something else."""
    with suppress(ValidationError, KeyError):
        return _ACKNOWLEDGEMENTS.validate_python(_object(data))["wirespeed"]["acknowledge"]
    return None


def _message(data: bytes) -> bytes:
    """Return the message in an object with our key as its client has written it: its type may be raw JSON."""
    try:
        text = member(data.decode("utf-8-sig"), "message")
        check_numbers(text)
        return text.encode()
    except ValueError:
        raise CommandRefused(codes.BAD_REQUEST._replace(message="message: it is not valid JSON")) from None


def _object(data: bytes) -> dict[str, Any] | None:
    """Return an object with our key; None, mostly without parsing, for everything else."""
    if _KEY not in data:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "wirespeed" in value else None
