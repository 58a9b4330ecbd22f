"""Chromium and its tabs, controlled through the DevTools protocol with as few domains as possible.

The end-to-end tests use Playwright, which has each frame of a WebSocket reported to it. That makes a page that gets one
frame for each value three to four times slower, and would flatter Wirespeed.
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from benchmarks.processes import Process, Server, UnavailableError, last_words, launch
from benchmarks.websocket import HOST, ProtocolError

_NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Switches for tests and benchmarks."""
_ARGUMENTS = ("--headless", "--remote-debugging-port=0")
_STARTUP_SECONDS = 120.0
_PATIENCE_SECONDS = 120.0


class Tab:
    """A page in the foreground. Its functions are called by the names that its scripts have made global."""

    def __init__(self, browser: "Browser", target: str) -> None:
        self._browser, self._target = browser, target
        self._session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Performance.enable", timeDomain="threadTicks")

    def call(self, function: str, *arguments: object) -> Any:
        """Call a function of the page and return its awaited answer."""
        return self.answer(self.start(function, *arguments))

    def start(self, function: str, *arguments: object) -> int:
        """Call a function without waiting for its answer; return the number for `answer`."""
        expression = f"{function}({', '.join(map(json.dumps, arguments))})"
        options = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        return self._browser.send("Runtime.evaluate", options, self._session)

    def answer(self, number: int) -> Any:
        """Return the answer of a function that was started.

        Raises:
            ProtocolError: It has thrown, or has not answered in time.
        """
        answer = self._browser.receive(number)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"].get("exception", {}).get("description", "it threw no error")
            raise ProtocolError(thrown.partition("\n")[0].removeprefix("Error: "))
        return answer["result"].get("value")

    def busy_seconds(self) -> float:
        """Return the seconds that the main thread has worked so far, by its own CPU clock."""
        found = {each["name"]: each["value"] for each in self._ask("Performance.getMetrics")["metrics"]}
        busy: float = found["TaskDuration"]
        return busy

    def heap_bytes(self) -> int:
        """Return the memory of the page's scripts after a garbage collection."""
        self.collect()
        size: int = self._ask("Runtime.getHeapUsage")["usedSize"]
        return size

    def collect(self) -> None:
        """Collect garbage, so that no run pays for what another one has left behind."""
        self._ask("HeapProfiler.collectGarbage")

    def close(self) -> None:
        self._browser.ask("Target.closeTarget", targetId=self._target)

    def _ask(self, method: str, **parameters: object) -> Any:
        return self._browser.receive(self._browser.send(method, parameters, self._session))


class Browser:
    """A running Chromium."""

    def __init__(self, connection: ClientConnection, process: Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        """The reports of the browser so far, in domains that a session has enabled."""
        self._connection = connection
        self._numbers = count(1)

    @contextlib.contextmanager
    def tab(self, server: Server) -> Iterator[Tab]:
        """Open the page of a server and wait until it is ready."""
        target = self.ask("Target.createTarget", url=f"http://{HOST}:{server.port}/")["targetId"]
        tab = Tab(self, target)
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not tab.call("(() => globalThis.isReady)"):
            if time.monotonic() > deadline:
                raise ProtocolError("the page was not ready in time")
            time.sleep(0.05)
        yield tab
        tab.close()

    def ask(self, method: str, **parameters: object) -> Any:
        """Send a command to the browser itself and return its answer."""
        return self.receive(self.send(method, parameters))

    def send(self, method: str, parameters: dict[str, object], session: str | None = None) -> int:
        """Send a command to a tab's session or to the browser; return the number of its answer."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message | ({"sessionId": session} if session else {})))
        return number

    def receive(self, number: int) -> Any:
        """Return the answer to a command."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = json.loads(self._connection.recv(max(0.0, deadline - time.monotonic())))
            if "id" not in answer:
                self.events.append(answer)
            if answer.get("id") != number:
                continue
            if "error" in answer:
                raise ProtocolError(answer["error"]["message"])
            return answer["result"]


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Run a Chromium with a profile of its own until the block ends.

    Raises:
        UnavailableError: Chromium is not installed, or does not start.
    """
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = Process(launch([program(), *_ARGUMENTS, *SWITCHES, f"--user-data-dir={profile}", "about:blank"], log))
        try:
            # No pings: their answers wait behind the browser's reports, which are read with the next command only.
            options: dict[str, Any] = {"max_size": None, "open_timeout": _STARTUP_SECONDS, "ping_interval": None}
            with connect(_address(process, Path(profile), log), **options) as connection:
                yield Browser(connection, process)
        except WebSocketException as error:
            raise ProtocolError(f"Chromium has ended: {error}") from None
        finally:
            process.stop()


def program() -> str:
    """Return the path of the installed Chromium."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    raise UnavailableError("Chromium was not found; `scripts/chromium` installs it")


def _address(process: Process, profile: Path, log: IO[bytes]) -> str:
    """Return the address for commands, which Chromium writes to a file as soon as it accepts them."""
    deadline = time.monotonic() + _STARTUP_SECONDS
    while time.monotonic() < deadline and not process.has_ended():
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, path = (profile / "DevToolsActivePort").read_text().split()
            return f"ws://{HOST}:{port}{path}"
        time.sleep(0.05)
    raise UnavailableError(f"Chromium did not start: {last_words(log)}")
