"""What the app says of a client, checked where the app says it: what is wrong would fail later, for others."""

from collections.abc import Collection
from typing import Any, TypeVar

from ...identity import Grant, Identity, check_time

T = TypeVar("T")


def identity_of(value: object) -> Identity:
    """Return a value as the identity that it should be.

    Raises:
        Exception: It is none, or one of its fields is of a wrong type.
    """
    identity = _of_type(value, Identity, "an Identity")
    _check_text(identity.user, "user")
    check_time(identity.expires_at)
    channels: Any = identity.subscriptions
    if isinstance(channels, str | bytes) or not isinstance(channels, Collection):
        raise TypeError(f"expected subscriptions as a list of channels, got {type(channels).__name__}")
    for channel in channels:
        _check_text(channel, "subscriptions")
    return identity


def grant_of(value: object) -> Grant:
    """Return a value as the grant that it should be; raises as :func:`identity_of`."""
    grant = _of_type(value, Grant, "a Grant")
    check_time(grant.expires_at)
    return grant


def _check_text(value: object, name: str) -> None:
    try:
        _of_type(value, str, f"{name} as a str").encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: half of a surrogate pair is no text") from None


def _of_type(value: object, kind: type[T], called: str) -> T:
    if not isinstance(value, kind):
        # Only its type: the log must not show what may be a token.
        raise TypeError(f"expected {called}, got {type(value).__name__}")
    return value
