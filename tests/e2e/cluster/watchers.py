"""Watchers that reconnect and resume as clients do, and record everything that they are given."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple, Self

from centrifuge import (
    Client,
    ClientEventHandler,
    ConnectingContext,
    SubscribedContext,
    SubscriptionErrorContext,
    SubscriptionEventHandler,
)
from centrifuge import PublicationContext as Published
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.waiting import PATIENCE
from wirespeed.log.position import Position

from .line import Line

PAUSE = 0.05
"""Seconds before a client connects again."""


class Seen(NamedTuple):
    """Something that a watcher is given."""

    kind: Literal["value", "lost", "reset", "stale", "fresh"]
    position: Position | None = None
    value: Any = None


def plain(value: Any) -> Any:
    """Return a value as tests compare it: a number, with the name of its run if a generator has counted to it."""
    if isinstance(value, dict):
        value = value.get("value", value)
        return (value["run"], value["number"]) if "run" in value else value["number"]
    return value


class Watcher(ABC):
    """One client of one key, as an async context manager.

    Args:
        ports: The ports of workers. Each time that the client connects, it tries the next one.
        path: The path of the key.
    """

    def __init__(self, ports: Sequence[int], path: str) -> None:
        self.path = path
        self.seen: list[Seen] = []
        self.connects = 0
        self.refusals: list[int] = []
        """Status codes and close codes with which servers have turned it away."""
        self._ports = list(ports)

    @property
    def values(self) -> list[Any]:
        return [each.value for each in self.seen if each.kind == "value"]

    @property
    def reports(self) -> list[str]:
        """The reports of losses and resets, in order."""
        return [each.kind for each in self.seen if each.kind in ("lost", "reset")]

    @property
    def staleness(self) -> list[str]:
        """The notices that values are out of date, and up to date again, in order."""
        return [each.kind for each in self.seen if each.kind in ("stale", "fresh")]

    @property
    def position(self) -> Position | None:
        """The position of its last value."""
        return next((each.position for each in reversed(self.seen) if each.position is not None), None)

    @property
    def epoch(self) -> str:
        """The epoch of its last value; empty without one."""
        return self.position.epoch if self.position else ""

    @property
    def port(self) -> int:
        """The port of its worker."""
        return self._ports[-1]

    def _next_port(self) -> int:
        self._ports.append(port := self._ports.pop(0))
        return port

    @abstractmethod
    async def __aenter__(self) -> "Watcher": ...

    @abstractmethod
    async def __aexit__(self, *exception: object) -> None: ...

    @abstractmethod
    def move(self) -> None:
        """Break its connection, so that it connects to the next worker."""


class _Reconnecting(Watcher):
    """A client that this module writes: it connects again whenever its connection ends."""

    async def __aenter__(self) -> "Watcher":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def move(self) -> None:
        self._session.cancel()

    async def _run(self) -> None:
        while True:
            self._session = asyncio.create_task(self._watch(self._next_port()))
            try:
                await asyncio.wait([self._session])
            finally:
                self._session.cancel()
            if not self._session.cancelled() and (error := self._session.exception()) is not None:
                raise error
            await asyncio.sleep(PAUSE)

    @abstractmethod
    async def _watch(self, port: int) -> None:
        """Watch until the connection ends."""


class RawWatcher(_Reconnecting):
    """A client of the raw WebSocket, which asks for positions."""

    async def _watch(self, port: int) -> None:
        since = f"&since={self.position}" if self.position else ""
        address = f"ws://127.0.0.1:{port}/{self.path}?positions=1{since}"
        try:
            async with connect(address, ping_interval=None, open_timeout=PATIENCE, close_timeout=1, proxy=None) as link:
                self.connects += 1
                async for message in link:
                    self._note(json.loads(message))
        except InvalidHandshake as refused:
            if (response := getattr(refused, "response", None)) is not None:
                self.refusals.append(response.status_code)
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                self.refusals.append(closed.rcvd.code)
        except OSError:
            pass

    def _note(self, message: dict[str, Any]) -> None:
        if "position" in message:
            self.seen.append(Seen("value", Position.parse(message["position"]), plain(message["value"])))
        elif "lost" in message:
            self.seen.append(Seen("lost", value=message["lost"]))
        elif "reset" in message:
            self.seen.append(Seen("reset"))
        elif "status" in message:
            self.seen.append(Seen("stale" if message["status"]["state"] == "stale" else "fresh"))
        else:
            raise AssertionError(f"an unknown message: {message}")


class EventsWatcher(_Reconnecting):
    """A client of Server-Sent Events."""

    async def _watch(self, port: int) -> None:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await self._read(reader, writer)
            finally:
                writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        since = f"Last-Event-ID: {self.position}\r\n" if self.position else ""
        writer.write(f"GET /{self.path} HTTP/1.0\r\nAccept: text/event-stream\r\n{since}\r\n".encode())
        status = (await reader.readline()).split()
        if status[1:2] != [b"200"]:
            self.refusals += map(int, status[1:2])
            return
        self.connects += 1
        while (await reader.readline()).strip():  # the headers
            pass
        event: dict[str, str] = {}
        while line := (await reader.readline()).decode():
            name, _, text = line.rstrip("\r\n").partition(": ")
            if text:
                event[name] = text
            elif event:
                self._note(event)
                event = {}

    def _note(self, event: dict[str, str]) -> None:
        kind = event.get("event", "message")
        data = json.loads(event["data"]) if event.get("data") else None
        if kind == "message" and "id" in event:
            self.seen.append(Seen("value", Position.parse(event["id"]), plain(data)))
        elif kind in ("lost", "reset"):
            self.seen.append(Seen(kind, value=data))  # type: ignore[arg-type]
        elif kind == "status" and data is not None:
            self.seen.append(Seen("stale" if data["state"] == "stale" else "fresh"))
        elif kind != "message":
            raise AssertionError(f"an unknown event: {event}")


class SdkWatcher(Watcher):
    """A client of the official SDK, on the multiplexed connection."""

    async def __aenter__(self) -> Self:
        self._line = await Line(self._next_port).__aenter__()
        connection = ClientEventHandler()
        connection.on_connecting = self._connecting
        self._client = Client(
            f"ws://127.0.0.1:{self._line.port}/live/websocket",
            connection,
            min_reconnect_delay=PAUSE,
            max_reconnect_delay=2 * PAUSE,
            proxy=None,
        )
        events = SubscriptionEventHandler()
        events.on_subscribed = self._subscribed
        events.on_publication = self._published
        events.on_error = self._refused
        subscription = self._client.new_subscription(
            self.path, events, recoverable=True, min_resubscribe_delay=PAUSE, max_resubscribe_delay=2 * PAUSE
        )
        await self._client.connect()
        await subscription.subscribe()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.disconnect()
        await self._line.__aexit__()

    def move(self) -> None:
        self._line.reset()

    async def _connecting(self, context: ConnectingContext) -> None:
        if context.code >= 1000:  # others are the SDK's own
            self.refusals.append(context.code)

    async def _subscribed(self, context: SubscribedContext) -> None:
        self.connects += 1
        # Without positions, as of newest values, the epoch may change without notice.
        self._epoch = context.stream_position.epoch if context.stream_position and context.positioned else None
        if context.was_recovering and not context.recovered:
            self.seen.append(Seen("lost"))

    async def _published(self, context: Published) -> None:
        data = context.pub.data
        if "lost" in context.pub.tags:
            self.seen.append(Seen("lost"))
        if isinstance(data, dict) and "reset" in data:
            self.seen.append(Seen("reset"))
            return
        position = None if self._epoch is None else Position(self._epoch, context.pub.offset)
        self.seen.append(Seen("value", position, plain(data)))

    async def _refused(self, context: SubscriptionErrorContext) -> None:
        if isinstance(code := getattr(context.error, "code", None), int):  # others are the SDK's own
            self.refusals.append(code)
