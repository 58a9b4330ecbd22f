"""The shapes of readings: those of other processes are checked, because another version of the app may have sent them.

Fields beyond these are left out.
"""

from typing import Annotated, Any

from annotated_types import Len
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from .process import NUMBERS


class _LoopLag(TypedDict):
    mean: float
    worst: float


class _Broker(TypedDict):
    state: str
    seconds: float
    problem: str
    waiting: int


class _Process(TypedDict):
    name: str
    host: str
    pid: int
    uptime: float
    loop_lag: _LoopLag
    cpu: float
    memory: int | None
    connections: int
    clients: int
    runs: int
    messages: int
    bytes: int
    lanes: dict[str, int]
    refused: dict[str, int]
    broker: _Broker


class _Runs(TypedDict):
    active: int
    completed: int
    refused: int
    failed: int
    cancelled: int
    messages: int


class _ProcessSeen(TypedDict):
    process: _Process
    figures: dict[str, Annotated[list[int], Len(len(NUMBERS), len(NUMBERS))]]
    producers: dict[str, dict[str, int]]
    runs: dict[str, _Runs]


class _Key(TypedDict):
    key: dict[str, Any]
    text: str
    watchers: int
    published: int
    state: str


class _KeysSeen(TypedDict):
    total: int
    keys: list[_Key]


class _Position(TypedDict):
    epoch: str
    offset: int


class _Entry(TypedDict):
    offset: int
    age: float | None
    size: int
    row: Any
    tags: dict[str, str]
    preview: str


class _WatcherSeen(TypedDict):
    client: str
    user: str
    surface: str
    waiting: int
    lag: int
    painted_age: float | None


class _Producer(TypedDict):
    state: str
    since: float
    lease: float | None
    restarts: int


class _Health(TypedDict):
    state: str
    since: float
    reason: str


class _Error(TypedDict):
    at: float
    text: str


class _OnlyErrors(TypedDict):
    errors: list[_Error]


class _KeySeen(_OnlyErrors):
    position: _Position | None
    bytes: int
    complete: bool
    entries: list[_Entry]
    watchers: list[_WatcherSeen]
    watchers_total: int
    producer: _Producer | None
    health: _Health | None


class _Client(TypedDict):
    id: str
    user: str
    session: str
    surface: str
    transport: str
    lane: str
    path: str
    address: str
    since: float
    subscriptions: int
    waiting: int


class _ClientsSeen(TypedDict):
    total: int
    clients: list[_Client]


class _Identity(TypedDict):
    user: str
    session: str
    expires_at: float | None
    info: Any
    subscriptions: list[str]


class _Channel(TypedDict):
    channel: str
    kind: str
    lag: int | None
    painted_age: float | None
    since: float | None
    waiting: int | None


class _ClientSeen(_Client):
    identity: _Identity | None
    channels: list[_Channel]


SHAPES: dict[str, TypeAdapter[Any]] = {
    "process": TypeAdapter(_ProcessSeen),
    "keys": TypeAdapter(_KeysSeen),
    "key": TypeAdapter(_KeySeen | _OnlyErrors | None),
    "clients": TypeAdapter(_ClientsSeen),
    "client": TypeAdapter(_ClientSeen | None),
}
"""The shape of each reading, by its name."""
