"""Serve the demo, and start it again when its page requests that: `python -m demo --port 8000`.

The socket belongs to this process, which stays. A client that connects while the server restarts waits, and is not
refused.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

import uvicorn

from demo.app import RESTARTS
from demo.workers import console_at


def main() -> None:
    options = arguments()
    if options.fd is not None:
        serve(options.fd, quiet=options.quiet)
    else:
        supervise(options.host, options.port)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Serves the demo.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on (%(default)s)")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def supervise(host: str, port: int) -> None:
    """Start the server again whenever it ends itself, until this process is stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with socket.create_server((host, port), backlog=2048) as listener:
            print(f"The demo is on http://localhost:{port}", flush=True)
            while run(listener, console_at(host)) == -signal.SIGTERM:
                pass
    except OSError as error:
        sys.exit(f"The demo cannot listen on {host}:{port}: {error.strerror}. Another port: make run PORT={port + 1}")
    except KeyboardInterrupt:
        pass


def run(listener: socket.socket, environment: Mapping[str, str]) -> int:
    """Run the server once, and return its exit code."""
    fd = listener.fileno()
    command = [sys.executable, "-m", "demo", "--fd", str(fd)]
    with subprocess.Popen(command, pass_fds=[fd], env={**environment, **os.environ, RESTARTS: "1"}) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.terminate()
            raise


def serve(fd: int, *, quiet: bool) -> None:
    server = uvicorn.Server(uvicorn.Config("demo.app:app", log_level="warning" if quiet else "info"))
    server.run(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    main()
