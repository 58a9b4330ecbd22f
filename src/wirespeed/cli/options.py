"""Options that several commands have."""

from typing import Annotated, TypeAlias

import typer

SERVER = "Server"

Url: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--url",
        "-u",
        metavar="URL",
        help="Address of the app. (or set WIRESPEED_URL)",
        rich_help_panel=SERVER,
        show_default=False,
    ),
]
Token: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TEXT",
        help="Token for the server. (or set WIRESPEED_TOKEN)",
        rich_help_panel=SERVER,
        show_default=False,
    ),
]
ContextName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--context",
        "-c",
        metavar="NAME",
        help="Saved address and token, see 'wirespeed context'.",
        rich_help_panel=SERVER,
        show_default=False,
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, one line per value.")]
Raw: TypeAlias = Annotated[bool, typer.Option("--raw", help="Write texts and bytes as they are, without quotes.")]
Limit: TypeAlias = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="Stop after N values.", show_default=False)
]
For: TypeAlias = Annotated[
    str | None,
    typer.Option("--for", metavar="DURATION", help="Stop after a time, such as 10s or 5m.", show_default=False),
]
Words: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="MESSAGE", help="JSON in quotes, field=value pairs, or - for stdin.", show_default=False),
]
Field: TypeAlias = Annotated[
    str | None,
    typer.Option("--field", metavar="NAME", help="The field to plot, such as price or bid.size.", show_default=False),
]
Since: TypeAlias = Annotated[
    str | None,
    typer.Option("--since", metavar="POSITION", help="Begin after a position of --positions.", show_default=False),
]
Last: TypeAlias = Annotated[
    int | None,
    typer.Option("--last", min=1, max=300, metavar="N", help="Begin with the last N values.", show_default=False),
]
Rate: TypeAlias = Annotated[
    float | None, typer.Option("--rate", min=1, metavar="N", help="At most N writes per second.", show_default=False)
]
