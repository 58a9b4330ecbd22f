"""Keys and tokens for tests: signed as an issuer would, or by hand; and what a verifier makes of them."""

import base64
import hashlib
import hmac
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import HTTPConnection

from wirespeed import Identity, InvalidToken
from wirespeed.tokens import JWT

SECRET = "a secret of more than 64 bytes, so that it is long enough for HS512, too"
HANDSHAKE = HTTPConnection({"type": "websocket"})
FAR = 32_503_680_000
"""A time that has not come yet."""
PAST = 1_000_000_000


@cache
def private_key(kind: str) -> Any:
    """A private key, the same each time."""
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "Ed25519" else ec.generate_private_key(getattr(ec, kind)())


def public_pem(kind: str) -> str:
    """Its public key."""
    public = private_key(kind).public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def b64(content: bytes) -> str:
    """Base 64 as in tokens."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def hs256(claims: str | bytes, secret: str = SECRET, header: str = '{"alg":"HS256"}') -> str:
    """A token that is signed by hand, with what no library would sign."""
    content = claims.encode() if isinstance(claims, str) else claims
    signed = f"{b64(header.encode())}.{b64(content)}"
    return f"{signed}.{b64(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def token(**claims: Any) -> str:
    """A token that :data:`SECRET` has signed."""
    return jwt.encode(claims, SECRET, "HS256")


async def identity(token: str, verifier: JWT | None = None) -> Identity:
    """Who a connection's token says that a client is."""
    found = await (verifier or JWT(SECRET)).connect(token, HANDSHAKE)
    assert found is not None
    return found


async def problem(token: str, verifier: JWT | None = None) -> str:
    """Why a connection's token is refused."""
    with pytest.raises(InvalidToken) as refused:
        await identity(token, verifier)
    return refused.value.problem
