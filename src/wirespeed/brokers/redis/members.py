"""The members of logs in Redis: a hash per log, with a field per client, which names the client's process."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any
from urllib.parse import quote

from ...errors import BrokerDown
from ..cluster import Attendance, MemberStore, StoredMember
from .control import RedisControl, Run
from .link import ReplyError
from .scripts import RedisScript
from .spelling import keys_of

KEPT = 3600.0
"""Seconds that the members of a log are kept after a process has last stored any."""
MOST = 500
"""Members that one command stores."""

_PUT = RedisScript("put", has_log=False)
_PRESENT = RedisScript("present", "allow-oom", has_log=False)
_SWEEP = RedisScript("sweep", "allow-oom", has_log=False)


class RedisMembers(MemberStore):
    """The members that the processes have stored.

    Args:
        namespace: Beginning of the names of all keys.
        control: Knows which processes are alive.
        run: Runs a script.
    """

    def __init__(self, namespace: str, control: RedisControl, run: Run) -> None:
        self._namespace = namespace
        self._control = control
        self._run = run

    async def put(
        self, name: str, joined: Sequence[StoredMember], left: Sequence[str], *, is_whole: bool = False
    ) -> None:
        """See :meth:`MemberStore.put`."""
        if not self._control.is_known:  # the members of a process that is not known are those of a dead one
            raise BrokerDown
        key, parts = self._key(name), []
        pairs = chain(((each, b"") for each in left), map(_pair, joined))
        for at in range(0, len(left) + len(joined) or 1, MOST):
            if at:
                await asyncio.sleep(0)  # each part takes about a millisecond
            first = "1" if is_whole and at == 0 else ""
            some = chain.from_iterable(islice(pairs, MOST))
            parts.append([1, key, self._control.process, first, round(1000 * KEPT), *some])
        with _accepted(name):
            await asyncio.gather(*(self._run(_PUT, key, each) for each in parts))  # nothing comes in between

    async def read(self, name: str, most: int) -> Attendance:
        """See :meth:`MemberStore.read`."""
        clients, users, others, some = await self._present(name, most)
        dead = await self._dead(others)
        if len(dead) < len(others):  # some are of processes that have been alive since the last beat only
            clients, users, others, some = await self._present(name, most)
        return Attendance(clients, users, some, bool(dead))

    async def sweep(self, name: str) -> Sequence[bytes]:
        """See :meth:`MemberStore.sweep`."""
        _, _, others, _ = await self._present(name, 0)
        dead = await self._dead(others)
        gone: Sequence[bytes] = await self._call(_SWEEP, name, *dead) if dead else []
        return gone

    async def _present(self, name: str, most: int) -> Any:
        return await self._call(_PRESENT, name, most, *self._control.holders)

    async def _dead(self, others: Sequence[bytes]) -> list[str]:
        """Return those of some processes that do not count; they are looked up after their members were seen."""
        if others:
            await self._control.beat()
        return [each.decode() for each in others if each.decode() not in self._control.holders]

    async def _call(self, script: RedisScript, name: str, *arguments: Any) -> Any:
        key = self._key(name)
        with _accepted(name):
            return await self._run(script, key, [1, key, *arguments])

    def _key(self, name: str) -> str:
        return keys_of(self._namespace, name)[0].removesuffix("meta") + "members"


def _pair(member: StoredMember) -> tuple[str, bytes]:
    return member.client, quote(member.user).encode() + b"\n" + member.data


@contextmanager
def _accepted(name: str) -> Iterator[None]:
    try:
        yield
    except ReplyError as error:
        raise BrokerDown(f"Redis has refused a command about the members of {name}: {error}") from error
