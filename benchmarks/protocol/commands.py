"""What the clients of the protocol say and look for, in JSON."""

import json
from collections.abc import Iterable
from typing import Any

from benchmarks.feeds.handshake import Target, client_frame

CONNECT = '{"id":1,"connect":{}}'
CONNECTED = '"id":1'
SUBSCRIBED = b'"subscribe":{'
"""Is in each reply to a subscribe command, and in nothing else."""
PING = b"\x81\x02{}"
PONG = client_frame(b"{}")


def target(port: int, *, as_browser: bool = False) -> Target:
    """A connection that has no subscriptions yet."""
    return Target(port, "/live/websocket", CONNECT, CONNECTED, as_browser=as_browser)


def subscribe(id_: int, channel: str, **more: Any) -> str:
    return json.dumps({"id": id_, "subscribe": {"channel": channel, **more}}, separators=(",", ":"))


def subscribes(path: str, numbers: Iterable[int]) -> bytes:
    """The payload of one frame with one command for each number."""
    return "\n".join(subscribe(id_, path.format(number=number)) for id_, number in enumerate(numbers, 2)).encode()
