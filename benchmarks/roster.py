"""The servers that are measured: each is a small program in `peers/`, written the way its users write it."""

import json
import os
from dataclasses import dataclass, replace

from benchmarks.processes import UnavailableError
from benchmarks.values import FRAME_SIZE, SIZE
from benchmarks.websocket import Endpoint

_SOCKETIO_SIZE = FRAME_SIZE + len('42["value",""]')
_NODE_NEEDS = "Node.js 20 or newer, and `npm ci` in benchmarks/peers"


@dataclass(frozen=True)
class Peer:
    """A server: its command (`{port}` is filled in), and how its clients connect in a fan-out.

    `silent` are options that switch its own pings off. `frame` is the size of one value on the wire, or 1 if that
    varies: then values are counted instead of bytes. `has_clients` is False if it cannot say how many clients it has.
    """

    name: str
    command: tuple[str, ...]
    kind: str = "peer"
    note: str = ""
    needs: str = ""
    silent: tuple[str, ...] = ()
    path: str = "/fan"
    frame: int = FRAME_SIZE
    say: str = ""
    until: str = ""
    is_binary: bool = False
    has_clients: bool = True

    @property
    def mode(self) -> str:
        """The mode of its clients: they count values, or bytes."""
        return "values" if self.frame == 1 else "count"

    def endpoint(self, port: int) -> Endpoint:
        """Return where its clients connect in a fan-out."""
        return Endpoint(port, self.path, self.say, self.until, is_binary=self.is_binary)

    def check(self) -> None:
        """Raise `UnavailableError` if it is known to be missing."""
        if self is CENTRIFUGO and not os.environ.get("CENTRIFUGO"):
            raise UnavailableError("CENTRIFUGO does not name its binary")


def _uvicorn(app: str, loop: str = "asyncio") -> tuple[str, ...]:
    # The loop is named because uvicorn takes uvloop by itself if that is installed.
    app = f"benchmarks.peers.{app}" + ("" if ":" in app else ":app")
    return ("python", "-m", "uvicorn", app, "--port", "{port}", "--loop", loop, "--log-level", "warning")


def _python(module: str) -> tuple[str, ...]:
    return ("python", "-m", f"benchmarks.peers.{module}", "{port}")


_SILENT = ("--ws-ping-interval", "1000")

WIRESPEED = Peer("Wirespeed", _uvicorn("wirespeed_app"), kind="wirespeed", silent=_SILENT)
NEWER = replace(WIRESPEED, command=_uvicorn("wirespeed_newer"))
PATIENT = replace(WIRESPEED, command=_uvicorn("wirespeed_patient"))
TRACED = replace(WIRESPEED, command=_uvicorn("wirespeed_traced"))
CHANNELS = replace(WIRESPEED, command=_uvicorn("wirespeed_channels"))
CONSOLE = replace(WIRESPEED, command=_uvicorn("wirespeed_console"))
LARGE = replace(WIRESPEED, command=_uvicorn("wirespeed_large"))
BROWSER = replace(WIRESPEED, command=_uvicorn("browser_server"))
WIRESPEED_UVLOOP = Peer("Wirespeed, uvloop", _uvicorn("wirespeed_app", "uvloop"), silent=_SILENT)

PLAIN = Peer("FastAPI loop", _uvicorn("plain"), silent=_SILENT)
PLAIN_UVLOOP = Peer("FastAPI loop, uvloop", _uvicorn("plain", "uvloop"))
PLAIN_HYPERCORN = Peer(
    "FastAPI loop, hypercorn",
    ("python", "-m", "hypercorn", "--bind", "127.0.0.1:{port}", "benchmarks.peers.plain:app"),
)
PLAIN_GRANIAN = Peer(
    "FastAPI loop, granian",
    ("python", "-m", "granian", "--interface", "asgi", "--port", "{port}", "benchmarks.peers.plain:app"),
    note="runs on its default event loop, which is uvloop if that is installed",
)
WEBSOCKETS = Peer("websockets", _python("websockets_server"), note="its `broadcast` writes without backpressure")
PICOWS = Peer("picows, uvloop", _python("picows_server"), note="sends without backpressure")
NODE = Peer(
    "Node.js ws",
    ("node", "benchmarks/peers/node_ws.mjs", "{port}"),
    note="sends without backpressure",
    needs=_NODE_NEEDS,
)
SOCKETIFY = Peer(
    "uWebSockets (socketify)",
    _python("socketify_server"),
    note="sends without backpressure; gathers up to 16 KiB for each write",
    needs="libuv (Debian: apt-get install libuv1)",
)
SOCKETIO = Peer(
    "python-socketio, room",
    _uvicorn("socketio_room"),
    note=f"has its own framing, {_SOCKETIO_SIZE - FRAME_SIZE} bytes more for each value of {SIZE}; emits without "
    "backpressure",
    silent=_SILENT,
    path="/socket.io/?EIO=4&transport=websocket",
    frame=_SOCKETIO_SIZE,
    say="40",
    until='40{"sid"',
)
CENTRIFUGO = Peer(
    "Centrifugo",
    _python("centrifugo"),
    note="JSON, a channel without history; the benchmark publishes over its HTTP API, with one request for all that is "
    "due",
    needs="its binary, named by the environment variable CENTRIFUGO",
    path="/connection/websocket",
    frame=1,
    say='{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"fan"}}',
    until='"id":2',
    has_clients=False,
)
# Several workers, joined by a server of Redis or Valkey

SOCKETIO_REDIS = replace(
    SOCKETIO,
    name="python-socketio, Redis manager",
    command=_uvicorn("socketio_redis"),
    note=f"{SOCKETIO.note}; with `AsyncRedisManager`",
)
LITESTAR_STREAMS = Peer(
    "Litestar channels, streams",
    _uvicorn("litestar_channels:streams"),
    note="with `RedisChannelsStreamBackend(history=1000)`, and the WebSocket routes that its plugin makes",
    silent=_SILENT,
    has_clients=False,
)
LITESTAR_PUBSUB = replace(
    LITESTAR_STREAMS,
    name="Litestar channels, pub/sub",
    command=_uvicorn("litestar_channels:pubsub"),
    note="with `RedisChannelsPubSubBackend`, and the WebSocket routes that its plugin makes",
)
REDIS_PEERS = (SOCKETIO_REDIS, LITESTAR_STREAMS, LITESTAR_PUBSUB)

FLOOR = Peer("bare `send()` calls", _python("bare_send"), kind="floor")

# The multiplexed connection

WEBSOCKET = "/live/websocket"
QUIET_WEBSOCKET = f"{WEBSOCKET}?cf_ws_frame_ping_pong=true"
"""Without the protocol's own pings, which would want an answer."""
CONNECT = '{"id":1,"connect":{}}'
CONNECTED = '"id":1'


def subscribe(channel: str, number: str = "<id>", **more: object) -> str:
    """Return a subscribe command. By default, the clients fill in its number."""
    command = json.dumps({"subscribe": {"channel": channel, **more}}, separators=(",", ":"))
    return f'{{"id":{number},{command[1:]}'


# In Protobuf: the length of each command; its number; the field of connect (4) or subscribe (5), and its length.
_CONNECT_BYTES = b"\x04\x08\x01\x22\x00"
_SUBSCRIBE_BYTES = b"\x09\x08\x02\x2a\x05\x0a\x03fan"
_SUBSCRIBED_BYTES = b"\x08\x02\x32"

RAW = replace(WIRESPEED, name="Wirespeed, raw WebSocket", kind="peer", frame=1)
JSON = replace(
    WIRESPEED,
    name="Wirespeed, JSON",
    path=QUIET_WEBSOCKET,
    frame=1,
    say=f"{CONNECT}\n{subscribe('fan', '2')}",
    until='"id":2',
)
PROTOBUF = replace(
    JSON,
    name="Wirespeed, Protobuf",
    path=f"{QUIET_WEBSOCKET}&cf_protocol=protobuf",
    say=(_CONNECT_BYTES + _SUBSCRIBE_BYTES).decode("latin-1"),
    until=_SUBSCRIBED_BYTES.decode("latin-1"),
    is_binary=True,
)


def notes(names: set[str]) -> list[str]:
    """Return what readers should know about the servers that took part, by the names of their sides."""
    alone = (PLAIN_GRANIAN, WEBSOCKETS, PICOWS, NODE, SOCKETIFY, SOCKETIO, CENTRIFUGO)
    peers = (*alone, *REDIS_PEERS)
    return [f"{peer.name}: {peer.note}" for peer in peers if any(name.startswith(peer.name) for name in names)]
