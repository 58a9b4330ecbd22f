"""Messages between processes by Redis, and the processes that are alive: they announce it by the server's clock."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any

from ...errors import BrokerDown
from ...isolation import isolated
from ..cluster import Control
from .link import ReplyError
from .scripts import RedisScript
from .servers import RedisSubscription, Servers

BEAT = 10.0
"""Seconds between two announcements."""
ALIVE = 40.0
"""Seconds after its last announcement in which a process counts as alive, and its members as present."""
PARTING = 10.0
"""Seconds after its orderly end in which the members of a process are present."""
MOST_WAITING = 4 * 1024 * 1024
"""Bytes of messages that may wait for the server."""

Run = Callable[[RedisScript, str, list[Any]], Awaitable[Any]]
"""Sends a script at once, to the server that has a key, with its arguments; returns its reply."""
Publish = Callable[[str, str, bytes], asyncio.Future[Any]]
"""Sends data on a channel at once, to the server that has a key; returns the future of the reply."""


BEAT_SCRIPT = RedisScript("beat", "allow-oom", has_log=False)


class RedisControl(Control):
    """The way of one process to the others.

    Args:
        namespace: Beginning of the names of all keys.
        database: Number of the server's database. Channels are not separated by database, but keys are.
        run: Runs a script.
        publish: Publishes a message.

    Attributes:
        key: The key whose server has everything about processes.
        channels: The channels to subscribe: that of this process, and that of all.
        holders: The processes whose members count, as of the last beat.
        is_known: True if the processes know of this one, as far as this one knows.
    """

    def __init__(self, namespace: str, database: int, run: Run, publish: Publish) -> None:
        self.process = secrets.token_hex(8)
        self.receive = self.beaten = _ignored
        self.key = f"{namespace}:{{processes}}:alive"
        self._channel = f"{namespace}:{{processes}}:{database}:"
        self.channels = tuple((self._channel + each).encode() for each in (self.process, "all"))
        self.holders: frozenset[str] = frozenset()
        self.is_known = False
        self._run = run
        self._publish = publish
        self._beat_at = -BEAT
        self._waiting = 0
        self._beating: asyncio.Task[list[str]] | None = None
        """The announcement that waits for its reply, or the last one."""
        self._next_beat: asyncio.Task[list[str]] | None = None
        """The announcement after that, which has not begun."""
        self._is_parting = False

    def tell(self, message: bytes, process: str | None = None) -> None:
        """See :meth:`Control.tell`."""
        if self._waiting and self._waiting + len(message) > MOST_WAITING:
            raise BrokerDown(f"{self._waiting} bytes of messages to other processes are waiting already")
        channel = self._channel + (process or "all")
        sent = self._publish(self.key, channel, self.process.encode() + b" " + message)
        if sent.done() and (error := sent.exception()) is not None:
            raise error
        self._waiting += len(message)
        sent.add_done_callback(lambda _: self._sent(len(message)))

    def _sent(self, size: int) -> None:
        self._waiting -= size

    async def processes(self) -> Collection[str]:
        """See :meth:`Control.processes`."""
        return await self.beat()

    # Called by the broker

    def open(self) -> None:
        """Announce from now on that this process is alive."""
        self._is_parting = False

    def heard(self, data: bytes) -> None:
        """Take a message; those of this process to all come back to it."""
        sender, _, message = data.partition(b" ")
        if sender != self.process.encode():
            with isolated("A message of another process could not be taken."):
                self.receive(sender.decode(), message)

    def is_due(self, now: float) -> bool:
        """Return True if it is time for a beat."""
        if now - self._beat_at < BEAT or self.receive is _ignored:
            return False
        self._beat_at = now
        return True

    def lost(self) -> None:
        """Note that the connection is lost."""
        self.is_known = False
        self._beat_at = -BEAT

    async def beat(self) -> list[str]:
        """Announce that this process is alive; return all that are.

        All that ask while one announcement waits for its reply share the next one: a sweep asks once for each key.
        """
        if self._next_beat is None or self._next_beat.done():  # cancelled, with its loop
            before = self._beating
            self._next_beat = asyncio.get_running_loop().create_task(self._beat_after(before))
            self._next_beat.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._next_beat)

    async def _beat_after(self, before: "asyncio.Task[list[str]] | None") -> list[str]:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._beating, self._next_beat = self._next_beat, None
        return await self._beat()

    async def _beat(self) -> list[str]:
        is_known, alive, holders = await self._announce()
        before, self.holders = self.holders, frozenset(each.decode() for each in holders)
        self.is_known = not self._is_parting
        if self.is_known:  # else its members are not to be stored again
            with isolated("The members could not be looked after."):
                self.beaten(bool(is_known), not before <= self.holders)
        return [each.decode() for each in alive]

    async def part(self) -> None:
        """Announce that this process stops, if the others know of it.

        Announcements that have not begun say the same: one that follows would make the process alive again.
        """
        self._is_parting = True
        if self.is_known:
            self.is_known = False
            await self._announce()

    async def _announce(self) -> Any:
        alive, present = (0.0, PARTING) if self._is_parting else (ALIVE, ALIVE)
        keys = self.key, self.key.replace(":alive", ":holders")
        lifetimes = round(1000 * alive), round(1000 * present)
        try:
            return await self._run(BEAT_SCRIPT, self.key, [2, *keys, self.process, *lifetimes])
        except ReplyError as error:
            raise BrokerDown(f"Redis has refused to note the processes: {error}") from error


def _ignored(*_: object) -> None:
    """Do nothing: the hub has not set what is called."""


class Ear(RedisSubscription):
    """A channel on which a process hears others.

    Args:
        channel: The channel.
        servers: The servers.
        control: The way to the others.
    """

    def __init__(self, channel: bytes, servers: Servers, control: RedisControl) -> None:
        super().__init__(channel, servers.slot(control.key))
        self._servers = servers
        self._control = control

    def subscribed(self, now: float) -> None:
        self._servers.caught_up(self)
        if self.channel == self._control.channels[-1]:
            self.tick(now)  # others know of this process once it hears them

    def message(self, data: bytes, now: float) -> None:
        self._control.heard(data)

    def lost(self, now: float, problem: str) -> None:
        self._control.lost()

    def tick(self, now: float) -> None:
        """Announce that this process is alive, if it is time for that."""
        if self._servers.serves(self.slot) and self._control.is_due(now):
            self._servers.start(self._beat())

    async def _beat(self) -> None:
        with suppress(BrokerDown):
            await self._control.beat()
