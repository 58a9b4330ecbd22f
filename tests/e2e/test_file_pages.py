"""Pages written for plain FastAPI, opened from a file, against every app with a counter."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.servers import serve

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


@pytest.mark.parametrize(
    ("app", "path", "source", "expected", "runs"),
    [
        ("examples.text_counter:app", "/test", TEXT_PAGE, TEXTS, 2),
        ("examples.json_counter:app", "/test", JSON_PAGE, TICKS, 2),
        ("demo.app:app", "/test", TEXT_PAGE, TEXTS, 1),  # test_demo.py clicks again
        ("demo.app:app", "/test/json", JSON_PAGE, TICKS, 1),
    ],
    ids=["text example", "json example", "text in the demo", "json in the demo"],
)
def test_page_from_a_file(
    page: Page, complaints: list[str], tmp_path: Path, app: str, path: str, source: str, expected: list[str], runs: int
) -> None:
    """A page opened from a file receives all values in order, at each click, and its console stays empty."""
    file = tmp_path / "page.html"
    with serve(app) as server:
        file.write_text(source.replace("localhost:8000/test", f"localhost:{server.port}{path}"))
        page.goto(file.as_uri())
        page.wait_for_function("ws.readyState === WebSocket.OPEN")
        for run in range(1, runs + 1):
            page.get_by_role("button", name="Click me").click()
            page.wait_for_function("(count) => received.length === count", arg=run * 10_000)
            expect(page.locator("#number")).to_have_text("10000")
        assert page.evaluate("received") == expected * runs
        if source is JSON_PAGE:
            expect(page.locator("#message")).to_have_text("hello - 10000")
        assert complaints == []


def test_page_from_this_host(page: Page, complaints: list[str]) -> None:
    """A page on 127.0.0.1 may open the WebSocket of localhost: loopback names are one host."""
    with serve("demo.app:app") as server:
        page.goto(f"{server.url}/?only=counters")
        expect(page.locator(".counter .state")).to_have_text(["Connected", "Connected"])
        page.set_content(TEXT_PAGE.replace("localhost:8000", f"localhost:{server.port}"))
        page.wait_for_function("ws.readyState === WebSocket.OPEN")
        page.get_by_role("button", name="Click me").click()
        page.wait_for_function("received.length === 10000")
        assert complaints == []
