"""A live chart: prices, a chart of every trade, a run that you can stop, and a button that blocks the tab.

The page uses the browser client, which npm builds when Wirespeed is installed. Start it with
`fastapi dev examples/live_chart.py` and open http://localhost:8000.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Literal

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from wirespeed import Live

app = FastAPI()
live = Live(app)


class Quote(BaseModel):
    price: float
    at: float  # milliseconds since 1970, like JavaScript's Date.now()


class Trade(BaseModel):
    number: int
    price: float


class Past(BaseModel):
    days: int = Field(ge=1, le=10_000)


class Result(BaseModel):
    day: int
    profit: float


@live.feed("/price/{symbol}")
async def price(symbol: Literal["BTC", "ETH"]) -> AsyncIterator[Quote]:
    value = 100.0
    while True:
        value += random.gauss(0, 0.1)
        yield Quote(price=round(value, 2), at=time.time() * 1000)
        await asyncio.sleep(0.001)


@live.feed("/trades", keep=10_000)
async def trades() -> AsyncIterator[Trade]:
    number, value = 0, 100.0
    while True:
        number += 1
        value += random.gauss(0, 0.1)
        yield Trade(number=number, price=round(value, 2))
        await asyncio.sleep(0.001)


@live.stream("/backtest")
async def backtest(past: Past) -> AsyncIterator[Result]:
    profit = 0.0
    for day in range(1, past.days + 1):
        await asyncio.sleep(0.01)
        profit += random.gauss(0, 1)
        yield Result(day=day, profit=round(profit, 2))


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Live chart</title>
<style>.stale b, .stale canvas { opacity: 0.4 } canvas { max-width: 100% }</style>
<h1>Live chart</h1>
<p id="state" role="status">Loading</p>
<p>BTC <b id="BTC">none yet</b>, ETH <b id="ETH">none yet</b>; <span id="age">0</span> ms old</p>
<p><canvas id="chart" width="600" height="200" aria-label="The prices of the last 600 trades"></canvas></p>
<p><span id="count">0</span> trades, the last is number <span id="last">0</span>. <span id="loss"></span></p>
<p><button id="start">Test</button> <button id="stop">Stop</button> <b id="result"></b></p>
<p><button id="block">Block this tab for 3 seconds</button></p>
<script type="module">
  const place = (id) => document.getElementById(id);
  // If the client is missing, a script with `import ... from` does not run at all, and the page could not say why.
  const { connect } = await import("/live/wirespeed.js").catch((error) => {
    place("state").textContent = "The browser client is missing. Open /live/wirespeed.js to see why.";
    throw error;
  });
  const live = connect();

  live.status.subscribe(({ state, reason }) => {
    place("state").textContent = state === "connected" ? "Live" : `${state} ${reason ?? ""}`;
    document.documentElement.classList.toggle("stale", state === "stale");
  });

  // The newest of a thousand values per second, when the page paints.
  for (const symbol of ["BTC", "ETH"]) {
    live.feed(`price/${symbol}`).bind(place(symbol), ({ price }) => price.toFixed(2));
  }
  live.feed("price/BTC").onValue(({ at }) => { place("age").textContent = Math.round(Date.now() - at) });

  // Every trade, in one call per paint.
  const canvas = place("chart");
  const pen = canvas.getContext("2d");
  pen.strokeStyle = "steelblue";
  let shown = [];
  let count = 0;
  const trades = live.feed("trades", { every: true });
  trades.onBatch((batch) => {
    shown = [...shown, ...batch.map(({ price }) => price)].slice(-canvas.width);
    place("count").textContent = count += batch.length;
    place("last").textContent = batch.at(-1).number;
    draw();
  });
  trades.onLoss((lost) => { place("loss").textContent = `${lost ?? "Some"} trades are missing.` });

  function draw() {
    const low = Math.min(...shown);
    const high = Math.max(...shown);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.beginPath();
    shown.forEach((price, x) => pen.lineTo(x, (canvas.height * (high - price)) / (high - low || 1)));
    pen.stroke();
  }

  // A run: it starts with the loop, and is cancelled with it.
  let going;
  place("start").onclick = async () => {
    going?.abort(new Error("started again"));
    going = new AbortController();
    try {
      for await (const { day, profit } of live.stream("backtest", { days: 300 }, { signal: going.signal })) {
        place("result").textContent = `Day ${day}: ${profit}`;
      }
      place("result").textContent += ", done";
    } catch ({ message }) {
      place("result").textContent += `, ${message}`;
    }
  };
  place("stop").onclick = () => going?.abort(new Error("stopped"));

  place("block").onclick = () => {
    const end = performance.now() + 3000;
    while (performance.now() < end);
  };
</script>
</html>
"""
