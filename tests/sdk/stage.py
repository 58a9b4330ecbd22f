"""The stage of a scenario: a kit, a server, and a gate between them."""

import itertools
import json
import urllib.request
from contextlib import ExitStack
from typing import Any, Self

from tests.brokers.valkey import broker
from tests.servers import Server, ServerName, serve
from tests.waiting import PATIENCE

from .gate import Gate
from .kit import Client, Flavour, Kit

APP = "tests.apps.protocol:app"

_numbers = itertools.count(1)


class Site:
    """A server, and the gate through which clients reach it; a context manager.

    Args:
        server: The server's name.
        workers: Number of its workers; Valkey joins several.
    """

    def __init__(self, server: ServerName = "uvicorn", workers: int = 1) -> None:
        self._name = server
        self._workers = workers
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._joined = self._stack.enter_context(broker()) if self._workers > 1 else {}
            self.server = self._serve()
            self.gate = self._stack.enter_context(Gate(self.server.port))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Stop the server, and start it again at the same address."""
        self.server.stop()
        self.server = self._serve(self.server.port)

    def _serve(self, port: int | None = None) -> Server:
        return self._stack.enter_context(
            serve(APP, server=self._name, workers=self._workers, env=self._joined, port=port)
        )


def tell(server: Server, path: str, body: Any = None) -> Any:
    """Ask the app to do something, by POST."""
    request = urllib.request.Request(
        f"{server.url}/app/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


class Stage:
    """A kit and a site, for one test.

    Args:
        kit: What has the clients.
        site: Where they connect to.
        flavour: How.
    """

    def __init__(self, kit: Kit, site: Site, flavour: Flavour) -> None:
        self.kit = kit
        self.site = site
        self.gate = site.gate
        self.flavour = flavour
        self._clients: list[Client] = []

    @property
    def server(self) -> Server:
        """The running server."""
        return self.site.server

    def fresh(self, kind: str) -> str:
        """Return a name that no other test uses: of a channel, ``note/7``, or of a user."""
        return f"{kind}/{next(_numbers)}"

    def client(self, **options: Any) -> Client:
        """Return a new client that is not connected yet."""
        client = Client(self.kit, f"client {next(_numbers)}")
        given = self.flavour._asdict() | options
        self.kit.ask("client", of=client.id, url=f"{self.gate.url}/live", **given)
        self._clients.append(client)
        return client

    def connected(self, **options: Any) -> Client:
        """Return a new client that is connected."""
        client = self.client(**options)
        client.connect()
        client.next("connected")
        return client

    def publish(self, channel: str, *values: Any, tags: dict[str, str] | None = None, pause: float = 0) -> None:
        """Let the app publish."""
        tell(self.server, "publish", {"channel": channel, "values": values, "tags": tags, "pause": pause})

    def remove(self, channel: str, row: str) -> None:
        """Let the app remove a row of a table."""
        tell(self.server, f"remove/{channel.partition('/')[2]}/{row}")

    def reach(self, user: str, does: str, **given: Any) -> int:
        """Let the app do something to the clients of a user; return their number."""
        reached: int = tell(self.server, "clients", {"user": user, "does": does, "given": given})
        return reached

    def end(self) -> None:
        """Disconnect all clients."""
        self.gate.open()
        for client in self._clients:
            client.disconnect()
        self.kit.forget()
