"""Admissions: FastAPI decides about one command.

A channel's name is a path, so a command becomes the handshake of a WebSocket that never was. The app sees it as it sees
every WebSocket: middleware, routing, dependencies and exception handlers do what they always do. Our endpoint, at the
end of that way, only captures what FastAPI has resolved; the task of the command then goes on by itself.

.. code-block:: text

    task of the command            the app                              our endpoint
    ─────────────────────────────────────────────────────────────────────────────────────────
    async with Admission(...):  →  middleware, routing, dependencies  →  capture()
        definition, arguments   ←  returns, or waits in capture() if dependencies must stay open
        ...
    the end of the block        →  capture() returns, or raises what the block has raised;
                                   dependencies with ``yield`` end
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.types import Message, Scope
from starlette.websockets import WebSocket

from ...centrifuge import codes
from ...centrifuge.codes import Error
from ...definitions import Call, Definition, Stream, Watched
from ...frameworks import route_path
from ...hub import Hub
from ...identity import ANONYMOUS, Identity
from ...isolation import log_error
from ...runs.outcome import Cancelled, Completed, Failed, Outcome, Refused, run_once
from ...runs.tasks import create_task
from ..admitted import IDENTITY, REVOKED, identity_in
from ..runs import refusal
from .channels import ChannelName, Found
from .refusal import CommandRefused, detail_of, error_by, error_of

KEY = "wirespeed.admission"

_PLAIN = "".join(map(chr, range(0x21, 0x7F)))
"""The characters that a query string may contain unquoted."""

_NEVER_PASSED_ON = {
    "route", "endpoint", "path_params", "router", "app", "path", "raw_path", "query_string", "subprotocols",
    "extensions", "state", "headers", KEY,
}  # fmt: skip


@dataclass(slots=True, eq=False)
class Admission:
    """FastAPI's decision about one command: the definition, the resolved arguments, and how to release both.

    An async context manager. Entering it calls the app; leaving it releases the dependencies with ``yield`` that have
    stayed open, with the exception of the block if it has one, so that they can roll back.

    Raises:
        CommandRefused: On entering: the app refuses the command. On leaving with an exception: what the app makes of
            the exception, for example by a handler of its own.
    """

    _found: Found
    _scope: Scope
    """The scope of the handshake, see :func:`virtual_scope`; the admission puts itself into it."""
    _hub: Hub
    _is_over: Callable[[], bool]
    """Returns True once the connection is over, which cancels the command."""
    _context: Context
    """The context of the task of the command. The app shares it: what dependencies and middleware set in context
    variables holds for the run."""
    definition: Stream | Call | Watched[Any, Any] | None = None
    """The definition, which is not the one that was found if middleware has changed the path."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The values of the endpoint's parameters."""
    query: Mapping[str, str] = field(default_factory=dict)
    """The parameters of the channel's query."""
    identity: Identity = ANONYMOUS
    """The identity of the client, as its connection or one of the dependencies has found it."""
    since: int = 0
    """Count of revocations before the app was called, or before it has verified a token for the command."""
    error: Error | None = None
    """The error for the client, once the app has refused the command."""
    _task: asyncio.Task[Outcome[None]] | None = None
    _owner: asyncio.Task[Any] | None = None
    _captured: asyncio.Future[None] | None = None
    _released: asyncio.Future[None] | None = None
    _variables: Context | None = None
    _is_connected: bool = False
    _is_staying: bool = False
    _is_cut: bool = False
    _response: tuple[int, list[tuple[bytes, bytes]], bytes] = (0, [], b"")

    def __post_init__(self) -> None:
        self._scope[KEY] = self
        self.since = self._hub.sessions.admissions.count

    # From the task of the command

    async def __aenter__(self) -> Self:
        self._is_staying = self._found.stays_open()
        if not self._is_staying:
            # Nothing needs to stay open, so the app's call is over before the command goes on: no further task.
            self._settle(await self._call())
        if self._is_staying:
            await self._begin()
        self._scope = {}  # which leads back here
        if self.definition is None:
            raise CommandRefused(self.error or codes.INTERNAL)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        failure = error if isinstance(error, Exception) and not isinstance(error, CommandRefused) else None
        if self._task is not None:
            if self._is_cut and (owner := asyncio.current_task()) is not None:
                owner.uncancel()
            await self._release(error)
        elif failure is not None:  # no code of the app's own would see the exception
            self._settle(refusal(failure) or Failed(failure, failure), is_counted=True)
        if self._is_cut or failure is not None:
            raise CommandRefused(self.error or codes.INTERNAL) from None

    @property
    def title(self) -> str:
        """Name of the definition in errors and logs."""
        return self._found.definition.title

    @property
    def wanted(self) -> Definition:
        """The definition that the client wants, which is the one that it gets unless middleware changes the path."""
        return self._found.definition

    def check_revoked(self, place: str) -> None:
        """Refuse the client if its access was revoked after its guards had begun.

        Args:
            place: Name of the key, or title of the stream or call.

        Raises:
            CommandRefused: 103.
        """
        if self._hub.sessions.admissions.is_revoked(self.since, self.identity, place):
            raise CommandRefused(error_of(403, REVOKED))

    def is_open(self) -> bool:
        """Return True if dependencies stay open until the end of the block."""
        return self._task is not None

    def _call(self) -> Coroutine[Any, Any, Outcome[None]]:
        enter = partial(self._found.app, dict(self._scope), self._receive, self._send)
        return run_once(enter, refusal, self._is_over)

    async def _begin(self) -> None:
        """Call the app in a task of its own, until the endpoint has captured its decision, or the call has ended."""
        loop = asyncio.get_running_loop()
        self._captured, self._released = loop.create_future(), loop.create_future()
        self._owner = asyncio.current_task()
        self._task = create_task(self._call(), self._context)
        self._task.add_done_callback(self._note_end)
        try:
            await self._captured
        except asyncio.CancelledError as error:
            await self.__aexit__(asyncio.CancelledError, error, None)
            raise
        if self._variables is not None:  # middleware has a task of its own for the app's call
            for variable, value in self._variables.items():
                variable.set(value)
        if self.definition is None:
            self._settle(await self._task)

    def _note_end(self, _: object) -> None:
        assert self._captured is not None
        assert self._released is not None
        if not self._captured.done():
            self._captured.set_result(None)
            self._released.set_result(None)  # middleware may have left the call behind, which ends by itself now
        else:
            self._cut()

    def _cut(self) -> None:
        """Cancel the command: middleware has ended the app's call, as a timeout does, and no code may outlive it."""
        if self._owner is not None:
            self._is_cut = True
            self._owner.cancel()
            self._owner = None

    async def _release(self, error: BaseException | None) -> None:
        """Let the endpoint return, or raise what has ended the command, and wait until the app's call is over."""
        task, released, self._owner = self._task, self._released, None
        assert task is not None
        assert released is not None
        if released.done():
            pass
        elif self._is_cut or task.done() or error is None:
            released.set_result(None)
        elif not isinstance(error, Exception):
            released.cancel()
            task.cancel()
        else:
            # The app learns that a command was refused, and not why: the client gets the error itself.
            released.set_exception(HTTPException(403) if isinstance(error, CommandRefused) else error)
            released.exception()  # so that Python does not log it if the call is cancelled in this moment
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                task.cancel()
        self._settle(task.result(), is_counted=isinstance(error, Exception))

    def _settle(self, outcome: Outcome[None], *, is_counted: bool = False) -> None:
        """Note how the app's call has ended."""
        error: Error | None = None
        match outcome:
            case Refused() as refused:
                error = error_by(refused)
            case Failed(failure):
                error = codes.INTERNAL
                title = self._found.definition.title
                log_error(failure, "%s: a command failed.", title, of=title)
                if not is_counted:
                    self._hub.sessions.failed()
            case Completed() | Cancelled():
                pass
        self.error = self.error or error

    # From the endpoint

    def lets_in(self, found: Found) -> bool:
        """Return True if the app's call lasts long enough for a definition.

        If middleware has changed the path, it may not. Then the call has to return: the app is called again, for as
        long as the definition needs.
        """
        self._is_staying = self._is_staying or (found is not self._found and found.stays_open())
        return not self._is_staying or self._task is not None

    async def capture(
        self, definition: Stream | Call | Watched[Any, Any], arguments: Mapping[str, Any], websocket: WebSocket
    ) -> None:
        """Take FastAPI's decision; return when the dependencies may end."""
        captured, released = self._captured, self._released
        if captured is None or not captured.done():  # the call may be over, or may be the second one
            self.definition, self.arguments, self.query = definition, arguments, websocket.query_params
            self.identity = identity_in(websocket.scope)
        if captured is not None and released is not None:
            if not captured.done():
                self._variables = None if asyncio.current_task() is self._task else copy_context()
                captured.set_result(None)
            await self._until(released)

    async def _until(self, released: "asyncio.Future[None]") -> None:
        """Wait until the dependencies may end. If middleware cancels the call, the command ends before they do."""
        try:
            await asyncio.wait([released])
        except asyncio.CancelledError:
            self._cut()
            while not released.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([released])
            if self._is_cut or released.cancelled():
                raise
            # The command had ended in order before its client left: dependencies end in order, too.
        released.result()

    # From the app, as ASGI

    async def _receive(self) -> Message:
        """Return the handshake, and after it the end: the virtual WebSocket has no messages."""
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        return {"type": "websocket.disconnect", "code": 1005, "reason": ""}

    async def _send(self, message: Message) -> None:
        """Take the app's answer to the handshake; all but refusals are ignored."""
        match message["type"]:
            case "websocket.close" if self.error is None:
                self.error = error_of(403, message.get("reason") or None)
            case "websocket.http.response.start":
                self._response = (message["status"], list(message.get("headers", ())), b"")
            case "websocket.http.response.body":
                status, headers, body = self._response
                self._response = (status, headers, body + message.get("body", b""))
                if not message.get("more_body") and self.error is None:
                    self.error = error_of(status, detail_of(self._response[2]), headers)


def admission_of(scope: Scope) -> Admission | None:
    """Return the admission behind a scope; None for a real connection."""
    admission = scope.get(KEY)
    return admission if isinstance(admission, Admission) else None


async def refusal_by(admission: Admission) -> Error | None:
    """Ask the app once more about a client that it has admitted; return the error if it refuses the client now."""
    try:
        async with admission:
            return None
    except CommandRefused as refused:
        return refused.error


def asking_again(definition: Stream | Watched[Any, Any], scope: Scope, hub: Hub) -> Callable[[], Admission]:
    """Return a function that returns a further decision about the client of a raw connection, by its scope."""
    base = base_of(scope)
    base.pop(IDENTITY, None)  # current_identity asks again
    name = ChannelName(route_path(scope), scope.get("query_string", b"").decode("latin-1"))
    found = Found(definition, scope["app"], lambda: False)
    return lambda: Admission(found, virtual_scope(base, name, ""), hub, hub.is_over, copy_context())


def base_of(scope: Scope) -> dict[str, Any]:
    """Return what all handshakes of one connection have in common: its scope, without the traces of its own routing."""
    return {
        key: value for key, value in scope.items() if key not in _NEVER_PASSED_ON and not key.startswith("fastapi")
    } | {
        "type": "websocket",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "state": scope.get("state"),
        "headers": [header for header in scope["headers"] if not header[0].startswith(b"sec-websocket-")],
    }


def virtual_scope(base: Mapping[str, Any], channel: ChannelName, token: str) -> Scope:
    """Return the scope of the handshake for a channel."""
    scope = dict(base)
    scope["path"] = path = base.get("root_path", "") + channel.path
    scope["raw_path"] = quote(path, safe="/:@!$&'()*+,;=~%").encode()
    query = channel.query
    scope["query_string"] = (query if query.isascii() else quote(query, safe=_PLAIN)).encode()
    # Each handshake has copies, because dependencies and middleware may change them.
    scope["subprotocols"], scope["extensions"] = [], {"websocket.http.response": {}}
    if base["state"] is not None:
        scope["state"] = dict(base["state"])
    headers = scope["headers"] = [*base["headers"]]
    if token:
        scope["headers"] = [header for header in headers if header[0] != b"authorization"]
        scope["headers"].append((b"authorization", b"Bearer " + token.encode()))
    return scope
