"""The scripts behind `make`, and the build of the package: they wait for each other, and say what is missing."""

import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.servers import ROOT

# Requests the browser client from an app, and prints the answer; the log goes to standard error.
REQUEST = """
import logging
from fastapi import FastAPI
from fastapi.testclient import TestClient
import wirespeed
logging.basicConfig()
app = FastAPI()
live = wirespeed.Live(app)
with TestClient(app) as client:
    answer = client.get("/live/wirespeed.js")
print(wirespeed.__file__, answer.status_code, answer.text)
"""


def test_one_build_at_a_time(tmp_path: Path) -> None:
    """A command waits, and says so, until the command that holds the lock has ended for any reason."""
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts" / "locked", tmp_path / "scripts")
    locked = [sys.executable, script]
    with subprocess.Popen(
        [*locked, "sh", "-c", "echo begun; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"begun\n"
        with subprocess.Popen(
            [*locked, "echo", "done"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            assert second.poll() is None
            first.kill()
            assert second.communicate()[0] == "done\n"
    assert second.returncode == 0


def test_exit_code_is_passed_on(tmp_path: Path) -> None:
    """The exit code of the command is passed on to `make`."""
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts" / "locked", tmp_path / "scripts")
    assert subprocess.run([sys.executable, script, "sh", "-c", "exit 7"], check=False).returncode == 7


def test_old_node_is_refused(tmp_path: Path) -> None:
    """One sentence names the installed version and the required one; npm does not run."""
    for name, body in (("node", 'case "$1" in --version) echo v18.20.4;; *) exit 1;; esac'), ("npm", "echo npm ran")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    found = install_node(f"{tmp_path}:/usr/bin:/bin")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("Wirespeed's browser client needs Node.js 20 or newer;")
    assert "v18.20.4" in found.stderr


def test_missing_node_is_named(tmp_path: Path) -> None:
    """Without Node.js the script says what to install."""
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    found = install_node(str(tmp_path))
    assert (found.returncode, found.stdout) == (1, "")
    assert "Install Node.js 20 or newer" in found.stderr


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The files that a build needs, without what was built before."""
    pytest.importorskip("hatchling", reason="`make test` installs it")
    project = tmp_path / "project"
    without = shutil.ignore_patterns("node_modules", "dist", "static", "__pycache__")
    for name in ("src", "web"):
        shutil.copytree(ROOT / name, project / name, ignore=without)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, project / name)
    return project


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_build_without_node(sources: Path, tmp_path: Path, target: str) -> None:
    """The build succeeds, names what is missing, and leaves the client out."""
    built = build(sources, tmp_path, target)
    assert built.returncode == 0, built.stderr
    assert "Node.js and its npm were not found" in built.stderr
    assert "install Node.js 20 or newer and build again" in built.stderr
    (distribution,) = (tmp_path / "dist").iterdir()
    assert distribution.name.endswith({"wheel": ".whl", "sdist": ".tar.gz"}[target])


def test_app_without_node(sources: Path, tmp_path: Path) -> None:
    """An app of a wheel that was built without Node.js answers and logs what to install."""
    build(sources, tmp_path, "wheel")
    (wheel,) = (tmp_path / "dist").iterdir()
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    assert not list(installed.rglob("wirespeed.js"))
    environment = os.environ | {"PYTHONPATH": str(installed)}
    asked = subprocess.run(
        [sys.executable, "-c", REQUEST], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert asked.stdout.startswith(f"{installed}/wirespeed/__init__.py 503 This installation")
    assert "Install Node.js 20 or newer" in asked.stdout
    assert "Install Node.js 20 or newer" in asked.stderr


def test_demo_names_another_port() -> None:
    """A port that is already used, as by a second `make run`, gives one sentence without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = subprocess.run(
            [sys.executable, "-m", "demo", "--port", str(port)], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith(f"The demo cannot listen on 127.0.0.1:{port}: ")
    assert found.stderr.endswith(f"Another port: make run PORT={port + 1}\n")


def build(sources: Path, tmp_path: Path, target: str) -> "subprocess.CompletedProcess[str]":
    """Build a distribution where there is no Node.js, without a network."""
    (empty := tmp_path / "bin").mkdir()
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(tmp_path / "dist")],
        cwd=sources,
        env=os.environ | {"PATH": str(empty)},
        capture_output=True,
        text=True,
        check=False,
    )


def install_node(path: str) -> "subprocess.CompletedProcess[str]":
    """Run the script with a search path."""
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "install-node"), "web"],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
