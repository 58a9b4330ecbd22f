"""The route of the AsyncAPI document: revalidation, compression, the address of the server, and apps without it."""

import gzip
from collections.abc import Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.testclient import TestClient

from wirespeed import Console, Live
from wirespeed.asyncapi import document

PATH = "/live/asyncapi.json"


@pytest.fixture
def client(app: FastAPI, live: Live) -> Iterator[TestClient]:
    """Return an HTTP client for an app with a topic."""
    live.topic("/news", str, description="Nücht wenig.")
    with TestClient(app, base_url="http://example.com:81") as client:
        yield client


def test_served(app: FastAPI, client: TestClient) -> None:
    """Pages of any origin can read it, and caches revalidate it each time."""
    answer = client.get(PATH, headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.json()) == (200, document(app, server="http://example.com:81"))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "accept-encoding, host"
    assert "content-encoding" not in answer.headers
    assert client.head(PATH).content == b""
    assert PATH not in app.openapi()["paths"]


def test_zipped(client: TestClient) -> None:
    """A client that accepts gzip receives it."""
    with client.stream("GET", PATH, headers={"accept-encoding": "br, gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert "Nücht wenig." in gzip.decompress(b"".join(answer.iter_raw())).decode()


def test_asked_again(client: TestClient, live: Live) -> None:
    """A client that has it receives an empty 304, until a definition is added."""
    etag = client.get(PATH).headers["etag"]
    again = {"if-none-match": f'"other", {etag}'}
    answer = client.get(PATH, headers=again)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    live.topic("/more", str)
    assert "more" in client.get(PATH, headers=again).json()["channels"]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("other", "other"),
        ("[::1]:8000", "[::1]:8000"),
        ("a/b", "localhost"),
        ("", "localhost"),
        ("x" * 300, "localhost"),
    ],
)
def test_host(client: TestClient, host: str, shown: str) -> None:
    """The servers have the host that the client asked for, if it can be one."""
    assert client.get(PATH, headers={"host": host}).json()["servers"]["http"]["host"] == shown


def test_many_hosts(app: FastAPI, client: TestClient) -> None:
    """Documents for many hosts push each other out, and each client receives its own."""
    for _ in range(2):
        for number in range(12):
            host = f"host{number}"
            assert client.get(PATH, headers={"host": host}).json()["servers"]["http"]["host"] == host
    assert len(app.state.wirespeed_documents._made.ready) == 8


def test_behind_a_proxy(app: FastAPI, live: Live) -> None:
    """The servers have the path below which a proxy serves the app, and TLS if clients use it."""
    with TestClient(app, base_url="https://example.com", root_path="/api") as proxied:
        servers = proxied.get(PATH).json()["servers"]
    assert servers["websocket"] == {"host": "example.com", "protocol": "wss", "pathname": "/api"}
    assert servers["multiplexed"]["pathname"] == "/api/live/websocket"


def test_mounted(app: FastAPI, client: TestClient) -> None:
    """A mounted app has a document of its own, with the path where it is mounted; the outer app's is without it."""
    inner = FastAPI()
    Live(inner).topic("/inside", str)
    app.mount("/sub", inner)
    found = client.get(f"/sub{PATH}").json()
    assert (list(found["channels"]), found["servers"]["http"]["pathname"]) == (["inside"], "/sub")
    assert list(client.get(PATH).json()["channels"]) == ["news"]


def test_app_without_openapi() -> None:
    """An app that shows no OpenAPI document shows no AsyncAPI document."""
    app = FastAPI(openapi_url=None)
    Live(app)
    with TestClient(app) as client:
        assert client.get(PATH).status_code == 404


def test_app_without_prefix(app: FastAPI) -> None:
    """Without a prefix there is no route."""
    Live(app, prefix=None)
    with TestClient(app) as client:
        assert client.get(PATH).status_code == 404


def test_guarded() -> None:
    """The console's dependencies guard it, too; the feeds of the console are not described."""

    def guard(x_key: Annotated[str, Header()] = "") -> None:
        if x_key != "right":
            raise HTTPException(403)

    app = FastAPI()
    Live(app, console=Console(dependencies=[Depends(guard)]))
    with TestClient(app) as client:
        assert client.get(PATH).status_code == 403
        answer = client.get(PATH, headers={"x-key": "right"})
        assert (answer.status_code, answer.json()["channels"]) == (200, {})
        app.dependency_overrides[guard] = lambda: None
        assert client.get(PATH).status_code == 200
