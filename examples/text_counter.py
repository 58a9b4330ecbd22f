"""The text counter: answers any text message with the frames 1, 2, ... 10000.

Start it with `fastapi dev examples/text_counter.py` and open http://localhost:8000
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from wirespeed import Live, Message

app = FastAPI()

# A page that is opened from a file sends `Origin: null`, which Wirespeed refuses by default: a sandboxed frame in a
# page of any other site sends it, too. This counter has no secrets, so every page may use it.
live = Live(app, allowed_origins=["null"])


@live.stream("/test")
async def count(text: Annotated[str, Message()]) -> AsyncIterator[str]:
    for number in range(1, 10_001):
        yield str(number)


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Text counter</title>
<h1>Text counter</h1>
<button id="start" disabled>Click me</button>
<p>Number: <b id="number">0</b></p>
<p id="state" role="status"></p>
<script type="module">
  const [start, number, state] = ["start", "number", "state"].map((id) => document.getElementById(id));
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/test");
  socket.onopen = () => { start.disabled = false };
  socket.onmessage = (event) => { number.textContent = event.data };
  socket.onclose = () => { start.disabled = true; state.textContent = "The connection was lost. Reload the page." };
  start.onclick = () => socket.send("hi");
</script>
</html>
"""
