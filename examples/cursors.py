"""Multiplayer cursors: everyone who has the page open sees where the others point.

Start it with `fastapi dev examples/cursors.py` and open http://localhost:8000 in two windows.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, StringConstraints

from wirespeed import Live, Sender, current_sender

app = FastAPI()
live = Live(app)

Place = Annotated[float, Field(ge=0, le=1)]


class Move(BaseModel):
    x: Place
    y: Place
    name: Annotated[str, StringConstraints(max_length=20)]


class Cursor(Move):
    client: str


# The newest place of each cursor; a slow page skips places, and a page that comes gets all cursors at once.
cursors = live.topic("/cursors", Cursor, by="client")


# A duplex stream lasts as long as its page: where the page goes, its cursor goes.
@live.stream("/me", http=False)
async def me(moves: AsyncIterator[Move], sender: Annotated[Sender, Depends(current_sender)]) -> AsyncIterator[str]:
    yield sender.client
    try:
        async for move in moves:
            cursors.publish(Cursor(client=sender.client, **move.model_dump()))
    finally:
        cursors.remove(sender.client)


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Cursors</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui; background: light-dark(#f6f7f9, #0e1116) }
  html, body { height: 100%; margin: 0; overflow: hidden; touch-action: none }
  header { position: fixed; inset: 0 0 auto; padding: 1rem; display: flex; gap: 1rem; align-items: center }
  header input { font: inherit; padding: .3rem .6rem; border-radius: .5rem; border: 1px solid #8888 }
  body { background: radial-gradient(#8884 1px, transparent 1px) 0 0 / 24px 24px }
  .cursor { position: fixed; left: 0; top: 0; color: hsl(var(--hue) 80% 45%); transition: transform 80ms linear }
  .cursor svg { display: block; filter: drop-shadow(0 1px 2px #0006) }
  .cursor span { margin-left: 14px; padding: .1rem .5rem; border-radius: .6rem; color: #fff; font-size: .8rem;
                 background: hsl(var(--hue) 80% 38%); white-space: nowrap }
  .stale .cursor { opacity: .3 }
</style>
<header><label>Name <input id="name" maxlength="20"></label><span id="state" role="status"></span></header>
<script type="module">
  import { connect } from "/live/wirespeed.js";
  const place = (id) => document.getElementById(id);
  const live = connect();
  const mine = new Set(); // this page's clients: the server may not know yet that an earlier connection is lost

  const shapes = new Map();
  function shapeOf(client) {
    if (!shapes.has(client)) {
      const shape = document.createElement("div");
      shape.className = "cursor";
      shape.style.setProperty("--hue", [...client].reduce((sum, letter) => sum * 31 + letter.charCodeAt(), 7) % 360);
      const arrow = '<svg width="18" height="20"><path fill="currentColor" d="M1 1l16 8-7 2-4 8z"/></svg>';
      shape.innerHTML = `${arrow}<span></span>`;
      document.body.append(shape);
      shapes.set(client, shape);
    }
    return shapes.get(client);
  }

  live.table("cursors").onChange((changed, rows) => {
    for (const [client, cursor] of changed) {
      if (!cursor || mine.has(client)) {
        shapes.get(client)?.remove();
        shapes.delete(client);
        continue;
      }
      const shape = shapeOf(client);
      shape.style.transform = `translate(${cursor.x * innerWidth}px, ${cursor.y * innerHeight}px)`;
      shape.lastChild.textContent = cursor.name || "Someone";
    }
    const others = [...rows.keys()].filter((client) => !mine.has(client)).length;
    place("state").textContent = `${others} ${others === 1 ? "other" : "others"} here`;
  });
  live.status.subscribe(({ state }) => document.documentElement.classList.toggle("stale", state !== "connected"));

  // A run ends with its connection: the page begins another one.
  const stream = live.stream("me");
  async function stay() {
    for (;;) {
      try {
        for await (const client of stream) {
          mine.add(client);
          move();
        }
      } catch { /* the connection was lost */ }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  stay();

  // The newest place, once per frame.
  place("name").value = localStorage.name ?? "";
  let at = { x: 0.5, y: 0.5 };
  let isDue = false;
  function move() {
    if (isDue || mine.size === 0) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      stream.send({ ...at, name: place("name").value }).catch(() => {});
    });
  }
  place("name").oninput = () => { localStorage.name = place("name").value; move() };
  onpointermove = ({ clientX, clientY }) => {
    const within = (value) => Math.min(Math.max(value, 0), 1);
    at = { x: within(clientX / innerWidth), y: within(clientY / innerHeight) };
    move();
  };
</script>
</html>
"""
