"""The hooks of the browser client in Chromium, in StrictMode."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.apps.browser import PAGE
from tests.e2e.browser_page import APP, publish, state, wait_for, wait_for_watchers, wait_until_left
from tests.servers import ROOT, Server, serve
from tests.waiting import PATIENCE

CHANNEL = "price/react"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serve the app of all tests here."""
    with serve(APP) as server:
        yield server
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the page's script once."""
    folder = tmp_path_factory.mktemp("react")
    node = shutil.which("node")
    assert node is not None
    vite = ROOT / "web" / "node_modules" / "vite" / "bin" / "vite.js"
    command = [node, str(vite), "build", "--config", str(PAGE / "vite.config.mjs"), "--outDir", str(folder)]
    built = subprocess.run(command, cwd=ROOT / "web", capture_output=True, text=True, timeout=PATIENCE)
    assert built.returncode == 0, built.stderr
    return folder / "react.js"


@pytest.fixture
def page(used_page: Page) -> Page:
    """Use one page for all tests here."""
    return used_page


@pytest.fixture
def opened(page: Page, server: Server, script: Path, complaints: list[str]) -> Iterator[Page]:
    """Open the page with its components, none of which is shown yet; nothing is in the console at the end."""
    wait_until_left(server)
    page.route("**/react.js", lambda route: route.fulfill(path=script, content_type="text/javascript"))
    page.goto(f"{server.url}/react")
    page.wait_for_function("globalThis.isReady && live.status.current.state === 'connected'")
    yield page
    # React in development recommends its own tools.
    assert [each for each in complaints if "React DevTools" not in each] == []


def test_components_share_a_subscription(opened: Page, server: Server) -> None:
    """Ten components with one feed are one watcher and show the same value; unmounted, they leave none."""
    opened.evaluate("show({ prices: 10 })")
    wait_for_watchers(server, "/price/{name}", 1)
    publish(server, CHANNEL, 42)
    expect(opened.locator("li")).to_have_text(["42"] * 10)
    opened.evaluate("show({ prices: 3 })")
    publish(server, CHANNEL, 43)
    expect(opened.locator("li")).to_have_text(["43"] * 3)
    assert state(server)["watchers"] == {"/price/{name}": 1}
    opened.evaluate("show({ prices: 0 })")
    wait_for_watchers(server, "/price/{name}", 0)


def test_component_that_comes_again_keeps_the_subscription(opened: Page, server: Server) -> None:
    """A component that is unmounted and mounted in the same turn does not leave the feed."""
    opened.evaluate("show({ prices: 1 })")
    publish(server, CHANNEL, 44)
    expect(opened.locator("li")).to_have_text(["44"])
    before = state(server)["delivered"]["/price/{name}"]
    opened.evaluate("() => { show({ prices: 0 }); show({ prices: 1 }); }")
    expect(opened.locator("li")).to_have_text(["44"])
    assert opened.evaluate("live.call('add', { a: 1, b: 2 })") == 3
    assert state(server)["delivered"]["/price/{name}"] == before
    opened.evaluate("show({ prices: 0 })")
    wait_for_watchers(server, "/price/{name}", 0)


def test_component_changes_its_feed(opened: Page, server: Server) -> None:
    """A component with another path shows that feed, and leaves the previous one."""
    opened.evaluate("show({ prices: 1, path: 'number/7' })")
    expect(opened.locator("li")).to_have_text(["7"])
    opened.evaluate("show({ path: 'number/8' })")
    expect(opened.locator("li")).to_have_text(["8"])
    wait_for_watchers(server, "/number/{number}", 1)
    opened.evaluate("show({ prices: 0 })")
    wait_for_watchers(server, "/number/{number}", 0)


def test_component_renders_at_paint_rate(opened: Page, server: Server) -> None:
    """However many changes arrive, they render a component at most once per paint."""
    opened.evaluate("show({ prices: 1, path: 'price/react' })")
    wait_for_watchers(server, "/price/{name}", 1)
    opened.evaluate("() => { renders = frames = 0; }")
    publish(server, CHANNEL, *range(500), pause=0.001)
    expect(opened.locator("li")).to_have_text(["499"])
    # StrictMode renders everything twice. The first paint may belong to the previous frame.
    assert opened.evaluate("renders <= 2 * (frames + 1)")
    opened.evaluate("show({ prices: 0 })")
    wait_for_watchers(server, "/price/{name}", 0)


def test_component_runs_a_stream(opened: Page, server: Server) -> None:
    """A component with a stream has all its values and the end; unmounting it in the middle cancels the run."""
    opened.evaluate("show({ stream: true })")
    words = opened.locator("#words")
    expect(words).to_contain_text('"NOT"')
    seen = json.loads(words.inner_text())
    assert seen["values"] == ["TO", "BE", "OR", "NOT"]
    opened.evaluate("show({ stream: false })")
    wait_for(server, lambda seen: seen["runs"] == 0)


def test_component_keeps_the_newest_of_a_long_run(opened: Page, server: Server) -> None:
    """A component has the newest of a run's 40,000 values, in order, and their number."""
    opened.evaluate("show({ keep: 50 })")
    count = opened.locator("#count")
    expect(count).to_contain_text("40000")
    assert json.loads(count.inner_text()) == [40_000, list(range(39_951, 40_001))]
    opened.evaluate("show({ keep: 0 })")
    wait_for(server, lambda seen: seen["runs"] == 0)
