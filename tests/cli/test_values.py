"""``wirespeed watch``, ``call``, ``publish`` and ``stream`` in pipes, against a real server."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from typing import IO

import pytest

from tests.servers import ROOT, Server, free_port
from tests.waiting import PATIENCE, wait_until

from .conftest import Wirespeed, started


@pytest.fixture(autouse=True)
def at_the_shop(shop: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the server by the environment."""
    monkeypatch.setenv("WIRESPEED_URL", shop.url)


def test_watch_writes_one_value_per_line(wirespeed: Wirespeed) -> None:
    """In a pipe, each value is one line of JSON; --limit ends the watch."""
    result = wirespeed("watch", "price/BTC?currency=USD", "--limit", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    values = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(values) == 3
    assert values == sorted(values)


def test_watch_ends_with_its_feed(wirespeed: Wirespeed) -> None:
    """A complete feed ends the command; a text is JSON, or itself with --raw; bytes are base64, or themselves."""
    assert wirespeed("watch", "texts").stdout == '"plain"\n"\\u001b[2Jred\x9b31m\u202e"\n'
    assert wirespeed("watch", "texts", "--raw").stdout == "plain\n\x1b[2Jred\x9b31m\u202e\n"
    assert wirespeed("watch", "bytes").stdout == '"AP8="\n'
    assert wirespeed("watch", "bytes", "--raw").stdout_bytes == b"\x00\xff"


def test_a_full_url_names_the_server(wirespeed: Wirespeed, shop: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path may be a URL, with a token; then nothing else names a server."""
    monkeypatch.delenv("WIRESPEED_URL")
    assert wirespeed("watch", f"{shop.url}/vault").exit_code == 1
    assert wirespeed("watch", f"{shop.url}/vault", "--token", "secret").stdout == "1\n"
    monkeypatch.setenv("WIRESPEED_TOKEN", "secret")
    assert wirespeed("watch", f"{shop.url}/vault").stdout == "1\n"
    result = wirespeed("watch", f"{shop.url}/vault", "--url", "http://localhost:1")
    assert result.exit_code == 2
    assert "both name a server" in result.stderr


def test_positions_resume(wirespeed: Wirespeed) -> None:
    """A command begins after the position that another one has shown, or with the last values."""
    assert wirespeed("publish", "orders", "-", stdin='{"item":"a"}\n{"item":"b"}\n{"item":"c"}\n').exit_code == 0
    lines = wirespeed("watch", "orders", "--last", "3", "-n", "3", "--positions").stdout.splitlines()
    placed = [json.loads(line) for line in lines]
    assert [each["value"]["item"] for each in placed] == ["a", "b", "c"]
    rest = wirespeed("watch", "orders", "--since", placed[0]["position"], "-n", "2")
    assert [json.loads(line)["item"] for line in rest.stdout.splitlines()] == ["b", "c"]
    lost = wirespeed("watch", "orders", "--since", "gone:1")
    assert (lost.exit_code, lost.stdout) == (4, "")
    assert "--lossy" in lost.stderr


def test_new_values_follow_the_last_ones(wirespeed: Wirespeed) -> None:
    """With --last, the values of the log are followed by new ones, and none comes twice."""
    assert wirespeed("publish", "orders", "item=old").exit_code == 0
    with started("watch", "orders", "--last", "1", "--limit", "2") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["item"] == "old"
        assert wirespeed("publish", "orders", "item=new").exit_code == 0
        assert json.loads(watching.stdout.readline())["item"] == "new"
        assert watching.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("words", "stdin", "value"),
    [
        (["item=tea", "count=3"], None, "7.5"),
        (["item=7", "count:=4"], None, "10.0"),
        (['{"item": "tea", "count": 2}'], None, "5.0"),
        (["-"], '{"item": "tea"}\n', "2.5"),
    ],
)
def test_call(wirespeed: Wirespeed, words: list[str], stdin: str | None, value: str) -> None:
    """A message is field=value pairs, JSON, or stdin. A text field takes what looks like a number."""
    result = wirespeed("call", "total", *words, stdin=stdin)
    assert (result.exit_code, result.stdout) == (0, value + "\n")


def test_call_that_the_server_refuses(wirespeed: Wirespeed) -> None:
    """A refusal is exit code 1, and names each field at fault; nothing is written to stdout."""
    result = wirespeed("call", "total", '{"count": "x"}')
    assert (result.exit_code, result.stdout) == (1, "")
    assert "item: Field required" in result.stderr
    result = wirespeed("call", "whoami")
    assert result.exit_code == 1
    assert "The vault is closed. (status 403)" in result.stderr
    assert wirespeed("call", "whoami", "--token", "secret", "--raw").stdout == "admin\n"


def test_call_that_is_not_answered(wirespeed: Wirespeed) -> None:
    """A call has a time limit, and the message says how to change it."""
    result = wirespeed("call", "slow", "--timeout", "100ms")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did not answer within 0.1 seconds" in result.stderr
    assert "--timeout" in result.stderr


def test_publish_stops_at_the_line_that_is_refused(wirespeed: Wirespeed) -> None:
    """The error has the number of the line, and the lines after it are not sent."""
    lines = '{"item":"one"}\n\n{"item":"two","count":101}\n{"item":"three"}\n'
    result = wirespeed("publish", "orders", "-", stdin=lines)
    assert result.exit_code == 1
    assert "line 2 of stdin: orders: There are not that many. (status 409)" in result.stderr.replace(
        "/orders", "orders"
    )
    last = wirespeed("watch", "orders", "--last", "1", "-n", "1").stdout
    assert json.loads(last)["item"] == "one"


def test_stream(wirespeed: Wirespeed) -> None:
    """A stream runs with its message and ends; a text needs no quotes."""
    assert wirespeed("stream", "count", "item=tea", "count=2").stdout == '"tea 1"\n"tea 2"\n'
    assert wirespeed("stream", "shout", "so = what", "--raw").stdout == "SO = WHAT\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["watch", "prices/BTC"], "/price/{symbol}"),
        (["watch", "total"], "wirespeed call total"),
        (["watch", "price/BTC", "--json", "--raw"], "exclude each other"),
        (["watch", "price/BTC", "--table"], "is not a table"),
        (["watch", "texts", "--plot"], "is not a number"),
        (["watch", "price/BTC", "--for", "soon"], "10s"),
        (["watch", "orders", "--since", "yesterday"], "--last"),
        (["watch", "price/BTC", "--last", "3"], "keep=N"),
        (["call", "total"], "Order"),
        (["call", "total", "item"], "field=value"),
        (["call", "total", "item=tea", "count=x"], "The value of count"),
        (["call", "total", "item=tea", "count=NaN"], "The value of count"),
        (["call", "total", "item=tea", "count=1e400"], "The value of count"),
        (["call", "total", 'item:="\\ud83d"'], "The value of item"),
        (["call", "total", "item=tea", "x:=" + 3000 * "["], "The value of x"),
        (["call", "total", "item=tea", "x:=" + 201 * "[" + 201 * "]"], "The message is not JSON"),
        (["call", "total", 3000 * "["], "The message is not JSON"),
        (["watch", "http://["], "is not the URL of a server"),
        (["bench", "http://[/price/BTC"], "is not the URL of a server"),
        (["watch", "http://localhost:x/price/BTC"], "is not the URL of a server"),
        (["call", "whoami", "x"], "takes no message"),
        (["publish", "price/BTC", "1"], "takes no messages"),
        (["list", "nothing:app"], "no module"),
        (["list", "--token", "a\nb"], "characters that a header cannot carry"),
        (["list", "--kind", "feeds"], "stream, feed, topic, call"),
    ],
)
def test_wrong_usage(wirespeed: Wirespeed, words: list[str], hint: str) -> None:
    """A command that cannot work is exit code 2, with a sentence that says what to write."""
    result = wirespeed(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


def test_no_server(wirespeed: Wirespeed) -> None:
    """A server that does not answer is exit code 3, and the message says where its address comes from."""
    for words in (["list"], ["watch", "price/BTC"], ["call", "total", "item=a"]):
        result = wirespeed(*words, "--url", f"http://127.0.0.1:{free_port()}")
        assert (result.exit_code, result.stdout) == (3, "")
        assert "(from --url) cannot be reached: the connection was refused" in result.stderr


def test_table_and_plot(wirespeed: Wirespeed) -> None:
    """In a pipe, a table and a plot are written once, at the end."""
    table = wirespeed("watch", "rooms", "--table").stdout
    assert [name in table for name in ("degrees", "Attic", "21.25", "2 rows, 2 changes")] == [True] * 4
    plot = wirespeed("watch", "price/BTC", "--plot", "-n", "20").stdout
    assert "20 values" in plot
    assert "█" in plot


def test_list(wirespeed: Wirespeed) -> None:
    """Each definition is one line of fields, or an object of a JSON array."""
    lines = [line.split("\t") for line in wirespeed("list").stdout.splitlines()]
    assert ["call", "/total", "", "Order → number", "The price of an order."] in lines
    assert ["feed", "/price/{symbol}", 'symbol: "BTC" | "ETH", currency: string = "EUR"', "number"] in [
        line[:4] for line in lines
    ]
    (feed,) = [each for each in json.loads(wirespeed("list", "--json").stdout) if each["path"] == "/rooms"]
    assert (feed["kind"], feed["value"], feed["by"]) == ("feed", "Room", "name")
    imported = wirespeed("list", "tests.cli.app:app", "--kind", "call").stdout
    assert imported == wirespeed("list", "--kind", "call").stdout != ""


def test_ctrl_c() -> None:
    """Ctrl-C is exit code 130, without a word on stderr."""
    with started("watch", "price/BTC") as watching:
        assert watching.stdout is not None
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE) == 130
        assert watching.communicate()[1] == b""


def waiting_bytes(pipe: IO[bytes]) -> int:
    """Return the number of bytes in a pipe."""
    size = bytearray(4)
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return int.from_bytes(size, sys.byteorder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_a_write(number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM also end a command that stands in a write, because its reader has stopped reading."""
    with started("watch", "large") as watching:
        pipe = watching.stdout
        assert pipe is not None
        full = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) - 4096
        wait_until(lambda: waiting_bytes(pipe) > full)
        watching.send_signal(number)
        assert watching.wait(PATIENCE) == code
        assert watching.communicate()[1] == b""


def test_a_closed_pipe() -> None:
    """A reader that has enough ends the command with 0, without a word on stderr."""
    with started("watch", "price/BTC") as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        watching.stdout.readline()
        watching.stdout.close()
        assert watching.wait(PATIENCE) == 0
        assert watching.stderr.read() == b""


def test_closed_streams(shop: Server) -> None:
    """A command whose stdin or stdout is closed fails with a sentence, or works without it."""
    command = f"{sys.executable} -m wirespeed"
    ended = subprocess.run(f"{command} call total - <&-", shell=True, cwd=ROOT, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (2, 2)
    assert subprocess.run(f"{command} call total item=a >&-", shell=True, cwd=ROOT, check=False).returncode == 0


def test_duplex_stream_takes_lines_as_they_come() -> None:
    """Each line of stdin is a message, whose value is written before the next line arrives."""
    with started("stream", "echo", "-", "--limit", "2") as echo:
        assert echo.stdin is not None
        assert echo.stdout is not None
        for item in ("a", "b"):
            echo.stdin.write(b'{"item":"%s"}\n' % item.encode())
            echo.stdin.flush()
            assert json.loads(echo.stdout.readline()) == {"item": item, "count": 1}
        assert echo.wait(PATIENCE) == 0  # stdin is still open


@pytest.mark.parametrize("options", [[], ["--json"], ["--raw"]])
def test_control_characters_do_not_reach_a_terminal(options: list[str]) -> None:
    """On a terminal, texts of others cannot clear the screen, change colours, or reorder what is shown."""
    ours, theirs = pty.openpty()
    with started("watch", "texts", *options, stdout=theirs, stdin=subprocess.DEVNULL) as watching:
        os.close(theirs)
        pieces: list[bytes] = []
        with suppress(OSError):  # the terminal has no other end any more
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        os.close(ours)
        assert watching.wait(PATIENCE) == 0
    text = b"".join(pieces).decode()
    assert "plain" in text
    assert [each in text for each in ("\x1b[2J", "\x9b", "\u202e")] == [False] * 3
