"""Attached logs: replicas that follow the messages of their channel."""

import asyncio
import random
from collections.abc import Callable

from ...errors import BrokerDown
from ...isolation import log_error
from ...log.position import Position
from ...log.record import Replica, Retention
from ..repair import Holding, Read, Repair, State
from .link import ReplyError
from .scripts import RedisScript
from .servers import RedisSubscription, SentScript, Servers
from .spelling import NOTICE, Arguments, message_of, position_of, range_of

READ = RedisScript("read", "allow-oom")


class Attached(RedisSubscription):
    """One log that this process has attached.

    Args:
        channel: The channel of the log.
        slot: Its slot.
        servers: The servers.
        common: Returns the first arguments of a read.
        retention: The entries that the log retains.
        replica: The copy to keep up to date.
        since: Position of the copy, if it has one from earlier.
        holding: The bound of what all logs of the broker hold while they read.

    Attributes:
        ready: Done when the replica has begun; fails if it cannot.
    """

    def __init__(
        self,
        channel: bytes,
        slot: int,
        servers: Servers,
        common: Callable[[], Arguments],
        retention: Retention,
        replica: Replica,
        since: Position | None,
        holding: Holding,
    ) -> None:
        super().__init__(channel, slot)
        self._servers = servers
        self._common = common
        self._retention = retention
        self._replica = replica
        self._repair = Repair(
            replica,
            retention,
            since,
            random.random(),  # noqa: S311 - it distributes load
            holding,
        )
        self._is_over = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def head(self) -> Position | None:
        """Position of the newest entry that the replica has."""
        return self._repair.head

    @property
    def tag(self) -> bytes:
        """Tag of that entry."""
        return self._repair.tag

    def leave(self) -> None:
        """Stop calling the replica."""
        self._is_over = True
        self._repair.close()
        self.fail("the log was detached")

    def fail(self, problem: str) -> None:
        """Fail the call that waits for the replica, if there is one."""
        if not self.ready.done():
            self.ready.set_exception(BrokerDown(problem))
            self.ready.exception()  # it may have been cancelled

    def tick(self, now: float) -> None:
        """Check the log if it was quiet for a while, and is still attached."""
        if not self._is_over:
            self._fill(self._repair.due(now))

    def subscribed(self, now: float) -> None:
        self._fill(self._repair.subscribed(now))

    def message(self, data: bytes, now: float) -> None:
        if not data.startswith(NOTICE):
            self._fill(self._repair.message(message_of(data), now))
        elif self.ready.done():
            self._replica.notice(data.removeprefix(NOTICE))

    def lost(self, now: float, problem: str) -> None:
        if problem:
            self.fail(problem)
        self._repair.disconnected(now)

    def _fill(self, read: Read | None) -> None:
        if read is not None:
            arguments = [*self._common(), *position_of(read.since, read.tag), "", "1"]
            self._servers.start(self._ranged(read, self._servers.send(READ, self.slot, arguments)))

    async def _ranged(self, read: Read, call: SentScript) -> None:
        loop = asyncio.get_running_loop()
        try:
            reply = await self._servers.result(call)
            range_ = range_of(reply, self._retention, read.since.offset if read.since else 0, None)
        except Exception as error:
            if not isinstance(error, BrokerDown | ReplyError):
                log_error(error, "A range of the broker could not be read.")
            if not self._is_over:
                self._repair.failed(read, loop.time())
                self.fail(f"Redis has refused to read: {error}")
            return
        if self._is_over:
            return
        self._fill(self._repair.ranged(read, range_, loop.time()))
        if self._repair.state is State.LIVE:
            self._servers.caught_up(self)
            if not self.ready.done():
                self.ready.set_result(None)
