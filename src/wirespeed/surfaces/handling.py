"""A client's messages to a topic's handler: they wait in a bounded inbox and are handled one at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from ..definitions import Handler
from ..hub import Hub
from ..runs.inbox import Budget, Inbox
from ..runs.outcome import Cancelled, Outcome, run_in_thread
from ..runs.overlap import Broken, QueuedRuns
from .runs import Invalid, run_for_client

HANDLING_TIMEOUT = 2.0
"""Seconds that a handler has for the messages of a client that has left, before it is cancelled."""

Handled = Outcome[None] | Invalid
"""The end of the handling of a message; an ``Invalid`` never reached the handler."""


class Handling(QueuedRuns):
    """The messages of one client to a topic's handler.

    Args:
        room: The bytes that waiting messages may take, or a budget that several inboxes share.
        answer: Called after each message with the ``about`` of its offer and with how its handling ended. Each surface
            answers in its own protocol.
        broken: Called with the error of a handling that has ended without an answer.
    """

    def __init__(
        self,
        hub: Hub,
        title: str,
        handler: Handler,
        arguments: Mapping[str, Any],
        room: int | Budget,
        answer: Callable[[Any, Handled], Awaitable[None]],
        broken: Broken,
    ) -> None:
        super().__init__(self._handle, broken, Inbox(hub.settings.max_inbox_messages, room))
        self.handler = handler
        self._hub = hub
        self._title = title
        self._arguments = arguments
        self._answer = answer

    def offer(self, message: Any, size: int, about: Any = None) -> None:
        """Queue a message, which is handled in its turn.

        Args:
            message: The decoded message; an ``Invalid`` is answered in its turn and not handled.
            about: Handed to ``answer`` with how the handling ended, such as the id of a command.

        Raises:
            InboxFull: Too much waits already; the message was not taken.
        """
        super().offer((message, about), size)

    async def _handle(self, item: tuple[Any, Any]) -> None:
        message, about = item
        ended: Handled
        if isinstance(message, Invalid):
            ended = message
        else:
            ended = await handle(
                self._hub, self._title, self.handler, self._arguments, message, lambda: self.cancelling
            )
        await self._answer(about, ended)

    def drop(self) -> None:
        """Drop the messages that wait."""
        self._inbox.clear()

    async def finish(self) -> None:
        """Handle the messages that the client sent before it left; after ``HANDLING_TIMEOUT`` seconds, cancel them.

        Each of them is answered: on a connection of many channels, the client may only have left this one.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(HANDLING_TIMEOUT):
                await self.idle()
        self._stopped = True
        await asyncio.sleep(0)  # a task that is cancelled before its first turn would not answer
        await self.stop()
        while self._inbox:
            (_, about), _ = self._inbox.pop()
            await self._answer(about, Cancelled(asyncio.CancelledError()))


async def handle(
    hub: Hub, title: str, handler: Handler, arguments: Mapping[str, Any], message: Any, is_cancelled: Callable[[], bool]
) -> Outcome[None]:
    """Call a topic's handler with one message, and return how that ended."""
    call = partial(
        handler.function, **{name: arguments[name] for name in handler.names}, **{handler.parameter: message}
    )
    run = partial(run_in_thread, call) if handler.synchronous else call
    return await run_for_client(hub, title, run, is_cancelled, what="the handler of its messages")
