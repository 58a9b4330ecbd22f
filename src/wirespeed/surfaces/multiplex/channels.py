"""Channels: names that clients choose, and the definitions that they lead to."""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp

from ...definitions import Call, Stream, Watched


class ChannelName(NamedTuple):
    """The name of a channel, as a URL has it."""

    path: str
    query: str

    @classmethod
    def parse(cls, name: str) -> "ChannelName":
        """Parse a name: a path and a query; the leading slash is optional.

        Everything from the first ``#`` on is ignored. It makes a further run of a stream; feeds, topics and calls
        refuse it.
        """
        path, _, query = name.partition("#")[0].partition("?")
        path = path if path.startswith("/") else f"/{path}"
        return cls(unquote(path) if "%" in path else path, query)


class Found(NamedTuple):
    """A definition, and the app that serves it.

    Args:
        stays_open: Returns True if the app's call has to last as long as what it admits, see
            :class:`~.admission.Admission`.
    """

    definition: Stream | Call | Watched[Any, Any]
    app: ASGIApp
    stays_open: Callable[[], bool] = lambda: True


Find = Callable[[str], Found | None]
"""Returns what a path leads to; None if that is not one of our definitions."""
