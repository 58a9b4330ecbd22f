"""The values of one watch, from the SDK's subscription to the loop that takes them."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar, cast

import centrifuge
from pydantic import TypeAdapter

from ..codec import plain_type
from ..definitions import Publication, SourceHealth
from ..log.position import Position
from ..pieces import GROWS, Pieces
from ..raw import RawJSON
from ..readback import reader
from ..runs.outcome import Failed, run_now
from .errors import ServerRefused, TooSlow, ValuesLost

T = TypeVar("T")

COMPLETE = 2000, "complete"
"""Code and reason by which the server ends a subscription that is complete."""


class _Arrival(NamedTuple):
    """A value as it has arrived."""

    data: bytes
    epoch: str
    offset: int
    tags: dict[str, str]


class Arrivals(centrifuge.SubscriptionEventHandler, Generic[T]):  # type: ignore[misc]
    """The values of one watch that have arrived and were not taken yet."""

    def __init__(self, path: str, type_: Any, most: int, *, newest: bool, lossy: bool) -> None:
        self.path = path
        self._decode = decoder(type_)
        self._most, self._newest, self._lossy = most, newest, lossy
        self._waiting: deque[_Arrival] = deque()
        self._epoch = ""
        self._whole: Pieces | None = None
        self._arrived = asyncio.Event()
        self._over = False
        self._error: Exception | None = None
        self.on_status: Callable[[SourceHealth], object] | None = None
        self._is_live = True

    def _status(self, health: SourceHealth) -> None:
        self._is_live = health.state == "live"
        if self.on_status is None or self._over:
            return
        outcome = run_now(partial(self.on_status, health))
        if isinstance(outcome, Failed):
            self.fail(outcome.exception)

    def lose(self) -> None:
        """Note that values were lost: the watch fails, unless it is to continue without them."""
        if not self._lossy:
            self.fail(ValuesLost(self.path))

    def fail(self, error: Exception) -> None:
        """End the watch with an error, after the values that are waiting. Do nothing if it is over already."""
        if not self._over:
            self._error, self._over = error, True
            self._arrived.set()

    async def on_publication(self, ctx: Any) -> None:
        if self.on_status is not None and not ctx.pub.offset and "status" in ctx.pub.tags:
            self._status(SourceHealth(**json.loads(ctx.pub.tags["status"])))
            return
        data = ctx.pub.data or b""
        if self._newest:
            data = self._of(data)
            self._waiting.clear()
        if len(self._waiting) >= self._most:
            self.fail(TooSlow(self.path, self._most))
        if not self._over:
            self._waiting.append(_Arrival(data, self._epoch, ctx.pub.offset, ctx.pub.tags))
            self._arrived.set()

    def _of(self, data: bytes) -> bytes:
        """Return the whole value; each value that arrives has to pass here once, in order."""
        return data if self._whole is None else self._whole.of(data)

    async def on_subscribed(self, ctx: Any) -> None:
        if self._whole is None and ctx.data == GROWS:
            self._whole = Pieces()
        if ctx.stream_position is not None:
            self._epoch = ctx.stream_position.epoch
        if ctx.positioned and ctx.was_recovering and not ctx.recovered:
            self.lose()
        if not self._is_live:  # unless the server says otherwise next
            self._status(SourceHealth.ago("live"))

    async def on_unsubscribed(self, ctx: Any) -> None:
        if (ctx.code, ctx.reason) != COMPLETE:
            self.fail(ServerRefused.explained(self.path, ctx.code, ctx.reason))
        self._over = True
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[Publication[T]]:
        return self._publications()

    async def _publications(self) -> AsyncIterator[Publication[T]]:
        while True:
            while self._waiting:
                data, epoch, offset, tags = self._waiting.popleft()
                value = self._decode(data if self._newest else self._of(data))
                yield Publication(Position(epoch, offset), value, tags or {})
            if self._over:
                break
            self._arrived.clear()
            await self._arrived.wait()
        if self._error is not None:
            raise self._error


def decoder(type_: Any) -> Callable[[bytes], Any]:
    """Return a function that decodes a value."""
    kind = plain_type(type_)
    if kind is RawJSON or type_ is bytes:
        return cast("Callable[[bytes], Any]", kind)
    validator: TypeAdapter[Any] = TypeAdapter(type_)
    return (lambda data: validator.validate_python(bytes(data))) if kind is bytes else reader(validator)
