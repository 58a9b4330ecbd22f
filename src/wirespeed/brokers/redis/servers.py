"""The connections to all primaries: a command finds the server of its keys, and a subscription follows its channel."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import redis.exceptions

from ...errors import BrokerDown
from ...isolation import isolated
from ..broker import Health
from .address import Address, Endpoint
from .link import ReplyError
from .node import Event, Node, failed
from .scripts import RedisScript
from .topology import Owners, topology_of

FIRST_PAUSE = 0.05
"""Seconds before the first attempt to connect again; twice as many each time, up to ``LONGEST_PAUSE``."""
LONGEST_PAUSE = 2.0
REVIEW = 10.0
"""Seconds between two questions where the primaries are, for Sentinel and a Cluster."""
PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before a command is sent again that a server does not serve now."""
HELD_UP = 1.0
"""Seconds that the results of one server wait for those of another."""

_MOVING = (redis.exceptions.AskError, redis.exceptions.TryAgainError, redis.exceptions.ClusterDownError)
"""Errors while a slot moves, ``MOVED`` included: the other server has it, or some of its keys."""
_NOT_NOW = ("BUSY ", "MISCONF", "NOREPLICAS")
"""Beginnings of errors of a server that does not serve now, for which redis has no classes."""

logger = logging.getLogger("wirespeed")


class RedisSubscription(ABC):
    """A channel that this process listens to, at the server that has its slot.

    Attributes:
        channel: The channel.
        slot: Its slot.
        node: The server where it is subscribed, or will be; None while there is none.
    """

    def __init__(self, channel: bytes, slot: int) -> None:
        self.channel = channel
        self.slot = slot
        self.node: Node | None = None

    @abstractmethod
    def subscribed(self, now: float) -> None:
        """Note that everything that is published from now on arrives."""

    @abstractmethod
    def message(self, data: bytes, now: float) -> None:
        """Take a message."""

    @abstractmethod
    def lost(self, now: float, problem: str) -> None:
        """Note that messages may be lost until it is subscribed again.

        Args:
            problem: Reason for the loss; empty if another server has the slot now.
        """


class SentScript(NamedTuple):
    """A script that was sent."""

    script: RedisScript
    slot: int
    arguments: Sequence[Any]
    future: asyncio.Future[Any]


class Servers:
    """All primaries of one address.

    Args:
        address: The address.
        namespace: Beginning of the names of channels.
    """

    def __init__(self, address: Address, namespace: str) -> None:
        self._address = address
        self._namespace = namespace
        self._topology = topology_of(address)
        self._owners: Owners = []
        self._nodes: dict[Endpoint, Node] = {}
        self._subscriptions: dict[bytes, RedisSubscription] = {}
        self._since: float | None = None
        """Time since which the servers are not all connected; None if they are."""
        self._problem = ""
        """Reason for which one of them is not."""
        self._behind: dict[RedisSubscription, float] = {}
        """Subscriptions that have lost messages, and the time of each loss."""
        self._is_unsettled = False
        """True if a subscription has no server."""
        self._is_outdated = False
        """True if the primaries may be others now, or one of them is not connected."""
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self._warned: set[Endpoint] = set()
        self._located_at = 0.0

    @property
    def health(self) -> Health:
        """See :attr:`.Broker.health`."""
        if not self._nodes:
            return Health("down", self._since, self._problem)
        since = next(iter(self._behind.values()), self._since)
        return Health("ok") if since is None else Health("stale", since)

    async def open(self) -> None:
        """Connect to all servers. Those that cannot be reached are tried again."""
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._since = self._loop.time()
        try:
            await self._reach()
        except Exception as error:
            self._problem = str(error).rstrip(".")
            self._look()

    async def close(self) -> None:
        """Disconnect; it may be called again."""
        self._is_closed = True
        self._subscriptions.clear()
        self._behind.clear()
        nodes, self._nodes = self._nodes, {}
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*(node.close() for node in nodes.values()), *self._tasks, return_exceptions=True)

    def tick(self, now: float) -> None:
        """Look after the connections; called about once per second."""
        for node in list(self._nodes.values()):
            node.tick(now)
        if self._is_unsettled:
            self._settle()
        if self._address.kind != "one" and now - self._located_at > REVIEW:
            self._look()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in the background, at most until the servers are closed."""
        self._tasks.add(task := self._loop.create_task(work))
        task.add_done_callback(self._tasks.discard)
        return task

    # Commands

    def slot(self, key: str) -> int:
        """Return the slot of a key."""
        return self._topology.slot(key)

    def serves(self, slot: int) -> bool:
        """Return True if the server of a slot is connected."""
        return self._node(slot) is not None

    def send(self, script: RedisScript, slot: int, arguments: Sequence[Any]) -> SentScript:
        """Send a script to the server of a slot. It never waits; :meth:`result` does."""
        return SentScript(script, slot, arguments, self._call(slot, "EVALSHA", script.digest, *arguments))

    def publish(self, slot: int, channel: str, data: bytes) -> asyncio.Future[Any]:
        """Send a message to all that listen to a channel, at most once; return the future of the reply."""
        return self._call(slot, "SPUBLISH", channel, data)

    async def settle(self, calls: Sequence[SentScript]) -> None:
        """Wait for scripts that were sent at once, but not long for one server of a Cluster while others have replied.

        Those that have not run by then fail with ``BrokerDown``, although they may run.
        """
        if len(self._nodes) < 2 or not calls:
            return
        _, late = await asyncio.wait([call.future for call in calls], timeout=HELD_UP)
        if len(late) < len(calls):
            for future in late:
                failed(future, BrokerDown("a server of the Cluster does not reply"))

    async def result(self, call: SentScript, *, waits: bool = True) -> Any:
        """Return the result of a script.

        Args:
            call: The script.
            waits: False to fail at once if the server does not serve now.

        Raises:
            BrokerDown: It is unknown whether the script has run, or it has not.
            ReplyError: The server has refused it, and would again.
        """
        script, slot, arguments, future = call
        problem: Exception | None = None
        for pause in PAUSES:
            try:
                return await future
            except redis.exceptions.NoScriptError as error:  # the server was restarted, or its scripts were flushed
                problem = error
                future = self._call(slot, "EVAL", script.source, *arguments)
                continue
            except ReplyError as error:
                if not isinstance(error, _MOVING) and not str(error).startswith(_NOT_NOW):
                    raise
                problem = error
                self._moved(error)
                if not waits:
                    break
            await asyncio.sleep(pause)
            future = self._call(slot, "EVALSHA", script.digest, *arguments)
        raise BrokerDown(f"Redis does not serve now: {problem}") from problem

    def _call(self, slot: int, *command: Any) -> asyncio.Future[Any]:
        if (node := self._node(slot)) is not None:
            return node.call(*command)
        problem = f"Redis cannot be reached: {self._problem}" if self._problem else "Redis cannot be reached"
        return failed(asyncio.get_running_loop().create_future(), BrokerDown(problem))

    def _node(self, slot: int) -> Node | None:
        owner = self._owners[slot] if self._owners else None
        return None if owner is None else self._nodes.get(owner)

    def _moved(self, error: Exception | None) -> None:
        """Note where a slot is now, if an error says so."""
        if isinstance(error, redis.exceptions.MovedError):
            if error.host:  # a server that does not know its own address names none
                self._owners[error.slot_id] = Endpoint(error.host, error.port)
            self._look()

    # Subscriptions

    def subscribe(self, subscription: RedisSubscription) -> None:
        """Listen to a channel until it is unsubscribed, wherever its slot is by then."""
        self._subscriptions[subscription.channel] = subscription
        self._place(subscription)

    def unsubscribe(self, subscription: RedisSubscription) -> None:
        """Listen to a channel no longer."""
        if self._subscriptions.get(subscription.channel) is subscription:
            del self._subscriptions[subscription.channel]
            self._behind.pop(subscription, None)
            if subscription.node is not None:
                subscription.node.unsubscribe(subscription.channel)

    def caught_up(self, subscription: RedisSubscription) -> None:
        """Note that a subscription has made up for the messages that it had lost."""
        self._behind.pop(subscription, None)

    def _settle(self) -> None:
        """Subscribe every channel where its slot is now."""
        self._is_unsettled = False
        for subscription in list(self._subscriptions.values()):
            self._place(subscription)

    def _place(self, subscription: RedisSubscription) -> None:
        before, node = subscription.node, self._node(subscription.slot)
        if node is None:
            self._is_unsettled = True
        elif node is not before:
            if before is not None:
                before.unsubscribe(subscription.channel)
                self._displace(subscription)
            subscription.node = node
            node.subscribe(subscription.channel)

    def _displace(self, subscription: RedisSubscription, problem: str = "", since: float | None = None) -> None:
        subscription.node = None
        self._is_unsettled = True
        since = self._loop.time() if since is None else since
        self._behind.setdefault(subscription, since)
        with isolated("A replica could not be marked as stale."):
            subscription.lost(since, problem)

    def _heard(self, node: Node, event: Event, channel: bytes, data: Any) -> None:
        subscription = self._subscriptions.get(channel)
        if subscription is None or subscription.node is not node:
            return
        now = self._loop.time()
        with isolated("A message of the broker could not be applied."):
            if event == "message":
                subscription.message(data, now)
            elif event == "subscribed":
                subscription.subscribed(now)
            elif data is None or isinstance(data, _MOVING):
                self._displace(subscription)
                self._moved(data)
                self._look()
            else:
                self._displace(subscription, f"Redis has refused a subscription: {data}")

    # Connections

    def _lost(self, node: Node, problem: str, since: float) -> None:
        if self._nodes.get(node.endpoint) is not node:
            return
        del self._nodes[node.endpoint]
        self._problem = problem
        if self._since is None:
            self._since = since
        if self._nodes:  # if all are lost, the hub says so
            logger.warning("%s. The logs of this server of the Cluster wait until it is back or replaced.", problem)
        for subscription in list(self._subscriptions.values()):
            if subscription.node is node:
                self._displace(subscription, problem, since)
        self.start(node.close())
        self._look()

    def _look(self) -> None:
        """Find out where the primaries are, and connect to all of them, in the background."""
        self._is_outdated = True
        if not self._is_closed and (self._looking is None or self._looking.done()):
            self._looking = self.start(self._keep_looking())

    async def _keep_looking(self) -> None:
        pause = FIRST_PAUSE
        while self._is_outdated:
            # Processes that have lost one server at the same time do not all return at the same time.
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
            self._is_outdated = False
            try:
                await self._reach()
            except Exception as error:  # whatever it is, it may work later
                self._problem = str(error).rstrip(".")
                self._is_outdated = True
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _reach(self) -> None:
        """Connect to the primaries, as they are now.

        Raises:
            BrokerDown: A part of the slots has no server.
            Exception: One of ``LOST``: a server cannot be reached.
        """
        self._owners = [*await self._topology.locate()]
        self._located_at = self._loop.time()
        wanted = {owner for owner in self._owners if owner is not None}
        missing = wanted - self._nodes.keys()
        results = await asyncio.gather(*map(self._open, missing), return_exceptions=True)
        for endpoint in self._nodes.keys() - wanted:
            self._lost(self._nodes[endpoint], f"Redis at {endpoint} is not a primary any more", self._loop.time())
        self._settle()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if None in self._owners:
            raise BrokerDown("a part of the Cluster's slots has no server")
        self._since = None

    async def _open(self, endpoint: Endpoint) -> None:
        node = Node(self._address, endpoint, self._namespace, self._heard, self._lost)
        await node.open()
        self._nodes[endpoint] = node
        self._settle()  # not when all are open: one that does not answer takes a while
        if node.warning and endpoint not in self._warned:
            self._warned.add(endpoint)
            logger.warning(node.warning)
