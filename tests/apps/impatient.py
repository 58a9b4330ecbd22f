"""The engine's app with a short timeout for clients that do not read."""

import os
from typing import Any

from fastapi import FastAPI

from tests.apps.engine import count_json, endless, shout
from wirespeed import Live, Settings

app = FastAPI()
live = Live(app, settings=Settings(stall_timeout=1.0, lane="portable" if os.environ.get("PORTABLE") else "auto"))
live.stream("/endless")(endless)
live.stream("/json")(count_json)
live.stream("/shout")(shout)


@app.get("/state")
async def state() -> dict[str, Any]:
    """Return the state of the connections."""
    return live.statistics()._asdict()
