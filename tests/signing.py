"""Keys and tokens for tests, signed by a library or by hand, and the verifiers' answers to them."""

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
"""A time in the future."""
PAST = 1_000_000_000


@cache
def private_key(kind: str) -> Any:
    """Return a private key; it is the same each time."""
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "Ed25519" else ec.generate_private_key(getattr(ec, kind)())


def public_pem(kind: str) -> str:
    """Return the key's public key."""
    public = private_key(kind).public_key()
    return str(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def b64(content: bytes) -> str:
    """Return base64 as in tokens."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def hs256(claims: str | bytes, secret: str = SECRET, header: str = '{"alg":"HS256"}') -> str:
    """Return a token that is signed by hand, with content that no library would sign."""
    content = claims.encode() if isinstance(claims, str) else claims
    signed = f"{b64(header.encode())}.{b64(content)}"
    return f"{signed}.{b64(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def token(**claims: Any) -> str:
    """Return a token signed with :data:`SECRET`."""
    return jwt.encode(claims, SECRET, "HS256")


async def identity(token: str, verifier: JWT | None = None) -> Identity:
    """Return the identity in a connection's token."""
    found = await (verifier or JWT(SECRET)).connect(token, HANDSHAKE)
    assert found is not None
    return found


async def problem(token: str, verifier: JWT | None = None) -> str:
    """Return the reason why a connection's token is refused."""
    with pytest.raises(InvalidToken) as refused:
        await identity(token, verifier)
    return refused.value.problem
