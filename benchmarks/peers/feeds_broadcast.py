"""The `websockets` package alone, with its `broadcast`: `python -m benchmarks.peers.feeds_broadcast PORT`."""

import asyncio
import json
import sys
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

from benchmarks.feeds.values import pace

clients: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    clients.add(connection)
    try:
        await connection.wait_closed()
    finally:
        clients.discard(connection)


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
