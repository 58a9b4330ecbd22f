"""``wirespeed types``: the types of an app for TypeScript, by the generator of the npm package."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from .document import fetch_at
from .failures import CommandError, usage
from .listing import Server, document_of
from .loading import is_app
from .target import split, target_of

GENERATOR = Path(__file__).parents[1] / "static" / "types.mjs"

NODE = 20
"""The oldest major version of Node.js that runs the generator."""

OTHERWISE = "Or use the npm package: npx wirespeed types http://localhost:8000 -o live.ts."


def types(source: str | None, output: Path | None, server: Server, *, check: bool, as_json: bool) -> int:
    """Write the types of an app, or check that a file has them.

    Args:
        source: An app to import, ``main:app``; or the URL of a server or of its document; or a file; or ``-`` for
            stdin. None for the server of the options.
        output: File to write; None for stdout.
        server: URL, token and context.
        check: True to compare the file, and to write nothing.
        as_json: True to write the document, and no types.

    Returns:
        The exit code.

    Raises:
        CommandError: The app cannot be found, or the generator cannot run.
    """
    if check and output is None:
        raise usage("--check needs the file that it checks.", "Name it: --output live.ts.")
    found = _found(source, server)
    if as_json and not check and found.text is not None:
        return _written(
            json.dumps(_as_in_javascript(json.loads(found.text)), indent=2, ensure_ascii=False) + "\n", output
        )
    command = [_node(), str(GENERATOR), "types", *found.arguments]
    if output is not None:
        command += ["--output", str(output)]
    command += ["--check"] * check + ["--json"] * as_json
    done = subprocess.run(command, input=found.text, encoding="utf-8", check=False)  # noqa: S603 - it is our own file
    return done.returncode


class _Found(NamedTuple):
    """Arguments of the generator that name its document, and the document itself."""

    arguments: list[str]
    text: str | None
    """The document, if it is the generator's stdin."""


def _found(source: str | None, server: Server) -> _Found:
    _, token, context = server
    if source is not None and source.startswith(("http://", "https://")):
        if server[0] or context:
            raise usage(f"{source[:200]!r} and the options both name a server.", "Leave --url and --context out.")
        if split(source).path.strip("/"):  # the document itself, and not the server
            return _Found(["-", "--from", source], json.dumps(fetch_at(source, token).data))
        server, source = (source, token, None), None
    elif source is not None and not is_app(source):
        return _Found([source], None)
    document = document_of(source, server)
    return _Found(["-", "--from", source or target_of(*server).url], json.dumps(document.data))


def _as_in_javascript(value: Any) -> Any:
    """Return JSON with whole numbers as JavaScript writes them: the generator, which checks files, has no ``5.0``."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _as_in_javascript(each) for name, each in value.items()}
        case list():
            return [_as_in_javascript(each) for each in value]
    return value


def _written(text: str, output: Path | None) -> int:
    if output is None:
        print(text, end="")
        return 0
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}.") from None
    return 0


def _node() -> str:
    """Return the program that runs the generator.

    Raises:
        CommandError: It is missing or too old, or the generator is.
    """
    node = shutil.which("node")
    if node is None:
        raise CommandError(
            "The types are made by Node.js, which was not found.",
            f"Install Node.js {NODE} or newer; --json writes the app's document without it.",
        )
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    major = version.removeprefix("v").partition(".")[0]
    if not major.isdecimal() or int(major) < NODE:
        raise CommandError(
            f"The types need Node.js {NODE} or newer, and {node} is {version or 'broken'}.", "Update it."
        )
    if not GENERATOR.is_file():
        raise CommandError("This installation has no generator of types: it was built without Node.js.", OTHERWISE)
    return node
