"""The clients of an app on the multiplexed connection: code can send to them and disconnect them."""

import asyncio
from collections.abc import Callable, Iterable

from ..definitions import Client, Connection, Inlet
from ..definitions.client import Reachable
from ..identity import Sender


class Clients:
    """The connected clients, by their ids and users.

    Attributes:
        inlet: The way of actions from other threads than the loop's.
        loop: The event loop of the newest client; None before the first one.
        before: Called before an action on a single client.
    """

    def __init__(self, inlet: Inlet | None = None) -> None:
        self.inlet = inlet or Inlet()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.before: Callable[[Client], None] | None = None
        self._by_id: dict[str, Client] = {}
        self._by_user: dict[str, dict[str, Client]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def join(self, connection: Reachable, loop: asyncio.AbstractEventLoop, link: Connection | None = None) -> None:
        self.loop = loop
        client = Client(connection, loop, link, self.before, self.inlet)
        self._by_id[client.id] = client
        self._by_user.setdefault(client.user, {})[client.id] = client

    def leave(self, sender: Sender) -> None:
        """Remove a client; nothing happens if it is not there."""
        if self._by_id.pop(sender.client, None) is None:
            return
        clients = self._by_user[sender.user]
        del clients[sender.client]
        if not clients:
            del self._by_user[sender.user]

    def of_user(self, user: str | None) -> list[Client]:
        """Return the clients of a user, or all clients if it is None."""
        if user is None:
            return list(self._by_id.values())
        return list(self._by_user.get(user, {}).values())

    def of_ids(self, ids: Iterable[str]) -> list[Client]:
        """Return the clients with the given ids, as far as they are connected."""
        return [self._by_id[each] for each in ids if each in self._by_id]
