"""The JSON counter: {"message": "hello"} is answered with 10000 frames like {"message":"hello - 1","number":1}.

Start it with `fastapi dev examples/json_counter.py` and open http://localhost:8000
"""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from wirespeed import Live

app = FastAPI()

# Pages that are opened straight from a file send `Origin: null`, which is refused unless it is named here:
# a sandboxed frame in anybody's page sends it, too. This counter has no secrets, so it may.
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
  socket.onclose = () => { start.disabled = true; state.textContent = "The connection is gone. Reload the page." };
  start.onclick = () => socket.send(JSON.stringify({ message: "hello" }));
</script>
</html>
"""
