"""The command line, in this process and in others, and one server for all tests of a module."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
from typer.testing import CliRunner, Result

from tests.servers import ROOT, Server, serve
from wirespeed.cli.app import app

Wirespeed = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the contexts and the environment of the developer out of the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WIRESPEED_URL", "WIRESPEED_TOKEN", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="package")
def shop() -> Iterator[Server]:
    """Serve the app of these tests."""
    with serve("tests.cli.app:app") as server:
        yield server


@pytest.fixture
def wirespeed() -> Wirespeed:
    """Return a function that runs a command in this process, in a pipe."""
    runner = CliRunner()

    def run(*words: str, stdin: str | bytes | None = None) -> Result:
        return runner.invoke(app, list(words), input=stdin, prog_name="wirespeed")

    return run


@contextmanager
def started(*words: str, stdin: int = PIPE, stdout: int = PIPE, own: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a process of its own, with pipes, and end it if it does not end itself.

    With ``own``, it has a session of its own, whose processes can be found.
    """
    command = [sys.executable, "-m", "wirespeed", *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=stdout, stderr=PIPE, start_new_session=own) as process:
        try:
            yield process
        finally:
            process.kill()
