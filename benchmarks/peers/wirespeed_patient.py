"""Wirespeed with a longer `stall_timeout`: clients that stop reading stay connected until they vanish.

With the default, their connections are aborted after ten seconds.
"""

from fastapi import FastAPI

from benchmarks.values import pace
from wirespeed import Live, Settings

app = FastAPI()
live = Live(app, settings=Settings(stall_timeout=3600))
slow = live.topic("/slow", str, keep=1000, on_lag="skip")


def publish(value: str) -> None:
    slow.publish(value)


@app.get("/run")
async def run(rate: float, seconds: float) -> dict[str, float]:
    return await pace(rate, seconds, publish)


@app.get("/clients")
async def clients() -> int:
    return live.statistics().connections


@app.get("/watchers")
async def watchers() -> int:
    return slow.statistics().watchers
