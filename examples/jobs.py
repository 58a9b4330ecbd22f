"""Jobs with a worker process, which publishes its progress from outside of the app.

It needs a broker. Start it with `WIRESPEED_BROKER=redis://localhost fastapi dev examples/jobs.py` and open
http://localhost:8000. A worker is `python examples/jobs.py NAME STEPS`: here the app starts it, and in yours a task
queue may.
"""

import os
import random
import subprocess
import sys
import time
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from wirespeed import Live, Publisher

app = FastAPI()
live = Live(app, broker=os.environ["WIRESPEED_BROKER"])


class Job(BaseModel):
    id: str
    steps: int
    done: int = 0
    state: Literal["waiting", "running", "finished", "failed"] = "waiting"


class NewJob(BaseModel):
    steps: Annotated[int, Field(ge=1, le=200)]


jobs = live.topic("/jobs", Job, by="id")


@live.topic("/jobs/{id}/log", str, keep=1000, replay=1000)
def log(id: str) -> None:  # noqa: A002
    """The lines that the worker writes about one job, until the job is complete."""


@live.call("/start")
async def start(new: NewJob) -> str:
    job = Job(id=uuid4().hex[:6], steps=new.steps)
    await jobs.publish(job)
    # A session of its own: the worker goes on while the app restarts.
    command = [sys.executable, __file__, job.id, str(job.steps)]
    subprocess.Popen(command, start_new_session=True)  # noqa: ASYNC220 - it takes a millisecond
    return job.id


@live.call("/clear")
async def clear() -> bool:
    await jobs.clear()
    return True


def work(job: Job) -> None:
    """Do a job, in the worker's process. The broker carries what it publishes to the pages of all of the app's."""
    with Publisher(app):
        log.publish(f"{job.id} starts with {job.steps} steps", job.id)
        try:
            for step in range(1, job.steps + 1):
                time.sleep(random.uniform(0.05, 0.2))
                if random.random() < 0.003:
                    raise RuntimeError("the machine is out of paper")
                jobs.publish(job.model_copy(update={"done": step, "state": "running"}))
                log.publish(f"step {step} of {job.steps} is done", job.id)
            jobs.publish(job.model_copy(update={"done": job.steps, "state": "finished"}))
        except Exception as error:
            jobs.publish(job.model_copy(update={"state": "failed"}))
            log.publish(f"failed: {error}", job.id)
        log.complete(job.id)


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Jobs</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui; background: light-dark(#f6f7f9, #0e1116) }
  body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
  header, form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end } h1 { margin: 0 auto 0 0 }
  form { margin: 1.5rem 0 } label { display: grid; font-size: .85rem }
  input, button { font: inherit; padding: .3rem .6rem } input { width: 6rem }
  output, .failed { color: light-dark(#b91c1c, #f87171) }
  #jobs > div { display: grid; grid-template-columns: 5rem 1fr 6rem; gap: 1rem; align-items: center; cursor: pointer;
                padding: .5rem 1rem; margin: .4rem 0; border: 1px solid #8884; border-radius: .75rem;
                background: light-dark(#fff, #171b22) }
  #jobs > .chosen { border-color: #3b82f6 } progress { width: 100%; accent-color: #3b82f6 }
  #log { font: 13px/1.6 ui-monospace, monospace; white-space: pre-wrap; max-height: 16rem; overflow: auto }
  .stale #jobs { opacity: .5 } .finished progress { accent-color: #16a34a }
</style>
<header><h1>Jobs</h1><span id="state" role="status"></span><button id="clear">Clear</button></header>
<form><label>Steps <input name="steps" value="40"></label><button>Start</button><output></output></form>
<div id="jobs"></div>
<div id="log" role="log"></div>
<script type="module">
  import { connect } from "/live/wirespeed.js";
  const place = (id) => document.getElementById(id);
  const live = connect();
  live.status.subscribe(({ state, reason }) => {
    place("state").textContent = state === "connected" ? "Live" : (reason ?? state);
    document.documentElement.classList.toggle("stale", state !== "connected");
  });

  let chosen;
  let leave = () => {};
  function choose(id) {
    if (id === chosen) return; // the feed has delivered the log already
    leave();
    chosen = id;
    for (const line of place("jobs").children) line.classList.toggle("chosen", line.dataset.id === chosen);
    place("log").textContent = "";
    leave = live.feed(`jobs/${id}/log`, { every: true }).onBatch((lines) => {
      place("log").append(lines.join("\\n") + "\\n");
      place("log").scrollTop = place("log").scrollHeight;
    });
  }

  live.table("jobs").onChange((changed) => {
    for (const [id, job] of changed) {
      let line = place("jobs").querySelector(`[data-id="${id}"]`);
      if (!job) { line?.remove(); continue }
      if (!line) {
        line = document.createElement("div");
        line.innerHTML = "<b></b><progress></progress><span></span>";
        line.dataset.id = line.firstChild.textContent = id;
        line.onclick = () => choose(id);
        place("jobs").prepend(line);
      }
      line.className = `${job.state} ${id === chosen ? "chosen" : ""}`;
      Object.assign(line.querySelector("progress"), { max: job.steps, value: job.done });
      line.lastChild.textContent = job.state;
    }
  });

  // Jobs that have ended count in the title while the tab is hidden. After a lost connection all rows come again.
  let ended = 0;
  let known;
  live.feed("jobs", { every: true, hidden: "deliver" }).onBatch((changes) => {
    const over = changes.filter(({ value }) => value?.state === "finished" || value?.state === "failed");
    const news = over.filter(({ key }) => known && !known.has(key));
    known = new Set([...(known ?? []), ...over.map(({ key }) => key)]);
    ended = document.hidden ? ended + news.length : 0;
    document.title = ended ? `(${ended}) Jobs` : "Jobs";
  });
  document.onvisibilitychange = () => { ended = 0; document.title = "Jobs" };

  document.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const said = document.querySelector("output");
    said.textContent = "";
    try {
      choose(await live.call("start", { steps: event.target.steps.value }));
    } catch ({ message, detail }) {
      said.textContent = detail?.[0]?.msg ?? message;
    }
  };
  place("clear").onclick = () => live.call("clear");
</script>
</html>
"""

if __name__ == "__main__":
    work(Job(id=sys.argv[1], steps=int(sys.argv[2])))
