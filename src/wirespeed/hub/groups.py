"""Groups of clients in all processes: each process acts on its own clients, and lists them for the others."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

from ..definitions import ACTIONS, Client, ClientGroup, ListedClient, perform
from ..isolation import isolated
from .clients import Clients
from .processes import MOST_BYTES, Processes
from .slices import Slices
from .turns import in_turns

_ACT, _LIST = "act", "list"
_PROBLEM = "A client could not be reached."
_DATA = {"tell": 0, "subscribe": 1}
"""Index of the argument that is JSON, in actions with one."""


class Selection(NamedTuple):
    """The clients of a group; None for any."""

    user: str | None = None
    client: str | None = None
    name: str | None = None
    """Name of the key that they watch."""


class _Action:
    """An action on many clients, one in each step."""

    def __init__(self, clients: Sequence[Client], action: str, arguments: Sequence[Any]) -> None:
        self.left = dict.fromkeys(reversed(clients))
        """The clients that it has not reached yet, the first one last."""
        self._action = action
        self._arguments = arguments

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> None:
        if not self.left:
            raise StopIteration
        self._perform(self.left.popitem()[0])

    def reach(self, client: Client) -> None:
        """Reach one of the clients now, unless that was done already."""
        if client in self.left:
            del self.left[client]
            self._perform(client)

    def _perform(self, client: Client) -> None:
        with isolated(_PROBLEM):
            perform(client, self._action, self._arguments)


class Groups:
    """Acts on clients in all processes.

    Args:
        clients: The clients of this process.
        watching: Returns the clients of this process that watch a key, by its name.
        processes: The other processes.
    """

    def __init__(self, clients: Clients, watching: Callable[[str], list[Client]], processes: Processes) -> None:
        self._clients = clients
        self._watching = watching
        self._processes = processes
        self._slices = Slices(_PROBLEM)
        self._actions: deque[_Action] = deque()
        """The actions that have not reached all of their clients, in their order."""
        clients.before = self._catch_up
        processes.answers[_ACT] = self._act_for_other
        processes.slow[_LIST] = self._list_for_other

    def group(self, selection: Selection) -> ClientGroup:
        return ClientGroup(partial(self._act_everywhere, selection), partial(self._find, selection))

    def _select(self, selection: Selection) -> list[Client]:
        user, client, name = selection
        if name is not None:
            return self._watching(name)
        found = self._clients.of_user(user) if client is None else self._clients.of_ids([client])
        return [each for each in found if user in (None, each.user)]

    def _act(self, selection: Selection, action: str, arguments: tuple[Any, ...]) -> None:
        loop = self._clients.loop
        if loop is not None:
            self._clients.inlet.call(loop, "An action on clients", self._begin, selection, action, *arguments)

    def _begin(self, selection: Selection, name: str, *arguments: Any) -> None:
        action = _Action(self._select(selection), name, arguments)
        while self._actions and not self._actions[0].left:
            self._actions.popleft()
        self._actions.append(action)
        self._slices.begin(action)

    def _catch_up(self, client: Client) -> None:
        """Let everything reach a client that was begun for it: something comes that has to be behind it."""
        for each in self._actions:
            each.reach(client)

    def finish(self) -> None:
        """Let all clients be reached, now: their connections close soon."""
        self._slices.finish()

    def _act_everywhere(self, selection: Selection, action: str, *arguments: Any) -> None:
        travelling = [each.decode() if isinstance(each, bytes) else each for each in arguments]
        body = json.dumps([selection, action, travelling]).encode()
        if len(body) <= MOST_BYTES:  # otherwise the next line raises, and nothing was done
            self._act(selection, action, arguments)
        self._processes.tell(_ACT, body)

    def _act_for_other(self, body: bytes) -> None:
        selection, action, arguments = json.loads(body)
        if action not in ACTIONS:
            raise ValueError(f"no action: {action!r}")
        if action in _DATA:
            arguments[_DATA[action]] = arguments[_DATA[action]].encode()
        self._act(Selection(*selection), action, tuple(arguments))

    async def _find(self, selection: Selection, most: int, timeout: float) -> list[ListedClient]:
        body = json.dumps([selection, most]).encode()
        found = [each async for each in self._list(selection, most)]
        answers = await self._processes.ask_all(_LIST, body, timeout)
        for answer in answers.bodies.values():
            with isolated("A process has sent a list of clients that is malformed."):
                found += [ListedClient(*each) for each in json.loads(answer)]
            await asyncio.sleep(0)  # each answer takes a turn of its own
        return found

    async def _list(self, selection: Selection, most: int) -> AsyncIterator[ListedClient]:
        async for some in in_turns(self._select(selection)[:most], 10):
            for each in some:
                yield _info(each, self._processes.process)

    async def _list_for_other(self, body: bytes) -> bytes:
        selection, most = json.loads(body)
        infos, size = [], 1
        async for each in self._list(Selection(*selection), most):
            info = json.dumps(each).encode()
            size += len(info) + 1
            if size > MOST_BYTES:
                break
            infos.append(info)
        return b"[%b]" % b",".join(infos)


def _info(client: Client, process: str) -> ListedClient:
    where = client.address, client.transport, client.lane, client.age, client.waiting
    return ListedClient(client.id, client.user, *where, client.channels, process, client.info)
