"""The broker for Redis and Valkey: one server, a primary behind Sentinel, or a Cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self

import redis.exceptions

from ...errors import BrokerDown, BrokerFull, BrokerRefused, Fenced
from ...log.position import Position
from ...log.record import Record, Replica, Retention
from ..broker import Broker, Health, Post, Range, Stored
from ..repair import Holding
from .address import Address
from .attached import READ, Attached
from .control import Ear, RedisControl
from .leases import RedisLeases
from .link import ReplyError
from .members import RedisMembers
from .scripts import RedisScript
from .servers import SentScript, Servers
from .spelling import (
    NOTICE,
    Arguments,
    body_of,
    channel_of,
    common_of,
    keys_of,
    milliseconds_of,
    position_of,
    range_of,
    refused,
    results_of,
    tag_of,
)

TICK = 1.0
"""Seconds between two looks at quiet logs and silent connections."""
LOOKS = 1000
"""Quiet logs that are looked at in one turn of the loop."""
PATIENCE = 10.0
"""Seconds to wait until a replica has begun."""
FAREWELL = 1.0
"""Seconds to wait at the end until the server has noted it."""
SEEN = 10_000
"""Logs whose newest positions are remembered to detect that the server has lost entries."""

_PUBLISH = RedisScript("publish")
_END = RedisScript("end", "allow-oom")
_EMPTY = RedisScript("empty", "allow-oom")


class RedisBroker(Broker):
    """Carries records through Redis or Valkey.

    Args:
        url: The URL of the servers; see :class:`.address.Address`.
        namespace: Beginning of the names of all keys; the same in all processes of an app, and different for each app.

    Raises:
        ValueError: The URL or the namespace is not valid.
    """

    def __init__(self, url: str, namespace: str = "wirespeed") -> None:
        if not namespace or set(namespace) & set("{} \n"):
            raise ValueError(f"not a namespace: {namespace!r}; use letters, digits, '-', '_' and ':'")
        address = Address(url)
        self._database, self._most = address.database, address.most
        self._namespace = namespace
        self._servers = Servers(address, namespace)
        self.leases = RedisLeases(namespace, self._run, self._channel)
        self.control: RedisControl = RedisControl(namespace, address.database, self._run, self._publish)
        self.members = RedisMembers(namespace, self.control, self._run)
        self._ears: list[Ear] = []
        self._attached: dict[str, Attached] = {}
        self._holding = Holding()
        self._seen: dict[str, tuple[Position, bytes]] = {}
        """Newest position that this process has published at, by log, and its tag; the one noted last is the last."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def health(self) -> Health:
        """See :attr:`Broker.health`."""
        return self._servers.health

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._servers.open()
        self.control.open()
        self._ears = [Ear(channel, self._servers, self.control) for channel in self.control.channels]
        for ear in self._ears:
            self._servers.subscribe(ear)
        self._timer = self._loop.call_later(TICK, self._tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with suppress(BrokerDown, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self.control.part()
        for attached in self._attached.values():
            attached.leave()
        self._attached.clear()
        await self._servers.close()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        now = self._loop.time()
        self._servers.tick(now)
        for ear in self._ears[-1:]:
            ear.tick(now)
        self._look(iter(list(self._attached.values())), now)

    def _look(self, left: Iterator[Attached], now: float) -> None:
        """Look at some attached logs, and at the others in the next turns."""
        attached = None
        for attached in islice(left, LOOKS):
            attached.tick(now)
        if attached is not None:
            self._loop.call_soon(self._look, left, now)

    # Publishing

    async def publish(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
        """See :meth:`Broker.publish`."""
        sent = [self._send(post) for post in posts]
        await self._servers.settle([call for _, call in sent if call is not None])
        results = [await self._results(post, *call) for post, call in zip(posts, sent, strict=True)]
        down = [stored[0] for stored in results if stored and type(stored[0]) is BrokerDown]
        if down and len(down) == len(posts):
            raise down[0]
        return results

    def _send(self, post: Post) -> tuple[Post, SentScript | None]:
        """Send the records of a post that are not too large."""
        if not all(map(self._fits, post.records)):
            if post.loads:  # all of it or nothing
                return post._replace(records=()), None
            post = post._replace(records=list(filter(self._fits, post.records)))
        if not (post.records or post.loads):
            return post, None
        name = post.name
        arguments = [
            *common_of(self._namespace, name, post.retention),
            *(post.fence or "", self._channel(name), post.writer, post.batch),
            *position_of(*self._newest(name)),
            "1" if post.loads else "",
            *body_of(post),
        ]
        return post, self._servers.send(_PUBLISH, self._slot(name), arguments)

    async def _results(self, post: Post, fitting: Post, call: SentScript | None) -> Sequence[Stored]:
        stored = await self._stored(fitting, call) if call is not None else []
        if fitting is post:
            return stored
        if post.loads:
            too_large = next(each for each in post.records if not self._fits(each))
            return refused(post, self._too_large(post.name, too_large))
        rest = iter(stored)
        return [next(rest) if self._fits(record) else self._too_large(post.name, record) for record in post.records]

    async def _stored(self, post: Post, call: SentScript) -> Sequence[Stored]:
        try:
            stored = results_of(post, await self._servers.result(call, waits=False))
        except BrokerDown as error:  # that of one server of a Cluster; posts to others must not wait for it
            return refused(post, error)
        except redis.exceptions.OutOfMemoryError:
            return refused(post, BrokerFull(f"Redis has no memory for a publication to {post.name}"))
        except ReplyError as error:
            return refused(post, BrokerRefused(post.name, f"Redis replied: {error}"))
        self._see(post, stored)
        return stored

    def _fits(self, record: Record) -> bool:
        return record.payload is None or len(record.payload) <= self._most

    def _too_large(self, name: str, record: Record) -> BrokerRefused:
        size, most = len(record.payload or b""), self._most
        problem = f"the value has {size} bytes, and the broker takes {most}; the URL's option max_value_bytes sets that"
        return BrokerRefused(name, problem)

    def _newest(self, name: str) -> tuple[Position | None, bytes]:
        """Return the highest position of a log that this process knows, and its tag."""
        seen, tag = self._seen.get(name, (None, b""))
        attached = self._attached.get(name)
        head = None if attached is None else attached.head
        if attached is not None and head is not None and (seen is None or head.epoch != seen.epoch or head > seen):
            return head, attached.tag
        return seen, tag

    def _see(self, post: Post, stored: Sequence[Stored]) -> None:
        positions = [each for each in stored if type(each) is Position]
        if positions:
            self._seen.pop(post.name, None)
            self._seen[post.name] = positions[-1], tag_of(post)
            if len(self._seen) > SEEN:
                del self._seen[next(iter(self._seen))]

    # Replicas

    async def attach(
        self, name: str, retention: Retention, replica: Replica, since: Position | None = None
    ) -> Callable[[], None]:
        """See :meth:`Broker.attach`."""
        if name in self._attached:
            raise ValueError(f"{name!r} is attached already")
        slot = self._slot(name)
        if not self._servers.serves(slot):
            raise BrokerDown
        common = partial(common_of, self._namespace, name, retention)
        channel = self._channel(name).encode()
        attached = Attached(channel, slot, self._servers, common, retention, replica, since, self._holding)
        self._attached[name] = attached
        detach = partial(self._detach, name, attached)
        self._servers.subscribe(attached)
        try:
            async with asyncio.timeout(PATIENCE):
                await attached.ready
        except TimeoutError as error:
            detach()
            raise BrokerDown("Redis does not reply") from error
        except BaseException:
            detach()
            raise
        return detach

    def _detach(self, name: str, attached: Attached) -> None:
        if self._attached.get(name) is attached:
            del self._attached[name]
            attached.leave()
            self._servers.unsubscribe(attached)

    def notify(self, name: str, message: bytes) -> None:
        """See :meth:`Broker.notify`."""
        self._servers.publish(self._slot(name), self._channel(name), NOTICE + message)

    # Other operations

    async def read(
        self, name: str, retention: Retention, since: Position | None = None, limit: int | None = None
    ) -> Range | None:
        """See :meth:`Broker.read`."""
        rest = [*position_of(since), "" if limit is None else limit, ""]
        reply = await self._asked(READ, name, retention, rest)
        return None if reply is None else range_of(reply, retention, since.offset if since else 0, limit)

    async def end(self, name: str, retention: Retention, fence: str | None = None) -> Position | None:
        """See :meth:`Broker.end`."""
        lifetime = milliseconds_of(retention.retain) if retention.keeps_end else None
        rest: Arguments = [fence or "", self._channel(name), "1" if retention.keeps_end else ""]
        reply = await self._asked(_END, name, retention, rest, lifetime)
        if reply == b"fenced":
            raise Fenced(name)
        return None if reply is None else Position(reply[0].decode(), reply[1])

    async def empty(self, name: str, retention: Retention) -> None:
        """See :meth:`Broker.empty`."""
        await self._asked(_EMPTY, name, retention, [self._channel(name)])

    async def _asked(
        self, script: RedisScript, name: str, retention: Retention, rest: Arguments, lifetime: str | None = None
    ) -> Any:
        try:
            return await self._run(
                script, self._key(name), common_of(self._namespace, name, retention, lifetime) + rest
            )
        except ReplyError as error:
            raise BrokerDown(f"Redis has refused a command for {name}: {error}") from error

    def _run(self, script: RedisScript, key: str, arguments: Sequence[Any]) -> Awaitable[Any]:
        return self._servers.result(self._servers.send(script, self._servers.slot(key), arguments))

    def _publish(self, key: str, channel: str, data: bytes) -> asyncio.Future[Any]:
        return self._servers.publish(self._servers.slot(key), channel, data)

    def _slot(self, name: str) -> int:
        return self._servers.slot(self._key(name))

    def _key(self, name: str) -> str:
        return keys_of(self._namespace, name)[0]

    def _channel(self, name: str) -> str:
        return channel_of(self._namespace, name, self._database)
