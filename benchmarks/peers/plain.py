"""The loop that everybody writes today: FastAPI's own WebSocket, one `send` for each value."""

import dataclasses

from fastapi import FastAPI, WebSocket

from benchmarks.peers.shapes import COUNT, ENDLESS_VALUE, Hello, TickDataclass, TickModel, TickTypedDict

app = FastAPI()


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
