"""Servers as subprocesses, and what they cost: CPU time, memory, and the kernel's buffers of their sockets.

CPU time is read from the process's own POSIX clock (`clock_getcpuclockid`), for the server and all of its
children. That clock counts in nanoseconds, is exact at the moment of reading, and includes threads that have
ended. The usual sources are weaker: `/proc/PID/stat` ticks every 10 ms, and `/proc/PID/task/*/schedstat`
lags behind for a thread that is running and forgets one that has ended.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.client import HOST

ROOT = Path(__file__).parent.parent
KIB = 1024
_STARTUP_SECONDS = 20.0
_libc = ctypes.CDLL(None)


class UnavailableError(Exception):
    """A peer cannot be measured on this machine; the text says why."""


@dataclass(frozen=True)
class SocketMemory:
    """What the kernel holds for the sockets on one side of a server's connections, in bytes."""

    server: int
    client: int


class Process:
    """A running subprocess with all its children."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def cpu_ns(self) -> int:
        """The CPU time, user and system, that the process and its children have used so far."""
        return sum(time.clock_gettime_ns(_cpu_clock(pid)) for pid in self._tree())

    def resident_bytes(self) -> int:
        """The resident memory now: counted from the page tables, not from the kernel's estimate."""
        return sum(_proc_kib(pid, "smaps_rollup", "Rss") for pid in self._tree()) * KIB

    def peak_bytes(self) -> int:
        """The most resident memory there ever was."""
        return sum(_proc_kib(pid, "status", "VmHWM") for pid in self._tree()) * KIB

    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def stop(self) -> None:
        """End the process and its children, politely at first; nothing survives this."""
        pids = self._tree()
        self._popen.terminate()
        try:
            self._popen.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for pid in pids[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _tree(self) -> list[int]:
        return _tree(self._popen.pid)


class Server(Process):
    """A server that accepts connections on `port`."""

    def __init__(self, popen: subprocess.Popen[bytes], port: int) -> None:
        super().__init__(popen)
        self.port = port

    def socket_memory(self) -> SocketMemory:
        """What the kernel holds now for all connections of this server, on either side."""
        return SocketMemory(_buffered(f"sport = :{self.port}"), _buffered(f"dport = :{self.port}"))


@contextlib.contextmanager
def serving(command: Sequence[str]) -> Iterator[Server]:
    """Run a server until the block ends; `{port}` in its command is replaced.

    Raises `UnavailableError` with the program's own words if it does not come up.
    """
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        popen = launch([part.format(port=port) for part in command], log)
        server = Server(popen, port)
        try:
            _wait_until_up(server, log)
            yield server
        finally:
            server.stop()


def launch(
    command: Sequence[str],
    errors: IO[bytes],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in the project's folder; the word `python` means the interpreter that runs this."""
    program = sys.executable if command[0] == "python" else shutil.which(command[0])
    if program is None:
        raise UnavailableError(f"the program {command[0]!r} was not found")
    return subprocess.Popen(
        [program, *command[1:]],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdin=stdin,
        stdout=errors if stdout is None else stdout,
        stderr=errors,
        bufsize=0,
    )


def last_words(log: IO[bytes]) -> str:
    """The line of a log that says best why a program has ended: the last that names an error."""
    log.seek(0)
    text = log.read().decode(errors="replace").replace(f"{ROOT}/", "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|not found|no module", line, re.IGNORECASE)]
    return (telling or lines or ["it ended without a word"])[-1].removeprefix("ERROR:").strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(server: Server, log: IO[bytes]) -> None:
    deadline = time.monotonic() + _STARTUP_SECONDS
    while time.monotonic() < deadline:
        if server.has_ended():
            raise UnavailableError(last_words(log))
        with contextlib.suppress(OSError), socket.create_connection((HOST, server.port), timeout=1):
            return
        time.sleep(0.05)
    raise UnavailableError(f"it did not listen within {_STARTUP_SECONDS:.0f} seconds: {last_words(log)}")


def _cpu_clock(pid: int) -> int:
    clock = ctypes.c_int()
    if _libc.clock_getcpuclockid(pid, ctypes.byref(clock)) != 0:
        raise ProcessLookupError(pid)
    return clock.value


def _tree(pid: int) -> list[int]:
    """A process and its descendants, itself first."""
    pids = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                pids += _tree(int(child))
    return pids


def _proc_kib(pid: int, file: str, field: str) -> int:
    text = Path(f"/proc/{pid}/{file}").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _buffered(where: str) -> int:
    """The kernel memory of the TCP sockets that match, as `ss` reports it: bookkeeping included.

    Of `skmem`, r is what waits to be read, w what waits to be sent or acknowledged, f what is set aside.
    """
    if shutil.which("ss") is None:
        raise UnavailableError("the program 'ss' was not found (Debian: apt-get install iproute2)")
    command = ["ss", "-Htmn", "state", "established", f"( {where} )"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(
        int(value) for fields in re.findall(r"skmem:\((.*?)\)", output) for value in re.findall(r"\b[rwf](\d+)", fields)
    )
