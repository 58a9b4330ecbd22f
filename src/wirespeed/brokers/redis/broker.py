"""The broker for one Redis or Valkey server.

There are two connections: one for commands, and one for the messages of all attached logs. If either breaks, or does
not answer, both are made again, and each log is subscribed and read again.
"""

import asyncio
import hashlib
import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import BrokerDown, Fenced
from ...isolation import isolated
from ...log.position import Position
from ...log.record import Replica, Retention
from ..broker import Broker, Health, Post, Range, Stored
from ..repair import Read, Repair, State
from .control import BEAT_SCRIPT, RedisControl
from .leases import RedisLeases
from .link import LOST, Address, NoScript, RedisLink, ReplyError
from .members import PRESENT, PUT, SWEEP, RedisMembers
from .spelling import NOTICE, body_of, keys_of, lifetime_of, message_of, range_of, results_of

TICK = 1.0
"""Seconds between two looks at quiet logs and silent connections."""
SILENCE = 10.0
"""Seconds without a message after which the process sends a message to itself."""
PATIENCE = 5.0
"""Seconds to wait for that message, for the connection to open, and twice for a reply."""
FAREWELL = 1.0
"""Seconds to wait at the end until the server has noted it."""
FIRST_PAUSE = 0.05
"""Seconds before the first attempt to connect again; twice as many each time, up to ``LONGEST_PAUSE``."""
LONGEST_PAUSE = 2.0
SEEN = 10_000
"""Logs whose newest positions are remembered to detect that the server has lost entries."""

_DOWN = ("READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS")
"""Beginnings of errors of a server that cannot serve now."""


def _script(name: str) -> str:
    here = Path(__file__).parent
    return (here / "common.lua").read_text() + (here / f"{name}.lua").read_text()


_PUBLISH, _READ, _END = _script("publish"), _script("read"), _script("end")
_CLAIM, _RELEASE = ((Path(__file__).parent / f"{name}.lua").read_text() for name in ("claim", "release"))
_DIGESTS = {
    source: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    for source in (_PUBLISH, _READ, _END, _CLAIM, _RELEASE, BEAT_SCRIPT, PUT, PRESENT, SWEEP)
}


class _Attached:
    """One log that this process has attached."""

    def __init__(self, name: str, retention: Retention, replica: Replica, repair: Repair, channel: bytes) -> None:
        self.name = name
        self.retention = retention
        self.replica = replica
        self.repair = repair
        self.channel = channel
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, problem: str) -> None:
        """Fail the call that waits for the replica, if there is one."""
        if not self.ready.done():
            self.ready.set_exception(BrokerDown(problem))
            self.ready.exception()  # it may have been cancelled


class RedisBroker(Broker):
    """Carries records through one server.

    Args:
        url: The URL of the server.
        namespace: Beginning of the names of all keys; the same in all processes of an app, and different for each app.

    Raises:
        ValueError: The URL or the namespace is not valid.
    """

    def __init__(self, url: str, namespace: str = "wirespeed") -> None:
        if not namespace or set(namespace) & set("{} \n"):
            raise ValueError(f"not a namespace: {namespace!r}; use letters, digits, '-', '_' and ':'")
        self._address = Address(url)
        self._namespace = namespace
        self._probe_channel = f"{namespace}:probe:{secrets.token_hex(8)}".encode()
        self.leases = RedisLeases(namespace, partial(self._run, _CLAIM), partial(self._run, _RELEASE), self._channel)
        self.control: RedisControl = RedisControl(namespace, self._address.database, self._run, self._publish)
        self.members = RedisMembers(namespace, self.control, self._run)
        self._attached: dict[str, _Attached] = {}
        self._channels: dict[bytes, _Attached] = {}
        self._behind: set[str] = set()
        self._seen: dict[str, Position] = {}
        self._links: tuple[RedisLink, RedisLink] | None = None
        self._broken_links: list[RedisLink] = []
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._lost_at = self._stale_since = self._heard_at = self._replied_at = 0.0
        self._probed_at: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._problem = ""
        self._is_over = False

    @property
    def health(self) -> Health:
        """See :attr:`Broker.health`."""
        if self._links is None:
            return Health("down", self._lost_at, self._problem)
        return Health("stale", self._stale_since) if self._behind else Health("ok")

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._lost_at = self._loop.time()
        try:
            await self._connect()
        except LOST as error:
            self._problem = str(error)
            self._start(self._reconnect())
        self._timer = self._loop.call_later(TICK, self._tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        with suppress(BrokerDown, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self.control.part()
        links, self._links = self._links, None
        for attached in self._attached.values():
            attached.fail("the broker was left")
        self._attached.clear()
        self._channels.clear()
        self._fail_pending(BrokerDown("the broker was left"))
        for task in list(self._tasks):
            task.cancel()
        links = *(links or ()), *self._broken_links
        await asyncio.gather(*self._tasks, *(link.close() for link in links), return_exceptions=True)

    # Operations

    async def publish(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
        """See :meth:`Broker.publish`."""
        sent = [(post, *self._send_script(_PUBLISH, self._post(post))) for post in posts]
        results = []
        for post, future, command in sent:
            try:
                stored = results_of(post, await self._reply(future, command))
            except ReplyError as error:  # such as a server without memory: nothing was stored
                stored = [error] * len(post.records)
            self._see(post.name, stored)
            results.append(stored)
        return results

    async def attach(
        self, name: str, retention: Retention, replica: Replica, since: Position | None = None
    ) -> Callable[[], None]:
        """See :meth:`Broker.attach`."""
        if name in self._attached:
            raise ValueError(f"{name!r} is attached already")
        if self._links is None:
            raise BrokerDown
        repair = Repair(replica, retention, since, random.random())  # noqa: S311 - it distributes load
        attached = _Attached(name, retention, replica, repair, self._channel(name).encode())
        self._attached[name] = self._channels[attached.channel] = attached
        try:
            self._links[1].send("SUBSCRIBE", attached.channel)
            await attached.ready
        except BaseException:
            self._detach(attached)
            raise
        return partial(self._detach, attached)

    def _detach(self, attached: _Attached) -> None:
        if self._attached.get(attached.name) is attached:
            del self._attached[attached.name], self._channels[attached.channel]
            self._behind.discard(attached.name)
            if self._links is not None:
                self._links[1].send("UNSUBSCRIBE", attached.channel)

    async def read(
        self, name: str, retention: Retention, since: Position | None = None, limit: int | None = None
    ) -> Range | None:
        """See :meth:`Broker.read`."""
        sent = self._send_script(_READ, self._read(name, retention, since, limit=limit))
        try:
            reply = await self._reply(*sent)
        except ReplyError as error:
            raise BrokerDown(f"Redis has refused to read: {error}") from error
        return None if reply is None else range_of(reply, retention, since.offset if since else 0, limit)

    async def end(self, name: str, retention: Retention, fence: str | None = None) -> None:
        """See :meth:`Broker.end`."""
        arguments = [*self._common(name, retention), fence or "", self._channel(name)]
        try:
            reply = await self._reply(*self._send_script(_END, arguments))
        except ReplyError as error:
            raise BrokerDown(f"Redis has refused to end a log: {error}") from error
        if reply == b"fenced":
            raise Fenced(name)

    def notify(self, name: str, message: bytes) -> None:
        """See :meth:`Broker.notify`."""
        self._send("PUBLISH", self._channel(name), NOTICE + message)

    # Commands

    def _channel(self, name: str) -> str:
        # Messages are not separated by database, but logs are.
        return f"{keys_of(self._namespace, name)[0]}:{self._address.database}"

    def _common(self, name: str, retention: Retention) -> list[Any]:
        keys = keys_of(self._namespace, name)
        return [len(keys), *keys, retention.kind, secrets.token_hex(6), lifetime_of(retention)]

    def _post(self, post: Post) -> list[Any]:
        seen = self._newest(post.name) or Position("", 0)
        return [
            *self._common(post.name, post.retention),
            *(post.fence or "", post.writer, post.batch, seen.epoch, seen.offset),
            *(secrets.token_hex(4), self._channel(post.name), *body_of(post)),
        ]

    def _read(
        self,
        name: str,
        retention: Retention,
        since: Position | None,
        tag: bytes = b"",
        *,
        is_attached: bool = False,
        limit: int | None = None,
    ) -> list[Any]:
        epoch, offset = since or ("", 0)
        most = "" if limit is None else limit
        return [*self._common(name, retention), "1" if is_attached else "", epoch, offset, tag, most]

    def _newest(self, name: str) -> Position | None:
        """Return the highest position of a log that this process knows."""
        seen, attached = self._seen.get(name), self._attached.get(name)
        head = None if attached is None else attached.repair.head
        if seen is None or (head is not None and (head.epoch != seen.epoch or head.offset > seen.offset)):
            return head
        return seen

    def _see(self, name: str, stored: Sequence[Stored]) -> None:
        positions = [each for each in stored if isinstance(each, Position)]
        if positions:
            self._seen.pop(name, None)
            self._seen[name] = Position(*positions[-1])
            if len(self._seen) > SEEN:
                del self._seen[next(iter(self._seen))]

    def _send_script(self, source: str, arguments: list[Any]) -> tuple[asyncio.Future[Any], list[Any]]:
        command = ["EVAL", source, *arguments]
        return self._send("EVALSHA", _DIGESTS[source], *arguments), command

    def _run(self, source: str, name: str, arguments: list[Any]) -> Awaitable[Any]:
        return self._reply(*self._send_script(source, arguments))

    def _publish(self, key: str, channel: str, data: bytes) -> asyncio.Future[Any]:
        return self._send("PUBLISH", channel, data)

    def _send(self, *command: Any) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        if self._links is None:
            future.set_exception(BrokerDown())
            future.exception()
        else:
            if not self._pending:
                self._replied_at = self._loop.time()
            self._pending.append(future)
            self._links[0].send(*command)
        return future

    async def _reply(self, future: asyncio.Future[Any], command: list[Any]) -> Any:
        try:
            return await future
        except NoScript:  # the server was restarted, or its scripts were flushed
            return await self._send(*command)

    # Connections

    async def _connect(self) -> None:
        commands = RedisLink(self._address.connection(), self._replied, self._broken)
        subscriber = RedisLink(self._address.connection(), self._heard, self._broken)
        try:
            async with asyncio.timeout(PATIENCE):
                await commands.open()
                await subscriber.open()
        except BaseException:
            await asyncio.gather(commands.close(), subscriber.close())
            raise
        self._links = commands, subscriber
        self._load()
        self._heard_at = self._replied_at = self._stale_since = self._loop.time()
        self._probed_at = None
        self._behind = set(self._attached)
        subscriber.send("SUBSCRIBE", self._probe_channel, *self.control.channels, *self._channels)

    def _load(self) -> None:
        for source in _DIGESTS:
            self._send("SCRIPT", "LOAD", source)

    def _broken(self, link: RedisLink, error: Exception) -> None:
        if self._links is not None and link in self._links:
            self._lose(f"the connection to Redis was lost: {error}")

    def _lose(self, problem: str) -> None:
        assert self._links is not None
        links, self._links = self._links, None
        self.control.lost()
        self._lost_at, self._problem = self._loop.time(), problem
        self._fail_pending(BrokerDown(problem))
        for attached in list(self._attached.values()):
            attached.fail(problem)
            with isolated("A replica could not be marked as stale."):
                attached.repair.disconnected(self._lost_at)
        self._broken_links += links
        self._start(self._reconnect())

    async def _reconnect(self) -> None:
        await asyncio.gather(*(link.close() for link in self._broken_links))
        self._broken_links.clear()
        pause = FIRST_PAUSE
        while not self._is_over:
            # Processes that have lost one server at the same time do not all return at the same time.
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
            try:
                await self._connect()
            except LOST as error:
                self._problem = str(error)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                return

    def _fail_pending(self, error: BrokerDown) -> None:
        pending, self._pending = self._pending, deque()
        for future in pending:
            if not future.done():
                future.set_exception(error)
                future.exception()

    def _replied(self, reply: Any) -> None:
        self._replied_at = self._loop.time()
        future = self._pending.popleft()
        if isinstance(reply, ReplyError) and str(reply).startswith(_DOWN):
            self._pending.appendleft(future)
            self._lose(f"Redis cannot serve: {reply}")
        elif future.done():
            pass  # its caller was cancelled; the reply is not that of the next one
        elif isinstance(reply, Exception):
            future.set_exception(reply)
            future.exception()
        else:
            future.set_result(reply)

    def _heard(self, reply: Any) -> None:
        now = self._heard_at = self._loop.time()
        self._probed_at = None
        if isinstance(reply, Exception):
            self._lose(f"Redis has refused a subscription: {reply}")
            return
        kind, channel, data = reply
        attached = self._channels.get(channel)
        if channel in self.control.channels:
            self._heard_of_others(kind, channel, data)
        if attached is None:
            return
        with isolated("A message of the broker could not be applied."):
            if kind == b"subscribe":
                self._fill(attached, attached.repair.subscribed(now))
            elif kind == b"message" and data.startswith(NOTICE):
                if attached.ready.done():
                    attached.replica.notice(data.removeprefix(NOTICE))
            elif kind == b"message":
                self._fill(attached, attached.repair.message(message_of(data), now))

    def _heard_of_others(self, kind: bytes, channel: bytes, data: Any) -> None:
        if kind == b"message":
            self.control.heard(data)
        elif channel == self.control.channels[-1] and self.control.is_due(self._heard_at):
            self._start(self._beat())  # others know of this process once it hears them

    async def _beat(self) -> None:
        with suppress(BrokerDown):
            await self.control.beat()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        if self._links is None:
            return
        now = self._loop.time()
        if self._probed_at is not None and now - self._probed_at > PATIENCE:
            self._lose("the subscription to Redis delivers nothing")
        elif self._pending and now - self._replied_at > 2 * PATIENCE:
            self._lose("Redis does not reply")
        elif self._probed_at is None and now - self._heard_at > SILENCE:
            self._probed_at = now
            self._send("PUBLISH", self._probe_channel, b"")
        if self.control.is_due(now):
            self._start(self._beat())
        for attached in list(self._attached.values()):
            self._fill(attached, attached.repair.due(now))

    # Reads

    def _fill(self, attached: _Attached, read: Read | None) -> None:
        if read is not None:
            since, tag, _ = read
            arguments = self._read(attached.name, attached.retention, since, tag, is_attached=True)
            future, _ = self._send_script(_READ, arguments)
            future.add_done_callback(partial(self._ranged, attached, read))

    def _ranged(self, attached: _Attached, read: Read, future: asyncio.Future[Any]) -> None:
        if self._attached.get(attached.name) is not attached or future.cancelled():
            return
        now, error = self._loop.time(), future.exception()
        if error is not None:
            if isinstance(error, NoScript):
                self._load()
                self._fill(attached, read)
                return
            attached.repair.failed(read, now)
            if isinstance(error, ReplyError):
                attached.fail(f"Redis has refused to read: {error}")
            return
        with isolated("A range of the broker could not be applied."):
            range_ = range_of(future.result(), attached.retention, read.since.offset if read.since else 0, None)
            self._fill(attached, attached.repair.ranged(read, range_, now))
        if attached.repair.state is State.LIVE:
            self._behind.discard(attached.name)
            if not attached.ready.done():
                attached.ready.set_result(None)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(task := self._loop.create_task(coroutine))
        task.add_done_callback(self._tasks.discard)
