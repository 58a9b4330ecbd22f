"""python-socketio: one room for all, as in its documentation."""

from typing import Any

import socketio
from fastapi import FastAPI

from benchmarks.values import pace

api = FastAPI()
sio = socketio.AsyncServer(async_mode="asgi", ping_interval=1000)
app = socketio.ASGIApp(sio, api)
clients: set[str] = set()


@sio.event  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await sio.enter_room(sid, "fan")
    clients.add(sid)


@sio.event  # type: ignore[untyped-decorator]
async def disconnect(sid: str, reason: str) -> None:
    clients.discard(sid)


async def publish(value: str) -> None:
    await sio.emit("value", value, room="fan")


@api.get("/run")
async def run(rate: float, seconds: float) -> dict[str, float]:
    return await pace(rate, seconds, publish)


@api.get("/clients")
async def count_clients() -> int:
    return len(clients)
