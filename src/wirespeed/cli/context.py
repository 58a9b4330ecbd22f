"""``wirespeed context``: the commands for saved addresses and tokens."""

import getpass
import json as json_
import sys
from typing import Annotated

import typer

from .addresses import Addresses, SavedServer, check_name, path
from .failures import note, reporting, usage
from .target import base_of, check_token
from .terminal import clean, is_terminal, output

app = typer.Typer(
    help="Save addresses and tokens of servers under names.\n\n"
    "\b\nwirespeed context add prod https://example.com --token -\nwirespeed context use prod\n\n"
    "The file belongs to you alone (mode 0600); 'wirespeed context list' names it. "
    "A token is sent to its own server only.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)

MOST_TOKEN = 65536
"""Characters of stdin that are read for a token."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the context.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command()
def add(
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the app.")],
    token: Annotated[
        str,
        typer.Option(
            "--token", metavar="TEXT", help="Token; - asks for it, or reads it from stdin.", show_default=False
        ),
    ] = "",
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="PATH", help="The prefix of Live(app, prefix=...).")
    ] = "/live",
    use: Annotated[bool, typer.Option("--use", help="Make it the current context.")] = False,
) -> None:
    """Add a context, or replace it. The first one becomes the current one.

    \b
    wirespeed context add dev http://localhost:8000
    wirespeed context add prod https://example.com --token -
    """
    with reporting():
        check_name(name)
        saved = SavedServer(base_of(url), _token(token), _prefix(prefix))
        with Addresses.changed() as addresses:
            addresses.servers[name] = saved
            if use or not addresses.current:
                addresses.current = name
        note(f"Saved{' as the current context' if addresses.current == name else ''}: {name}, {base_of(url)}")


def _token(given: str) -> str:
    if given == "-":
        given = getpass.getpass("Token: ") if sys.stdin.isatty() else _line_of_stdin()
    return check_token(given.strip())


def _line_of_stdin() -> str:
    try:
        return sys.stdin.readline(MOST_TOKEN)
    except UnicodeDecodeError:
        raise usage("stdin is not text in UTF-8.") from None


def _prefix(given: str) -> str:
    if not given.startswith("/") or given.endswith("/"):
        raise usage(f"--prefix {given[:80]!r} is not a path.", "Write one such as /live.")
    return given


@app.command()
def use(name: Name) -> None:
    """Make a context the current one: commands without --url and --context use it."""
    with reporting():
        with Addresses.changed() as addresses:
            addresses.get(name)
            addresses.current = name
        note(f"The current context is {name}.")


@app.command("list")
def list_(json: Json = False) -> None:
    """List all contexts. Tokens are masked. The current one has a star."""
    with reporting():
        addresses = Addresses.load()
        rows = [(name, each) for name, each in sorted(addresses.servers.items())]
        if json:
            print(json_.dumps([_public(name, each, addresses.current) for name, each in rows]))
        elif is_terminal():
            _show(rows, addresses.current)
        else:
            for name, each in rows:
                print(*("*" if name == addresses.current else "", name, each.url, each.prefix, each.masked), sep="\t")


def _show(rows: list[tuple[str, SavedServer]], current: str) -> None:
    from rich.table import Table

    table = Table("", "Name", "URL", "Prefix", "Token", box=None, pad_edge=False, header_style="bold")
    for name, each in rows:
        table.add_row("*" if name == current else "", name, clean(each.url), clean(each.prefix), clean(each.masked))
    console = output()
    if rows:
        console.print(table)
    note(f"File: {path()}")


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the context.", show_default="the current one")
    ] = None,
    json: Json = False,
) -> None:
    """Show one context. The token is masked."""
    with reporting():
        addresses = Addresses.load()
        chosen = name or addresses.current
        if not chosen:
            raise usage("There is no current context.", "Name one, or choose it with 'wirespeed context use'.")
        found = _public(chosen, addresses.get(chosen), addresses.current)
        if json:
            print(json_.dumps(found))
        else:
            for key, value in found.items():
                print(f"{key}\t{clean(str(value))}" if not is_terminal() else f"{key:8} {clean(str(value))}")


@app.command()
def remove(name: Name) -> None:
    """Remove a context and its token."""
    with reporting():
        with Addresses.changed() as addresses:
            addresses.get(name)
            del addresses.servers[name]
            if addresses.current == name:
                addresses.current = ""
        note(f"Removed: {name}")


def _public(name: str, saved: SavedServer, current: str) -> dict[str, object]:
    return {"name": name, "url": saved.url, "prefix": saved.prefix, "token": saved.masked, "current": name == current}
