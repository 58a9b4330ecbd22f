"""Entering the app: a command becomes a WebSocket handshake that never was, and FastAPI decides as it always does.

What our endpoints find in the scope in place of a real connection is an :class:`Entry`; each kind of command has one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.types import Message, Scope
from starlette.websockets import WebSocket

from ...centrifuge import codes
from ...centrifuge.codes import Error
from ...definitions import Call, Stream, Watched
from ...errors import TooManyLogs
from .refusal import detail_of, error_of

KEY = "wirespeed.entry"

_PLAIN = "".join(map(chr, range(0x21, 0x7F)))
"""What a query string may have as it is."""

_NEVER_PASSED_ON = {
    "route", "endpoint", "path_params", "router", "app", "path", "raw_path", "query_string", "subprotocols",
    "extensions", "state", "headers", KEY,
}  # fmt: skip


class Channel(NamedTuple):
    """A channel's name as a URL has it.

    Args:
        path: With a leading slash.
        query: Without the question mark.
    """

    path: str
    query: str

    @classmethod
    def parse(cls, name: str) -> "Channel":
        """Reads a channel's name, which is a URL's path and query; the leading slash may be missing.

        What follows a ``#`` is ignored: it makes a further run of a stream. Feeds, topics and calls refuse it.
        """
        path, _, query = name.partition("#")[0].partition("?")
        path = path if path.startswith("/") else f"/{path}"
        return cls(unquote(path) if "%" in path else path, query)


class Entry:
    """The virtual WebSocket by which one command enters the app.

    Attributes:
        error: Why the app has refused it, if it has.
        admitted: Whether it has reached what it wanted.
        is_counted: Whether failures from now on are counted already.
    """

    def __init__(self) -> None:
        self.error: Error | None = None
        self.admitted = False
        self.is_counted = False
        self._connected = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""

    # What our endpoints call

    async def watch(self, websocket: WebSocket, watched: Watched[Any, Any], arguments: Mapping[str, Any]) -> None:
        """A feed or topic admits it."""
        raise HTTPException(404)

    async def stream(self, websocket: WebSocket, stream: Stream, arguments: Mapping[str, Any]) -> None:
        """A stream admits it."""
        raise HTTPException(404)

    async def call(self, websocket: WebSocket, call: Call, arguments: Mapping[str, Any]) -> None:
        """A call admits it."""
        raise HTTPException(404)

    def refused(self, error: Error) -> HTTPException:
        """What an endpoint raises for an error that HTTP has no word for."""
        self.error = error
        return HTTPException(403)

    @contextmanager
    def counted_once(self) -> Iterator[None]:
        """Around what makes room for a client: its refusal is counted by its reason, and not by its status as well."""
        try:
            yield
        except TooManyLogs as error:
            raise self.refused(Error(503, str(error), temporary=True, name="too many keys")) from None

    # ASGI, as the app sees it

    async def receive(self) -> Message:
        """The handshake; whoever wants more learns that there is none."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        return {"type": "websocket.disconnect", "code": 1005, "reason": ""}

    async def send(self, message: Message) -> None:
        """An answer to the handshake: what is no refusal is passed over."""
        match message["type"]:
            case "websocket.close" if self.error is None:
                reason = message.get("reason") or codes.PERMISSION_DENIED.message
                self.error = codes.PERMISSION_DENIED._replace(message=reason)
            case "websocket.http.response.start":
                self._status = message["status"]
                self._headers = list(message.get("headers", ()))
            case "websocket.http.response.body":
                self._body += message.get("body", b"")
                if not message.get("more_body") and self.error is None:
                    self.error = error_of(self._status, detail_of(self._body), self._headers)


def ttl_of(seconds: float) -> int:
    """What a client is told of how long something holds: at least a second, and what a 32-bit integer holds."""
    return min(max(round(seconds), 1), 2**31 - 1)


def entry_of(scope: Scope) -> Entry | None:
    """The entry behind a scope; None for a real connection."""
    entry = scope.get(KEY)
    return entry if isinstance(entry, Entry) else None


def base_of(scope: Scope) -> dict[str, Any]:
    """What all entries of one connection have in common: its scope, less what routing has put there."""
    return {
        key: value for key, value in scope.items() if key not in _NEVER_PASSED_ON and not key.startswith("fastapi")
    } | {
        "state": scope.get("state"),
        "headers": [header for header in scope["headers"] if not header[0].startswith(b"sec-websocket-")],
    }


def virtual_scope(base: Mapping[str, Any], channel: Channel, entry: Entry, token: str) -> Scope:
    """The scope by which a channel is entered.

    Args:
        base: What :func:`base_of` gave.
        channel: The channel.
        entry: Who is told.
        token: Replaces the ``Authorization`` header, if there is one.
    """
    path = base.get("root_path", "") + channel.path
    scope = dict(base)
    scope["type"] = "websocket"
    scope["path"] = path
    scope["raw_path"] = quote(path, safe="/:@!$&'()*+,;=~%").encode()
    query = channel.query
    scope["query_string"] = (query if query.isascii() else quote(query, safe=_PLAIN)).encode()
    scope["subprotocols"] = []
    scope["extensions"] = {"websocket.http.response": {}}
    if base["state"] is not None:
        scope["state"] = dict(base["state"])
    scope["headers"] = [*base["headers"]]
    if token:
        scope["headers"] = [header for header in base["headers"] if header[0] != b"authorization"]
        scope["headers"].append((b"authorization", b"Bearer " + token.encode()))
    scope[KEY] = entry
    return scope
