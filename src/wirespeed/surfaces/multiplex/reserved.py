"""What our own clients say in the data of commands: objects with the key ``wirespeed``, which is reserved for this."""

import json
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError

from ...centrifuge import codes
from .payloads import Refused

_KEY = b'"wirespeed"'


class Wants(BaseModel):
    """How a client wants a subscription."""

    model_config = ConfigDict(extra="forbid", strict=True)

    batches: bool = False
    """Each publication carries an array of values."""
    acknowledges: bool = False
    """It tells which publications it is done with, and gets no more than it keeps up with."""


class Asked(NamedTuple):
    """The data of a subscribe.

    Args:
        wants: What is meant for us.
        data: What is meant for the app, in JSON; empty for nothing.
    """

    wants: Wants
    data: bytes


class _Opening(BaseModel):
    model_config = ConfigDict(extra="forbid")

    wirespeed: Wants
    message: Any = None


class _Acknowledge(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    acknowledge: dict[str, NonNegativeInt]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")

    wirespeed: _Acknowledge


_NOTHING = Wants()
_OPENING = TypeAdapter(_Opening)
_TOLD = TypeAdapter(_Told)


def asked(data: bytes) -> Asked:
    """Takes the data of a subscribe apart: ``{"wirespeed": {"batches": true}, "message": ...}`` is ours.

    Raises:
        Refused: 107, nobody knows what it wants; acknowledgements are of batches only.
    """
    opening = _object(data)
    if opening is None:
        return Asked(_NOTHING, data)
    try:
        wants = _OPENING.validate_python(opening).wirespeed
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(codes.BAD_REQUEST._replace(message=f"{where}: {first['msg']}")) from None
    if wants.acknowledges and not wants.batches:
        raise Refused(codes.BAD_REQUEST._replace(message="wirespeed.acknowledges: only with batches"))
    return Asked(wants, _as_data(opening["message"]) if "message" in opening else b"")


def acknowledged(data: bytes) -> dict[str, int] | None:
    """How many publications of which channels a client is done with; None if the data of a send is something else."""
    told = _object(data)
    if told is None:
        return None
    try:
        return _TOLD.validate_python(told).wirespeed.acknowledge
    except ValidationError:
        return None


def _as_data(message: Any) -> bytes:
    try:
        return json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise Refused(codes.BAD_REQUEST._replace(message="message: it is no JSON")) from None


def _object(data: bytes) -> dict[str, Any] | None:
    """An object with our key; nothing is parsed where it cannot be one."""
    if _KEY not in data:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "wirespeed" in value else None
