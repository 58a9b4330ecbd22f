"""``wirespeed types``: TypeScript from an app to import, and from a server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT, Server
from tests.waiting import PATIENCE
from wirespeed.asyncapi import document
from wirespeed.cli import types as types_

from .app import app
from .conftest import Wirespeed

APP = "tests.cli.app:app"


def types(*words: str, code: int = 0) -> tuple[str, str]:
    """Run the command in a process of its own, because the generator is one, too; return stdout and stderr."""
    command = [sys.executable, "-m", "wirespeed", "types", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_app_and_its_server_have_the_same_types(shop: Server, tmp_path: Path) -> None:
    """The types of an app do not depend on a server, and ``--check`` compares them with a file."""
    file = tmp_path / "live.ts"
    said = types(APP, "-o", str(file))[1]
    assert said == "Left out, because they are bytes, which the browser client does not carry: bytes\n"
    text = file.read_text()
    assert '  "price/{symbol}": {\n    kind: "feed";\n' in text
    assert types("--url", shop.url)[0] == text
    assert types(f"{shop.url}/live/asyncapi.json", "--output", str(file), "--check")[0] == ""
    file.write_text(text.replace("string", "number", 1))
    assert f"{file} is not up to date with {APP}. The first" in types(APP, "-o", str(file), "--check", code=1)[1]


def test_document(wirespeed: Wirespeed, tmp_path: Path) -> None:
    """``--json`` writes the document, without Node.js."""
    assert json.loads(wirespeed("types", APP, "--json").stdout) == document(app)
    assert wirespeed("types", APP, "--json", "-o", str(tmp_path / "document.json")).stdout == ""
    assert json.loads((tmp_path / "document.json").read_text()) == document(app)


def test_check_of_a_document(tmp_path: Path) -> None:
    """``--json --check`` accepts the document that ``--json`` has written."""
    types(APP, "--json", "-o", str(tmp_path / "document.json"))
    types(APP, "--json", "-o", str(tmp_path / "document.json"), "--check")


def test_app_that_prints(wirespeed: Wirespeed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Output of an app that is being imported goes to stderr, and a failure ends with one full stop."""
    (tmp_path / "noisy_app.py").write_text("from fastapi import FastAPI\nprint('noise')\napp = FastAPI()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    result = wirespeed("types", "noisy_app:app", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("noise\nwirespeed: noisy_app:app cannot be described: BindingError: ")
    assert not result.stderr.endswith("..\n")


def test_node_is_missing(wirespeed: Wirespeed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Node.js, with an old one, or without the generator, a sentence says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    result = wirespeed("types", APP)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Node.js, which was not found.\n  Install Node.js 20 or newer" in result.stderr
    (tmp_path / "node").write_text("#!/bin/sh\necho v18.20.4\n")
    (tmp_path / "node").chmod(0o755)
    assert f"need Node.js 20 or newer, and {tmp_path}/node is v18.20.4." in wirespeed("types", APP).stderr
    (tmp_path / "node").write_text("#!/bin/sh\necho v20.1.0\n")
    monkeypatch.setattr(types_, "GENERATOR", tmp_path / "types.mjs")
    assert "has no generator of types: it was built without Node.js.\n  Or use" in wirespeed("types", APP).stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--check"], "--check needs the file that it checks.\n  Name it: --output live.ts."),
        (["http://["], "'http://[' is not the URL of a server."),
        (["http://localhost:1", "--url", "http://localhost:2"], "both name a server."),
    ],
)
def test_wrong_usage(wirespeed: Wirespeed, words: list[str], problem: str) -> None:
    """Options that do not fit together are named."""
    result = wirespeed("types", *words)
    assert result.exit_code == 2
    assert problem in result.stderr


def test_no_server(wirespeed: Wirespeed) -> None:
    """A server that is away has the exit code of all commands."""
    assert wirespeed("types", "http://localhost:1").exit_code == 3
