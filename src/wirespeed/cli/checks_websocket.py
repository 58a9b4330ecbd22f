"""Checks over WebSockets: whether they arrive, are compressed, and how long a round trip takes."""

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

from .checks import Finding, note, ok, slow, wrong
from .fetching import MOST_BYTES, PATIENCE, explained, from_json, get
from .target import Target

DEPLOY = "see docs/how-to/deploy.md"
ROUND_TRIPS = 5
SLOW_ROUND_TRIP = 0.25
"""Seconds of the median round trip, from which on it is worth a word."""


async def check(target: Target) -> list[Finding]:
    """Return what a multiplexed connection finds."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    address = target.websocket(f"{target.prefix}/websocket")
    try:
        # Compression is offered, to see whether the server takes it.
        async with connect(
            address, additional_headers=target.headers, open_timeout=PATIENCE, max_size=MOST_BYTES
        ) as socket:
            return [
                ok("WebSocket", "the multiplexed connection opens"),
                *_compression(socket),
                *await _connected(socket, target),
                *await _round_trips(socket),
            ]
    except InvalidStatus as error:
        return [await asyncio.to_thread(_refused, target, error.response.status_code)]
    except (OSError, WebSocketException) as error:
        text = f"no WebSocket opens at {target.prefix}/websocket: {explained(error)}"
        return [wrong("WebSocket", text, f"Check that the proxy passes WebSockets; {DEPLOY}.")]


def _refused(target: Target, status: int) -> Finding:
    if status == 426:
        fix = f"A proxy drops the Upgrade header: pass Upgrade and Connection on; {DEPLOY}."
        return wrong("WebSocket", "the handshake arrives as a plain GET", fix)
    # A server without this route refuses the handshake with 403, too. Wirespeed answers a plain GET with 426.
    if status == 404 or get(target, f"{target.prefix}/websocket").status == 404:
        text = f"there is no multiplexed connection at {target.prefix}/websocket"
        return wrong("WebSocket", text, "Check the address and the prefix, and that the app has a Live(app).")
    if status in (401, 403):
        return note("WebSocket", f"the handshake is refused with status {status}", "Give a token: --token.")
    return wrong("WebSocket", f"the handshake is refused with status {status}", f"Check the log; {DEPLOY}.")


def _compression(socket: Any) -> list[Finding]:
    if socket.response is not None and "Sec-WebSocket-Extensions" in socket.response.headers:
        fix = "Leave Settings(compression=False), or turn permessage-deflate off in the proxy."
        return [slow("compression", "WebSockets are compressed: more CPU and memory per connection, no fast lane", fix)]
    return [ok("compression", "WebSockets are not compressed")]


async def _connected(socket: Any, target: Target) -> list[Finding]:
    command = {"id": 1, "connect": {"token": target.token} if target.token else {}}
    await socket.send(json.dumps(command))
    try:
        async with asyncio.timeout(PATIENCE):
            data = await socket.recv()
    except TimeoutError:
        return [
            wrong("client", f"the server has not answered within {PATIENCE:.0f} seconds", f"Check its log; {DEPLOY}.")
        ]
    answer: Any = None
    with suppress(ValueError, TypeError):
        answer = from_json(data.partition("\n")[0])
    if not isinstance(answer, dict):
        text = f"{target.prefix}/websocket does not speak Wirespeed's protocol"
        return [wrong("client", text, "Check the address and the prefix.")]
    if isinstance(error := answer.get("error"), dict):
        text = f"the server refuses this client: {error.get('message')} ({error.get('code')})"
        return [note("client", text, "Give a token that the server accepts: --token.")]
    return []


async def _round_trips(socket: Any) -> list[Finding]:
    times = []
    for _ in range(ROUND_TRIPS):
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                await (await socket.ping())
        except TimeoutError:
            return [
                wrong("round trip", f"no answer to a ping within {PATIENCE:.0f} seconds", f"Check the proxy; {DEPLOY}.")
            ]
        times.append(time.perf_counter() - begun)
    median = sorted(times)[ROUND_TRIPS // 2]
    text = f"{1000 * median:.1f} ms, at most {1000 * max(times):.1f} ms"
    if median > SLOW_ROUND_TRIP:
        return [note("round trip", text, "The network is far, or the event loop is busy: see loop lag.")]
    return [ok("round trip", text)]
