"""Attendance: the members of keys in all processes, which the broker stores, and what other processes announce."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from ..brokers.broker import Broker
from ..brokers.cluster import Attendance, MemberStore, StoredMember
from ..errors import BrokerDown
from ..identity import Sender
from ..isolation import isolated, log_error
from .clock import Clock
from .live_key import LiveKey
from .members import Members
from .replica import sender_json, sender_of
from .turns import in_turns

JOIN, LEAVE = b"join", b"leave"
"""First words of the notices to a key. What follows is the name of the process and the client as JSON."""
AT_ONCE = 200
"""Keys whose members are stored or swept at the same time."""
SOME = 10
"""Members that are described or announced between two looks at the time."""
AGE = 1 / 10_000
"""Seconds, for each client that is present, in which an answer stands for all who ask: the broker's work grows with the
number of clients, and anyone may ask as often as they like."""
LARGE = 1000
"""Number of clients from which on an answer may be older than a change in this process."""
_PROBLEM = "Members could not be shared with other processes."
_BESIDE = 512
"""Bytes that a change takes beside the texts of its client, about."""
FAREWELL = 1.0
"""Seconds for which a process that stops waits until its last changes are stored."""
MOST_BYTES = 4 * 1024 * 1024
"""Bytes of changes that may wait for the broker, of all keys together."""
REST = 5.0
"""Seconds between two beats at which some keys are stored again."""
ROUND = 60
"""Such beats in which the members of all keys are stored again, in case the server has lost some without a trace."""


class Present(NamedTuple):
    """The members of a key in all processes."""

    clients: int
    users: int
    some: list[Sender]
    """Some of the clients, or all of them."""


class _Change(NamedTuple):
    """A client that has joined or left since its key was stored."""

    sender: Sender
    was_there: bool
    """True if other processes know it as a member."""
    is_stored: bool
    """True if it is stored as a member."""
    is_there: bool
    is_announced: bool
    size: int
    """Bytes that wait with it."""

    def notice(self, process: bytes) -> bytes | None:
        """Return the message to other processes; None if there is nothing to announce."""
        if not self.is_announced or self.was_there == self.is_there:
            return None
        return b"%b %b %b" % (JOIN if self.is_there else LEAVE, process, sender_json(self.sender))


class _Changes:
    """The changes of one key that are not stored yet."""

    def __init__(self) -> None:
        self.clients: dict[str, _Change] = {}
        self.is_whole = False
        """True if there were too many changes: all members of the key are stored, and nothing is announced."""


class SharedMembers:
    """The members of this process, as the other processes see them.

    Members that have joined or left are stored with the next turn of the loop, together. Other processes hear of them
    after that: a client that has heard of another one finds it among the members. If the broker cannot be reached, the
    members of their keys are stored as a whole when it is back. While it does not answer, a client that leaves what it
    has joined meanwhile leaves no trace, and beyond :data:`MOST_BYTES` the changes of a key are not announced.

    Args:
        members: The members of this process.
        broker: The broker, which announces joins and leaves.
        store: The broker's members.
        process: Name of this process.
        clock: The clock by which members hear of others.
    """

    def __init__(self, members: Members, broker: Broker, store: MemberStore, process: str, clock: Clock) -> None:
        self._members = members
        self._broker = broker
        self._store = store
        self._process = process.encode()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._changed: dict[str, _Changes] = {}
        """Changes that are not stored yet, by key."""
        self._size = 0
        """Bytes of these changes, and of those that are being stored."""
        self._answers: dict[str, dict[int, asyncio.Task[Present]]] = {}
        """Recent answers and those to come, by key and number of clients."""
        self._storing = asyncio.Lock()
        self._behind: set[str] = set()
        """Keys whose members could not be stored."""
        self._again: Iterator[str] = iter(())
        self._next_at = 0.0
        self._due: set[str] = set()
        """Keys whose members have to be stored as a whole."""
        self._is_storing_whole = False
        self._tasks: set[asyncio.Task[None]] = set()
        members.share(self._change)

    async def close(self) -> None:
        """Store the last changes, for at most :data:`FAREWELL` seconds, and nothing any more."""
        self._members.share(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._store_changes()
        for task in list(self._tasks):
            task.cancel()

    async def read(self, name: str, most: int) -> Present:
        """Return the number of clients and of users of a key, and at most ``most`` clients.

        Raises:
            BrokerDown: The broker cannot be reached.
        """
        answers = self._answers.setdefault(name, {})
        if most not in answers:
            answers[most] = task = self._loop.create_task(self._read(name, most))
            task.add_done_callback(partial(self._was_read, name, answers))
        return await asyncio.shield(answers[most])

    def _was_read(self, name: str, answers: "dict[int, asyncio.Task[Present]]", task: "asyncio.Task[Present]") -> None:
        is_answered = not task.cancelled() and task.exception() is None
        age = task.result().clients * AGE if is_answered else 0.0
        self._loop.call_later(age, self._forget, name, answers)

    def _forget(self, name: str, answers: "dict[int, asyncio.Task[Present]]") -> None:
        """Forget the answers about a key: the next one who asks gets a new one."""
        if self._answers.get(name) is answers:
            del self._answers[name]

    async def _read(self, name: str, most: int) -> Present:
        await self._store_changes()  # a client sees itself
        found: Attendance = await self._store.read(name, most)
        if found.has_dead:
            self._start(self._sweep([name]))
        some: list[Sender] = []
        async for part in in_turns(found.some, SOME):
            some += [each for each in map(_sender, part) if each is not None]
        return Present(found.clients, found.users, some)

    # Members of this process

    def _change(self, name: str, sender: Sender, *, joins: bool, is_announced: bool) -> None:
        """Note that a client has joined or left a key in this process."""
        if not self._changed:
            self._loop.call_soon(self._start_storing)
        self._note(name, self._changed.setdefault(name, _Changes()), sender, joins, is_announced)
        if not any(map(_is_large, self._answers.get(name, {}).values())):
            self._answers.pop(name, None)

    def _note(self, name: str, changes: _Changes, sender: Sender, joins: bool, is_announced: bool) -> None:
        if changes.is_whole:
            return
        before = changes.clients.pop(sender.client, None)
        was_there = not joins if before is None else before.was_there
        is_stored = not joins if before is None else before.is_stored
        self._size -= 0 if before is None else before.size
        if joins or was_there or is_stored:
            size = _BESIDE + len(sender.client) + len(sender.user) + len(sender.info) + len(sender.channel_info)
            changes.clients[sender.client] = _Change(sender, was_there, is_stored, joins, is_announced, size)
            self._size += size
        elif not changes.clients:
            del self._changed[name]
        if self._size > MOST_BYTES:
            self._size -= sum(each.size for each in changes.clients.values())
            changes.clients, changes.is_whole = {}, True

    def _start_storing(self) -> None:
        self._start(self._store_changes())

    async def _store_changes(self) -> None:
        async with self._storing:  # what a client has done before it asks is stored by then
            changed, self._changed = self._changed, {}
            for some in _in_parts(changed):
                await self._put({name: changed[name] for name in some})

    async def _put(self, changed: Mapping[str, _Changes]) -> None:
        """Store the changes of some keys, and announce them."""
        every = [(name, each) for name, changes in changed.items() for each in changes.clients.values()]
        joined: dict[str, list[StoredMember]] = {name: [] for name, each in changed.items() if not each.is_whole}
        left: dict[str, list[str]] = {name: [] for name in joined}
        try:
            async for some in in_turns(every, SOME):
                for name, each in some:
                    if each.is_there:
                        joined[name].append(_stored(each.sender))
                    else:
                        left[name].append(each.sender.client)
            await asyncio.gather(*(self._put_members(name, joined[name], left[name]) for name in joined))
        finally:
            self._size -= sum(each.size for _, each in every)
        await self._put_whole([name for name, each in changed.items() if each.is_whole])
        async for some in in_turns(every, SOME):
            for name, each in some:
                if (notice := each.notice(self._process)) is not None:
                    self._broker.notify(name, notice)

    async def _put_whole(self, names: Sequence[str]) -> None:
        """Store all members of some keys; called by the task that has the lock, because a change must come after it."""
        members: dict[str, list[StoredMember]] = {name: [] for name in names}
        async for some in in_turns(self._present_in(names), SOME):
            for name, each in some:
                members[name].append(_stored(each))
        self._behind.difference_update(names)
        await asyncio.gather(*(self._put_members(name, members[name], [], is_whole=True) for name in names))

    def _present_in(self, names: Sequence[str]) -> Iterator[tuple[str, Sender]]:
        """Yield the members of keys, as they are when a key is reached; they will be stored."""
        for name in names:
            if (changes := self._changed.get(name)) is not None:
                changes.clients |= {
                    client: each._replace(is_stored=True) for client, each in changes.clients.items() if each.is_there
                }
            for sender in self._members.senders(name):
                yield name, sender

    async def _put_members(
        self, name: str, joined: Sequence[StoredMember], left: Sequence[str], *, is_whole: bool = False
    ) -> None:
        try:
            await self._store.put(name, joined, left, is_whole=is_whole)
        except BrokerDown:
            self._behind.add(name)
        except Exception as error:  # the other keys are stored nevertheless
            self._behind.add(name)
            log_error(error, _PROBLEM)

    # Called at each beat of this process

    def beaten(self, is_known: bool, has_fewer: bool) -> None:
        """See :attr:`.Control.beaten`."""
        names = set(self._behind)
        if not is_known:
            names |= set(self._members.names())
        if self._loop.time() >= self._next_at:  # requests to other processes cause beats, too
            self._next_at = self._loop.time() + REST
            names |= set(self._next())
        self._due |= names
        if self._due and not self._is_storing_whole:
            self._is_storing_whole = True
            self._start(self._store_whole())
        if has_fewer:
            self._start(self._sweep(self._members.names()))

    def _next(self) -> list[str]:
        """Return the keys that are stored again at this beat."""
        count = len(self._members.names()) // ROUND + 1
        some = [name for name, _ in zip(self._again, range(count), strict=False)]
        if len(some) < count:
            self._again = iter(self._members.names())
        return some

    async def _store_whole(self) -> None:
        try:
            while self._due:
                some = [self._due.pop() for _ in range(min(AT_ONCE, len(self._due)))]
                async with self._storing:
                    await self._put_whole(some)
        finally:
            self._is_storing_whole = False

    async def _sweep(self, names: Iterable[str]) -> None:
        """Remove the members of processes that have died, and announce that they have left."""
        for some in _in_parts(names):
            swept = await asyncio.gather(*map(self._swept, some))
            gone = ((name, each) for name, left in zip(some, swept, strict=True) for each in left)
            async for part in in_turns(gone, SOME):
                for name, each in part:
                    if self._members.may_announce(name):
                        self._broker.notify(name, b"%b - %b" % (LEAVE, each))

    async def _swept(self, name: str) -> Sequence[bytes]:
        """Remove the members of a key whose processes have died, and return them."""
        with suppress(BrokerDown):  # a later sweep, or another process, does it
            return await self._store.sweep(name)
        return []

    def _start(self, work: Any) -> None:
        self._tasks.add(task := self._loop.create_task(self._guarded(work)))
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Any) -> None:
        with isolated(_PROBLEM):
            await work

    # Members of other processes

    def noticed(self, joins: bool, key: LiveKey, message: bytes) -> None:
        """Announce a client that has joined or left in another process."""
        process, _, data = message.partition(b" ")
        sender = None if process == self._process else _sender(data)
        if sender is not None:
            self._members.announce(key.name, sender, self._clock, joins=joins)


def _is_large(answer: "asyncio.Task[Present]") -> bool:
    is_answered = answer.done() and not answer.cancelled() and answer.exception() is None
    return is_answered and answer.result().clients >= LARGE


def _stored(sender: Sender) -> StoredMember:
    return StoredMember(sender.client, sender.user, sender_json(sender))


def _sender(data: bytes) -> Sender | None:
    with isolated("A member of another process is malformed."):
        return sender_of(data)
    return None


def _in_parts(names: Iterable[str]) -> Iterator[list[str]]:
    left = list(names)
    for at in range(0, len(left), AT_ONCE):
        yield left[at : at + AT_ONCE]
