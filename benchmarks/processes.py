"""Processes, and what they cost: CPU time, memory, and the kernel's buffers of their sockets.

CPU time is read from the process's own POSIX clock (`clock_getcpuclockid`), for the process and all of its children.
That clock counts in nanoseconds, is exact at the moment of reading, and includes threads that have ended. The usual
sources are weaker: `/proc/PID/stat` ticks every 10 ms, and `/proc/PID/task/*/schedstat` lags behind for a thread that
is running and forgets one that has ended.
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlencode

from benchmarks.websocket import HOST, ProtocolError

ROOT = Path(__file__).parent.parent
_STARTUP_SECONDS = 20.0
_CONNECT_SECONDS = 20.0
_ANSWER_SECONDS = 120.0
_libc = ctypes.CDLL(None)


class UnavailableError(Exception):
    """A side cannot be measured on this machine; the text says why."""


class Memory(NamedTuple):
    """Bytes: resident memory of the process, and what the kernel holds for both ends of its connections."""

    process: int
    kernel: int
    client: int


class Process:
    """A running subprocess with all its children."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen

    def cpu_ns(self) -> int:
        """Return the CPU time, user and system, that the process and its children have used so far."""
        return sum(time.clock_gettime_ns(_cpu_clock(pid)) for pid in self.tree())

    def resident_bytes(self) -> int:
        """Return the resident memory, counted from the page tables and not from the kernel's estimate."""
        return sum(_proc_bytes(pid, "smaps_rollup", "Rss") for pid in self.tree())

    def peak_bytes(self) -> int:
        """Return the largest resident memory so far."""
        return sum(_proc_bytes(pid, "status", "VmHWM") for pid in self.tree())

    def has_ended(self) -> bool:
        """Return True if the process has ended."""
        return self.popen.poll() is not None

    def wake(self) -> None:
        """Let the process continue if a signal has stopped it; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal to the process, without its children."""
        os.kill(self.popen.pid, number)

    def stop(self) -> None:
        """End the process and its children: politely first, then by force."""
        pids = self.tree()
        self.popen.terminate()
        try:
            self.popen.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pid in pids[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def tree(self) -> list[int]:
        """Return the ids of the process and its descendants, itself first."""
        return _tree(self.popen.pid)


class Server(Process):
    """A server that accepts connections on `port`."""

    def __init__(self, popen: subprocess.Popen[bytes], port: int) -> None:
        super().__init__(popen)
        self.port = port

    def shares(self, count: int) -> list[tuple[int, int]]:
        """Return the ports that clients connect to, and the number of clients of each."""
        return [(self.port, count)]

    def memory(self) -> Memory:
        """Return the memory of the process and of all its connections."""
        return Memory(self.resident_bytes(), _buffered(f"sport = :{self.port}"), _buffered(f"dport = :{self.port}"))

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON that one of the server's own routes answers."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ProtocolError(f"no answer to {path}: {error}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise ProtocolError(f"{path} was answered with {response.status}: {body[:100]!r}")
        return json.loads(body)

    def clients(self) -> int:
        """Return how many clients the server has."""
        return int(self.get("/clients"))

    def await_clients(self, count: int) -> None:
        """Wait until the server has this number of clients; raise `ProtocolError` if that takes too long."""
        deadline = time.monotonic() + _CONNECT_SECONDS
        while (found := self.clients()) != count:
            if time.monotonic() > deadline:
                raise ProtocolError(f"the server has {found} clients and not {count}")
            time.sleep(0.02)


class Worker(Process):
    """A process of this benchmark that obeys orders: one line of JSON each, and one line as the answer."""

    def __init__(self, popen: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        super().__init__(popen)
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._orders, self._answers, self._log = popen.stdin, popen.stdout, log

    def ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer to an order; raise `ProtocolError` with the worker's own words if it failed."""
        with contextlib.suppress(BrokenPipeError):
            self._orders.write(json.dumps({"do": order, **arguments}).encode() + b"\n")
        line = self._answers.readline()
        if not line:
            raise ProtocolError(f"a worker ended: {last_words(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ProtocolError(answer["error"])
        return answer


def obey(master: object, line: bytes | str) -> None:
    """Carry out one order in a worker: call the method that it names, and print the answer unless that comes later."""
    order = json.loads(line)
    try:
        answer = getattr(master, order.pop("do"))(**order)
    except (ProtocolError, OSError) as error:
        answer = {"error": f"{error}" or type(error).__name__}
    if answer is not None:
        print(json.dumps(answer), flush=True)


@contextlib.contextmanager
def working(module: str, source: Path | None = None) -> Iterator[Worker]:
    """Run a module of this benchmark as a worker until the block ends."""
    with tempfile.TemporaryFile() as log:
        worker = Worker(launch(("python", "-m", module), log, source=source, is_worker=True), log)
        try:
            yield worker
        finally:
            worker.stop()


@contextlib.contextmanager
def serving(
    command: Sequence[str], source: Path | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server until the block ends; `{port}` in its command is replaced. The variables join its environment.

    Raises `UnavailableError` with the program's own words if it does not start.
    """
    port = free_port()
    with tempfile.TemporaryFile() as log:
        parts = [part.format(port=port) for part in command]
        server = Server(launch(parts, log, source=source, variables=variables), port)
        try:
            _wait_until_up(server, log)
            yield server
        finally:
            server.stop()


def launch(
    command: Sequence[str],
    log: IO[bytes],
    *,
    source: Path | None = None,
    variables: Mapping[str, str] | None = None,
    is_worker: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in the project's folder; the word `python` stands for the interpreter that runs this.

    It imports the Wirespeed of a checkout, which is this one unless `source` names another.
    """
    program = sys.executable if command[0] == "python" else shutil.which(command[0])
    if program is None:
        raise UnavailableError(f"the program {command[0]!r} was not found")
    return subprocess.Popen(
        [program, *command[1:]],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str((source or ROOT) / "src")} | dict(variables or {}),
        stdin=subprocess.PIPE if is_worker else subprocess.DEVNULL,
        stdout=subprocess.PIPE if is_worker else log,
        stderr=log,
        bufsize=0,
    )


def allow_files() -> None:
    """Raise the limit of open files: each connection is one in two processes, which inherit the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def last_words(log: IO[bytes]) -> str:
    """Return the line of a log that best explains why a program has ended: the last that names an error."""
    log.seek(0)
    text = log.read().decode(errors="replace").replace(f"{ROOT}/", "")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|not found|no module", line, re.IGNORECASE)]
    return (telling or lines or ["it printed nothing"])[-1].removeprefix("ERROR:").strip()


def free_port() -> int:
    """Return a port of this machine that is free."""
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
    """Return a process and its descendants, itself first."""
    pids = [pid]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                pids += _tree(int(child))
    return pids


def _proc_bytes(pid: int, file: str, field: str) -> int:
    text = Path(f"/proc/{pid}/{file}").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _buffered(where: str) -> int:
    """Return the kernel memory of the TCP sockets that match, bookkeeping included, as `ss` reports it.

    Of `skmem`, r waits to be read, w waits to be sent or acknowledged, f is set aside.
    """
    if shutil.which("ss") is None:
        raise UnavailableError("the program 'ss' was not found (Debian: apt-get install iproute2)")
    command = ["ss", "-Htmn", "state", "established", f"( {where} )"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sum(
        int(value) for fields in re.findall(r"skmem:\((.*?)\)", output) for value in re.findall(r"\b[rwf](\d+)", fields)
    )
