"""The `websockets` package alone, its asyncio server: `python -m benchmarks.peers.websockets_server PORT`."""

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, serve

from benchmarks.peers.shapes import COUNT


async def send_text(connection: ServerConnection) -> None:
    async for _ in connection:
        for number in range(1, COUNT + 1):
            await connection.send(str(number))


async def send_json(connection: ServerConnection) -> None:
    async for message in connection:
        hello = json.loads(message)
        for number in range(1, COUNT + 1):
            await connection.send(json.dumps({"message": f"{hello['message']} - {number}", "number": number}))


async def handle(connection: ServerConnection) -> None:
    path = connection.request.path if connection.request else ""
    await (send_text if path == "/text" else send_json)(connection)


async def main(port: int) -> None:
    async with serve(handle, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
