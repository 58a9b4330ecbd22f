"""Everything on one connection: a page with the official SDK `centrifuge` watches feeds, chats and runs a stream.

Get the SDK with `npm install centrifuge`, here or in the folder from which you start the server, or name its file:
`CENTRIFUGE_JS=/path/to/centrifuge.js`. Start the app with `fastapi dev examples/sdk_page.py`, and open
http://localhost:8000/?name=Ada in one window and http://localhost:8000/?name=Bob in another.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import HTTPConnection

from wirespeed import Identity, Live, Sender, current_sender


async def believe(token: str, connection: HTTPConnection) -> Identity:
    """Trust the name that the client sends; a real app checks a token here."""
    return Identity(user=token[:24])


app = FastAPI()
live = Live(app, authenticate=believe)


class Machine(BaseModel):
    name: str
    load: int


class Job(BaseModel):
    steps: int = Field(ge=1, le=1000)


class Said(BaseModel):
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


@live.feed("/price/{symbol}")
async def price(symbol: Literal["BTC", "ETH"]) -> AsyncIterator[float]:
    value = 100.0
    while True:
        yield round(value := value + random.gauss(0, 0.1), 2)
        await asyncio.sleep(0.001)


@live.feed("/machines", by="name")
async def machines() -> AsyncIterator[Machine]:
    while True:
        for name in ("Drill", "Lathe", "Mill"):
            yield Machine(name=name, load=random.randrange(101))
        await asyncio.sleep(0.1)


@live.stream("/work")
async def work(job: Job) -> AsyncIterator[int]:
    for step in range(1, job.steps + 1):
        await asyncio.sleep(0.01)
        yield step


chat = live.topic("/chat", Said, keep=100, replay=20, presence=True, join_leave=True)


@chat.on_message
async def say(message: Said, sender: Annotated[Sender, Depends(current_sender)]) -> None:
    chat.publish_as(sender, message)


def sdk() -> Path | None:
    """Return the SDK's file for pages, if it is installed."""
    inside = Path("node_modules/centrifuge/dist/centrifuge.js")
    named = os.environ.get("CENTRIFUGE_JS")
    places = [Path(named)] if named else [Path.cwd() / inside, Path(__file__).parent / inside]
    return next((place for place in places if place.is_file()), None)


@app.get("/centrifuge.js", include_in_schema=False)
def script() -> FileResponse:
    file = sdk()
    if file is None:
        raise HTTPException(404, "The SDK is missing: npm install centrifuge")
    return FileResponse(file)


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return HEAD + (MISSING if sdk() is None else PAGE)


HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>One connection</title>
<h1>One connection</h1>
"""

MISSING = """<p>This page needs the official SDK, which is not installed. Run <code>npm install centrifuge</code> in the
folder from which you have started the server, and reload this page.</p>
</html>
"""

PAGE = """<p id="state" role="status"></p>
<p>BTC <b id="BTC">none yet</b>, ETH <b id="ETH">none yet</b></p>
<table><thead><tr><th>Machine<th>Load</thead><tbody id="machines"></tbody></table>
<p><button id="start">Work</button> <button id="stop">Stop</button> <b id="step"></b></p>
<p>Here: <b id="here"></b></p>
<ol id="said" role="log"></ol>
<form id="form">
  <label>Message <input name="text" maxlength="300" autocomplete="off" required></label>
  <button>Send</button>
</form>
<script src="/centrifuge.js"></script>
<script type="module">
  const place = (id) => document.getElementById(id);
  const name = new URLSearchParams(location.search).get("name") ?? "";
  const centrifuge = new Centrifuge(`${location.origin.replace("http", "ws")}/live/websocket`, { token: name });
  const nameOf = (info) => info?.user || "Guest";

  centrifuge.on("connecting", () => { place("state").textContent = "Connecting" });
  centrifuge.on("connected", () => { place("state").textContent = "Connected" });
  centrifuge.on("disconnected", ({ reason }) => { place("state").textContent = reason });

  // A feed for each symbol: the newest of a thousand values per second.
  for (const symbol of ["BTC", "ETH"]) {
    const price = centrifuge.newSubscription(`price/${symbol}?max_rate=60`);
    price.on("publication", ({ data }) => { place(symbol).textContent = data });
    price.subscribe();
  }

  // A table: its publications are changes of rows.
  const rows = new Map();
  const machines = centrifuge.newSubscription("machines?max_rate=10");
  machines.on("publication", ({ data: { key, value, removed, reset } }) => {
    if (reset) rows.clear();
    else if (removed) rows.delete(key);
    else rows.set(key, value);
    const lines = [...rows.keys()].sort().map((each) => {
      const line = document.createElement("tr");
      line.append(...[each, rows.get(each).load].map((text) =>
        Object.assign(document.createElement("td"), { textContent: text })));
      return line;
    });
    place("machines").replaceChildren(...lines);
  });
  machines.subscribe();

  // A stream: subscribing starts a run, and unsubscribing cancels it.
  const work = centrifuge.newSubscription("work", { data: { steps: 100 } });
  work.on("publication", ({ data }) => { place("step").textContent = `Step ${data}` });
  work.on("unsubscribed", ({ code, reason }) => {
    place("step").textContent += code === 2000 ? ", done" : `, ${reason}`;
  });
  place("start").onclick = () => work.subscribe();
  place("stop").onclick = () => work.unsubscribe();

  // A topic that accepts messages and reports presence.
  const chat = centrifuge.newSubscription("chat");
  const here = new Map();
  const show = () => { place("here").textContent = [...here.values()].map(nameOf).sort().join(", ") };
  chat.on("publication", ({ data, info }) => {
    place("said").append(Object.assign(document.createElement("li"), { textContent: `${nameOf(info)}: ${data.text}` }));
  });
  chat.on("subscribed", async ({ wasRecovering, recovered }) => {
    if (wasRecovering && !recovered) place("said").replaceChildren();
    const { clients } = await chat.presence();
    here.clear();
    for (const [client, info] of Object.entries(clients)) here.set(client, info);
    show();
  });
  chat.on("join", ({ info }) => { here.set(info.client, info); show() });
  chat.on("leave", ({ info }) => { here.delete(info.client); show() });
  chat.subscribe();
  place("form").onsubmit = async (event) => {
    event.preventDefault();
    const { text } = event.target.elements;
    try {
      await chat.publish({ text: text.value });
      text.value = "";
    } catch ({ message }) {
      place("state").textContent = `The server refused the message: ${message}`;
    }
  };

  centrifuge.connect();
</script>
</html>
"""
