"""The loop that everybody writes today: FastAPI's own WebSocket, one `send_text` for each client and value."""

from fastapi import FastAPI, WebSocket

from benchmarks.feeds.values import pace

app = FastAPI()
clients: set[WebSocket] = set()


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
