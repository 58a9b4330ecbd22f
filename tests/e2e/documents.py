"""Pages of documents, as tests assemble them.

The page of a document is its first HTML block with a title; other HTML blocks come before its script, and JavaScript
at its end.
"""

import re
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.test_docs import examples, read

BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<file>[\w.]+)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: str, kind: str, file: str | None = None) -> list[str]:
    """Return the examples of one language in a document, with this title or without one."""
    return [each["code"] for each in BLOCK.finditer(read(page)) if each["kind"] == kind and each["file"] == file]


def assembled(page: str) -> str:
    """Return the page that a document builds."""
    (whole,) = blocks(page, "html", "index.html")
    elements, script = "".join(blocks(page, "html")), "".join(blocks(page, "js"))
    assert whole.count('<script type="module">') == whole.count("</script>") == 1
    return whole.replace('<script type="module">', f'{elements}<script type="module">').replace(
        "</script>", f"{script}</script>"
    )


def write(page: str, folder: Path) -> Path:
    """Write the Python examples of a document; return the path of its app."""
    for name, code in examples(page).items():
        (folder / name).write_text(code)
    return folder / "main.py"


def with_files(app: Path) -> Path:
    """Return the path of a module that has the app and serves the files of its folder under ``/files``."""
    module = app.with_name(f"{app.stem}_with_files.py")
    module.write_text(
        "from fastapi.staticfiles import StaticFiles\n"
        f"from {app.stem} import app\n"
        f'app.mount("/files", StaticFiles(directory={str(app.parent)!r}))\n'
    )
    return module


def number(place: Locator) -> int:
    """Return the number in an element."""
    return int(place.inner_text())


def expect_another(place: Locator) -> None:
    """Expect the text of an element to change."""
    expect(place).not_to_be_empty()
    expect(place).not_to_have_text(place.inner_text())
