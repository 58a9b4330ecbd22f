"""An app whose dependency waits, for clients that leave at any moment."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, cast

from fastapi import Depends, FastAPI

from wirespeed import Live, Message, Settings


async def waiting() -> None:
    """Wait, so that a client can leave meanwhile."""
    await asyncio.sleep(0.01)


Waiting = Annotated[None, Depends(waiting)]
LANE = cast("Literal['auto', 'portable']", os.environ.get("LANE", "auto"))
PING = float(os.environ.get("PING", "25"))
app = FastAPI()
# Deadlines that are due at once are those whose handles are different on uvloop.
settings = Settings(
    connect_timeout=1.0, heartbeat_interval=0.05, ping_interval=PING, pong_timeout=0.9 * PING, lane=LANE
)
live = Live(app, settings=settings)


@live.feed("/feed/{key}", linger=0, dependencies=[Depends(waiting)])
async def feed(key: int) -> AsyncIterator[int]:
    """Yield numbers."""
    for number in range(1_000_000):
        yield number
        await asyncio.sleep(0.005)


topic = live.topic("/topic", str, keep=10, retain=0, dependencies=[Depends(waiting)])


@topic.on_message
async def said(message: Annotated[str, Message()]) -> None:
    """Publish a client's message."""
    topic.publish(message)


@live.stream("/stream")
async def stream(_: Waiting) -> AsyncIterator[str]:
    """Yield more text than a client that does not read accepts."""
    for _number in range(1_000_000):
        yield "x" * 1000
        await asyncio.sleep(0)


@live.call("/call")
async def call(message: Annotated[int, Message()], _: Waiting) -> int:
    """Return the same number."""
    return message


@app.get("/state")
def state() -> dict[str, Any]:
    """Return the current figures."""
    told = live.statistics()
    watching = live.watching()
    return {
        "connections": told.connections,
        "runs": told.runs,
        "failed": told.failed,
        "watchers": sum(each.watchers for each in watching.values()),
        "keys": sum(each.keys for each in watching.values()),
        "clients": len(live.clients()),
        "accepted": told.accepted,
    }
