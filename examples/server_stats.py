"""The server's own figures, once per second, as Server-Sent Events: a browser's EventSource reconnects by itself.

Start it with `fastapi dev examples/server_stats.py` and open http://localhost:8000, or watch them in a terminal:
`curl -H "Accept: text/event-stream" http://localhost:8000/server`
"""

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from wirespeed import Live

app = FastAPI()
live = Live(app)


class Load(BaseModel):
    cpu: float
    """CPU that this process has used since the last value, in percent of one core."""
    peak_memory: int
    """Largest resident memory of this process so far, in KiB (on macOS in bytes)."""
    machine: float
    """Processes of the machine that are ready to run, on average over the last minute."""
    watchers: int


@live.feed("/server")
async def server() -> AsyncIterator[Load]:
    used, at = time.process_time(), time.perf_counter()
    while True:
        await asyncio.sleep(1)
        used_now, now = time.process_time(), time.perf_counter()
        yield Load(
            cpu=round(100 * (used_now - used) / (now - at), 1),
            peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            machine=round(os.getloadavg()[0], 2),
            watchers=server.statistics().watchers,
        )
        used, at = used_now, now


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Server</title>
<h1>Server</h1>
<p>CPU of this process: <b id="cpu">none yet</b> % of a core</p>
<p>Peak memory of this process: <b id="peak_memory">none yet</b> KiB</p>
<p>Load of the machine: <b id="machine">none yet</b></p>
<p>Watchers of this feed: <b id="watchers">none yet</b></p>
<p id="state" role="status"></p>
<script type="module">
  const state = document.getElementById("state");
  const events = new EventSource("/server");
  events.onopen = () => { state.textContent = "Connected" };
  events.onerror = () => { state.textContent = "The connection was lost. The browser tries again." };
  events.onmessage = (event) => {
    for (const [name, value] of Object.entries(JSON.parse(event.data))) {
      document.getElementById(name).textContent = value;
    }
  };
</script>
</html>
"""
