"""The keys of a definition, and one key: its log, its watchers, its generator and its last errors."""

import asyncio
import heapq
import json
from collections.abc import Sequence
from itertools import islice
from typing import Any
from urllib.parse import unquote

from ...definitions import KeyAddresses, Watched
from ...log.base import Entry, Log
from ...log.table import TableLog, entry_key
from ..hub import Hub
from ..live_key import LiveKey
from ..members import Member
from ..turns import in_turns
from ..watcher import Watcher
from .clients import MOST_TEXT

MOST_ENTRIES = 50
MOST_WATCHERS = 200
MOST_PREVIEW = 500
"""Characters of a value that are shown."""
MOST_TAGS = 20
MOST_TAG = 200
"""Characters of a tag that are shown."""


async def keys_seen(hub: Hub, name: str, path: str, search: str, limit: int) -> dict[str, Any]:
    """Return the keys of a feed or topic that are live here and have the most watchers.

    Args:
        name: Name of the feed or topic.
        path: Path at which clients reach it.
        search: Text that their addresses contain, in any case.
        limit: Number of keys that are returned at most.
    """
    engine, watched = hub.running_engine(), _watched(hub, name)
    if engine is None or watched is None:
        return {"total": 0, "keys": []}
    addresses, wanted, total = KeyAddresses(path, watched.key), search.casefold(), 0
    best: list[tuple[int, int, LiveKey]] = []
    async for some in in_turns(engine.keys_of(watched)):
        for key in some:
            if key.values is None or (wanted and not _fits(addresses.of_values(key.values), wanted)):
                continue
            total += 1
            count = key.count()
            if len(best) < limit:
                heapq.heappush(best, (count, -total, key))
            elif count > best[0][0]:
                heapq.heapreplace(best, (count, -total, key))
    rows = [_row(watched, addresses, key) for _, _, key in sorted(best, reverse=True)]
    return {"total": total, "keys": rows}


def _fits(address: str, wanted: str) -> bool:
    """Return True if an address contains a text, as it is spelled or as it is meant."""
    return wanted in address.casefold() or ("%" in address and wanted in unquote(address).casefold())


def _row(watched: Watched[Any, Any], addresses: KeyAddresses, key: LiveKey) -> dict[str, Any]:
    values = key.values or {}
    return {
        "key": watched.key.plain(values),
        "text": addresses.of_values(values),
        "watchers": key.count(),
        "published": 0 if key.log is None else key.log.position.offset,
        "state": _state(key),
    }


def _state(key: LiveKey) -> str:
    if key.is_complete():
        return "complete"
    return "live" if key.health is None else key.health.state


async def key_seen(hub: Hub, name: str, text: str) -> dict[str, Any] | None:
    """Return what this process knows of one key; None if the key is not live here, and has had no errors.

    Args:
        name: Name of the feed or topic.
        text: Canonical spelling of the key.
    """
    engine, watched = hub.running_engine(), _watched(hub, name)
    if engine is None or watched is None:
        return None
    full = hub.name(watched, text)
    errors = [each._asdict() for each in engine.publishing.mishaps.of(full, watched.title)]
    key = engine.key(full)
    if key is None or key.log is None:
        return {"errors": errors} if errors else None
    log, health = key.log, key.health
    return {
        **log_seen(log, newest_of(log), is_binary=watched.is_binary),
        "watchers": [_watcher(hub, each) for each in islice(key.watchers(), MOST_WATCHERS)],
        "watchers_total": key.count(),
        "producer": None if key.producer is None else {
            "state": key.producer.state,
            "since": round(key.producer.since, 3),
            "lease": engine.lease(key),
            "restarts": key.producer.restarts,
        },
        "health": None if health is None else health._asdict(),
        "errors": errors,
    }  # fmt: skip


async def retained_seen(hub: Hub, name: str, text: str) -> dict[str, Any] | None:
    """Return the log of a key that is not live in any process, if it is retained."""
    engine, watched = hub.running_engine(), _watched(hub, name)
    if engine is None or watched is None:
        return None
    entries, position = await engine.publishing.held(watched, hub.name(watched, text))
    if position is None:
        return None
    size = sum(len(each.payload) for each in entries)
    return log_seen(None, entries[-MOST_ENTRIES:], is_binary=watched.is_binary) | {
        "position": position._asdict(), "bytes": size,
    }  # fmt: skip


def _watched(hub: Hub, name: str) -> Watched[Any, Any] | None:
    return next((each for each, path in hub.names() if path == name), None)


# One log


def newest_of(log: Log) -> list[Entry]:
    """Return the newest entries of a log, the oldest first."""
    log.expire(asyncio.get_running_loop().time())
    if isinstance(log, TableLog):
        return log.newest(MOST_ENTRIES, from_end=True)[::-1]
    return log.entries() if log.conflates else log.since(log.head - MOST_ENTRIES, MOST_ENTRIES)


def log_seen(log: Log | None, entries: Sequence[Entry], *, is_binary: bool) -> dict[str, Any]:
    """Return what a log holds, the newest entry first."""
    return {
        "position": None if log is None else log.position._asdict(),
        "bytes": 0 if log is None else log.size,
        "complete": log is not None and log.is_complete,
        "entries": [_entry(each, is_binary=is_binary) for each in reversed(entries)],
    }


def _entry(entry: Entry, *, is_binary: bool) -> dict[str, Any]:
    tags = {} if entry.marks is None else entry.marks.tags
    return {
        "offset": entry.position.offset,
        "age": None,
        "size": len(entry.payload),
        "row": None if entry.row is None else _row_shown(entry_key(entry)),
        "tags": {name[:MOST_TAG]: tag[:MOST_TAG] for name, tag in islice(tags.items(), MOST_TAGS)},
        "preview": _preview(entry.payload, is_binary=is_binary),
    }


def _row_shown(key: bytes) -> Any:
    """Return the key of a row; a long one as the beginning of its JSON."""
    return json.loads(key) if len(key) <= MOST_PREVIEW else key[:MOST_PREVIEW].decode(errors="replace")


def _preview(payload: bytes, *, is_binary: bool) -> str:
    if is_binary:
        return payload[: MOST_PREVIEW // 3].hex(" ")
    return payload[: 4 * MOST_PREVIEW].decode(errors="replace")[:MOST_PREVIEW]


# One watcher


def _watcher(hub: Hub, watcher: Watcher) -> dict[str, Any]:
    listener, age = watcher.listener, None
    if isinstance(listener, Member):
        sender = listener.sender
        client = next(iter(hub.reachable.of_ids([sender.client])), None)
        waiting = 0 if client is None else client.waiting
        who = sender.client, sender.user[:MOST_TEXT], "multiplexed", waiting
        age = listener.painted_age()
    elif (connection := hub.sessions.connection(listener)) is not None:
        who = connection.id, connection.user[:MOST_TEXT], connection.transport, connection.waiting
    else:
        who = "", "", "code", 0
    names = "client", "user", "surface", "waiting"
    return dict(zip(names, who, strict=True)) | {
        "lag": watcher.lag,
        "painted_age": None if age is None else round(age, 3),
    }
