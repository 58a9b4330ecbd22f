"""Firefox, WebKit and Chromium, each with pages whose functions can be called, and with no one who listens.

Chromium is controlled through the DevTools protocol, Firefox through WebDriver BiDi (W3C, "WebDriver BiDi"), WebKit
through WebDriver (W3C, "WebDriver"). None of them reports network events: no command asks for them.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, Any, NamedTuple

from websockets.sync.client import ClientConnection, connect

from benchmarks import chromium
from benchmarks.processes import Process, UnavailableError, free_port, last_words, launch
from benchmarks.websocket import HOST, ProtocolError

_STARTUP_SECONDS = 120.0
_PATIENCE_SECONDS = 300.0
_INSTALLS = "`scripts/browsers` installs it"

# Firefox would ask its maker for news, which is not to be reached and only costs time.
_PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.max_script_run_time": 0,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
_WRAP = """(async () => {
  try {
    return JSON.stringify({ value: await (%s)(%s) });
  } catch (error) {
    return JSON.stringify({ error: String(error) });
  }
})()"""


class Page(ABC):
    """A page in a tab or a window."""

    @abstractmethod
    def evaluate(self, expression: str) -> str:
        """Return the text that an expression of the page resolves to."""

    @abstractmethod
    def go(self, address: str) -> None:
        """Open another address in place of this one."""

    @abstractmethod
    def hide(self) -> None:
        """Put the page into the background."""

    @abstractmethod
    def show(self) -> None:
        """Put the page into the foreground."""

    def call(self, function: str, *arguments: object) -> Any:
        """Call a function of the page, which may be written here, and return its awaited answer.

        Raises:
            ProtocolError: It has thrown, or has not answered in time.
        """
        answer = json.loads(self.evaluate(_WRAP % (function, ", ".join(map(json.dumps, arguments)))))
        if "error" in answer:
            raise ProtocolError(answer["error"])
        return answer.get("value")


class Engine(NamedTuple):
    """A running browser."""

    process: Process
    open: Callable[[str], "contextlib.AbstractContextManager[Page]"]
    """Opens an address in a page of its own."""


# Chromium


class _ChromiumPage(Page):
    def __init__(self, browser: chromium.Browser, address: str) -> None:
        self._browser = browser
        self._target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self._other = ""
        self.go(address)

    def evaluate(self, expression: str) -> str:
        answer = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return str(answer["result"].get("value"))

    def go(self, address: str) -> None:
        self._ask("Page.navigate", url=address)

    def hide(self) -> None:
        self._other = self._browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._browser.ask("Target.activateTarget", targetId=self._other)

    def show(self) -> None:
        self._browser.ask("Target.closeTarget", targetId=self._other)
        self._browser.ask("Target.activateTarget", targetId=self._target)

    def close(self) -> None:
        self._browser.ask("Target.closeTarget", targetId=self._target)

    def _ask(self, method: str, **parameters: object) -> Any:
        return self._browser.receive(self._browser.send(method, parameters, self._session))


@contextlib.contextmanager
def _chromium() -> Iterator[Engine]:
    with chromium.browsing() as browser:

        @contextlib.contextmanager
        def opened(address: str) -> Iterator[Page]:
            page = _ChromiumPage(browser, address)
            try:
                yield page
            finally:
                page.close()

        yield Engine(browser.process, opened)


# Firefox


class _BiDi:
    """Commands to Firefox."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)

    def ask(self, method: str, **parameters: object) -> Any:
        """Return the result of a command."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = json.loads(self._connection.recv(max(0.0, deadline - time.monotonic())))
            if answer.get("id") != number:
                continue
            if answer["type"] == "error":
                raise ProtocolError(f"{method}: {answer['message']}")
            return answer["result"]


class _FirefoxPage(Page):
    def __init__(self, firefox: _BiDi, address: str) -> None:
        self._firefox = firefox
        self._tab = firefox.ask("browsingContext.create", type="tab")["context"]
        self._other = ""
        self.go(address)

    def evaluate(self, expression: str) -> str:
        target = {"context": self._tab}
        answer = self._firefox.ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        return str(answer["result"]["value"])

    def go(self, address: str) -> None:
        self._firefox.ask("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def hide(self) -> None:
        self._other = self._firefox.ask("browsingContext.create", type="tab")["context"]

    def show(self) -> None:
        self._firefox.ask("browsingContext.activate", context=self._tab)
        self._firefox.ask("browsingContext.close", context=self._other)

    def close(self) -> None:
        self._firefox.ask("browsingContext.close", context=self._tab)


@contextlib.contextmanager
def _firefox() -> Iterator[Engine]:
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = (f'user_pref("{name}", {json.dumps(value)});\n' for name, value in _PREFERENCES.items())
        Path(profile, "user.js").write_text("".join(lines))
        options = ["--headless", "--remote-debugging-port", "0", "--profile", profile, "--no-remote", "about:blank"]
        process = Process(launch([_program("firefox-esr", "firefox"), *options], log))
        try:
            address = _said(process, log, r"WebDriver BiDi listening on (ws://\S+)") + "/session"
            with connect(address, max_size=None, ping_interval=None) as connection:
                firefox = _BiDi(connection)
                firefox.ask("session.new", capabilities={})

                @contextlib.contextmanager
                def opened(address: str) -> Iterator[Page]:
                    page = _FirefoxPage(firefox, address)
                    try:
                        yield page
                    finally:
                        page.close()

                yield Engine(process, opened)
        finally:
            process.stop()


# WebKit


class _WebKitPage(Page):
    def __init__(self, ask: Callable[..., Any], address: str) -> None:
        self._ask = partial(ask)
        self.go(address)

    def evaluate(self, expression: str) -> str:
        script = f"const done = arguments[0]; ({expression}).then(done);"
        return str(self._ask("POST", "/execute/async", {"script": script, "args": []}))

    def go(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def hide(self) -> None:
        self._ask("POST", "/window/minimize", {})

    def show(self) -> None:
        self._ask("POST", "/window/rect", {"width": 1024, "height": 768})


def _answer(port: int, method: str, path: str, body: object = None) -> Any:
    """Return the answer to a command of WebDriver."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        value = json.loads(response.read())["value"]
    if response.status != 200:
        raise ProtocolError(f"{path}: {value['error']}: {value['message']}")
    return value


@contextlib.contextmanager
def _webkit() -> Iterator[Engine]:
    with (
        tempfile.TemporaryFile() as log,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        _screen() as x,
    ):
        port = free_port()
        # The sandbox needs more rights than a container has, and the page is our own.
        variables = {"DISPLAY": x, "HOME": home, "XDG_RUNTIME_DIR": home, "NO_AT_BRIDGE": "1"}
        variables |= {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1", "LIBGL_ALWAYS_SOFTWARE": "1"}
        command = [_program("WebKitWebDriver"), f"--port={port}", f"--host={HOST}"]
        process = Process(launch(command, log, variables=variables))
        try:
            _wait_for(process, log, partial(_answer, port, "GET", "/status"))
            options = {"binary": _minibrowser(), "args": ["--automation"]}
            capabilities = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
            session = _answer(port, "POST", "/session", {"capabilities": capabilities})["sessionId"]

            def ask(method: str, path: str, body: object = None) -> Any:
                return _answer(port, method, f"/session/{session}{path}", body)

            ask("POST", "/timeouts", {"script": 1000 * _PATIENCE_SECONDS, "pageLoad": 1000 * _PATIENCE_SECONDS})

            @contextlib.contextmanager
            def opened(address: str) -> Iterator[Page]:
                try:
                    yield _WebKitPage(ask, address)
                finally:
                    ask("POST", "/url", {"url": "about:blank"})

            yield Engine(process, opened)
            ask("DELETE", "")
        finally:
            process.stop()


@contextlib.contextmanager
def _screen() -> Iterator[str]:
    """Run a screen that shows nothing; its name is the value."""
    reading, writing = os.pipe()
    command = [_program("Xvfb"), "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as screen:
        os.close(writing)
        try:
            with open(reading, closefd=True) as display:  # noqa: PTH123 - a pipe has no path
                name = display.readline().strip()
            if not name:
                raise UnavailableError("Xvfb did not start")
            yield f":{name}"
        finally:  # Popen waits for its end, also after an error
            screen.terminate()


def _minibrowser() -> str:
    found = sorted(Path("/usr").glob("lib*/**/webkit2gtk-4.*/MiniBrowser"))
    if not found:
        raise UnavailableError(f"WebKit's MiniBrowser was not found; {_INSTALLS}")
    return str(found[-1])


# All of them


def _program(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise UnavailableError(f"{names[0]} was not found; {_INSTALLS}")


def _wait_for(process: Process, log: IO[bytes], look: Callable[[], Any]) -> Any:
    """Return the first result that is true, of a function that may fail meanwhile."""
    deadline = time.monotonic() + _STARTUP_SECONDS
    while time.monotonic() < deadline and not process.has_ended():
        with contextlib.suppress(OSError):
            if found := look():
                return found
        time.sleep(0.05)
    raise UnavailableError(f"the browser did not start: {last_words(log)}")


def _said(process: Process, log: IO[bytes], pattern: str) -> str:
    """Return what a program has printed, by a pattern with one group."""

    def look() -> str | None:
        log.seek(0)
        found = re.search(pattern, log.read().decode(errors="replace"))
        return found and found[1]

    return str(_wait_for(process, log, look))


ENGINES: dict[str, Callable[[], "contextlib.AbstractContextManager[Engine]"]] = {
    "Chromium": _chromium,
    "Firefox": _firefox,
    "WebKit": _webkit,
}
"""Each engine by its name; entering one raises `UnavailableError` if it is not installed."""
