"""Who is at the other end of a connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a client of the multiplexed surface is, as ``Live(authenticate=...)`` says it."""

    user: str = ""
    """Its user; empty for anonymous."""

    expires_at: float | None = None
    """Unix time, in seconds, by which it has to bring a new token; None for never."""

    info: Any = None
    """What others see of it, in presence and with what it publishes; anything that Pydantic makes JSON of."""

    subscriptions: Sequence[str] = ()
    """The channels that the server subscribes it to, if the app admits that."""

    data: Any = None
    """What it is told when it is connected; anything that Pydantic makes JSON of."""

    meta: Any = None
    """For the app's own code; no client sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token for one subscription says."""

    expires_at: float | None = None
    """Unix time, in seconds, by which the client has to bring a new one; None for never."""

    info: Any = None
    """What others see of the client in this channel, beside :attr:`Identity.info`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The client on whose behalf something is published, as watchers on multiplexed connections see it.

    A handler gets it from the dependency :func:`~wirespeed.current_sender`. It holds no connection, and may be kept.
    """

    client: str = ""
    """The id of its connection; empty for a client that has none, whose publications tell no sender."""

    user: str = ""
    """Its user; empty for anonymous."""

    info: bytes = b""
    """:attr:`Identity.info` as JSON; empty for none."""

    channel_info: bytes = b""
    """:attr:`Grant.info` as JSON; empty for none."""


def check_time(expires_at: object) -> None:
    """Check a Unix time, which may be None.

    Raises:
        TypeError: It is no number.
        ValueError: It is infinite or NaN.
        OverflowError: It is too large.
    """
    if expires_at is None:
        return
    if not isinstance(expires_at, int | float):
        raise TypeError(f"expected expires_at as a number, got {type(expires_at).__name__}")
    if not isfinite(expires_at):
        raise ValueError("expected expires_at as a finite number, or None for never")
