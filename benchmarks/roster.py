"""Who is measured: each peer is a server of its own in `peers/`, written the way its users write it."""

from dataclasses import dataclass

from benchmarks.cases import DATACLASS, DICT, MODEL, TEXT, TYPEDDICT, Case


@dataclass(frozen=True)
class Way:
    """How a peer sends the values of one case, and under which path of its server."""

    case: Case
    path: str
    how: str


@dataclass(frozen=True)
class Peer:
    """A server: the command that starts it (`{port}` is filled in) and the ways in which it can send.

    `needs` says what to install where it is not available.
    """

    name: str
    command: tuple[str, ...]
    ways: tuple[Way, ...]
    note: str = ""
    needs: str = ""
    is_ours: bool = False

    def ways_for(self, case: Case) -> tuple[Way, ...]:
        return tuple(way for way in self.ways if way.case is case)


def _uvicorn(app: str, loop: str) -> tuple[str, ...]:
    # The loop is named because uvicorn takes uvloop by itself wherever that is installed.
    return ("python", "-m", "uvicorn", app, "--port", "{port}", "--loop", loop)


_OUR_WAYS = tuple(Way(case, f"/{case.name}", "`yield`") for case in (TEXT, DICT, DATACLASS, TYPEDDICT, MODEL))
_PLAIN_TEXT_AND_DICT = (Way(TEXT, "/text", "`send_text`"), Way(DICT, "/dict", "`send_json`"))
_PLAIN_WAYS = (
    *_PLAIN_TEXT_AND_DICT,
    Way(DATACLASS, "/dataclass", "`send_json(asdict())`"),
    Way(TYPEDDICT, "/typeddict", "`send_json`"),
    Way(MODEL, "/model-dump-json", "`send_text(model_dump_json())`"),
    Way(MODEL, "/model-dump", "`send_json(model_dump())`"),
)
_JSON_DUMPS = Way(DICT, "/dict", "`json.dumps`")

OURS = Peer("Wirespeed", _uvicorn("benchmarks.peers.ours:app", "asyncio"), _OUR_WAYS, is_ours=True)
FLOOR = Peer("the floor", (), _OUR_WAYS)
PLAIN = Peer("FastAPI loop", _uvicorn("benchmarks.peers.plain:app", "asyncio"), _PLAIN_WAYS)

PEERS = (
    PLAIN,
    Peer(
        "FastAPI loop, uvloop",
        _uvicorn("benchmarks.peers.plain:app", "uvloop"),
        _PLAIN_TEXT_AND_DICT,
    ),
    Peer(
        "FastAPI loop, hypercorn",
        ("python", "-m", "hypercorn", "--bind", "127.0.0.1:{port}", "benchmarks.peers.plain:app"),
        _PLAIN_TEXT_AND_DICT,
    ),
    Peer(
        "FastAPI loop, granian",
        ("python", "-m", "granian", "--interface", "asgi", "--port", "{port}", "benchmarks.peers.plain:app"),
        _PLAIN_TEXT_AND_DICT,
        note="its default loop, which is uvloop where that is installed",
    ),
    Peer(
        "websockets",
        ("python", "-m", "benchmarks.peers.websockets_server", "{port}"),
        (Way(TEXT, "/text", "`send`"), _JSON_DUMPS),
    ),
    Peer(
        "picows, uvloop",
        ("python", "-m", "benchmarks.peers.picows_server", "{port}"),
        (Way(TEXT, "/text", "`send`"), _JSON_DUMPS),
        note="sends without backpressure",
    ),
    Peer(
        "Node.js ws",
        ("node", "benchmarks/peers/node_ws.mjs", "{port}"),
        (Way(TEXT, "/text", "`send`"), Way(DICT, "/dict", "`JSON.stringify`")),
        note="sends without backpressure",
        needs="Node.js 20 or newer, and `npm ci` in benchmarks/peers",
    ),
    Peer(
        "uWebSockets (socketify)",
        ("python", "-m", "benchmarks.peers.socketify_server", "{port}"),
        (Way(TEXT, "/text", "`send`"), _JSON_DUMPS),
        note="sends without backpressure; gathers 16 KiB for each write",
        needs="libuv (Debian: apt-get install libuv1)",
    ),
    Peer(
        "Wirespeed, uvloop",
        _uvicorn("benchmarks.peers.ours:app", "uvloop"),
        _OUR_WAYS[:2],
        note="ourselves on the other loop",
        is_ours=True,
    ),
)
