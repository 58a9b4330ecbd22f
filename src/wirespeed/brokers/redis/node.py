"""One server, over two connections: one for commands, and one for messages."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import redis.exceptions

from ...errors import BrokerDown
from .address import Address, Endpoint
from .link import RedisLink, ReplyError
from .scripts import ALL

SILENCE = 10.0
"""Seconds without a message after which the process sends a message to itself."""
PATIENCE = 5.0
"""Seconds to wait for that message, for the connections to open, and twice for a reply."""
OLDEST = 7
"""First number of the oldest version of Redis that has all that the scripts need. Every Valkey has it."""

Event = Literal["subscribed", "message", "refused", "unsubscribed"]
"""Statement of a server about a channel. ``unsubscribed`` means that it serves the channel no longer."""

_GONE = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)
"""Errors of a server that has become a replica: another one is the primary now."""


class Node:
    """One server. If one of the connections breaks or does not answer, the server is lost.

    Args:
        address: How to connect.
        endpoint: The server.
        namespace: Beginning of the name of the channel for messages of the process to itself.
        heard: Called with what the server says about a channel: the event, the channel, and the data or the error.
        lost: Called once if an open server is lost, with this node, the problem, and the time of the last sign of life.

    Attributes:
        endpoint: The server.
        is_open: True from when it is connected until it is lost or closed.
        warning: Sentence about the server's configuration; empty if it is right.
    """

    def __init__(
        self,
        address: Address,
        endpoint: Endpoint,
        namespace: str,
        heard: Callable[["Node", Event, bytes, Any], None],
        lost: Callable[["Node", str, float], None],
    ) -> None:
        self.endpoint = endpoint
        self.is_open = False
        self.warning = ""
        self._heard_by = heard
        self._lost_by = lost
        self._loop = asyncio.get_running_loop()
        self._commands = RedisLink(address.connection(endpoint), self._replied, self._broken)
        self._messages = RedisLink(address.connection(endpoint), self._heard, self._broken)
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._asked: deque[bytes] = deque()
        """Channels of the commands to the second connection whose replies are still to come."""
        self._probe = f"{namespace}:probe:{secrets.token_hex(8)}".encode()
        self._probed_at: float | None = None
        self._heard_at = self._replied_at = self._loop.time()
        self._ready: asyncio.Future[None] = self._loop.create_future()

    async def open(self) -> None:
        """Connect.

        Raises:
            BrokerDown: The connection was lost again.
            Exception: One of ``LOST``; or the server is too old, a replica, or does not let this user subscribe.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._commands.open()
                await self._messages.open()
                self.is_open = True
                self._asked.append(self._probe)
                self._messages.send("SUBSCRIBE", self._probe)
                for script in ALL:
                    self.call("SCRIPT", "LOAD", script.source)
                await self._inspect()
                await self._ready
        except BaseException:
            await self.close()
            raise

    async def _inspect(self) -> None:
        try:
            text = (await self.call("INFO")).decode()
        except ReplyError:  # the user may not ask
            return
        facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        version = facts.get("redis_version", "")
        if version.partition(".")[0].isdigit() and int(version.partition(".")[0]) < OLDEST:
            raise ReplyError(f"{self.endpoint} is Redis {version}; a broker needs Redis {OLDEST} or Valkey")
        if facts.get("role") == "slave":
            raise ReplyError(f"{self.endpoint} is a replica; a broker needs the primary")
        policy = facts.get("maxmemory_policy", "noeviction")
        if facts.get("maxmemory", "0") != "0" and policy != "noeviction":
            self.warning = (
                f"Redis at {self.endpoint} evicts keys when its memory is full: its maxmemory-policy is {policy}. "
                "Watchers then lose values. Set it to noeviction, and maxmemory to what the retained values need."
            )

    async def close(self) -> None:
        """Disconnect. The callers of commands get ``BrokerDown``; it may be called again."""
        self._fail("the connection to Redis was closed")
        await asyncio.gather(self._commands.close(), self._messages.close())

    # Commands

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command, and return the future of its reply. It never waits."""
        future = self._loop.create_future()
        if not self.is_open:
            return failed(future, BrokerDown())
        if not self._pending:
            self._replied_at = self._loop.time()
        self._pending.append(future)
        self._commands.send(*command)
        return future

    def _replied(self, reply: Any) -> None:
        self._replied_at = self._loop.time()
        if isinstance(reply, _GONE):
            self._lose(f"{self.endpoint} is a replica now")
            return
        future = self._pending.popleft()
        if future.done():
            return  # its caller was cancelled; the reply is not that of the next one
        if isinstance(reply, Exception):
            failed(future, reply)
        else:
            future.set_result(reply)

    # Channels

    def subscribe(self, channel: bytes) -> None:
        """Subscribe a channel."""
        self._ask("SSUBSCRIBE", channel)

    def unsubscribe(self, channel: bytes) -> None:
        """Unsubscribe a channel."""
        self._ask("SUNSUBSCRIBE", channel)

    def _ask(self, command: str, channel: bytes) -> None:
        # One channel per command: in a Cluster they have different slots, and each reply is that of one channel.
        self._asked.append(channel)
        self._messages.send(command, channel)

    def _heard(self, reply: Any) -> None:
        self._heard_at = self._loop.time()
        self._probed_at = None
        if isinstance(reply, Exception):
            self._answered(self._asked.popleft(), reply)
            return
        kind, channel, data = reply[:3]
        if kind.endswith(b"message"):
            if channel != self._probe:
                self._heard_by(self, "message", channel, data)
        elif self._asked and channel == self._asked[0]:
            self._asked.popleft()
            if kind in (b"subscribe", b"ssubscribe"):
                self._answered(channel, None)
        else:
            self._heard_by(self, "unsubscribed", channel, None)

    def _answered(self, channel: bytes, error: Exception | None) -> None:
        if channel != self._probe:
            self._heard_by(self, "subscribed" if error is None else "refused", channel, error)
        elif error is None:
            self._ready.set_result(None)
        else:
            failed(self._ready, error)

    # Failures

    def tick(self, now: float) -> None:
        """Look whether both connections still work; called about once per second."""
        if self._probed_at is not None and now - self._probed_at > PATIENCE:
            self._lose(f"the subscription at {self.endpoint} delivers nothing", self._heard_at)
        elif self._pending and now - self._replied_at > 2 * PATIENCE:
            self._lose(f"{self.endpoint} does not reply", self._replied_at)
        elif self._probed_at is None and now - self._heard_at > SILENCE:
            self._probed_at = now
            self.call("PUBLISH", self._probe, b"")

    def _broken(self, error: Exception) -> None:
        self._lose(f"the connection to Redis at {self.endpoint} was lost: {error}".rstrip("."))

    def _lose(self, problem: str, since: float | None = None) -> None:
        if self.is_open:
            self._fail(problem)
            self._lost_by(self, problem, self._loop.time() if since is None else since)

    def _fail(self, problem: str) -> None:
        self.is_open = False
        pending, self._pending = self._pending, deque()
        for future in [*pending, self._ready]:
            if not future.done():
                failed(future, BrokerDown(problem))


def failed(future: asyncio.Future[Any], error: Exception) -> asyncio.Future[Any]:
    """Fail a future whose exception no one may ask for."""
    future.set_exception(error)
    future.exception()
    return future
