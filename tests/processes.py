"""Start Python programs as children of a fork server: ``Process(["uvicorn", "main:app"], ...)``.

A program's first second goes to imports, and the tests start some hundred servers. See ``tests/forkserver.py``.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

FORKSERVER = Path(__file__).with_name("forkserver.py")


class Process:
    """``python -m ARGUMENTS``, in a process and a session of its own, with the methods of ``subprocess.Popen``.

    Its output goes to ``log``, and its input is empty. All programs of a fork server have the same hashes of strings;
    those of another ``forkserver`` have others, as on another machine.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: IO[bytes],
        forkserver: int = 0,
    ) -> None:
        request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        reading, writing = os.pipe()
        socket.send_fds(_forkserver(forkserver)[0], [json.dumps(request).encode()], [log.fileno(), writing])
        os.close(writing)
        self._status = os.fdopen(reading, "rb", buffering=0)
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the code with which it ended, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return its code.

        Raises:
            subprocess.TimeoutExpired: It still runs after ``timeout`` seconds.
        """
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode


@cache
def _forkserver(number: int) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    """Start a fork server of this process; it ends when the socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, str(FORKSERVER), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return ours, server
