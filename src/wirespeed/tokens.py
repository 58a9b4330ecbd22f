"""Identities from JSON Web Tokens (RFC 7519), with the claims that Centrifugo has made common.

``Live(app, authenticate=JWT("a secret of 32 bytes or more"))``. Needs ``pip install "wirespeed[jwt]"``.
"""

import asyncio
import base64
import http.client
import json
import logging
import math
import socket
import threading
import urllib.request
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, Protocol

from starlette.requests import HTTPConnection

from .errors import InvalidToken, TokenExpired, TokensUnavailable
from .identity import Grant, Identity
from .surfaces.authenticator import Authenticator

try:
    import jwt
    from jwt.warnings import InsecureKeyLengthWarning
except ImportError as error:
    raise ImportError('wirespeed.tokens needs PyJWT: pip install "wirespeed[jwt]"') from error

logger = logging.getLogger("wirespeed")

LIFETIME = 300.0
"""Seconds after which a fetched set of keys is fetched again, since a key may have been withdrawn."""
REFETCH = 10.0
"""Seconds between two fetches at least, whatever keys tokens name."""
RETRY = 1.0
"""Seconds between two fetches at least as long as none has succeeded."""
FETCH_TIMEOUT = 5.0
"""Seconds for the answer of the key server, all of it."""
MAX_SET = 1024 * 1024
"""Bytes of a fetched set of keys at most."""

_GRACE = 1.0
"""Seconds by which a token with an unknown key waits longer than its request should take."""
_PART = 64 * 1024


class JWT(Authenticator):
    """Knows clients by their JSON Web Tokens.

    The token of a connection says in ``sub`` who its user is. It may have ``exp``, ``info`` or ``b64info``,
    ``channels`` or ``subs``, ``meta`` and ``expire_at``. The token of a subscription has the same ``sub``, and
    ``channel``; it may have ``exp``, ``info`` or ``b64info``, and ``expire_at``.

    Args:
        key: A secret, or a public key in PEM; or else ``jwks``.
        algorithms: Those that tokens may be signed with.
        jwks: A set of public keys (RFC 7517), or the URL where it is to be had.
        audience: What ``aud`` has to name; a token that has one is refused if there is none.
        issuer: What ``iss`` has to be, if anything.
        anonymous: Whether clients without a token are admitted, with an empty user.
        leeway: Seconds by which the clocks of the issuer and of this process may differ.

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
        leeway: float = 0.0,
    ) -> None:
        if (key is None) == (jwks is None):
            raise ValueError("JWT takes a key or jwks")
        if not 0 <= leeway < math.inf:
            raise ValueError(f"leeway is in seconds, not {leeway!r}")
        _check_algorithms(algorithms)
        self._algorithms = list(algorithms)
        self._audience = audience
        self._issuer = issuer
        self._anonymous = anonymous
        self._leeway = leeway
        self._keys: _Keys = _OneKey(key, algorithms) if key is not None else _public_keys(jwks, algorithms)

    async def connect(self, token: str, connection: HTTPConnection) -> Identity | None:
        """The identity that the token of a connection says.

        Args:
            token: The token; empty for none.
            connection: The handshake.

        Returns:
            The identity; None without a token, if clients need one.

        Raises:
            InvalidToken: It is forged, or for something else.
            TokenExpired: It was good once.
            TokensUnavailable: The keys cannot be had now.
        """
        if not token:
            return Identity() if self._anonymous else None
        claims = await self._read(token)
        if "channel" in claims:
            raise InvalidToken("it is for a subscription")
        return Identity(
            user=_user(claims),
            expires_at=self._expiry(claims),
            info=_info(claims),
            subscriptions=_channels(claims),
            meta=claims.get("meta"),
        )

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        """What the token of a subscription grants.

        Args:
            token: The token.
            channel: What the client wants to subscribe to, with or without a slash before it.
            identity: Who the client is.

        Raises:
            InvalidToken: It is forged, or for another channel or user.
            TokenExpired: It was good once.
            TokensUnavailable: The keys cannot be had now.
        """
        claims = await self._read(token)
        named = claims.get("channel")
        if not isinstance(named, str) or named.removeprefix("/") != channel.removeprefix("/"):
            raise InvalidToken("it is for another channel, or for none")
        if _user(claims) != identity.user:
            raise InvalidToken("it is for another user")
        return Grant(expires_at=self._expiry(claims), info=_info(claims))

    async def _read(self, token: str) -> dict[str, Any]:
        """The claims of a token that was signed by the right key, and is good now."""
        key = await self._keys.find(token)
        try:
            with key.quiet():
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key.value,
                    self._algorithms,
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=self._leeway,
                    options={"verify_sub": False},  # may be missing
                )
            _check_json(claims)
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except Exception as error:  # PyJWT lets some through that are not its own
            raise _not_good(error) from None
        return claims

    def _expiry(self, claims: Mapping[str, Any]) -> float | None:
        """When a connection or subscription expires: with its token, unless that says something else."""
        expiry = claims.get("expire_at")
        if expiry is None:
            expiry = claims.get("exp")
        if expiry is None or expiry == 0:
            return None
        if isinstance(expiry, bool) or not isinstance(expiry, int | float) or abs(expiry) > _LAST_SECOND:
            raise InvalidToken("its exp or expire_at is no time")
        return expiry + self._leeway


class _VerificationKey(NamedTuple):
    """What a signature is verified with.

    Args:
        id: Its name in a set, if it has one.
        value: What PyJWT takes.
        is_short: Whether PyJWT would warn of it with each token; that was logged when the key was read.
    """

    id: object
    value: Any
    is_short: bool

    def quiet(self) -> AbstractContextManager[object]:
        """Keeps PyJWT from warning; of short keys only, since all threads share the filters that this changes."""
        if not self.is_short:
            return nullcontext()
        return warnings.catch_warnings(action="ignore", category=InsecureKeyLengthWarning)


class _Keys(Protocol):
    """Where the key of a token is found."""

    async def find(self, token: str) -> _VerificationKey:
        """The key that a token says it is signed with.

        Raises:
            InvalidToken: It cannot be read, or there is no such key.
            TokensUnavailable: The keys cannot be had now.
        """


class _OneKey:
    """A key for all tokens.

    Args:
        key: A secret, or a public key in PEM.
        algorithms: All that it is for; so a public key is never taken for a secret.

    Raises:
        ValueError: It is not for one of them.
    """

    def __init__(self, key: str | bytes, algorithms: Sequence[str]) -> None:
        if not key:
            raise ValueError("the key is empty")
        short = False
        for name in algorithms:
            algorithm = jwt.algorithms.get_default_algorithms()[name]
            try:
                value = algorithm.prepare_key(key)
            except (jwt.PyJWTError, ValueError, TypeError) as error:
                raise ValueError(f"the key is not for {name}: {error}") from None
            if hasattr(value, "private_bytes"):
                raise ValueError("the key is a private one; keep it with the issuer, and take its public key here")
            short |= _is_short(algorithm, value)
        self._key = _VerificationKey(None, value, short)

    async def find(self, token: str) -> _VerificationKey:
        """See :meth:`_Keys.find`."""
        return self._key


class _KeySet:
    """Keys that tokens name by their id.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: Sequence[_VerificationKey]) -> None:
        self._keys = keys

    async def find(self, token: str) -> _VerificationKey:
        """See :meth:`_Keys.find`; a token may leave the id out if there is but one key."""
        found = self._named(_key_id(token))
        if found is None:
            raise InvalidToken("it names no key, or one that is not known")
        return found

    def _named(self, id_: object) -> _VerificationKey | None:
        found = [each for each in self._keys if id_ is None or each.id == id_]
        return found[0] if len(found) == 1 else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead to keys of anyone; it is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _NotedConnection(http.client.HTTPConnection):
    """A connection that notes its socket."""

    opened: Callable[[socket.socket], None]

    def connect(self) -> None:
        super().connect()
        self.opened(self.sock)


class _NotedTlsConnection(_NotedConnection, http.client.HTTPSConnection):
    """The same for HTTPS."""


class _Cuttable(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Makes the connection of a request, and cuts it: the timeout of a socket is one of silence only."""

    def __init__(self) -> None:
        super().__init__()
        self._socket: socket.socket | None = None
        self.is_cut = False

    def http_open(self, request: Any) -> Any:
        return self.do_open(partial(self._made, _NotedConnection), request)

    def https_open(self, request: Any) -> Any:
        return self.do_open(partial(self._made, _NotedTlsConnection), request)

    def _made(self, kind: type[_NotedConnection], host: str, **options: Any) -> http.client.HTTPConnection:
        connection = kind(host, **options)
        connection.opened = self._opened
        return connection

    def _opened(self, opened: socket.socket) -> None:
        self._socket = opened

    def cut(self) -> None:
        """End the request."""
        self.is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _FetchedKeySet(_KeySet):
    """Keys that are fetched when first needed, when they are old, and when a token names an unknown one.

    A token with a known key never waits: old keys are fetched in the background. While that fails, they stay good.

    Args:
        url: The URL of the set.

    Raises:
        ValueError: It is no URL of HTTP.
    """

    def __init__(self, url: str) -> None:
        super().__init__([])
        if not url.lower().startswith(("https://", "http://")):
            raise ValueError("jwks is a set of keys, or a URL of https or http")
        self._url = url
        self._lock = threading.Lock()
        self._fetching: Future[None] | None = None
        self._asked = -math.inf
        self._problem = "the keys were not fetched yet"

    async def find(self, token: str) -> _VerificationKey:
        """See :meth:`_Keys.find`."""
        id_ = _key_id(token)
        fetching = self._refresh(id_)
        if fetching is not None and self._named(id_) is None:
            await self._fetched(fetching)
        if self._problem and self._named(id_) is None:
            raise TokensUnavailable(self._problem)
        return await super().find(token)

    def _refresh(self, id_: object) -> "Future[None] | None":
        """Begin to fetch the keys if that is due; return the request that goes on, if any."""
        with self._lock:
            if self._fetching is None and self._is_due(id_):
                self._asked = monotonic()
                self._fetching = Future()
                self._fetching.set_running_or_notify_cancel()  # a waiter that leaves does not cancel it for others
                # A thread of its own: it may take long, and does not keep the process from ending.
                threading.Thread(target=self._fetch, args=(self._fetching,), daemon=True).start()
            return self._fetching

    async def _fetched(self, fetching: "Future[None]") -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT + _GRACE):
                await asyncio.wrap_future(fetching)
        except TimeoutError:
            raise TokensUnavailable("the keys cannot be fetched: no answer in time") from None

    def _is_due(self, id_: object) -> bool:
        wait = REFETCH if self._keys else RETRY
        if self._named(id_) and not self._problem:
            wait = LIFETIME
        return monotonic() - self._asked >= wait

    def _fetch(self, fetching: "Future[None]") -> None:
        try:
            self._keys = _read_set(json.loads(self._content()))
            self._problem = ""
        except Exception as error:
            self._problem = f"the keys cannot be fetched: {error}"
            logger.warning("JWT: %s", self._problem)
        finally:
            with self._lock:
                self._fetching = None
            fetching.set_result(None)

    def _content(self) -> bytes:
        """The body of the answer, which is bounded in time and size."""
        connection = _Cuttable()
        timer = threading.Timer(FETCH_TIMEOUT, connection.cut)
        timer.daemon = True
        timer.start()
        try:
            content = _read(urllib.request.build_opener(_NoRedirect(), connection), self._url)
        except Exception as error:
            if connection.is_cut:
                raise TimeoutError("timed out in the middle of the answer") from error
            raise
        finally:
            timer.cancel()
        if connection.is_cut:
            raise TimeoutError("timed out in the middle of the answer")
        return content


def _read(opener: urllib.request.OpenerDirector, url: str) -> bytes:
    content = bytearray()
    with opener.open(url, timeout=FETCH_TIMEOUT) as response:
        while part := response.read1(_PART):
            content += part
            if len(content) > MAX_SET:
                raise ValueError(f"the answer has more than {MAX_SET} bytes")
    return bytes(content)


_LAST_SECOND = 1e12
"""As a Unix time it is far away, yet a number that everything can count with."""


def _check_algorithms(algorithms: Sequence[str]) -> None:
    known = set(jwt.algorithms.get_default_algorithms()) - {"none"}
    if not algorithms or not known.issuperset(algorithms):
        raise ValueError(f"algorithms are some of {', '.join(sorted(known))}, not {algorithms!r}")


def _public_keys(jwks: Any, algorithms: Sequence[str]) -> _Keys:
    if any(name.startswith("HS") for name in algorithms):
        raise ValueError("jwks has public keys: name their algorithms, such as algorithms=['RS256']")
    return _FetchedKeySet(jwks) if isinstance(jwks, str) else _KeySet(_read_set(jwks))


def _read_set(content: Any) -> list[_VerificationKey]:
    """The keys of a set that signatures can be verified with; others may be in it, too (RFC 7517, section 5)."""
    listed = content.get("keys") if isinstance(content, Mapping) else None
    keys = [key for each in listed if (key := _read_key(each))] if isinstance(listed, list) else []
    if not keys:
        raise ValueError("jwks has no public key to verify signatures with")
    return keys


def _read_key(content: Any) -> _VerificationKey | None:
    if not isinstance(content, dict) or content.get("use", "sig") != "sig":
        return None
    if content.get("kty") == "oct" or "d" in content:  # secrets do not belong into a set of public keys
        return None
    try:
        key = jwt.PyJWK(content)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    value = key if content.get("alg") else key.key  # PyJWT holds a token to the algorithm of a PyJWK
    return _VerificationKey(content.get("kid"), value, _is_short(key.Algorithm, key.key))


def _is_short(algorithm: Any, key: Any) -> bool:
    warning = algorithm.check_key_length(key)
    if warning:
        logger.warning("JWT: tokens can be forged: %s", warning)
    return bool(warning)


def _key_id(token: str) -> object:
    try:
        return jwt.get_unverified_header(token).get("kid")
    except Exception as error:
        raise _not_good(error) from None


def _not_good(error: Exception) -> InvalidToken:
    """What is wrong with a token; clients can have their words in it, so they are quoted, and cut."""
    return InvalidToken(f"it does not verify: {str(error)!a:.100}")


def _check_json(claims: Mapping[str, Any]) -> None:
    """Raises ValueError for what Python reads as JSON, and nobody could be sent: NaN, and half of a surrogate pair."""
    json.dumps(claims, allow_nan=False, ensure_ascii=False).encode()


def _user(claims: Mapping[str, Any]) -> str:
    user = claims.get("sub", "")
    if not isinstance(user, str):
        raise InvalidToken("its sub is no string")
    return user


def _info(claims: Mapping[str, Any]) -> Any:
    encoded = claims.get("b64info")
    if not encoded:
        return claims.get("info")
    try:
        info = json.loads(base64.b64decode(encoded, validate=True))
        _check_json({"info": info})
    except (TypeError, ValueError, RecursionError):
        raise InvalidToken("its b64info is no JSON in base 64") from None
    return info


def _channels(claims: Mapping[str, Any]) -> tuple[str, ...]:
    subs, channels = claims.get("subs"), claims.get("channels")
    subs, channels = {} if subs is None else subs, [] if channels is None else channels  # Go writes null for empty
    if not isinstance(subs, dict) or not isinstance(channels, list):
        raise InvalidToken("its subs are no object, or its channels no list")
    if not all(isinstance(each, str) for each in channels):
        raise InvalidToken("its channels are no strings")
    return tuple(dict.fromkeys([*subs, *channels]))
