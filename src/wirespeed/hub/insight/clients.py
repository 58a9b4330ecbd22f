"""The clients of this process, on all surfaces, and one of them. No token, cookie or query string is part of it."""

import json
import time
from collections.abc import Iterable
from hashlib import sha256
from itertools import islice
from typing import Any

from ...codec import json_of
from ...definitions import Connection, reached
from ...definitions.connection import Closable
from ...identity import ANONYMOUS, Identity
from ...isolation import one_line
from ..hub import Hub
from ..turns import in_turns

MOST_INFO = 4096
"""Bytes of JSON of a client's information that are shown."""
MOST_SUBSCRIPTIONS = 100
"""Subscriptions by the app that are shown."""
MOST_TEXT = 500
"""Characters of a user's name, of a path or of a channel that are shown: clients and tokens may have long ones."""


async def clients_seen(hub: Hub, search: str, limit: int) -> dict[str, Any]:
    """Return the newest clients, and the number of all.

    Args:
        search: Text that their id, user, address or path contains, in any case.
        limit: Number of clients that are returned at most.
    """
    newest, wanted = hub.sessions.newest(), search.casefold()
    if not wanted:
        return {"total": len(hub.sessions), "clients": _rows(hub, islice(newest, limit))}
    found, total = [], 0
    async for some in in_turns(newest):
        for session, each in some:
            if wanted in f"{each.id}\n{each.user}\n{each.address}\n{each.path}".casefold():
                total += 1
                if total <= limit:
                    found.append((session, each))
    return {"total": total, "clients": _rows(hub, found)}


def _rows(hub: Hub, served: Iterable[tuple[Closable, Connection]]) -> list[dict[str, Any]]:
    return [_row(hub, session, connection) for session, connection in served]


def _row(hub: Hub, session: Closable, connection: Connection) -> dict[str, Any]:
    client = next(iter(hub.reachable.of_ids([connection.client])), None)
    return {
        "id": connection.id,
        "user": connection.user[:MOST_TEXT],
        "session": shown_session(_identity(hub, session, connection)),
        "surface": connection.transport if client is None else "multiplexed",
        "transport": connection.transport,
        "lane": connection.lane,
        "path": connection.path[:MOST_TEXT],
        "address": connection.address,
        "since": round(time.time() - connection.age, 3),
        "subscriptions": 1 if client is None else len(client.channels),
        "waiting": connection.waiting,
    }


def _identity(hub: Hub, session: Closable, connection: Connection) -> Identity:
    for client in hub.reachable.of_ids([connection.client]):
        return reached(client).identity
    return session.identity


def shown_session(identity: Identity) -> str:
    """Return a text that is the same for all clients of a session; empty without one.

    A hash, because an app may use the token of a login, or a cookie, as the name of its session.
    """
    return sha256(identity.session.encode()).hexdigest()[:8] if identity.session else ""


async def client_seen(hub: Hub, id_: str) -> dict[str, Any] | None:
    """Return one client; None if it has left."""
    if (found := hub.sessions.find(id_)) is None:
        return None
    session, connection = found
    identity = _identity(hub, session, connection)
    return _row(hub, session, connection) | {
        "identity": None if identity is ANONYMOUS else {
            "user": identity.user[:MOST_TEXT],
            "session": shown_session(identity),
            "expires_at": identity.expires_at,
            "info": _info(identity),
            "subscriptions": [_without_query(each) for each in islice(identity.subscriptions, MOST_SUBSCRIPTIONS)],
        },
        "channels": _channels(hub, session, connection),
    }  # fmt: skip


def _without_query(channel: object) -> str:
    return str(channel).partition("?")[0][:MOST_TEXT]


def _info(identity: Identity) -> Any:
    """Return the information that other clients may have, too; never ``data`` and ``meta``, which are private."""
    if identity.info is None:
        return None
    try:
        text = json_of(identity.info)
    except Exception as error:  # a guard has noted an identity that no client has been sent
        return f"cannot be serialised: {one_line(error)}"
    return json.loads(text) if len(text) <= MOST_INFO else text[:MOST_INFO].decode(errors="replace")


def _channels(hub: Hub, session: Closable, connection: Connection) -> list[dict[str, Any]]:
    clients = hub.reachable.of_ids([connection.client])
    if clients:
        return [each._asdict() | {"since": None, "waiting": None} for each in reached(clients[0]).subscribed()]
    since = round(time.time() - connection.age, 3)
    beside = {"channel": connection.path, "since": since, "waiting": connection.waiting}
    return [each._asdict() | beside for each in session.subscribed()]


def drop(hub: Hub, id_: str) -> bool:
    """Disconnect a client; return True if it was there. SDKs do not connect again after that."""
    found = hub.sessions.find(id_)
    if found is not None:
        found[1].close()
    return found is not None
