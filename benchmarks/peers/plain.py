"""The usual loop: FastAPI's own WebSocket, with one `send` for each value and each client."""

import dataclasses

from fastapi import FastAPI, WebSocket

from benchmarks.peers.shapes import COUNT, ENDLESS_VALUE, Hello, TickDataclass, TickModel, TickTypedDict
from benchmarks.values import pace

app = FastAPI()
clients: set[WebSocket] = set()


# Streams


@app.websocket("/text")
async def text(websocket: WebSocket) -> None:
    await websocket.accept()
    async for _ in websocket.iter_text():
        for number in range(1, COUNT + 1):
            await websocket.send_text(str(number))


@app.websocket("/dict")
async def as_dict(websocket: WebSocket) -> None:
    await websocket.accept()
    async for data in websocket.iter_json():
        hello = Hello.model_validate(data)
        for number in range(1, COUNT + 1):
            await websocket.send_json({"message": f"{hello.message} - {number}", "number": number})


@app.websocket("/dataclass")
async def as_dataclass(websocket: WebSocket) -> None:
    await websocket.accept()
    async for data in websocket.iter_json():
        hello = Hello.model_validate(data)
        for number in range(1, COUNT + 1):
            tick = TickDataclass(message=f"{hello.message} - {number}", number=number)
            await websocket.send_json(dataclasses.asdict(tick))


@app.websocket("/typeddict")
async def as_typeddict(websocket: WebSocket) -> None:
    await websocket.accept()
    async for data in websocket.iter_json():
        hello = Hello.model_validate(data)
        for number in range(1, COUNT + 1):
            tick: TickTypedDict = {"message": f"{hello.message} - {number}", "number": number}
            await websocket.send_json(tick)


@app.websocket("/model-dump")
async def as_model_dump(websocket: WebSocket) -> None:
    await websocket.accept()
    async for data in websocket.iter_json():
        hello = Hello.model_validate(data)
        for number in range(1, COUNT + 1):
            tick = TickModel(message=f"{hello.message} - {number}", number=number)
            await websocket.send_json(tick.model_dump())


@app.websocket("/model-dump-json")
async def as_model_dump_json(websocket: WebSocket) -> None:
    await websocket.accept()
    async for data in websocket.iter_json():
        hello = Hello.model_validate(data)
        for number in range(1, COUNT + 1):
            tick = TickModel(message=f"{hello.message} - {number}", number=number)
            await websocket.send_text(tick.model_dump_json())


@app.websocket("/endless")
async def endless(websocket: WebSocket) -> None:
    await websocket.accept()
    async for _ in websocket.iter_text():
        while True:
            await websocket.send_text(ENDLESS_VALUE)


# Fan-out


@app.websocket("/fan")
async def fan(websocket: WebSocket) -> None:
    await websocket.accept()
    clients.add(websocket)
    try:
        async for _ in websocket.iter_text():
            pass
    finally:
        clients.discard(websocket)


async def publish(value: str) -> None:
    for websocket in list(clients):
        await websocket.send_text(value)


@app.get("/run")
async def run(rate: float, seconds: float) -> dict[str, float]:
    return await pace(rate, seconds, publish)


@app.get("/clients")
async def count_clients() -> int:
    return len(clients)
