"""The `websockets` package alone, its asyncio server: `python -m benchmarks.peers.websockets_server PORT`."""

import asyncio
import json
import sys
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

from benchmarks.peers.shapes import COUNT
from benchmarks.values import pace

clients: set[ServerConnection] = set()


async def send_text(connection: ServerConnection) -> None:
    async for _ in connection:
        for number in range(1, COUNT + 1):
            await connection.send(str(number))


async def send_json(connection: ServerConnection) -> None:
    async for message in connection:
        hello = json.loads(message)
        for number in range(1, COUNT + 1):
            await connection.send(json.dumps({"message": f"{hello['message']} - {number}", "number": number}))


async def stay(connection: ServerConnection) -> None:
    """Receive what is broadcast."""
    clients.add(connection)
    try:
        await connection.wait_closed()
    finally:
        clients.discard(connection)


async def handle(connection: ServerConnection) -> None:
    path = connection.request.path if connection.request else ""
    await {"/text": send_text, "/dict": send_json}.get(path, stay)(connection)


def publish(value: str) -> None:
    broadcast(clients, value)


async def answer(connection: ServerConnection, request: Request) -> Response | None:
    url = urlsplit(request.path)
    if url.path == "/clients":
        return connection.respond(HTTPStatus.OK, f"{len(clients)}\n")
    if url.path == "/run":
        query = parse_qs(url.query)
        paced = await pace(float(query["rate"][0]), float(query["seconds"][0]), publish)
        return connection.respond(HTTPStatus.OK, json.dumps(paced))
    return None


async def main(port: int) -> None:
    serving = serve(handle, "127.0.0.1", port, process_request=answer, ping_interval=None, open_timeout=60)
    async with serving as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
