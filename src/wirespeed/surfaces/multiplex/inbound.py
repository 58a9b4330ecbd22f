"""The way in: what a client has sent, and the server has not done yet.

Frames are kept as they came, and read command by command, while the answers to these have room. As long as little
waits, the client is read on, so that its end is noticed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from sys import getsizeof
from time import perf_counter

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codes import ProtocolError
from ...hub.clock import SLICE
from ...rate import Rate
from ...runs.inbox import Budget
from .link import Link

logger = logging.getLogger("wirespeed")

QUEUE = 32 * 1024
"""Bytes of commands that may wait for their turn, beside the frames that wait as they came; a command counts for one
KiB, and for what its client has put into it."""


class Inbound:
    """The way in from one client."""

    __slots__ = (
        "_again", "_commands", "_do", "_frames", "_is_deaf", "_is_going", "_link", "_moving", "_rate", "_returning",
        "is_connecting", "queue", "size",
    )  # fmt: skip

    def __init__(self, link: Link, do: Callable[[m.Command], None]) -> None:
        self._link = link
        self._do = do
        self._frames: list[str | bytes] = []
        self._commands: Iterator[m.Command] | None = None
        self._again: list[m.Command] = []
        self._rate: Rate | None = None
        self._returning = link.hub.settings.max_subscriptions
        """Number of subscribes that may still come beyond the rate."""
        self._is_going = False
        self._is_deaf = False
        self._moving: asyncio.Future[None] | None = None
        self.is_connecting = False
        """True while the client connects: commands behind the connect wait for it."""
        self.queue = Budget(QUEUE)
        """Bytes of the commands that were read, and wait for their turn."""
        self.size = 0
        """Bytes of memory that the frames take."""

    def __bool__(self) -> bool:
        return bool(self._frames or self._again)

    # Frames

    async def receive(self, frame: str | bytes) -> None:
        """Take a frame, and return when the next one may be read."""
        self._take(frame)
        most, lane = self._link.hub.settings.max_inbox_bytes, self._link.outlet.lane
        while (self._is_going or self.size >= most) and not (self._is_deaf or lane.closing()):
            if self._is_going or self._link.outlet.writable():
                await self._moved_on()
            else:
                await self._link.outlet.drained()
                self.go_on()

    async def _moved_on(self) -> None:
        """Wait until commands that wait for others are done; for so long, the client's end goes unnoticed."""
        self._moving = self._link.loop.create_future()
        try:
            async with asyncio.timeout(self._link.hub.settings.stall_timeout):
                await self._moving
        except TimeoutError:
            self._link.disconnect_for(ProtocolError(codes.TOO_MANY_COMMANDS, "too much waits for its turn"))
        finally:
            self._moving = None

    def receive_beside(self, frame: str | bytes) -> bool:
        """Take a frame that did not come by the transport, if there is room for it; return True if there was."""
        if self.size >= self._link.hub.settings.max_inbox_bytes:
            self._link.hub.refused("inbox full", said="commands wait for their answers to be taken in")
            return False
        if not self._link.is_over:
            self._take(frame)
        return True

    def _take(self, frame: str | bytes) -> None:
        link, settings = self._link, self._link.hub.settings
        commands = link.codec.count(frame)
        if not self._in_time(frame, commands):
            link.hub.refused("rate", said="more commands per second than the limit", times=commands)
            link.leave(codes.TOO_MANY_COMMANDS)
            return
        if self.is_connecting and (
            len(self._frames) >= settings.max_inbox_messages or self.size >= settings.max_inbox_bytes
        ):
            link.disconnect_for(ProtocolError(codes.TOO_MANY_COMMANDS, "too much before it is connected"))
            return
        self._frames.append(frame)
        self.size += getsizeof(frame)
        if not self._is_going:
            self.go_on()

    def _in_time(self, frame: str | bytes, commands: int) -> bool:
        """Return True if a frame keeps to the rate; SDKs that reconnect subscribe to all channels at once, and may."""
        now = self._link.loop.time()
        self._rate = self._rate or Rate(self._link.hub.settings.max_messages_per_second, now)
        if self._rate.admits(now, commands):
            return True
        subscribes = 0
        with suppress(ProtocolError):
            if self._returning:
                subscribes = sum(isinstance(each, m.Subscribe) for each in self._link.codec.commands(frame))
        excused = min(subscribes, self._returning)
        self._returning -= excused
        return excused > 0 and self._rate.admits(now, commands - excused)

    # Commands

    def go_on(self) -> None:
        """Do the commands that wait, while there is room for their answers; a slice of them in each turn."""
        link = self._link
        self._is_going = True
        until, is_late = perf_counter() + SLICE, False
        try:
            while not is_late and self._may_take() and (command := self._next()) is not None:
                self.is_connecting = isinstance(command, m.Connect)
                self._do(command)
                if data := link.peer.take():
                    link.outlet.write(data, 1)
                is_late = perf_counter() >= until
        except ProtocolError as error:
            link.disconnect_for(error)
        except Exception:
            logger.exception("A command failed.")
            link.leave(codes.SERVER_ERROR)
        self._is_going = False
        self._settle()
        if data := link.peer.take():
            link.outlet.write(data, 1)
        link.flush()
        if is_late:
            self.go_on_soon()

    def go_on_soon(self) -> None:
        """Do the commands that wait in the next turn of the loop."""
        if not self._is_going and self:
            self._is_going = True
            self._link.loop.call_soon(self.go_on)

    def _may_take(self) -> bool:
        return not (self._is_deaf or self.is_connecting) and self.queue.used < QUEUE and self._link.outlet.writable()

    def _next(self) -> m.Command | None:
        """Take the next command that is in order; None if none waits."""
        peer = self._link.peer
        while self._again:
            command = self._again.pop(0)
            # A subscribe that has waited for the end of another subscription is checked again.
            if not isinstance(command, m.Subscribe) or peer.admits(command):
                return command
        while self._frames:
            if self._commands is None:
                self._commands = peer.receive(self._frames[0])
            following = next(self._commands, None)
            if following is not None:
                return following
            self._commands = None
            self.size -= getsizeof(self._frames.pop(0))
        return None

    def put_back(self, commands: list[m.Command]) -> None:
        """Do commands that have had to wait before all others."""
        self._again[:0] = commands
        if not self._is_going:
            self.go_on()

    def stop(self) -> None:
        """Forget what waits, and take no more."""
        self._is_deaf = True
        self._frames.clear()
        self._again.clear()
        self._commands = None
        self.size = 0
        self._settle()

    def forget(self) -> None:
        """Let go of everything that leads back here: the connection has ended."""
        self._do = _undone

    def _settle(self) -> None:
        if self._moving is not None and not self._moving.done():
            self._moving.set_result(None)


def _undone(command: m.Command) -> None:
    """Do nothing: the connection is over."""
