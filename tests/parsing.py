"""AsyncAPI documents before the official parser: one process of Node.js validates the documents of many tests."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "parser.cjs"


@cache
def _parser() -> "subprocess.Popen[str]":
    """Return the process, which ends with the tests, when its input is closed."""
    node = shutil.which("node")
    assert node is not None, "the tests of AsyncAPI need Node.js"
    return subprocess.Popen([node, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def complaints(document: Mapping[str, Any]) -> list[str]:
    """Return all that the parser says of a document."""
    process = _parser()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{json.dumps(document)}\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    assert answer, "the parser has ended"
    found: list[str] = json.loads(answer)
    return found


def check(document: Mapping[str, Any]) -> None:
    """Check that a document is valid."""
    assert complaints(document) == []
