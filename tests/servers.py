"""Real servers for tests: `with serve("demo.app:app") as server: ...`.

Every server is a subprocess on 127.0.0.1, on a free port, in a process group of its own: what is stopped
here is what was started here, and nothing else.
"""

import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from tests.processes import Process
from tests.waiting import NEVER, PATIENCE, PAUSE

ROOT = Path(__file__).resolve().parents[1]

ServerName = Literal["uvicorn", "gunicorn", "hypercorn", "granian", "fastapi-dev", "fastapi-run"]

# These run the app in a child process and may accept connections before it is there; their log tells when it is.
READY_LINES: Mapping[ServerName, str] = {
    "hypercorn": "Running on http",
    "granian": "Started worker-1",
    "fastapi-dev": "Application startup complete",
    "gunicorn": "Application startup complete",
}


@dataclass
class Server:
    """A running server."""

    process: Process | subprocess.Popen[bytes]
    port: int
    log: IO[bytes]
    tls: bool = False
    workers: int = 1

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}"

    def output(self) -> str:
        """Return everything written to stdout and stderr so far."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode(errors="replace")

    def stop(self, timeout: float = PATIENCE) -> int:
        """End it with SIGTERM and return its exit code. Raise if it, or a child of it, had to be killed.

        After a clean shutdown uvicorn raises the signal once more for itself, so its code is -SIGTERM.
        """
        if self.process.poll() is None:
            self.process.terminate()
        deadline = time.monotonic() + timeout
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._kill()
            raise RuntimeError(f"still there {timeout} s after SIGTERM:\n{self.output()}") from None
        while self._has_group():
            if time.monotonic() > deadline:
                self._kill()
                raise RuntimeError(f"left child processes behind:\n{self.output()}")
            time.sleep(PAUSE)
        return code

    def _has_group(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def serve(
    target: str | Path,
    *,
    server: ServerName = "uvicorn",
    options: Sequence[str] = (),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    tls: bool = False,
    workers: int = 1,
    timeout: float = PATIENCE,
) -> Iterator[Server]:
    """Run `target` until the block ends, and enter the block once the server accepts connections.

    `target` is `"module:app"`, or the path of a file, which has to have an `app`; `fastapi-dev` and
    `fastapi-run` take a file only. `options` go to the server as they are (`["--loop", "uvloop"]`); with
    certificates among them, say `tls=True`. `cwd` is the project's root, or the folder of the file. Several `workers`,
    of uvicorn or gunicorn, need a broker in `env`. hypercorn starts no worker process unless `options` say so.
    """
    folder = cwd or (target.resolve().parent if isinstance(target, Path) else ROOT)
    port = port or free_port()
    several = ["--workers", str(workers)] if workers > 1 else []
    arguments = [*command(server, target, port), *several, *options]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(env or {})
    with tempfile.TemporaryFile() as log:
        started = Server(Process(arguments, folder, environment, log), port, log, tls, workers)
        try:
            line = READY_LINES.get(server, "") if workers == 1 else READY_LINES["gunicorn"]
            wait_until_ready(started, line, timeout)
            yield started
        finally:
            started.stop()


def command(server: ServerName, target: str | Path, port: int) -> list[str]:
    """Return the arguments after `python -m`."""
    if server in ("fastapi-dev", "fastapi-run"):
        if isinstance(target, str):
            raise ValueError(f"{server} runs a file: give a Path instead of {target!r}")
        return ["fastapi", server.removeprefix("fastapi-"), str(target), "--host", "127.0.0.1", f"--port={port}"]
    app = f"{target.stem}:app" if isinstance(target, Path) else target
    if server == "hypercorn":
        return ["hypercorn", app, "--bind", f"127.0.0.1:{port}", "--workers=0"]
    if server == "gunicorn":
        return ["gunicorn", app, "--bind", f"127.0.0.1:{port}", "--worker-class", "uvicorn_worker.UvicornWorker"]
    # uvicorn's pings would cut off clients that read late, as all may on a slow machine.
    rest = ["--interface", "asgi"] if server == "granian" else ["--ws-ping-interval", str(NEVER)]
    return [server, app, "--host", "127.0.0.1", "--port", str(port), *rest]


def wait_until_ready(server: Server, line: str, timeout: float) -> None:
    """Return when the server accepts connections, and each worker has logged `line`."""
    deadline = time.monotonic() + timeout
    while True:
        if server.process.poll() is not None:
            raise RuntimeError(f"ended with exit code {server.process.returncode}:\n{server.output()}")
        if server.output().count(line) >= server.workers and accepts_connections(server.port):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not up after {timeout} s:\n{server.output()}")
        time.sleep(PAUSE)


def accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


_CLAIMED: deque[socket.socket] = deque()
"""Sockets of the ports that were given out last. They are of UDP, so that servers can have the same numbers."""
_MOST_CLAIMED = 100


def free_port() -> int:
    """Return a port without a listener, below the range that the system uses for clients.

    No other process of the tests gets the same, as long as this one takes no hundred more.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        claim = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind(("127.0.0.1", port))
                probe.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        _CLAIMED.append(claim)
        if len(_CLAIMED) > _MOST_CLAIMED:
            _CLAIMED.popleft().close()
        return port
