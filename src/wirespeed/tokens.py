"""Identities from JSON Web Tokens (RFC 7519), with the claims that Centrifugo has made common.

``Live(app, authenticate=JWT("a secret of 32 bytes or more"))``. Needs ``pip install "wirespeed[jwt]"``.
"""

import asyncio
import base64
import binascii
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from starlette.requests import HTTPConnection

from .errors import InvalidToken, TokenExpired, TokensUnavailable
from .identity import Grant, Identity

try:
    import jwt
except ImportError as error:  # pragma: no cover - the extra is missing
    raise ImportError('wirespeed.tokens needs PyJWT: pip install "wirespeed[jwt]"') from error

logger = logging.getLogger("wirespeed")

SHORTEST_SECRET = 32
"""Bytes of a secret below which the log warns."""
REFETCH = 10.0
"""Seconds between two requests for a key set, at least, whatever keys tokens name."""
FETCH_TIMEOUT = 5.0
_LEEWAY = 0.0


class JWT:
    """Knows clients by their JSON Web Tokens.

    A connection's token says who its user is, in ``sub``; others are ``exp``, ``info`` or ``b64info``, ``channels`` or
    ``subs``, ``meta`` and ``expire_at``. A subscription's token has the same ``sub``, and ``channel``.

    Args:
        key: A secret, or a public key in PEM; or else ``jwks``.
        algorithms: Those that tokens may be signed with.
        jwks: A set of keys (RFC 7517), or the URL where it is to be had.
        audience: What ``aud`` has to name, if anything.
        issuer: What ``iss`` has to be, if anything.
        anonymous: Whether clients without a token are admitted, with an empty user.
        leeway: Seconds by which clocks may differ.

    Raises:
        ValueError: The arguments do not fit together.
    """

    def __init__(
        self,
        key: str | bytes | None = None,
        *,
        algorithms: Sequence[str] = ("HS256",),
        jwks: str | Mapping[str, Any] | None = None,
        audience: str | Sequence[str] | None = None,
        issuer: str | None = None,
        anonymous: bool = False,
        leeway: float = _LEEWAY,
    ) -> None:
        if (key is None) == (jwks is None):
            raise ValueError("JWT takes either a key or jwks")
        _check_algorithms(algorithms, key)
        self._algorithms = list(algorithms)
        self._anonymous = anonymous
        self._leeway = leeway
        self._claims: dict[str, Any] = {"audience": audience, "issuer": issuer}
        self._keys: _Keys = _OneKey(key) if key is not None else _key_set(jwks)

    async def __call__(self, token: str, connection: HTTPConnection) -> Identity | None:
        """The identity that a connection's token says.

        Args:
            token: The token; empty for none.
            connection: The handshake.

        Returns:
            The identity; None for no token, where one is needed.

        Raises:
            TokenExpired: It was good once.
            InvalidToken: It is anything but good.
            TokensUnavailable: The keys cannot be had now.
        """
        if not token:
            return Identity() if self._anonymous else None
        claims = await self._read(token)
        if "channel" in claims:
            raise InvalidToken("it is a subscription's token")
        return Identity(
            user=_user(claims),
            expires_at=_expiry(claims),
            info=_info(claims),
            subscriptions=_channels(claims),
            meta=claims.get("meta"),
        )

    async def subscription(self, token: str, channel: str, identity: Identity) -> Grant:
        """What a subscription's token grants.

        Args:
            token: The token.
            channel: What the client wants to subscribe to.
            identity: Who the client is.

        Raises:
            TokenExpired: It was good once.
            InvalidToken: It is anything but good, or for another channel or user.
            TokensUnavailable: The keys cannot be had now.
        """
        claims = await self._read(token)
        named = claims.get("channel")
        if not isinstance(named, str) or named.removeprefix("/") != channel.removeprefix("/"):
            raise InvalidToken("it is for another channel")
        if _user(claims) != identity.user:
            raise InvalidToken("it is for another user")
        return Grant(expires_at=_expiry(claims), info=_info(claims))

    async def _read(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature and times are right."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.key(header.get("kid"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of short secrets: said once, when this was made
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    self._algorithms,
                    leeway=self._leeway,
                    options={"verify_aud": self._claims["audience"] is not None, "verify_sub": False},
                    **self._claims,
                )
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (TokensUnavailable, InvalidToken):
            raise
        except Exception as error:  # PyJWT lets some errors of its parts through
            raise InvalidToken(f"{type(error).__name__}: {error}") from None
        return claims


class _Keys:
    """Where the key of a token is found."""

    async def key(self, id_: object) -> Any:
        """The key with an id.

        Raises:
            InvalidToken: There is none.
            TokensUnavailable: The keys cannot be had now.
        """
        raise NotImplementedError


class _OneKey(_Keys):
    def __init__(self, key: str | bytes) -> None:
        self._key = key

    async def key(self, id_: object) -> Any:
        return self._key


class _KeySet(_Keys):
    """A set of keys that is at hand."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        self._by_id = _by_id(keys)

    async def key(self, id_: object) -> Any:
        key = self._found(id_)
        if key is None:
            raise InvalidToken("it is signed with an unknown key")
        return key

    def _found(self, id_: object) -> Any:
        if id_ is None and len(self._by_id) == 1:
            return next(iter(self._by_id.values()))
        return self._by_id.get(id_)


class _FetchedKeySet(_KeySet):
    """A set of keys that is fetched when it is first needed, and when a token names a key that is not in it."""

    def __init__(self, url: str) -> None:
        self._by_id = {}
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, cache_keys=False, timeout=FETCH_TIMEOUT)
        self._fetched = -REFETCH
        self._fetching = asyncio.Lock()

    async def key(self, id_: object) -> Any:
        async with self._fetching:
            if self._found(id_) is None and monotonic() - self._fetched >= REFETCH:
                await self._fetch()
        return await super().key(id_)

    async def _fetch(self) -> None:
        try:
            content = await asyncio.to_thread(self._client.fetch_data)
            self._by_id = _by_id(content)
        except Exception as error:
            raise TokensUnavailable(f"the keys cannot be fetched: {error}") from error
        self._fetched = monotonic()


def _by_id(keys: Any) -> dict[object, Any]:
    """Keys by their ids; those of kinds that nobody knows are left out."""
    return {each.key_id: each.key for each in jwt.PyJWKSet.from_dict(dict(keys)).keys}


def _key_set(jwks: Any) -> _Keys:
    return _FetchedKeySet(jwks) if isinstance(jwks, str) else _KeySet(jwks)


def _check_algorithms(algorithms: Sequence[str], key: str | bytes | None) -> None:
    known = {each for each in jwt.algorithms.get_default_algorithms() if each != "none"}
    if isinstance(algorithms, str) or not algorithms or not known.issuperset(algorithms):
        raise ValueError(f"algorithms are of {', '.join(sorted(known))}, not {algorithms!r}")
    if key is None:
        if any(each.startswith("HS") for each in algorithms):
            raise ValueError("jwks is for public keys: name their algorithms, such as algorithms=['RS256']")
        return
    content = key.encode() if isinstance(key, str) else key
    is_public = content.lstrip().startswith(b"-----BEGIN")
    if any(each.startswith("HS") == is_public for each in algorithms):
        raise ValueError("HS256 and its like want a secret, all others a public key in PEM")
    if not is_public and len(content) < SHORTEST_SECRET:
        logger.warning("JWT: a secret of %d bytes can be guessed; take %d or more.", len(content), SHORTEST_SECRET)


def _user(claims: Mapping[str, Any]) -> str:
    user = claims.get("sub", "")
    if not isinstance(user, str):
        raise InvalidToken("its sub is no string")
    return user


def _expiry(claims: Mapping[str, Any]) -> float | None:
    """When the connection or subscription expires: with the token, unless it says otherwise."""
    expiry = claims.get("expire_at", claims.get("exp"))
    if expiry is None or expiry == 0:
        return None
    if not isinstance(expiry, (int, float)) or isinstance(expiry, bool):
        raise InvalidToken("its expire_at is no number")
    return float(expiry)


def _info(claims: Mapping[str, Any]) -> Any:
    if "b64info" not in claims:
        return claims.get("info")
    try:
        return json.loads(base64.b64decode(claims["b64info"], validate=True))
    except (TypeError, ValueError, binascii.Error, RecursionError):
        raise InvalidToken("its b64info is no JSON in base 64") from None


def _channels(claims: Mapping[str, Any]) -> tuple[str, ...]:
    subs, channels = claims.get("subs") or {}, claims.get("channels") or []
    if not isinstance(subs, dict) or not isinstance(channels, list):
        raise InvalidToken("its channels are no list, or its subs no object")
    named = tuple(dict.fromkeys([*subs, *channels]))
    if not all(isinstance(each, str) for each in named):
        raise InvalidToken("its channels are no strings")
    return named
