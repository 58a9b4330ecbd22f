"""The JSON counter: answers {"message": "hello"} with 10000 frames like {"message":"hello - 1","number":1}.

Start it with `fastapi dev examples/json_counter.py` and open http://localhost:8000
"""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from wirespeed import Live

app = FastAPI()

# A page that is opened from a file sends `Origin: null`, which Wirespeed refuses by default: a sandboxed frame in a
# page of any other site sends it, too. This counter has no secrets, so every page may use it.
live = Live(app, allowed_origins=["null"])


class Hello(BaseModel):
    message: str


class Tick(BaseModel):
    message: str
    number: int


@live.stream("/test")
async def count(hello: Hello) -> AsyncIterator[Tick]:
    for number in range(1, 10_001):
        yield Tick(message=f"{hello.message} - {number}", number=number)


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>JSON counter</title>
<h1>JSON counter</h1>
<button id="start" disabled>Click me</button>
<p>Number: <b id="number">0</b></p>
<p>Message: <b id="message">none yet</b></p>
<p id="state" role="status"></p>
<script type="module">
  const [start, number, message, state] =
    ["start", "number", "message", "state"].map((id) => document.getElementById(id));
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/test");
  socket.onopen = () => { start.disabled = false };
  socket.onmessage = (event) => {
    const tick = JSON.parse(event.data);
    number.textContent = tick.number;
    message.textContent = tick.message;
  };
  socket.onclose = () => { start.disabled = true; state.textContent = "The connection was lost. Reload the page." };
  start.onclick = () => socket.send(JSON.stringify({ message: "hello" }));
</script>
</html>
"""
