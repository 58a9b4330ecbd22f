"""The page of the console: when it is there, who gets it, its files and their headers."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketException
from fastapi.security import OAuth2PasswordBearer
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection, Request

from tests.live.console.watching import ADMIN, admin
from wirespeed import Console, DeclarationError, Live
from wirespeed.live.console import page

GUARDED = Console(dependencies=[Depends(admin)])


@pytest.fixture(autouse=True)
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder with the page that npm has built."""
    folder = tmp_path / "console"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>console</title>")
    (folder / "console.js").write_text("// the page\n" * 100)
    (folder / "notes.txt").write_text("not for pages")
    (folder / ".hidden.js").write_text("not for pages")
    (tmp_path / "secret.js").write_text("no")
    monkeypatch.setattr(page, "STATIC", folder)
    return folder


@pytest.fixture
def client() -> Iterator[TestClient]:
    """Return a client of an app in debug mode."""
    app = FastAPI(debug=True)
    Live(app)
    with TestClient(app) as client:
        yield client


CASES: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, Any], str, int]] = {
    # name: arguments of FastAPI, environment, arguments of Live, what the log says, its level
    "production": ({}, {}, {}, "off: it has no dependencies", logging.INFO),
    "no dependencies": ({}, {}, {"console": Console()}, "off: it has no dependencies", logging.WARNING),
    "debug": ({"debug": True}, {}, {}, "on at /live/: open to everyone", logging.WARNING),
    "fastapi dev": ({}, {"FASTAPI_ENV": "development"}, {}, "on at /live/: open to everyone", logging.WARNING),
    "another environment": ({}, {"FASTAPI_ENV": "staging"}, {}, "off: it has no dependencies", logging.INFO),
    "switched on": ({}, {"WIRESPEED_CONSOLE": "1"}, {}, "on at /live/: open to everyone", logging.WARNING),
    "switched off": ({"debug": True}, {"WIRESPEED_CONSOLE": "0"}, {}, "off: WIRESPEED_CONSOLE=0", logging.INFO),
    "guarded": ({}, {}, {"console": GUARDED}, "on at /live/: its dependencies guard it", logging.INFO),
    "guarded, off": ({}, {"WIRESPEED_CONSOLE": "0"}, {"console": GUARDED}, "off: WIRESPEED_CONSOLE=0", logging.INFO),
    "left out": ({"debug": True}, {"WIRESPEED_CONSOLE": "1"}, {"console": None}, "off: Live(app, con", logging.INFO),
    "without prefix": ({"debug": True}, {}, {"prefix": None}, "off: Live(app, prefix=None)", logging.INFO),
}


@pytest.mark.parametrize("case", CASES)
def test_when_it_is_on(case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is on with dependencies, or in development; the log says so, and why."""
    options, environment, arguments, line, level = CASES[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = FastAPI(**options)
    Live(app, **arguments)
    with caplog.at_level(logging.INFO, "wirespeed"), TestClient(app, follow_redirects=False) as client:
        found = {client.get(path, headers=ADMIN).status_code != 404 for path in ("/live", "/live/")}
    assert found == {line.startswith("on")}
    (record,) = [each for each in caplog.records if each.message.startswith("The console is")]
    assert line in record.message
    assert record.levelno == level


def test_unknown_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch is 0 or 1: a guess at another text could open it."""
    monkeypatch.setenv("WIRESPEED_CONSOLE", "yes")
    with pytest.raises(ValueError, match="WIRESPEED_CONSOLE must be 0 or 1, not 'yes'"):
        Live(FastAPI())


def test_options_without_a_prefix() -> None:
    """A console that was asked for needs a place."""
    with pytest.raises(ValueError, match="console needs a prefix"):
        Live(FastAPI(), console=Console(), prefix=None)


ADDRESSES = {"/live": 307, "/live/": 200, "/live/console/console.js": 200, "/live/console/missing.js": 404}


@pytest.mark.parametrize("path", ADDRESSES)
def test_guarded(app: FastAPI, path: str) -> None:
    """Its dependencies guard everything, whether it exists or not."""
    Live(app, console=GUARDED)
    with TestClient(app, follow_redirects=False) as client:
        refused = client.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Basic")
        assert client.get(path, headers=ADMIN).status_code == ADDRESSES[path]


def test_other_guards(app: FastAPI) -> None:
    """Cookies, bearer tokens, overrides of dependencies and refusals made for WebSockets work for requests, too."""

    def signed_in(connection: HTTPConnection) -> None:
        if connection.cookies.get("session") != "good":
            raise WebSocketException(1008, "sign in first")

    def ruled_out() -> None:
        raise AssertionError

    def bearer(token: Annotated[str, Depends(OAuth2PasswordBearer("token"))]) -> str:
        return token

    app.dependency_overrides[ruled_out] = lambda: None
    Live(app, console=Console(dependencies=[Depends(signed_in), Depends(ruled_out), Depends(bearer)]))
    with TestClient(app, cookies={"session": "good"}, headers={"authorization": "Bearer t"}) as client:
        assert client.get("/live/").status_code == 200
        client.cookies.clear()
        refused = client.get("/live/")
        assert (refused.status_code, refused.json()["detail"]) == (403, "sign in first")
        assert client.get("/live/asyncapi.json").status_code == 403
        assert client.post("/live/console/disconnect", json={"process": "a", "id": "1"}).status_code == 403


def takes_request(request: Request) -> None: ...


def takes_websocket(websocket: WebSocket) -> None: ...


def behind(guard: Any) -> Any:
    """Return a dependency that depends on another one."""

    def outer(inner: Annotated[None, Depends(guard)]) -> None: ...

    return outer


@pytest.mark.parametrize("guard", [takes_request, takes_websocket])
def test_guards_that_cannot_work(guard: Any) -> None:
    """A dependency that takes a request or a WebSocket could not guard both the page and its data."""
    with pytest.raises(DeclarationError, match="HTTPConnection"):
        Console(dependencies=[Depends(guard)])
    with pytest.raises(DeclarationError, match="HTTPConnection"):
        Console(dependencies=[Depends(behind(guard))])
    with pytest.raises(DeclarationError, match="is not a dependency"):
        Console(dependencies=[guard])


def test_page(client: TestClient) -> None:
    """The page may load its own files and talk to its own server, and nothing else may happen in it."""
    answer = client.get("/live/")
    assert (answer.status_code, answer.text) == (200, "<!doctype html><title>console</title>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert client.head("/live/").status_code == 200


def test_files(client: TestClient, static: Path) -> None:
    """Its files are of known types, in one folder; browsers revalidate them."""
    answer = client.get("/live/console/console.js")
    assert answer.text == "// the page\n" * 100
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    etag = answer.headers["etag"]
    assert client.get("/live/console/console.js", headers={"if-none-match": etag}).status_code == 304
    (static / "console.js").write_text("// built again")
    assert client.get("/live/console/console.js", headers={"if-none-match": etag}).text == "// built again"
    strange = "..%2Fsecret.js", "%2e%2e%2fsecret.js", "..\\secret.js", ".js", ".hidden.js", "a/b.js", "x" * 500 + ".js"
    for name in ("notes.txt", "index.html", *strange):
        assert client.get(f"/live/console/{name}").status_code == 404, name


def test_missing(client: TestClient, static: Path) -> None:
    """Without a built page, the answer says what to install."""
    (static / "index.html").unlink()
    answer = client.get("/live/")
    assert answer.status_code == 503
    assert "Install Node.js" in answer.text


@pytest.mark.parametrize("root", ["", "/api"])
def test_redirect(root: str) -> None:
    """The address without a slash leads to the page, also behind a proxy that removes the beginning of the path."""
    app = FastAPI(debug=True)
    Live(app, prefix="/deep/live")
    with TestClient(app, follow_redirects=False, root_path=root) as client:
        answer = client.get("/deep/live")
        assert (answer.status_code, answer.headers["location"]) == (307, "live/")


def test_own_route_wins() -> None:
    """A route of the app on the same path answers, wherever it is declared."""
    app = FastAPI(debug=True)
    Live(app)

    @app.get("/live/")
    def own() -> str:
        return "own"

    with TestClient(app) as client:
        assert client.get("/live/").json() == "own"
        assert client.get("/live/console/console.js").status_code == 200


def test_mounted_and_guarded_app() -> None:
    """A mounted app has its console below its own path, and the app's own dependencies guard it, too."""
    inner = FastAPI(debug=True, dependencies=[Depends(admin)])
    Live(inner)
    app = FastAPI()
    app.mount("/inner", inner)
    with TestClient(app) as client:
        assert client.get("/inner/live/").status_code == 401
        assert client.get("/inner/live/", headers=ADMIN).status_code == 200
        assert client.get("/live/").status_code == 404


def test_not_in_openapi(client: TestClient) -> None:
    """OpenAPI shows nothing of it."""
    assert client.get("/openapi.json").json()["paths"] == {}


def test_long_headers(client: TestClient) -> None:
    """Requests with long headers are refused."""
    assert client.get("/live/", headers={"x-long": "x" * 70_000}).status_code == 431
