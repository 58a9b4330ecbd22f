"""Groups of clients in all processes: each process acts on its own clients, and lists them for the others."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ..definitions import ACTIONS, Client, ClientGroup, ListedClient, perform
from ..isolation import for_each, isolated, log_error
from .clients import Clients
from .processes import MOST_BYTES, Processes

_ACT, _LIST = "act", "list"
_DATA = {"tell": 0, "subscribe": 1}
"""Index of the argument that is JSON, in actions with one."""


class Selection(NamedTuple):
    """The clients of a group; None for any."""

    user: str | None = None
    client: str | None = None
    name: str | None = None
    """Name of the key that they watch."""


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
        processes.answers[_ACT] = self._act_for_other
        processes.answers[_LIST] = self._list_for_other

    def group(self, selection: Selection) -> ClientGroup:
        return ClientGroup(partial(self._act_everywhere, selection), partial(self._find, selection))

    def _select(self, selection: Selection) -> list[Client]:
        user, client, name = selection
        if name is not None:
            return self._watching(name)
        found = self._clients.of_user(user) if client is None else self._clients.of_ids([client])
        return [each for each in found if user in (None, each.user)]

    def _act(self, selection: Selection, action: str, arguments: tuple[Any, ...]) -> None:
        for_each(self._select(selection), partial(perform, action=action, arguments=arguments), _not_reached)

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
        found = self._list(selection, most)
        answers = await self._processes.ask_all(_LIST, body, timeout)
        for answer in answers.bodies.values():
            with isolated("A process has sent a list of clients that is malformed."):
                found += [ListedClient(*each) for each in json.loads(answer)]
        return found

    def _list(self, selection: Selection, most: int) -> list[ListedClient]:
        return [_info(each, self._processes.process) for each in self._select(selection)[:most]]

    def _list_for_other(self, body: bytes) -> bytes:
        selection, most = json.loads(body)
        infos = self._list(Selection(*selection), most)
        while len(answer := json.dumps(infos).encode()) > MOST_BYTES:
            infos = infos[: len(infos) // 2]
        return answer


def _info(client: Client, process: str) -> ListedClient:
    where = client.address, client.transport, client.lane, client.age, client.waiting
    return ListedClient(client.id, client.user, *where, client.channels, process, client.info)


def _not_reached(_: Client, error: Exception) -> None:
    log_error(error, "A client could not be reached.")
