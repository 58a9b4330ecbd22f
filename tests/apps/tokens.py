"""Tokens as an issuer would sign them."""

import time
from typing import Any

import jwt

SECRET = "the secret that only these tests know"


def token(user: str, ttl: float | None = None, **claims: Any) -> str:
    """Return a connection token.

    Args:
        user: Who it is for.
        ttl: Seconds until it expires; None for never.
        **claims: What else it says. The app counts the seconds of ``stay`` from when it gets the token, so that a slow
            client has as many as a fast one.
    """
    expiry = {} if ttl is None else {"exp": int(time.time() + ttl)}
    return jwt.encode({"sub": user} | expiry | claims, SECRET, "HS256")


def ticket(user: str, channel: str, ttl: float | None = None, **claims: Any) -> str:
    """Return a subscription token; the arguments are those of :func:`token`."""
    return token(user, ttl, channel=channel, **claims)


def forged(user: str, **claims: Any) -> str:
    """Return a token with a wrong signature."""
    return jwt.encode({"sub": user} | claims, SECRET[::-1], "HS256")
