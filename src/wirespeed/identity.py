"""Identities of clients, and what tokens grant them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity of a client, as ``Live(authenticate=...)`` returns it."""

    user: str = ""
    """User of the client; empty if it is anonymous."""

    session: str = ""
    """Name of the session, such as the id of a login; :meth:`~wirespeed.Live.revoke` ends all that it has begun."""

    expires_at: float | None = None
    """Unix time, in seconds, by which a multiplexed connection needs a new token, and at which the connections of all
    other surfaces end; None for no limit."""

    info: Any = None
    """Information for other clients, in presence and beside what the client publishes; serialised by Pydantic."""

    subscriptions: Sequence[str] = ()
    """Channels that the server subscribes the client to, if the app's dependencies admit it."""

    data: Any = None
    """Data that the client receives when it connects; serialised by Pydantic."""

    meta: Any = None
    """Data for the app's own code; no client sees it."""


ANONYMOUS = Identity()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The claims of a token for one subscription."""

    expires_at: float | None = None
    """Unix time, in seconds, by which the subscription needs a new token; None for no limit."""

    info: Any = None
    """Information for other clients in this channel, beside :attr:`Identity.info`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The client on whose behalf a value is published, as watchers of multiplexed connections see it.

    The dependency :func:`~wirespeed.current_sender` returns it. It holds no connection, so it can be stored.
    """

    client: str = ""
    """Id of its multiplexed connection; empty on all other surfaces, where publications have no sender."""

    user: str = ""
    """User of the client; empty if it is anonymous."""

    info: bytes = b""
    """:attr:`Identity.info` as JSON; empty for none."""

    channel_info: bytes = b""
    """:attr:`Grant.info` as JSON; empty for none."""


def check_time(expires_at: object) -> None:
    """Check a Unix time, which may be None.

    Raises:
        TypeError: The time is not a number.
        ValueError: The time is infinite or NaN.
        OverflowError: The time is too large.
    """
    if expires_at is None:
        return
    if not isinstance(expires_at, int | float):
        raise TypeError(f"expected expires_at as a number, got {type(expires_at).__name__}")
    if not isfinite(expires_at):
        raise ValueError("expected expires_at as a finite number, or None for never")
