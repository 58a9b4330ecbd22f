"""The browser client as a file: uncompressed, with gzip, requested again, named by its hash, and missing."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from wirespeed import Live
from wirespeed.live import browser

SCRIPT = "export const connect = () => 'ä';\n" * 100


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that npm has built."""
    path = tmp_path / "wirespeed.js"
    path.write_text(SCRIPT)
    monkeypatch.setattr(browser, "BUILT", path)
    return path


@pytest.fixture
def client(app: FastAPI, live: Live) -> Iterator[TestClient]:
    """Return an HTTP client for it."""
    with TestClient(app) as client:
        yield client


@pytest.mark.usefixtures("built")
def test_served(client: TestClient) -> None:
    """It is a script for pages of any origin, and browsers revalidate it each time."""
    answer = client.get("/live/wirespeed.js", headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.text) == (200, SCRIPT)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "accept-encoding"
    assert "content-encoding" not in answer.headers


@pytest.mark.usefixtures("built")
def test_zipped(client: TestClient) -> None:
    """A client that accepts gzip receives it."""
    with client.stream("GET", "/live/wirespeed.js", headers={"accept-encoding": "br, gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(b"".join(answer.iter_raw())).decode() == SCRIPT


@pytest.mark.usefixtures("built")
def test_asked_again(client: TestClient) -> None:
    """A client that has it receives an empty 304."""
    etag = client.get("/live/wirespeed.js").headers["etag"]
    answer = client.get("/live/wirespeed.js", headers={"if-none-match": f'"other", {etag}'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert client.get("/live/wirespeed.js", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.usefixtures("built")
def test_named_by_its_hash(client: TestClient) -> None:
    """A page that names the hash caches it; another hash does not count."""
    name = client.get("/live/wirespeed.js").headers["etag"].strip('"')
    assert "immutable" in client.get(f"/live/wirespeed.js?v={name}").headers["cache-control"]
    assert client.get("/live/wirespeed.js?v=other").headers["cache-control"] == "no-cache"


def test_built_again(client: TestClient, built: Path) -> None:
    """A file that is built while the server runs is served."""
    before = client.get("/live/wirespeed.js").headers["etag"]
    built.write_text("export {};\n")
    answer = client.get("/live/wirespeed.js")
    assert answer.text == "export {};\n"
    assert answer.headers["etag"] != before


def test_missing(client: TestClient, built: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without the file, its URL and one line of the log say what to install; everything else works."""
    built.unlink()
    browser._warn_once.cache_clear()
    client.get("/live/wirespeed.js")
    answer = client.get("/live/wirespeed.js")
    (message,) = (record.getMessage() for record in caplog.records if record.name == "wirespeed")
    assert "Install Node.js 20 or newer" in message
    assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
    assert "Install Node.js 20 or newer" in answer.text
    assert client.get("/openapi.json").status_code == 200


@pytest.mark.usefixtures("built")
def test_elsewhere() -> None:
    """It is beside the connection, wherever that is."""
    app = FastAPI()
    Live(app, prefix="/connection")
    with TestClient(app) as client:
        assert client.get("/connection/wirespeed.js").status_code == 200
        assert client.get("/live/wirespeed.js").status_code == 404
