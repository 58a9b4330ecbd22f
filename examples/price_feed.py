"""A price feed: one generator per symbol, shared by all its watchers, that runs only while it is watched.

Start it with `fastapi dev examples/price_feed.py` and open http://localhost:8000 in as many windows as you like.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Literal

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from wirespeed import Live

app = FastAPI()
live = Live(app)


@live.feed("/price/{symbol}")
async def price(symbol: Literal["BTC", "ETH"]) -> AsyncIterator[float]:
    value = 100.0
    while True:
        yield round(value := value + random.gauss(0, 0.1), 2)
        await asyncio.sleep(0.001)


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Price feed</title>
<h1>Price feed</h1>
<label>Symbol <select id="symbol"><option>BTC</option><option>ETH</option></select></label>
<p>Price: <b id="price">none yet</b></p>
<p id="state" role="status"></p>
<script type="module">
  const [symbol, price, state] = ["symbol", "price", "state"].map((id) => document.getElementById(id));
  let socket;

  // The server produces a thousand values per second. A screen can show the newest one sixty times per second.
  function watch() {
    const opened = new WebSocket(`${location.origin.replace("http", "ws")}/price/${symbol.value}?max_rate=60`);
    socket = opened;
    opened.onopen = () => { state.textContent = `Watching ${symbol.value}` };
    opened.onmessage = (event) => { if (opened === socket) price.textContent = event.data };
    opened.onclose = () => {
      if (opened === socket) {
        state.textContent = "The connection was lost. Trying again.";
        setTimeout(() => { if (opened === socket) watch() }, 1000);
      }
    };
  }

  symbol.onchange = () => { const before = socket; socket = null; before.close(); watch() };
  watch();
</script>
</html>
"""
