"""A process that forks servers: each finds its modules imported, which is most of the work of a start.

Run it as ``python tests/forkserver.py FD``. ``FD`` is a socket on which each request asks for one program. The process
ends when the other end of the socket is closed; programs that still run go on.
"""

import gc
import importlib
import io
import json
import multiprocessing.process
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

MODULES = (
    "anyio._backends._asyncio",
    "fastapi",
    "granian.cli",
    "gunicorn.app.wsgiapp",
    "hypercorn.asyncio.run",
    "pydantic.v1",
    "redis.asyncio.cluster",
    "uvicorn.main",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvicorn_worker",
    "uvloop",
    "wirespeed.live.live",
)
"""Names of what most servers import."""

REQUEST = 1 << 18
"""Most bytes of a request."""


def main(control: socket.socket) -> None:
    """Fork programs until the tests end; return in a program that has ended, too."""
    for name in MODULES:
        with suppress(ImportError):  # then the program itself reports it
            importlib.import_module(name)
    gc.freeze()  # a collection in a child would copy the pages of all modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects keepers
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, REQUEST, 2)
        if not request:
            return None
        if os.fork() == 0:
            control.close()
            return keep(json.loads(request), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def keep(request: dict[str, Any], log: int, status: int) -> None:
    """Fork the program, and write its id and, later, the code that it ended with to ``status``."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    child = os.fork()
    if child == 0:
        os.close(status)
        return run(log=log, **request)
    os.close(log)
    try:
        os.write(status, b"%d\n" % child)
        _, ended = os.waitpid(child, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
    finally:
        os._exit(0)


def run(arguments: list[str], folder: str, environment: dict[str, str], log: int) -> None:
    """Become ``python -m ARGUMENTS``, in a session of its own."""
    os.setsid()
    os.chdir(folder)
    vars(multiprocessing.process)["ORIGINAL_DIR"] = folder  # where processes start that it spawns
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True, write_through=True)
    sys.path[0] = folder
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
