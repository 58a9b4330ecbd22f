"""Clients that the test controls, with feeds and topics for them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.lanes.recording import RecordingLane
from wirespeed.declare import declare_feed, declare_topic
from wirespeed.definitions import FeedDefinition, SourceHealth, SourceRefusal, Topic, TopicDefinition, WatchedOptions
from wirespeed.frames import TEXT
from wirespeed.hub.engine import Engine
from wirespeed.hub.watcher import Watcher
from wirespeed.log.position import Position
from wirespeed.surfaces.wires import RawWire

WIRE = RawWire(TEXT)


class WakingLane(RecordingLane):
    """A recording lane that reports when there is room again."""

    def unblock(self) -> None:
        """Let the client accept its bytes."""
        super().unblock()
        if self.on_writable is not None:
            self.on_writable()


class Client:
    """A watcher, with records of its end."""

    def __init__(self, room: int | None = None) -> None:
        self.lane = WakingLane(room)
        self.told: list[object] = []
        self.watcher: Watcher | None = None

    @property
    def values(self) -> list[str]:
        """Return the values received so far."""
        return self.lane.values

    def completed(self) -> None:
        """Record the completion."""
        self.told.append("complete")

    def fell_behind(self, lost: int) -> None:
        """Record the loss."""
        self.told.append(lost)

    def health(self, health: SourceHealth) -> None:
        """Record the health of the source."""
        self.told.append(health.state)

    def refused(self, refusal: SourceRefusal) -> None:
        """Record the refusal by the generator."""
        self.told.append(refusal.status)

    def not_served(self) -> None:
        """Record the failure."""
        self.told.append("not served")

    async def watch(
        self, engine: Engine, watched: Any, *, name: str = "", since: Position | None = None, rate: int | None = None
    ) -> "Client":
        """Begin to watch."""
        ticket = await engine.enter(watched, name or watched.path, {}, since)
        self.watcher = engine.watch(ticket, self.lane, WIRE, self, rate)
        return self

    def leave(self, engine: Engine, name: str) -> None:
        """Leave."""
        assert self.watcher is not None
        engine.unwatch(name, self.watcher)


class Source:
    """A generator that yields the test's values; None ends it, and an exception is raised."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[Any] = asyncio.Queue()
        self.runs = 0
        self.open = 0
        self.most = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.fails_at_end: Exception | None = None

    def give(self, *values: Any) -> None:
        """Let it yield a value."""
        for value in values:
            self.given.put_nowait(value)

    async def values(self) -> AsyncIterator[str]:
        """Yield the test's values."""
        self.runs += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while (value := await self.given.get()) is not None:
                if isinstance(value, BaseException):
                    raise value
                yield value
        finally:
            await self.may_end.wait()
            self.open -= 1
            if self.fails_at_end is not None:
                raise self.fails_at_end


def watch_options(**given: Any) -> WatchedOptions:
    """Return options, with ``keep="latest"`` as the default."""
    options: dict[str, Any] = {"keep": "latest", "retain": 300.0} | given
    return WatchedOptions(**options)


def feed(
    function: Callable[..., Any], path: str = "/feed", *, linger: float = 5.0, **options: Any
) -> FeedDefinition[..., Any]:
    """Declare a feed, with ``keep="latest"`` as the default."""
    return declare_feed(path, function, watch_options(**options), linger=linger, dependencies=[])


def topic(type_: Any = str, path: str = "/topic", **options: Any) -> TopicDefinition[..., Any]:
    """Declare a topic, with ``keep=100`` as the default."""
    return declare_topic(path, type_, watch_options(**({"keep": 100} | options)), dependencies=[])


def handle(definition: TopicDefinition[..., Any]) -> Topic[..., Any]:
    """Return the object by which application code uses a topic."""

    def take(function: object) -> None:
        raise AssertionError("not declared in an app")

    return Topic(definition, take, take, take)
