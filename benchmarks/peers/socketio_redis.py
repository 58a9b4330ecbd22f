"""python-socketio with its Redis manager: one room for all, in several processes."""

import os
from typing import Any

import socketio
from fastapi import FastAPI

from benchmarks.values import pace

api = FastAPI()
manager = socketio.AsyncRedisManager(os.environ["REDIS_URL"])
sio = socketio.AsyncServer(async_mode="asgi", client_manager=manager, ping_interval=1000)
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
