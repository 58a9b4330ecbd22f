"""Checks of this machine, for a server that runs on it: the faster event loop and parser, and versions."""

import socket
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .checks import Finding, note, ok, slow
from .target import Target

FAST = ("uvloop", "httptools")
NEEDED = {"fastapi": (0, 145), "uvicorn": (0, 52, 1), "websockets": (16,)}
"""The oldest versions that work; uvicorn has write flow control since 0.52.1."""


def check(target: Target, overview: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Yield what this machine shows; nothing for a server elsewhere."""
    if not target.is_local:
        yield note("versions", "the server is on another machine: its packages were not checked",
                   "Run 'wirespeed doctor' beside it.")  # fmt: skip
        return
    loaded = _loaded(overview)
    yield from _fast(loaded)
    yield from _versions()


def _loaded(overview: Mapping[str, Any] | None) -> str | None:
    """Return the files that the server's process has mapped; None if this cannot be seen."""
    for each in (overview or {}).get("processes", ()):
        if each["host"] == socket.gethostname() and each["pid"]:
            try:
                return Path(f"/proc/{each['pid']}/maps").read_text()
            except OSError:
                return None
    return None


def _fast(loaded: str | None) -> Iterator[Finding]:
    where = "the server" if loaded is not None else "this Python environment"
    missing = [name for name in FAST if not (name in loaded if loaded is not None else _version(name))]
    if missing:
        text = f"{where} runs without {' and '.join(missing)}"
        yield slow("uvloop, httptools", text, f"pip install {' '.join(missing)}; uvicorn takes them by itself.")
    else:
        yield ok("uvloop, httptools", f"{where} has both")


def _versions() -> Iterator[Finding]:
    found = {name: _version(name) for name in ("wirespeed", *NEEDED)}
    old = [f"{name} {found[name]}" for name, least in NEEDED.items() if found[name] and _numbers(found[name]) < least]
    text = ", ".join(f"{name} {each}" for name, each in found.items() if each)
    if old:
        yield slow("versions", f"too old: {', '.join(old)}", "pip install --upgrade fastapi uvicorn websockets")
    else:
        yield ok("versions", f"{text} (in this Python environment)")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    return tuple(int(part) for part in parts[:3] if part.isdigit())
