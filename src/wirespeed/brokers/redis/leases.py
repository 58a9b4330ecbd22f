"""Leases in Redis: a key with the holder's token, which expires by the server's clock."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import BrokerDown
from ...log.position import Position
from ..broker import Claim, Lease, Leases
from .control import Run
from .link import ReplyError
from .scripts import RedisScript
from .spelling import keys_of

_CLAIM = RedisScript("claim", "allow-oom", has_log=False)
_RELEASE = RedisScript("release", "allow-oom", has_log=False)


class RedisLeases(Leases):
    """The leases that one process claims.

    Args:
        namespace: Beginning of the names of all keys.
        run: Runs a script.
        channel: Returns the channel of a log.
    """

    def __init__(self, namespace: str, run: Run, channel: Callable[[str], str]) -> None:
        self._namespace = namespace
        self._run = run
        self._channel = channel
        # Names this process in the sets of watchers only; the control has another name for it.
        self._process = secrets.token_hex(8)

    async def claim(self, claims: Sequence[Claim]) -> Sequence[Lease | None]:
        """See :meth:`Leases.claim`."""
        sent = [self._run(_CLAIM, self._keys(each.name)[0], self._claimed(each)) for each in claims]
        replies = list(map(asyncio.ensure_future, sent))
        try:
            await asyncio.wait(replies, timeout=min(each.seconds for each in claims) / 2)
        finally:
            for reply in replies:
                reply.cancel()
        return list(map(_lease, replies))

    async def release(
        self, name: str, token: str, *, forgets: bool = False, note: bytes = b"", closes: float = 0.0
    ) -> None:
        """See :meth:`Leases.release`."""
        keys = self._keys(name)
        arguments: list[Any] = [len(keys), *keys, token, self._process, "1" if forgets else "", self._channel(name)]
        arguments += [note, round(1000 * closes)]
        try:
            await self._run(_RELEASE, keys[0], arguments)
        except ReplyError as error:
            raise BrokerDown(f"Redis has refused to free a lease: {error}") from error

    def _claimed(self, claim: Claim) -> list[Any]:
        meta, lease, *_, began, watched, note = self._keys(claim.name)
        milliseconds = round(1000 * claim.seconds)
        return [
            5,
            meta,
            lease,
            began,
            watched,
            note,
            claim.token,
            milliseconds,
            self._process,
            "1" if claim.is_watched else "",
            "1" if claim.renews else "",
            claim.note,
        ]

    def _keys(self, name: str) -> tuple[str, ...]:
        keys = keys_of(self._namespace, name)
        base = keys[0].removesuffix("meta")
        return (*keys, base + "began", base + "watched", base + "note")


def _lease(reply: asyncio.Future[Any]) -> Lease | None:
    if not reply.done() or reply.cancelled() or reply.exception() is not None:
        return None
    is_held, is_watched, left, epoch, offset, note, is_closed = reply.result()
    began = Position(epoch.decode(), offset)
    return Lease(bool(is_held), bool(is_watched), left / 1000, began, note, bool(is_closed))
