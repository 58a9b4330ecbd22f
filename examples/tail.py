"""The logs of a process in a page, like `tail -f`: the last lines of a file, then each line as it is written.

Start it with `LOG=/var/log/syslog fastapi dev examples/tail.py` and open http://localhost:8000. Without LOG, it follows
a file that it writes itself.
"""

import asyncio
import logging
import os
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from wirespeed import Live, SourceError

LOG = Path(os.environ.get("LOG", Path(tempfile.gettempdir()) / "wirespeed-tail.log"))
LAST = 200
MOST = 256 * 1024
"""Bytes of a file in which the last lines are looked for."""


@asynccontextmanager
async def chatting(app: FastAPI) -> AsyncIterator[None]:
    """Write lines, unless there is a file to follow."""

    async def chat() -> None:
        logging.basicConfig(filename=LOG, level=logging.DEBUG, format="%(asctime)s %(levelname)s %(message)s")
        while True:
            level = random.choice([logging.DEBUG, logging.INFO, logging.INFO, logging.WARNING, logging.ERROR])
            logging.getLogger("jobs").log(level, "worker %d took a job", random.randint(1, 4))
            await asyncio.sleep(random.expovariate(4))

    task = None if "LOG" in os.environ else asyncio.create_task(chat())
    yield
    if task is not None:
        task.cancel()


app = FastAPI(lifespan=chatting)
live = Live(app)


# One process reads the file, once, for all pages, as long as one of them is open. A page that comes gets the last lines
# from the log of the feed, and one that was away for a moment those that it missed. Nothing is retained after the last
# page: the next one lets the feed start again, with the last lines of the file.
@live.feed("/log", keep=10_000, replay=LAST, retain=0)
async def log() -> AsyncIterator[str]:
    file = await opened()
    try:
        for line in await asyncio.to_thread(last_lines, file):
            yield line
        while True:
            await asyncio.sleep(0.2)
            is_old = await asyncio.to_thread(was_rotated, file)  # first, so that the rest of the old file is read, too
            for line in await asyncio.to_thread(lines_of, file):
                yield line
            if is_old:
                file.close()
                file = await opened()
    finally:
        file.close()


async def opened() -> BinaryIO:
    try:
        return await asyncio.to_thread(LOG.open, "rb")
    except OSError as error:  # pages show the reason until the file is there
        raise SourceError(f"{LOG.name}: {error.strerror}") from error


def last_lines(file: BinaryIO) -> list[str]:
    """Return the last lines of a file that may be large."""
    is_large = file.seek(0, os.SEEK_END) > MOST
    file.seek(-MOST if is_large else 0, os.SEEK_END if is_large else os.SEEK_SET)
    lines = lines_of(file)
    return lines[1 if is_large else 0 :][-LAST:]  # the first one was cut


def lines_of(file: BinaryIO) -> list[str]:
    """Return the lines that were written since the last look; one that is being written waits for the next look."""
    lines = file.readlines()
    if lines and not lines[-1].endswith(b"\n"):
        file.seek(-len(lines.pop()), os.SEEK_CUR)
    return [line.decode(errors="replace").rstrip("\r\n") for line in lines]


def was_rotated(file: BinaryIO) -> bool:
    """Return True if another file has the name, or the file was emptied."""
    try:
        here, there = os.fstat(file.fileno()), LOG.stat()
    except OSError:
        return False  # no file has the name for now
    return there.st_ino != here.st_ino or there.st_size < file.tell()


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Log</title>
<style>
  :root { color-scheme: light dark; font: 14px/1.5 system-ui; background: light-dark(#f6f7f9, #0e1116) }
  html, body { height: 100%; margin: 0 } body { display: grid; grid-template-rows: auto 1fr }
  header { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; padding: .75rem 1rem }
  header input { font: inherit; padding: .3rem .6rem; border-radius: .5rem; border: 1px solid #8888; flex: 1 }
  #lines { overflow: auto; margin: 0 1rem 1rem; padding: .75rem 1rem; border: 1px solid #8884; border-radius: .75rem;
           background: light-dark(#fff, #171b22); font: 13px/1.6 ui-monospace, monospace; white-space: pre }
  .ERROR { color: light-dark(#b91c1c, #f87171) } .WARNING { color: light-dark(#a16207, #facc15) } .DEBUG { opacity: .6 }
  .gap { color: light-dark(#6d28d9, #c4b5fd) } .stale #lines { opacity: .6 } [hidden] { display: none }
</style>
<header>
  <b>Log</b><input id="wanted" type="search" placeholder="Filter" aria-label="Filter">
  <span id="count"></span><span id="state" role="status"></span>
</header>
<div id="lines" role="log" tabindex="0"></div>
<script type="module">
  import { connect } from "/live/wirespeed.js";
  const MOST = 2000;
  const place = (id) => document.getElementById(id);
  const lines = place("lines");
  const live = connect();
  let count = 0;

  const isWanted = (line) => line.textContent.toLowerCase().includes(place("wanted").value.toLowerCase());
  function add(texts, kind) {
    const isAtEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 30;
    lines.append(...texts.map((text) => {
      const line = document.createElement("div");
      line.textContent = text;
      line.className = kind ?? /ERROR|WARNING|DEBUG/.exec(text)?.[0] ?? "";
      line.hidden = !isWanted(line);
      return line;
    }));
    while (lines.childElementCount > MOST) lines.firstChild.remove();
    if (isAtEnd) lines.scrollTop = lines.scrollHeight;
  }

  const log = live.feed("log", { every: true });
  log.onBatch((texts) => {
    add(texts);
    place("count").textContent = `${count += texts.length} lines`;
  });
  log.onLoss((lost) => {
    if (lost === null) lines.replaceChildren(); // the server has started again, and sends the last lines
    else add([`— ${lost} lines are missing here —`], "gap");
  });
  log.status.subscribe(({ state, reason }) => {
    place("state").textContent = state === "connected" ? "Following" : (reason ?? state);
    document.documentElement.classList.toggle("stale", state !== "connected");
  });
  place("wanted").oninput = () => { for (const line of lines.children) line.hidden = !isWanted(line) };
</script>
</html>
"""
