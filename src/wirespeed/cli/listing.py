"""``wirespeed list``."""

import json
import sys
from contextlib import redirect_stdout

from .document import Document, ListedDefinition, fetch
from .failures import CommandError, usage
from .loading import load_app
from .target import target_of
from .terminal import clean, is_terminal, output

KINDS = ("stream", "feed", "topic", "call")

Server = tuple[str | None, str | None, str | None]
"""URL, token and context, as the options give them."""


def show(source: str | None, kind: str | None, server: Server, *, as_json: bool) -> None:
    """Write the definitions of a server, or of an app to import.

    Raises:
        CommandError: They cannot be found.
    """
    if kind is not None and kind not in KINDS:
        raise usage(f"{kind[:40]!r} is not a kind.", f"The kinds are {', '.join(KINDS)}.")
    document = document_of(source, server)
    found = [each for each in document.definitions if kind is None or each.kind == kind]
    if as_json:
        print(json.dumps([_plain(each) for each in found]))
    elif is_terminal():
        _print(found)
    else:
        for each in found:
            print(*map(clean, (each.kind, each.path, _parameters(each), _types(each), each.summary)), sep="\t")


def document_of(source: str | None, server: Server) -> Document:
    """Return the document of a server, or of an app to import.

    Raises:
        CommandError: It cannot be found.
    """
    if source is None:
        return fetch(target_of(*server))
    if any(server):
        raise usage(f"{source[:80]!r} is an app to import, which has no server.", "Leave --url and --context out.")
    app = load_app(source)
    from ..asyncapi import document

    try:
        with redirect_stdout(sys.stderr):  # types may have code of the app
            return Document(document(app))
    except Exception as error:
        raise CommandError(
            f"{source} cannot be described: {type(error).__name__}: {str(error).rstrip('.')}."
        ) from error


def _plain(each: ListedDefinition) -> dict[str, object]:
    return {
        "kind": each.kind,
        "path": each.path,
        "parameters": [parameter._asdict() for parameter in each.parameters],
        "value": each.value,
        "message": each.message or None,
        "by": each.by,
        "deprecated": each.deprecated,
        "description": each.text,
    }


def _parameters(each: ListedDefinition) -> str:
    return ", ".join(
        f"{parameter.name}: {parameter.type}" + ("" if parameter.required else f" = {json.dumps(parameter.default)}")
        for parameter in each.parameters
    )


def _types(each: ListedDefinition) -> str:
    value = f"{each.value} by {each.by}" if each.by else each.value
    return f"{each.message} → {value}" if each.message else value


def _print(found: list[ListedDefinition]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("Kind", "Path", "Parameters", "Types", "Description", box=None, pad_edge=False, header_style="bold")
    for each in found:
        style = "dim" if each.deprecated else ""
        path = Text(clean(each.path), "bold")
        description = clean(each.summary + " (deprecated)" * each.deprecated)
        table.add_row(clean(each.kind), path, clean(_parameters(each)), clean(_types(each)), description, style=style)
    output().print(table)
