"""Who takes part: ways in which 10,000 values come to a page, and ways to show 20 feeds."""

from dataclasses import dataclass

from benchmarks.feeds.roster import uvicorn


@dataclass(frozen=True)
class Way:
    """How values come to the page. `key` is its name there."""

    key: str
    name: str
    is_ours: bool = False


ITERATE = Way("iterate", "Wirespeed client, `for await`", is_ours=True)
BATCHES = Way("batches", "Wirespeed client, `.batches()`", is_ours=True)
SDK = Way("sdk", "`centrifuge` package", is_ours=True)
RAW = Way("raw", "Wirespeed, bare WebSocket", is_ours=True)
PLAIN = Way("plain", "FastAPI loop, bare WebSocket")
POLLING = Way("polling", "HTTP polling (1,000, times 10)")

SERVER = uvicorn("benchmarks.peers.browser_server:app")
UNCOMPRESSED = (*SERVER, "--ws-per-message-deflate", "false")


@dataclass(frozen=True)
class Match:
    """Two ways that are measured in turn. `aim` is how many times faster the first one is to be."""

    ours: Way
    other: Way
    aim: float | None = None
    server: tuple[str, ...] = SERVER

    @property
    def is_compressed(self) -> bool:
        """Whether the server compresses what it sends to bare WebSockets; uvicorn does so by default."""
        return self.server is not UNCOMPRESSED

    @property
    def name(self) -> str:
        """The two, as tables tell them."""
        return f"{self.ours.name}; {self.other.name}{'' if self.is_compressed else ', uncompressed'}"


MATCHES = (
    Match(ITERATE, PLAIN, aim=60),
    Match(BATCHES, PLAIN),
    Match(SDK, PLAIN, aim=25),
    Match(RAW, PLAIN),
    Match(ITERATE, PLAIN, server=UNCOMPRESSED),
    Match(ITERATE, RAW),
    Match(ITERATE, SDK),
    Match(ITERATE, POLLING),
)


@dataclass(frozen=True)
class Show:
    """How a page shows feeds. `key` is its name in the page; `kind` is what the server publishes to."""

    key: str
    kind: str
    name: str


OURS_SHOWN = Show("ours", "newest", "Wirespeed client, `maxRate: 60`")
BARE_SHOWN = Show("bare", "all", "20 bare WebSockets")
SHOWS = (OURS_SHOWN, BARE_SHOWN)
