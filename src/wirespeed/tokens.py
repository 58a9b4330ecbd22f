"""Identities from JSON Web Tokens (RFC 7519), with Centrifugo's claims.

``Live(app, authenticate=JWT("a secret of 32 bytes or more"))``. Install with ``pip install "wirespeed[jwt]"``.
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
from typing import Any, NamedTuple

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
"""Seconds after which a set of keys is fetched again, because a key may have been withdrawn."""
REFETCH = 10.0
"""Minimum seconds between two fetches, even if tokens name unknown keys."""
RETRY = 1.0
"""Minimum seconds between two fetches until one has succeeded."""
FETCH_TIMEOUT = 5.0
"""Seconds for the whole answer of the key server."""
MAX_SET = 1024 * 1024
"""Maximum size of a fetched set of keys, in bytes."""

_GRACE = 1.0
"""Seconds that a token with an unknown key waits beyond the timeout of its request."""
_PART = 64 * 1024


class JWT(Authenticator):
    """Identifies clients by their JSON Web Tokens.

    The token of a connection names its user in ``sub``. It may have ``exp``, ``info`` or ``b64info``, ``channels`` or
    ``subs``, ``meta`` and ``expire_at``. The token of a subscription has the same ``sub``, and ``channel``. It may have
    ``exp``, ``info`` or ``b64info``, and ``expire_at``.

    Args:
        key: A secret, or a public key in PEM. Pass either this or ``jwks``.
        algorithms: Algorithms that tokens may be signed with.
        jwks: A set of public keys (RFC 7517), or its URL.
        audience: Audience that ``aud`` has to name. Without it, a token with ``aud`` is refused.
        issuer: Issuer that ``iss`` has to name; None for any.
        anonymous: True to admit clients without a token, with an empty user.
        leeway: Seconds by which the clocks of the issuer and of this process may differ.

    Raises:
        ValueError: An argument is not valid, or the arguments do not fit together.
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
            raise ValueError("JWT needs either a key or jwks")
        if not 0 <= leeway < math.inf:
            raise ValueError(f"leeway must be a number of seconds from 0 on, not {leeway!r}")
        _check_algorithms(algorithms)
        self._algorithms = list(algorithms)
        self._audience = audience
        self._issuer = issuer
        self._anonymous = anonymous
        self._leeway = leeway
        self._keys: _OneKey | _KeySet = _OneKey(key, algorithms) if key is not None else _public_keys(jwks, algorithms)

    async def connect(self, token: str, connection: HTTPConnection) -> Identity | None:
        if not token:
            return Identity() if self._anonymous else None
        claims = await self._read(token)
        if "channel" in claims:
            raise InvalidToken("the token is for a subscription, not for a connection")
        return Identity(
            user=_user(claims),
            session=_session(claims),
            expires_at=self._expiry(claims),
            info=_info(claims),
            subscriptions=_channels(claims),
            meta=claims.get("meta"),
        )

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        claims = await self._read(token)
        named = claims.get("channel")
        if not isinstance(named, str) or named.removeprefix("/") != channel.removeprefix("/"):
            raise InvalidToken("the token is for another channel, or for none")
        if _user(claims) != identity.user:
            raise InvalidToken("the token is for another user")
        return Grant(expires_at=self._expiry(claims), info=_info(claims))

    async def _read(self, token: str) -> dict[str, Any]:
        """Return the claims of a token, if it was signed by the right key and is valid now."""
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
                    options={"verify_sub": False},  # it may be missing
                )
            _check_json(claims)
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except Exception as error:  # for some tokens, PyJWT raises errors that are not its own
            raise _not_good(error) from None
        return claims

    def _expiry(self, claims: Mapping[str, Any]) -> float | None:
        """Return the time when a connection or subscription expires: with its token, unless ``expire_at`` differs."""
        expiry = claims.get("expire_at")
        if expiry is None:
            expiry = claims.get("exp")
        if expiry is None or expiry == 0:
            return None
        if isinstance(expiry, bool) or not isinstance(expiry, int | float) or abs(expiry) > _LAST_SECOND:
            raise InvalidToken("exp or expire_at of the token is not a time")
        return expiry + self._leeway


class _VerificationKey(NamedTuple):
    """A key that verifies signatures.

    Args:
        id: Its name in a set, if it has one.
        value: The key in the form that PyJWT expects.
        is_short: True if PyJWT would warn about it for each token. That was logged when the key was read.
    """

    id: object
    value: Any
    is_short: bool

    def quiet(self) -> AbstractContextManager[object]:
        """Return a context in which PyJWT does not warn about a short key."""
        if not self.is_short:  # all threads share the filters that the other context changes
            return nullcontext()
        return warnings.catch_warnings(action="ignore", category=InsecureKeyLengthWarning)


class _OneKey:
    """A key for all tokens.

    Args:
        key: A secret, or a public key in PEM.
        algorithms: All algorithms of the key, so that a public key is never used as a secret.

    Raises:
        ValueError: The key does not fit one of the algorithms.
    """

    def __init__(self, key: str | bytes, algorithms: Sequence[str]) -> None:
        if not key:
            raise ValueError("the key is empty: pass a secret or a public key")
        short = False
        for name in algorithms:
            algorithm = jwt.algorithms.get_default_algorithms()[name]
            try:
                value = algorithm.prepare_key(key)
            except (jwt.PyJWTError, ValueError, TypeError) as error:
                raise ValueError(f"the key is not for {name}: {error}") from None
            if hasattr(value, "private_bytes"):
                raise ValueError("the key is a private one: leave it with the issuer, and pass its public key here")
            short |= _is_short(algorithm, value)
        self._key = _VerificationKey(None, value, short)

    async def find(self, token: str) -> _VerificationKey:
        return self._key


class _KeySet:
    """Keys that tokens name by their id."""

    def __init__(self, keys: Sequence[_VerificationKey]) -> None:
        self._keys = keys

    async def find(self, token: str) -> _VerificationKey:
        """Return the key that a token names. A token may omit the id if there is only one key.

        Raises:
            InvalidToken: The token cannot be read, or there is no such key.
            TokensUnavailable: The keys cannot be fetched now.
        """
        found = self._named(_key_id(token))
        if found is None:
            raise InvalidToken("the token names no key, or one that is not known")
        return found

    def _named(self, id_: object) -> _VerificationKey | None:
        found = [each for each in self._keys if id_ is None or each.id == id_]
        return found[0] if len(found) == 1 else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: they could lead to other keys."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _NotedConnection(http.client.HTTPConnection):
    """A connection that reports its socket."""

    opened: Callable[[socket.socket], None]

    def connect(self) -> None:
        super().connect()
        self.opened(self.sock)


class _NotedTlsConnection(_NotedConnection, http.client.HTTPSConnection):
    """An HTTPS connection that reports its socket."""


class _Cuttable(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Makes the connection of a request, and can cut it. The timeout of a socket only covers times of silence."""

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
    """Keys that are fetched when they are first needed, when they are old, and when a token names an unknown one.

    A token with a known key never waits: old keys are fetched again in the background, and stay valid if that fails.

    Args:
        url: URL of the set.

    Raises:
        ValueError: It is not an HTTP or HTTPS URL.
    """

    def __init__(self, url: str) -> None:
        super().__init__([])
        if not url.lower().startswith(("https://", "http://")):
            raise ValueError("jwks must be a set of keys, or an https or http URL")
        self._url = url
        self._lock = threading.Lock()
        self._fetching: Future[None] | None = None
        self._asked = -math.inf
        self._problem = "the keys have not been fetched yet"

    async def find(self, token: str) -> _VerificationKey:
        id_ = _key_id(token)
        # Looked up first: the request runs in a thread, and may have withdrawn the key before this function goes on.
        known = self._named(id_)
        fetching = self._refresh(id_)
        if known is not None:
            return known
        if fetching is not None:
            await self._fetched(fetching)
        if self._problem and self._named(id_) is None:
            raise TokensUnavailable(self._problem)
        return await super().find(token)

    def _refresh(self, id_: object) -> "Future[None] | None":
        """Start to fetch the keys if that is due. Return the current request, if there is one."""
        with self._lock:
            if self._fetching is None and self._is_due(id_):
                self._asked = monotonic()
                self._fetching = Future()
                self._fetching.set_running_or_notify_cancel()  # so that one waiter cannot cancel it for the others
                # A daemon thread: the request may take long, and must not keep the process from ending.
                threading.Thread(target=self._fetch, args=(self._fetching,), daemon=True).start()
            return self._fetching

    async def _fetched(self, fetching: "Future[None]") -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT + _GRACE):
                await asyncio.wrap_future(fetching)
        except TimeoutError:
            raise TokensUnavailable("the keys cannot be fetched: the key server did not answer in time") from None

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
        """Return the body of the answer, within bounds of time and size."""
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
"""Unix time in the far future that is still small enough for all arithmetic."""


def _check_algorithms(algorithms: Sequence[str]) -> None:
    known = set(jwt.algorithms.get_default_algorithms()) - {"none"}
    if not algorithms or not known.issuperset(algorithms):
        raise ValueError(f"algorithms must be some of {', '.join(sorted(known))}, not {algorithms!r}")


def _public_keys(jwks: Any, algorithms: Sequence[str]) -> _KeySet:
    if any(name.startswith("HS") for name in algorithms):
        raise ValueError("jwks has public keys: pass their algorithms, such as algorithms=['RS256']")
    return _FetchedKeySet(jwks) if isinstance(jwks, str) else _KeySet(_read_set(jwks))


def _read_set(content: Any) -> list[_VerificationKey]:
    """Return the keys of a set that verify signatures. It may have other keys, too (RFC 7517, section 5)."""
    listed = content.get("keys") if isinstance(content, Mapping) else None
    keys = [key for each in listed if (key := _read_key(each))] if isinstance(listed, list) else []
    if not keys:
        raise ValueError("jwks has no public key to verify signatures with")
    return keys


def _read_key(content: Any) -> _VerificationKey | None:
    if not isinstance(content, dict) or content.get("use", "sig") != "sig":
        return None
    if content.get("kty") == "oct" or "d" in content:  # secrets do not belong in a set of public keys
        return None
    try:
        key = jwt.PyJWK(content)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    value = key if content.get("alg") else key.key  # for a PyJWK, PyJWT accepts only its algorithm
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
    """Return the error for a token that does not verify. It may contain text of the client: quote and cut it."""
    return InvalidToken(f"the token does not verify: {str(error)!a:.100}")


def _check_json(claims: Mapping[str, Any]) -> None:
    """Raise ValueError for what Python accepts as JSON but no client does: NaN, and half a surrogate pair."""
    json.dumps(claims, allow_nan=False, ensure_ascii=False).encode()


def _user(claims: Mapping[str, Any]) -> str:
    user = claims.get("sub", "")
    if not isinstance(user, str):
        raise InvalidToken("sub of the token is not a string")
    return user


def _session(claims: Mapping[str, Any]) -> str:
    session = claims.get("sid", "")
    if not isinstance(session, str):
        raise InvalidToken("sid of the token is not a string")
    return session


def _info(claims: Mapping[str, Any]) -> Any:
    encoded = claims.get("b64info")
    if not encoded:
        return claims.get("info")
    try:
        info = json.loads(base64.b64decode(encoded, validate=True))
        _check_json({"info": info})
    except (TypeError, ValueError, RecursionError):
        raise InvalidToken("b64info of the token is not JSON in base64") from None
    return info


def _channels(claims: Mapping[str, Any]) -> tuple[str, ...]:
    subs, channels = claims.get("subs"), claims.get("channels")
    subs, channels = {} if subs is None else subs, [] if channels is None else channels  # Go writes null for empty
    if not isinstance(subs, dict) or not isinstance(channels, list):
        raise InvalidToken("subs of the token is not an object, or channels is not a list")
    if not all(isinstance(each, str) for each in channels):
        raise InvalidToken("channels of the token are not all strings")
    return tuple(dict.fromkeys([*subs, *channels]))
