"""Tokens identify clients, and anything else in them ends in one of three errors."""

import base64
import importlib
import json
import logging
import sys
import time
from collections.abc import Awaitable
from dataclasses import asdict
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given
from hypothesis import strategies as st

from tests.signing import FAR, HANDSHAKE, PAST, SECRET, b64, hs256, identity, private_key, problem, public_pem, token
from wirespeed import Grant, Identity, InvalidToken, TokenExpired
from wirespeed.tokens import JWT

pytestmark = pytest.mark.anyio

# The identity


async def test_claims_make_the_identity() -> None:
    """Each claim fills its field of the identity. A missing claim leaves the default."""
    subs = {"/a": {}, "/b": {"recover": True}}
    everything = token(sub="ada", exp=FAR, info={"name": "Ada"}, subs=subs, channels=["/b", "/c"], meta=[1])
    assert await identity(everything) == Identity(
        user="ada", expires_at=FAR, info={"name": "Ada"}, subscriptions=("/a", "/b", "/c"), meta=[1]
    )
    assert await identity(token()) == Identity()
    assert await identity(token(subs=None, channels=None, info=None, b64info="", expire_at=None)) == Identity()


async def test_no_token() -> None:
    """A client without a token is anonymous if that is allowed, and is refused otherwise."""
    assert await JWT(SECRET).connect("", HANDSHAKE) is None
    assert await JWT(SECRET, anonymous=True).connect("", HANDSHAKE) == Identity()


async def test_anonymous_does_not_admit_bad_tokens() -> None:
    """A client with a token is judged by it, even if anonymous clients are allowed."""
    assert "Signature" in await problem(hs256("{}", SECRET[::-1]), JWT(SECRET, anonymous=True))


async def test_info_in_base64() -> None:
    """``b64info`` replaces ``info``, with any kind of JSON."""
    encoded = base64.b64encode(b'{"name": "\xc3\x84da"}').decode()
    assert (await identity(token(info=1, b64info=encoded))).info == {"name": "Äda"}


@pytest.mark.parametrize(
    ("claims", "expires_at"),
    [
        ({"exp": FAR}, FAR),
        ({"exp": FAR, "expire_at": FAR + 1}, FAR + 1),
        ({"exp": FAR, "expire_at": 0}, None),
        ({"exp": FAR, "expire_at": None}, FAR),
        ({"expire_at": FAR + 0.5}, FAR + 0.5),
        ({"expire_at": PAST}, PAST),
        ({}, None),
    ],
)
async def test_expire_at_goes_before_exp(claims: dict[str, Any], expires_at: float | None) -> None:
    """A connection or subscription expires with its token, unless the token names another time or none."""
    ticket = token(channel="/a", **claims)
    assert (await identity(token(**claims))).expires_at == expires_at
    assert (await JWT(SECRET).grant(ticket, "/a", Identity())).expires_at == expires_at


# Validity


async def test_times_are_honoured() -> None:
    """A token is valid from ``nbf`` and ``iat`` until ``exp``."""
    with pytest.raises(TokenExpired):
        await identity(token(exp=PAST))
    assert "not yet valid" in await problem(token(nbf=FAR))
    assert "not yet valid" in await problem(token(iat=FAR))
    assert await identity(token(exp=FAR, nbf=PAST, iat=PAST)) == Identity(expires_at=FAR)


async def test_forged_token_has_not_expired() -> None:
    """An old token of another issuer is invalid, not expired: a new one would not help."""
    assert "Signature" in await problem(hs256(f'{{"exp":{PAST}}}', SECRET[::-1]))


async def test_leeway_holds_for_all_times() -> None:
    """Clocks may differ by the leeway. A token that is valid because of it does not make an expired connection."""
    now = int(time.time())
    lenient = JWT(SECRET, leeway=1000.0)
    assert await identity(token(nbf=now + 500, iat=now + 500), lenient) == Identity()
    assert (await identity(token(exp=now - 500), lenient)).expires_at == now + 500
    with pytest.raises(TokenExpired):
        await identity(token(exp=now - 1500), lenient)


async def test_audience_and_issuer() -> None:
    """Audience and issuer must match. A token with an audience is refused if none is configured."""
    ours = JWT(SECRET, audience=["chat", "news"], issuer="login")
    assert await identity(token(aud="news", iss="login"), ours) == Identity()
    assert "Audience" in await problem(token(aud="shop", iss="login"), ours)
    assert "aud" in await problem(token(iss="login"), ours)
    assert "issuer" in await problem(token(aud="chat", iss="other"), ours)
    assert "iss" in await problem(token(aud="chat"), ours)
    assert "audience" in await problem(token(aud="shop"))
    assert await identity(token(iss="anybody")) == Identity()


# Signatures


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        *((f"{family}{bits}", "RSA") for family in ("RS", "PS") for bits in (256, 384, 512)),
        *(("ES256", "SECP256R1"), ("ES384", "SECP384R1"), ("ES512", "SECP521R1"), ("EdDSA", "Ed25519")),
    ],
)
async def test_public_keys(algorithm: str, kind: str) -> None:
    """A token is verified with a public key. If another key signed it, it is invalid."""
    verifier = JWT(public_pem(kind), algorithms=[algorithm])
    signed = jwt.encode({"sub": "ada"}, private_key(kind), algorithm)
    assert (await identity(signed, verifier)).user == "ada"
    head, claims, signature = signed.split(".")
    forged = b64(json.dumps({"sub": "bob"}).encode())
    assert "Signature" in await problem(f"{head}.{forged}.{signature}", verifier)
    assert "alg" in await problem(token(sub="ada"), verifier)
    unsigned = b64(b'{"alg":"none"}')
    assert "alg" in await problem(f"{unsigned}.{claims}.", verifier)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_secrets(algorithm: str) -> None:
    """A token is verified with a secret, given as text or as bytes."""
    signed = jwt.encode({"sub": "ada"}, SECRET, algorithm)
    for key in (SECRET, SECRET.encode()):
        assert (await identity(signed, JWT(key, algorithms=[algorithm]))).user == "ada"
    assert "alg" in await problem(signed, JWT(SECRET, algorithms=[{"HS256": "HS512"}.get(algorithm, "HS256")]))


async def test_tokens_that_are_not_signed_are_refused() -> None:
    """The algorithm "none" is refused, however it is spelled."""
    nones: list[object] = ["none", "None", "NONE", "", None, 0, ["HS256"], {}]
    for none in nones:
        header = json.dumps({"typ": "JWT", "alg": none})
        unsigned = f"{b64(header.encode())}.{b64(b'{}')}."
        assert "alg" in await problem(unsigned)
        assert "alg" in await problem(hs256("{}", header=header))


async def test_public_key_is_never_taken_for_a_secret() -> None:
    """A client cannot use a public key as a secret to sign with."""
    public = public_pem("RSA")
    assert "alg" in await problem(hs256("{}", secret=public), JWT(public, algorithms=["RS256"]))
    for algorithms in (["HS256"], ["RS256", "HS256"], ["HS256", "RS256"]):
        with pytest.raises(ValueError, match="the key is not for HS256"):
            JWT(public, algorithms=algorithms)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "a key or jwks"),
        ({"key": SECRET, "jwks": {"keys": []}}, "a key or jwks"),
        ({"key": ""}, "the key is empty"),
        ({"key": SECRET, "algorithms": ["none"]}, "algorithms must be some of"),
        ({"key": SECRET, "algorithms": []}, "algorithms must be some of"),
        ({"key": SECRET, "algorithms": "HS256"}, "algorithms must be some of"),
        ({"key": SECRET, "algorithms": ["HS257"]}, "algorithms must be some of"),
        ({"key": SECRET, "algorithms": ["RS256"]}, "the key is not for RS256"),
        ({"key": public_pem("SECP256R1"), "algorithms": ["ES256", "RS256"]}, "the key is not for RS256"),
        ({"key": SECRET, "leeway": -1}, "leeway must be a number of seconds"),
        ({"key": SECRET, "leeway": float("nan")}, "leeway must be a number of seconds"),
        ({"jwks": "https://login.example.com/keys"}, "pass their algorithms"),
        ({"jwks": {"keys": []}, "algorithms": ["RS256"]}, "no public key"),
        ({"jwks": "file:///etc/keys", "algorithms": ["RS256"]}, "an https or http URL"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(arguments: dict[str, Any], text: str) -> None:
    """A wrong argument raises when the verifier is made, and no message contains a secret."""
    with pytest.raises(ValueError, match=text) as refused:
        JWT(**arguments)
    assert SECRET not in str(refused.value)


def test_private_key_is_refused() -> None:
    """A private key is refused: a server that only verifies does not need it."""
    pem = private_key("RSA").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="a private one"):
        JWT(pem, algorithms=["RS256"])


async def test_short_secret_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A short secret works. One warning is logged when the verifier is made, and none per token."""
    verifier = JWT("short")
    assert [(each.levelno, "5 bytes" in each.message) for each in caplog.records] == [(logging.WARNING, True)]
    for _ in range(2):
        assert (await identity(hs256('{"sub":"ada"}', "short"), verifier)).user == "ada"
    assert "Signature" in await problem(token(), verifier)
    assert len(caplog.records) == 1
    assert "short" not in caplog.messages[0]


# Bad claims


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ('{"sub":7}', "sub of the token is not a string"),
        ('{"sub":null}', "sub of the token is not a string"),
        (r'{"sub":"\ud800"}', "surrogates"),
        ('{"info":NaN}', "not JSON compliant"),
        ('{"exp":"soon"}', "does not verify"),
        ('{"exp":null}', "does not verify"),
        ('{"exp":Infinity}', "does not verify"),
        (f'{{"exp":"{FAR}"}}', "not a time"),
        ('{"expire_at":"soon"}', "not a time"),
        ('{"expire_at":true}', "not a time"),
        ('{"expire_at":1e300}', "not a time"),
        (f'{{"expire_at":1{"0" * 400}}}', "not a time"),
        ('{"b64info":"%"}', "not JSON in base64"),
        ('{"b64info":"bn%VsbA=="}', "not JSON in base64"),
        ('{"b64info":"bm8="}', "not JSON in base64"),
        ('{"b64info":"TmFO"}', "not JSON in base64"),
        ('{"b64info":7}', "not JSON in base64"),
        (json.dumps({"b64info": base64.b64encode(b"[" * 100_000).decode()}), "not JSON in base64"),
        ('{"channels":"/a"}', "channels is not a list"),
        ('{"channels":[["/a"]]}', "not all strings"),
        ('{"channels":[1]}', "not all strings"),
        ('{"subs":["/a"]}', "subs of the token is not an object"),
        ('{"channel":"/a"}', "for a subscription"),
        ("[]", "must be a json object"),
        ("", "does not verify"),
        (b"\xff", "does not verify"),
        ("[" * 100_000, "does not verify"),
    ],
)
async def test_claims_that_make_no_sense(claims: str | bytes, text: str) -> None:
    """A token with a valid signature may still be wrong."""
    assert text in await problem(hs256(claims))


async def test_problem_is_one_short_line() -> None:
    """A client's text in a token is escaped in the log."""
    header = json.dumps({"alg": "HS256", "crit": ["line\nbreak\x1b" + "x" * 1000]})
    said = await problem(hs256("{}", header=header))
    assert "critical" in said
    assert said.isprintable()
    assert len(said) < 150


# Subscriptions


async def test_subscription_token_grants() -> None:
    """The token gives the expiry and the info of the subscription. Slashes before the channel do not matter."""
    ticket = token(sub="ada", channel="room/1", exp=FAR, info={"role": "host"})
    for channel in ("room/1", "/room/1"):
        grant = await JWT(SECRET).grant(ticket, channel, Identity(user="ada"))
        assert grant == Grant(expires_at=FAR, info={"role": "host"})
    bare = token(channel="/room/1", b64info=base64.b64encode(b"7").decode())
    assert await JWT(SECRET).grant(bare, "room/1", Identity()) == Grant(info=7)


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"sub": "ada", "channel": "/room/2"}, "another channel"),
        ({"sub": "ada", "channel": "/room/1?x=1"}, "another channel"),
        ({"sub": "ada", "channel": "/room/10"}, "another channel"),
        ({"sub": "ada", "channel": 1}, "another channel"),
        ({"sub": "ada"}, "another channel, or for none"),
        ({"sub": "bob", "channel": "/room/1"}, "another user"),
        ({"channel": "/room/1"}, "another user"),
        ({"sub": "ada", "channel": "/room/1", "nbf": FAR}, "not yet valid"),
        ({"sub": "ada", "channel": "/room/1", "expire_at": "x"}, "not a time"),
    ],
)
async def test_subscription_token_for_something_else(claims: dict[str, Any], text: str) -> None:
    """The token is valid for one user and one channel only, and a connection's token is not valid at all."""
    with pytest.raises(InvalidToken, match=text):
        await JWT(SECRET).grant(token(**claims), "/room/1", Identity(user="ada"))


async def test_subscription_token_that_is_old_forged_or_missing() -> None:
    """The token is checked as strictly as that of a connection, also for anonymous clients."""
    verifier = JWT(SECRET, anonymous=True)
    with pytest.raises(TokenExpired):
        await verifier.grant(token(channel="/a", exp=PAST), "/a", Identity())
    for bad in ("", hs256('{"channel":"/a"}', SECRET[::-1])):
        with pytest.raises(InvalidToken, match="does not verify"):
            await verifier.grant(bad, "/a", Identity())


# Any token


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("/a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CLAIMS = [
    "sub",
    "exp",
    "nbf",
    "iat",
    "aud",
    "iss",
    "jti",
    "info",
    "b64info",
    "channels",
    "subs",
    "channel",
    "expire_at",
]
HEADERS = ["alg", "kid", "crit", "b64", "typ"]


async def outcome(call: Awaitable[Identity | Grant | None]) -> Identity | Grant | InvalidToken | TokenExpired | None:
    """Verify a token, and return the result or one of the expected errors."""
    try:
        return await call
    except (InvalidToken, TokenExpired) as error:
        return error


async def check(text: str) -> None:
    """Pass a token to everything that accepts one. The result can be sent or logged."""
    for verifier in (JWT(SECRET), JWT(public_pem("SECP256R1"), algorithms=["ES256"])):
        for call in (verifier.connect(text, HANDSHAKE), verifier.grant(text, "/a", Identity())):
            found = await outcome(call)
            if isinstance(found, Identity | Grant):
                json.dumps(asdict(found), ensure_ascii=False, allow_nan=False).encode()
            elif found is None:
                assert not text
            else:
                assert str(found).isprintable()


@given(st.text(st.characters()) | st.text("ey.-_=J0", max_size=20))
@example("..")
@example("\ud800.\ud800.\ud800")
async def test_any_text_is_a_token_or_one_of_our_errors(text: str) -> None:
    """Any text from a client ends in an identity or an expected error."""
    await check(text)


@given(st.dictionaries(st.sampled_from(HEADERS), JSON), st.dictionaries(st.sampled_from(CLAIMS), JSON))
async def test_any_object_is_a_token_or_one_of_our_errors(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Any claims from an issuer with the key end in an identity or an expected error."""
    await check(hs256(json.dumps(claims), header=json.dumps({"alg": "HS256"} | header)))


# Without PyJWT


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.delitem(sys.modules, "wirespeed.tokens")
    with pytest.raises(ImportError, match=r'pip install "wirespeed\[jwt\]"'):
        importlib.import_module("wirespeed.tokens")
