"""Tokens signed by one key of a set, and sets that are fetched once for all tokens, and again when that is due."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Semaphore, Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.signing import FAR, SECRET, hs256, identity, private_key, problem
from tests.waiting import PATIENCE
from wirespeed import Identity
from wirespeed.errors import TokensUnavailable
from wirespeed.tokens import FETCH_TIMEOUT, JWT, LIFETIME, REFETCH, RETRY

pytestmark = pytest.mark.anyio

KINDS = {"RSA": "RS256", "SECP256R1": "ES256", "Ed25519": "EdDSA"}


def jwk(kind: str, **fields: Any) -> dict[str, Any]:
    """Return a public key as it is in a set."""
    algorithm = jwt.algorithms.get_default_algorithms()[KINDS[kind]]
    plain: dict[str, Any] = json.loads(algorithm.to_jwk(private_key(kind).public_key()))
    plain.pop("key_ops", None)
    return plain | fields


def signed(kind: str, kid: str | None = None, algorithm: str | None = None, **claims: Any) -> str:
    """Return a token that a key has signed. It names the key if it has an id."""
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims, private_key(kind), algorithm or KINDS[kind], headers)


def of(*keys: dict[str, Any]) -> JWT:
    """Return a verifier with the keys of a set."""
    return JWT(jwks={"keys": list(keys)}, algorithms=[*KINDS.values(), "PS256"])


# A set that is passed


async def test_token_names_its_key() -> None:
    """Each token is verified with the key that it names, and with no other."""
    verifier = of(*(jwk(kind, kid=kind) for kind in KINDS))
    for kind in KINDS:
        assert (await identity(signed(kind, kid=kind, sub=kind), verifier)).user == kind
    assert "does not verify" in await problem(signed("RSA", kid="Ed25519"), verifier)
    assert "not known" in await problem(signed("RSA", kid="another"), verifier)
    assert "names no key" in await problem(signed("RSA"), verifier)
    assert "does not verify" in await problem("no token", verifier)


async def test_token_need_not_name_the_only_key() -> None:
    """With only one key, a token need not name it; but naming another key is wrong."""
    verifier = of(jwk("RSA", kid="1"))
    assert await identity(signed("RSA"), verifier) == Identity()
    assert "not known" in await problem(signed("RSA", kid="2"), verifier)


async def test_keys_of_one_name_are_not_guessed() -> None:
    """If two keys have the same name, no token can name them."""
    verifier = of(jwk("RSA", kid="1"), jwk("Ed25519", kid="1"))
    assert "not known" in await problem(signed("RSA", kid="1"), verifier)


async def test_key_is_held_to_its_algorithm() -> None:
    """A key that names its algorithm is not used for others, even if the verifier allows them."""
    token = signed("RSA", algorithm="PS256", sub="ada")
    assert (await identity(token, of(jwk("RSA")))).user == "ada"
    assert (await identity(token, of(jwk("RSA", alg="PS256")))).user == "ada"
    assert "RS256" in await problem(token, of(jwk("RSA", alg="RS256")))


async def test_only_public_keys_for_signatures_are_taken() -> None:
    """A set may have other keys; they are ignored."""
    secret = {"kty": "oct", "kid": "secret", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}
    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private_key("SECP256R1"))) | {"kid": "private"}
    others: tuple[dict[str, Any], ...] = (
        secret,
        private,
        jwk("RSA", kid="enc", use="enc"),
        jwk("RSA", kty="new"),
        jwk("RSA", n=7),
        {},
    )
    verifier = of(*others, jwk("Ed25519", kid="good", use="sig"))
    assert await identity(signed("Ed25519"), verifier) == Identity()
    for kid in ("secret", "private", "enc"):
        assert "not known" in await problem(signed("RSA", kid=kid), verifier)
    with pytest.raises(ValueError, match="no public key"):
        of(*others)


@pytest.mark.parametrize("algorithms", [["HS256"], ["RS256", "HS256"]])
def test_public_keys_do_not_go_with_secrets(algorithms: list[str]) -> None:
    """A set of public keys is refused as a source of secrets."""
    with pytest.raises(ValueError, match="public keys"):
        JWT(jwks={"keys": [jwk("RSA")]}, algorithms=algorithms)


async def test_short_public_key_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A key that is too short works. One warning is logged when it is read, and none per token."""
    short = rsa.generate_private_key(65537, 1024)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode({"sub": "ada"}, short, "RS256")
    verifier = of(json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(short.public_key())))
    assert (await identity(token, verifier)).user == "ada"
    assert [each.levelno for each in caplog.records] == [logging.WARNING]
    assert "1024" in caplog.messages[0]


# A set that is fetched


class KeyServer(ThreadingHTTPServer):
    """A server of a set of keys that counts its requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _KeyHandler)
        self.content: Any = {"keys": [jwk("RSA", kid="old")]}
        self.status = 200
        self.asked = 0
        self.may_answer = Event()
        self.may_answer.set()
        self.came = Semaphore(0)
        self.endless = self.trickles = False
        self.before = b""
        """Bytes that are sent before a trickle, instead of the head."""
        self.pause = Event()

    @property
    def url(self) -> str:
        """URL of the keys."""
        return f"http://127.0.0.1:{self.server_port}/keys"

    async def request(self) -> None:
        """Wait for a request that was not waited for yet."""
        assert await asyncio.to_thread(self.came.acquire, timeout=PATIENCE)


class _KeyHandler(BaseHTTPRequestHandler):
    server: KeyServer

    def do_GET(self) -> None:
        """Answer, as soon as the test allows it."""
        self.server.asked += 1
        self.server.came.release()
        self.server.may_answer.wait(PATIENCE)
        if self.server.before:
            self.wfile.write(self.server.before)
        else:
            self.send_response(self.server.status)
            self.end_headers()
        with suppress(OSError):
            while self.server.endless:
                self.wfile.write(b" " * 65536)
            while self.server.trickles and not self.server.pause.wait(0.01):
                self.wfile.write(b" ")
            self.wfile.write(json.dumps(self.server.content).encode())

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@contextmanager
def running() -> Iterator[KeyServer]:
    """Run a key server."""
    with KeyServer() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.may_answer.set()
            server.pause.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A running key server."""
    with running() as up:
        yield up


class Clock:
    """A clock that the test controls."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that decides when keys are fetched."""
    clock = Clock()
    monkeypatch.setattr("wirespeed.tokens.monotonic", clock)
    return clock


def fetching(server: KeyServer) -> JWT:
    """Return a verifier with keys that it fetches."""
    return JWT(jwks=server.url, algorithms=list(KINDS.values()))


async def unavailable(token: str, verifier: JWT) -> str:
    """Return the reason why a token cannot be verified now."""
    with pytest.raises(TokensUnavailable) as raised:
        await identity(token, verifier)
    return str(raised.value)


async def test_keys_are_fetched_when_they_are_needed(server: KeyServer) -> None:
    """There is one request for all tokens, and none before the first token."""
    verifier = fetching(server)
    assert "does not verify" in await problem("no token", verifier)
    assert server.asked == 0
    for user in ("ada", "bob"):
        assert (await identity(signed("RSA", kid="old", sub=user), verifier)).user == user
    assert server.asked == 1


async def test_clients_that_come_together_wait_for_one_request(server: KeyServer) -> None:
    """Many tokens at once cause one request, and the event loop keeps running."""
    server.may_answer.clear()
    verifier = fetching(server)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        crowd = [tasks.create_task(identity(signed("RSA", kid="old", sub=f"{n}"), verifier)) for n in range(20)]
        await server.request()
        assert not any(each.done() for each in crowd)
        server.may_answer.set()
    assert [each.result().user for each in crowd] == [f"{n}" for n in range(20)]
    assert server.asked == 1


async def test_new_key_is_found(server: KeyServer, clock: Clock) -> None:
    """A token with an unknown key causes a new request, but not more often than every few seconds."""
    verifier = fetching(server)
    token = signed("Ed25519", kid="new", sub="ada")
    assert "not known" in await problem(token, verifier)
    server.content["keys"].append(jwk("Ed25519", kid="new"))
    clock.now += REFETCH - 0.1
    assert "not known" in await problem(token, verifier)
    assert server.asked == 1
    clock.now += 0.1
    assert (await identity(token, verifier)).user == "ada"
    assert server.asked == 2


async def test_clients_with_known_keys_do_not_wait_for_others(server: KeyServer, clock: Clock) -> None:
    """A client with invented keys does not delay others."""
    verifier = fetching(server)
    good = signed("RSA", kid="old", sub="ada")
    await identity(good, verifier)
    await server.request()
    clock.now += REFETCH
    server.may_answer.clear()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        invented = tasks.create_task(problem(signed("RSA", kid="invented"), verifier))
        await server.request()
        assert (await identity(good, verifier)).user == "ada"
        assert not invented.done()
        server.may_answer.set()
    assert "not known" in invented.result()


async def test_key_that_was_withdrawn_is_forgotten(server: KeyServer, clock: Clock) -> None:
    """Known keys are fetched again after some minutes."""
    verifier = fetching(server)
    token = signed("RSA", kid="old")
    await identity(token, verifier)
    server.content = {"keys": [jwk("Ed25519", kid="new")]}
    clock.now += LIFETIME - 0.1
    await identity(token, verifier)
    assert server.asked == 1
    clock.now += 0.1
    server.may_answer.clear()
    assert await identity(token, verifier) == Identity()
    server.may_answer.set()
    assert "not known" in await problem(signed("Ed25519", kid="new2"), verifier)  # which waits for the request
    assert "not known" in await problem(token, verifier)


async def test_known_keys_do_not_wait(server: KeyServer, clock: Clock) -> None:
    """A token with a known key is verified while old keys are fetched again. There is one request at a time."""
    verifier = fetching(server)
    token = signed("RSA", kid="old", sub="ada")
    await identity(token, verifier)
    server.may_answer.clear()
    for _ in range(3):
        clock.now += LIFETIME
        for _ in range(3):
            assert (await identity(token, verifier)).user == "ada"
    server.may_answer.set()
    await server.request()
    await server.request()
    assert server.asked == 2


async def test_answer_that_does_not_end(server: KeyServer, clock: Clock) -> None:
    """No more than a megabyte of an answer is read."""
    server.endless = True
    assert "more than" in await unavailable(signed("RSA", kid="old"), fetching(server))


@pytest.mark.parametrize(
    "before",
    [b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\nX:", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;"],
    ids=["body", "status", "head", "chunk"],
)
async def test_answer_that_trickles(server: KeyServer, monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    """The answer has one time limit, however often a part of it arrives, and whichever part that is."""
    monkeypatch.setattr("wirespeed.tokens.FETCH_TIMEOUT", 0.2)
    server.trickles, server.before = True, before
    assert "timed out" in await unavailable(signed("RSA", kid="old"), fetching(server))


async def test_known_keys_outlast_their_server(server: KeyServer, clock: Clock) -> None:
    """While keys cannot be fetched, known keys stay valid, and other tokens cannot be verified.

    When they can be fetched again, withdrawn keys are forgotten.
    """
    verifier = fetching(server)
    token = signed("RSA", kid="old", sub="ada", exp=FAR)
    await identity(token, verifier)
    server.status = 503
    clock.now += LIFETIME
    await server.request()
    for _ in range(2):
        assert (await identity(token, verifier)).user == "ada"
    await server.request()
    assert server.asked == 2
    assert "503" in await unavailable(signed("RSA", kid="new"), verifier)
    clock.now += REFETCH
    server.status = 200
    server.content = {"keys": [jwk("RSA", kid="new")]}
    assert (await identity(token, verifier)).user == "ada"
    assert (await identity(signed("RSA", kid="new", sub="bob"), verifier)).user == "bob"
    assert "not known" in await problem(token, verifier)
    assert server.asked == 3


@pytest.mark.parametrize("content", [{}, {"keys": []}, {"keys": 7}, {"keys": [7]}, [], 7, {"keys": [{"kty": "oct"}]}])
async def test_answer_without_keys(server: KeyServer, content: Any) -> None:
    """If a server answers with something else, there are no keys."""
    server.content = content
    assert "cannot be fetched" in await unavailable(signed("RSA"), fetching(server))


async def test_server_that_is_down(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """While the server is down, tokens cannot be verified. Keys are requested again soon, but not for each token."""
    with running() as server:
        verifier = fetching(server)
        server.status = 500
        for _ in range(3):
            assert "500" in await unavailable(signed("RSA", kid="old"), verifier)
        assert server.asked == 1
        clock.now += RETRY
        server.status = 200
        assert await identity(signed("RSA", kid="old"), verifier) == Identity()
        down = fetching(server)
    assert "cannot be fetched" in await unavailable(signed("RSA", kid="old"), down)
    assert [each.levelno for each in caplog.records] == [logging.WARNING] * 2


async def test_server_that_does_not_answer(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request ends after a few seconds."""
    assert 1 <= FETCH_TIMEOUT <= 10
    monkeypatch.setattr("wirespeed.tokens.FETCH_TIMEOUT", 0.05)
    server.may_answer.clear()
    assert "timed out" in await unavailable(signed("RSA", kid="old"), fetching(server))


async def test_forged_token_and_fetched_keys(server: KeyServer) -> None:
    """Neither a public key nor a secret that the server never had can sign."""
    verifier = fetching(server)
    assert "alg" in await problem(hs256("{}", SECRET, '{"alg":"HS256","kid":"old"}'), verifier)
    modulus = str(server.content["keys"][0]["n"])
    assert "alg" in await problem(hs256("{}", modulus, '{"alg":"HS256","kid":"old"}'), verifier)


def test_verifier_is_for_several_event_loops(server: KeyServer, clock: Clock) -> None:
    """An app that is started again, as in tests, uses the same verifier in another event loop."""
    verifier = fetching(server)

    async def crowd() -> list[Identity]:
        server.may_answer.clear()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(identity(signed("RSA", kid="old"), verifier)) for _ in range(3)]
            await server.request()
            server.may_answer.set()
        return [each.result() for each in waiting]

    for _ in range(2):
        clock.now += LIFETIME
        assert asyncio.run(crowd()) == [Identity()] * 3
    assert server.asked == 2
