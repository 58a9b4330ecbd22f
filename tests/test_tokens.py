"""Tokens: what they say is who the client is; whatever else it brings ends in one of three errors."""

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

# Who the client is


async def test_claims_make_the_identity() -> None:
    """Each claim is where it belongs; what is not there has the default."""
    subs = {"/a": {}, "/b": {"recover": True}}
    everything = token(sub="ada", exp=FAR, info={"name": "Ada"}, subs=subs, channels=["/b", "/c"], meta=[1])
    assert await identity(everything) == Identity(
        user="ada", expires_at=FAR, info={"name": "Ada"}, subscriptions=("/a", "/b", "/c"), meta=[1]
    )
    assert await identity(token()) == Identity()
    assert await identity(token(subs=None, channels=None, info=None, b64info="", expire_at=None)) == Identity()


async def test_no_token() -> None:
    """Without a token a client is anonymous if that is admitted, and otherwise nobody."""
    assert await JWT(SECRET).connect("", HANDSHAKE) is None
    assert await JWT(SECRET, anonymous=True).connect("", HANDSHAKE) == Identity()


async def test_anonymous_does_not_admit_bad_tokens() -> None:
    """Who brings a token is held to it."""
    assert "Signature" in await problem(hs256("{}", SECRET[::-1]), JWT(SECRET, anonymous=True))


async def test_info_in_base64() -> None:
    """``b64info`` stands for ``info``, whatever JSON it is."""
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
    """A connection, or subscription, expires with its token, unless the token says when or never."""
    ticket = token(channel="/a", **claims)
    assert (await identity(token(**claims))).expires_at == expires_at
    assert (await JWT(SECRET).grant(ticket, "/a", Identity())).expires_at == expires_at


# When a token is good


async def test_times_are_honoured() -> None:
    """A token is good from ``nbf`` and ``iat`` until before ``exp``."""
    with pytest.raises(TokenExpired):
        await identity(token(exp=PAST))
    assert "not yet valid" in await problem(token(nbf=FAR))
    assert "not yet valid" in await problem(token(iat=FAR))
    assert await identity(token(exp=FAR, nbf=PAST, iat=PAST)) == Identity(expires_at=FAR)


async def test_forged_token_has_not_expired() -> None:
    """An old token of somebody else is invalid: there is no use in asking for a new one."""
    assert "Signature" in await problem(hs256(f'{{"exp":{PAST}}}', SECRET[::-1]))


async def test_leeway_holds_for_all_times() -> None:
    """Clocks may differ; and a token that is good by the leeway does not make a connection that has expired."""
    now = int(time.time())
    lenient = JWT(SECRET, leeway=1000.0)
    assert await identity(token(nbf=now + 500, iat=now + 500), lenient) == Identity()
    assert (await identity(token(exp=now - 500), lenient)).expires_at == now + 500
    with pytest.raises(TokenExpired):
        await identity(token(exp=now - 1500), lenient)


async def test_audience_and_issuer() -> None:
    """They have to be as asked for; a token for a named audience is not for who does not say that it is that."""
    ours = JWT(SECRET, audience=["chat", "news"], issuer="login")
    assert await identity(token(aud="news", iss="login"), ours) == Identity()
    assert "Audience" in await problem(token(aud="shop", iss="login"), ours)
    assert "aud" in await problem(token(iss="login"), ours)
    assert "issuer" in await problem(token(aud="chat", iss="other"), ours)
    assert "iss" in await problem(token(aud="chat"), ours)
    assert "audience" in await problem(token(aud="shop"))
    assert await identity(token(iss="anybody")) == Identity()


# Who has signed it


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        *((f"{family}{bits}", "RSA") for family in ("RS", "PS") for bits in (256, 384, 512)),
        *(("ES256", "SECP256R1"), ("ES384", "SECP384R1"), ("ES512", "SECP521R1"), ("EdDSA", "Ed25519")),
    ],
)
async def test_public_keys(algorithm: str, kind: str) -> None:
    """Tokens are verified with a public key; one that is signed by another key is invalid."""
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
    """Tokens are verified with a secret, given as text or as bytes."""
    signed = jwt.encode({"sub": "ada"}, SECRET, algorithm)
    for key in (SECRET, SECRET.encode()):
        assert (await identity(signed, JWT(key, algorithms=[algorithm]))).user == "ada"
    assert "alg" in await problem(signed, JWT(SECRET, algorithms=[{"HS256": "HS512"}.get(algorithm, "HS256")]))


async def test_tokens_that_are_not_signed_are_refused() -> None:
    """No spelling of "none" gets by."""
    nones: list[object] = ["none", "None", "NONE", "", None, 0, ["HS256"], {}]
    for none in nones:
        header = json.dumps({"typ": "JWT", "alg": none})
        unsigned = f"{b64(header.encode())}.{b64(b'{}')}."
        assert "alg" in await problem(unsigned)
        assert "alg" in await problem(hs256("{}", header=header))


async def test_public_key_is_never_taken_for_a_secret() -> None:
    """A client cannot sign with what everybody knows, as a secret."""
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
        ({"key": SECRET, "algorithms": ["none"]}, "algorithms are some of"),
        ({"key": SECRET, "algorithms": []}, "algorithms are some of"),
        ({"key": SECRET, "algorithms": "HS256"}, "algorithms are some of"),
        ({"key": SECRET, "algorithms": ["HS257"]}, "algorithms are some of"),
        ({"key": SECRET, "algorithms": ["RS256"]}, "the key is not for RS256"),
        ({"key": public_pem("SECP256R1"), "algorithms": ["ES256", "RS256"]}, "the key is not for RS256"),
        ({"key": SECRET, "leeway": -1}, "leeway is in seconds"),
        ({"key": SECRET, "leeway": float("nan")}, "leeway is in seconds"),
        ({"jwks": "https://login.example.com/keys"}, "name their algorithms"),
        ({"jwks": {"keys": []}, "algorithms": ["RS256"]}, "no public key"),
        ({"jwks": "file:///etc/keys", "algorithms": ["RS256"]}, "a URL of https or http"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(arguments: dict[str, Any], text: str) -> None:
    """Whoever configures it learns of a mistake, not its clients; and no message has a secret in it."""
    with pytest.raises(ValueError, match=text) as refused:
        JWT(**arguments)
    assert SECRET not in str(refused.value)


def test_private_key_is_refused() -> None:
    """A server that only verifies has no use for what signs."""
    pem = private_key("RSA").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="a private one"):
        JWT(pem, algorithms=["RS256"])


async def test_short_secret_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A short secret works; the log says at the beginning that it is one, and no token warns."""
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
        ('{"sub":7}', "its sub is no string"),
        ('{"sub":null}', "its sub is no string"),
        (r'{"sub":"\ud800"}', "surrogates"),
        ('{"info":NaN}', "not JSON compliant"),
        ('{"exp":"soon"}', "does not verify"),
        ('{"exp":null}', "does not verify"),
        ('{"exp":Infinity}', "does not verify"),
        (f'{{"exp":"{FAR}"}}', "no time"),
        ('{"expire_at":"soon"}', "no time"),
        ('{"expire_at":true}', "no time"),
        ('{"expire_at":1e300}', "no time"),
        (f'{{"expire_at":1{"0" * 400}}}', "no time"),
        ('{"b64info":"%"}', "no JSON in base 64"),
        ('{"b64info":"bn%VsbA=="}', "no JSON in base 64"),
        ('{"b64info":"bm8="}', "no JSON in base 64"),
        ('{"b64info":"TmFO"}', "no JSON in base 64"),
        ('{"b64info":7}', "no JSON in base 64"),
        (json.dumps({"b64info": base64.b64encode(b"[" * 100_000).decode()}), "no JSON in base 64"),
        ('{"channels":"/a"}', "channels no list"),
        ('{"channels":[["/a"]]}', "no strings"),
        ('{"channels":[1]}', "no strings"),
        ('{"subs":["/a"]}', "subs are no object"),
        ('{"channel":"/a"}', "for a subscription"),
        ("[]", "must be a json object"),
        ("", "does not verify"),
        (b"\xff", "does not verify"),
        ("[" * 100_000, "does not verify"),
    ],
)
async def test_claims_that_make_no_sense(claims: str | bytes, text: str) -> None:
    """A token may be signed by the right key, and be wrong all the same."""
    assert text in await problem(hs256(claims))


async def test_problem_is_one_short_line() -> None:
    """What a client writes into a token does not get into the log as it is."""
    header = json.dumps({"alg": "HS256", "crit": ["line\nbreak\x1b" + "x" * 1000]})
    said = await problem(hs256("{}", header=header))
    assert "critical" in said
    assert said.isprintable()
    assert len(said) < 150


# Subscriptions


async def test_subscription_token_grants() -> None:
    """It says when the subscription expires, and what others see; slashes before the channel do not matter."""
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
        ({"sub": "ada", "channel": "/room/1", "expire_at": "x"}, "no time"),
    ],
)
async def test_subscription_token_for_something_else(claims: dict[str, Any], text: str) -> None:
    """It is good for one user and one channel only, and a connection's token for none."""
    with pytest.raises(InvalidToken, match=text):
        await JWT(SECRET).grant(token(**claims), "/room/1", Identity(user="ada"))


async def test_subscription_token_that_is_old_forged_or_missing() -> None:
    """It is held to what the token of a connection is held to; being anonymous does not help."""
    verifier = JWT(SECRET, anonymous=True)
    with pytest.raises(TokenExpired):
        await verifier.grant(token(channel="/a", exp=PAST), "/a", Identity())
    for bad in ("", hs256('{"channel":"/a"}', SECRET[::-1])):
        with pytest.raises(InvalidToken, match="does not verify"):
            await verifier.grant(bad, "/a", Identity())


# Anything


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
    """What comes of a token, if it is one of those that are foreseen."""
    try:
        return await call
    except (InvalidToken, TokenExpired) as error:
        return error


async def check(text: str) -> None:
    """Gives a token to everything that takes one; what comes of it can be sent, or logged."""
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
    """A client can send what it likes."""
    await check(text)


@given(st.dictionaries(st.sampled_from(HEADERS), JSON), st.dictionaries(st.sampled_from(CLAIMS), JSON))
async def test_any_object_is_a_token_or_one_of_our_errors(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """So can an issuer, who has the key."""
    await check(hs256(json.dumps(claims), header=json.dumps({"alg": "HS256"} | header)))


# Without PyJWT


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not installed the extra is told how to."""
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.delitem(sys.modules, "wirespeed.tokens")
    with pytest.raises(ImportError, match=r'pip install "wirespeed\[jwt\]"'):
        importlib.import_module("wirespeed.tokens")
