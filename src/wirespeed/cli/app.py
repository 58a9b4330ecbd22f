"""The commands and their options. Each one imports its work when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from . import context
from .failures import reporting
from .options import ContextName, Field, For, Json, Last, Limit, Rate, Raw, Since, Token, Url, Words

EPILOG = (
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no server, 4 values lost, 130 Ctrl-C. "
    "stdout has only data; messages go to stderr."
)
LOOK, SEND, OPERATE = "Look", "Send", "Operate"

app = typer.Typer(
    help="List, watch and call the live data of a Wirespeed app.\n\n"
    "Start with: wirespeed list main:app; or, beside its server, wirespeed list, and wirespeed watch PATH.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(context.app, name="context", rich_help_panel=OPERATE)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"wirespeed {version_of('wirespeed')}")
        raise typer.Exit


@app.command("list", rich_help_panel=LOOK)
def list_(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[MAIN:APP]", help="An app to import, instead of a server.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", "-k", metavar="KIND", help="Only stream, feed, topic or call.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON array.")] = False,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """List the definitions of an app: kind, path, parameters, types, docs.

    \b
    wirespeed list
    wirespeed list main:app
    wirespeed list --json | jq -r '.[].path'

    In a pipe, each definition is one line of fields between tabs.
    """
    with reporting():
        from .listing import show

        show(source, kind, (url, token, context), as_json=json)


@app.command(rich_help_panel=LOOK)
def watch(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Path of a feed, topic or stream: price/BTC, or a full URL.")
    ],
    json: Json = False,
    raw: Raw = False,
    table: Annotated[bool, typer.Option("--table", help="Show the rows of a table (by=), live.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Plot a number, live.")] = False,
    field: Field = None,
    limit: Limit = None,
    time: For = None,
    since: Since = None,
    last: Last = None,
    positions: Annotated[bool, typer.Option("--positions", help="Write JSON of each value with its position.")] = False,
    rate: Rate = None,
    newest: Annotated[bool, typer.Option("--newest", help="Skip to the newest value if values wait.")] = False,
    lossy: Annotated[bool, typer.Option("--lossy", help="Continue after values were lost.")] = False,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Watch a feed, topic or stream until it is complete, or Ctrl-C.

    \b
    wirespeed watch price/BTC
    wirespeed watch price/BTC --plot
    wirespeed watch rooms --table
    wirespeed watch orders --last 10 --json | jq .item

    On a terminal, values are shown with the time; in a pipe, each is one line of JSON. A lost connection is made again.
    """
    with reporting():
        from .watching import WatchWish
        from .watching import watch as begin

        wish = WatchWish(json, raw, table, plot, field, limit, time, since, last, positions, rate, newest, lossy)
        begin(path, wish, (url, token, context))


@app.command(rich_help_panel=LOOK)
def types(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[MAIN:APP]",
            help="An app to import; or the URL of a server or document, a file, or - for stdin.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write, instead of stdout.", show_default=False),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if FILE is not up to date.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Write the AsyncAPI document, and no types.")] = False,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Generate the types of an app for TypeScript: paths, parameters, values, messages, errors.

    \b
    wirespeed types main:app -o live.ts
    wirespeed types http://localhost:8000 -o live.ts --check
    wirespeed types main:app --json > asyncapi.json

    In a page: import type { Paths } from "./live", and connect<Paths>(). The types need Node.js 20 or newer.
    """
    with reporting():
        from .types import types as generate

        if code := generate(source, output, (url, token, context), check=check, as_json=json):
            raise typer.Exit(code)


@app.command(rich_help_panel=SEND)
def call(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of the call, or a full URL.")],
    message: Words = None,
    json: Json = False,
    raw: Raw = False,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Make a call, and write its value.

    \b
    wirespeed call price item=tea count=2
    wirespeed call add '[1, 2, 3]'
    wirespeed call add - < numbers.json

    field=value writes what the type of the field needs; field:=value is always JSON.
    """
    with reporting():
        from .sending import call as make

        make(path, message or [], (url, token, context), as_json=json, raw=raw)


@app.command(rich_help_panel=SEND)
def publish(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of the topic, or a full URL.")],
    message: Words = None,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Send messages to the handler of a topic.

    \b
    wirespeed publish orders item=tea count=2
    wirespeed publish orders '{"item": "tea", "count": 2}'
    wirespeed publish orders - < orders.jsonl

    With -, each line of stdin is one message. The next one is sent when the server has accepted the one before.
    """
    with reporting():
        from .sending import publish as send

        send(path, message or [], (url, token, context))


@app.command(rich_help_panel=SEND)
def stream(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of the stream, or a full URL.")],
    message: Words = None,
    json: Json = False,
    raw: Raw = False,
    limit: Limit = None,
    time: For = None,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Run a stream with a message, and write its values.

    \b
    wirespeed stream count item=tea count=3
    wirespeed stream ask text="Why is the sky blue?" --raw
    wirespeed stream chat -

    With -, each line of stdin is one message of a duplex stream, and all of stdin is the message of any other.
    A duplex stream goes on after the end of stdin: --for and --limit end it.
    """
    with reporting():
        from .sending import stream as begin

        begin(path, message or [], (url, token, context), as_json=json, raw=raw, limit=limit, time=time)
