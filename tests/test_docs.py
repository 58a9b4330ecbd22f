"""The documentation: its examples run and do what the text says, and its links resolve.

A page's examples are files: each is added to the one that its title names, or to ``main.py``.
"""

import asyncio
import gc
import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient

from tests.brokers.valkey import Valkey
from tests.processes import Process
from tests.test_publisher import is_known
from tests.waiting import PATIENCE, until
from wirespeed import Publisher, Settings
from wirespeed.testing import Closed, HandshakeRefused, WebSocketClient, connect, lifespan

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "web/README.md")
)
EXAMPLE = re.compile(r'^```python(?: title="(?P<file>\w+\.py)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PICTURE = re.compile(r'<(?:img|source)\b[^>]*\bsrc(?:set)?="([^"]+)"')

Load = Callable[..., Any]


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text()


def examples(page: str) -> dict[str, str]:
    """Return the files that the examples of a page make."""
    files: dict[str, str] = {}
    for example in EXAMPLE.finditer(read(page)):
        file = example["file"] or "main.py"
        files[file] = files.get(file, "") + example["code"]
    return files


def headings(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", FENCED.sub("", read(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


WITH_EXAMPLES = [page for page in PAGES if examples(page)]
WITH_TESTS = [page for page in WITH_EXAMPLES if any(file.startswith("test_") for file in examples(page))]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Write the examples of a page into an empty folder, change to it, and import one of the files."""

    def load(page: str, file: str = "main.py") -> Any:
        for name, code in examples(page).items():
            (tmp_path / name).write_text(code)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(file.removesuffix(".py"))

    yield load
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    logging.getLogger("wirespeed").setLevel(logging.NOTSET)


async def receive(client: WebSocketClient, count: int) -> list[Any]:
    """Return the next messages as JSON."""
    return [await client.receive_json() for _ in range(count)]


async def close_code(client: WebSocketClient) -> int:
    """Return the code with which the app closes the connection."""
    with pytest.raises(Closed) as closed:
        await client.receive()
    return closed.value.code


async def refusal(app: Any, path: str, **headers: str) -> HandshakeRefused:
    """Return the app's refusal of a connection."""
    with pytest.raises(HandshakeRefused) as refused:
        async with connect(app, path, headers=headers):
            pass
    return refused.value


# All pages


@pytest.mark.parametrize("page", PAGES)
def test_every_example_is_found(page: str) -> None:
    """No Python example escapes the tests because of its fence."""
    assert len(re.findall(r"```\s*py", read(page))) == len(EXAMPLE.findall(read(page)))


@pytest.mark.parametrize(("page", "file"), [(page, file) for page in WITH_EXAMPLES for file in examples(page)])
def test_examples_run(load: Load, page: str, file: str) -> None:
    """Each example can be imported as it stands, from the top of the page."""
    load(page, file)


@pytest.mark.parametrize("page", WITH_TESTS)
def test_tests_that_are_shown_pass(tmp_path: Path, page: str) -> None:
    """A test in the documentation passes under pytest, with the files of its page only."""
    for name, code in examples(page).items():
        (tmp_path / name).write_text(code)
    unasserted = "ignore::pytest.PytestAssertRewriteWarning"  # anyio's own assertions: the fork server has imported it
    command = ["pytest", "-q", "-W", "error", "-W", unasserted, "-p", "no:cacheprovider", str(tmp_path)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        ended = Process(command, tmp_path, os.environ, output).wait(PATIENCE)
    assert ended == 0, log.read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Files, pictures and headings that a page links to exist."""
    text = FENCED.sub("", read(page))
    for link in [*LINK.findall(text), *PICTURE.findall(text)]:
        if link.startswith(("http://", "https://")):
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not heading or heading in headings(target.resolve().relative_to(ROOT).as_posix()), link


def test_index_names_every_page() -> None:
    """The index of docs/ links to all pages in it."""
    linked = {f"docs/{link}" for link in LINK.findall(read("docs/README.md"))}
    assert [page for page in PAGES if page.startswith("docs/") and page not in linked] == ["docs/README.md"]


# The results of the examples


async def test_tutorial(load: Load, tmp_path: Path) -> None:
    """The page is served, and running jobs are listed."""
    (tmp_path / "index.html").write_text("the page")
    app = load("docs/tutorial.md").app
    client = TestClient(app)
    assert (client.get("/").text, client.get("/running").json()) == ("the page", [])
    async with connect(app, "/work") as socket:
        await socket.send_json({"name": "tea", "steps": 1000})
        await socket.receive_json()
        assert client.get("/running").json() == ["tea"]


async def test_guards(load: Load) -> None:
    """Users see their own orders; others are refused with a status, before or during the run."""
    app = load("docs/how-to/guard-a-stream.md").app
    async with connect(app, "/orders/ada", headers={"cookie": "session=s3cret"}) as client:
        assert await client.receive_json() == {"owner": "ada", "number": 1}
    assert (await refusal(app, "/orders/ada")).status == 401
    assert (await refusal(app, "/orders/ada", cookie="session=t0ken")).json() == {
        "detail": "These are not your orders."
    }
    async with connect(app, "/quota") as client:
        assert await client.receive() == "1"
        assert await close_code(client) == 4001
    async with connect(app, "/vault") as client:
        assert await receive(client, 2) == [1, {"error": {"code": 403, "message": "The rest is not for you."}}]
        assert await close_code(client) == 1008


async def test_logout(load: Load) -> None:
    """A logout ends what the session has begun, and a client that returns is refused."""
    app = load("docs/how-to/end-access.md").app
    async with lifespan(app), AsyncClient(transport=ASGITransport(app), base_url="http://testserver") as http:
        session = (await http.post("/login/ada")).json()
        cookie = {"cookie": f"session={session}"}
        async with connect(app, "/orders/ada", headers=cookie) as client:
            assert (await http.post("/logout", headers=cookie)).json() == 1
            assert (await client.receive_json())["error"]["code"] == 403
        with pytest.raises(HandshakeRefused) as refused:
            async with connect(app, "/orders/ada", headers=cookie):
                pass
        assert refused.value.status == 401


async def test_origins(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """Named origins and loopback names connect; another is refused with the line that the page shows."""
    app = load("docs/how-to/admit-other-origins.md").app
    for origin, host in (("https://app.example.com", "testserver"), ("http://localhost:3000", "127.0.0.1:8000")):
        async with connect(app, "/prices", headers={"origin": origin, "host": host}) as client:
            assert await client.receive() == "100"
    assert (await refusal(app, "/prices", origin="https://app.example.org", host="api.example.com")).status == 403
    shown = read("docs/how-to/admit-other-origins.md")
    said = caplog.messages[-1].replace("example.org", "example.com").replace("testserver", "api.example.com")
    assert said in shown


async def test_newest_message(load: Load) -> None:
    """A message cancels the previous run; an invalid one is answered and cancels nothing."""
    app = load("docs/how-to/newest-message-wins.md").app
    async with connect(app, "/search") as client:
        await client.send_text("b")
        await client.send_text("ad")
        await client.send_text("x" * 101)
        error, *hits = await receive(client, 3)
        assert error["error"]["code"] == 422
        assert hits == [{"query": "ad", "name": "ada"}, {"query": "ad", "name": "adele"}]


async def test_duplex(load: Load) -> None:
    """Messages are echoed; ticks continue while their interval is changed."""
    app = load("docs/how-to/talk-both-ways.md").app
    async with connect(app, "/echo") as client:
        await client.send_json({"text": "hi"})
        assert await client.receive() == "hi"
    async with connect(app, "/ticks") as client:
        await client.send_json({"interval": 0.001})
        assert await receive(client, 3) == [1, 2, 3]
        await client.send_json({"interval": 0})
        while not isinstance(seen := await client.receive_json(), dict):
            pass
        assert seen["error"]["code"] == 422


async def test_http(load: Load) -> None:
    """The output of curl is as shown, and errors are as in the table."""
    client = TestClient(load("docs/how-to/use-http.md").app)
    shown = read("docs/how-to/use-http.md")
    assert client.post("/work", json={"name": "tea", "steps": 2}).text in shown
    assert client.post("/shout", content="hello world").text in shown
    assert client.post("/shout", content="hello", headers={"accept": "text/event-stream"}).text in shown
    refused = client.post("/work", json={"name": "tea", "steps": 2000})
    assert (refused.status_code, client.post("/work", json={}).status_code) == (409, 422)
    assert client.post("/inside").status_code == 404


async def test_calls(load: Load) -> None:
    """The output of the WebSocket and of curl is as shown, in order."""
    app = load("docs/how-to/call-a-function.md").app
    shown = read("docs/how-to/call-a-function.md")
    async with connect(app, "/order") as client:
        for count in (1, 9):
            await client.send_json({"item": "tea", "count": count})
            assert f"< {await client.receive_text()}\n" in shown
    http = TestClient(app)
    assert f"\n{http.post('/order', json={'item': 'tea', 'count': 1}).text}\n" in shown
    assert f"\n{http.post('/shout', content='hello').text}\n" in shown
    assert http.post("/order", json={"item": "tea", "count": 9}).status_code == 409


def test_openapi(load: Load) -> None:
    """The document has what the page says, and the mark of the token changes nothing for clients."""
    app = load("docs/how-to/document-in-openapi.md").app
    document = app.openapi()
    feed, call, topic = (
        operation for path in ("/price/{symbol}", "/order", "/news") for operation in document["paths"][path].values()
    )
    assert (feed["summary"], feed["description"], feed["tags"]) == ("Price", "The price of one share.", ["market"])
    assert feed["responses"]["200"]["description"] == "The price in dollars."
    assert (call["summary"], call["description"], list(call["responses"])) == ("Buy", "Buy one item.", ["204", "422"])
    assert (topic["summary"], topic["description"], topic["deprecated"]) == ("News", "Everything that happens.", True)
    assert "/internal" not in document["paths"]
    assert [call["security"], "security" in feed] == [[{"OAuth2PasswordBearer": []}], False]
    http = TestClient(app)
    assert http.post("/order", json={"item": "tea"}).status_code == 401
    assert http.post("/order", json={"item": "tea"}, headers={"authorization": "Bearer s3cret"}).status_code == 204


async def test_threads(load: Load) -> None:
    """Sync generators stream, and receive messages."""
    app = load("docs/how-to/use-a-blocking-library.md").app
    async with connect(app, "/rows") as client:
        await client.send_json({"table": "t", "rows": 2})
        assert await receive(client, 2) == [{"table": "t", "number": 0}, {"table": "t", "number": 1}]
    async with connect(app, "/ask") as client:
        await client.send_json({"table": "t", "rows": 7})
        assert await client.receive() == "7"


async def test_modules(load: Load) -> None:
    """Prefixes add up, guards hold, and methods, partials and mounted apps stream."""
    app = load("docs/how-to/spread-over-modules.md").app
    async with lifespan(app):
        async with connect(app, "/api/rooms/hall/size", headers={"key": "s3cret"}) as client:
            assert await client.receive() == "4"
        assert (await refusal(app, "/api/rooms/hall/size")).status == 401
        for path, value in (
            ("/inside?unit=F", "21.5 F"),
            ("/numbers?limit=1", "0"),
            ("/three?limit=1", "0"),
            ("/partner/status", "fine"),
        ):
            async with connect(app, path) as client:
                assert await client.receive() == value
        async with connect(app, "/three") as client:
            assert await receive(client, 3) == [0, 1, 2]
            assert await close_code(client) == 1000


async def test_limits(load: Load) -> None:
    """A client at a limit receives what the table says."""
    main = load("docs/how-to/set-limits.md")
    for text, count, code in (("x" * 5000, 1, 413), ("hi", 30, 429), ("x" * 101, 1, 422)):
        async with connect(main.app, "/shout") as client:
            for _ in range(count):
                await client.send_text(text)
            while (seen := await client.receive_text()) == "HI":
                pass
            assert f'"code":{code}' in seen
            if code != 422:
                assert await close_code(client) == (1009 if code == 413 else 1008)
    async with connect(main.app, "/crowded") as client:
        assert await client.receive() == "1"


async def test_log_and_figures(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """The lane is logged; the figures are those on the page and in the reference."""
    app = load("docs/how-to/log-and-watch.md").app
    async with connect(app, "/count") as client:
        assert await client.receive() == "1"
    assert "is on the asgi lane" in caplog.text
    figures = TestClient(app).get("/statistics").json()
    assert (figures["accepted"], figures["messages"]) == (1, 1)
    for page in ("docs/how-to/log-and-watch.md", "docs/reference.md"):
        assert [name for name in figures if f"`{name}`" not in read(page) and f'"{name}"' not in read(page)] == []


async def test_middleware_on_the_portable_lane(load: Load) -> None:
    """A middleware that wraps ``send`` sees the values."""
    main = load("docs/how-to/deploy.md")
    async with connect(main.app, "/count") as client:
        await receive(client, 2)
    assert main.sent == ["1", "2"]


async def test_probe(load: Load) -> None:
    """The route for probes answers with the number of connections."""
    app = load("docs/how-to/deploy.md", "health.py").app
    with TestClient(app) as client:
        assert client.get("/healthz").json() == {"connections": 0}


async def test_lines_with_heartbeats(load: Load) -> None:
    """The function for JSON Lines accepts lines that start with spaces, and skips a blank last line."""
    values = load("docs/how-to/use-http.md", "client.py").values
    assert list(values(['{"a":1}', '   {"a":2}', "  "])) == [{"a": 1}, {"a": 2}]


async def test_rarer_collections(load: Load) -> None:
    """The app searches for cycles less often while it runs."""
    before = gc.get_threshold()
    try:
        async with lifespan(load("docs/how-to/deploy.md", "lifespan.py").app):
            assert (gc.get_threshold(), gc.get_freeze_count() > 0) == ((700, 10, 100), True)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


async def test_validation(load: Load) -> None:
    """A value that does not fit its annotation is sent unchanged, with Pydantic's warning."""
    app = load("docs/topics/validation.md").app
    with pytest.warns(UserWarning, match="PydanticSerializationUnexpectedValue"):
        async with connect(app, "/ticks") as client:
            assert await receive(client, 2) == [{"number": 1}, "not a Tick"]


async def test_session_of_one_run(load: Load) -> None:
    """A generator's resources are closed after each run, while the connection stays open."""
    main = load("docs/topics/runs.md")
    async with connect(main.app, "/rows") as client:
        for query in ("a", "b"):
            await client.send_text(query)
            assert await client.receive() == f"a row of {query}"
    assert main.sessions == ["open", "closed", "open", "closed"]


async def test_publishers(
    load: Load, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other processes publish with the app's code and without it."""
    monkeypatch.setenv("WIRESPEED_BROKER", url := f"redis://127.0.0.1:{valkey.port}")
    page = "docs/how-to/publish-from-another-process.md"
    main, nightly = load(page), load(page, "nightly.py")
    nightly.run()
    assert capsys.readouterr().out.startswith("stored at ")
    await load(page, "worker.py").announce("Hello.")
    async with lifespan(main.app):
        async with Publisher(url) as publisher:
            await until(lambda: is_known(publisher, "/news"))
        await asyncio.to_thread(load(page, "script.py").run, url)
        assert await main.news.snapshot() == ["The shop opens.", "Hello.", "The shop closes."]
        assert [order.item for order in await main.orders.snapshot(5)] == ["tea", "milk", "salt"]
    monkeypatch.delenv("WIRESPEED_BROKER")
    monkeypatch.setenv("PUBLISH_KEY", "x" * 32)
    with TestClient(load(page, "api.py").app, headers={"authorization": "Bearer " + "x" * 32}) as client:
        assert client.post("/live/publish", json={"path": "/temperature", "value": 21.5}).status_code == 200
        assert client.get("/temperature").json() == 21.5


def test_settings_in_the_reference() -> None:
    """The table of settings has every field with its default."""
    rows = re.findall(r"^\| `(\w+)` \| `?([^`|]+?)`? \|", read("docs/reference.md"), re.MULTILINE)
    for field in fields(Settings):
        assert (field.name, str(field.default)) in [(name, default.strip('"')) for name, default in rows]
