"""The clients of an app that can be reached: those of the multiplexed surface."""

import asyncio
from collections.abc import Iterable

from ..centrifuge.messages import ClientInfo
from ..definitions import Client, Connection
from ..definitions.client import Reachable


class Clients:
    """Who is connected."""

    def __init__(self) -> None:
        self._by_id: dict[str, Client] = {}
        self._by_user: dict[str, dict[str, Client]] = {}

    def join(self, connection: Reachable, loop: asyncio.AbstractEventLoop, link: Connection | None = None) -> None:
        """A client has connected."""
        client = Client(connection, loop, link)
        self._by_id[client.id] = client
        self._by_user.setdefault(client.user, {})[client.id] = client

    def leave(self, info: ClientInfo) -> None:
        """A client has gone; nothing happens if it never was there."""
        if self._by_id.pop(info.client, None) is None:
            return
        clients = self._by_user[info.user]
        del clients[info.client]
        if not clients:
            del self._by_user[info.user]

    def of_user(self, user: str | None) -> list[Client]:
        """The clients of a user; of all, if None."""
        if user is None:
            return list(self._by_id.values())
        return list(self._by_user.get(user, {}).values())

    def of_ids(self, ids: Iterable[str]) -> list[Client]:
        """The clients with some ids, as far as they are there."""
        return [self._by_id[each] for each in ids if each in self._by_id]
