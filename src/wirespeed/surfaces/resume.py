"""Resuming runs: how clients of raw WebSockets and HTTP name a run, and who may resume it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from ..definitions import Client, Stream
from ..hub import Hub
from ..hub.kept import KeptRun
from ..identity import Identity, Sender
from ..runs.outcome import Outcome
from .admitted import IDENTITY
from .runs import run_counted, run_stream


class Resumption(NamedTuple):
    """A client's wish for a run that it may resume later, or for a run that it resumes."""

    run: str = ""
    """Id of the run that it resumes; empty for a new one."""
    since: int = 0
    """Number of the last value that it has got."""


class Owner(NamedTuple):
    """The client that may resume a run: the same user, with the same arguments, by the same kind of connection."""

    surface: str
    stream: str
    path: str
    user: str
    arguments: Mapping[str, object]


def resumption_of(stream: Stream, connection: HTTPConnection) -> Resumption | None:
    """Return what a client asks for by ``?resume=1``, ``?run=...&since=...`` or ``Last-Event-ID``; None if nothing.

    Raises:
        HTTPException: 422, in FastAPI's form: ``since`` is not the number of a value.
    """
    if stream.resume is None:
        return None
    query, event = connection.query_params, connection.headers.get("last-event-id", "")
    if run := query.get("run"):
        return Resumption(run, _number(query.get("since", "0")))
    if event:
        run, _, since = event.rpartition(":")
        return Resumption(run or "unknown", _number(since) if since.isdecimal() else 0)
    return Resumption() if query.get("resume") == "1" else None


def _number(text: str) -> int:
    if text.isdecimal() and len(text) < 16:
        return int(text)
    problem = "should be the number of values that have arrived"
    detail: Any = {"type": "value_error", "loc": ["query", "since"], "msg": problem, "input": text[:100]}
    raise HTTPException(422, cast("Any", [detail]))


def owner_of(
    surface: str, stream: Stream, path: str, scope: Mapping[str, Any], arguments: Mapping[str, Any], user: str = ""
) -> Owner:
    """Return the owner of a run.

    Args:
        path: The path that the client has asked for: a router may be included twice, with other guards.
        user: The user; empty if the surface does not know it.
        arguments: What FastAPI has resolved. Values that compare by their contents have to be the same again: path and
            query parameters, and what dependencies return, such as a user. Others, such as connections, say nothing.
    """
    identity = scope.get(IDENTITY)
    if not user and isinstance(identity, Identity):
        user = identity.user
    same = {name: _comparable(value) for name, value in arguments.items() if name != stream.parameter}
    return Owner(surface, stream.title, path, user, same)


def _comparable(value: object) -> object:
    if isinstance(value, Identity | Sender | Client):
        return value.user  # the rest may differ from connection to connection
    return None if type(value).__eq__ is object.__eq__ else value


async def run_kept(hub: Hub, stream: Stream, arguments: Mapping[str, Any], run: KeptRun) -> Outcome[None]:
    """Let the generator of a stream write to the journal of a kept run; return how it has ended."""
    return await run_counted(
        hub,
        stream,
        lambda: run_stream(hub, stream, arguments, stream.encoder, run.journal),
        lambda: run.is_given_up,
    )
