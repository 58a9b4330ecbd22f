"""Pages that receive 10,000 values and more: counters of the demo, of examples, for plain FastAPI, and the race."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chromium import Browser
from tests.e2e.tabs import RECORD_FRAMES
from tests.e2e.unwatched import Tab, opened
from tests.servers import ROOT, Server, ServerName, serve

EXAMPLES = ROOT / "examples"

# As users write them. Only the port differs from a page for a server on port 8000.
TEXT_PAGE = """<!DOCTYPE html>
<html>
  <head><title>Counter</title></head>
  <body>
    <button onclick="start()">Click me</button>
    <p id="number"></p>
    <script>
      var received = [];
      var ws = new WebSocket("ws://localhost:8000/test");
      ws.onmessage = function (event) {
        received.push(event.data);
        document.getElementById("number").innerHTML = event.data;
      };
      function start() {
        ws.send("hi");
      }
    </script>
  </body>
</html>
"""

JSON_PAGE = """<!DOCTYPE html>
<html>
  <head><title>Counter</title></head>
  <body>
    <button onclick="start()">Click me</button>
    <p id="number"></p>
    <p id="message"></p>
    <script>
      var received = [];
      var ws = new WebSocket("ws://localhost:8000/test");
      ws.onmessage = function (event) {
        received.push(event.data);
        var data = JSON.parse(event.data);
        document.getElementById("number").innerHTML = data.number;
        document.getElementById("message").innerHTML = data.message;
      };
      function start() {
        ws.send(JSON.stringify({ message: "hello" }));
      }
    </script>
  </body>
</html>
"""

TEXTS = [str(number) for number in range(1, 10_001)]
TICKS = [f'{{"message":"hello - {number}","number":{number}}}' for number in range(1, 10_001)]


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    """Open a tab, whose console stays empty."""
    with opened(chromium) as tab:
        yield tab
        assert tab.complaints() == []


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The demo, on asyncio or on the loop that a test names."""
    with serve("demo.app:app", options=["--loop", getattr(request, "param", "asyncio")]) as server:
        yield server
        assert "Traceback" not in server.output()


# Of other servers and loops, test_servers.py tests each one, without a browser.
@pytest.mark.parametrize(
    ("file", "message", "server"),
    [
        ("text_counter.py", None, "fastapi-dev"),
        ("json_counter.py", "hello - 10000", "uvicorn"),
    ],
)
def test_page_of_an_example(tab: Tab, server: ServerName, file: str, message: str | None) -> None:
    """A click counts to 10000, a second click does it again."""
    with serve(EXAMPLES / file, server=server) as started:
        tab.open(started.url)
        tab.wait_for("document.readyState === 'complete'")
        for _ in range(2):
            tab.evaluate("document.querySelectorAll('#number, #message').forEach((part) => part.textContent = '')")
            tab.click("button")
            tab.wait_for_text("#number", "10000")
            if message:
                tab.wait_for_text("#message", message)
        tab.open("about:blank")
        started.stop()
        assert "Traceback" not in started.output()


@pytest.mark.parametrize(
    ("demo", "card", "message"),
    [("uvloop", "#text-counter", "10000"), ("asyncio", "#json-counter", "hello - 10000")],
    indirect=["demo"],
)
def test_page_of_the_demo(demo: Server, tab: Tab, card: str, message: str) -> None:
    """A click counts to 10000 with the right message, a second click does it again."""
    tab.open(demo.url)
    tab.wait_for_text(f"{card} .state", "Connected")
    for _ in range(2):
        # The texts of the first run are removed, so that only a new run can restore them.
        tab.evaluate("document.querySelectorAll('.number, .message').forEach((part) => part.textContent = '')")
        tab.click(f"{card} button")
        tab.wait_for_text(f"{card} .number", "10000")
        tab.wait_for_text(f"{card} .message", message)
        tab.wait_for(f"document.querySelector('{card} .state').textContent.startsWith('10,000 values in ')")


def test_clicks_in_a_row(demo: Server, tab: Tab) -> None:
    """Three quick clicks bring the 10,000 text frames in order, three times, one run after the other."""
    tab.before(RECORD_FRAMES)
    tab.open(f"{demo.url}/?only=counters")
    tab.wait_for_text("#text-counter .state", "Connected")
    tab.evaluate("for (const _ of [1, 2, 3]) document.querySelector('#text-counter button').click()")
    tab.wait_for("recorded['/test'].length === 30_000")
    assert tab.evaluate("recorded['/test']") == 3 * TEXTS
    tab.wait_for_text("#text-counter .number", "10000")


def test_keyboard(demo: Server, tab: Tab) -> None:
    """The first counter of the demo is reached with Tab and started with Enter, and the focus can be seen."""
    tab.open(demo.url)
    tab.wait_for_text("#text-counter .state", "Connected")
    button = "document.querySelector('#text-counter button')"
    for _ in range(20):
        tab.press("Tab")
        if tab.evaluate(f"{button} === document.activeElement"):
            break
    assert tab.evaluate(f"{button} === document.activeElement")
    assert tab.evaluate(f"getComputedStyle({button}).outlineStyle") == "solid"
    tab.press("Enter")
    tab.wait_for_text("#text-counter .number", "10000")


LANES = {"poll": 500, "plain": 10_000, "wirespeed": 10_000, "client": 10_000}

WATCH_BAR = """(() => {
  const bar = document.querySelector("tr[data-lane=poll] .bar");
  const look = () => {
    const isRunning = bar.closest("tr").dataset.state === "running";
    if (isRunning && new DOMMatrix(getComputedStyle(bar).transform).a > 0) window.hasGrown = true;
    else requestAnimationFrame(look);
  };
  look();
})()"""


def test_race(demo: Server, tab: Tab) -> None:
    """The race grows bars, ends with medians of all lanes, has compared the same payloads, and shows a gain."""
    tab.before(RECORD_FRAMES)
    tab.open(f"{demo.url}/?rounds=2")
    tab.wait_for_text(":is(#market, #server) .state", "Live", "Live")
    tab.evaluate("document.querySelector('#race input[value=json]').click()")
    tab.evaluate(WATCH_BAR)
    tab.click("#race form button")
    tab.wait_for_text(":is(#market, #server) .state", *2 * ["Paused while the race runs"])
    tab.wait_for("window.hasGrown")
    tab.wait_for("document.querySelector('#race-state').textContent.includes('Done')")
    for lane, values in LANES.items():
        check_figures(tab, lane, values)
    assert tab.evaluate("recorded['/plain/json'].length") == 20_000
    assert tab.evaluate("JSON.stringify(recorded['/plain/json']) === JSON.stringify(recorded['/test/json'])")
    ratios = tab.texts("#race-summary strong")
    assert [bool(re.fullmatch(r"[\d,.]+\u00d7", each)) for each in ratios] == [True] * 3
    assert float(ratios[0].rstrip("\u00d7").replace(",", "")) > 1
    assert "less server CPU" in tab.texts("#announcer")[0]
    tab.wait_for_text(":is(#market, #chat, #server) .state", "Live", "Live", "Live")


def check_figures(tab: Tab, lane: str, values: int) -> None:
    """Check that the lane shows its number of values, its figures, and a line in the chart."""
    row = f"tr[data-lane={lane}]"
    [count], [taken], [cpu] = (tab.texts(f"{row} {cell}") for cell in (".count", ".time", ".cpu"))
    assert f"{values:,} of {values:,}" in count
    time = r"(\d+ ms|[\d.,]+ s)"
    assert re.fullmatch(f"{time}({time} to {time})?", taken)
    assert re.match(r"\d[\d.]* [µm]s", cpu)
    points = tab.evaluate(f"document.querySelector('polyline[data-lane={lane}]').getAttribute('points')")
    assert lane == "poll" or len(points.split()) > 1


@pytest.mark.parametrize(
    ("app", "path", "source", "expected", "runs"),
    [
        ("examples.text_counter:app", "/test", TEXT_PAGE, TEXTS, 2),
        ("examples.json_counter:app", "/test", JSON_PAGE, TICKS, 2),
        ("demo.app:app", "/test", TEXT_PAGE, TEXTS, 1),  # test_page_of_the_demo clicks again
        ("demo.app:app", "/test/json", JSON_PAGE, TICKS, 1),
    ],
    ids=["text example", "json example", "text in the demo", "json in the demo"],
)
def test_page_from_a_file(
    tab: Tab, tmp_path: Path, app: str, path: str, source: str, expected: list[str], runs: int
) -> None:
    """A page opened from a file receives all values in order, at each click."""
    file = tmp_path / "page.html"
    with serve(app) as server:
        file.write_text(source.replace("localhost:8000/test", f"localhost:{server.port}{path}"))
        tab.open(file.as_uri())
        tab.wait_for("globalThis.ws?.readyState === WebSocket.OPEN")
        for run in range(1, runs + 1):
            tab.click("button")
            tab.wait_for(f"received.length === {run} * 10_000")
            tab.wait_for_text("#number", "10000")
        assert tab.evaluate("received") == expected * runs
        if source is JSON_PAGE:
            tab.wait_for_text("#message", "hello - 10000")
        assert tab.complaints() == []  # before the server stops


WRITE = "((source) => { document.open(); document.write(source); document.close(); })"


def test_page_from_this_host(demo: Server, tab: Tab) -> None:
    """A page on 127.0.0.1 may open the WebSocket of localhost: loopback names are one host."""
    tab.open(f"{demo.url}/?only=counters")
    tab.wait_for_text("#text-counter .state", "Connected")
    tab.evaluate(f"{WRITE}({json.dumps(TEXT_PAGE.replace('localhost:8000', f'localhost:{demo.port}'))})")
    tab.wait_for("globalThis.ws?.readyState === WebSocket.OPEN")
    tab.click("button")
    tab.wait_for("received.length === 10000")
