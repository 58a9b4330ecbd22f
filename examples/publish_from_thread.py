"""The progress of jobs: a plain `def` endpoint, which runs in a worker thread, publishes to a topic with a key.

Start it with `fastapi dev examples/publish_from_thread.py` and open http://localhost:8000
"""

import time

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from wirespeed import Live

app = FastAPI()
live = Live(app)


class Progress(BaseModel):
    percent: int


@live.topic("/jobs/{number}", Progress, keep="latest")
def jobs(number: int) -> None:
    """The progress of one job."""


@app.post("/jobs/{number}")
def run(number: int) -> str:
    """Do the work and publish its progress. Publishing never waits, and is safe in any thread."""
    for percent in range(0, 101, 5):
        jobs.publish(Progress(percent=percent), number=number)
        time.sleep(0.05)  # the work
    return "done"


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Jobs</title>
<h1>Jobs</h1>
<label>Job <input id="job" type="number" value="1" min="1" required></label>
<button id="start">Start it</button>
<p><progress id="bar" max="100" value="0"></progress> <b id="percent">0</b> %</p>
<p id="state" role="status"></p>
<script type="module">
  const [job, start, bar, percent, state] =
    ["job", "start", "bar", "percent", "state"].map((id) => document.getElementById(id));
  let socket;

  function watch() {
    const opened = new WebSocket(`${location.origin.replace("http", "ws")}/jobs/${job.valueAsNumber}`);
    socket = opened;
    opened.onopen = () => { state.textContent = `Watching job ${job.value}` };
    opened.onmessage = (event) => {
      if (opened === socket) {
        bar.value = percent.textContent = JSON.parse(event.data).percent;
      }
    };
    opened.onclose = () => {
      if (opened === socket) {
        state.textContent = "The connection was lost. Trying again.";
        setTimeout(() => { if (opened === socket) watch() }, 1000);
      }
    };
  }

  job.onchange = () => {
    if (job.reportValidity()) {
      const before = socket;
      socket = null;
      before.close();
      bar.value = percent.textContent = 0;
      watch();
    }
  };
  start.onclick = async () => {
    const answer = await fetch(`/jobs/${job.valueAsNumber}`, { method: "POST" }).catch(() => null);
    if (!answer?.ok) {
      state.textContent = "The job could not be run.";
    }
  };
  watch();
</script>
</html>
"""
