"""A table: a watcher gets all rows first, then each row that changes; a slow watcher gets the newest value of each.

Start it with `fastapi dev examples/table.py` and open http://localhost:8000
"""

import asyncio
import random
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from wirespeed import Live

app = FastAPI()
live = Live(app)


class Room(BaseModel):
    name: str
    degrees: float


@live.feed("/rooms", by="name")
async def rooms() -> AsyncIterator[Room]:
    degrees = dict.fromkeys(("Attic", "Cellar", "Hall", "Kitchen", "Library"), 20.0)
    for name in degrees:
        yield Room(name=name, degrees=degrees[name])
    while True:
        await asyncio.sleep(0.1)
        name = random.choice(list(degrees))
        degrees[name] += random.choice([-0.1, 0.1])
        yield Room(name=name, degrees=round(degrees[name], 1))


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Table</title>
<h1>Rooms</h1>
<table>
  <thead><tr><th scope="col">Room</th><th scope="col">Degrees</th></tr></thead>
  <tbody id="rows"></tbody>
</table>
<p id="state" role="status"></p>
<script type="module">
  const [rows, state] = ["rows", "state"].map((id) => document.getElementById(id));
  const cells = new Map();

  function added(key) {
    const row = rows.insertRow();
    row.insertCell().textContent = key;
    cells.set(key, row.insertCell());
    return cells.get(key);
  }

  function watch() {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/rooms");
    socket.onopen = () => { state.textContent = "Watching"; rows.replaceChildren(); cells.clear() };
    socket.onmessage = (event) => {
      const { key, value } = JSON.parse(event.data);
      (cells.get(key) ?? added(key)).textContent = value.degrees.toFixed(1);
    };
    socket.onclose = () => { state.textContent = "The connection was lost. Trying again."; setTimeout(watch, 1000) };
  }

  watch();
</script>
</html>
"""
