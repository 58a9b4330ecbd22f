"""A simulated network broker: several processes' brokers in one event loop, one server, and a network between them.

A calm network delivers everything in the loop's next turns. Otherwise nothing moves until a test delivers, drops,
repeats or reorders it: every packet and every request waits in a list.
"""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from tests.brokers.server import Server
from tests.brokers.together import PARTING, Hall, SimulatedControl, SimulatedMembers, Told
from wirespeed.brokers.broker import Broker, Claim, Health, Lease, Leases, Post, Range, Stored
from wirespeed.brokers.repair import Message, Read, Repair, State
from wirespeed.errors import BrokerDown
from wirespeed.isolation import isolated
from wirespeed.log.position import Position
from wirespeed.log.record import Replica, Retention

T = TypeVar("T")

TICK = 1.0
"""Seconds between two looks at quiet logs."""
RECONNECT = 0.1
"""Seconds between two attempts to connect."""


class Packet(NamedTuple):
    """A message or a notice to one process."""

    broker: "SimulatedBroker"
    connection: int
    name: str
    message: Message | bytes | Told


class Request:
    """A command to the server, and the answer to it.

    Args:
        broker: The broker that waits for the answer.
        operation: The command.
    """

    def __init__(self, broker: "SimulatedBroker", operation: Callable[[], Any]) -> None:
        self.broker = broker
        self.is_performed = False
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._operation = operation
        self._result: Any = None
        self._error: Exception | None = None

    def perform(self) -> None:
        """Let the command arrive, once."""
        if not self.is_performed:
            self.is_performed = True
            try:
                self._result = self._operation()
            except Exception as error:
                self._error = error

    def reply(self) -> None:
        """Let the answer arrive."""
        self.perform()
        if self.answer.done():
            return
        if self._error is not None:
            self.answer.set_exception(self._error)
        else:
            self.answer.set_result(self._result)

    def lose(self) -> None:
        """Lose the command, or its answer if it was performed."""
        if not self.answer.done():
            self.answer.set_exception(BrokerDown("the connection was lost"))
            self.answer.exception()  # nothing waits for a notice


class Network:
    """Everything between the brokers and the server.

    Args:
        is_sparse: True if the offsets of a log have holes.

    Attributes:
        packets: Messages that have not arrived.
        requests: Commands without an answer.
        is_calm: True if everything is delivered by itself.
        is_up: False if the server cannot be reached.
        away: Brokers that cannot reach the server.
        deaf: Brokers whose subscriptions look healthy, but deliver nothing.
        published: Number of posts that the server has performed.
        sent: Number of commands that were sent to the server.
    """

    def __init__(self, *, is_sparse: bool = False) -> None:
        self.server = Server(Random(1), is_sparse=is_sparse, clock=lambda: asyncio.get_running_loop().time())
        self.hall = Hall()
        self.brokers: list[SimulatedBroker] = []
        self.packets: list[Packet] = []
        self.requests: list[Request] = []
        self.is_calm = True
        self.is_up = True
        self.away: set[SimulatedBroker] = set()
        self.deaf: set[SimulatedBroker] = set()
        self.published = 0
        self.sent = 0

    def send(self, request: Request) -> None:
        """Send a command to the server."""
        self.sent += 1
        if not self.reaches(request.broker):
            request.lose()
            return
        self.requests.append(request)
        if self.is_calm:
            asyncio.get_running_loop().call_soon(self.serve, request)

    def reaches(self, broker: "SimulatedBroker") -> bool:
        """Return True if a process can reach the server."""
        return self.is_up and broker not in self.away

    def serve(self, request: Request) -> None:
        """Perform a command, and let its answer arrive."""
        if request in self.requests:
            self.requests.remove(request)
            request.reply()

    def publish(self, posts: Sequence[Post]) -> list[list[Stored]]:
        """Perform posts, and announce their records."""
        results = []
        for post in posts:
            self.published += 1
            stored, message = self.server.publish(post)
            results.append(stored)
            self.announce(post.name, message)
        return results

    def end(self, name: str, retention: Retention, fence: str | None) -> Position | None:
        """End a log, and announce it; return the position of its newest entry."""
        self.announce(name, self.server.end(name, retention, fence))
        log = self.server.logs.get(name)
        return None if log is None else Position(log.epoch, log.head)

    def empty(self, name: str) -> None:
        """Empty a log, and announce it."""
        self.announce(name, self.server.empty(name))

    def announce(self, name: str, message: Message | bytes | None) -> None:
        """Send a message or a notice to all processes that are subscribed."""
        for broker in self.brokers:
            if message is not None and broker.is_subscribed(name):
                self.send_to(broker, name, message)

    def send_to(self, broker: "SimulatedBroker", name: str, message: Message | bytes | Told) -> None:
        """Send a message to a process."""
        if broker not in self.deaf:
            self.packets.append(packet := Packet(broker, broker.connection, name, message))
            if self.is_calm:
                asyncio.get_running_loop().call_soon(self.deliver, packet)

    def deliver(self, packet: Packet) -> None:
        """Let a message arrive."""
        for at, each in enumerate(self.packets):
            if each is packet:
                del self.packets[at]
                packet.broker.heard(packet)
                return

    def cut(self, broker: "SimulatedBroker") -> None:
        """Break the connection of one process, with everything on it."""
        self.packets = [each for each in self.packets if each.broker is not broker]
        broken = [each for each in self.requests if each.broker is broker]
        self.requests = [each for each in self.requests if each.broker is not broker]
        for request in broken:
            request.lose()
        broker.lost()

    def cut_off(self, broker: "SimulatedBroker") -> None:
        """Break the connection of one process, which cannot reach the server until :meth:`clear_up`."""
        self.away.add(broker)
        self.cut(broker)

    def go_down(self) -> None:
        """Stop the server; it keeps its logs."""
        self.is_up = False
        for broker in self.brokers:
            self.cut(broker)

    def clear_up(self) -> None:
        """Let everything arrive by itself from now on, and the server be up, with all processes connected."""
        self.is_calm = self.is_up = True
        self.away.clear()
        self.deaf.clear()
        for broker in self.brokers:
            broker.connect()
        for packet in list(self.packets):
            self.deliver(packet)
        for request in list(self.requests):
            self.serve(request)


class _Attached:
    """One log that a process has attached."""

    def __init__(self, replica: Replica, repair: Repair, retention: Retention) -> None:
        self.replica = replica
        self.repair = repair
        self.retention = retention
        self.is_subscribed = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self) -> None:
        """Fail the call that waits for the replica, if there is one."""
        if not self.ready.done():
            self.ready.set_exception(BrokerDown())
            self.ready.exception()


class SimulatedLeases(Leases):
    """The leases of a simulated broker, for one process."""

    def __init__(self, broker: "SimulatedBroker", network: Network) -> None:
        self._broker = broker
        self._network = network

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease | None]:
        server = self._network.server
        try:
            async with asyncio.timeout(min(each.seconds for each in claims) / 2):
                return await self._broker.request(lambda: [server.claim(self._broker, each) for each in claims])
        except (BrokerDown, TimeoutError):
            return [None] * len(claims)

    async def release(
        self, name: str, token: str, *, forgets: bool = False, note: bytes = b"", closes: float = 0.0
    ) -> None:
        def operation() -> None:
            server = self._network.server
            if server.release(self._broker, name, token, forgets=forgets, note=note, closes=closes):
                self._network.announce(name, b"vacant")

        await self._broker.request(operation)


class SimulatedBroker(Broker):
    """The broker of one process on a simulated network.

    Attributes:
        connection: Number of the connection; packets of an earlier one never arrive.
    """

    def __init__(self, network: Network) -> None:
        self.connection = 0
        self.leases = SimulatedLeases(self, network)
        process = secrets.token_hex(8)
        self.control: SimulatedControl = SimulatedControl(self, network.hall, process)
        self.members = SimulatedMembers(self, network.hall, process)
        self._network = network
        self._attached: dict[str, _Attached] = {}
        self._is_connected = False
        self._lost_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def health(self) -> Health:
        return Health("ok") if self._is_connected else Health("down", self._lost_at)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._network.brokers.append(self)
        self.connect()
        self._tick()
        self.start(self.control.beats())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self in self._network.brokers:
            self._network.brokers.remove(self)
            if self._is_connected and self._network.is_calm:
                with suppress(BrokerDown):
                    await self.control.beat(0, PARTING)
        for timer in self._timers.values():
            timer.cancel()
        self._attached.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def publish(self, posts: Sequence[Post]) -> Sequence[Sequence[Stored]]:
        return await self.request(lambda: self._network.publish(posts))

    async def attach(
        self, name: str, retention: Retention, replica: Replica, since: Position | None = None
    ) -> Callable[[], None]:
        if name in self._attached:
            raise ValueError(f"{name!r} is attached already")
        attached = self._attached[name] = _Attached(replica, Repair(replica, retention, since), retention)
        try:
            await self._subscribe(name, attached)
            await attached.ready
        except BaseException:
            self._detach(name, attached)
            raise
        return partial(self._detach, name, attached)

    def _detach(self, name: str, attached: _Attached) -> None:
        if self._attached.get(name) is attached:
            del self._attached[name]

    async def read(
        self, name: str, retention: Retention, since: Position | None = None, limit: int | None = None
    ) -> Range | None:
        def operation() -> Range | None:
            if name not in self._network.server.logs:
                return None
            return self._network.server.read(name, retention, Read(since, b""), limit)

        return await self.request(operation)

    async def end(self, name: str, retention: Retention, fence: str | None = None) -> Position | None:
        return await self.request(lambda: self._network.end(name, retention, fence))

    async def empty(self, name: str, retention: Retention) -> None:
        await self.request(lambda: self._network.empty(name))

    def notify(self, name: str, message: bytes) -> None:
        if self._is_connected:
            self._network.send(Request(self, lambda: self._network.announce(name, message)))

    def send_to(self, process: str | None, message: Told) -> None:
        """Send a message to one process, or to all others."""
        if not self._is_connected:
            raise BrokerDown
        others = [each for each in self._network.brokers if each is not self]
        for each in others:
            if process in (None, each.control.process):
                self._network.send(Request(self, partial(self._network.send_to, each, "", message)))

    # The network

    def is_subscribed(self, name: str) -> bool:
        """Return True if the server sends messages of a log to this process."""
        return self._is_connected and name in self._attached and self._attached[name].is_subscribed

    def heard(self, packet: Packet) -> None:
        """Take a message."""
        if isinstance(packet.message, Told):
            if packet.connection == self.connection:
                with isolated("A message of another process could not be taken."):
                    self.control.receive(*packet.message)
            return
        attached = self._attached.get(packet.name)
        if attached is None or packet.connection != self.connection:
            return
        if isinstance(packet.message, bytes):
            if attached.ready.done():
                attached.replica.notice(packet.message)
        else:
            self._perform(packet.name, attached, attached.repair.message(packet.message, self._loop.time()))

    def lost(self) -> None:
        """Note that the connection is broken."""
        self.connection += 1
        if self._is_connected:
            self._is_connected = False
            self._lost_at = self._loop.time()
        for attached in list(self._attached.values()):
            attached.is_subscribed = False
            attached.fail()
            attached.repair.disconnected(self._loop.time())
        self._later("connect", RECONNECT, self.connect)

    def connect(self) -> None:
        """Connect again, unless the connection is healthy; while the server is down, try again later."""
        if self._is_connected:
            return
        if not self._network.reaches(self):
            self._later("connect", RECONNECT, self.connect)
            return
        self._is_connected = True
        for name, attached in self._attached.items():
            self.start(self._subscribe_again(name, attached))

    async def _subscribe_again(self, name: str, attached: _Attached) -> None:
        connection = self.connection
        while self.connection == connection and self._attached.get(name) is attached and not attached.is_subscribed:
            try:
                await self._subscribe(name, attached)
            except BrokerDown:
                await asyncio.sleep(RECONNECT)

    async def _subscribe(self, name: str, attached: _Attached) -> None:
        connection = self.connection

        def subscribe() -> None:
            if self.connection == connection:
                attached.is_subscribed = True

        await self.request(subscribe)
        if self.connection != connection or self._attached.get(name) is not attached:
            raise BrokerDown
        self._perform(name, attached, attached.repair.subscribed(self._loop.time()))

    async def request(self, operation: Callable[[], T]) -> T:
        """Have the server perform something, and return its answer."""
        if not self._is_connected:
            raise BrokerDown
        request = Request(self, operation)
        self._network.send(request)
        result: T = await request.answer
        return result

    # Reads

    def _perform(self, name: str, attached: _Attached, read: Read | None) -> None:
        if read is not None:
            self.start(self._read(name, attached, read))

    async def _read(self, name: str, attached: _Attached, read: Read) -> None:
        repair = attached.repair
        try:
            range_ = await self.request(lambda: self._network.server.read(name, attached.retention, read))
        except BrokerDown:
            repair.failed(read, self._loop.time())
            return
        if self._attached.get(name) is attached:
            self._perform(name, attached, repair.ranged(read, range_, self._loop.time()))
            if repair.state is State.LIVE and not attached.ready.done():
                attached.ready.set_result(None)

    def _tick(self) -> None:
        for name, attached in self._attached.items():
            self._perform(name, attached, attached.repair.due(self._loop.time()))
        self._later("tick", TICK, self._tick)

    def _later(self, what: str, seconds: float, callback: Callable[[], None]) -> None:
        if what in self._timers:
            self._timers[what].cancel()
        self._timers[what] = self._loop.call_later(seconds, callback)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something until the broker is left."""
        self._tasks.add(task := self._loop.create_task(coroutine))
        task.add_done_callback(self._tasks.discard)
