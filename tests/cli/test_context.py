"""``wirespeed context``: saved addresses and tokens."""

import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers import Server, free_port
from wirespeed.cli.addresses import Addresses, SavedServer, path

from .conftest import Wirespeed

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"


def test_the_first_context_is_the_current_one(wirespeed: Wirespeed) -> None:
    """Another one is chosen by --use or 'use'; one that is removed is not current any more."""
    assert wirespeed("context", "add", "dev", "localhost:8000").exit_code == 0
    assert wirespeed("context", "add", "prod", "https://example.com/api/").exit_code == 0

    def current() -> list[str]:
        found = json.loads(wirespeed("context", "list", "--json").stdout)
        return [each["name"] for each in found if each["current"]]

    assert current() == ["dev"]
    assert wirespeed("context", "use", "prod").exit_code == 0
    assert current() == ["prod"]
    shown = json.loads(wirespeed("context", "show", "--json").stdout)
    assert (shown["url"], shown["prefix"]) == ("https://example.com/api", "/live")
    assert wirespeed("context", "remove", "prod").exit_code == 0
    assert current() == []
    assert wirespeed("context", "show").exit_code == 2


def test_tokens_are_not_shown(wirespeed: Wirespeed) -> None:
    """The file is for its owner alone, and no output has the token."""
    assert wirespeed("context", "add", "prod", "https://example.com", "--token", "-", stdin=TOKEN + "\n").exit_code == 0
    assert stat.S_IMODE(path().stat().st_mode) == 0o600
    assert TOKEN in path().read_text()
    for words in (["list"], ["list", "--json"], ["show"], ["show", "prod", "--json"]):
        result = wirespeed("context", *words)
        assert result.exit_code == 0
        assert "eyJh…Js" not in result.output  # the mask has the ends only
        assert TOKEN[6:-6] not in result.output


def test_a_token_is_sent_to_its_own_server_only(
    wirespeed: Wirespeed, shop: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context has its token; another address on the command line does not get it."""
    assert wirespeed("context", "add", "shop", shop.url, "--token", "secret").exit_code == 0
    assert wirespeed("call", "whoami").stdout == '"admin"\n'
    assert wirespeed("call", "whoami", "--context", "shop").exit_code == 0
    assert wirespeed("call", "whoami", "--url", shop.url).exit_code == 1
    monkeypatch.setenv("WIRESPEED_URL", shop.url)
    assert wirespeed("call", "whoami").exit_code == 1
    monkeypatch.setenv("WIRESPEED_TOKEN", "secret")
    assert wirespeed("call", "whoami").exit_code == 0


def test_the_environment_comes_before_the_current_context(
    wirespeed: Wirespeed, shop: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--url and --context come first, then WIRESPEED_URL, then the current context, then localhost."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    wirespeed("context", "add", "nowhere", nowhere)
    assert "(from context nowhere)" in wirespeed("list").stderr
    monkeypatch.setenv("WIRESPEED_URL", shop.url)
    assert wirespeed("list").exit_code == 0
    assert wirespeed("list", "--context", "nowhere").exit_code == 3
    assert wirespeed("list", "--context", "nowhere", "--url", shop.url).exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "http://",
        "http://user:pw@example.com",
        "http://:pw@a",
        "http://a:port",
        "http://[",
        "http://\udcff",
        "/live",
    ],
)
def test_a_url_that_is_not_one_of_a_server(wirespeed: Wirespeed, url: str) -> None:
    """A wrong URL is refused before it is stored or asked."""
    assert wirespeed("context", "add", "x", url).exit_code == 2
    assert wirespeed("list", "--url", url).exit_code == 2


def test_a_file_that_cannot_be_read(wirespeed: Wirespeed, tmp_path: Path) -> None:
    """A broken file is reported with its name, and not overwritten."""
    wirespeed("context", "add", "a", "localhost")
    path().write_text("{")
    result = wirespeed("context", "add", "b", "localhost")
    assert result.exit_code == 1
    assert str(path()) in result.stderr.replace("\n", "")
    assert path().read_text() == "{"
    path().write_text('{"contexts": {"a": {"url": 5}}}')
    result = wirespeed("list", "--context", "a")
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)


def test_changes_at_the_same_time() -> None:
    """Commands that change the file at the same time lose no change of each other."""
    names = [f"c{number}" for number in range(8)]
    together = threading.Barrier(len(names))

    def add(name: str) -> None:
        together.wait()
        with Addresses.changed() as addresses:
            addresses.servers[name] = SavedServer("http://localhost")

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(add, names))
    assert sorted(Addresses.load().servers) == names
